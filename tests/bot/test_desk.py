"""
The operator's desk: the commands and messages with which operators decide on payments, search them and list them.

A card is a message that shows one payment, with buttons to decide on it. If two operators decide on a payment at the same time,
only one decision takes effect. Users who are not operators have no access.
"""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.model import TelegramId
from coffee_ledger.store.claims import NotRaised, raise_claim
from coffee_ledger.store.database import Pool
from coffee_ledger.telegram.speech import speech
from tests.bot.desk import actions, answer, ask, card_of, changed, data_of, forge, shown
from tests.bot.fixtures import OPERATOR, RunBot
from tests.bot.outbox import Outbox, until_true
from tests.bot.people import Message, Person, buttons, labels, people
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

COMMANDS = [
    "/desk",
    "/unmatched",
    "/pending",
    "/claims",
    "/failed",
    "/guesses",
    "/outsiders",
    "/waiting",
    "/part 1",
    "/find 1",
    "/payment 1",
    "/stats",
    "/credit 101 +5 x",
    "/undo 1 x",
    "/replay 1",
    "/export 2026-11",
    "/doctor",
]
FORGED = (
    "dc|m|1|101|",
    "dc|s|1|0|",
    "dc|o|1|0|",
    "dq|o|1|0",
    "dp|u|0",
    "da|101|500",
    "du|1|1|1|0",
    "dq|m|1|1",
    "de|1|1",
    "dx|1",
    "dn",
    "dc|r|1|0|",
    "dd|1|",
    "dd|1|item",
    "dr|1|2|5",
    "dk|1|1h",
    "dt|u|0|1",
    "dw|dismiss|1",
    "dwc",
    "dc|b|1|101|",
    "ds|1|s",
    "dl|1",
    "dz|1",
)
OTHER = 901
MANY = range(OPERATOR, OPERATOR + 20)
"""
The ids of operators for tests with many cases. Each case has its own operator, because the bot limits the message rate
of each chat.
"""

CREDIT_PAID = (
    "INSERT INTO credits (telegram_id, kind, credits, charge_id) SELECT 101, 'payment', 500, charge_id FROM paid"
)
"""
The second part of an SQL statement. Its first part, the CTE `paid`, marks charges as matched. This part inserts a credit for
each of these charges, because the database refuses a matched charge without a credit.
"""


@pytest.fixture
async def other(sandbox: Sandbox) -> Person:
    return await Person(sandbox, OTHER).become(first_name="Petro", username="petro", language_code="uk")


async def download(sandbox: Sandbox, message: Message) -> str:
    answer = await sandbox.client.get(f"/telegram/files/{message['document']['file_id']}")
    return (await answer.read()).decode("utf-8")


async def claimed(anna: Person, operator: Person, ledger: Ledger, *, amount: str, name: str) -> Message:
    """Raise a claim for a payment made today. Return the card of the claim, which the operator gets as a message."""
    claimed = ClaimedPayment(datetime.now(UTC).date(), Decimal(amount), "USD", name)
    raised = await raise_claim(ledger.pool, TelegramId(anna.telegram_id), claimed, now=datetime.now(UTC))
    assert not isinstance(raised, NotRaised)
    return await operator.hear()


@pytest.mark.usefixtures("bot")
async def test_a_charge_arrives_as_a_card_with_its_note_and_its_candidates(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook
) -> None:
    codes = [await anna.ask_for_code("5"), await bohdan.ask_for_code("7")]

    card = await card_of(
        operator, webhook, support_note=f"<b>{codes[0]} {codes[1]}", amount=9, supporter_id=3, supporter_name="Ann"
    )

    assert "$9" in card["text"]
    assert "Ann" in card["text"]
    assert f"<b>{codes[0]} {codes[1]}" in card["text"]
    assert f"several codes – @anna ({ANNA})" in card["text"]
    assert {label.split(" · ")[0] for label in labels(card)[:2]} == {"@anna", str(BOHDAN)}


@pytest.mark.usefixtures("bot")
async def test_the_decisive_reason_is_visible_and_the_others_open_at_a_tap(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook
) -> None:
    for person in (anna, bohdan):
        await person.ask_for_code("7")

    card = await card_of(operator, webhook, support_note="thanks", amount=7)

    [hidden] = [one for one in card["entities"] if one["type"] == "expandable_blockquote"]
    seen, quoted = card["text"][: hidden["offset"]], card["text"][hidden["offset"] :][: hidden["length"]]
    assert "Why no rule decided:\n• Code: a code, but none of ours" in seen
    assert "• Subscription: not a subscription" in quoted


@pytest.mark.usefixtures("bot")
async def test_the_command_part_asks_for_the_part_that_was_refunded(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))

    assert "Add the payment of which a part was refunded" in await operator.ask("/part")
    assert "Add the payment of which a part was refunded" in await operator.ask("/part 99")
    asked = await answer(operator, await ask(operator, "/part 1"), "2")
    await operator.press(data_of(asked, "Yes"))

    await shown(operator, asked, "The balance is 300 credits")
    assert await ledger.balance() == 300


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("sign", ['"', "'", "&", "<"])
async def test_a_note_of_characters_that_html_escapes_is_shown_and_can_be_decided(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger, sign: str
) -> None:
    await anna.ask("/start")

    card = await card_of(operator, webhook, support_note=sign * 2000)
    await operator.press(data_of(card, "Find"))
    await operator.press(data_of(await answer(operator, await operator.hear(), "@anna"), "Yes"))

    assert sign * 300 in card["text"]
    await shown(operator, card, "Matched to @anna")
    assert await ledger.balance() == 500


@pytest.mark.usefixtures("bot")
async def test_a_candidate_is_credited_after_a_confirmation(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    codes = [await anna.ask_for_code("5"), await bohdan.ask_for_code("7")]
    card = await card_of(operator, webhook, support_note=" ".join(codes), amount=5)

    await operator.press(data_of(card, "$5"))
    asked = await shown(operator, card, "Credit this payment?")
    await operator.press(data_of(asked, "Yes"))

    assert "balance 0 → 500" in asked["text"]
    assert await ledger.balance() == 500
    assert await actions(ledger.pool) == [("match", OPERATOR, f"code {codes[0][:4]}-{codes[0][4:]}")]
    assert await ledger.status(codes[0]) == "completed"
    await shown(operator, card, "Matched to @anna (101): 500 credits")
    assert "is under review: an operator decides" in (await anna.hear())["text"]
    assert "+500 credits" in (await anna.hear())["text"]


async def test_a_user_is_found_by_name_even_if_the_bot_restarts_between_question_and_answer(
    run_bot: RunBot, anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    async with run_bot():
        await anna.ask("/start")
        card = await card_of(operator, webhook, support_note="hi")
        await operator.press(data_of(card, "Find"))
        question = await operator.hear()

    async with run_bot():
        asked = await answer(operator, question, "@Anna")
        await operator.press(data_of(asked, "Yes"))
        await shown(operator, card, "Matched to @anna")

    assert await ledger.balance() == 500


@pytest.mark.usefixtures("bot")
async def test_a_charge_is_dismissed_with_a_reason_and_shown_again_by_undo(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    card = await card_of(operator, webhook, support_note="a tip")

    await operator.press(data_of(card, "Other…"))
    said = await answer(operator, await operator.hear(), "  just   a tip ")

    assert "Dismissed: #1" in said["text"]
    await shown(operator, card, "“just a tip”")
    assert await actions(pool) == [("dismiss", OPERATOR, "just a tip")]
    asked = await ask(operator, "/undo 1 it was Anna’s")
    await operator.press(data_of(asked, "Yes"))
    assert labels(await shown(operator, asked, "Payment #1 waits for an operator again")) == ["#1 · $5"]
    await shown(operator, card, "A payment waits for you")


@pytest.mark.usefixtures("bot")
async def test_later_reminds_this_operator_once_unless_the_charge_is_decided(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    card = await card_of(operator, webhook)

    await operator.press(data_of(card, "Later"))
    offered = await changed(operator, card)
    for stale in (False, True):
        told = await operator.press(data_of(offered, "In 3 h"), stale=stale)
        assert "I will show it to you again" in told["text"]

    reminders = "SELECT count(*) FROM notifications WHERE status = 'pending' AND due_at > now() + interval '2 hours'"
    assert await pool.fetchval(reminders) == 1
    # The `created_at` of a reminder is its due time, so that the intended wait does not count as a delay of the message.
    assert await pool.fetchval("SELECT due_at - created_at FROM notifications WHERE status = 'pending'") == timedelta(0)
    await shown(operator, card, "Later: reminder at")
    await operator.press(data_of(card, "Other…"))
    await answer(operator, await operator.hear(), "a tip")
    assert "Later:" not in (await shown(operator, card, "Dismissed"))["text"]
    assert await pool.fetchval(reminders) == 0


async def test_if_two_operators_decide_at_once_one_succeeds_and_the_other_is_told_who(
    run_bot: RunBot, anna: Person, bohdan: Person, operator: Person, other: Person, webhook: Webhook, ledger: Ledger
) -> None:
    async with run_bot(ADMIN_IDS=f"{OPERATOR},{OTHER}"):
        codes = [await anna.ask_for_code("5"), await bohdan.ask_for_code("7")]
        await other.ask("/start")
        card = await card_of(operator, webhook, support_note=" ".join(codes))
        theirs = await other.hear()
        asked = []
        for person, message in ((operator, card), (other, theirs)):
            await person.press(data_of(message, codes[0][:4]))
            asked.append(await changed(person, message))
        level = asyncio.Barrier(2)

        async def race(person: Person, message: Message) -> dict[str, Any]:
            await level.wait()
            return await person.press(buttons(message)[0]["callback_data"])

        answers = await asyncio.gather(race(operator, asked[0]), race(other, asked[1]))

    assert await ledger.credits() == [500]
    assert sorted(one["show_alert"] for one in answers) == [False, True]
    loser = next(one for one in answers if one["show_alert"])
    [(_, winner, _)] = await actions(ledger.pool)
    assert str(winner) in loser["text"]
    await shown(operator, card, "Matched to @anna")
    await shown(other, theirs, "Зараховано користувачеві @anna")


async def test_if_two_operators_undo_at_once_one_succeeds_and_the_other_is_told_who(
    run_bot: RunBot, anna: Person, operator: Person, other: Person, webhook: Webhook, ledger: Ledger
) -> None:
    async with run_bot(ADMIN_IDS=f"{OPERATOR},{OTHER}"):
        await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))
        await other.ask("/start")
        asked = [await ask(person, "/undo 1 not hers") for person in (operator, other)]

        answers = await asyncio.gather(
            *(
                person.press(buttons(message)[0]["callback_data"])
                for person, message in zip((operator, other), asked, strict=True)
            )
        )

    [(_, winner, _)] = await actions(ledger.pool)
    [loser] = [one for one in answers if one["show_alert"]]
    assert str(winner) in loser["text"]
    assert await ledger.credits() == [500, -500]


async def test_if_two_operators_dismiss_at_once_one_succeeds_and_the_other_is_told_who(
    run_bot: RunBot, operator: Person, other: Person, webhook: Webhook, pool: Pool
) -> None:
    async with run_bot(ADMIN_IDS=f"{OPERATOR},{OTHER}"):
        await other.ask("/start")
        card = await card_of(operator, webhook)
        theirs = await other.hear()
        await operator.press(data_of(card, "Other…"))
        await other.press(data_of(theirs, "Інше…"))
        questions = await operator.hear(), await other.hear()

        said = await asyncio.gather(answer(operator, questions[0], "a tip"), answer(other, questions[1], "подяка"))

        [(_, winner, reason)] = await actions(pool)
        second = 1 if winner == OPERATOR else 0
        assert str(winner) in said[second]["text"]
        assert reason in (await (operator, other)[second].hear())["text"]
        for person, message in ((operator, card), (other, theirs)):
            await shown(person, message, reason)


async def test_two_operators_who_credit_at_once_both_credit_and_each_of_them_once(
    run_bot: RunBot, anna: Person, operator: Person, other: Person, ledger: Ledger
) -> None:
    """
    Given two operators who send the same /credit command and each confirm it twice, then each command credits the user once.

    The bot accepts both commands, because both may be intended. Each operator sees the new balance, and so notices an unwanted
    duplicate.
    """
    async with run_bot(ADMIN_IDS=f"{OPERATOR},{OTHER}"):
        for person in (anna, other):
            await person.ask("/start")
        asked = [await ask(person, "/credit @anna +50 a gift") for person in (operator, other)]
        presses = [
            (person, buttons(message)[0]["callback_data"])
            for person, message in zip((operator, other), asked, strict=True)
        ]

        await asyncio.gather(*(person.press(data) for person, data in [*presses, *presses]))

    assert await ledger.credits() == [50, 50]
    assert sorted(who for _, who, _ in await actions(ledger.pool)) == [OPERATOR, OTHER]


async def undo_twice(operator: Person, command: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """
    Send the command twice, and press "Yes" below both questions of the bot.

    Return the second question, and the bot's answer to the second press.
    """
    first, second = await ask(operator, command), await ask(operator, command)
    await operator.press(data_of(first, "Yes"), message_id=first["message_id"])
    return second, await operator.press(data_of(second, "Yes"), message_id=second["message_id"])


@pytest.mark.usefixtures("bot")
async def test_an_entry_that_was_reversed_meanwhile_is_not_reversed_again(
    anna: Person, operator: Person, ledger: Ledger
) -> None:
    await anna.ask("/start")
    given = await ask(operator, "/credit @anna +50 a gift")
    await operator.press(data_of(given, "Yes"))
    await shown(operator, given, "+50")

    second, late = await undo_twice(operator, "/undo c1 no gift")

    assert "It was taken back before" in late["text"]
    left = await shown(operator, second, "It was taken back before")
    assert "c1: +50" in left["text"]
    assert labels(left) == []
    assert await ledger.credits() == [50, -50]


@pytest.mark.usefixtures("bot")
async def test_a_match_that_was_undone_meanwhile_is_shown_in_its_new_state_without_the_old_button(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))

    second, late = await undo_twice(operator, "/undo 1 not hers")

    assert "900 was first" in late["text"]
    left = await shown(operator, second, "A payment waits for you")
    assert [label for label in labels(left) if "Yes" in label] == []
    assert await ledger.credits() == [500, -500]


@pytest.mark.usefixtures("bot")
async def test_a_second_click_keeps_the_message_of_the_first(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))
    asked = await ask(operator, "/undo 1 not hers")

    answers = await asyncio.gather(*(operator.press(data_of(asked, "Yes")) for _ in range(2)))
    await shown(operator, asked, "Taken back")
    await operator.ask("/unmatched")

    assert sorted(one["show_alert"] for one in answers) == [False, True]
    assert "Payment #1 waits for an operator again" in (await shown(operator, asked, ""))["text"]
    assert await ledger.credits() == [500, -500]


@pytest.mark.usefixtures("bot")
async def test_a_currency_without_a_rate_cannot_be_credited_and_the_setting_is_named(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await anna.ask("/start")
    card = await card_of(operator, webhook, currency="JPY")
    await operator.press(data_of(card, "Find"))

    refused = await answer(operator, await operator.hear(), "@anna")

    assert "CREDITS_PER_UNIT" in refused["text"]
    assert await ledger.credits() == []


@pytest.mark.usefixtures("bot")
async def test_a_charge_that_was_decided_meanwhile_disappears_from_a_claims_card(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await anna.ask("/start")
    await card_of(operator, webhook, supporter_id=5, supporter_name="Anna K", amount=7)
    card = await claimed(anna, operator, ledger, amount="5", name="Anna")
    await ledger.pool.execute("UPDATE charges SET state = 'dismissed'")

    gone = await operator.press(data_of(card, "#1 for"))

    assert "no longer waits" in gone["text"]
    await shown(operator, card, "No waiting payment is similar")


@pytest.mark.usefixtures("bot")
async def test_a_question_without_its_reason_moves_no_credits(
    sandbox: Sandbox, anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    """
    Before the bot changes a balance for /credit or /undo, it asks the operator for confirmation. The question quotes the
    operator's reason for the change. When the operator confirms, the bot reads the reason from the question. If the question is
    very old, Telegram omits its text. The bot then does not know the reason, so it must change nothing.
    """
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))
    await operator.ask("/start")
    presses = ["da|101|500", "du|1|1|1|0"]
    await forge(sandbox, operator, presses)

    for press in presses:
        refused = await operator.press(press)

        assert "Telegram no longer has this message" in refused["text"], press
        assert await ledger.credits() == [500], press


@pytest.mark.usefixtures("bot")
async def test_a_late_press_on_a_decided_card_shows_how_it_was_decided(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    codes = [await anna.ask_for_code("5"), await bohdan.ask_for_code("7")]
    card = await card_of(operator, webhook, support_note=" ".join(codes))
    await operator.press(data_of(card, "$5"))
    asked = await shown(operator, card, "Credit this payment?")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, card, "Matched to")

    late = await operator.press(data_of(card, "$7"), stale=True)

    assert late["show_alert"]
    assert "was first" in late["text"]
    assert await ledger.credits() == [500]


@pytest.mark.usefixtures("bot")
async def test_other_users_get_the_answer_to_an_unknown_command(sandbox: Sandbox) -> None:
    users = await people(sandbox, range(1000, 1000 + len(COMMANDS)))
    for user, command in zip(users, COMMANDS, strict=True):
        await user.ask("/start")

        assert await user.ask(command) == await user.ask("/nosuchthing"), command


@pytest.mark.usefixtures("bot")
async def test_forged_presses_of_other_users_are_answered_as_old_buttons(
    sandbox: Sandbox, anna: Person, operator: Person, webhook: Webhook, ledger: Ledger, pool: Pool
) -> None:
    await anna.ask("/start")
    await card_of(operator, webhook)

    await forge(sandbox, anna, FORGED)
    answers = [(await anna.press(data))["text"] for data in FORGED]

    assert answers == [speech("en").label("button-old")] * len(FORGED)

    assert await ledger.credits() == []
    assert await actions(pool) == []


@pytest.mark.usefixtures("bot")
async def test_lists_have_pages_and_tolerate_decisions_made_meanwhile(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await operator.ask("/start")
    assert "No payment waits" in await operator.ask("/unmatched")
    await webhook.settle(*(a_payment(amount=amount) for amount in range(20, 28)))
    # Skip the summary of the waiting payments, which the bot sends to the operator.
    await operator.hear()

    first = await ask(operator, "/unmatched")
    await operator.press(data_of(first, "More"))
    second = await shown(operator, first, "page 2 of 2")

    assert "8 payments wait" in first["text"]
    assert "$20" in first["text"]
    assert "$27" in second["text"]
    assert "$20" not in second["text"]
    await pool.execute("UPDATE charges SET state = 'dismissed' WHERE amount > 24")
    await operator.press(data_of(first, "More"), stale=True)
    await shown(operator, first, "page 1 of 1")


@pytest.mark.usefixtures("bot")
async def test_open_pending_payments_are_listed(anna: Person, operator: Person) -> None:
    assert "There are no open payments" in await operator.ask("/pending")
    code = await anna.ask_for_code("5")

    listed = await operator.ask("/pending")

    assert f"{code[:4]}-{code[4:]} · $5 · @anna (101)" in listed


@pytest.mark.usefixtures("bot")
async def test_open_claims_are_listed_and_opened(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    assert "There are no open claims" in await operator.ask("/claims")
    await anna.ask("/start")
    await card_of(operator, webhook, supporter_id=5, supporter_name="Anna K")
    await claimed(anna, operator, ledger, amount="5", name="anna")

    listed = await ask(operator, "/claims")
    await operator.press(data_of(listed, "Open claim #1"))

    assert "1 claim is open" in listed["text"]
    assert "$5" in listed["text"]
    assert "@anna (101)" in listed["text"]
    assert "Anna K" in (await operator.hear())["text"]


@pytest.mark.usefixtures("bot")
async def test_opening_a_charge_from_a_list_keeps_the_list(operator: Person, webhook: Webhook) -> None:
    await card_of(operator, webhook)
    listed = await ask(operator, "/unmatched")

    await operator.press(data_of(listed, "#1 · $5"))

    assert "A payment waits for you" in (await operator.hear())["text"]
    assert "1 payment waits" in (await shown(operator, listed, "page 1 of 1"))["text"]


@pytest.mark.usefixtures("bot")
async def test_an_unreadable_event_is_settled_again_after_a_confirmation(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    assert "Every event was settled" in await operator.ask("/failed")
    await webhook.post(b"{not JSON")
    told = (await operator.hear())["text"]

    listed = await ask(operator, "/failed")
    await operator.press(data_of(listed, "Settle #1 again"))
    asked = await shown(operator, listed, "Settle event #1 again?")
    answer = await operator.press(data_of(asked, "Yes"))
    again = await operator.press("de|1|1", stale=True)

    assert "/failed lists" in told
    assert "1 event changed nothing" in listed["text"]
    assert "could not be read" in listed["text"]
    assert "being settled" in answer["text"]
    assert "900 was first" in again["text"]
    await shown(operator, listed, "is being settled")
    assert await actions(pool) == [("retry", 900, "event 1")]
    assert await pool.fetchval("SELECT count(*) FROM events WHERE retry_requested_at IS NOT NULL") == 1


@pytest.mark.usefixtures("bot")
async def test_an_unreadable_event_can_be_dismissed_with_a_reason(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await operator.ask("/start")
    await webhook.post(b"{not JSON")
    await operator.hear()
    assert "1 event of the last 7 days" in await operator.ask("/doctor")
    listed = await ask(operator, "/failed")

    questions = []
    for _ in range(2):
        await operator.press(data_of(listed, "Dismiss #1"), message_id=listed["message_id"])
        questions.append(await operator.hear())
    said = await answer(operator, questions[0], "credited by hand")
    second = await answer(operator, questions[1], "too late")
    await operator.press(data_of(listed, "Settle #1 again"), message_id=listed["message_id"])
    asked = await shown(operator, listed, "Settle event #1 again?")
    late = await operator.press(data_of(asked, "Yes"), message_id=listed["message_id"])

    assert "Event #1 is dismissed" in said["text"]
    assert second["text"] == "900 was first: this event is decided. /failed shows the rest."
    assert "900 was first" in late["text"]
    assert await actions(pool) == [("dismiss_event", OPERATOR, "credited by hand")]
    assert "Every event was settled or dismissed" in await operator.ask("/failed")
    assert "could not be settled or read" not in await operator.ask("/doctor")


@pytest.mark.usefixtures("bot")
async def test_the_doctor_ignores_events_whose_body_was_erased(operator: Person, webhook: Webhook, pool: Pool) -> None:
    """
    The command /doctor checks the events of the last seven days. If `RETENTION_DAYS` is less than seven, the bodies of some of
    these events were erased on purpose. The command must not report an event whose body was erased.
    """
    await operator.ask("/start")
    await webhook.post(b"{not JSON")
    await operator.hear()

    await pool.execute("UPDATE events SET body = NULL, blanked_at = now()")

    assert "Every event was settled" in await operator.ask("/failed")
    assert "could not be settled or read" not in await operator.ask("/doctor")


async def test_a_payment_is_found_by_code_user_transaction_or_supporter(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, webhook: Webhook
) -> None:
    by_user, by_charge, by_supporter = await people(sandbox, MANY[:3])
    async with run_bot(ADMIN_IDS=",".join(map(str, MANY))):
        code = await anna.ask_for_code("5")
        await webhook.settle(
            a_payment(
                support_note=code,
                transaction_id="pi_77",
                supporter_id=5,
                supporter_name="Ганна К.",
                supporter_email="Anna@Example.org",
            )
        )
        await anna.hear()

        for said in (code.lower(), "@ANNA", "101"):
            found = await by_user.ask(f"/find {said}")
            assert "@anna (101): 500 credits" in found
            assert "#1 · $5" in found
            assert "A***@Example.org" in found
        for said in ("pi_77", "ганна  К.", "ГАНН"):
            assert "A***@Example.org" in await by_charge.ask(f"/find {said}")
        assert "Anna@Example.org" in await by_supporter.ask("/find anna@example.org")
        assert "Nothing found" in await by_supporter.ask("/find nobody@example.org")
        assert "/find @anna" in await by_supporter.ask("/find")


@pytest.mark.usefixtures("bot")
async def test_a_pending_payment_shows_its_whole_history(anna: Person, operator: Person, webhook: Webhook) -> None:
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note=code))
    await anna.hear()

    life = await operator.ask(f"/payment {code}")

    for part in ("opened", "paid", "charge #1, $5", "by: Code", "+500 (payment) to 101", "told: credited"):
        assert part in life
    assert "No payment has this code" in await operator.ask("/payment K7QM-2XHD")


@pytest.mark.usefixtures("bot")
async def test_the_history_of_a_code_paid_forty_times_fits_into_a_message(
    anna: Person, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note=code))
    await pool.execute(
        "WITH paid AS (INSERT INTO charges"
        " (charge_key, family, amount, currency, paid_at, state, method, payment_id, telegram_id, is_paid, matched_at, flag)"
        " SELECT 'donation:pi_again' || number, 'donation', 5, 'USD', now(), 'matched', 'code', $1, 101, true, now(),"
        f" 'second_charge' FROM generate_series(2, 40) AS series (number) RETURNING charge_id) {CREDIT_PAID}",
        code,
    )

    life = await ask(operator, f"/payment {code}")

    assert "charge #1, $5" in life["text"]
    assert "more" in life["text"].splitlines()[-1]
    assert labels(life)[-1] == "#40 · $5"


@pytest.mark.usefixtures("bot")
async def test_a_notification_about_a_charge_has_a_button_that_opens_it(
    anna: Person, operator: Person, webhook: Webhook
) -> None:
    code = await anna.ask_for_code("5")
    await operator.ask("/start")
    await webhook.settle(a_payment(support_note=code), a_payment(support_note=code))

    told = await operator.hear()
    await operator.press(data_of(told, "#2 · $5"))

    assert "A code was paid twice" in told["text"]
    assert "Matched to @anna (101): 500 credits" in (await operator.hear())["text"]


@pytest.mark.usefixtures("bot")
async def test_a_refunded_charge_shows_how_many_of_its_credits_are_left(
    anna: Person, operator: Person, webhook: Webhook
) -> None:
    payment = a_payment(support_note=await anna.ask_for_code("5"))
    await operator.ask("/start")
    await webhook.settle(payment)
    await webhook.settle(a_refund_of(payment))
    assert "A payment was refunded" in (await operator.hear())["text"]

    found = await ask(operator, "/find 1")
    await operator.press(data_of(found, "#1 · $5"))

    assert "It was matched to @anna (101); 0 credits left." in (await operator.hear())["text"]


@pytest.mark.usefixtures("bot")
async def test_the_payment_command_asks_for_a_missing_code(operator: Person) -> None:
    assert "Which code?" in await operator.ask("/payment")


@pytest.mark.usefixtures("bot")
async def test_credits_are_given_once_with_a_reason_and_can_be_reversed(
    anna: Person, operator: Person, ledger: Ledger, pool: Pool
) -> None:
    await anna.ask("/start")

    asked = await ask(operator, "/credit @anna +50 for <the> translation")
    assert "Balance 0 → 50" in asked["text"]
    yes = data_of(asked, "Yes")
    await operator.press(yes)
    await shown(operator, asked, "@anna (101): +50")
    await operator.press(yes, stale=True)

    assert await ledger.credits() == [50]
    assert "added 50 credits" in (await anna.hear())["text"]
    assert await actions(pool) == [("credit", OPERATOR, "for <the> translation")]
    assert "Entry c1" in labels(await ask(operator, "/undo @anna"))[0]
    for said in ("/undo c1 why", "/undo С1 why"):
        assert "c1: +50" in await operator.ask(said)
    choice = await ask(operator, "/undo @anna")
    await operator.press(data_of(choice, "Entry c1"))
    undo = await answer(operator, await operator.hear(), "it was Bohdan")
    await operator.press(data_of(undo, "Yes"))
    await shown(operator, undo, "Taken back: @anna (101), −50")
    assert await ledger.balance() == 0


IMPOSSIBLE = [
    ("/credit", "Add the user, the credits and the reason"),
    ("/credit @anna 50", "Add the user, the credits and the reason"),
    ("/credit @anna +0 for nothing", "Add the user, the credits and the reason"),
    ("/credit @anna +1 000 gift", "write the number without spaces: +1000"),
    ("/credit @anna +1  000 gift", "write the number without spaces: +1000"),
    ("/credit @nobody_here +5 for nothing", "No user has that name"),
    ("/undo", "Add what to take back"),
    ("/undo c999 why", "nothing to take back"),
    ("/undo 999 why", "There is no such payment or entry"),
    ("/undo №999 why", "There is no such payment or entry"),
    ("/export", "For which period?"),
    ("/export 2026-13", "For which period?"),
    ("/replay", "What should be replayed?"),
    ("/replay 999", "no event from that time"),
]


async def test_an_impossible_command_is_explained(run_bot: RunBot, sandbox: Sandbox, anna: Person) -> None:
    operators = await people(sandbox, MANY[: len(IMPOSSIBLE)])
    async with run_bot(ADMIN_IDS=",".join(map(str, MANY))):
        await anna.ask("/start")
        for operator, (said, refusal) in zip(operators, IMPOSSIBLE, strict=True):
            assert refusal in await operator.ask(said), said


@pytest.mark.usefixtures("bot")
async def test_every_dash_that_keyboards_produce_counts_as_a_minus(anna: Person, operator: Person) -> None:
    await anna.ask("/start")

    for minus in ("-", "\u2212", "\u2013", "\u2014"):
        said = await operator.ask(f"/credit @anna {minus}1000 5 bad pages")
        assert "Take 1,000 credits from @anna" in said, ascii(minus)


@pytest.mark.usefixtures("bot")
async def test_a_charge_number_may_have_a_number_sign(anna: Person, operator: Person, webhook: Webhook) -> None:
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))
    await anna.hear()

    for said in ("1", "#1", "№1", "№ 1"):
        assert "#1 · $5" in await operator.ask(f"/find {said}")
        assert "as then, Code" in await operator.ask(f"/replay {said}")
        assert "Take this back?" in await operator.ask(f"/undo {said} not hers")


@pytest.mark.usefixtures("bot")
async def test_a_late_press_names_the_rule_that_decided_after_an_undo(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    card = await card_of(operator, webhook)
    await operator.press(data_of(card, "Other…"))
    await answer(operator, await operator.hear(), "a tip")
    asked = await ask(operator, "/undo 1 no tip")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, card, "A payment waits for you")
    await pool.execute("INSERT INTO users (telegram_id) VALUES (101) ON CONFLICT DO NOTHING")
    await pool.execute(
        "WITH paid AS (UPDATE charges SET state = 'matched', telegram_id = 101, method = 'code', matched_at = now()"
        f" RETURNING charge_id) {CREDIT_PAID}"
    )

    late = await operator.press(data_of(card, "Find"))

    assert "by a rule" in late["text"]


@pytest.mark.usefixtures("bot")
async def test_a_wrong_match_is_undone_and_the_charge_waits_again(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))
    await anna.hear()

    asked = await ask(operator, "/undo 1 somebody else’s code")
    await operator.press(data_of(asked, "Yes"))

    assert "500 credits; balance" in asked["text"] or "balance 500 → 0" in asked["text"]
    undone = await shown(operator, asked, "Taken back: @anna (101), −500")
    assert "Payment #1 waits for an operator again: /unmatched" in undone["text"]
    assert labels(undone) == ["#1 · $5"]
    assert await ledger.balance() == 0
    assert "#1 · $5" in await operator.ask("/unmatched")


@pytest.mark.usefixtures("bot")
async def test_the_history_of_a_payment_keeps_a_charge_whose_match_was_undone(
    anna: Person, operator: Person, webhook: Webhook
) -> None:
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note=code))
    asked = await ask(operator, "/undo 1 not hers")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, asked, "Taken back")

    life = await operator.ask(f"/payment {code}")

    for part in ("charge #1, $5", "+500 (payment) to 101", "−500 (taken back) to 101", "took the decision back"):
        assert part in life


@pytest.mark.usefixtures("bot")
async def test_statistics_come_with_a_chart(anna: Person, operator: Person, webhook: Webhook, sandbox: Sandbox) -> None:
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))
    await card_of(operator, webhook, amount=7, currency="EUR")

    told = await ask(operator, "/stats")

    for part in ("Today: 2 payments", "€7, $5", "Credits booked: +500", "Code 1", "Waiting: 1 (50 %)"):
        assert part in told["caption"]
    assert told["photo"]["file_size"] > 5000


@pytest.mark.usefixtures("bot")
async def test_an_export_is_safe_to_open_in_a_spreadsheet(
    anna: Person, operator: Person, webhook: Webhook, sandbox: Sandbox
) -> None:
    await anna.ask("/start")
    await card_of(operator, webhook, supporter_id=5, supporter_name='=HYPERLINK("http://evil")', transaction_id="-1+2")
    asked = await ask(operator, "/credit @anna -5 =1+1")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, asked, "−5")

    month = datetime.now(UTC).strftime("%Y-%m")
    charges, credits, decisions = await ask(operator, f"/export {month}"), await operator.hear(), await operator.hear()

    sheet = await download(sandbox, charges)
    assert sheet.startswith("\ufeffcharge_id,")
    assert "\"'=HYPERLINK(" in sheet
    assert ",'-1+2," in sheet
    entries = await download(sandbox, credits)
    assert ",adjustment,-5," in entries
    assert ",'=1+1" in entries
    assert ",900,,credit,,1,,,101,'=1+1" in await download(sandbox, decisions)


@pytest.mark.usefixtures("bot")
async def test_the_doctor_says_what_to_do(operator: Person, webhook: Webhook, pool: Pool) -> None:
    await operator.ask("/start")
    ill = await operator.ask("/doctor")
    await webhook.settle(a_payment(live_mode=False))
    await operator.hear()
    await Outbox(pool).become("sent")
    well = await operator.ask("/doctor")

    assert "🔴 Buy Me a Coffee has never reached us" in ill
    assert "https://pay.example/bmc-webhook" in ill
    assert "✅ Last event" in well
    assert "secret no. 2" in well
    assert "✅ Balances agree" in well
    assert "✅ Every message is delivered" in well
    assert "🔴" not in well


async def steps_of(operator: Person) -> tuple[str, list[str]]:
    """Send /doctor. Return the heading of the answer, and its lines about the six steps of the installation."""
    heading, _, *lines = (await operator.ask("/doctor")).split("\n")
    return heading, lines[:6]


async def test_after_the_installation_the_doctor_lists_the_steps_until_all_are_done(
    run_bot: RunBot, sandbox: Sandbox, webhook: Webhook, pool: Pool
) -> None:
    """
    The installation has six steps, and /doctor shows one line for each. The test does the steps in the order of the lines.

    The last step changes a setting, so it needs a restart of the bot.
    """
    operator, colleague = await people(sandbox, (OPERATOR, OPERATOR + 1))
    admins = f"{OPERATOR},{OPERATOR + 1}"
    seen: list[tuple[str, str]] = []

    async def note() -> None:
        heading, lines = await steps_of(operator)
        seen.append((heading, "".join(line[0] for line in lines)))

    async with run_bot(ADMIN_IDS=admins):
        await operator.ask("/start")
        await note()
        await pool.execute(
            "INSERT INTO signature_failures VALUES (date_trunc('minute', now()) - interval '5 minutes', 1)"
        )
        await note()
        await webhook.settle(a_payment(live_mode=False))
        await operator.hear()
        await note()
    await pool.execute("DELETE FROM signature_failures")
    await pool.execute("INSERT INTO backups (size_bytes) VALUES (1)")
    async with run_bot(ADMIN_IDS=admins):
        await colleague.ask("/start")
        await note()
        await sandbox.post("/telegram/botfather", main_web_app=True)
        await note()
    async with run_bot(ADMIN_IDS=admins, ALERTS="on"):
        await note()

    assert seen == [
        ("First steps: 0 of 6 done", "🔴🟡🟡🟡🟡🟡"),
        ("First steps: 0 of 6 done", "🔴🔴🟡🟡🟡🟡"),
        ("First steps: 2 of 6 done", "✅🟡🟡🟡🟡🟡"),
        ("First steps: 4 of 6 done", "✅✅✅✅🟡🟡"),
        ("First steps: 5 of 6 done", "✅✅✅✅✅🟡"),
        ("The state of the system", "✅✅✅✅✅✅"),
    ]


@pytest.mark.parametrize(
    ("settings", "links"),
    [
        ({}, []),
        (
            {"ALERTS_RUNBOOK_URL": "https://example.org/docs/runbook.md"},
            ["https://example.org/docs/runbook.md#backupmissing", "https://example.org/docs/deploy.md#alerts"],
        ),
        ({"ALERTS_RUNBOOK_URL": "https://example.org/help"}, ["https://example.org/help#backupmissing"]),
    ],
)
async def test_each_step_that_is_not_done_names_its_next_step(
    run_bot: RunBot, sandbox: Sandbox, settings: dict[str, str], links: list[str]
) -> None:
    [operator] = await people(sandbox, (OPERATOR,))
    async with run_bot(ADMIN_IDS=f"{OPERATOR},{OPERATOR + 1}", **settings):
        await operator.ask("/start")
        await operator.say("/doctor")
        message = await operator.hear()

    webhook, secret, backup, operators, app, alerts = message["text"].split("\n")[2:8]
    # Check only the links in the lines of the steps. The report below these lines contains links, too.
    steps_end = len("\n".join(message["text"].split("\n")[:8]).encode("utf-16-le")) // 2
    linked = [one for one in message["entities"] if one["type"] == "text_link" and one["offset"] < steps_end]
    named = [one["url"] for one in linked]
    assert named == links
    assert "Press “Send test” on https://studio.buymeacoffee.com/webhooks" in webhook
    assert "Press “Send test” on https://studio.buymeacoffee.com/webhooks" in secret
    assert "db/backup.sh FOLDER" in backup
    assert "docs/runbook.md, “BackupMissing”" in backup
    assert operators.endswith("901. They should press Start in this chat: https://t.me/coffee_ledger_sandbox_bot")
    assert "@BotFather" in app
    assert app.endswith("https://pay.example/app/")
    assert "ALERTS_BOT_TOKEN and ALERTS_CHAT_ID" in alerts
    assert "docs/deploy.md, “Alerts”" in alerts


@pytest.mark.usefixtures("bot")
async def test_the_doctor_checks_the_menu_button_and_admits_that_it_does_not_know(
    operator: Person, sandbox: Sandbox
) -> None:
    await operator.ask("/start")
    await sandbox.bot("setChatMenuButton", menu_button={"type": "commands"})
    _, changed_button = await steps_of(operator)
    await sandbox.post("/telegram/misbehave", method="getMe", kind="unauthorized")

    _, unknown = await steps_of(operator)

    assert changed_button[4].startswith("🟡 The button beside the message field does not open the Mini App.")
    assert unknown[4].startswith("🟡 Telegram did not say whether the Mini App is set up.")


@pytest.mark.usefixtures("bot")
async def test_a_streak_of_refused_deliveries_ends_after_six_quiet_hours(operator: Person, pool: Pool) -> None:
    """
    A streak of refused deliveries ends six hours after the last refusal.

    /doctor reports a streak of nine refusals 5 hours and 59 minutes after the last refusal. Two minutes later, it does not.
    """
    await operator.ask("/start")
    said = []
    for minutes in (6 * 60 - 1, 6 * 60 + 1):
        await pool.execute(
            "UPDATE webhook_answers SET refused = 9, refused_at = now() - make_interval(mins => $1)", minutes
        )
        said.append("were refused in a row" in await operator.ask("/doctor"))

    assert said == [True, False]


@pytest.mark.usefixtures("bot")
async def test_the_doctor_measures_a_delayed_message_from_its_creation(operator: Person, pool: Pool) -> None:
    await operator.ask("/start")
    await pool.execute(
        "INSERT INTO notifications (telegram_id, kind, created_at, due_at, attempts)"
        " VALUES (101, 'test_event', now() - interval '3 hours', now() + interval '1 hour', 7)"
    )

    assert "🔴 1 message is due, the oldest since 3 h" in await operator.ask("/doctor")


ILLS = {
    "INSERT INTO events (delivery_key, body, outcome, verified_by) VALUES ('2', '', 'test', 1)": (
        "🟡 Signed with several secrets in 7 days: no. 1, 2. Once the old one is unused"
    ),
    "UPDATE events SET verified_by = NULL": "🟡 The events of the last 7 days do not show which secret",
    "UPDATE events SET received_at = now() - interval '9 days'": "🟡 Last event 9 d ago. If anyone has paid since",
    "INSERT INTO signature_failures VALUES (now() - interval '3 hours', 1)": (
        "🔴 1 request in 24 hours fits no secret, the last 3 h ago. Was the secret changed"
    ),
    "UPDATE webhook_answers SET refused = 9, refused_at = now() - interval '5 hours'": (
        "🔴 9 deliveries were refused in a row, the last 5 h ago"
    ),
    "INSERT INTO notifications (telegram_id, kind, attempts, due_at) VALUES (404, 'test_event', 1, now() + interval '1 hour')": (
        "✅ 1 message on its way"
    ),
    "INSERT INTO notifications (telegram_id, kind, status) VALUES (404, 'test_event', 'dead')": (
        "🟡 1 message was given up. What to do: docs/runbook.md"
    ),
    "UPDATE events SET received_at = now(), verified_by = 1": "🟡 1 request in 24 hours fits no secret, the last 3 h ago. A newer",
    "SELECT 'one operator has not pressed Start'": "🟡 These operators cannot be reached: 906. They should press Start",
    "SELECT 'no backup was taken'": "🟡 There is no backup. Run db/backup.sh FOLDER",
    "INSERT INTO backups (size_bytes, taken_at) VALUES (1, now() - interval '27 hours')": "🟡 The last backup is 27 h old",
    "INSERT INTO backups (size_bytes) VALUES (1)": "✅ Last backup",
}


async def test_the_doctor_reports_each_problem_with_its_remedy(
    run_bot: RunBot, sandbox: Sandbox, webhook: Webhook, pool: Pool
) -> None:
    """
    Six operators send /doctor in turn. A test with a single operator would be slow, because the bot limits the message rate of
    each chat.
    """
    *present, absent = await people(sandbox, MANY[:7])
    async with run_bot(ADMIN_IDS=",".join(str(one.telegram_id) for one in (*present, absent))):
        for operator in present:
            await operator.ask("/start")
        await webhook.settle(a_payment(live_mode=False))
        for operator in present:
            await operator.hear()
        # The webhook stores its answers later. If it stored this one after the statement that sets `refused`, it would reset it.
        await until_true(pool, "SELECT accepted_at > '-infinity' FROM webhook_answers")
        for operator, (ill, words) in zip(itertools.cycle(present), ILLS.items(), strict=False):
            await pool.execute(ill)
            assert words in await operator.ask("/doctor"), ill


@pytest.mark.usefixtures("bot")
async def test_the_doctor_notices_a_missing_balance(anna: Person, operator: Person, pool: Pool) -> None:
    await anna.ask("/start")
    asked = await ask(operator, "/credit @anna +50 a gift")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, asked, "+50")
    await pool.execute("ALTER TABLE balances DISABLE TRIGGER balance_follows_from_the_ledger; DELETE FROM balances")

    assert "🔴 Balances differ from the ledger, by 50 in all" in await operator.ask("/doctor")


@pytest.mark.usefixtures("bot")
async def test_a_dry_run_shows_todays_decisions_and_changes_nothing(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook, ledger: Ledger, pool: Pool
) -> None:
    code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note=code))
    await card_of(operator, webhook, amount=7)

    same = await operator.ask("/replay 1")
    asked = await ask(operator, "/undo 1 not hers")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, asked, "Taken back")
    differing = await operator.ask(datetime.now(UTC).strftime("/replay %Y-%m-%d"))

    assert "1 payment, 0 decided otherwise" in same
    assert "as then, Code → 101" in same
    assert "2 payments, 1 decided otherwise" in differing
    assert "then waiting for an operator; now Code → 101" in differing
    assert await ledger.credits() == [500, -500]
    assert await pool.fetchval("SELECT state FROM charges WHERE charge_id = 1") == "unmatched"


@pytest.mark.usefixtures("bot")
async def test_a_dry_run_considers_the_charges_that_waited_then_and_not_those_that_wait_now(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook
) -> None:
    """
    A payment is not matched by its amount while another payment of the same amount waits for an operator. A dry run decides on
    a past payment again, and must consider the payments that waited at the time of the first decision.

    Given two payments of $5, the second is not matched, because the first waits. When both are dismissed and a dry run decides on
    the second again, then the first still counts as waiting.
    """
    first = await card_of(operator, webhook, amount=5)
    await anna.ask_for_code("5")
    await webhook.settle(a_payment(amount=5))
    second = await operator.hear()
    assert "another payment of this amount waits as well" in second["text"]

    for card in (first, second):
        await operator.press(data_of(card, "Other…"))
        await answer(operator, await operator.hear(), "a tip")

    assert "as then, dismissed" in await operator.ask("/replay 2")


@pytest.mark.usefixtures("bot")
async def test_a_card_lists_all_decisions_about_its_charge(anna: Person, operator: Person, webhook: Webhook) -> None:
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))
    asked = await ask(operator, "/undo 1 not hers")
    await operator.press(data_of(asked, "Yes"))
    undone = await shown(operator, asked, "waits for an operator again")

    await operator.press(data_of(undone, "#1"), message_id=undone["message_id"])
    waiting = await operator.hear()
    await operator.press(data_of(waiting, "Other…"), message_id=waiting["message_id"])
    await answer(operator, await operator.hear(), "a tip")
    await operator.press(data_of(undone, "#1"), message_id=undone["message_id"])
    decided = await operator.hear()

    assert "took the decision back. “not hers”" in waiting["text"]
    assert "took the decision back. “not hers”" in decided["text"]
    assert "dismissed it. “a tip”" in decided["text"]


@pytest.mark.usefixtures("bot")
async def test_an_exactly_fitting_claim_is_confirmed_by_one_tap(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await anna.ask("/start")
    await card_of(operator, webhook, supporter_id=5, supporter_name="Anna K")
    card = await claimed(anna, operator, ledger, amount="5", name="anna k.")

    assert "@anna (101) says: $5" in card["text"]
    assert "✓ sum, ✓ day, ✓ name" in card["text"]
    await operator.press(data_of(card, "✓ #1"))

    await shown(operator, card, "It was payment #1")
    assert await ledger.balance() == 500


@pytest.mark.usefixtures("bot")
async def test_a_claim_that_fits_partly_needs_a_confirmation_and_can_be_declined(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger, pool: Pool
) -> None:
    await anna.ask("/start")
    await card_of(operator, webhook, supporter_id=5, supporter_name="Anna K", amount=7)
    card = await claimed(anna, operator, ledger, amount="5", name="Anna")

    await operator.press(data_of(card, "#1 for"))
    await shown(operator, card, "Credit this payment?")
    assert await ledger.credits() == []
    await operator.press(data_of(card, "None of these"), stale=True)
    await answer(operator, await operator.hear(), "another sum")

    await shown(operator, card, "Declined by 900")
    assert await actions(pool) == [("decline_claim", OPERATOR, "another sum")]


@pytest.mark.usefixtures("bot")
async def test_a_late_decision_on_a_declined_claim_is_told_who_was_first_and_shown_the_claim(
    anna: Person, operator: Person, ledger: Ledger, pool: Pool
) -> None:
    for person in (anna, operator):
        await person.ask("/start")
    card = await claimed(anna, operator, ledger, amount="5", name="Anna")
    questions = []
    for _ in range(2):
        await operator.press(data_of(card, "None of these"), message_id=card["message_id"])
        questions.append(await operator.hear())
    await answer(operator, questions[0], "nothing fits")

    late = await answer(operator, questions[1], "too late")

    assert late["text"] == "900 was first. Here is how it stands now."
    assert "Declined by 900" in (await operator.hear())["text"]
    assert await actions(pool) == [("decline_claim", OPERATOR, "nothing fits")]


@pytest.mark.usefixtures("bot")
async def test_the_desk_is_in_ukrainian_for_a_ukrainian_operator(operator: Person, webhook: Webhook) -> None:
    await operator.become(language_code="uk")

    card = await card_of(operator, webhook, support_note="дякую")

    assert "Платіж чекає на вас" in card["text"]
    assert "🔎 Знайти користувача" in labels(card)
    assert "Панель оператора" in await operator.ask("/desk")


@pytest.mark.usefixtures("bot")
async def test_the_result_of_a_large_dry_run_fits_into_a_message(
    anna: Person, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await anna.ask("/start")
    await webhook.settle(*(a_payment(support_note="hello") for _ in range(26)))
    await pool.execute(
        "WITH paid AS (UPDATE charges"
        " SET telegram_id = 101, method = 'amount_and_time', state = 'matched', matched_at = now()"
        f" RETURNING charge_id) {CREDIT_PAID}"
    )

    said = await operator.ask(datetime.now(UTC).strftime("/replay %Y-%m-%d"))
    while "decided otherwise" not in said:
        # Skip the cards and the summary. The bot sends them now, because the operator has become reachable by writing to the bot.
        said = (await operator.hear())["text"]

    assert "26 payments, 26 decided otherwise" in said
    assert 2000 < len(said) < 4096
    assert said.count("now waiting for an operator") >= 10
