"""
Post every known request body of Buy Me a Coffee unchanged, and check that the webhook understands it.

Many bodies come from BMC's button "Send test", which moves no money. Other bodies come from real payments.
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.people import ANNA, Ledger
from tests.integration.test_settling import CODE
from tests.integration.webhook import Webhook

PAYLOADS = Path(__file__).parent.parent / "data" / "payloads"


@dataclass(frozen=True)
class Money:
    charge_key: str
    amount: str
    currency: str
    credits: int
    """The credits for the amount. A dollar is worth 100 credits, and a euro is worth 110 credits."""
    paid_at: int | None
    """The Unix time of the payment. If the event contains no time, this is None, and the ledger uses the time of receipt."""
    is_doubtful: bool = False
    """True if only an operator may decide which user paid."""


@dataclass(frozen=True)
class Expected:
    outcome: str
    """The outcome of the event in an empty database, in which no user has a pending payment."""
    told: str | None
    """The kind of notification that operators get, or None if they get no notification."""
    money: Money | None = None


# If `live_mode` is false, the event only tests the connection, so all such events have the same outcome and notification.
A_TEST = Expected("test", "test_event")
# An event that reports the end of a subscription moves no money and needs no notification.
AN_END = Expected("recorded", None)


def paid(charge_key: str, amount: str, currency: str, credits: int, *, paid_at: int | None = None) -> Expected:
    return Expected("unmatched", "charge_unmatched", Money(charge_key, amount, currency, credits, paid_at))


def without_period(charge_key: str, amount: str, currency: str, *, paid_at: int | None = None) -> Expected:
    """
    Expect a charge that only an operator may match, because the event does not contain the period of the subscription.

    BMC may send two events about one charge. Without the period, they look like two charges.
    """
    money = Money(charge_key, amount, currency, credits=0, paid_at=paid_at, is_doubtful=True)
    return Expected("unmatched", "charge_unmatched", money)


EXPECTED = {
    "commission_order.created--overlabels": paid(
        "commission_order:pi_3McSHBJEtINljGAa1mx2Vjvk", "1050", "USD", 105_000
    ),
    "donation.created--django-buymeacoffee": A_TEST,
    "donation.created--opencloudtouch-live-1eur-note-hidden-a": paid(
        "donation:pi_3ExampleExampleExampl002", "1", "EUR", 110, paid_at=1780395283
    ),
    "donation.created--opencloudtouch-live-5eur": paid(
        "donation:pi_3ExampleExampleExampl001", "5", "EUR", 550, paid_at=1780394550
    ),
    "donation.created--opencloudtouch-test": A_TEST,
    "donation.created--overlabels-feature": paid(
        "donation:pi_3Mc51bJEtINljGAa0zVykgUE", "5", "USD", 500, paid_at=1676544557
    ),
    "donation.created--premiereecoute": A_TEST,
    "donation.created--premiereecoute-three-coffees": A_TEST,
    "donation.created--premiereecoute-two-coffees": A_TEST,
    "donation.refunded--opencloudtouch-test": A_TEST,
    "donation.refunded--premiereecoute": A_TEST,
    "extra_purchase.created--credit-packs-answered": paid(
        "extra_purchase:pi_test", "1.99", "USD", 199, paid_at=1719825600
    ),
    "extra_purchase.created--credit-packs-unanswered": paid("extra_purchase:pi_post_purchase", "1.99", "USD", 199),
    "extra_purchase.created--django-buymeacoffee": A_TEST,
    # This event has no field `live_mode`. It may be about real money, so it counts as a payment and not as a test.
    "extra_purchase.created--overlabels": paid("extra_purchase:pi_3Mc5I3JEtINljGAa0XZxB3XG", "75", "USD", 7_500),
    "extra_purchase.updated--credit-packs": paid("extra_purchase:pi_post_purchase", "1.99", "USD", 199),
    "legacy.pledges-update--buymeacoffee-webhook-page": Expected("legacy", "legacy_webhook"),
    "membership.cancelled--django-buymeacoffee": A_TEST,
    "membership.cancelled--shelfwright-at-period-end": AN_END,
    "membership.started--django-buymeacoffee": A_TEST,
    "membership.started--overlabels": without_period(
        "sub_1Mc70vJEtINljGAa1xaGI5q9:event-d4ce40909b7cab094ca452b80b1e4377e6578ad1462a303045835b9e341b4414",
        "1",
        "USD",
    ),
    "membership.started--webhook-tester-ui": A_TEST,
    "membership.updated--shelfwright": without_period(
        "membership:sub-1:event-advance-txn", "3", "USD", paid_at=1785500000
    ),
    "recurring_donation.cancelled--opencloudtouch-test": A_TEST,
    "recurring_donation.started--opencloudtouch-live": paid(
        "sub_1ExampleExampleExampl006:1780405603", "1", "EUR", 110, paid_at=1780405603
    ),
    "recurring_donation.started--opencloudtouch-test": A_TEST,
    "recurring_donation.started--overlabels": without_period(
        "sub_recurring_001:event-50d9ba0ecd05b1e7926bbe18658cd6c297cef1af92d38f93e95718d0d42f3c31",
        "1",
        "USD",
    ),
    "recurring_donation.updated--opencloudtouch-live": paid(
        "sub_1ExampleExampleExampl006:1780405603", "1", "EUR", 110, paid_at=1780405603
    ),
    "wishlist_payment.created--overlabels": paid("wishlist_payment:pi_3Mc7U5JEtINljGAa0GWKxfuN", "10", "USD", 1_000),
}
MONEY = {name: expected.money for name, expected in EXPECTED.items() if expected.money}
ANSWERED = {"extra_purchase.created--credit-packs-answered", "extra_purchase.updated--credit-packs"}
"""
These events contain the buyer's answer to the question of a Shop item, but the answer contains no valid code.

The answer may be a user's code with too many typos. A guess could credit another user, so no guess may match these charges.
"""
CERTAIN_MONEY = {name: money for name, money in MONEY.items() if not money.is_doubtful and name not in ANSWERED}

every_payload = pytest.mark.parametrize("name", EXPECTED)


def body_of(name: str) -> bytes:
    return (PAYLOADS / f"{name}.json").read_bytes()


async def state_of(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of charges, credits, balances and pending payments."""
    tables = {
        "charges": "charge_id",
        "credits": "credit_id",
        "balances": "telegram_id",
        "pending_payments": "payment_id",
    }
    return {
        table: [dict(row) for row in await ledger.pool.fetch(f"SELECT * FROM {table} ORDER BY {key}")]
        for table, key in tables.items()
    }


def test_every_payload_has_an_expectation() -> None:
    assert {path.stem for path in PAYLOADS.glob("*.json")} == set(EXPECTED)


@every_payload
async def test_a_payload_is_kept_unchanged_and_understood(webhook: Webhook, ledger: Ledger, name: str) -> None:
    expected = EXPECTED[name]

    status, answer = await webhook.post(body_of(name))

    assert (status, answer) == (200, {"outcome": expected.outcome})
    [event] = await ledger.pool.fetch("SELECT body, outcome, charge_key FROM events")
    assert tuple(event) == (body_of(name), expected.outcome, expected.money.charge_key if expected.money else None)
    assert await ledger.told() == ([expected.told] if expected.told else [])
    assert await ledger.credits() == []


@every_payload
async def test_a_payload_creates_only_the_charge_that_it_reports(webhook: Webhook, ledger: Ledger, name: str) -> None:
    money = EXPECTED[name].money

    before = datetime.now(UTC)
    await webhook.post(body_of(name))

    charges = await ledger.pool.fetch("SELECT charge_key, amount, currency, state, paid_at FROM charges")
    if money is None:
        assert charges == []
        return
    [charge] = charges
    assert tuple(charge)[:4] == (money.charge_key, Decimal(money.amount), money.currency, "unmatched")
    if money.paid_at is None:
        assert before <= charge["paid_at"] <= datetime.now(UTC)
    else:
        assert charge["paid_at"] == datetime.fromtimestamp(money.paid_at, UTC)


@every_payload
async def test_a_repeated_payload_changes_nothing(webhook: Webhook, ledger: Ledger, name: str) -> None:
    await webhook.post(body_of(name))
    before = await state_of(ledger)

    status, answer = await webhook.post(body_of(name))

    assert status == 200
    assert answer["outcome"] == ("test" if EXPECTED[name] is A_TEST else "duplicate")
    assert await state_of(ledger) == before


@pytest.mark.parametrize(("name", "money"), CERTAIN_MONEY.items(), ids=CERTAIN_MONEY.keys())
async def test_the_only_user_with_an_open_payment_is_credited_once(
    webhook: Webhook, ledger: Ledger, name: str, money: Money
) -> None:
    """Credits are computed from `amount`, and not from `total_amount_charged`, which also includes fees and tips."""
    await open_a_minute_before(ledger, money)

    status, answer = await webhook.post(body_of(name))
    after = await state_of(ledger)
    await webhook.post(body_of(name))

    assert (status, answer) == (200, {"outcome": "credited"})
    assert await ledger.credits() == [money.credits]
    assert await ledger.balance() == money.credits
    assert await ledger.status(CODE) == "completed"
    assert await state_of(ledger) == after


@pytest.mark.parametrize("name", sorted(ANSWERED))
async def test_a_purchase_answered_without_a_code_is_not_guessed(webhook: Webhook, ledger: Ledger, name: str) -> None:
    await open_a_minute_before(ledger, MONEY[name])

    assert await webhook.post(body_of(name)) == (200, {"outcome": "unmatched"})

    assert "answered_without_code" in str((await ledger.charge())["reasons"])


async def open_a_minute_before(ledger: Ledger, money: Money) -> None:
    now = datetime.now(UTC)
    age_seconds = 60.0 if money.paid_at is None else now.timestamp() - money.paid_at + 60
    await ledger.open(CODE, amount=money.amount, currency=money.currency, minutes_ago=age_seconds / 60)


@every_payload
async def test_a_payload_credits_no_user_with_a_payment_of_another_amount(
    webhook: Webhook, ledger: Ledger, name: str
) -> None:
    await ledger.open(CODE, amount="4321")

    await webhook.post(body_of(name))

    assert await ledger.credits() == []
    assert await ledger.status(CODE) == "pending"
    assert await ledger.told(ANNA) == []


@pytest.mark.parametrize("seed", range(3))
async def test_all_payloads_twice_in_any_order_make_one_charge_per_payment(
    webhook: Webhook, ledger: Ledger, seed: int
) -> None:
    """
    Two events about one payment make one charge: `.created` and `.updated` of a purchase, or `.started` and `.updated` of a
    month of a subscription.
    """
    names = sorted(EXPECTED) * 2
    random.Random(seed).shuffle(names)

    statuses = [(await webhook.post(body_of(name)))[0] for name in names]

    assert set(statuses) == {200}
    charges = await ledger.pool.fetch("SELECT charge_key, amount, currency, state FROM charges")
    assert sorted(map(tuple, charges)) == sorted(
        {(money.charge_key, Decimal(money.amount), money.currency, "unmatched") for money in MONEY.values()}
    )
    assert await ledger.credits() == []
