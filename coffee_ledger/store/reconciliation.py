"""Find the stored charges that rows from BMC's API may describe. A row is one payment or subscription that BMC lists."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime

from coffee_ledger.bmc_api import Row, SubscriptionRow
from coffee_ledger.model import SOURCE_BMC
from coffee_ledger.reconciling import KnownCharges
from coffee_ledger.store.database import Pool, connected, sql


async def load_known_charges(pool: Pool, rows: Collection[Row]) -> KnownCharges:
    payments = [row.transaction_id for row in rows if not isinstance(row, SubscriptionRow) and row.transaction_id]
    subscriptions = [row.psp_id for row in rows if isinstance(row, SubscriptionRow) and row.psp_id]
    async with connected(pool) as db:
        found = await db.fetch(sql("find_known_transactions"), SOURCE_BMC, payments + subscriptions)
        periods = await db.fetch(sql("find_known_periods"), SOURCE_BMC, subscriptions)
    starts = defaultdict[str, list[datetime]](list)
    for period in periods:
        starts[period["psp_id"]].append(period["period_start"])
    return KnownCharges(transaction_ids=frozenset(row["transaction_id"] for row in found), period_starts=starts)
