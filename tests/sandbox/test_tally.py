"""The demo learns the state of each payment from outside the product: from the webhook's answers and the bot's messages."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from sandbox.tally import Tally
from tests.sandbox.world import Sandbox

ANNA, BOHDAN = 1, 2
CODE = "K7QM-2XHD"
OTHER_CODE = "9FGT-WB34"
THANKS = "Thank you! ${amount} arrived: +{credits} credits. You now have {balance} credits."


class Story:
    """
    Reports payments, answers and messages to a `Tally`, which keeps the state of each payment for the demo.

    Each report is a second later than the report before it.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.now = 0.0
        self.pressed_at = -1.0
        self.paid = 0

    def pay(self, *, words: str = "", amount: str = "5") -> int:
        """
        Tell the tally about a payment whose webhook is being sent. Return the id of the webhook's event.

        *words* is the text that the supporter wrote.
        """
        self.paid += 1
        key = str(self.paid)
        self.tally.note_payment(key, of=key, amount=Decimal(amount), words=words, at=self.tick())
        self.tally.note_event(key, self.paid)
        self.tally.note_sending(self.paid)
        return self.paid

    def pay_without_webhook(self, *, words: str = "") -> int:
        self.paid += 1
        key = str(self.paid)
        self.tally.note_payment(key, of=key, amount=Decimal(5), words=words, at=self.tick())
        self.tally.note_event(key, self.paid)
        self.tally.note_forgotten(self.paid)
        return self.paid

    def answer(self, event_id: int, outcome: str) -> None:
        self.tally.note_answer(event_id, status=200, text=json.dumps({"outcome": outcome}), at=self.tick())

    def say(self, person: int, text: str, *, copied: Sequence[str] = ()) -> None:
        name = {ANNA: "Anna", BOHDAN: "Bohdan"}[person]
        self.tally.note_message(person, name, text, iter(copied), at=self.tick(), pressed_at=self.pressed_at)

    def thank(self, person: int, *, amount: int = 5, credits: int = 500, balance: int = 500) -> None:
        self.say(person, THANKS.format(amount=amount, credits=credits, balance=balance))

    def press(self) -> None:
        self.pressed_at = self.tick()

    def tick(self) -> float:
        self.now += 1
        return self.now

    @property
    def counts(self) -> tuple[int, int, int, int]:
        read = self.tally.as_read()
        return read["paid"], read["credited"], read["twice"], read["waiting"]

    @property
    def newest(self) -> Any:
        return self.tally.as_read()["payments"][0]


@pytest.fixture
def story() -> Story:
    """Return a story in which the bot has already shown a code to Anna."""
    story = Story()
    story.say(ANNA, f"$5, your code: {CODE}", copied=[CODE])
    return story


def test_a_payment_is_credited_when_the_webhook_says_so_and_waits_until_the_user_is_told(story: Story) -> None:
    event_id = story.pay(words=f"Hello! {CODE}")
    assert story.counts == (1, 0, 0, 1)

    story.answer(event_id, "credited")
    assert story.counts == (1, 1, 0, 1)

    story.thank(ANNA)
    assert story.counts == (1, 1, 0, 0)


def test_the_timeline_has_the_times_of_every_step(story: Story) -> None:
    event_id = story.pay(words=CODE)
    story.answer(event_id, "credited")
    story.thank(ANNA)

    newest = story.newest
    assert (newest["at"], newest["verified_at"], newest["committed_at"]) == (2, 3, 3)
    assert newest["told"] == {"name": "Anna", "at": 4, "credits": 500, "repeats": 0}


@pytest.mark.parametrize(
    ("words", "reading"),
    [
        (CODE, "code"),
        ("hello k7qm 2xhd", "code"),
        ("K7QM-2XH3", "slip"),
        ("27QM2XHD thanks", "slip"),
        ("K7QM-2X33", "no_code"),
        ("", "no_code"),
    ],
)
def test_the_note_names_a_user_by_a_code_even_with_one_wrong_sign(story: Story, words: str, reading: str) -> None:
    story.pay(words=words)

    assert story.newest["reading"] == reading


def test_a_spooled_payment_is_credited_when_the_user_is_told(story: Story) -> None:
    event_id = story.pay(words=CODE)
    story.answer(event_id, "spooled")
    assert story.counts == (1, 0, 0, 1)
    assert (story.newest["spooled_at"], story.newest["committed_at"]) == (3, None)

    story.thank(ANNA)

    assert story.counts == (1, 1, 0, 0)


@pytest.mark.parametrize(
    "text",
    [
        "Thank you! $1,250 arrived: +125,000 credits. You now have 125,000 credits.",
        "Надійшло $1\u00a0250: +125\u00a0000 кредитів. Тепер у вас 125\u00a0000 кредитів.",
        "Надійшло 1\u202f250,00 грн: +125\u202f000 кредитів.",
    ],
)
def test_a_receipt_is_recognised_in_every_language(story: Story, text: str) -> None:
    story.pay(words=CODE, amount="1250")

    story.say(ANNA, text)

    assert story.newest["told"]["credits"] == 125_000


def test_two_payments_of_one_amount_need_two_receipts(story: Story) -> None:
    story.pay(words=CODE)
    story.pay(words=CODE)

    story.thank(ANNA)
    assert story.counts == (2, 1, 0, 1)

    story.thank(ANNA, balance=1000)
    assert story.counts == (2, 2, 0, 0)


def test_a_receipt_of_another_amount_or_another_user_does_not_count(story: Story) -> None:
    story.pay(words=CODE)

    story.thank(ANNA, amount=10, credits=1000)
    story.thank(BOHDAN)

    assert story.counts == (1, 0, 0, 1)


def test_a_payment_without_a_code_belongs_to_the_user_who_is_told(story: Story) -> None:
    event_id = story.pay()
    story.answer(event_id, "unmatched")

    story.thank(BOHDAN)

    assert story.counts == (1, 1, 0, 0)
    assert story.newest["told"]["name"] == "Bohdan"


def test_the_same_receipt_again_is_no_second_credit(story: Story) -> None:
    story.answer(story.pay(words=CODE), "credited")
    story.thank(ANNA)

    story.thank(ANNA)

    assert story.counts == (1, 1, 0, 0)
    assert story.newest["told"]["repeats"] == 1


def test_a_second_receipt_with_a_higher_balance_is_a_second_credit(story: Story) -> None:
    story.answer(story.pay(words=CODE), "credited")
    story.thank(ANNA)

    story.thank(ANNA, balance=1000)

    assert story.counts == (1, 1, 1, 0)


def test_a_second_receipt_after_a_decision_of_a_person_is_no_second_credit(story: Story) -> None:
    story.answer(story.pay(words=CODE), "credited")
    story.thank(ANNA)

    story.press()
    story.thank(ANNA, balance=1000)

    assert story.counts == (1, 1, 0, 0)


def test_a_second_answer_that_the_payment_was_credited_is_a_second_credit(story: Story) -> None:
    event_id = story.pay(words=CODE)

    story.answer(event_id, "credited")
    story.answer(event_id, "duplicate")
    assert story.counts == (1, 1, 0, 1)

    story.answer(event_id, "credited")
    assert story.counts == (1, 1, 1, 1)


def test_a_receipt_may_overtake_the_answer_of_the_webhook(story: Story) -> None:
    event_id = story.pay(words=CODE)

    story.thank(ANNA)
    story.answer(event_id, "credited")

    assert story.counts == (1, 1, 0, 0)


def test_the_history_is_no_receipt(story: Story) -> None:
    story.answer(story.pay(words=CODE), "credited")
    story.thank(ANNA)

    story.say(ANNA, "Your latest credit changes:\n11:02: +500 for $5")

    assert story.counts == (1, 1, 0, 0)


def test_a_payment_that_was_refunded_before_its_credit_does_not_wait(story: Story) -> None:
    event_id = story.pay(words=CODE)
    story.answer(event_id, "recorded")

    story.tally.note_refund(str(event_id))

    assert story.counts == (1, 0, 0, 0)


def test_a_failed_delivery_is_retried_and_then_given_up(story: Story) -> None:
    event_id = story.pay(words=CODE)
    story.tally.note_answer(event_id, status=None, text="", at=story.tick())
    story.tally.note_retry(event_id, next_at=10)
    assert (story.newest["sending"], story.newest["next_at"], story.newest["status"]) == ("retry", 10, None)

    story.tally.note_sending(event_id)
    assert (story.newest["sending"], story.newest["attempts"]) == ("under_way", 2)

    story.tally.note_given_up(event_id)
    assert (story.newest["sending"], story.newest["next_at"]) == ("given_up", None)


def test_a_payment_without_a_webhook_waits_until_the_user_is_told(story: Story) -> None:
    event_id = story.pay_without_webhook(words=CODE)
    assert (story.newest["sending"], story.newest["event_id"], story.counts) == ("forgotten", event_id, (1, 0, 0, 1))

    story.thank(ANNA)

    assert (story.newest["sending"], story.counts) == ("forgotten", (1, 1, 0, 0))


def test_the_time_of_the_list_is_the_last_one_before_the_user_is_told(story: Story) -> None:
    key = str(story.pay_without_webhook(words=CODE))
    assert story.newest["listed_at"] is None

    story.tally.note_listed({key}, at=10)
    story.tally.note_listed({"another"}, at=20)
    story.tally.note_listed({key}, at=30)
    story.thank(ANNA)
    story.tally.note_listed({key}, at=40)

    assert story.newest["listed_at"] == 30


def test_the_row_of_a_subscription_shows_only_its_newest_payment(story: Story) -> None:
    for key in ("sub_1/1", "sub_1/2"):
        story.tally.note_payment(key, of="sub_1", amount=Decimal(5), words="", at=story.tick())

    story.tally.note_listed({"sub_1"}, at=10)

    newest, oldest = story.tally.as_read()["payments"]
    assert (newest["listed_at"], oldest["listed_at"]) == (10, None)


def test_a_forgotten_answer_of_a_shop_item_does_not_hide_the_webhook_of_its_payment(story: Story) -> None:
    event_id = story.pay()
    story.answer(event_id, "unmatched")
    story.tally.note_event(str(event_id), 100)

    story.tally.note_forgotten(100)

    assert (story.newest["event_id"], story.newest["sending"]) == (event_id, "accepted")


def test_a_code_belongs_to_the_user_who_saw_it_first(story: Story) -> None:
    story.say(BOHDAN, f"A payment waits for you: {CODE}", copied=[CODE])
    story.pay(words=CODE)

    story.thank(BOHDAN)
    assert story.counts == (1, 0, 0, 1)

    story.thank(ANNA)
    assert story.counts == (1, 1, 0, 0)


def test_the_tally_forgets_payments_but_no_codes(story: Story) -> None:
    story.pay(words=CODE)
    story.tally.clear()
    assert story.tally.is_empty

    story.pay(words=CODE)

    assert story.counts == (1, 0, 0, 1)
    assert story.newest["reading"] == "code"


def test_a_new_code_is_a_beginning(story: Story) -> None:
    story.tally.clear()

    story.say(ANNA, "Your code", copied=[OTHER_CODE])

    assert not story.tally.is_empty


# Tests that send requests to a running sandbox ------------------------------------------------------------------------


async def test_a_payment_is_followed_from_the_checkout_to_the_message(sandbox: Sandbox) -> None:
    sandbox.product.outcome = "credited"
    await sandbox.meet(ANNA)
    keyboard = {"inline_keyboard": [[{"text": "Copy", "copy_text": {"text": CODE}}]]}
    await sandbox.bot("sendMessage", chat_id=ANNA, text="Your code", reply_markup=keyboard)

    paid = await sandbox.pay(note=f"Hello {CODE}")
    await sandbox.settled(paid["event_id"])
    await sandbox.bot("sendMessage", chat_id=ANNA, text=THANKS.format(amount=5, credits=500, balance=500))

    tally = (await sandbox.get("/demo/changes"))["tally"]
    assert [tally[count] for count in ("paid", "credited", "twice", "waiting")] == [1, 1, 0, 0]
    [story] = tally["payments"]
    assert (story["of"], story["reading"], story["outcome"]) == (paid["transaction_id"], "code", "credited")
    assert story["at"] <= story["committed_at"] <= story["told"]["at"]


async def test_a_new_subscription_is_one_payment_and_its_renewal_another(sandbox: Sandbox) -> None:
    sandbox.product.outcome = "recorded"
    started = await sandbox.pay(kind="membership")
    await sandbox.settled(started["event_id"])
    assert (await sandbox.get("/demo/changes"))["tally"]["paid"] == 1

    await sandbox.post(f"/bmc/subscriptions/{started['psp_id']}/renew")

    assert (await sandbox.get("/demo/changes"))["tally"]["paid"] == 2


async def test_the_answer_to_a_shop_items_question_may_bring_the_code(sandbox: Sandbox) -> None:
    await sandbox.meet(ANNA)
    keyboard = {"inline_keyboard": [[{"text": "Copy", "copy_text": {"text": CODE}}]]}
    await sandbox.bot("sendMessage", chat_id=ANNA, text="Your code", reply_markup=keyboard)
    paid = await sandbox.pay(kind="extra_purchase")

    await sandbox.post(f"/bmc/payments/{paid['transaction_id']}/answer", answer=CODE)

    [story] = (await sandbox.get("/demo/changes"))["tally"]["payments"]
    assert (story["reading"], len(story["event_ids"])) == ("code", 2)
