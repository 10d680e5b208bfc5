"""
An operator can order that a failed or unreadable event is settled again.

The bot records the order, and the janitor executes it.
"""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.decisions import Done, OperatorRequest, RefusalCause, Refused, request_retry
from coffee_ledger.store.upkeep import close_answered_claims
from services.janitor.tasks import Task
from tests.integration.bmc import a_payment
from tests.integration.janitor import janitor_task
from tests.integration.people import ANNA, Ledger, connect_all
from tests.integration.test_desk import OLHA, PETRO
from tests.integration.webhook import Webhook

CODE = "K7QM2XHD"
REFUSE_CHARGES = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'not now';
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON charges FOR EACH ROW EXECUTE FUNCTION refuse()
"""


@pytest.fixture
async def janitor(role_url: Callable[[str], str]) -> AsyncIterator[Task]:
    async with open_pool(role_url("janitor")) as pool:
        await connect_all(pool)
        yield janitor_task(pool, "retry_requested_events")


def order(operator: int = OLHA, *, key: str | None = None) -> OperatorRequest:
    return OperatorRequest(operator=operator, reason="event 1", now=datetime.now(UTC), request_key=key)  # type: ignore[arg-type]


async def fail(webhook: Webhook, ledger: Ledger, **payment: Any) -> tuple[dict[str, Any], int]:
    """Send a payment while the database refuses all charges, then repair the database. Return the event and its number."""
    event = a_payment(**payment)
    await ledger.pool.execute(REFUSE_CHARGES)
    assert await webhook.settle(event) == ["failed"]
    await ledger.pool.execute("DROP TRIGGER refuse ON charges; DROP FUNCTION refuse()")
    return event, await ledger.pool.fetchval("SELECT max(event_no) FROM events")


async def test_a_failed_payment_is_credited_when_an_operator_orders_it(
    desk: Pool, janitor: Task, webhook: Webhook, ledger: Ledger
) -> None:
    await ledger.open(CODE)
    event, event_no = await fail(webhook, ledger, support_note=CODE)
    assert await janitor.run_once(datetime.now(UTC)) == 0

    assert isinstance(await request_retry(desk, event_no, order()), Done)
    assert await janitor.run_once(datetime.now(UTC)) == 1
    assert await janitor.run_once(datetime.now(UTC)) == 0
    assert await webhook.settle(event) == ["duplicate"]

    assert await ledger.credits() == [500]
    assert await ledger.status(CODE) == "completed"
    assert await ledger.outcomes() == ["credited"]
    assert (await ledger.charge())["telegram_id"] == ANNA
    assert await ledger.told(ANNA) == ["payment_credited"]
    assert await ledger.facts("event_retried") == {"event_no": event_no, "outcome": "credited"}


async def test_settling_again_causes_no_guess(desk: Pool, janitor: Task, webhook: Webhook, ledger: Ledger) -> None:
    """
    If an event is settled again, no guess may match its charge.

    The user who paid may have cancelled their pending payment since the first attempt. If another user's pending payment fits
    the charge, a guess would credit this other user.
    """
    await ledger.open(CODE)
    _, event_no = await fail(webhook, ledger)

    await request_retry(desk, event_no, order())
    await janitor.run_once(datetime.now(UTC))

    assert await ledger.outcomes() == ["unmatched"]
    assert await ledger.credits() == []


async def test_a_claim_raised_meanwhile_is_closed(desk: Pool, janitor: Task, webhook: Webhook, ledger: Ledger) -> None:
    await ledger.open(CODE)
    _, event_no = await fail(webhook, ledger, support_note=CODE)
    await ledger.pool.execute(
        "INSERT INTO claims (telegram_id, paid_on, amount, currency) VALUES ($1, current_date, 5, 'USD')", ANNA
    )

    await request_retry(desk, event_no, order())
    await janitor.run_once(datetime.now(UTC))

    assert await close_answered_claims(ledger.pool, now=datetime.now(UTC)) == 1


async def test_only_the_first_of_two_operators_decides(desk: Pool, webhook: Webhook, ledger: Ledger) -> None:
    _, event_no = await fail(webhook, ledger)

    first = await request_retry(desk, event_no, order(key="press:1"))
    repeated = await request_retry(desk, event_no, order(key="press:1"))
    second = await request_retry(desk, event_no, order(PETRO, key="press:2"))

    assert isinstance(first, Done)
    assert repeated == Refused(RefusalCause.REPEATED)
    assert second == Refused(RefusalCause.DECIDED_BEFORE, OLHA)
    actions = await ledger.pool.fetch("SELECT operator_id, action, reason FROM operator_actions")
    assert [tuple(row) for row in actions] == [(OLHA, "retry", "event 1")]


async def test_an_event_that_fails_again_stays_failed_and_is_reported(
    desk: Pool, janitor: Task, webhook: Webhook, ledger: Ledger
) -> None:
    _, event_no = await fail(webhook, ledger)
    await ledger.pool.execute(REFUSE_CHARGES)
    await request_retry(desk, event_no, order())

    assert await janitor.run_once(datetime.now(UTC)) == 0

    assert await ledger.outcomes() == ["failed"]
    assert await ledger.facts("event_retried") == {"event_no": event_no, "outcome": "failed"}
    assert isinstance(await request_retry(desk, event_no, order()), Done)


async def test_an_event_that_fails_again_does_not_delay_others(
    desk: Pool, janitor: Task, webhook: Webhook, ledger: Ledger
) -> None:
    failed = [
        (await fail(webhook, ledger, transaction_id="pi_bad"))[1],
        (await fail(webhook, ledger, amount=7))[1],
    ]
    await ledger.pool.execute(REFUSE_CHARGES.replace("EACH ROW", "EACH ROW WHEN (NEW.transaction_id = 'pi_bad')"))
    for event_no in failed:
        await request_retry(desk, event_no, order())

    assert await janitor.run_once(datetime.now(UTC)) == 1

    assert await ledger.outcomes() == ["failed", "unmatched"]


async def test_an_event_that_is_still_unreadable_stays_unreadable(
    desk: Pool, janitor: Task, webhook: Webhook, ledger: Ledger
) -> None:
    await webhook.post(b"{not JSON")
    await request_retry(desk, 1, order())

    assert await janitor.run_once(datetime.now(UTC)) == 0

    assert await ledger.outcomes() == ["unreadable"]
    assert await ledger.facts("event_retried") == {"event_no": 1, "outcome": "unreadable"}


async def forget_what_was_read(ledger: Ledger, event_no: int) -> None:
    statement = "UPDATE events SET outcome = 'unreadable', delivery_key = 'x' WHERE event_no = $1"
    await ledger.pool.execute(statement, event_no)


async def test_an_event_that_became_readable_is_settled(
    desk: Pool, janitor: Task, webhook: Webhook, ledger: Ledger
) -> None:
    """An operator orders a retry of an event that an older version could not read. The current version reads and settles it."""
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note="hello", amount=9))
    _, event_no = await fail(webhook, ledger, support_note=CODE)
    await forget_what_was_read(ledger, event_no)
    await request_retry(desk, event_no, order())

    assert await janitor.run_once(datetime.now(UTC)) == 1

    assert await ledger.outcomes() == ["unmatched", "credited"]
    assert await ledger.credits() == [500]


async def test_an_event_redelivered_meanwhile_is_not_credited_twice(
    desk: Pool, janitor: Task, webhook: Webhook, ledger: Ledger
) -> None:
    await ledger.open(CODE)
    event, event_no = await fail(webhook, ledger, support_note=CODE)
    await forget_what_was_read(ledger, event_no)
    assert await webhook.settle(event) == ["credited"]
    await request_retry(desk, event_no, order())

    await janitor.run_once(datetime.now(UTC))

    assert await ledger.outcomes() == ["duplicate", "credited"]
    assert await ledger.credits() == [500]


@pytest.mark.parametrize("event_no", [2, 1])
async def test_a_settled_event_cannot_be_ordered_again(
    desk: Pool, webhook: Webhook, ledger: Ledger, event_no: int
) -> None:
    await webhook.settle(a_payment())

    assert await request_retry(desk, event_no, order()) == Refused(RefusalCause.UNKNOWN_EVENT)

    assert await ledger.pool.fetchval("SELECT count(*) FROM operator_actions") == 0
