"""When a pending payment ends, the bot turns the message with the code into a receipt without buttons."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from coffee_ledger.codes import show_code
from coffee_ledger.model import PaymentId, TelegramId
from coffee_ledger.store.database import Pool
from coffee_ledger.store.pending_payments import cancel_payment
from coffee_ledger.store.upkeep import expire_payments
from tests.bot.fixtures import RunBot
from tests.bot.people import Message, Person, buttons, labels
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

WAIT_SECONDS = 10
SOON = timedelta(minutes=1)


async def request_of(person: Person, code: PaymentId) -> Message:
    """Return the request to pay, which is the message with the code, as soon as it has lost its buttons."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            found = [one for one in await person.messages() if show_code(code) in one["text"]]
            if found and not buttons(found[0]):
                return found[0]
            await person.sandbox.get(person.path, after=person.last_read, wait=1)


async def rows_are_gone(pool: Pool) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await pool.fetchval("SELECT count(*) FROM payment_messages"):  # noqa: ASYNC110 — no signal reports a deleted row
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("bot")
async def test_a_paid_request_becomes_a_receipt(anna: Person, webhook: Webhook) -> None:
    code = await anna.ask_for_code("5")

    await webhook.post(a_payment(amount=5, support_note=code))

    assert (await request_of(anna, code))["text"] == f"✅ $5 paid · +500 credits\n\nCode: {show_code(code)}"
    assert "Thank you!" in (await anna.hear())["text"]


@pytest.mark.usefixtures("bot")
async def test_the_receipt_names_the_amount_that_was_paid(bohdan: Person, webhook: Webhook) -> None:
    code = await bohdan.ask_for_code("10")

    await webhook.post(a_payment(amount=7.5, support_note=code))

    assert "✅ $7,50 сплачено · +750 кредитів" in (await request_of(bohdan, code))["text"]


@pytest.mark.usefixtures("bot")
async def test_a_request_that_the_command_cancels_loses_its_buttons(anna: Person) -> None:
    code = await anna.ask_for_code("5")

    await anna.ask("/cancel")

    assert "Cancelled: $5" in (await request_of(anna, code))["text"]


@pytest.mark.usefixtures("bot")
async def test_a_request_that_the_list_cancels_loses_its_buttons(anna: Person) -> None:
    code = await anna.ask_for_code("5")
    other = await anna.ask_for_code("10")
    await anna.ask("/cancel")

    await anna.press(f"$5 · {show_code(code)}")

    assert "Cancelled: $5" in (await request_of(anna, code))["text"]
    [kept] = [one for one in await anna.messages() if f"Your code: {show_code(other)}" in one["text"]]
    assert "Cancel" in labels(kept)


@pytest.mark.usefixtures("bot")
async def test_a_request_that_the_mini_app_cancels_loses_its_buttons(anna: Person, pool: Pool) -> None:
    code = await anna.ask_for_code("5")

    await cancel_payment(pool, code, TelegramId(ANNA), now=datetime.now(UTC))

    assert "Cancelled: $5" in (await request_of(anna, code))["text"]


@pytest.mark.usefixtures("bot")
async def test_an_expired_request_loses_its_buttons(anna: Person, pool: Pool) -> None:
    code = await anna.ask_for_code("5")
    now = datetime.now(UTC)

    await expire_payments(pool, now=now, opened_before=now + SOON)

    assert "the time is up" in (await request_of(anna, code))["text"]


@pytest.mark.usefixtures("bot")
async def test_every_message_with_the_code_becomes_a_receipt(anna: Person, webhook: Webhook) -> None:
    """A user who requests the same amount again gets the same code in a second message."""
    code = await anna.ask_for_code("5")
    assert await anna.ask_for_code("5") == code

    await webhook.post(a_payment(amount=5, support_note=code))

    await request_of(anna, code)
    async with asyncio.timeout(WAIT_SECONDS):
        while any(show_code(code) in one["text"] and buttons(one) for one in await anna.messages()):
            await anna.sandbox.get(anna.path, after=anna.last_read, wait=1)


async def test_a_payment_that_ends_while_the_bot_is_away_becomes_a_receipt_at_its_next_start(
    run_bot: RunBot, anna: Person, webhook: Webhook
) -> None:
    async with run_bot():
        code = await anna.ask_for_code("5")
    await webhook.post(a_payment(amount=5, support_note=code))

    async with run_bot():
        shown = await request_of(anna, code)

    assert "✅ $5 paid" in shown["text"]


@pytest.mark.usefixtures("bot")
async def test_a_message_of_a_user_who_blocked_the_bot_is_forgotten(
    sandbox: Sandbox, anna: Person, pool: Pool, webhook: Webhook
) -> None:
    code = await anna.ask_for_code("5")
    await sandbox.post(f"{anna.path}/block")

    await webhook.post(a_payment(amount=5, support_note=code))

    await rows_are_gone(pool)
