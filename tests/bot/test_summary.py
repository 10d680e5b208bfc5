"""
One summary message lists everything that waits for an operator, and is kept up to date.

In two cases, operators get no card for a payment, but find it in the summary: the payment looks like that of an ordinary
supporter, or too many payments need a card in the same minute.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.model import TelegramId
from coffee_ledger.store.claims import raise_claim
from coffee_ledger.store.database import Pool
from tests.bot.desk import NO_CODE_OF_OURS, actions, answer, ask, data_of
from tests.bot.fixtures import OPERATOR, RunBot
from tests.bot.outbox import Outbox
from tests.bot.people import DEADLINE_SECONDS, Message, Person, labels
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

FLOOD = 20
SUMMARY_MESSAGE = "SELECT message_id FROM notifications WHERE kind = 'waiting_summary'"


@pytest.fixture(autouse=True)
def edits_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coffee_ledger.telegram.desk.summary.REFRESH_SECONDS", 0.2)


async def flood(webhook: Webhook, count: int = FLOOD) -> None:
    """Settle *count* payments that need an operator's decision. Their notes contain a code that the bot never issued."""
    await webhook.settle(*[a_payment(support_note=NO_CODE_OF_OURS, amount=3 + number) for number in range(count)])


async def supporters(webhook: Webhook, count: int) -> None:
    """Settle payments that look like those of ordinary supporters."""
    await webhook.settle(
        *[
            a_payment(
                support_note="for the cats", amount=3 + number, supporter_id=number, supporter_name=f"Fan {number}"
            )
            for number in range(count)
        ]
    )


async def shown(operator: Person, words: str, *, after: int = 0) -> Message:
    """Wait for a message of the bot that contains *words* and is newer than *after*."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            for message in await operator.messages():
                if words in message["text"] and message["message_id"] > after:
                    return message
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("bot")
async def test_many_unmatched_payments_cause_five_cards_and_one_summary(
    operator: Person, anna: Person, webhook: Webhook, pool: Pool
) -> None:
    await operator.ask("/start")
    code = await anna.ask_for_code("50")

    await flood(webhook)
    await webhook.settle(a_payment(support_note=code, amount=5))

    assert "+500 credits" in (await anna.hear())["text"]
    counted = await shown(operator, "20 waiting for you")
    assert "20 payments need your decision: /unmatched" in counted["text"]
    await Outbox(pool).become("sent", count=7)
    cards = [one for one in await operator.messages() if "waits for you" in one["text"]]
    assert len(cards) == 5


@pytest.mark.usefixtures("bot")
async def test_the_summary_follows_decisions_and_new_payments(operator: Person, webhook: Webhook) -> None:
    await operator.ask("/start")
    await flood(webhook)
    before = await shown(operator, "20 waiting for you")

    card = next(one for one in await operator.messages() if "waits for you" in one["text"])
    await operator.press(data_of(card, "Other…"))
    question = await shown(operator, "?", after=before["message_id"])
    await answer(operator, question, "just a tip")
    decided = await shown(operator, "19 waiting for you")
    await flood(webhook, 2)
    more = await shown(operator, "21 waiting for you")

    assert before["message_id"] == decided["message_id"] == more["message_id"]
    # The bot must edit the summary, because a second summary message would disturb the operator with a sound.
    assert len([one for one in await operator.texts() if "waiting for you" in one]) == 1


async def test_the_summary_says_when_nothing_waits_any_more(
    run_bot: RunBot, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    async with run_bot():
        await operator.ask("/start")
        await flood(webhook)
        await shown(operator, "20 waiting for you")

        await pool.execute("UPDATE charges SET state = 'dismissed'")
        await Outbox(pool).announce()

        await shown(operator, "Nothing is waiting for you any more")


async def test_the_next_bot_keeps_the_summary_up_to_date(run_bot: RunBot, operator: Person, webhook: Webhook) -> None:
    async with run_bot():
        await operator.ask("/start")
        await flood(webhook)
        first = await shown(operator, "20 waiting for you")

    async with run_bot():
        await flood(webhook, 1)
        second = await shown(operator, "21 waiting for you")

    assert second["message_id"] == first["message_id"]


@pytest.mark.usefixtures("bot")
async def test_a_new_summary_replaces_one_that_is_over_an_hour_old(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await operator.ask("/start")
    await flood(webhook)
    old = await shown(operator, "20 waiting for you")
    await pool.execute("UPDATE notifications SET created_at = created_at - $1::interval", timedelta(hours=2))
    await pool.execute("UPDATE notifications SET due_at = due_at - $1::interval", timedelta(hours=2))

    await flood(webhook)

    await shown(operator, "40 waiting for you", after=old["message_id"])
    async with asyncio.timeout(DEADLINE_SECONDS):
        while any(one["message_id"] == old["message_id"] for one in await operator.messages()):  # noqa: ASYNC110 — poll
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("bot")
async def test_a_ukrainian_operator_reads_the_summary_in_ukrainian(operator: Person, webhook: Webhook) -> None:
    await operator.become(language_code="uk")
    await operator.ask("/start")

    await flood(webhook)

    assert "20 платежів потребують вашого рішення: /unmatched" in (await shown(operator, "Чекають на вас: 20"))["text"]


@pytest.mark.usefixtures("bot")
async def test_an_operator_who_deleted_the_summary_gets_a_new_one_with_the_next_payments(
    operator: Person, webhook: Webhook, pool: Pool, sandbox: Sandbox
) -> None:
    await operator.ask("/start")
    await flood(webhook)
    gone = await shown(operator, "20 waiting for you")
    await sandbox.bot("deleteMessage", chat_id=operator.telegram_id, message_id=gone["message_id"])
    await flood(webhook, 1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await pool.fetchval(SUMMARY_MESSAGE):  # noqa: ASYNC110 — poll, because no signal reports a change of the table
            await asyncio.sleep(0.05)

    await flood(webhook, 1)

    await shown(operator, "22 waiting for you", after=gone["message_id"])


# Ordinary supporters ----------------------------------------------------------------------------------------------------


async def sends(sandbox: Sandbox, person: Person) -> list[dict[str, Any]]:
    """Return the parameters of the messages that the bot sent to this person."""
    calls = await sandbox.get("/telegram/calls", method="sendMessage")
    return [one["params"] for one in calls if str(one["params"].get("chat_id")) == str(person.telegram_id)]


def makes_sound(message: dict[str, Any]) -> bool:
    return str(message.get("disable_notification", False)).lower() != "true"


async def states(pool: Pool) -> list[str]:
    return [row["state"] for row in await pool.fetch("SELECT state FROM charges ORDER BY charge_id")]


@pytest.fixture
async def other(sandbox: Sandbox) -> Person:
    return await Person(sandbox, 901).become(first_name="Petro", username="petro", language_code="en")


@pytest.mark.usefixtures("bot")
async def test_an_ordinary_payment_arrives_without_a_card_and_without_a_sound(
    operator: Person, webhook: Webhook, sandbox: Sandbox
) -> None:
    await operator.ask("/start")

    await supporters(webhook, 2)

    summary = await shown(operator, "2 waiting for you")
    assert (
        "2 look like ordinary supporters:\n#1 · $3 · Fan 0: for the cats\n#2 · $4 · Fan 1: for the cats"
        in summary["text"]
    )
    assert [one["type"] for one in summary["entities"]].count("expandable_blockquote") == 1
    assert labels(summary) == ["Dismiss all 2"]
    assert [makes_sound(one) for one in (await sends(sandbox, operator))[1:]] == [False]


@pytest.mark.usefixtures("bot")
async def test_one_tap_dismisses_the_shown_payments_and_another_takes_this_back(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await operator.ask("/start")
    await supporters(webhook, 3)
    summary = await shown(operator, "3 waiting for you")

    await operator.press("Dismiss all 3")
    done = await shown(operator, "Dismissed 3 payments: #1, #2, #3. Nothing was remembered")
    assert await states(pool) == ["dismissed"] * 3
    emptied = await shown(operator, "Nothing is waiting for you any more")
    await operator.press("Take all back")

    await shown(operator, "3 payments wait again: #1, #2, #3")
    offered_again = await shown(operator, "3 waiting for you")
    assert await states(pool) == ["unmatched"] * 3
    assert summary["message_id"] == emptied["message_id"] == offered_again["message_id"]
    assert labels(offered_again) == ["Dismiss all 3"]
    assert labels(done) == ["Take all back"]
    assert await pool.fetchval("SELECT count(*) FROM outsiders") == 0
    assert [(action, who) for action, who, _ in await actions(pool)] == [
        *[("dismiss", OPERATOR)] * 3,
        *[("undo_match", OPERATOR)] * 3,
    ]


@pytest.mark.usefixtures("bot")
async def test_payments_that_came_after_the_summary_was_shown_are_not_dismissed(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await operator.ask("/start")
    await supporters(webhook, 2)
    pressed = data_of(await shown(operator, "2 waiting for you"), "Dismiss all")
    await supporters(webhook, 1)
    await shown(operator, "3 waiting for you")

    await operator.press(pressed, stale=True)

    await shown(operator, "Dismissed 2 payments: #1, #2.")
    assert await states(pool) == ["dismissed", "dismissed", "unmatched"]


@pytest.mark.usefixtures("bot")
async def test_payments_that_need_a_decision_meanwhile_are_skipped_and_named(
    anna: Person, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await anna.ask("/start")
    await operator.ask("/start")
    shop = a_payment("extra_purchase.created", amount=7)
    await webhook.settle(a_payment(amount=21, supporter_name="Olena"), shop, a_payment(amount=8), a_payment(amount=9))
    pressed = data_of(await shown(operator, "4 waiting for you"), "Dismiss all")
    claimed = ClaimedPayment(datetime.now(UTC).date(), Decimal(21), "USD", None)
    await raise_claim(pool, TelegramId(ANNA), claimed, now=datetime.now(UTC))
    await webhook.settle(shop | {"type": "extra_purchase.updated", "data": shop["data"] | {"support_note": "@anna"}})
    await pool.execute("UPDATE charges SET state = 'dismissed' WHERE charge_id = 3")

    await operator.press(pressed, stale=True)

    done = await shown(operator, "Dismissed 1 payment: #4.")
    assert "#1 stays as it is: a claim may be about it" in done["text"]
    assert "#2 stays as it is: it may belong to a user now" in done["text"]
    assert "#3 stays as it is: it was decided meanwhile" in done["text"]
    assert await states(pool) == ["unmatched", "unmatched", "dismissed", "dismissed"]


@pytest.mark.usefixtures("bot")
async def test_a_payment_that_points_to_a_user_later_is_announced_with_a_card(
    anna: Person, operator: Person, webhook: Webhook, sandbox: Sandbox
) -> None:
    await anna.ask("/start")
    await operator.ask("/start")
    shop = a_payment("extra_purchase.created", amount=7)
    await webhook.settle(shop)
    await shown(operator, "1 waiting for you")

    await webhook.settle(shop | {"type": "extra_purchase.updated", "data": shop["data"] | {"support_note": "@anna"}})

    card = await shown(operator, "A payment waits for you")
    assert "@anna, named in the text" in labels(card)
    assert makes_sound((await sends(sandbox, operator))[-1])


async def test_of_two_operators_who_press_at_once_only_one_dismisses(
    run_bot: RunBot, operator: Person, other: Person, webhook: Webhook, pool: Pool
) -> None:
    async with run_bot(ADMIN_IDS=f"{OPERATOR},{other.telegram_id}"):
        for person in (operator, other):
            await person.ask("/start")
        await supporters(webhook, 5)
        presses = [data_of(await shown(person, "5 waiting for you"), "Dismiss all") for person in (operator, other)]

        answers = await asyncio.gather(operator.press(presses[0]), other.press(presses[1]))
        repeated = [await person.press(presses[0], stale=True) for person in (operator, other)]

    late = [one.get("text") or "" for one in answers]
    assert sum("was first: these payments are decided" in one for one in late) == 1
    assert sorted("a second press changes nothing" in one["text"] for one in repeated) == [False, True]
    assert len(await actions(pool)) == 5
    assert await states(pool) == ["dismissed"] * 5


@pytest.mark.usefixtures("bot")
async def test_a_later_claim_names_the_payment_that_was_dismissed_with_all_others(
    anna: Person, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await anna.ask("/start")
    await operator.ask("/start")
    await supporters(webhook, 3)
    await shown(operator, "3 waiting for you")
    await operator.press("Dismiss all 3")
    await shown(operator, "Dismissed 3 payments")

    claimed = ClaimedPayment(datetime.now(UTC).date(), Decimal(4), "USD", None)
    await raise_claim(pool, TelegramId(ANNA), claimed, now=datetime.now(UTC))

    card = await shown(operator, "Paid, but no credits came")
    assert "Or an operator dismissed it:\n• #2: $4" in card["text"]
    assert "If this is the payment: /undo 2" in card["text"]


@pytest.mark.usefixtures("bot")
async def test_taking_all_back_skips_what_was_decided_since_and_works_once(
    anna: Person, operator: Person, webhook: Webhook, pool: Pool, ledger: Ledger
) -> None:
    await anna.ask("/start")
    await operator.ask("/start")
    await supporters(webhook, 2)
    await shown(operator, "2 waiting for you")
    await operator.press("Dismiss all 2")
    done = await shown(operator, "Dismissed 2 payments")
    asked = await ask(operator, "/undo 1 it is Anna’s")
    await operator.press(data_of(asked, "Yes"))
    await shown(operator, "waits for an operator again")
    pressed = data_of(done, "Take all back")

    await operator.press(pressed)
    undone = await shown(operator, "1 payment waits again: #2")
    again = await operator.press(pressed, stale=True)

    assert "#1 stays as it is: it was decided meanwhile" in undone["text"]
    assert again["text"] == "It was taken back before."
    assert await states(pool) == ["unmatched", "unmatched"]


@pytest.mark.usefixtures("bot")
async def test_all_is_not_taken_back_after_a_day(operator: Person, webhook: Webhook, pool: Pool) -> None:
    await operator.ask("/start")
    await supporters(webhook, 2)
    await shown(operator, "2 waiting for you")
    await operator.press("Dismiss all 2")
    await shown(operator, "Dismissed 2 payments")
    await pool.execute("UPDATE dismissal_offers SET taken_at = taken_at - interval '25 hours'")

    late = await operator.press("Take all back")

    assert "more than a day ago" in late["text"]
    assert await states(pool) == ["dismissed", "dismissed"]


@pytest.mark.usefixtures("bot")
async def test_the_probable_user_is_credited_from_the_summary_after_a_confirmation(
    anna: Person, operator: Person, webhook: Webhook, ledger: Ledger
) -> None:
    await anna.ask("/start")
    await operator.ask("/start")
    await supporters(webhook, 1)
    await webhook.settle(a_payment(amount=21, support_note="from @anna"))
    summary = await shown(operator, "2 waiting for you")
    assert "1 payment needs your decision: /unmatched\n• #2, $21: probably @anna" in summary["text"]
    assert labels(summary) == ["Dismiss it", "Credit @anna $21"]

    await operator.press("Credit @anna $21")
    asked = await shown(operator, "Credit this payment?")
    assert await ledger.balance() == 0
    await operator.press(data_of(asked, "Yes"))

    await shown(operator, "1 waiting for you")
    assert await ledger.balance() == 2100
    assert asked["message_id"] > summary["message_id"]


@pytest.mark.usefixtures("bot")
async def test_a_doubtful_payment_is_not_offered_for_a_credit(anna: Person, operator: Person, webhook: Webhook) -> None:
    code = await anna.ask_for_code("5")
    await operator.ask("/start")
    await webhook.settle(a_payment(status="disputed", support_note=code), a_payment(amount=8))

    summary = await shown(operator, "2 waiting for you")

    assert labels(summary) == ["Dismiss it"]


@pytest.mark.usefixtures("bot")
async def test_the_summary_comes_to_the_end_of_the_chat_on_request(operator: Person, webhook: Webhook) -> None:
    await operator.ask("/start")
    await supporters(webhook, 1)
    old = await shown(operator, "1 waiting for you")

    await operator.say("/waiting")
    new = await shown(operator, "1 waiting for you", after=old["message_id"])
    await supporters(webhook, 1)

    assert (await shown(operator, "2 waiting for you"))["message_id"] == new["message_id"]


# The taps that an operator needs for the payments of a day --------------------------------------------------------------


@pytest.mark.usefixtures("bot")
async def test_ten_ordinary_supporters_and_two_real_cases_take_at_most_five_taps_and_no_typing(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook, sandbox: Sandbox, pool: Pool, ledger: Ledger
) -> None:
    for person in (anna, bohdan, operator):
        await person.ask("/start")
    taps: list[str] = []

    async def tap(message: Message, label: str) -> None:
        taps.append(label)
        await operator.press(data_of(message, label), message_id=message["message_id"])

    await supporters(webhook, 10)
    await shown(operator, "10 waiting for you")
    quiet = (await sends(sandbox, operator))[1:]
    await webhook.settle(a_payment(amount=21, support_note="for the bot, @anna"), a_payment(amount=50, supporter_id=77))
    # Raise the claim only after the bot has decided that the payment of $50 needs no card. If the claim came first, the payment
    # would fit the open claim, and the bot would send a card for it.
    await shown(operator, "12 waiting for you")
    claimed = ClaimedPayment(datetime.now(UTC).date(), Decimal(50), "USD", None)
    await raise_claim(pool, TelegramId(BOHDAN), claimed, now=datetime.now(UTC))
    summary = await shown(operator, "13 waiting for you")
    claim = await shown(operator, "Paid, but no credits came")

    await tap(summary, "Dismiss all 10")
    await tap(summary, "Credit @anna $21")
    await tap(await shown(operator, "Credit this payment? #11"), "Yes")
    await tap(claim, "#12")
    await tap(await shown(operator, "Credit this payment? #12"), "Yes")
    await shown(operator, "Nothing is waiting for you any more")

    loud = [one["text"].splitlines()[0] for one in await sends(sandbox, operator) if makes_sound(one)]
    print(f"10 ordinary supporters and 2 real cases: {len(taps)} taps, 0 typed texts")
    assert len(taps) <= 5
    assert [makes_sound(one) for one in quiet] == [False]
    assert sum("A payment waits for you" in one for one in loud) == 1
    assert await states(pool) == [*["dismissed"] * 10, "matched", "matched"]
    assert (await ledger.balance(ANNA), await ledger.balance(BOHDAN)) == (2100, 5000)
