"""Check that erasing a user removes all personal data of the user, and does not delay payments."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from coffee_ledger.model import TelegramId
from coffee_ledger.store.database import Pool, open_pool, sql
from coffee_ledger.store.prompts import open_prompt
from coffee_ledger.store.upkeep import blank_personal_fields
from coffee_ledger.store.users import erase_user
from tests.integration.bmc import a_payment, a_refund_of, a_subscription
from tests.integration.people import ANNA, Ledger
from tests.integration.test_settling import CODE
from tests.integration.webhook import Webhook

PERSON: dict[str, Any] = {"supporter_id": 5, "supporter_name": "Anna K", "supporter_email": "anna@example.org"}


@pytest.fixture
async def bot(role_url: Callable[[str], str]) -> AsyncIterator[Pool]:
    async with open_pool(role_url("bot")) as pool:
        yield pool


async def kept_bodies(ledger: Ledger) -> list[int]:
    """Return the `event_no` of each event that still has a body."""
    rows = await ledger.pool.fetch("SELECT event_no FROM events WHERE body IS NOT NULL ORDER BY event_no")
    return [row["event_no"] for row in rows]


async def test_an_event_without_money_is_erased_by_its_supporter(ledger: Ledger, webhook: Webhook, bot: Pool) -> None:
    """If an event has the user's supporter id but no e-mail address, erasing the user also erases the event's body."""
    await ledger.open(CODE)
    cancellation = a_subscription("membership.cancelled", supporter_id=5, supporter_name="Anna K")
    somebody_elses = a_subscription("membership.cancelled", supporter_id=55, supporter_name="Hanna K")
    await webhook.settle(a_payment(support_note=CODE, **PERSON), cancellation, somebody_elses)

    await erase_user(bot, TelegramId(ANNA))

    assert await kept_bodies(ledger) == [3]


async def test_an_event_of_a_charge_is_erased_although_it_has_no_supporter(
    ledger: Ledger, webhook: Webhook, bot: Pool
) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note=CODE), a_payment(**PERSON))

    await erase_user(bot, TelegramId(ANNA))

    assert await kept_bodies(ledger) == [2]


async def test_the_open_questions_to_an_erased_operator_are_forgotten(ledger: Ledger, bot: Pool) -> None:
    await ledger.pool.execute("INSERT INTO users (telegram_id) VALUES (900), (901)")
    for operator in (900, 901):
        await open_prompt(bot, TelegramId(operator), "who", 1, now=datetime.now(UTC))

    await erase_user(bot, TelegramId(900))

    assert [row["telegram_id"] for row in await ledger.pool.fetch("SELECT telegram_id FROM prompts")] == [901]


EVENTS, CHARGES = 200_000, 20_000
INSERT_EVENTS = """
    INSERT INTO events (delivery_key, type, live_mode, body, outcome, charge_key, supporter_id)
    SELECT 'x' || n, 'donation.created', true, 'somebody else', 'credited', 'donation:' || n, n + 1000
      FROM generate_series(1, $1) AS n
"""
INSERT_CHARGES = """
    INSERT INTO charges (charge_key, family, amount, currency, note, paid_at, is_paid)
    SELECT 'donation:' || n, 'donation', 5, 'USD', 'a note', now(), true FROM generate_series(1, $1) AS n
"""


async def test_erasing_reads_only_the_rows_of_the_user(
    ledger: Ledger, webhook: Webhook, role_url: Callable[[str], str]
) -> None:
    """Erasing holds the lock that settlement needs. If erasing scanned a whole table, all payments would wait for the scan."""
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note=CODE, **PERSON))
    await ledger.pool.execute(INSERT_EVENTS, EVENTS, timeout=120)
    await ledger.pool.execute(INSERT_CHARGES, CHARGES, timeout=120)
    db = await asyncpg.connect(role_url("bot"))

    async with db.transaction():
        await db.execute(sql("lock_settling"))
        await db.execute(sql("erase_user"), ANNA)
        walked = {
            table: await db.fetchval("SELECT pg_stat_get_xact_tuples_returned($1::text::regclass)", table)
            for table in ("events", "charges")
        }

    await db.close()
    assert walked == {"events": 0, "charges": 0}
    assert await ledger.pool.fetchval("SELECT count(*) FROM events WHERE body IS NULL") == 1


async def test_a_repeat_after_erasing_and_blanking_changes_nothing_and_a_refund_still_counts(
    ledger: Ledger, webhook: Webhook, bot: Pool, janitor: Pool
) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE, **PERSON)
    refund = a_refund_of(payment)
    assert await webhook.settle(payment) == ["credited"]
    await erase_user(bot, TelegramId(ANNA))
    now = datetime.now(UTC)
    await ledger.pool.execute("UPDATE events SET received_at = now() - interval '100 days'")
    await blank_personal_fields(janitor, now=now, before=now - timedelta(days=90))

    outcomes = await webhook.settle(payment | {"attempt": 2}, payment | {"event_id": 123456}, refund, refund)

    assert outcomes == ["duplicate", "recorded", "refunded", "duplicate"]
    assert await ledger.balance() == 0
