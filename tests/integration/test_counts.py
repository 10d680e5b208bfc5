"""
The metrics get their numbers from the table `counts`. So a snapshot of these numbers need not read all payments.

Writing to the table delays no other transaction. The janitor merges the rows of the table and corrects them.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

import asyncpg
import pytest
from structlog.testing import capture_logs

from coffee_ledger.codes import issue_code
from coffee_ledger.events import read_event
from coffee_ledger.model import CreditKind, PaymentStatus
from coffee_ledger.store.database import Pool, open_pool, sql
from coffee_ledger.store.settlement import settle_events
from coffee_ledger.store.snapshot import Entries, Snapshot, take_snapshot
from coffee_ledger.store.upkeep import correct_counts, expire_payments
from tests.integration.bmc import a_payment, a_refund_of, raw
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import RULES, Webhook

CODES = [issue_code(Random(seed)) for seed in range(20)]
MISSING = "SELECT * FROM missing_counts"
PATIENCE_SECONDS = 5


@pytest.fixture
def merging(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Make every snapshot of the metrics' numbers merge the rows of `counts`.

    By default, a snapshot merges the rows only if there are more than 1,000.
    """
    monkeypatch.setattr("coffee_ledger.store.snapshot.COUNTS_MAX", 0)


async def measure(janitor: Pool) -> Snapshot:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await take_snapshot(janitor, now=datetime.now(UTC))


async def number_of_counts(ledger: Ledger) -> int:
    found: int = await ledger.pool.fetchval("SELECT count(*) FROM counts")
    return found


async def do_some_of_everything(ledger: Ledger, webhook: Webhook, janitor: Pool) -> None:
    """Make changes that add counts of each kind. Some changes, such as a refund, update rows that were counted before."""
    for code, minutes in zip(CODES, (1, 2, 60), strict=False):
        await ledger.open(code, minutes_ago=minutes)
    payments = [a_payment(amount=5, support_note=code) for code in CODES[:2]]
    first_refunded = a_payment(amount=9, currency="EUR")
    await webhook.settle(*payments, a_payment(amount=7, currency="JPY"), a_refund_of(first_refunded), first_refunded)
    await ledger.pool.execute("SELECT spend_credits($1, 700, 'a song', 'one')", ANNA)
    await webhook.settle(a_refund_of(payments[0]))
    now = datetime.now(UTC)
    assert await expire_payments(janitor, now=now, opened_before=now - timedelta(minutes=30)) == 1


async def test_counts_are_right_after_some_of_everything(ledger: Ledger, webhook: Webhook, janitor: Pool) -> None:
    await do_some_of_everything(ledger, webhook, janitor)

    snapshot = await measure(janitor)

    assert await ledger.pool.fetch(MISSING) == []
    assert snapshot.payments == {"pending": 0, "completed": 2, "expired": 1}
    assert snapshot.charges == {"matched": 1, "unmatched": 1, "refunded": 2}
    assert snapshot.paid_hundredths == {"USD": 1000, "EUR": 900, "JPY": 700}
    assert snapshot.matches == {"code": 2}
    assert snapshot.given == {"payment": Entries(2, 1000)}
    assert snapshot.taken == {"spend": Entries(1, 700), "refund": Entries(1, 500)}
    assert (snapshot.overdrafts.refunds, snapshot.overdrafts.users) == (1, 1)


async def test_a_missing_count_is_found_for_every_trigger(ledger: Ledger, webhook: Webhook, janitor: Pool) -> None:
    """
    The view `missing_counts` must show the missing counts of each trigger.

    If the view ignored a trigger, it would stay empty, and the tests that expect an empty view would prove nothing.
    """
    await ledger.pool.execute("CREATE TABLE unused (LIKE counts INCLUDING DEFAULTS)")
    await ledger.pool.execute("ALTER TABLE counts RENAME TO real_counts; ALTER TABLE unused RENAME TO counts")

    await do_some_of_everything(ledger, webhook, janitor)

    missing = await ledger.pool.fetch("SELECT DISTINCT counted, kind FROM missing_counts ORDER BY counted, kind")
    assert [tuple(row) for row in missing] == [
        ("charges", "matched"), ("charges", "refunded"), ("charges", "unmatched"), ("credits_given", "payment"),
        ("credits_taken", "refund"), ("credits_taken", "spend"), ("overdrawn", "balance"), ("overdrawn", "refund"),
        ("pending_payments", "completed"), ("pending_payments", "expired"),
    ]  # fmt: skip


async def test_merged_counts_have_the_same_sums(
    ledger: Ledger, webhook: Webhook, janitor: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await do_some_of_everything(ledger, webhook, janitor)
    before, rows_before = await measure(janitor), await number_of_counts(ledger)
    monkeypatch.setattr("coffee_ledger.store.snapshot.COUNTS_MAX", rows_before - 1)

    after, rows_after = await measure(janitor), await number_of_counts(ledger)

    assert rows_after < rows_before
    assert await ledger.pool.fetch(MISSING) == []
    assert (after.charges, after.paid_hundredths, after.given) == (before.charges, before.paid_hundredths, before.given)
    assert after.payments == {status: number for status, number in before.payments.items() if number}


async def test_few_counts_are_not_merged(ledger: Ledger, janitor: Pool) -> None:
    await ledger.open(CODES[0])
    await ledger.open(CODES[1])

    await measure(janitor)

    assert await number_of_counts(ledger) == 2


async def test_a_batch_inserts_a_count_for_each_number_and_not_for_each_payment(
    ledger: Ledger, role_url: Callable[[str], str]
) -> None:
    for number, code in enumerate(CODES):
        await ledger.open(code, user=101 + number)
    before, now = await number_of_counts(ledger), datetime.now(UTC)
    events = [read_event(raw(a_payment(support_note=code)), received_at=now, nonce=code) for code in CODES]

    async with open_pool(role_url("webhook")) as pool:
        done = await settle_events(pool, events, RULES, now=now)

    assert set(done.outcomes) == {"credited"}
    # The batch adds four rows: for matched charges, given credits, completed payments, and payments no longer pending.
    assert await number_of_counts(ledger) == before + 4


@pytest.mark.usefixtures("merging")
async def test_a_change_that_is_not_committed_delays_nobody_and_is_counted_later(
    ledger: Ledger, webhook: Webhook, janitor: Pool, role_url: Callable[[str], str]
) -> None:
    """Another bot has spent credits, and its transaction stays open. Settlements, snapshots and corrections do not wait for it."""
    await ledger.open(CODES[0])
    await ledger.open(CODES[1], user=BOHDAN)
    await ledger.open(CODES[2])
    await webhook.settle(a_payment(support_note=CODES[0]))
    other_bot = await asyncpg.connect(role_url("ledger_owner"))
    spending = other_bot.transaction()
    await spending.start()
    await other_bot.execute("SELECT spend_credits($1, 100, 'a song', 'one')", ANNA)

    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await webhook.settle(a_payment(support_note=CODES[1])) == ["credited"]
        meanwhile = await measure(janitor)
        assert await correct_counts(janitor) == 0
    await spending.commit()
    afterwards = await measure(janitor)

    await other_bot.close()
    assert meanwhile.payments == {PaymentStatus.PENDING: 1, PaymentStatus.COMPLETED: 2}
    assert meanwhile.taken == {}
    assert afterwards.taken == {CreditKind.SPEND: Entries(1, 100)}
    assert await ledger.pool.fetch(MISSING) == []


@pytest.mark.usefixtures("merging")
async def test_two_janitors_that_merge_at_once_lose_nothing(
    ledger: Ledger, webhook: Webhook, janitor: Pool, role_url: Callable[[str], str]
) -> None:
    await do_some_of_everything(ledger, webhook, janitor)
    first = await asyncpg.connect(role_url("janitor"))

    async with first.transaction():
        await first.execute(sql("merge_counts"), 0)
        second = asyncio.create_task(measure(janitor))
        await ledger.until_somebody_waits()
    await second

    await first.close()
    assert await ledger.pool.fetch(MISSING) == []


async def test_counts_of_rows_that_were_changed_without_triggers_are_corrected(
    ledger: Ledger, webhook: Webhook, janitor: Pool
) -> None:
    await do_some_of_everything(ledger, webhook, janitor)
    await ledger.pool.execute(
        "ALTER TABLE pending_payments DISABLE TRIGGER USER; UPDATE pending_payments SET status = 'cancelled'"
        " WHERE status = 'expired'; ALTER TABLE pending_payments ENABLE TRIGGER USER"
    )
    await ledger.pool.execute("DELETE FROM charges WHERE state = 'unmatched'")

    with capture_logs() as logs:
        corrected = await correct_counts(janitor)

    snapshot = await measure(janitor)
    assert corrected == 3
    assert {(line["counted"], line["kind"], line["missing"]) for line in logs} == {
        ("pending_payments", "cancelled", 1), ("pending_payments", "expired", -1), ("charges", "unmatched", -1),
    }  # fmt: skip
    assert (snapshot.payments["cancelled"], snapshot.payments["expired"]) == (1, 0)  # type: ignore[index]  # a text finds its `StrEnum` key, because the two are equal
    assert await correct_counts(janitor) == 0


async def test_two_janitors_correct_the_counts_once(
    ledger: Ledger, janitor: Pool, role_url: Callable[[str], str]
) -> None:
    await ledger.open(CODES[0])
    await ledger.pool.execute("DELETE FROM counts")
    first = await asyncpg.connect(role_url("janitor"))

    async with first.transaction():
        await first.execute(sql("lock_counts"))
        second = asyncio.create_task(correct_counts(janitor))
        await ledger.until_somebody_waits()
        await first.execute(sql("correct_counts"))

    assert await second == 0
    await first.close()
    assert await ledger.pool.fetch(MISSING) == []


async def test_a_correction_delays_no_payment(ledger: Ledger, webhook: Webhook, role_url: Callable[[str], str]) -> None:
    await ledger.open(CODES[0])
    correcting = await asyncpg.connect(role_url("janitor"))

    async with correcting.transaction(), asyncio.timeout(PATIENCE_SECONDS):
        await correcting.execute(sql("lock_counts"))
        await correcting.execute(sql("correct_counts"))
        outcomes = await webhook.settle(a_payment(support_note=CODES[0]))

    await correcting.close()
    assert outcomes == ["credited"]
    assert await ledger.pool.fetch(MISSING) == []
