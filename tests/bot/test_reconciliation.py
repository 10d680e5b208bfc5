"""
The bot shows the results of comparing Buy Me a Coffee's own lists with our charges.

Operators see the results with /reconcile and /doctor. A user who claims to have paid learns the result for the claimed payment.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from coffee_ledger.store.database import Pool
from services.janitor.bmc_client import BmcClient
from services.janitor.outages import OutageWatch
from services.janitor.reconciliation import Reconciler
from tests.bot.desk import ask, shown
from tests.bot.people import Person
from tests.integration.people import Ledger
from tests.integration.webhook import RULES
from tests.sandbox.world import Sandbox

PAUSE_SECONDS = 0.1
CODE, SHOWN = "K7QM2XHD", "K7QM-2XHD"

Start = Callable[[], Awaitable[None]]


@pytest.fixture
async def start_janitor(sandbox: Sandbox, janitor: Pool) -> AsyncIterator[Start]:
    """Return a function that runs the janitor's reconciliation once, and then starts to repeat it in the background."""
    running: list[asyncio.Task[None]] = []

    async def start() -> None:
        token = (await sandbox.get("/bmc/api/token"))["token"]
        minutes = iter(range(10**6))
        client = BmcClient(SecretStr(token), url=str(sandbox.url / "bmc/api/v1"), clock=lambda: 60.0 * next(minutes))
        reconciler = Reconciler(client, janitor, RULES, OutageWatch(), clock=lambda: datetime.now(UTC))
        await reconciler.run_once(datetime.now(UTC))
        running.append(asyncio.create_task(repeat(reconciler)))

    async def repeat(reconciler: Reconciler) -> None:
        while True:
            await reconciler.run_once(datetime.now(UTC))
            await asyncio.sleep(PAUSE_SECONDS)

    yield start
    for task in running:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def pay_unreported(sandbox: Sandbox, **order: object) -> None:
    await sandbox.post("/bmc/misbehave", kind="forgotten")
    await sandbox.pay(**order)


@pytest.mark.usefixtures("bot")
async def test_without_a_token_an_operator_reads_how_to_switch_the_comparison_on(operator: Person) -> None:
    await operator.ask("/start")

    assert "set BMC_API_TOKEN" in await operator.ask("/reconcile")
    assert "set BMC_API_TOKEN" in await operator.ask("/doctor")


@pytest.mark.usefixtures("bot")
async def test_an_operator_compares_now_and_reads_the_rows(
    operator: Person, sandbox: Sandbox, ledger: Ledger, start_janitor: Start
) -> None:
    await operator.ask("/start")
    await ledger.open(CODE)
    await start_janitor()

    progress = await ask(operator, "/reconcile")
    agreed = await shown(operator, progress, "Every payment in the list is known")
    assert "✅ Supporters: empty" in agreed["text"]

    await pay_unreported(sandbox, amount=9)
    progress = await ask(operator, "/reconcile")
    waits = await shown(operator, progress, "no webhook yet")
    assert "• $9 (Supporters)" in waits["text"]

    await ledger.pool.execute("INSERT INTO reconciliation_requests (cause) VALUES ('restore')")
    await operator.hear()
    progress = await ask(operator, "/reconcile")
    found = await shown(operator, progress, "Found in the list")
    assert "$9" in found["text"]
    assert "waits for an operator" in found["text"]


@pytest.mark.usefixtures("bot")
async def test_an_operator_reads_the_remedy_of_a_failure(
    operator: Person, sandbox: Sandbox, start_janitor: Start
) -> None:
    await operator.ask("/start")
    await start_janitor()
    # The creator makes a new token for BMC's API. The janitor's token is then no longer valid.
    await sandbox.post("/bmc/api/token")

    progress = await ask(operator, "/reconcile")

    failed = await shown(operator, progress, "Buy Me a Coffee refuses the token")
    assert failed["text"].count("🔴") == 3
    assert "Buy Me a Coffee refuses the token" in await operator.ask("/doctor")


@pytest.mark.usefixtures("bot")
async def test_a_payment_in_no_list_is_shown_with_its_remedy(
    operator: Person, ledger: Ledger, start_janitor: Start
) -> None:
    await operator.ask("/start")
    await start_janitor()
    await ledger.pool.execute(
        "WITH forged AS ("
        " INSERT INTO charges (charge_key, family, amount, currency, paid_at, is_paid)"
        " VALUES ('donation:pi_1', 'donation', 5, 'USD', now(), true) RETURNING charge_id"
        ") INSERT INTO charge_listings (charge_id, reported_at) SELECT charge_id, now() FROM forged"
    )

    progress = await ask(operator, "/reconcile")

    await shown(operator, progress, "Not in the list, although a webhook came")
    assert "🔴 1 payment is not in Buy Me a Coffee’s own list" in await operator.ask("/doctor")


async def claim(person: Person, amount: str) -> None:
    for said in ("/claim", "today", amount, "Anna"):
        await person.ask(said)


@pytest.mark.usefixtures("bot")
async def test_a_claim_is_answered_from_the_list(
    anna: Person, sandbox: Sandbox, ledger: Ledger, start_janitor: Start
) -> None:
    await anna.ask("/start")
    await start_janitor()

    await claim(anna, "$7")

    assert "it shows no payment with your code yet" in (await anna.hear())["text"]


@pytest.mark.usefixtures("bot")
async def test_a_claim_finds_the_payment_with_the_users_code(
    anna: Person, sandbox: Sandbox, ledger: Ledger, start_janitor: Start
) -> None:
    await anna.ask("/start")
    await ledger.open(CODE, user=anna.telegram_id, status="expired")
    await start_janitor()
    await pay_unreported(sandbox, note=SHOWN)

    await claim(anna, "$5")

    assert "+500 credits" in (await anna.hear())["text"]
