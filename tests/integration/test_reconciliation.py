"""
The janitor finds payments that are in BMC's lists, but that no webhook has reported.

It reads a list from the newest page on, and stops at a page on which every row is old and already reported.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from coffee_ledger.bmc_api import ApiList, ApiState, Row, SubscriptionRow
from coffee_ledger.events import read_event
from coffee_ledger.store.database import Pool, sql
from coffee_ledger.store.settlement import settle_events
from services.janitor.bmc_client import BmcClient
from services.janitor.reconciliation import Pass, find_missing_rows
from tests.integration.webhook import RULES
from tests.sandbox.world import Sandbox, open_sandbox

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with open_sandbox() as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> BmcClient:
    token = (await sandbox.get("/bmc/api/token"))["token"]
    return BmcClient(SecretStr(token), url=str(sandbox.url / "bmc/api/v1"))


async def pay(sandbox: Sandbox, pool: Pool, **order: Any) -> str:
    """
    Pay, and settle the events that the sandbox sends about the payment.

    Return the transaction id of the payment, or the id of the subscription if the payment starts one.
    """
    paid = await sandbox.pay(**order)
    for delivery in await sandbox.settled(paid["event_id"]):
        event = read_event(delivery["body"].encode(), received_at=datetime.now(UTC), nonce="1")
        await settle_events(pool, [event], RULES, now=datetime.now(UTC))
    return str(paid.get("transaction_id") or paid["psp_id"])


async def pay_unreported(sandbox: Sandbox, **order: Any) -> str:
    await sandbox.post("/bmc/misbehave", kind="forgotten")
    paid = await sandbox.pay(**order)
    return str(paid.get("transaction_id") or paid["psp_id"])


def ids(rows: tuple[Row, ...]) -> list[str | None]:
    return [row.psp_id if isinstance(row, SubscriptionRow) else row.transaction_id for row in rows]


async def tomorrow(client: BmcClient, janitor: Pool, list_: ApiList = ApiList.SUPPORTERS, **how: Any) -> Pass:
    """Read a list with tomorrow as `known_before`, so that every row of the list is older than this limit."""
    return await find_missing_rows(client, janitor, list_, known_before=datetime.now(UTC) + timedelta(days=1), **how)


async def test_only_the_payments_without_a_webhook_are_missing(
    sandbox: Sandbox, client: BmcClient, pool: Pool, janitor: Pool
) -> None:
    await pay(sandbox, pool)
    older = await pay_unreported(sandbox)
    await pay(sandbox, pool)
    newer = await pay_unreported(sandbox, note="K7QM-2XHD")

    done = await tomorrow(client, janitor)

    assert ids(done.missing) == [newer, older]
    assert (done.state, done.is_complete, done.rows, done.pages) == (ApiState.PAGE, True, 4, 1)


@pytest.mark.parametrize("kind", ["extra_purchase", "commission_order", "wishlist_payment"])
async def test_a_payment_of_any_family_is_known_by_its_transaction(
    sandbox: Sandbox, client: BmcClient, pool: Pool, janitor: Pool, kind: str
) -> None:
    await pay(sandbox, pool, kind=kind)
    missing = await pay_unreported(sandbox, kind=kind)

    assert ids((await tomorrow(client, janitor)).missing) == [missing]


async def test_shop_purchases_are_compared_too(sandbox: Sandbox, client: BmcClient, pool: Pool, janitor: Pool) -> None:
    await pay(sandbox, pool, kind="extra_purchase")
    missing = await pay_unreported(sandbox, kind="extra_purchase")
    await pay_unreported(sandbox, kind="extra_purchase", amount=0)

    assert ids((await tomorrow(client, janitor, ApiList.EXTRAS)).missing) == [missing]
    assert ids((await tomorrow(client, janitor, ApiList.SUPPORTERS)).missing) == [missing]


@pytest.mark.parametrize("kind", ["membership", "recurring_donation"])
async def test_a_renewal_without_a_webhook_is_missing(
    sandbox: Sandbox, client: BmcClient, pool: Pool, janitor: Pool, kind: str
) -> None:
    await pay(sandbox, pool, kind=kind)
    renewed = await pay(sandbox, pool, kind=kind)
    new = await pay_unreported(sandbox, kind=kind)
    await sandbox.post("/bmc/misbehave", kind="forgotten")
    await sandbox.post(f"/bmc/subscriptions/{renewed}/renew")

    done = await tomorrow(client, janitor, ApiList.SUBSCRIPTIONS)

    assert ids(done.missing) == [new, renewed]


async def test_reading_stops_at_known_ground(sandbox: Sandbox, client: BmcClient, pool: Pool, janitor: Pool) -> None:
    hidden = await pay_unreported(sandbox)
    for _ in range(5):
        await pay(sandbox, pool)

    stopped = await tomorrow(client, janitor)
    full = await find_missing_rows(client, janitor, ApiList.SUPPORTERS, known_before=LONG_AGO)

    assert (stopped.pages, stopped.is_complete, ids(stopped.missing)) == (1, True, [])
    assert (full.pages, full.is_complete, ids(full.missing)) == (2, True, [hidden])


async def test_reading_goes_on_behind_a_missing_row(
    sandbox: Sandbox, client: BmcClient, pool: Pool, janitor: Pool
) -> None:
    older = await pay_unreported(sandbox)
    for _ in range(4):
        await pay(sandbox, pool)
    newer = await pay_unreported(sandbox)

    assert ids((await tomorrow(client, janitor)).missing) == [newer, older]


async def test_a_row_that_shifts_to_the_next_page_is_found_once(
    sandbox: Sandbox, client: BmcClient, janitor: Pool
) -> None:
    paid = [await pay_unreported(sandbox) for _ in range(6)]
    await sandbox.post("/bmc/misbehave", kind="api_shifted")

    done = await tomorrow(client, janitor)

    assert ids(done.missing) == paid[::-1]
    assert (done.rows, done.pages) == (6, 2)


async def test_a_pass_reads_a_limited_number_of_pages(sandbox: Sandbox, client: BmcClient, janitor: Pool) -> None:
    for _ in range(11):
        await pay_unreported(sandbox)

    done = await tomorrow(client, janitor, pages_max=2)

    assert (done.pages, done.is_complete, len(done.missing)) == (2, False, 10)


async def test_a_failed_page_ends_the_pass_with_the_rows_found(
    sandbox: Sandbox, client: BmcClient, janitor: Pool
) -> None:
    for _ in range(6):
        await pay_unreported(sandbox)
    await sandbox.post("/bmc/misbehave", kind="api_broken")

    failed, read = await tomorrow(client, janitor), await tomorrow(client, janitor)

    assert (failed.state, failed.is_complete, failed.missing) == (ApiState.UNREACHABLE, False, ())
    assert (read.state, read.is_complete, len(read.missing)) == (ApiState.PAGE, True, 6)


async def test_an_empty_list_is_a_complete_pass(client: BmcClient, janitor: Pool) -> None:
    done = await tomorrow(client, janitor)

    assert (done.state, done.is_complete, done.missing, done.rows) == (ApiState.EMPTY, True, (), 0)


async def test_a_row_with_another_number_is_known_by_its_transaction(
    sandbox: Sandbox, client: BmcClient, pool: Pool, janitor: Pool
) -> None:
    paid = await pay(sandbox, pool)
    await sandbox.post("/bmc/api/rows", transaction_id=paid, fields={"support_id": 1, "is_refunded": "perhaps"})

    assert (await tomorrow(client, janitor)).missing == ()


async def test_the_lookup_of_transactions_uses_the_index(pool: Pool) -> None:
    async with pool.acquire() as db, db.transaction():
        # Forbid a scan of the whole table. The table is empty, so the planner would prefer the scan to the index.
        await db.execute("SET LOCAL enable_seqscan = off")

        plan = await db.fetch(f"EXPLAIN {sql('find_known_transactions')}", "bmc", ["pi_1", "pi_2"])

    assert "one_charge_per_transaction" in str(plan)
