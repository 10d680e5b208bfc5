"""Test claims: when operators can confirm a claim with one tap, and how often a user may raise a claim."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.model import Rates, TelegramId
from coffee_ledger.store.claims import NotRaised, Paused, raise_claim, withdraw_claim
from coffee_ledger.store.database import Pool, open_pool, sql
from coffee_ledger.store.decisions import Done, OperatorRequest, decline_claim
from coffee_ledger.store.lookup import ClaimFile, find_claim_file
from coffee_ledger.telegram.desk.cards import Card, claim_card, fits_exactly
from coffee_ledger.telegram.speech import speech
from tests.integration.bmc import a_payment
from tests.integration.people import Ledger
from tests.integration.webhook import Webhook

MALLORY, OLHA = TelegramId(666), TelegramId(900)
RATES = Rates({"USD": Decimal(100)})
NOTE = "Thank you for the great videos, love from Porto"
MANY_FIRST_NAMES = "Anna Maria Ines John Alex Olena Ivan Max Peter Paul Kate Sarah"


@pytest.fixture
async def bot(role_url: Callable[[str], str]) -> AsyncIterator[Pool]:
    """Yield a pool with the bot's role."""
    async with open_pool(role_url("bot")) as pool:
        yield pool


@pytest.fixture(autouse=True)
async def mallory(ledger: Ledger) -> TelegramId:
    await ledger.pool.execute("INSERT INTO users (telegram_id, username) VALUES ($1, 'mallory')", MALLORY)
    return MALLORY


async def donate(webhook: Webhook, name: str | None, *, amount: int = 5) -> None:
    """Deliver a donation without a code, from a supporter who is not a user."""
    await webhook.settle(a_payment(amount=amount, support_note=NOTE, supporter_name=name, supporter_id=4))


async def claim(bot: Pool, name: str | None, *, days_ago: int = 0) -> ClaimFile:
    """Raise a claim for $5 that was paid *days_ago* days ago by *name*, and return the claim as operators see it."""
    now = datetime.now(UTC)
    claim_id = await raise_claim(
        bot, MALLORY, ClaimedPayment((now - timedelta(days=days_ago)).date(), Decimal(5), "USD", name), now=now
    )
    assert isinstance(claim_id, int)
    file = await find_claim_file(bot, claim_id)
    assert file is not None
    return file


def show(file: ClaimFile, language: str = "en") -> Card:
    return claim_card(file, RATES, speech(language))


def first_button(file: ClaimFile) -> str:
    keyboard = show(file).keyboard
    assert keyboard is not None
    return keyboard.inline_keyboard[0][0].text


async def test_the_supporters_name_with_amount_and_day_allows_one_tap(webhook: Webhook, bot: Pool) -> None:
    await donate(webhook, "Inês Carvalho")

    file = await claim(bot, "carvalho ines")

    assert fits_exactly(file, file.charges[0])
    assert "✓ sum, ✓ day, ✓ name" in show(file).text
    assert first_button(file).startswith("✓")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(None, id="no name"),
        pytest.param("Thank You", id="usual words of the note"),
        pytest.param("great videos", id="words of the note"),
        pytest.param(MANY_FIRST_NAMES, id="a list of many names"),
        pytest.param("Inês", id="one of two words"),
        pytest.param("I. Carvalho", id="an initial"),
    ],
)
async def test_any_other_name_needs_a_confirmation(webhook: Webhook, bot: Pool, name: str | None) -> None:
    await donate(webhook, "Inês Carvalho")

    file = await claim(bot, name)

    assert not fits_exactly(file, file.charges[0])
    assert "✓ name" not in show(file).text
    assert first_button(file) == "#1 for @mallory?"


@pytest.mark.parametrize("name", [None, "", "Someone", "Anonymous"])
async def test_a_supporter_without_a_name_needs_a_confirmation(webhook: Webhook, bot: Pool, name: str | None) -> None:
    await donate(webhook, name)

    file = await claim(bot, name)

    assert not fits_exactly(file, file.charges[0])


async def test_the_name_alone_does_not_allow_one_tap(webhook: Webhook, bot: Pool) -> None:
    """
    An operator can confirm a charge with one tap only if the charge has the name, the amount and the day of the claim.

    In this test, two charges have the name of the claim, but a different day. One of them also has a different amount. So
    neither charge can be confirmed with one tap.
    """
    await donate(webhook, "Inês Carvalho", amount=7)
    await webhook.settle(a_payment(amount=5, supporter_name="Inês Carvalho", supporter_id=5))

    file = await claim(bot, "Inês Carvalho", days_ago=1)

    assert len(file.charges) == 2
    assert not [charge for charge in file.charges if fits_exactly(file, charge)]


async def test_two_charges_that_fit_both_need_a_confirmation(webhook: Webhook, bot: Pool) -> None:
    for _ in range(2):
        await donate(webhook, "Inês Carvalho")

    file = await claim(bot, "Inês Carvalho")

    assert len(file.charges) == 2
    assert not [charge for charge in file.charges if fits_exactly(file, charge)]


async def test_a_similar_name_is_marked_as_similar(webhook: Webhook, bot: Pool) -> None:
    await donate(webhook, "Inês Carvalho")

    file = await claim(bot, "Inês C.")

    assert "✓ sum, ✓ day, ≈ name" in show(file).text


async def test_the_note_makes_no_charge_of_another_amount_a_candidate(webhook: Webhook, bot: Pool) -> None:
    await donate(webhook, "Inês Carvalho", amount=7)

    file = await claim(bot, "love from Porto")

    assert file.charges == []


async def claim_at(bot: Pool, at: datetime) -> int | NotRaised | Paused:
    return await raise_claim(bot, MALLORY, ClaimedPayment(at.date(), Decimal(5), "USD"), now=at)


async def decline(bot: Pool, claim_id: int | NotRaised | Paused, at: datetime) -> None:
    assert isinstance(claim_id, int)
    assert isinstance(await decline_claim(bot, claim_id, OperatorRequest(OLHA, "nothing fits", at)), Done)


async def test_declined_claims_pause_further_claims(bot: Pool) -> None:
    """
    After two declined claims in 30 days, a user must wait for 7 days. After four declined claims in 90 days, a user must wait for
    30 days.

    Given a user who tries to raise four claims a day for 30 days, and operators who decline every claim, only four claims are
    raised.
    """
    start = datetime.now(UTC) - timedelta(days=30)
    raised_on = []
    for day in range(30):
        for minute in range(4):
            at = start + timedelta(days=day, minutes=minute)
            raised = await claim_at(bot, at)
            if isinstance(raised, int):
                raised_on.append(day)
                await decline(bot, raised, at)

    assert raised_on == [0, 0, 7, 14]


async def test_the_pause_ends_at_the_announced_time(bot: Pool) -> None:
    now = datetime.now(UTC)
    for _ in range(2):
        await decline(bot, await claim_at(bot, now), now)

    paused = await claim_at(bot, now + timedelta(days=7) - timedelta(seconds=1))

    assert paused == Paused(now + timedelta(days=7))
    assert isinstance(await claim_at(bot, now + timedelta(days=7)), int)


async def test_withdrawn_claims_count_only_for_one_day(bot: Pool) -> None:
    now = datetime.now(UTC)
    for _ in range(3):
        claim_id = await claim_at(bot, now)
        assert isinstance(claim_id, int)
        await withdraw_claim(bot, claim_id, MALLORY, now=now)

    assert await claim_at(bot, now) is NotRaised.TOO_MANY
    assert isinstance(await claim_at(bot, now + timedelta(days=1)), int)


async def test_a_claim_declined_meanwhile_counts(bot: Pool, ledger: Ledger) -> None:
    """
    After two declined claims, a user must wait for 7 days before the next claim.

    A user has one declined claim and one open claim. An operator declines the open claim while the user raises a third claim.
    The third claim waits for the operator's transaction. After the transaction, two claims are declined. So the third claim
    is refused.
    """
    now = datetime.now(UTC)
    await decline(bot, await claim_at(bot, now), now)
    second = await claim_at(bot, now)

    async with ledger.pool.acquire() as operator, operator.transaction():
        await operator.execute(sql("lock_settling"))
        third = asyncio.create_task(claim_at(bot, now))
        await ledger.until_somebody_waits()
        await operator.execute(sql("decline_claim"), second, OLHA, now)

    assert await third == Paused(now + timedelta(days=7))
    assert await ledger.pool.fetchval("SELECT count(*) FROM claims") == 2


@pytest.mark.parametrize(
    ("language", "line"),
    [("en", "Declined before: 2, the last on 12 May."), ("uk", "Раніше відхилено звернень: 2, востаннє 12 травня.")],
)
async def test_the_card_counts_the_users_declined_claims(bot: Pool, ledger: Ledger, language: str, line: str) -> None:
    for day in (12, 3):
        at = datetime(2026, 5, day, tzinfo=UTC)
        await ledger.pool.execute(
            "INSERT INTO claims (telegram_id, paid_on, amount, currency, status, created_at, decided_at)"
            " VALUES ($1, $2, 5, 'USD', 'declined', $3, $3)",
            MALLORY, at.date(), at,
        )  # fmt: skip

    file = await claim(bot, None)

    assert line in show(file, language).text


async def test_the_card_of_a_first_claim_shows_no_declined_claims(bot: Pool, ledger: Ledger) -> None:
    """The card counts only this user's declined claims, not the user's withdrawn claims or the declined claims of other users."""
    await ledger.pool.execute("INSERT INTO users (telegram_id) VALUES (1)")
    await ledger.pool.execute(
        "INSERT INTO claims (telegram_id, paid_on, amount, currency, status, decided_at)"
        " VALUES ($1, current_date, 5, 'USD', 'withdrawn', now()), (1, current_date, 5, 'USD', 'declined', now())",
        MALLORY,
    )

    file = await claim(bot, None)

    assert "Declined before" not in show(file).text
