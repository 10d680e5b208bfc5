"""
Use the product until its database has rows of every kind: payments in each state, decisions, refunds, claims, messages.

Only the product writes the rows, with the roles of its services. `tests/upgrades/test_snapshots.py` checks that no table is empty.
"""

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from coffee_ledger.charges import OutsiderKind
from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.codes import issue_code, show_code
from coffee_ledger.events import read_event
from coffee_ledger.model import Outcome, PaymentId, TelegramId
from coffee_ledger.store import decisions, outbox
from coffee_ledger.store.claims import raise_claim, withdraw_claim
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.dialogues import begin_dialogue
from coffee_ledger.store.handovers import end_handover, find_handovers, start_handovers
from coffee_ledger.store.lease import Lease
from coffee_ledger.store.pending_payments import PaymentRequest, cancel_payment, open_payment
from coffee_ledger.store.prompts import open_prompt
from coffee_ledger.store.receipts import remember_payment_message
from coffee_ledger.store.settlement import (
    Answers,
    count_signature_failures,
    keep_answers,
    keep_failed_event,
    settle_events,
)
from coffee_ledger.store.spending import spend_credits
from coffee_ledger.store.upkeep import blank_personal_fields, expire_payments
from coffee_ledger.store.users import choose_language, erase_user, mark_unreachable, meet_user
from coffee_ledger.store.waiting import load_waiting, queue_summary
from tests.files import DATA
from tests.integration.bmc import a_payment, a_refund_of, a_subscription, raw
from tests.integration.webhook import RULES

ANNA, BOHDAN, VIRA, DMYTRO, OLHA, PETRO, ROMAN = map(TelegramId, (101, 202, 303, 404, 505, 606, 707))
OPERATORS = tuple(map(TelegramId, (901, 902)))
LANGUAGES = {ANNA: "en", BOHDAN: "uk", VIRA: "en", DMYTRO: "uk", OLHA: "uk", PETRO: "en", ROMAN: "en"}
LEGACY = DATA / "payloads" / "legacy.pledges-update--buymeacoffee-webhook-page.json"
LONG_AGO = timedelta(days=200)
RETENTION = timedelta(days=90)

BmcEvent = dict[str, Any]


@dataclass
class Story:
    owner: Pool
    webhook: Pool
    bot: Pool
    janitor: Pool
    now: datetime
    chance: Random = field(default_factory=lambda: Random(0))  # noqa: S311 — no secrets: every snapshot has the same codes
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def meet(self, user: TelegramId) -> None:
        language = LANGUAGES.get(user, "en")
        await meet_user(self.bot, user, language=language, username=f"user_{user}", now=self.now)

    async def request(self, user: TelegramId, amount: str) -> PaymentId:
        """Request a payment as the bot does, and store the id of the message that shows the payment."""
        number = next(self.numbers)
        payment = await open_payment(
            self.bot,
            PaymentRequest(f"ask-{number}", user, Decimal(amount), "USD"),
            draw_code=lambda: issue_code(self.chance),
            now=self.now,
            reuse_within=timedelta(hours=1),
        )
        await remember_payment_message(self.bot, payment.payment_id, number)
        return payment.payment_id

    async def deliver(self, event: BmcEvent) -> Outcome:
        self.now += timedelta(seconds=20)
        read = read_event(raw(event), received_at=self.now, nonce=str(event.get("event_id")))
        return (await settle_events(self.webhook, [read], RULES, now=self.now)).outcomes[0]

    async def deliver_raw(self, body: bytes) -> Outcome:
        read = read_event(body, received_at=self.now, nonce=str(next(self.numbers)))
        return (await settle_events(self.webhook, [read], RULES, now=self.now)).outcomes[0]

    async def pay(self, note: str = "", *, amount: float = 5, supporter: str | None = None, **data: Any) -> BmcEvent:
        """Pay on Buy Me a Coffee, and return the event."""
        named = {
            "supporter_id": supporter,
            "supporter_name": f"Name of {supporter}",
            "supporter_email": f"{supporter}@example.org",
        }
        at = int(self.now.timestamp())
        event = a_payment(
            amount=amount,
            support_note=note,
            created_at=at,
            **(named if supporter else {"supporter_name": "A payer"}),
            **data,
        )
        await self.deliver(event)
        return event

    async def charge_of(self, event: BmcEvent) -> int:
        transaction = event["data"]["transaction_id"]
        found: int = await self.owner.fetchval("SELECT charge_id FROM charges WHERE transaction_id = $1", transaction)
        return found

    def order(self, reason: str = "as agreed") -> decisions.OperatorRequest:
        self.now += timedelta(seconds=20)
        return decisions.OperatorRequest(OPERATORS[0], reason, self.now, request_key=f"press-{next(self.numbers)}")


@asynccontextmanager
async def open_story(url: Callable[[str], str], *, now: datetime) -> AsyncIterator[Story]:
    """Connect to the database as its owner and in the role of each service. *url* returns the database's address for a role."""
    async with (
        open_pool(url("ledger_owner")) as owner,
        open_pool(url("webhook")) as webhook,
        open_pool(url("bot")) as bot,
        open_pool(url("janitor")) as janitor,
    ):
        yield Story(owner, webhook, bot, janitor, now)


async def tell_story(url: Callable[[str], str]) -> None:
    """
    Use the product until the database has rows of every kind. Before, it has the current schema and no rows.

    *url* returns the address of the database for a role.
    """
    now = datetime.now(UTC)
    async with open_story(url, now=now - LONG_AGO) as story:
        for user in (*LANGUAGES, *OPERATORS):
            await story.meet(user)
        await choose_language(story.bot, DMYTRO, "en", is_lasting=True)
        await _happen_long_ago(story)
        await blank_personal_fields(story.janitor, now=now, before=now - RETENTION)
        story.now = now - timedelta(days=2)
        await start_handovers(story.bot)
        for chapter in (
            _codes,
            _guesses,
            _subscriptions,
            _refunds,
            _outsiders,
            _desk,
            _claims,
            _odd_events,
            _operation,
        ):
            await chapter(story)
        # Messages become due at the time of the database's clock. `story.now` is earlier, so no message would be due. Continue
        # with the current time.
        story.now = datetime.now(UTC)
        await _notifications(story)
        await _erasure(story)


async def _happen_long_ago(story: Story) -> None:
    """Add payments from before the retention period, so that `blank_personal_fields` has personal data to blank."""
    await story.pay(await story.request(ANNA, "5"), supporter="s-anna")
    await story.pay("An old tip", amount=9, supporter="s-old")
    await story.request(BOHDAN, "25")
    story.now += timedelta(days=1, hours=1)
    await expire_payments(story.janitor, now=story.now, opened_before=story.now - timedelta(hours=24))


async def _codes(story: Story) -> None:
    code = await story.request(ANNA, "5")
    await story.request(ANNA, "5")
    await story.pay(f"Thank you! {show_code(code)}", supporter="s-anna")
    await story.pay(code, supporter="s-friend")
    slip = await story.request(BOHDAN, "10")
    wrong = "2" if slip[0] != "2" else "3"
    await story.pay(show_code(PaymentId(wrong + slip[1:])), amount=10)
    await story.request(ANNA, "12")
    await story.pay("", amount=12, supporter="s-anna")
    late = await story.request(BOHDAN, "15")
    await cancel_payment(story.bot, late, BOHDAN, now=story.now)
    await story.pay(late, amount=15)
    await story.pay(await story.request(DMYTRO, "4"), amount=4, currency="GBP")
    await story.request(ROMAN, "6")


async def _guesses(story: Story) -> None:
    """Make three guesses. The first stays in force, the user rejects the second, and an operator takes back the third."""
    guessed = {}
    for user, amount in ((OLHA, 31), (PETRO, 32), (ROMAN, 33)):
        await story.request(user, str(amount))
        guessed[user] = await story.charge_of(await story.pay("", amount=amount))
    await decisions.disown_guess(story.bot, guessed[PETRO], PETRO, now=story.now)
    await decisions.undo_match(story.bot, guessed[ROMAN], story.order())


async def _subscriptions(story: Story) -> None:
    at = int(story.now.timestamp())
    month = 31 * 86_400
    code = await story.request(ANNA, "3")
    first = a_subscription(psp_id="sub_anna", id=16, started_at=at - month, period=at - month, support_note=code)
    await story.deliver(first)
    await story.deliver(_renewal(first, current_period_start=at))
    await story.deliver(a_subscription(psp_id=None, id=17, started_at=at, period=at))
    await story.deliver(a_subscription(psp_id="sub_lifetime", id=18, current_period_start=None))
    await story.deliver(_renewal(first, current_period_start=at, status="cancelled") | {"type": "membership.cancelled"})


def _renewal(first: BmcEvent, **changes: object) -> BmcEvent:
    return a_subscription("membership.updated") | {"data": first["data"] | changes}


async def _refunds(story: Story) -> None:
    paid = {user: await story.pay(await story.request(user, "20"), amount=20) for user in (DMYTRO, OLHA, PETRO)}
    await story.deliver(a_refund_of(paid[DMYTRO]))
    await decisions.refund_part(story.bot, await story.charge_of(paid[OLHA]), story.order(), amount=Decimal("2.50"))
    balance = await story.owner.fetchval("SELECT balance FROM balances WHERE telegram_id = $1", PETRO)
    await spend_credits(story.bot, PETRO, balance - 10, reason="a picture", key="picture-1")
    await story.deliver(a_refund_of(paid[PETRO]))
    later = a_payment(amount=21)
    await story.deliver(a_refund_of(later))
    await story.deliver(later)
    await story.deliver(a_refund_of(a_payment(amount=22)))


async def _outsiders(story: Story) -> None:
    """Mark a supporter, a subscription and an item as outsiders, and end one of the marks."""
    at = int(story.now.timestamp())
    fan = await story.pay("Great work!", amount=8, supporter="s-fan")
    await decisions.dismiss_charge(
        story.bot, await story.charge_of(fan), story.order(), remember=OutsiderKind.SUPPORTER
    )
    await story.pay("Again!", amount=8, supporter="s-fan")
    subscription = a_subscription(psp_id="sub_fan", id=19, started_at=at, period=at)
    await story.deliver(subscription)
    monthly = await story.owner.fetchval("SELECT charge_id FROM charges WHERE psp_id = 'sub_fan'")
    await decisions.dismiss_charge(story.bot, monthly, story.order(), remember=OutsiderKind.SUBSCRIPTION)
    item = await story.pay("", amount=14, type_="extra_purchase.created", extras=[{"id": 12, "title": "A poster"}])
    await decisions.dismiss_charge(story.bot, await story.charge_of(item), story.order(), remember=OutsiderKind.ITEM)
    guest = await story.pay("Hello", amount=13, supporter="s-guest")
    charge = await story.charge_of(guest)
    await decisions.dismiss_charge(story.bot, charge, story.order(), remember=OutsiderKind.SUPPORTER)
    await decisions.undo_match(story.bot, charge, story.order())


async def _desk(story: Story) -> None:
    wrong = await story.charge_of(await story.pay("from a friend of Roman", amount=41))
    rates = RULES.rates
    await decisions.match_charge(story.bot, wrong, story.order(), telegram_id=ROMAN, payment_id=None, rates=rates)
    await decisions.undo_match(story.bot, wrong, story.order("the wrong user"))
    await decisions.match_charge(story.bot, wrong, story.order(), telegram_id=OLHA, payment_id=None, rates=rates)
    await decisions.credit_user(story.bot, ANNA, story.order("a gift"), credits=50)
    await decisions.credit_user(story.bot, BOHDAN, story.order("a mistake"), credits=70)
    mistake = await story.owner.fetchval("SELECT max(credit_id) FROM credits WHERE kind = 'adjustment'")
    await decisions.undo_adjustment(story.bot, mistake, story.order())
    await spend_credits(story.bot, ANNA, 30, reason="a game", key="game-1")
    await story.pay("Keep going", amount=51)
    offered = await load_waiting(story.bot, now=story.now)
    assert offered.offer_id is not None
    await decisions.dismiss_offered(story.bot, offered.offer_id, story.order())
    for amount in (52, 53):
        await story.pay("A tip", amount=amount, supporter=f"s-{amount}")
    await load_waiting(story.bot, now=story.now)
    await open_prompt(story.bot, OPERATORS[0], "reason", wrong, now=story.now)


async def _claims(story: Story) -> None:
    """Make claims in each state: withdrawn, declined, confirmed and open."""
    today = story.now.date()
    for user in (BOHDAN, OLHA):
        await raise_claim(story.bot, user, ClaimedPayment(today, Decimal(60), "USD", "A Payer"), now=story.now)
    numbers = {row[1]: row[0] for row in await story.owner.fetch("SELECT claim_id, telegram_id FROM claims")}
    await withdraw_claim(story.bot, numbers[BOHDAN], BOHDAN, now=story.now)
    await decisions.decline_claim(story.bot, numbers[OLHA], story.order("not found"))
    charge = await story.charge_of(await story.pay("", amount=61, supporter="s-claimant"))
    await raise_claim(story.bot, DMYTRO, ClaimedPayment(today, Decimal(61), "USD", "Name of s-claimant"), now=story.now)
    await decisions.match_charge(
        story.bot, charge, story.order(), telegram_id=DMYTRO, payment_id=None, rates=RULES.rates
    )
    await raise_claim(story.bot, ROMAN, ClaimedPayment(today, Decimal(62), "USD", "Roman"), now=story.now)
    await begin_dialogue(story.bot, ANNA, "claim-amount", {"paid_on": str(today)}, now=story.now)


async def _odd_events(story: Story) -> None:
    await story.deliver(a_payment(live_mode=False))
    await story.deliver(a_payment("newsletter.sent"))
    await story.deliver_raw(b'{"type": "donation.created", ')
    await story.deliver_raw(LEGACY.read_bytes())
    event = await story.pay("A tip", amount=54)
    await story.deliver(event | {"type": "wishlist_payment.created", "event_id": next(story.numbers)})
    await story.pay("The same transaction", amount=54, transaction_id=event["data"]["transaction_id"])
    await story.pay("Disputed", amount=55, status="disputed")
    for _ in range(3):
        failed = read_event(raw(a_payment(amount=56)), received_at=story.now, nonce=str(next(story.numbers)))
        await keep_failed_event(story.webhook, failed)
    rows = await story.owner.fetch("SELECT event_no FROM events WHERE outcome = 'failed' ORDER BY event_no")
    await decisions.request_retry(story.bot, rows[0][0], story.order())
    await decisions.dismiss_event(story.bot, rows[1][0], story.order())


async def _operation(story: Story) -> None:
    await count_signature_failures(story.webhook, 3, now=story.now)
    await keep_answers(story.webhook, Answers(accepted_at=story.now, refused=2, refused_at=story.now), now=story.now)
    await Lease(story.bot, outbox.SENDING).keep()
    # Record a backup as db/backup.sh does.
    await story.owner.execute("INSERT INTO backups (size_bytes) VALUES (123456)")
    handed_over = await find_handovers(story.bot, count_max=1, except_for=())
    await end_handover(story.bot, handed_over[0].credit_id)


async def _notifications(story: Story) -> None:
    """
    Make messages in each state: pending, sent, dead, unreachable, put off (later messages wait for the retry), and set aside
    (later messages do not wait for the retry).

    Leave the last two messages to all operators unchanged. Replace up to five of the earlier ones by one message to each
    operator, and only count the rest in a summary.
    """
    bot, now = story.bot, story.now
    unaddressed = await outbox.find_unaddressed(bot)
    await outbox.address_operators(bot, OPERATORS, now=now, unaddressed=list(unaddressed)[:-2])
    await queue_summary(bot, OPERATORS[1], now=now)
    endings = itertools.cycle(range(4))
    for one in await outbox.find_due_notifications(bot, operators=OPERATORS, now=now, count_max=50):
        match next(endings):
            case 0:
                await outbox.mark_sent(bot, one.notification_id, message_id=next(story.numbers), now=now)
            case 1:
                await outbox.mark_dead(bot, one.notification_id)
            case 2:
                await outbox.put_off(bot, one.notification_id, until=now + timedelta(minutes=5), now=now)
            case _:
                await outbox.put_off(
                    bot, one.notification_id, until=now + timedelta(hours=1), now=now, is_set_aside=True
                )
    await outbox.mark_chat_unreachable(bot, DMYTRO, now=now)
    await mark_unreachable(bot, PETRO, now=now)


async def _erasure(story: Story) -> None:
    """Erase a user, and then refund the user's payment. The user gets no message about the refund."""
    paid = await story.pay(await story.request(VIRA, "10"), amount=10, supporter="s-vira")
    await story.request(VIRA, "11")
    await raise_claim(story.bot, VIRA, ClaimedPayment(story.now.date(), Decimal(63), "USD", "Vira"), now=story.now)
    await erase_user(story.bot, VIRA)
    await story.deliver(a_refund_of(paid))
    await outbox.find_due_notifications(story.bot, operators=OPERATORS, now=story.now, count_max=50)
