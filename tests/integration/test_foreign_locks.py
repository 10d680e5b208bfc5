"""
Check that no other client of the database can stop settlement.

Another bot that spends credits locks the balance of a user. This may delay only the payments of this user.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from coffee_ledger.errors import RowLockedError
from coffee_ledger.events import Event, read_event
from coffee_ledger.store.database import Connection, open_pool, sql
from coffee_ledger.store.settlement import settle_events
from coffee_ledger.store.upkeep import rematch_waiting_charges
from tests.integration.bmc import a_payment, raw
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.test_settling import CODE
from tests.integration.webhook import RULES, Webhook, serve_webhook

TURNS = ("settling_turn", "opening_turn", "expiring_turn", "blanking_turn")
FORMER_ADVISORY_LOCKS = "SELECT pg_advisory_lock(4711001), pg_advisory_lock(4711003), pg_advisory_lock(4711002, 1)"


@pytest.fixture
async def shop(ledger: Ledger, role_url: Callable[[str], str], database: str) -> AsyncIterator[str]:
    """Create a role for another bot with the privileges of `spender`, and yield the role's name."""
    role = f"shop_of_{database}"
    await ledger.pool.execute(f"CREATE ROLE {role} LOGIN; GRANT spender TO {role}")
    yield role
    await ledger.pool.execute(f"DROP ROLE {role}")


@pytest.fixture(params=["grafana_reader", "watcher", "shop"])
async def stranger(
    request: pytest.FixtureRequest, shop: str, role_url: Callable[[str], str]
) -> AsyncIterator[Connection]:
    """Return a database connection of a client that takes no part in settlement."""
    db = await asyncpg.connect(role_url(shop if request.param == "shop" else request.param))
    # Some roles start in read-only mode, but every client can turn this mode off for its own session. Turn the mode off, so
    # that the client can try to take locks.
    await db.execute("SET default_transaction_read_only = off")
    yield db
    await db.close()


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("mode", ["ACCESS SHARE", "ROW EXCLUSIVE", "SHARE", "EXCLUSIVE", "ACCESS EXCLUSIVE"])
async def test_a_stranger_cannot_take_a_lock_of_the_services(stranger: Connection, turn: str, mode: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with stranger.transaction():
            await stranger.execute(f"LOCK TABLE public.{turn} IN {mode} MODE")


@pytest.mark.parametrize("call", ["public.take_settling_turn()", "public.try_turn('settling_turn')"])
async def test_a_stranger_cannot_call_a_function_that_takes_such_a_lock(stranger: Connection, call: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await stranger.execute(f"SELECT {call}")


async def test_advisory_locks_of_a_stranger_delay_no_payment(
    stranger: Connection, ledger: Ledger, webhook: Webhook
) -> None:
    """A client holds the advisory locks that earlier versions used for settlement. A payment is credited without delay."""
    await ledger.open(CODE)
    await ledger.pool.execute(
        "GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint), pg_advisory_lock(integer, integer) TO public"
    )
    await stranger.execute(FORMER_ADVISORY_LOCKS)

    async with asyncio.timeout(5):
        outcomes = await webhook.settle(a_payment(support_note=CODE))

    assert outcomes == ["credited"]
    assert await ledger.balance(ANNA) == 500


@pytest.mark.parametrize(
    ("role", "turn"),
    [("webhook", "opening_turn"), ("janitor", "opening_turn")]
    + [(role, turn) for role in ("webhook", "bot") for turn in ("expiring_turn", "blanking_turn")],
)
async def test_a_service_cannot_take_a_lock_that_it_does_not_need(
    role_url: Callable[[str], str], role: str, turn: str
) -> None:
    db = await asyncpg.connect(role_url(role))

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with db.transaction():
            await db.execute(f"LOCK TABLE {turn} IN EXCLUSIVE MODE")

    await db.close()


@pytest.mark.parametrize(
    ("role", "statement"),
    [("bot", "lock_opening"), *((role, "lock_settling") for role in ("webhook", "bot", "janitor"))],
)
async def test_a_lock_of_the_services_is_held_until_the_end_of_the_transaction(
    ledger: Ledger, role_url: Callable[[str], str], role: str, statement: str
) -> None:
    first, second = [await asyncpg.connect(role_url(role)) for _ in range(2)]

    async def take_turn() -> None:
        async with second.transaction():
            await second.execute(sql(statement))

    async with first.transaction():
        await first.execute(sql(statement))
        waiting = asyncio.create_task(take_turn())
        await ledger.until_somebody_waits()
        assert not waiting.done()

    async with asyncio.timeout(5):
        await waiting
    for db in (first, second):
        await db.close()


# Locked rows ----------------------------------------------------------------------------------------------------------

USERS = range(101, 111)
BLOCKED = USERS[-1]


def code_of(user: int) -> str:
    """Return a code for the user in the older form: the user's id and a timestamp."""
    return f"{user}_1780405603"


@pytest.fixture
async def spending(
    ledger: Ledger, webhook: Webhook, shop: str, role_url: Callable[[str], str]
) -> AsyncIterator[Connection]:
    """
    Yield another bot's connection with an open transaction. The transaction spent credits of the user BLOCKED, so it locks the
    balance of BLOCKED.

    Each user of USERS has requested a payment. So far, only the payment of BLOCKED was paid and credited.
    """
    for user in USERS:
        await ledger.open(code_of(user), user=user)
    assert await webhook.settle(a_payment(support_note=code_of(BLOCKED))) == ["credited"]
    db = await asyncpg.connect(role_url(shop))
    await db.execute("BEGIN")
    await db.execute("SELECT spend_credits($1, 1, 'a book', 'order-1')", BLOCKED)
    yield db
    await db.close()


async def test_an_uncommitted_spending_delays_only_its_own_user(
    spending: Connection, ledger: Ledger, webhook: Webhook
) -> None:
    """
    While the balance of one user is locked, other users' payments are credited without delay.

    This webhook has no spool, so it answers 503 to the payment of the blocked user. After the lock ends, a further payment of
    this user is credited.
    """
    blocked = asyncio.create_task(webhook.post(a_payment(support_note=code_of(BLOCKED))))
    await ledger.until_somebody_waits()

    async with asyncio.timeout(2):
        answer = await webhook.post(a_payment(support_note=code_of(101)))

    assert answer == (200, {"outcome": "credited"})
    assert (await blocked)[0] == 503
    await spending.execute("COMMIT")
    assert await webhook.settle(a_payment(support_note=code_of(BLOCKED))) == ["credited"]
    assert (await ledger.balance(101), await ledger.balance(BLOCKED)) == (500, 999)


async def until_credited(ledger: Ledger, user: int, balance: int) -> None:
    while await ledger.balance(user) != balance:
        pass


async def test_other_events_overtake_a_spooled_event_that_needs_a_locked_row(
    spending: Connection, ledger: Ledger, role_url: Callable[[str], str], tmp_path: Path
) -> None:
    others = [user for user in USERS if user != BLOCKED]
    async with open_pool(role_url("webhook")) as pool, serve_webhook(pool, spool=tmp_path) as spooling:
        blocked = asyncio.create_task(spooling.post(a_payment(support_note=code_of(BLOCKED))))
        await ledger.until_somebody_waits()

        async with asyncio.timeout(3):
            answers = await asyncio.gather(*(spooling.post(a_payment(support_note=code_of(user))) for user in others))
            for user in others:
                await until_credited(ledger, user, 500)

        assert {status for status, _ in answers} == {200}
        assert await blocked == (200, {"outcome": "spooled"})
        assert await ledger.balance(BLOCKED) == 500
        await spending.execute("COMMIT")
        async with asyncio.timeout(10):
            await until_credited(ledger, BLOCKED, 999)


async def test_waiting_charges_are_rematched_although_one_needs_a_locked_row(
    spending: Connection, ledger: Ledger, webhook: Webhook, role_url: Callable[[str], str]
) -> None:
    await webhook.settle(a_payment(support_note="K7QM2XHD"), a_payment(support_note="P4RT9WEZ"))
    await ledger.open("K7QM2XHD", user=BLOCKED)
    await ledger.open("P4RT9WEZ", user=ANNA)

    async with open_pool(role_url("janitor")) as pool:
        found = await rematch_waiting_charges(pool, RULES, now=datetime.now(UTC))

        assert (found, await ledger.balance(ANNA), await ledger.balance(BLOCKED)) == (1, 500, 500)
        await spending.execute("COMMIT")
        assert await rematch_waiting_charges(pool, RULES, now=datetime.now(UTC)) == 1


async def test_a_deadlock_with_another_bot_is_resolved(
    ledger: Ledger, role_url: Callable[[str], str], shop: str
) -> None:
    """
    Settlement locks Anna's balance before Bohdan's. The other bot locks the two balances in the opposite order, so a deadlock
    occurs.

    Settlement must then fail with RowLockedError. When the same events are settled again, settlement must succeed.
    """
    await ledger.open("K7QM2XHD", user=ANNA)
    await ledger.open("P4RT9WEZ", user=BOHDAN)
    now = datetime.now(UTC)

    def payments() -> list[Event]:
        bodies = (raw(a_payment(support_note=code)) for code in ("K7QM2XHD", "P4RT9WEZ"))
        return [read_event(body, received_at=now, nonce="1") for body in bodies]

    db = await asyncpg.connect(role_url(shop))
    async with open_pool(role_url("webhook")) as pool:
        await settle_events(pool, payments(), RULES, now=now)
        batch = payments()
        spending = db.transaction()
        await spending.start()
        await db.execute("SELECT spend_credits($1, 1, 'a book', 'order-1')", BOHDAN)
        settling = asyncio.create_task(settle_events(pool, batch, RULES, now=now))
        await ledger.until_somebody_waits()

        await db.execute("SELECT spend_credits($1, 1, 'a book', 'order-2')", ANNA)
        with pytest.raises(RowLockedError):
            await settling
        await spending.commit()
        await settle_events(pool, batch, RULES, now=now)

    await db.close()
    assert await ledger.credits("payment") == [500] * 4
    assert await ledger.drift() == 0


async def test_spendings_for_two_users_in_one_transaction_refuse_no_payment(
    ledger: Ledger, webhook: Webhook, role_url: Callable[[str], str], shop: str
) -> None:
    codes = {ANNA: "K7QM2XHD", BOHDAN: "P4RT9WEZ"}
    for user, code in codes.items():
        await ledger.open(code, user=user)
        await webhook.settle(a_payment(support_note=code))

    async def spend(name: str) -> None:
        db = await asyncpg.connect(role_url(shop))
        for number in range(10):
            with suppress(asyncpg.DeadlockDetectedError):
                async with db.transaction():
                    await db.execute("SELECT spend_credits($1, 1, 'x', $2)", BOHDAN, f"{name}-b-{number}")
                    # The other bot does other work between its two calls, so it holds the first lock longer, and deadlocks are likely.
                    await db.execute("SELECT pg_sleep(0.004)")
                    await db.execute("SELECT spend_credits($1, 1, 'x', $2)", ANNA, f"{name}-a-{number}")
        await db.close()

    async def pay() -> set[str]:
        outcomes: set[str] = set()
        for _ in range(10):
            answers = await asyncio.gather(*(webhook.post(a_payment(support_note=code)) for code in codes.values()))
            outcomes |= {answer["outcome"] for _, answer in answers}
        return outcomes

    _, _, outcomes = await asyncio.gather(spend("one"), spend("two"), pay())

    assert outcomes == {"credited"}
    assert await ledger.drift() == 0
