"""The runbook's remedies do what it says: each is run against a database in the state that it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ledger.matching import Why
from ledger.store.database import Pool
from ledger.store.upkeep import measure_drift
from services.bot.speech import speech
from services.bot.telegram import COMMANDS, OPERATOR_COMMANDS
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.test_settling import CODE
from tests.integration.webhook import Webhook

RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
BLOCKS = [
    (heading, block)
    for heading, section in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    for block in re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
]


def remedy(heading: str, place: int = -1, **values: object) -> str:
    """The block at that place under the heading, as psql would send it with these values in its `\\set` lines."""
    block = [block for under, block in BLOCKS if under == heading][place]
    known = dict(re.findall(r"^\\set (\w+) '?([^'\n]+)'?$", block, re.MULTILINE))
    assert values.keys() <= known.keys()
    known |= {name: str(value) for name, value in values.items()}
    statements = re.sub(r"^\\set .*\n", "", block, flags=re.MULTILINE)
    return re.sub(r":('?)(\w+)\1", lambda found: f"{found[1]}{known[found[2]]}{found[1]}", statements)


@pytest.mark.parametrize(("heading", "block"), BLOCKS, ids=[heading for heading, _ in BLOCKS])
async def test_every_block_runs_where_there_is_nothing_to_mend(pool: Pool, heading: str, block: str) -> None:
    place = [one for under, one in BLOCKS if under == heading].index(block)
    await pool.execute("INSERT INTO users (telegram_id) VALUES ($1), ($2)", ANNA, BOHDAN)

    await pool.execute(remedy(heading, place))


def test_every_reason_is_explained() -> None:
    assert [why for why in Why if f"`{why}`" not in RUNBOOK] == []


def test_what_the_chat_is_said_to_do_is_a_command_of_its() -> None:
    named = set(re.findall(r"(?:`|^)/([a-z_]+)[ `]", RUNBOOK, re.MULTILINE))

    assert named <= {*COMMANDS, *OPERATOR_COMMANDS}
    assert {"desk", "unmatched", "find", "undo", "credit", "doctor"} <= named


@pytest.mark.parametrize("label", ["desk-dismiss-button", "desk-undo-button", "desk-find-button"])
def test_the_buttons_are_called_as_they_are_in_the_chat(label: str) -> None:
    button = speech("en").label(label).removeprefix("🔎 ")

    assert f"**{button}**" in RUNBOOK


async def test_contradictions_and_what_cannot_be_read_are_found(pool: Pool, webhook: Webhook) -> None:
    payment = a_payment()
    altered = payment | {"data": payment["data"] | {"amount": 50}}
    await webhook.settle(payment, altered)
    await webhook.post(b"\xff not JSON")

    [pair] = await pool.fetch(remedy("An event disagrees with an earlier one"))
    [unread] = await pool.fetch(remedy("An event failed, or could not be read"))

    assert pair["outcome"] == "unmatched"
    assert unread["outcome"] == "unreadable"


async def test_what_was_given_up_is_owed_again(pool: Pool, ledger: Ledger) -> None:
    await pool.execute(
        "INSERT INTO notifications (telegram_id, kind, status, attempts) VALUES ($1, 'payment_credited', 'dead', 30)",
        ANNA,
    )

    await pool.execute(remedy("Nobody is told"))

    assert await pool.fetchval("SELECT count(*) FROM notifications WHERE status = 'pending' AND attempts = 0") == 1


async def test_balances_are_the_sums_again(pool: Pool, ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note=CODE))
    await pool.execute("UPDATE balances SET balance = 7")

    await pool.execute(remedy("Balances differ from the ledger"))

    assert await measure_drift(pool) == 0
    assert await ledger.balance(ANNA) == 500


async def test_who_asks_to_be_forgotten_is_and_a_repeat_is_still_known(
    pool: Pool, ledger: Ledger, webhook: Webhook
) -> None:
    payment = a_payment(support_note=f"Anna {CODE}", supporter_id=9, supporter_name="Anna", supporter_email="a@b.c")
    await ledger.open(CODE)
    await pool.execute("UPDATE users SET username = 'anna'")
    await webhook.settle(payment)

    await pool.execute(remedy("Somebody asks to be forgotten", user=ANNA))

    for table in ("bmc_events", "supporters", "charges", "users"):
        rows = await pool.fetch(f"SELECT to_jsonb({table})::text AS said FROM {table}")
        assert not [row for row in rows if "anna" in row["said"].lower() or "a@b.c" in row["said"]]
    assert await webhook.settle(payment) == ["duplicate"]
    assert await ledger.balance(ANNA) == 500
