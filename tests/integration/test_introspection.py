"""
Check that a new database connection loads all Postgres types before it takes a lock.

If a type were not loaded, asyncpg would query it while the transaction holds the lock. Other transactions would then wait
longer for the lock.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import coffee_ledger.store.database
from coffee_ledger.events import read_event
from coffee_ledger.model import ChargeKey, TelegramId
from coffee_ledger.store.database import Connection, Pool, connected, open_pool, prepare_connection, statements
from coffee_ledger.store.decisions import OperatorRequest, match_charge
from coffee_ledger.store.pending_payments import PaymentRequest, cancel_payment, open_payment
from coffee_ledger.store.settlement import rematch_charges, settle_events
from tests.integration.bmc import a_payment, a_refund_of, raw
from tests.integration.people import ANNA, Ledger
from tests.integration.test_settling import CODE, OTHER_CODE
from tests.integration.webhook import RULES

PAYMENT = a_payment(support_note=CODE)
CHARGE_KEY = ChargeKey(f"donation:{PAYMENT['data']['transaction_id']}")
NOW = datetime.now(UTC)


async def settle(pool: Pool, *bodies: dict[str, Any]) -> None:
    for body in bodies:
        await settle_events(pool, [read_event(raw(body), received_at=NOW, nonce="1")], RULES, now=NOW)


async def open_one(pool: Pool) -> None:
    request = PaymentRequest("message:1", TelegramId(ANNA), Decimal(5), "USD")
    await open_payment(pool, request, draw_code=lambda: OTHER_CODE, now=NOW, reuse_within=timedelta(hours=1))


async def match_one(pool: Pool) -> None:
    charge_id = await pool.fetchval("SELECT min(charge_id) FROM charges")
    order = OperatorRequest(TelegramId(900), "a reason", NOW)
    await match_charge(pool, charge_id, order, telegram_id=TelegramId(ANNA), payment_id=None, rates=RULES.rates)


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """
    Return an empty list. Every connection that is opened later adds its queries to the list.

    The queries that asyncpg sends by itself, for example to load types, are added too.
    """
    logged: list[str] = []

    async def prepare_and_log(db: Connection) -> None:
        db.add_query_logger(lambda record: logged.append(record.query))
        await prepare_connection(db)

    monkeypatch.setattr(coffee_ledger.store.database, "prepare_connection", prepare_and_log)
    return logged


def locked(queries: list[str]) -> list[list[str]]:
    """For each transaction that took a lock, return the list of its queries from the locking query to the commit."""
    found: list[list[str]] = []
    is_locked = False
    for query in queries:
        if "take_settling_turn" in query or "LOCK TABLE" in query:
            is_locked = True
            found.append([])
        if is_locked:
            found[-1].append(query)
        is_locked = is_locked and not query.startswith("COMMIT")
    return found


TRANSACTIONS: dict[str, tuple[str, Callable[[Pool], Awaitable[object]]]] = {
    "a payment": ("webhook", lambda pool: settle(pool, PAYMENT)),
    "a refund": ("webhook", lambda pool: settle(pool, a_refund_of(PAYMENT))),
    "a charge that is matched again": ("janitor", lambda pool: rematch_charges(pool, [CHARGE_KEY], RULES, now=NOW)),
    "a payment that is opened": ("bot", open_one),
    "a payment that is cancelled": ("bot", lambda pool: cancel_payment(pool, CODE, TelegramId(ANNA), now=NOW)),
    "an operator's match": ("bot", match_one),
}


@pytest.mark.parametrize(("role", "act"), TRANSACTIONS.values(), ids=TRANSACTIONS.keys())
async def test_a_new_connection_queries_no_type_while_it_holds_a_lock(
    ledger: Ledger,
    pool: Pool,
    role_url: Callable[[str], str],
    queries: list[str],
    role: str,
    act: Callable[[Pool], Awaitable[object]],
) -> None:
    await settle(pool, a_payment())
    await ledger.open(CODE)
    queries.clear()

    async with open_pool(role_url(role)) as fresh:
        await act(fresh)

    [transaction] = locked(queries)
    assert len(transaction) > 3
    assert transaction[-1].startswith("COMMIT")
    assert [query for query in transaction if "pg_type" in query or "set_config" in query] == []
    assert any("pg_type" in query for query in queries)


async def test_a_new_connection_knows_the_types_of_all_statements(
    role_url: Callable[[str], str], queries: list[str]
) -> None:
    async with open_pool(role_url("ledger_owner")) as fresh, connected(fresh) as db:
        # Wait for the next iteration of the event loop, in which asyncpg calls its query loggers.
        await asyncio.sleep(0)
        queries.clear()
        for statement in statements().values():
            await db.prepare(statement)
        await asyncio.sleep(0)

        assert queries == []
