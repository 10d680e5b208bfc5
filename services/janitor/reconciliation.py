"""
Find payments in BMC's own lists that no webhook has reported.

No task of the janitor uses this module yet. The task that settles the missing payments will use it.
"""

from dataclasses import dataclass
from datetime import datetime

from coffee_ledger.bmc_api import ApiList, ApiState, Row
from coffee_ledger.reconciling import is_known_ground, is_missing
from coffee_ledger.store.database import Pool
from coffee_ledger.store.reconciliation import load_known_charges
from services.janitor.bmc_client import BmcClient

PAGES_MAX = 10
"""
The maximum number of pages that one pass reads. Each page is one request.

The number is less than the limit of requests per minute (`REQUESTS_PER_MINUTE_MAX`). So a pass leaves some requests for
another use: when a user claims to have paid, a request can look for this payment.
"""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """The result of reading the newest pages of one list."""

    state: ApiState
    """The state of the last request. If the request failed, the pass ended early, and *missing* has the rows found until then."""
    is_complete: bool
    """True if the pass reached the end of the list or known ground (`find_missing_rows` defines known ground)."""
    missing: tuple[Row, ...]
    """The rows without a charge of ours, the newest first. No row is repeated, even if the pages shifted during the pass."""
    rows: int
    """The number of different rows that were read."""
    pages: int


async def find_missing_rows(
    client: BmcClient, pool: Pool, list_: ApiList, *, known_before: datetime, pages_max: int = PAGES_MAX
) -> Pass:
    """
    Read the newest pages of a list, and return the rows of payments for which we have no charge.

    Stop after *pages_max* pages, at the end of the list, or at known ground. Known ground is a page that shows that
    older pages need not be read: all its rows are older than *known_before*, and none of its payments lacks a charge of ours.

    As *known_before*, pass the time of the last complete pass minus one day. The day is subtracted for two reasons. First, a
    payment of that day may still have no charge, because its delivery failed and BMC has not repeated the delivery yet. Second,
    the times of the rows may be in another time zone. Before the first complete pass, pass a time before all payments.

    Raises:
        DatabaseAwayError: The charges could not be loaded.
    """
    missing: list[Row] = []
    seen: set[str] = set()
    rows = 0
    for page in range(1, pages_max + 1):
        result = await client.read_page(list_, page)
        if result.state is not ApiState.PAGE:
            is_complete = result.state is ApiState.EMPTY
            return Pass(state=result.state, is_complete=is_complete, missing=tuple(missing), rows=rows, pages=page)
        # A new payment moves all rows down by one, so the last row of a page may be on the next page again.
        fresh = [row for row in result.rows if row.row_id not in seen]
        seen |= {row.row_id for row in fresh if row.row_id is not None}
        rows += len(fresh)
        known = await load_known_charges(pool, result.rows)
        missing += [row for row in fresh if is_missing(row, known)]
        if not result.has_more or is_known_ground(result.rows, known, before=known_before):
            return Pass(state=result.state, is_complete=True, missing=tuple(missing), rows=rows, pages=page)
    return Pass(state=ApiState.PAGE, is_complete=False, missing=tuple(missing), rows=rows, pages=pages_max)
