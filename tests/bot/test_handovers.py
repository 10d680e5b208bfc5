"""
Another bot that keeps its own balances registers a handler. Coffee Ledger calls the handler for each new entry of the ledger.

The tests assemble such a bot as docs/existing-bot.md describes. The bot uses a real Postgres, with the database role `bot`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from aiogram import Dispatcher
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from coffee_ledger.embed import Credit, CreditKind, Payments, make_bot, payments_in
from coffee_ledger.listen import listen
from coffee_ledger.model import TelegramId
from coffee_ledger.store.app_state import find_app_state
from coffee_ledger.store.database import Pool, open_pool, sql, transaction
from coffee_ledger.store.handovers import start_handovers
from coffee_ledger.telegram import handovers
from coffee_ledger.telegram.handovers import Handler, Handovers
from tests.bot.desk import answer, card_of, data_of, shown
from tests.bot.fixtures import settings_of
from tests.bot.outbox import until_true
from tests.bot.people import DEADLINE_SECONDS, Person, labels
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

SECRET = "the note of Anna"


class Shop:
    """Keeps the balances of another bot. Its method `add` is the handler that the bot registers."""

    def __init__(self) -> None:
        self.calls: list[Credit] = []
        self.added: dict[str, Credit] = {}
        """The entries that were added to a balance, by their key."""
        self.failing: set[int] = set()
        """The users for whom `add` fails."""
        self.open: dict[int, asyncio.Event] = defaultdict(asyncio.Event)
        """For a user in `slow`, `add` waits until a test sets the user's event."""
        self.slow: set[int] = set()
        self.most_at_once: dict[int, int] = defaultdict(int)
        """For each user, the largest number of calls that ran at the same time."""
        self._running: dict[int, int] = defaultdict(int)
        self._changed = asyncio.Condition()

    async def add(self, credit: Credit) -> None:
        user = credit.telegram_id
        self._running[user] += 1
        self.most_at_once[user] = max(self.most_at_once[user], self._running[user])
        self.calls.append(credit)
        await self._announce()
        try:
            if user in self.slow:
                await self.open[user].wait()
            if user in self.failing:
                raise ValueError(SECRET)
            self.added.setdefault(credit.key, credit)
        finally:
            self._running[user] -= 1
        await self._announce()

    def balance(self, user: int = ANNA) -> int:
        return sum(one.credits for one in self.added.values() if one.telegram_id == user)

    def changes(self, user: int = ANNA) -> list[tuple[str, int]]:
        return [(one.kind.value, one.credits) for one in self.added.values() if one.telegram_id == user]

    def calls_for(self, user: int) -> list[str]:
        return [one.key for one in self.calls if one.telegram_id == user]

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS), self._changed:
            await self._changed.wait_for(is_so)

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@pytest.fixture
def shop() -> Shop:
    return Shop()


RunHost = Callable[..., AbstractAsyncContextManager[Payments]]


@pytest.fixture
def run_host(sandbox: Sandbox, role_url: Callable[[str], str]) -> RunHost:
    """Return a function that runs another bot with Coffee Ledger in it. If the test passes a handler, the bot registers it."""

    @asynccontextmanager
    async def run(handler: Handler | None = None) -> AsyncIterator[Payments]:
        settings, dispatcher = settings_of(sandbox, role_url("bot")), Dispatcher()
        async with make_bot(settings) as bot, payments_in(dispatcher, bot, settings) as payments:
            if handler is not None:
                payments.on_credited(handler)
            polling = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False))
            await sandbox.get("/telegram/calls", method="getUpdates", count=1, wait=DEADLINE_SECONDS)
            yield payments
            await dispatcher.stop_polling()
            await polling

    return run


@pytest.fixture
async def host(run_host: RunHost, shop: Shop, pool: Pool) -> AsyncIterator[Payments]:
    async with run_host(shop.add) as payments:
        await until_true(pool, "SELECT count(*) = 1 FROM handover_start")
        yield payments


@asynccontextmanager
async def handing_over(url: str, handler: Handler) -> AsyncIterator[asyncio.Task[None]]:
    """
    Run the handovers without the rest of the bot. Yield the task that runs them.

    A test may cancel the task to simulate a kill. The running calls of the handler are then cancelled, and their entries are not
    marked as handed over.
    """
    async with open_pool(url, size_max=2) as pool:
        running = Handovers(pool)
        running.register(handler)
        task = asyncio.create_task(running.run())
        listening = asyncio.create_task(listen(url, running.wake))
        yield task
        listening.cancel()
        running.stop()
        with suppress(asyncio.CancelledError):
            await task


async def announce(pool: Pool) -> None:
    await pool.execute("SELECT pg_notify('payments', '')")


async def all_handed_over(pool: Pool) -> None:
    await until_true(pool, "SELECT NOT EXISTS (SELECT FROM handovers)")


async def pay(person: Person, webhook: Webhook, amount: int = 5) -> dict[str, Any]:
    payment = a_payment(support_note=await person.ask_for_code(str(amount)), amount=amount)
    await webhook.settle(payment)
    await person.hear()
    return payment


async def obey(operator: Person, said: str) -> None:
    """Send a command of the desk, and press "Yes" when the bot asks for confirmation."""
    await operator.say(said)
    asked = await operator.hear()
    # Notifications about earlier payments may arrive before the question.
    while not any("Yes" in label for label in labels(asked)):
        asked = await operator.hear()
    await operator.press(data_of(asked, "Yes"), message_id=asked["message_id"])


@pytest.fixture
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handovers, "RETRY_SECONDS_MAX", 0.01)


def calls_counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("ledger_handler_calls_total", {"outcome": outcome}) or 0


# Kinds of entries ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("host")
async def test_the_handler_gets_a_payment_with_its_money(
    anna: Person, webhook: Webhook, shop: Shop, ledger: Ledger
) -> None:
    await pay(anna, webhook)
    await shop.until(lambda: shop.balance() == 500)

    [credit] = shop.calls
    charge = await ledger.charge()
    assert (credit.telegram_id, credit.kind, credit.credits) == (ANNA, CreditKind.PAYMENT, 500)
    assert (credit.amount, credit.currency) == (Decimal(5), "USD")
    assert credit.key == f"payment:{charge['charge_key']}"
    assert credit.created_at == charge["matched_at"]


@pytest.mark.usefixtures("host")
async def test_a_refund_takes_the_credits_back(anna: Person, webhook: Webhook, shop: Shop) -> None:
    payment = await pay(anna, webhook)

    await webhook.settle(a_refund_of(payment))

    await shop.until(lambda: len(shop.added) == 2)
    assert shop.changes() == [("payment", 500), ("refund", -500)]
    assert shop.calls[-1].amount == Decimal(5)


@pytest.mark.usefixtures("host")
async def test_a_refund_that_an_operator_corrects_to_a_part_is_reversed_first(
    anna: Person, operator: Person, webhook: Webhook, shop: Shop
) -> None:
    await operator.ask("/start")
    payment = await pay(anna, webhook)
    await webhook.settle(a_refund_of(payment))
    card = await operator.hear()

    await operator.press(data_of(card, "Only a part was refunded"))
    asked = await answer(operator, await operator.hear(), "2.50")
    await operator.press(data_of(asked, "Yes"))

    await shop.until(lambda: len(shop.added) == 4)
    assert shop.changes() == [("payment", 500), ("refund", -500), ("reversal", 500), ("refund", -250)]


@pytest.mark.usefixtures("host")
async def test_an_adjustment_and_its_undo_are_handed_over(
    anna: Person, operator: Person, shop: Shop, ledger: Ledger
) -> None:
    await anna.ask("/start")

    await obey(operator, f"/credit {ANNA} +70 a gift")
    await shop.until(lambda: shop.balance() == 70)
    credit_id = await ledger.pool.fetchval("SELECT max(credit_id) FROM credits")
    await obey(operator, f"/undo c{credit_id} no gift")

    await shop.until(lambda: len(shop.added) == 2)
    assert shop.changes() == [("adjustment", 70), ("reversal", -70)]
    assert {(one.amount, one.currency) for one in shop.calls} == {(None, None)}


@pytest.mark.usefixtures("host")
async def test_not_mine_takes_the_credits_back(anna: Person, webhook: Webhook, shop: Shop) -> None:
    await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note="thanks", amount=5))
    told = await anna.hear()

    await anna.press(data_of(told, "Not mine"))

    await shop.until(lambda: len(shop.added) == 2)
    assert shop.changes() == [("payment", 500), ("reversal", -500)]


@pytest.mark.usefixtures("host")
async def test_a_payment_that_an_operator_moves_to_another_user_is_handed_over_with_a_new_key(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook, shop: Shop
) -> None:
    await bohdan.ask("/start")
    await operator.ask("/start")
    await pay(anna, webhook)
    await obey(operator, "/undo 1 somebody else's payment")
    await shop.until(lambda: shop.changes() == [("payment", 500), ("reversal", -500)])

    await operator.say("/unmatched")
    listed = await operator.hear()
    await operator.press(data_of(listed, "#1"), message_id=listed["message_id"])
    held = await operator.hear()
    await operator.press(data_of(held, "Find the user"))
    asked = await answer(operator, await operator.hear(), str(BOHDAN))
    await operator.press(data_of(asked, "Yes"), message_id=asked["message_id"])

    await shop.until(lambda: shop.changes(BOHDAN) == [("payment", 500)])
    assert len(set(shop.calls_for(ANNA) + shop.calls_for(BOHDAN))) == 3


@pytest.mark.usefixtures("host")
async def test_a_waiting_payment_that_an_operator_matches_is_handed_over(
    anna: Person, operator: Person, webhook: Webhook, shop: Shop
) -> None:
    await anna.ask("/start")
    card = await card_of(operator, webhook, support_note="for the cats")

    await operator.press(data_of(card, "Find the user"))
    asked = await answer(operator, await operator.hear(), str(ANNA))
    await operator.press(data_of(asked, "Yes"), message_id=asked["message_id"])

    await shop.until(lambda: shop.changes() == [("payment", 500)])


async def test_a_spending_is_not_handed_over(
    host: Payments, anna: Person, webhook: Webhook, shop: Shop, pool: Pool
) -> None:
    await pay(anna, webhook)

    await host.spend(ANNA, 100, reason="a song", key="song-1")
    await pay(anna, webhook)

    await shop.until(lambda: len(shop.added) == 2)
    await all_handed_over(pool)
    assert shop.changes() == [("payment", 500), ("payment", 500)]


@pytest.mark.usefixtures("host")
async def test_the_balances_of_the_bot_and_of_the_ledger_agree_after_any_corrections(
    anna: Person, operator: Person, webhook: Webhook, shop: Shop, ledger: Ledger, pool: Pool
) -> None:
    await operator.ask("/start")
    payment = await pay(anna, webhook)
    await webhook.settle(payment, a_refund_of(payment), payment)
    assert "was refunded" in (await anna.hear())["text"]
    assert "was refunded" in (await operator.hear())["text"]
    await obey(operator, f"/credit {ANNA} -30 a mistake")
    assert "30 credits" in (await anna.hear())["text"]
    await pay(anna, webhook, amount=7)

    await all_handed_over(pool)

    assert shop.balance() == await ledger.balance() == 670


# Balances that users read ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("host")
async def test_messages_do_not_state_a_balance_that_the_ledger_does_not_know(
    anna: Person, bohdan: Person, operator: Person, webhook: Webhook
) -> None:
    payment = a_payment(support_note=await anna.ask_for_code("5"), amount=5)
    await bohdan.ask_for_code("7")

    await webhook.settle(payment, a_refund_of(payment), a_payment(support_note="thanks", amount=7))
    await obey(operator, f"/credit {ANNA} +70 a gift")

    heard = [(await anna.hear())["text"] for _ in range(3)]
    assert heard == [
        "Thank you! $5 arrived: +500 credits ($1 = 100 credits).",
        "Your payment of $5 was refunded, so its credits were taken back.",
        "An operator added 70 credits to your balance. /history shows why.",
    ]
    guess = await bohdan.hear()
    assert "Тепер у вас" not in guess["text"]
    await bohdan.press(data_of(guess, "Не мій"))
    assert "Ми зняли 700 кредитів. Оператор з’ясує" in (await shown(bohdan, guess, "Ми зняли"))["text"]


async def test_our_answer_to_balance_leads_to_the_history(host: Payments, anna: Person, webhook: Webhook) -> None:
    await pay(anna, webhook)

    assert "This bot keeps your credits itself. /history" in await anna.ask("/balance")
    assert "+500" in await anna.ask("/history")
    assert (await find_app_state(host.pool, TelegramId(ANNA), language="en")).balance is None


# Entries from before the handler -----------------------------------------------------------------------------------------


async def test_entries_from_before_the_first_handler_are_not_handed_over(
    run_host: RunHost, anna: Person, webhook: Webhook, shop: Shop, pool: Pool
) -> None:
    async with run_host() as host:
        await pay(anna, webhook)
        assert await pool.fetchval("SELECT count(*) FROM handovers") == 0

        host.on_credited(shop.add)
        await until_true(pool, "SELECT count(*) = 1 FROM handover_start")
        await pay(anna, webhook, amount=7)

        await shop.until(lambda: len(shop.added) == 1)
        await all_handed_over(pool)
        assert shop.changes() == [("payment", 700)]


async def test_an_entry_whose_transaction_began_before_the_first_handler_is_either_earlier_or_handed_over(
    role_url: Callable[[str], str], ledger: Ledger, pool: Pool
) -> None:
    """
    Only entries that are added after the first registration of a handler are handed over.

    The registration waits until a running settlement ends. So the entries of this settlement are earlier than the registration
    and are not handed over.
    """
    await ledger.open("K7QM2XHD")
    async with open_pool(role_url("bot")) as bot:
        async with transaction(pool) as settlement:
            await settlement.execute(sql("lock_settling"))
            starting = asyncio.create_task(start_handovers(bot))
            await ledger.until_somebody_waits()
            assert not starting.done()
        await starting
    await ledger.adjust(70)

    assert await pool.fetchval("SELECT count(*) FROM handovers") == 1


async def test_entries_that_come_while_no_bot_runs_are_handed_over_at_the_next_start(
    run_host: RunHost, anna: Person, webhook: Webhook, shop: Shop, pool: Pool
) -> None:
    async with run_host(shop.add):
        await until_true(pool, "SELECT count(*) = 1 FROM handover_start")
        payment = a_payment(support_note=await anna.ask_for_code("5"), amount=5)
    await webhook.settle(payment)

    async with run_host(shop.add):
        await shop.until(lambda: shop.balance() == 500)


# Retries and order -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("host", "retries_at_once")
async def test_a_failing_handler_is_called_again_with_the_same_key_until_it_returns(
    anna: Person, webhook: Webhook, shop: Shop, pool: Pool
) -> None:
    shop.failing.add(ANNA)
    failed, returned = calls_counted("failed"), calls_counted("returned")
    await pay(anna, webhook)
    await shop.until(lambda: len(shop.calls) >= 3)

    shop.failing.clear()
    await shop.until(lambda: shop.balance() == 500)
    await all_handed_over(pool)

    assert len(set(shop.calls_for(ANNA))) == 1
    assert calls_counted("failed") - failed == len(shop.calls) - 1
    assert calls_counted("returned") - returned == 1


@pytest.mark.usefixtures("host", "retries_at_once")
async def test_later_entries_of_a_user_wait_for_the_failing_one_and_other_users_do_not(
    anna: Person, bohdan: Person, webhook: Webhook, shop: Shop
) -> None:
    shop.failing.add(ANNA)
    await pay(anna, webhook)
    await pay(anna, webhook, amount=7)
    await pay(bohdan, webhook)
    await shop.until(lambda: shop.balance(BOHDAN) == 500)
    assert len(set(shop.calls_for(ANNA))) == 1

    shop.failing.clear()

    await shop.until(lambda: shop.changes() == [("payment", 500), ("payment", 700)])


@pytest.mark.usefixtures("host")
async def test_a_slow_handler_is_called_for_one_entry_of_a_user_at_a_time_and_holds_back_no_other_user(
    anna: Person, bohdan: Person, webhook: Webhook, shop: Shop
) -> None:
    shop.slow.add(ANNA)
    for amount in (5, 7):
        await pay(anna, webhook, amount=amount)
    await pay(bohdan, webhook)
    await shop.until(lambda: shop.balance(BOHDAN) == 500)
    assert len(shop.calls_for(ANNA)) == 1

    shop.open[ANNA].set()

    await shop.until(lambda: shop.balance() == 1200)
    assert shop.most_at_once[ANNA] == 1


@pytest.mark.usefixtures("host", "retries_at_once")
async def test_a_handler_that_hangs_is_cancelled_and_called_again(
    anna: Person, webhook: Webhook, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handovers, "HANDLER_SECONDS_MAX", 0.05)
    shop.slow.add(ANNA)
    await pay(anna, webhook)
    await shop.until(lambda: len(shop.calls) >= 2)

    shop.open[ANNA].set()

    await shop.until(lambda: shop.balance() == 500)


@pytest.mark.usefixtures("retries_at_once")
async def test_a_handler_that_is_cancelled_from_inside_is_called_again(
    role_url: Callable[[str], str], ledger: Ledger, shop: Shop
) -> None:
    async def cancelled_once(credit: Credit) -> None:
        if not shop.calls:
            shop.calls.append(credit)
            raise asyncio.CancelledError
        await shop.add(credit)

    await ready(role_url, ledger)
    await ledger.adjust(70)

    async with handing_over(role_url("bot"), cancelled_once):
        await shop.until(lambda: shop.balance() == 70)


@pytest.mark.usefixtures("host", "retries_at_once")
async def test_a_failure_is_logged_by_its_type_and_place_without_its_text(
    anna: Person, webhook: Webhook, shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    shop.failing.add(ANNA)
    await pay(anna, webhook)
    await shop.until(lambda: len(shop.calls) >= 2)

    logged = "".join(capfd.readouterr())
    assert "handler failed for a credit" in logged
    assert "ValueError" in logged
    assert "test_handovers.py" in logged
    assert SECRET not in logged


# Restarts and several bots -----------------------------------------------------------------------------------------------


async def ready(role_url: Callable[[str], str], ledger: Ledger, *users: int) -> None:
    """Add the users to the database and register a handler, as if the bot had run before."""
    for user in users or (ANNA,):
        await ledger.pool.execute("INSERT INTO users (telegram_id) VALUES ($1)", user)
    async with open_pool(role_url("bot")) as bot:
        await start_handovers(bot)


async def test_a_call_that_a_kill_interrupts_is_repeated_by_the_next_bot(
    role_url: Callable[[str], str], ledger: Ledger, shop: Shop, pool: Pool
) -> None:
    await ready(role_url, ledger)
    await ledger.adjust(70)
    shop.slow.add(ANNA)
    async with handing_over(role_url("bot"), shop.add) as task:
        await shop.until(lambda: len(shop.calls) == 1)
        task.cancel()
        await asyncio.wait({task})
    assert await pool.fetchval("SELECT count(*) FROM handovers") == 1

    shop.open[ANNA].set()
    async with handing_over(role_url("bot"), shop.add):
        await shop.until(lambda: shop.balance() == 70)
        await all_handed_over(pool)

    assert len(shop.calls) == 2
    assert len(set(shop.calls_for(ANNA))) == 1


async def test_a_bot_that_stops_waits_for_the_running_call(
    role_url: Callable[[str], str], ledger: Ledger, shop: Shop, pool: Pool
) -> None:
    await ready(role_url, ledger)
    await ledger.adjust(70)
    shop.slow.add(ANNA)
    async with handing_over(role_url("bot"), shop.add):
        await shop.until(lambda: len(shop.calls) == 1)
        asyncio.get_running_loop().call_later(0.1, shop.open[ANNA].set)

    assert shop.balance() == 70
    assert await pool.fetchval("SELECT count(*) FROM handovers") == 0


@pytest.mark.usefixtures("retries_at_once")
async def test_the_failures_of_a_user_are_remembered_while_other_users_take_all_places(
    role_url: Callable[[str], str], ledger: Ledger, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The bot calls the handler for a limited number of users at a time, so the retry of a failed call may have to wait. In an
    earlier version, the bot forgot the failed attempts during this wait, and counted from 1 again.
    """
    monkeypatch.setattr(handovers, "USERS_AT_ONCE_MAX", 1)
    await ready(role_url, ledger, BOHDAN, ANNA)
    await ledger.adjust(50, user=BOHDAN)
    await ledger.adjust(70)
    shop.failing |= {ANNA, BOHDAN}

    with capture_logs() as logs:
        async with handing_over(role_url("bot"), shop.add):
            await shop.until(lambda: min(len(shop.calls_for(ANNA)), len(shop.calls_for(BOHDAN))) >= 6)

    attempts: dict[int, list[int]] = defaultdict(list)
    for one in logs:
        if one["event"] == "handler failed for a credit":
            attempts[one["credit_id"]].append(one["attempt"])
    assert len(attempts) == 2
    for counted in attempts.values():
        assert counted == list(range(1, len(counted) + 1))


async def test_a_failed_call_is_repeated_at_once_after_a_restart(
    role_url: Callable[[str], str], ledger: Ledger, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a restart, the call would be repeated after an hour.
    monkeypatch.setattr(handovers, "backoff_seconds", lambda *_, **__: 3600.0)
    await ready(role_url, ledger)
    await ledger.adjust(70)
    shop.failing.add(ANNA)
    async with handing_over(role_url("bot"), shop.add):
        await shop.until(lambda: len(shop.calls) >= 1)

    shop.failing.clear()
    async with handing_over(role_url("bot"), shop.add):
        await shop.until(lambda: shop.balance() == 70)


async def test_of_two_bots_only_one_at_a_time_calls_the_handler_and_each_entry_once(
    role_url: Callable[[str], str], ledger: Ledger, shop: Shop, pool: Pool
) -> None:
    await ready(role_url, ledger, ANNA, BOHDAN)
    async with handing_over(role_url("bot"), shop.add), handing_over(role_url("bot"), shop.add):
        for credits in range(1, 31):
            await ledger.adjust(credits, user=ANNA)
            await ledger.adjust(credits, user=BOHDAN)
            await announce(pool)
        await shop.until(lambda: len(shop.added) == 60)
        await all_handed_over(pool)

    assert len(shop.calls) == 60
    assert dict(shop.most_at_once) == {ANNA: 1, BOHDAN: 1}
    assert [credits for _, credits in shop.changes(ANNA)] == list(range(1, 31))


async def test_the_second_bot_takes_over_when_the_first_one_stops(
    role_url: Callable[[str], str], ledger: Ledger, shop: Shop, pool: Pool
) -> None:
    await ready(role_url, ledger)
    other = Shop()
    async with AsyncExitStack() as stack:
        async with handing_over(role_url("bot"), shop.add):
            await ledger.adjust(1)
            await announce(pool)
            await shop.until(lambda: shop.balance() == 1)
            await stack.enter_async_context(handing_over(role_url("bot"), other.add))
        await ledger.adjust(2)
        await announce(pool)
        await other.until(lambda: other.balance() == 2)

    assert shop.balance() == 1


async def test_many_entries_are_all_handed_over_in_order(
    role_url: Callable[[str], str], ledger: Ledger, shop: Shop, pool: Pool
) -> None:
    """
    Given more users than the bot serves at the same time, and more entries than one query reads, then the handler still gets
    all entries of each user in order.
    """
    users = list(range(1, 61))
    await ready(role_url, ledger, *users)
    action = await pool.fetchval(
        "INSERT INTO operator_actions (operator_id, action, reason) VALUES (900, 'credit', 'a test') RETURNING action_id"
    )
    await pool.execute(
        "INSERT INTO credits (telegram_id, kind, credits, cause, action_id)"
        " SELECT u, 'adjustment', n, 'a test', $2 FROM generate_series(1, 20) AS n, unnest($1::bigint []) AS u ORDER BY u, n",
        users,
        action,
    )

    async with handing_over(role_url("bot"), shop.add):
        await shop.until(lambda: len(shop.added) == 1200)

    assert all([credits for _, credits in shop.changes(user)] == list(range(1, 21)) for user in users)


async def test_an_outage_of_the_database_neither_loses_nor_repeats_a_call(
    role_url: Callable[[str], str], ledger: Ledger, shop: Shop, pool: Pool
) -> None:
    await ready(role_url, ledger)
    await ledger.adjust(70)
    shop.slow.add(ANNA)
    async with handing_over(role_url("bot"), shop.add):
        await shop.until(lambda: len(shop.calls) == 1)
        await pool.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bot'")
        shop.open[ANNA].set()
        await all_handed_over(pool)

    assert len(shop.calls) == 1
    assert shop.balance() == 70


# Registration ------------------------------------------------------------------------------------------------------------


async def test_without_a_handler_nothing_is_queued(
    run_host: RunHost, anna: Person, webhook: Webhook, pool: Pool
) -> None:
    async with run_host():
        await pay(anna, webhook)

    assert await pool.fetchval("SELECT count(*) FROM handovers") == 0
    assert await pool.fetchval("SELECT count(*) FROM leases WHERE lease = 'handing_over'") == 0


def add_at_once(credit: Credit) -> None:
    raise AssertionError(credit)


async def test_a_handler_that_is_not_async_is_refused(host: Payments) -> None:
    with pytest.raises(TypeError, match="async def"):
        host.on_credited(add_at_once)  # type: ignore[arg-type]  # the test passes a wrong type on purpose


async def test_a_second_handler_is_refused(host: Payments, shop: Shop) -> None:
    with pytest.raises(RuntimeError, match="only one handler"):
        host.on_credited(shop.add)


async def test_the_bots_role_cannot_queue_an_entry_itself(role_url: Callable[[str], str], ledger: Ledger) -> None:
    """
    The handler must be called only for entries of the ledger.

    If the bot's database role could queue a call, a person who stole the role's password could credit users without an entry.
    """
    await ready(role_url, ledger)
    bot = await asyncpg.connect(role_url("bot"))

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await bot.execute("INSERT INTO handovers (credit_id, telegram_id) VALUES (1, $1)", ANNA)

    await bot.close()
