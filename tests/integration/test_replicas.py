"""Check that two replicas of the webhook share the work and credit each charge once."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from coffee_ledger.events import read_event
from coffee_ledger.store.database import open_pool
from coffee_ledger.store.settlement import settle_events
from services.webhook.spool import Spool, VerifiedDelivery
from tests.integration.bmc import a_payment, a_refund_of, raw
from tests.integration.people import Ledger, connect_all
from tests.integration.test_settling import CODE
from tests.integration.webhook import RULES, serve_webhook

USERS = range(101, 131)
REFUNDED = frozenset(user for user in USERS if user % 3 == 0)


async def test_an_event_received_by_both_replicas_at_once_is_credited_once(
    ledger: Ledger, role_url: Callable[[str], str]
) -> None:
    await ledger.open(CODE)
    now = datetime.now(UTC)
    event = read_event(raw(a_payment(support_note=CODE)), received_at=now, nonce="n")

    async with open_pool(role_url("webhook")) as one, open_pool(role_url("webhook")) as two:
        await connect_all(one)
        await connect_all(two)
        done = await asyncio.gather(*(settle_events(pool, [event], RULES, now=now) for pool in (one, two) * 5))

    assert sorted(str(each.outcomes[0]) for each in done) == ["credited", *["duplicate"] * 9]
    assert await ledger.credits() == [500]


def events_of(user: int) -> list[dict[str, Any]]:
    """Return two copies of the event of the user's payment. For a user in REFUNDED, the event of the refund precedes them."""
    payment = a_payment(support_note=f"{user}_1780405603")
    return [*([a_refund_of(payment)] if user in REFUNDED else []), payment, payment]


async def test_both_replicas_drain_one_spool_and_credit_each_charge_once(
    ledger: Ledger, role_url: Callable[[str], str], tmp_path: Path
) -> None:
    for user in USERS:
        await ledger.open(f"{user}_1780405603", user=user, minutes_ago=10)
    spool, began = Spool(tmp_path), datetime.now(UTC) - timedelta(minutes=5)
    for number, event in enumerate(event for user in USERS for event in events_of(user)):
        received_at = began + timedelta(milliseconds=number)
        spool.keep(VerifiedDelivery(raw(event), received_at, secrets.token_hex(8), 2, None))

    async with (
        asyncio.timeout(40),
        open_pool(role_url("webhook")) as one,
        open_pool(role_url("webhook")) as two,
        serve_webhook(one, spool=tmp_path),
        serve_webhook(two, spool=tmp_path),
    ):
        while spool.look():  # noqa: ASYNC110 — poll, because no `asyncio.Event` reports an empty spool
            await asyncio.sleep(0.05)

    balances = await ledger.pool.fetch("SELECT telegram_id, balance FROM balances ORDER BY telegram_id")
    assert [tuple(row) for row in balances] == [(user, 0 if user in REFUNDED else 500) for user in USERS]
    assert await ledger.drift() == 0
