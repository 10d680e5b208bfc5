"""
Notifications reach users and operators despite faults of Telegram.

Each notification arrives exactly once, with one exception: if Telegram's answer was lost, the notification may arrive twice.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiogram.exceptions import TelegramServerError
from aiogram.methods import SendMessage
from aiogram.types import InlineKeyboardMarkup
from prometheus_client import REGISTRY

from coffee_ledger.store.database import Pool
from coffee_ledger.store.lease import LEASE_SECONDS, Lease
from coffee_ledger.telegram.notifier import ATTEMPTS_MAX, Notifier, Send
from coffee_ledger.telegram.rate_limiter import RateLimiter
from tests.bot.desk import NO_CODE_OF_OURS
from tests.bot.fixtures import OPERATOR, RunBot
from tests.bot.outbox import CREDITED, UNMATCHED, Outbox
from tests.bot.people import DEADLINE_SECONDS, Person, people
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, BOHDAN
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

THANKS = "Thank you! $5 arrived: +500 credits ($1 = 100 credits). You now have 0 credits."


@pytest.fixture
def outbox(pool: Pool) -> Outbox:
    return Outbox(pool)


async def met(*people: Person) -> None:
    for person in people:
        await person.ask("/start")


async def sends(sandbox: Sandbox, *, count: int = 0) -> list[dict[str, Any]]:
    """Wait until the bot has called sendMessage at least *count* times. Return all calls of sendMessage so far."""
    wait = {"wait": DEADLINE_SECONDS} if count else {}
    calls = await sandbox.get("/telegram/calls", method="sendMessage", count=count, **wait)
    assert len(calls) >= count
    return list(calls)


@asynccontextmanager
async def delivering(pool: Pool, send: Send) -> AsyncIterator[Notifier]:
    """Run a notifier that sends its messages with *send* while the context is open, and yield the notifier."""
    notifier = Notifier(pool, send=send, limiter=RateLimiter(), operators=[], clock=lambda: datetime.now(UTC))
    running = asyncio.create_task(notifier.run())
    yield notifier
    notifier.stop()
    await running


def seconds_between(first: dict[str, Any], second: dict[str, Any]) -> float:
    started, ended = (datetime.fromisoformat(one["at"]) for one in (first, second))
    return (ended - started).total_seconds()


# Texts and recipients --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bot")
async def test_a_user_is_told_of_a_payment_as_soon_as_it_is_credited(anna: Person, webhook: Webhook) -> None:
    code = await anna.ask_for_code("10")

    await webhook.settle(a_payment(support_note=f"keep it up! {code}", amount=5))

    said = (await anna.hear())["text"]
    assert "$5 arrived: +500 credits" in said
    assert "You now have 500 credits" in said
    assert "You picked $10" in said


@pytest.mark.usefixtures("bot")
async def test_a_refund_is_told_to_the_user_and_if_its_credits_are_spent_to_the_operators(
    anna: Person, operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await met(operator)
    payment = a_payment(support_note=await anna.ask_for_code("5"))
    await webhook.settle(payment)
    await anna.hear()
    await pool.execute("SELECT spend_credits($1, 400, 'a song', 'song-1')", ANNA)

    await webhook.settle(a_refund_of(payment))

    assert "You now have −400 credits" in (await anna.hear())["text"]
    heard = "\n".join([(await operator.hear())["text"] for _ in range(2)])
    assert "A payment was refunded" in heard
    assert "user 101 now has −400 credits" in heard


@pytest.mark.usefixtures("bot")
async def test_operators_are_told_of_an_unmatched_charge_and_the_reason(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook
) -> None:
    await met(operator)
    code = await anna.ask_for_code("5")
    other = await bohdan.ask_for_code("7")

    await webhook.settle(a_payment(support_note=f"{code} {other} from me", amount=9))

    said = (await operator.hear())["text"]
    assert "$9 (support)" in said
    assert f"several codes – @anna ({ANNA}), code {code[:4]}-{code[4:]}" in said
    assert "from me" in said


@pytest.mark.usefixtures("bot")
async def test_the_time_from_the_webhook_to_the_notification_is_measured(anna: Person, webhook: Webhook) -> None:
    def told() -> float:
        return REGISTRY.get_sample_value("ledger_webhook_to_notified_seconds_count") or 0

    code, before = await anna.ask_for_code("5"), told()
    await webhook.settle(a_payment(support_note=code), a_payment(support_note="nobody"))
    await anna.hear()

    async with asyncio.timeout(DEADLINE_SECONDS):
        while told() == before:  # noqa: ASYNC110 — poll, because a metric sets no asyncio.Event
            await asyncio.sleep(0.01)
    assert told() == before + 1


@pytest.mark.usefixtures("bot")
async def test_a_ukrainian_operator_is_told_in_ukrainian(operator: Person, outbox: Outbox) -> None:
    await operator.become(language_code="uk")
    await met(operator)

    await outbox.owe(None, kind="test_event", facts={"type": "donation.created"})

    assert "З’єднання працює" in (await operator.hear())["text"]


async def test_an_operator_who_never_started_the_bot_does_not_delay_the_others(
    run_bot: RunBot, anna: Person, operator: Person, outbox: Outbox
) -> None:
    async with run_bot(ADMIN_IDS=f"777,{OPERATOR},{ANNA}"):
        await met(anna, operator)

        await outbox.owe(None, kind="charge_unmatched", facts=UNMATCHED)

        assert "waits for you" in (await operator.hear())["text"]
        assert "waits for you" in (await anna.hear())["text"]
        await outbox.become("unreachable")
    assert await outbox.states() == {None: "addressed", 777: "unreachable", OPERATOR: "sent", ANNA: "sent"}


@pytest.mark.usefixtures("bot")
async def test_a_notification_that_cannot_be_rendered_is_given_up_and_the_next_is_sent(
    anna: Person, outbox: Outbox
) -> None:
    await met(anna)

    await outbox.owe(ANNA, facts={"amount": "no number"})
    await outbox.owe(ANNA)

    assert (await anna.hear())["text"] == THANKS
    await outbox.become("dead")


# Faults of Telegram ----------------------------------------------------------------------------------------------------


async def failing(sandbox: Sandbox, *kinds: str) -> dict[str, Person]:
    """Create one user for each kind of fault. The next message to each user has that fault. Return the users by kind."""
    users = dict(zip(kinds, await people(sandbox, range(1000, 1000 + len(kinds))), strict=True))
    for kind, user in users.items():
        await met(user)
        await sandbox.post("/telegram/misbehave", method="sendMessage", kind=kind, user_id=user.telegram_id)
    return users


@pytest.mark.usefixtures("bot")
async def test_a_failed_send_is_retried(sandbox: Sandbox, outbox: Outbox) -> None:
    users = await failing(sandbox, "server_error", "not_json", "reset")

    await outbox.owe(*(user.telegram_id for user in users.values()))

    for kind, user in users.items():
        assert (await user.hear())["text"] == THANKS, kind
    await outbox.become("sent", count=len(users))


@pytest.mark.usefixtures("bot")
async def test_a_notification_is_never_given_up_because_of_telegrams_faults(sandbox: Sandbox, outbox: Outbox) -> None:
    users = await failing(sandbox, "server_error", "not_json", "reset", "unauthorized")
    await outbox.owe(*(user.telegram_id for user in users.values()), attempts=2000)

    await outbox.put_off(count=len(users))
    await outbox.make_due()

    for kind, user in users.items():
        assert (await user.hear())["text"] == THANKS, kind
    await outbox.become("sent", count=len(users))


@pytest.mark.usefixtures("bot")
async def test_a_failed_message_is_not_overtaken_by_the_next(sandbox: Sandbox, webhook: Webhook) -> None:
    """
    The message about a payment arrives before the message about the refund of this payment.

    The order stays the same if the first attempt to send the message about the payment fails.
    """
    kinds = ("server_error", "not_json", "reset", "too_many_requests")
    users = dict(zip(kinds, await people(sandbox, range(1000, 1000 + len(kinds))), strict=True))
    for amount, (kind, user) in enumerate(users.items(), start=5):
        payment = a_payment(support_note=await user.ask_for_code(str(amount)), amount=amount)
        await sandbox.post("/telegram/misbehave", method="sendMessage", kind=kind, user_id=user.telegram_id)

        await webhook.settle(payment, a_refund_of(payment))

    for amount, (kind, user) in enumerate(users.items(), start=5):
        first, second = (await user.hear())["text"], (await user.hear())["text"]
        assert f"+{amount * 100} credits" in first, kind
        assert "refund" in second.lower(), kind


@pytest.mark.parametrize(("minutes", "passes"), [(1, False), (14, True)])
async def test_a_message_that_fails_for_an_unknown_reason_blocks_its_chat_for_a_bounded_time(
    pool: Pool, outbox: Outbox, minutes: int, *, passes: bool
) -> None:
    """
    A failing message may block its chat for at most 15 minutes. If its next attempt would be after that time, the bot sends
    later messages first.

    The first message has failed for *minutes* minutes, and its next attempt is 5 to 10 minutes away. *passes* is True if the
    second message must be sent before this attempt.
    """
    sent: list[str] = []

    async def send(chat_id: int, text: str, keyboard: InlineKeyboardMarkup | None, *, is_silent: bool = False) -> int:
        if "$5" in text:
            raise ValueError(chat_id)
        sent.append(text)
        return len(sent)

    await outbox.owe(ANNA, attempts=9, failing_minutes=minutes)
    await outbox.owe(ANNA, facts={**CREDITED, "amount": "6"})
    async with delivering(pool, send):
        await outbox.put_off()
        if passes:
            await outbox.become("sent")

    assert len(sent) == int(passes)
    assert await outbox.count("pending") == 2 - int(passes)


@pytest.mark.parametrize("takes_others", [False, True])
async def test_a_fault_of_telegram_blocks_a_chat_unless_other_messages_are_sent_meanwhile(
    pool: Pool, outbox: Outbox, *, takes_others: bool
) -> None:
    """
    While Telegram is down, the messages to a chat keep their order without a time limit.

    If Telegram accepts messages to other chats, the failing message itself is the probable cause. Later messages may then be sent
    before the failing message.
    """

    async def send(chat_id: int, text: str, keyboard: InlineKeyboardMarkup | None, *, is_silent: bool = False) -> int:
        if "$5" in text:
            raise TelegramServerError(SendMessage(chat_id=chat_id, text=text), "502")
        return 1

    if takes_others:
        await outbox.owe(BOHDAN, facts={**CREDITED, "amount": "6"})
    async with delivering(pool, send) as notifier:
        if takes_others:
            await outbox.become("sent")
        await outbox.owe(ANNA, attempts=9, failing_minutes=60)
        await outbox.owe(ANNA, facts={**CREDITED, "amount": "6"})
        notifier.wake()
        await outbox.put_off()
        if takes_others:
            await outbox.become("sent", count=2)

    assert await outbox.count("sent") == 2 * int(takes_others)
    assert await pool.fetchval("SELECT is_set_aside FROM notifications WHERE attempts = 10") is takes_others


async def test_a_message_is_given_up_after_thirty_failures_for_an_unknown_reason(pool: Pool, outbox: Outbox) -> None:
    async def send(chat_id: int, text: str, keyboard: InlineKeyboardMarkup | None, *, is_silent: bool = False) -> int:
        raise ValueError(chat_id)

    await outbox.owe(ANNA, attempts=ATTEMPTS_MAX - 1)
    await outbox.owe(BOHDAN, attempts=ATTEMPTS_MAX - 2)
    async with delivering(pool, send):
        await outbox.become("dead")
        await outbox.put_off()

    assert await outbox.states() == {ANNA: "dead", BOHDAN: "pending"}


async def test_a_send_that_hangs_is_retried(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coffee_ledger.telegram.client.REQUEST_SECONDS", 0.5)
    async with run_bot():
        await met(anna)
        await sandbox.post("/telegram/misbehave", method="sendMessage", kind="hang", user_id=ANNA)

        await outbox.owe(ANNA)

        assert (await anna.hear())["text"] == THANKS
        await outbox.become("sent")


@pytest.mark.usefixtures("bot")
async def test_sending_pauses_for_as_long_as_telegram_asks(
    sandbox: Sandbox, anna: Person, bohdan: Person, outbox: Outbox
) -> None:
    await met(anna, bohdan)
    before = len(await sends(sandbox))
    await sandbox.post("/telegram/misbehave", method="sendMessage", kind="too_many_requests", retry_after=2)

    await outbox.owe(ANNA, BOHDAN)
    await anna.hear()
    await bohdan.hear()

    refused, *sent = (await sends(sandbox))[before:]
    assert refused["status"] == 429
    late = [one for one in sent if seconds_between(refused, one) >= 1.9]
    # The bot sends to both chats at the same time. When Telegram refuses one message and asks for a pause, the other message
    # may already be on its way. So allow one message that is not late.
    assert len(late) >= len(sent) - 1 > 0


@pytest.mark.usefixtures("bot")
async def test_an_answer_to_a_user_is_retried_as_well(sandbox: Sandbox, anna: Person) -> None:
    await met(anna)
    for kind in ("server_error", "not_json", "reset"):
        await sandbox.post("/telegram/misbehave", method="sendMessage", kind=kind, user_id=ANNA)

        assert "0 credits" in await anna.ask("/balance")


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("leave", ["block", "delete"])
async def test_a_user_who_blocked_the_bot_or_left_telegram_is_not_written_to_again(
    sandbox: Sandbox, anna: Person, bohdan: Person, outbox: Outbox, leave: str
) -> None:
    await met(anna, bohdan)
    await sandbox.post(f"{anna.path}/{leave}")

    await outbox.owe(ANNA, BOHDAN)

    await bohdan.hear()
    await outbox.become("unreachable")
    await outbox.become("sent")
    assert await outbox.states() == {ANNA: "unreachable", BOHDAN: "sent"}
    assert not await outbox.reachable()
    assert [one["status"] for one in await sends(sandbox)].count(403) == 1


@pytest.mark.usefixtures("bot")
async def test_a_user_who_paid_while_the_bot_was_blocked_is_told_after_coming_back(
    sandbox: Sandbox, anna: Person, webhook: Webhook, outbox: Outbox
) -> None:
    payment = a_payment(support_note=await anna.ask_for_code("9"), amount=9)
    await sandbox.post(f"{anna.path}/block")
    await webhook.settle(payment, a_refund_of(payment))
    await outbox.become("unreachable", count=2)

    await sandbox.post(f"{anna.path}/unblock")
    await anna.say("/start")

    await outbox.become("sent", count=2)
    told = [text for text in await anna.texts() if ("$9" in text and "refund" in text.lower()) or "+900" in text]
    assert ["+900" in text for text in told] == [True, False]
    assert await outbox.reachable()


@pytest.mark.usefixtures("bot")
async def test_unblocking_the_bot_is_enough_to_be_told(sandbox: Sandbox, anna: Person, outbox: Outbox) -> None:
    await met(anna)
    await sandbox.post(f"{anna.path}/block")
    await outbox.owe(ANNA)
    await outbox.become("unreachable")

    await sandbox.post(f"{anna.path}/unblock")

    assert (await anna.hear())["text"] == THANKS
    assert await outbox.reachable()


@pytest.mark.usefixtures("bot")
async def test_a_user_who_was_told_is_not_told_again_after_coming_back(
    sandbox: Sandbox, anna: Person, outbox: Outbox
) -> None:
    await met(anna)
    await outbox.owe(ANNA)
    await anna.hear()
    await sandbox.post(f"{anna.path}/block")
    await sandbox.post(f"{anna.path}/unblock")

    await anna.ask("/start")
    await anna.ask("/balance")

    assert (await anna.texts()).count(THANKS) == 1


@pytest.mark.usefixtures("bot")
async def test_an_operator_who_starts_the_bot_late_gets_the_cards_that_are_still_open(
    operator: Person, webhook: Webhook, outbox: Outbox, pool: Pool
) -> None:
    for_whom = (f"for the cats {NO_CODE_OF_OURS}", f"for the dogs {NO_CODE_OF_OURS}")
    await webhook.settle(*[a_payment(support_note=note) for note in for_whom])
    await outbox.become("unreachable", count=2)
    await pool.execute("UPDATE charges SET state = 'dismissed' WHERE note = $1", for_whom[0])

    await operator.say("/start")

    await outbox.become("sent")
    cards = [text for text in await operator.texts() if "for the" in text]
    assert len(cards) == 1
    assert "for the dogs" in cards[0]
    assert await outbox.count("withheld") == 1


@pytest.mark.usefixtures("bot")
async def test_one_chat_gets_its_messages_in_order_and_no_faster_than_telegram_allows(
    sandbox: Sandbox, anna: Person, outbox: Outbox
) -> None:
    await met(anna)
    facts = [{"amount": str(number), "currency": "USD", "credits": number} for number in range(1, 7)]

    for one in facts:
        await outbox.owe(ANNA, facts=one)
    said = [(await anna.hear())["text"] for _ in facts]

    assert [f"${number} arrived" in text for number, text in enumerate(said, start=1)] == [True] * 6
    assert {one["status"] for one in await sends(sandbox)} == {200}


@pytest.mark.usefixtures("bot")
async def test_a_rate_limited_chat_does_not_delay_another(anna: Person, bohdan: Person, outbox: Outbox) -> None:
    await met(anna, bohdan)
    await outbox.owe(*[ANNA] * 30)
    await anna.hear()

    async with asyncio.timeout(3):
        await outbox.owe(BOHDAN)
        await bohdan.hear()

    assert await outbox.count("sent") < 30


async def test_sixty_users_are_told_without_one_refusal_by_telegram(
    run_bot: RunBot, sandbox: Sandbox, outbox: Outbox
) -> None:
    crowd = range(3000, 3060)
    for user in crowd:
        await sandbox.meet(user)

    await outbox.owe(*crowd)
    async with run_bot():
        await outbox.become("sent", count=len(crowd))

    calls = await sends(sandbox)
    assert {one["status"] for one in calls} == {200}
    assert len(calls) == len(crowd)


# Stops and kills -------------------------------------------------------------------------------------------------------


async def test_a_payment_during_the_bots_downtime_is_told_at_the_next_start(
    run_bot: RunBot, anna: Person, webhook: Webhook
) -> None:
    async with run_bot():
        code = await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note=code))

    async with run_bot():
        assert "+500 credits" in (await anna.hear())["text"]


async def test_a_stop_completes_the_send_in_progress_and_nothing_is_sent_twice(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, outbox: Outbox
) -> None:
    async with run_bot() as bot:
        await met(anna)
        await sandbox.post("/telegram/pause", method="sendMessage")
        await outbox.owe(ANNA)
        await sends(sandbox, count=2)
        bot.stop.set()
        await sandbox.post("/telegram/resume")
    assert await outbox.states() == {ANNA: "sent"}

    async with run_bot():
        await anna.ask("/balance")

    assert (await anna.texts()).count(THANKS) == 1


async def test_messages_still_queued_at_a_stop_are_sent_by_the_next_bot(
    run_bot: RunBot, anna: Person, outbox: Outbox
) -> None:
    async with run_bot():
        await met(anna)
        await outbox.owe(*[ANNA] * 6)
        await anna.hear()

    async with run_bot():
        await outbox.become("sent", count=6)

    assert (await anna.texts()).count(THANKS) == 6


async def test_the_next_bot_sends_the_messages_that_a_killed_one_had_not_marked(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, outbox: Outbox
) -> None:
    async with run_bot() as bot:
        await met(anna)
        await sandbox.post("/telegram/pause", method="sendMessage")
        await outbox.owe(ANNA)
        await sends(sandbox, count=2)
        await bot.kill()
    await sandbox.post("/telegram/resume")
    assert await outbox.states() == {ANNA: "pending"}

    async with run_bot(), asyncio.timeout(LEASE_SECONDS + 3):
        await outbox.become("sent")

    assert THANKS in await anna.texts()


async def test_of_two_bots_one_sends_and_the_other_takes_over_when_it_stops(pool: Pool, outbox: Outbox) -> None:
    sent: list[tuple[str, int]] = []

    def sending_as(name: str) -> Send:
        async def send(
            chat_id: int, text: str, keyboard: InlineKeyboardMarkup | None, *, is_silent: bool = False
        ) -> int:
            sent.append((name, chat_id))
            return len(sent)

        return send

    async with delivering(pool, sending_as("second")) as second:
        async with delivering(pool, sending_as("first")) as first:
            await outbox.owe(*range(3000, 3010))
            for notifier in (first, second):
                notifier.wake()
            await outbox.become("sent", count=10)
        senders = {name for name, _ in sent}
        await outbox.owe(*range(3010, 3020))
        second.wake()
        await outbox.become("sent", count=20)

    assert len(senders) == 1
    assert sorted(chat for _, chat in sent) == list(range(3000, 3020))
    assert sent[-1][0] == "second"


async def test_a_bot_that_loses_the_lease_leaves_its_queued_messages_to_the_next(
    pool: Pool, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []

    async def send(chat_id: int, text: str, keyboard: InlineKeyboardMarkup | None, *, is_silent: bool = False) -> int:
        sent.append(chat_id)
        return len(sent)

    async with delivering(pool, send) as notifier:
        notifier._limiter.pause(1)
        await outbox.owe(ANNA)
        notifier.wake()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not notifier._busy:  # noqa: ASYNC110 — poll, because `_busy` sets no asyncio.Event
                await asyncio.sleep(0.01)
        # Simulate that this process was suspended until its lease had ended, and that another bot then took the lease.
        monkeypatch.setattr(Lease, "is_held", False)
        await pool.execute("UPDATE leases SET holder = gen_random_uuid(), ends_at = now() + interval '1 hour'")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while notifier._busy:  # noqa: ASYNC110 — poll, because `_busy` sets no asyncio.Event
                await asyncio.sleep(0.01)

    assert sent == []
    assert await outbox.states() == {ANNA: "pending"}


async def test_a_lost_database_connection_sends_no_message_twice(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, outbox: Outbox, pool: Pool
) -> None:
    async with run_bot():
        await met(anna)
        await sandbox.post("/telegram/pause", method="sendMessage")
        await outbox.owe(ANNA)
        await sends(sandbox, count=2)
        await pool.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bot'")
        await sandbox.post("/telegram/resume")

        await outbox.become("sent")

        await outbox.owe(ANNA, facts={"amount": "6", "currency": "USD", "credits": 600})
        await outbox.become("sent", count=2)
    assert [text.count("arrived") for text in await anna.texts()] == [0, 1, 1]
