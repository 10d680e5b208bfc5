"""Every release upgrades to the current version: with all its data, and while its services run."""

import asyncio
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from coffee_ledger.codes import show_code
from coffee_ledger.model import PaymentId
from coffee_ledger.store import outbox
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.spending import spend_credits
from coffee_ledger.store.upkeep import measure_drift
from services.migrate.migration import migrate
from tests.files import ROOT
from tests.integration.invariants import SNAPSHOT, Known, Row, Snapshot, check
from tests.integration.webhook import serve_webhook
from tests.upgrades.releases import Release, a_new_payment, each_release, filled_database, role_url
from tools.story import ANNA, Story, open_story


@each_release
async def test_an_upgrade_keeps_every_row_and_every_invariant(postgres_address: str, release: Release) -> None:
    async with filled_database(postgres_address, release) as url:
        db = await asyncpg.connect(url)
        # SNAPSHOT reads the table `counts`, which the release may not have. So make an empty temporary table of this name.
        # No check needs the rows of `counts` from before the migration.
        await db.execute("CREATE TEMPORARY TABLE counts ()")
        before, rows_before = Snapshot.read(await db.fetchval(SNAPSHOT)), await count_rows(db)
        await db.execute("DROP TABLE pg_temp.counts")

        await migrate(url, {}, folder=ROOT / "db")

        after, rows_after = Snapshot.read(await db.fetchval(SNAPSHOT)), await count_rows(db)
        unchecked = await db.fetchval("SELECT count(*) FROM pg_constraint WHERE NOT convalidated")
        invalid = await db.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid")
        await db.close()

    lost = {table: count for table, count in rows_before.items() if rows_after.get(table, 0) < count}
    assert lost == {}
    check(before, with_known_columns(after, before), known_from(before))
    assert (unchecked, invalid) == (0, 0)


async def count_rows(db: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    tables = [row[0] for row in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    return {table: await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


def with_known_columns(after: Snapshot, before: Snapshot) -> Snapshot:
    """
    Return *after* without the columns that a migration added.

    The invariants compare whole rows before and after the migration, so the new columns would count as changes.
    """
    known = {name: set(rows[0]) for name, rows in vars(before).items() if rows}
    return replace(after, **{name: [_only(row, known[name]) for row in getattr(after, name)] for name in known})


def _only(row: Row, columns: set[str]) -> Row:
    return {name: value for name, value in row.items() if name in columns}


def known_from(snapshot: Snapshot) -> Known:
    erased = {row["telegram_id"] for row in snapshot.users if row["erased_at"] is not None}
    charges = {user: {c["charge_key"] for c in snapshot.charges if c["telegram_id"] == user} for user in erased}
    owners = {row["payment_id"]: row["telegram_id"] for row in snapshot.payments}
    return Known(datetime.now(UTC), owners=owners, erased=charges)


@each_release
async def test_an_upgraded_database_takes_payments_messages_and_spendings(
    postgres_address: str, release: Release
) -> None:
    async with filled_database(postgres_address, release) as url:
        await migrate(url, {}, folder=ROOT / "db")
        async with open_story(lambda role: role_url(url, role), now=datetime.now(UTC)) as story:
            held = await balance_of(story.bot)

            code = await ask(story)
            async with serve_webhook(story.webhook) as webhook:
                outcomes = await webhook.settle(a_new_payment(show_code(code)), a_new_payment(amount=77))
            left = await spend_credits(story.bot, ANNA, 100, reason="a song", key="song-after-the-upgrade")

            assert outcomes == ["credited", "unmatched"]
            assert left == held + 500 - 100
            assert await measure_drift(story.janitor) == 0
            assert await tell(story.bot) == 1


async def ask(story: Story) -> PaymentId:
    """Request a payment as the bot does, with a request key that no snapshot contains."""
    story.numbers = itertools.count(20_000_000)
    return await story.request(ANNA, "5")


async def balance_of(pool: Pool) -> int:
    found: int = await pool.fetchval("SELECT balance FROM balances WHERE telegram_id = $1", ANNA)
    return found


async def tell(bot: Pool) -> int:
    """Mark all due messages as sent, and return the number of messages that tell Anna of the new payment."""
    now, told = datetime.now(UTC), 0
    for _ in range(50):
        due = await outbox.find_due_notifications(bot, operators=(), now=now, count_max=100)
        for one in due:
            told += one.telegram_id == ANNA and json.dumps(one.stored_facts).count("pi_new_")
            await outbox.mark_sent(bot, one.notification_id, message_id=1, now=now)
        if not due:
            return told
    raise AssertionError("messages are due without end")


@each_release
async def test_new_services_that_start_before_the_migration_lose_nothing(
    postgres_address: str, release: Release, tmp_path: Path
) -> None:
    """
    `docker compose up` does not wait for the end of `migrate` before it starts the new webhook.

    If the new webhook can use the old schema, it settles deliveries. Otherwise it puts them into the spool. It answers 200 in
    both cases.
    """
    async with (
        filled_database(postgres_address, release) as url,
        open_pool(role_url(url, "webhook")) as pool,
        serve_webhook(pool, spool=tmp_path) as webhook,
    ):
        early = [(await webhook.post(a_new_payment()))[0] for _ in range(3)]
        await migrate(url, {}, folder=ROOT / "db")
        late = [(await webhook.post(a_new_payment()))[0] for _ in range(3)]
        db = await asyncpg.connect(url)
        async with asyncio.timeout(20):
            while await db.fetchval("SELECT count(*) FROM charges WHERE transaction_id LIKE 'pi_new_%'") < 6:
                pass
        await db.close()

    assert (early, late) == ([200] * 3, [200] * 3)
