"""
All services and people act on one database at the same time. Afterwards, the ledger must be consistent.

The storm lasts eight seconds. Set STORM_SECONDS=60 for a longer storm, and STORM_SEED=2 for different random actions.
"""

import asyncio
import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.codes import issue_code
from coffee_ledger.errors import DatabaseAwayError, TooManyOpenPaymentsError
from coffee_ledger.events import Event, read_event
from coffee_ledger.model import DeliveryKey, PaymentId, TelegramId
from coffee_ledger.store.claims import find_open_claim, raise_claim, withdraw_claim
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.decisions import (
    OperatorRequest,
    credit_user,
    dismiss_charge,
    match_charge,
    undo_adjustment,
    undo_match,
)
from coffee_ledger.store.outbox import find_due_notifications, mark_sent
from coffee_ledger.store.pending_payments import PaymentRequest, cancel_payment, open_payment
from coffee_ledger.store.settlement import settle_and_roll_back, settle_events
from coffee_ledger.store.snapshot import take_snapshot
from coffee_ledger.store.spending import BalanceTooLowError, SpendingKeyTakenError, spend_credits
from coffee_ledger.store.upkeep import (
    blank_personal_fields,
    close_answered_claims,
    correct_counts,
    expire_payments,
    rematch_waiting_charges,
)
from coffee_ledger.store.users import erase_user, meet_user
from tests.integration.bmc import a_payment, a_refund_of, a_subscription, raw
from tests.integration.people import Ledger
from tests.integration.webhook import RULES

SECONDS = float(os.environ.get("STORM_SECONDS", "8"))
SEED = int(os.environ.get("STORM_SEED", "1"))
USERS = [TelegramId(number) for number in range(1, 7)]
OPERATORS = [TelegramId(900), TelegramId(901)]

EXPECTED_ERRORS = (DatabaseAwayError, TooManyOpenPaymentsError, BalanceTooLowError, SpendingKeyTakenError)
"""The errors that may happen in normal operation. Every other error is a fault and fails the test."""

Work = Callable[[], Awaitable[object]]


def now() -> datetime:
    return datetime.now(UTC)


class Bmc:
    """Creates events: payments, repeats, refunds, updates and renewals. Each event has a valid, a wrong or no code."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.codes: list[str] = []
        self.sent: list[dict[str, Any]] = []

    def draw(self) -> dict[str, Any]:
        event = self._draw()
        if event not in self.sent:
            self.sent.append(event)
        return event

    def _draw(self) -> dict[str, Any]:
        roll = self.chance.random()
        if self.sent and roll < 0.25:
            return self.chance.choice(self.sent)
        created = [event for event in self.sent if event["type"].endswith(".created")]
        if created and roll < 0.40:
            return a_refund_of(self.chance.choice(created))
        if created and roll < 0.48:
            return self._update(self.chance.choice(created))
        return self._renew() if roll < 0.56 else self._pay()

    def draw_code(self) -> str:
        return self.chance.choice(self.codes or [""])

    def _pay(self) -> dict[str, Any]:
        return a_payment(
            self.chance.choice(["donation.created", "extra_purchase.created"]),
            amount=self.chance.choice([5, 5, 10]),
            support_note=self.chance.choice(["", self.draw_code(), "AB " + self.draw_code()[:-1]]),
            supporter_id=self.chance.randrange(8),
            created_at=int(time.time()) - self.chance.randrange(60),
        )

    def _renew(self) -> dict[str, Any]:
        number = self.chance.randrange(3)
        return a_subscription(
            self.chance.choice(["membership.started", "membership.updated"]),
            psp_id=f"sub_{number}",
            period=1_780_405_603 + 2_600_000 * self.chance.randrange(6),
            support_note=self.draw_code(),
            supporter_id=50 + number,
        )

    def _update(self, payment: dict[str, Any]) -> dict[str, Any]:
        family = payment["type"].partition(".")[0]
        data = payment["data"] | {"support_note": self.draw_code()}
        return payment | {"type": f"{family}.updated", "event_id": secrets.randbelow(10**9), "data": data}


class Storm:
    """Runs random actions of services and people at the same time. Each action is one method."""

    def __init__(self, *, webhooks: list[Pool], bot: Pool, janitor: Pool, ledger: Ledger) -> None:
        self.chance = random.Random(SEED)
        self.bmc = Bmc(self.chance)
        self.webhooks, self.bot, self.janitor, self.ledger = webhooks, bot, janitor, ledger
        self.delivered: set[DeliveryKey] = set()
        self.faults: Counter[str] = Counter()

    async def blow(self) -> None:
        crowd = (self.deliver,) * 6 + (self.ask, self.match, self.undo, self.spend, self.tell) * 2
        single = (
            self.refund_first, self.probe, self.dismiss, self.adjust, self.undo_adjustment, self.cancel, self.expire,
            self.rematch, self.blank, self.close_claims, self.erase, self.claim, self.measure, self.measure, self.correct_counts,
        )  # fmt: skip
        until = time.monotonic() + SECONDS
        async with asyncio.TaskGroup() as tasks:
            for work in (*crowd, *single):
                tasks.create_task(self._repeat(work, until))

    async def _repeat(self, work: Work, until: float) -> None:
        while time.monotonic() < until:
            try:
                await work()
            except EXPECTED_ERRORS:
                pass
            except Exception as error:  # noqa: BLE001 — count each error, so that the test fails at the end
                self.faults[f"{work.__name__}: {type(error).__name__}: {error}"[:200]] += 1
            # Randomize the order of actions.
            await asyncio.sleep(self.chance.random() * 0.01)

    async def deliver(self) -> None:
        events = [self._read(self.bmc.draw()) for _ in range(self.chance.randrange(1, 8))]
        await settle_events(self.chance.choice(self.webhooks), events, RULES, now=now())
        self.delivered |= {event.delivery_key for event in events}

    async def refund_first(self) -> None:
        payment = a_payment(amount=5, support_note=self.bmc.draw_code(), supporter_id=3)
        for event in (a_refund_of(payment), payment):
            await settle_events(self.webhooks[0], [self._read(event)], RULES, now=now())

    async def probe(self) -> None:
        await settle_and_roll_back(self.webhooks[0], self._read(a_payment(amount=5)), RULES, now=now())

    async def ask(self) -> None:
        user = self.chance.choice(USERS)
        await meet_user(self.bot, user, language="en", username=f"u{user}", now=now())
        opened = await open_payment(
            self.bot,
            PaymentRequest(secrets.token_hex(8), user, Decimal(self.chance.choice([5, 10])), "USD"),
            draw_code=lambda: issue_code(secrets.SystemRandom()),
            now=now(),
            reuse_within=timedelta(seconds=0.2),
        )
        self.bmc.codes = [*self.bmc.codes[-29:], opened.payment_id]

    async def cancel(self) -> None:
        code = self.bmc.draw_code()
        user = await self.ledger.pool.fetchval("SELECT telegram_id FROM pending_payments WHERE payment_id = $1", code)
        if user:
            await cancel_payment(self.bot, PaymentId(code), user, now=now())

    async def spend(self) -> None:
        user, credits = self.chance.choice(USERS), self.chance.randrange(1, 200)
        await spend_credits(self.bot, user, credits, reason="a game", key=f"key-{self.chance.randrange(400)}")

    async def claim(self) -> None:
        user = self.chance.choice(USERS)
        await raise_claim(self.bot, user, ClaimedPayment(now().date(), Decimal(5), "USD"), now=now())
        open_claim = await find_open_claim(self.bot, user)
        if open_claim and self.chance.random() < 0.5:
            await withdraw_claim(self.bot, open_claim.claim_id, user, now=now())

    async def erase(self) -> None:
        await asyncio.sleep(0.2)  # Erase users rarely, because the other actions need their data.
        await erase_user(self.bot, self.chance.choice(USERS))

    async def match(self) -> None:
        code = self.bmc.draw_code() if self.chance.random() < 0.5 else ""
        await match_charge(
            self.bot,
            await self._some_charge(),
            self._order(),
            telegram_id=self.chance.choice(USERS),
            payment_id=PaymentId(code) if code else None,
            rates=RULES.rates,
        )

    async def undo(self) -> None:
        await undo_match(self.bot, await self._some_charge(), self._order())

    async def dismiss(self) -> None:
        await dismiss_charge(self.bot, await self._some_charge(), self._order())

    async def adjust(self) -> None:
        credits = self.chance.choice([100, -50])
        await credit_user(self.bot, self.chance.choice(USERS), self._order(), credits=credits)

    async def undo_adjustment(self) -> None:
        last = await self.ledger.pool.fetchval("SELECT max(credit_id) FROM credits WHERE kind = 'adjustment'")
        if last:
            await undo_adjustment(self.bot, last - self.chance.randrange(3), self._order())

    async def tell(self) -> None:
        for one in await find_due_notifications(self.bot, operators=OPERATORS[:1], now=now(), count_max=20):
            await mark_sent(self.bot, one.notification_id, message_id=1, now=now())

    async def expire(self) -> None:
        await expire_payments(self.janitor, now=now(), opened_before=now() - timedelta(seconds=3))

    async def rematch(self) -> None:
        await rematch_waiting_charges(self.janitor, RULES, now=now())

    async def blank(self) -> None:
        await blank_personal_fields(self.janitor, now=now(), before=now() - timedelta(seconds=5))

    async def close_claims(self) -> None:
        await close_answered_claims(self.janitor, now=now())

    async def measure(self) -> None:
        await take_snapshot(self.janitor, now=now())

    async def correct_counts(self) -> None:
        assert await correct_counts(self.janitor) == 0, "a count was wrong"

    def _read(self, event: dict[str, Any]) -> Event:
        return read_event(raw(event), received_at=now(), nonce=secrets.token_hex(4))

    def _order(self) -> OperatorRequest:
        key = secrets.token_hex(6) if self.chance.random() < 0.5 else None
        return OperatorRequest(self.chance.choice(OPERATORS), "a reason", now(), key)

    async def _some_charge(self) -> int:
        found: int | None = await self.ledger.pool.fetchval("SELECT charge_id FROM charges ORDER BY random() LIMIT 1")
        return found or 1


WRONGLY_CREDITED = """
    SELECT c.charge_id, c.state, c.amount, coalesce(sum(k.credits), 0) AS credits
      FROM charges AS c
      LEFT JOIN credits AS k USING (charge_id)
     GROUP BY c.charge_id
    HAVING coalesce(sum(k.credits), 0) <> CASE c.state WHEN 'matched' THEN floor(c.amount * 100) ELSE 0 END
"""
CREDITED_TO_ANOTHER = """
    SELECT charge_id, k.telegram_id, sum(k.credits) AS credits
      FROM credits AS k
      JOIN charges AS c USING (charge_id)
     WHERE k.telegram_id IS DISTINCT FROM c.telegram_id OR c.state <> 'matched'
     GROUP BY charge_id, k.telegram_id
    HAVING sum(k.credits) <> 0
"""
DRIFTED = """
    SELECT telegram_id, entered.credits, balances.balance
      FROM (SELECT telegram_id, sum(credits) AS credits FROM credits GROUP BY telegram_id) AS entered
      FULL JOIN balances USING (telegram_id)
     WHERE entered.credits IS DISTINCT FROM balances.balance
"""
WRONGLY_COUNTED = "SELECT counted, kind, number FROM missing_counts"
COMPLETED_BY_NO_CHARGE = """
    SELECT payment_id
      FROM pending_payments
     WHERE status = 'completed' AND NOT EXISTS (SELECT FROM charges WHERE charge_key = bmc_data ->> 'charge_key')
"""
ANSWERS_ANOTHERS_PAYMENT = """
    SELECT charge_id FROM charges AS c JOIN pending_payments AS p USING (payment_id) WHERE c.telegram_id <> p.telegram_id
"""
BROKEN = {
    "wrongly credited": WRONGLY_CREDITED,
    "credited to another": CREDITED_TO_ANOTHER,
    "drifted": DRIFTED,
    "wrongly counted": WRONGLY_COUNTED,
    "completed by no charge": COMPLETED_BY_NO_CHARGE,
    "answers another's payment": ANSWERS_ANOTHERS_PAYMENT,
}


async def test_the_books_balance_after_a_storm(
    ledger: Ledger, role_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Make each snapshot merge the rows of the table `counts`. By default, a snapshot merges the rows only if there are
    # more than 1,000.
    monkeypatch.setattr("coffee_ledger.store.snapshot.COUNTS_MAX", 0)
    async with AsyncExitStack() as pools:
        sizes = {"webhook": 4, "bot": 8, "janitor": 4}
        one, two, bot, janitor = [
            await pools.enter_async_context(open_pool(role_url(role), size_max=sizes[role]))
            for role in ("webhook", "webhook", "bot", "janitor")
        ]
        storm = Storm(webhooks=[one, two], bot=bot, janitor=janitor, ledger=ledger)
        for user in USERS:
            await meet_user(bot, user, language="en", username=f"u{user}", now=now())

        await storm.blow()

    broken = {name: [tuple(row) for row in await ledger.pool.fetch(query)] for name, query in BROKEN.items()}
    assert {name: rows for name, rows in broken.items() if rows} == {}
    kept = {row["delivery_key"] for row in await ledger.pool.fetch("SELECT delivery_key FROM events")}
    assert storm.delivered <= kept
    assert storm.faults == {}
    assert await ledger.pool.fetchval("SELECT count(*) FROM credits WHERE kind = 'payment'") > 0
