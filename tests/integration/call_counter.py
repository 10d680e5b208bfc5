"""
Count the calls of Python functions while a batch is settled. This process configures its logs as the webhook does.

    python -m tests.integration.call_counter DATABASE_URL

The standard input is a JSON array with two batches. A batch is an array of bodies. While the first batch is settled, the
process opens its connection and prepares its statements. Only the calls for the second batch are counted. The log goes to the
standard output, and the result to the standard error.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

from coffee_ledger.events import read_event
from coffee_ledger.runtime.logs import configure_logging
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.settlement import settle_events
from services.webhook.metrics import observe_settlement
from services.webhook.settlement_log import log_settlement
from tests.integration.webhook import RULES


async def settle_batch(pool: Pool, bodies: Sequence[str]) -> list[str]:
    """Process a batch as the webhook does between the check of the signatures and the answers. Return the outcomes."""
    now = datetime.now(UTC)
    events = [read_event(body.encode(), received_at=now, nonce=f"{number}") for number, body in enumerate(bodies)]
    done = await settle_events(pool, events, RULES, now=now)
    observe_settlement(done, now=now)
    log_settlement(done, events)
    return list(done.outcomes)


@contextmanager
def counting_calls() -> Iterator[list[int]]:
    """Yield a list with one item: the number of calls of Python functions in this thread while the context is open."""
    calls = [0]

    def count(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            calls[0] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def main(database_url: str) -> None:
    first, second = json.load(sys.stdin)
    configure_logging(level="INFO", service="webhook")
    async with open_pool(database_url) as pool:
        await settle_batch(pool, first)
        with counting_calls() as calls:
            outcomes = await settle_batch(pool, second)
    print(json.dumps({"calls": calls[0], "outcomes": outcomes}), file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
