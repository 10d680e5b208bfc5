"""
Check that the invariants hold after every step of users, operators, BMC and the janitor, in any order.

Hypothesis draws sequences of steps, and `invariants.check` checks the whole database after each step. If a check fails,
Hypothesis searches for a shorter sequence that also fails, and prints its steps. `make soak` tries many more sequences than the
default run.
"""

import os
from collections import Counter
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, reject, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from coffee_ledger.charges import OutsiderKind
from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.codes import issue_code, show_code
from coffee_ledger.errors import TooManyOpenPaymentsError
from coffee_ledger.events import Event, read_event
from coffee_ledger.model import Outcome, PaymentId, TelegramId
from coffee_ledger.store import decisions
from coffee_ledger.store.claims import raise_claim, withdraw_claim
from coffee_ledger.store.pending_payments import PaymentRequest, cancel_payment, open_payment
from coffee_ledger.store.settlement import keep_failed_event, settle_events
from coffee_ledger.store.snapshot import take_snapshot
from coffee_ledger.store.spending import BalanceTooLowError, SpendingKeyTakenError, spend_credits
from coffee_ledger.store.upkeep import (
    blank_personal_fields,
    close_answered_claims,
    expire_payments,
    rematch_waiting_charges,
    retry_requested_events,
)
from coffee_ledger.store.users import erase_user, mark_unreachable, meet_user
from tests.integration.bmc import a_payment, a_refund_of, a_subscription, raw
from tests.integration.invariants import Known, Row, Snapshot, Written, check, name_of, subscription_of
from tests.integration.machines import USERS, T, World
from tests.integration.webhook import RULES

SEQUENCES_BY_DEFAULT = 300
SEQUENCES = int(os.environ.get("MONEY_MACHINE_SEQUENCES", SEQUENCES_BY_DEFAULT))
STEPS = 9
"""The number of Hypothesis rules that one sequence runs. Many of these rules consist of several steps."""

OPERATORS = tuple(map(TelegramId, (901, 902)))
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
NEVER_ISSUED = "X2X2-X2X4"

BmcEvent = dict[str, Any]

users = st.sampled_from(USERS)
operators = st.sampled_from(OPERATORS)
amounts = st.sampled_from(["5", "10"])
supporters = st.sampled_from([None, "s-1", "s-2"])
families = st.sampled_from(["donation", "extra_purchase", "commission_order"])
decision_names = st.sampled_from(["match", "match, dismiss", "dismiss, match", "undo"])
which = st.integers(0, 11)
"""Draws a number with which a rule chooses an item of a list. The rule takes the number modulo the list's length."""

REACHED = {
    "matched code", "matched corrected_code", "matched subscription", "matched known_supporter", "matched amount_and_time",
    "matched operator", "dismissed None", "refunded code", "payment", "refund", "reversal", "adjustment", "spend",
    "guess_disowned", "charge_contradicted", "payment_under_review", "claim declined", "claim withdrawn",
}  # fmt: skip
"""
Each of these items must occur in at least one sequence. Otherwise the test fails. The items are states and methods of charges,
states of claims, and kinds of ledger entries and notifications.
"""


class MoneyMachine(RuleBasedStateMachine):
    """Defines the steps of users, operators, BMC and the janitor, and checks the invariants after each step."""

    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self.chance = Random(0)
        self.number = 0
        self.known = Known(BEGIN)
        self.seen = Snapshot()
        self.paid: list[BmcEvent] = []
        self.subscriptions: list[BmcEvent] = []
        self.refunded_first: list[BmcEvent] = []
        self.requests: list[PaymentRequest] = []
        self.spent: dict[str, tuple[int, int, int]] = {}
        """Maps the idempotency key of each spending to the user, the spent credits, and the balance after the spending."""
        self.do(self.world.begin_anew())

    def teardown(self) -> None:
        for charge in self.seen.charges:
            self.world.seen[f"{charge['state']} {charge['method']}"] += 1
        for row in (*self.seen.notifications, *self.seen.credits):
            self.world.seen[row["kind"]] += 1
        for claim in self.seen.claims:
            self.world.seen[f"claim {claim['status']}"] += 1

    # Helpers of the steps ----------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return self.known.now

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a step and check the invariants."""
        result, after = self.world.run(self._do(work))
        before, self.seen = self.seen, after
        self.world.steps += 1
        check(before, after, self.known)
        # Advance the clock, so that each decision has a different time.
        self.known.now += timedelta(seconds=1)
        return result

    async def _do(self, work: Coroutine[Any, Any, T]) -> tuple[T, Snapshot]:
        return await work, await self.world.look()

    def deliver(self, *events: BmcEvent) -> list[Outcome]:
        done = self.do(settle_events(self.world.webhooks[0], self.read(*events), RULES, now=self.now))
        return done.outcomes

    def read(self, *events: BmcEvent) -> list[Event]:
        for event in events:
            self.known.delivered.add(f"live:{event['event_id']}:{event['type']}:")
        return [read_event(raw(event), received_at=self.now, nonce=str(event["event_id"])) for event in events]

    def pass_minutes(self, minutes: int) -> None:
        self.known.now += timedelta(minutes=minutes)

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def order(self, operator: TelegramId) -> decisions.OperatorRequest:
        return decisions.OperatorRequest(operator, "because", self.now, request_key=f"press-{self.next_number()}")

    def request(self, user: TelegramId, amount: str, currency: str = "USD") -> PaymentId:
        """Request a payment as the bot does. If the user was erased, register the user again first."""
        if user in self.known.erased:
            self.come_back(user)
        request = PaymentRequest(f"ask-{self.next_number()}", user, Decimal(amount), currency)
        self.requests.append(request)
        return self.ask(request)

    def ask(self, request: PaymentRequest) -> PaymentId:
        try:
            payment = self.do(
                open_payment(
                    self.world.bot,
                    request,
                    draw_code=lambda: issue_code(self.chance),
                    now=self.now,
                    reuse_within=timedelta(hours=1),
                )
            )
        except TooManyOpenPaymentsError:
            reject()
        self.known.owners[payment.payment_id] = request.telegram_id
        return payment.payment_id

    def a_payment(
        self,
        note: str,
        written: Written,
        *,
        amount: str = "5",
        currency: str = "USD",
        supporter: str | None = None,
        family: str = "donation",
        minutes_ago: int = 0,
    ) -> BmcEvent:
        number = self.next_number()
        self.known.written[f"pi_{number}"] = written
        event = a_payment(
            f"{family}.created",
            id=number,
            transaction_id=f"pi_{number}",
            amount=int(amount),
            currency=currency,
            support_note=note,
            created_at=int(self.now.timestamp()) - 60 * minutes_ago,
            **self.supporter_of(supporter),
        )
        return event | {"event_id": 1000 + number}

    def supporter_of(self, supporter: str | None) -> dict[str, Any]:
        if supporter is None:
            return {}
        name = f"Name of {supporter}"
        return {"supporter_id": supporter, "supporter_name": name, "supporter_email": f"{supporter}@example.com"}

    def pay(self, event: BmcEvent) -> tuple[Outcome, Row]:
        self.paid.append(event)
        [outcome] = self.deliver(event)
        return outcome, self.charge_of(event)

    def charge_of(self, event: BmcEvent) -> Row:
        name = event["data"]["transaction_id"]
        [charge] = [row for row in self.seen.charges if row["transaction_id"] == name]
        return charge

    def renewed(self, event: BmcEvent, **changes: object) -> BmcEvent:
        return event | {"event_id": 1000 + self.next_number(), "data": event["data"] | changes}

    def told(self, user: int | None, charge: Row) -> list[str]:
        return [
            row["kind"]
            for row in self.seen.notifications
            if row["telegram_id"] == user and row["facts"].get("charge_key") == charge["charge_key"]
        ]

    # Users request payments --------------------------------------------------------------------------------------------

    @rule(user=users, amount=amounts, currency=st.sampled_from(["USD", "USD", "EUR"]))
    def pick(self, user: TelegramId, amount: str, currency: str) -> None:
        self.request(user, amount, currency)

    @precondition(lambda self: self.requests)
    @rule(which=which, minutes=st.sampled_from([0, 5, 45]))
    def ask_again(self, which: int, minutes: int) -> None:
        self.pass_minutes(minutes)
        request = self.requests[which % len(self.requests)]
        self.request(request.telegram_id, str(request.amount), request.currency)

    @precondition(lambda self: self.requests)
    @rule(which=which)
    def repeat_a_request(self, which: int) -> None:
        """Repeat a request that opened a payment, and check that the repeat opens no second payment."""
        keys = {row["request_key"] for row in self.seen.payments}
        opening = [request for request in self.requests if request.key in keys]
        request = opening[which % len(opening)]
        count = len(self.seen.payments)

        self.ask(request)

        assert len(self.seen.payments) == count

    @precondition(lambda self: self.seen.payments)
    @rule(which=which)
    def cancel(self, which: int) -> None:
        payment = self.one_of(self.seen.payments, which)
        self.do(cancel_payment(self.world.bot, payment["payment_id"], payment["telegram_id"], now=self.now))

    @rule(hours=st.sampled_from([0, 25]))
    def expire(self, hours: int) -> None:
        self.pass_minutes(60 * hours)
        self.do(expire_payments(self.world.janitor, now=self.now, opened_before=self.now - timedelta(hours=24)))

    @rule(minutes=st.sampled_from([1, 20, 59, 90, 25 * 60, 8 * 1440, 31 * 1440, 91 * 1440, 100 * 1440]))
    def time_passes(self, minutes: int) -> None:
        self.pass_minutes(minutes)

    # Supporters pay ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.seen.payments)
    @rule(
        which=which,
        amount=amounts,
        currency=st.sampled_from(["USD", "EUR"]),
        supporter=supporters,
        family=families,
        text=st.sampled_from(["{}", "Thank you! {}", "код: {}!"]),
    )
    def pay_with_a_code(
        self, which: int, amount: str, currency: str, supporter: str | None, family: str, text: str
    ) -> None:
        """A payment with a code is credited to the code's user, even if the code was expired, cancelled or already paid."""
        payment = self.one_of(self.seen.payments, which)
        code, owner = payment["payment_id"], payment["telegram_id"]
        event = self.a_payment(
            text.format(show_code(code)), Written(frozenset({code})),
            amount=amount, currency=currency, supporter=supporter, family=family,
        )  # fmt: skip

        outcome, charge = self.pay(event)

        assert outcome is Outcome.CREDITED
        assert (charge["telegram_id"], charge["method"], charge["payment_id"]) == (owner, "code", code)
        if payment["status"] == "pending":
            assert self.payment(code)["status"] == "completed"

    @precondition(lambda self: self.seen.payments)
    @rule(which=which)
    def pay_with_a_code_in_a_currency_without_a_rate(self, which: int) -> None:
        payment = self.one_of(self.seen.payments, which)
        code = payment["payment_id"]

        outcome, charge = self.pay(self.a_payment(code, Written(frozenset({code})), currency="GBP"))

        assert outcome is Outcome.UNMATCHED
        assert self.told(payment["telegram_id"], charge) == ["payment_under_review"]

    @rule(
        user=users,
        place=st.integers(0, 7),
        sign=st.sampled_from("249AKXZ"),
        supporter=supporters,
        is_late=st.booleans(),
    )
    def pay_with_a_slip(self, user: TelegramId, place: int, sign: str, supporter: str | None, is_late: bool) -> None:
        """
        Pay with a note that contains the user's code with one character replaced, perhaps by the same character.

        A wrong code is corrected only while the pending payment is open. If the payment has ended, only the rule for known
        supporters may match the charge.
        """
        code = self.request(user, "10")
        slip = f"{code[:place]}{sign}{code[place + 1 :]}"
        written = Written(frozenset({code})) if slip == code else Written(corrected=frozenset({code}))
        if is_late:
            self.do(cancel_payment(self.world.bot, code, user, now=self.now))

        _, charge = self.pay(self.a_payment(show_code(PaymentId(slip)), written, supporter=supporter))

        if slip != code and is_late:
            assert charge["method"] in (None, "known_supporter")

    @precondition(lambda self: len({row["telegram_id"] for row in self.seen.payments}) > 1)
    @rule(supporter=supporters)
    def pay_with_codes_of_two_users(self, supporter: str | None) -> None:
        first = self.seen.payments[0]
        second = next(row for row in self.seen.payments if row["telegram_id"] != first["telegram_id"])
        codes = frozenset({first["payment_id"], second["payment_id"]})

        outcome, charge = self.pay(self.a_payment(" and ".join(sorted(codes)), Written(codes), supporter=supporter))

        assert outcome is Outcome.UNMATCHED
        for row in (first, second):
            assert self.told(row["telegram_id"], charge) == ["payment_under_review"]

    @precondition(lambda self: self.seen.payments)
    @rule(which=which, supporter=supporters)
    def pay_with_several_codes_of_one_user(self, which: int, supporter: str | None) -> None:
        owner = self.one_of(self.seen.payments, which)["telegram_id"]
        codes = [row["payment_id"] for row in self.seen.payments if row["telegram_id"] == owner][:3]

        outcome, charge = self.pay(self.a_payment("; ".join(codes), Written(frozenset(codes)), supporter=supporter))

        assert outcome is Outcome.CREDITED
        assert charge["telegram_id"] == owner

    @rule(
        amount=amounts,
        supporter=supporters,
        family=families,
        note=st.sampled_from(["", "Great work!", "from @user_202"]),
        minutes_ago=st.sampled_from([0, 0, 30]),
    )
    def pay_without_a_code(self, amount: str, supporter: str | None, family: str, note: str, minutes_ago: int) -> None:
        event = self.a_payment(
            note, Written(), amount=amount, supporter=supporter, family=family, minutes_ago=minutes_ago
        )
        self.pay(event)

    @rule(user=users, amount=amounts, minutes=st.sampled_from([0, 5, 59, 61]), supporter=supporters)
    def pick_and_pay_without_a_code(self, user: TelegramId, amount: str, minutes: int, supporter: str | None) -> None:
        self.pay_for_a_request(user, amount, minutes, supporter)

    def pay_for_a_request(self, user: TelegramId, amount: str, minutes: int, supporter: str | None) -> Row:
        self.request(user, amount)
        self.pass_minutes(minutes)
        _, charge = self.pay(self.a_payment("", Written(), amount=amount, supporter=supporter))
        return charge

    @rule(user=users, rival=users, amount=amounts, end=st.sampled_from(["cancelled", "completed", "expired"]))
    def a_rival_ends_before_the_payment_is_told(
        self, user: TelegramId, rival: TelegramId, amount: str, end: str
    ) -> None:
        """
        If *user* and *rival* both had an open payment when the charge was paid, the charge must not be matched by a guess.

        The rival may be the payer. So there must be no guess even if the rival's pending payment has ended when the event of the
        charge arrives.
        """
        code = self.request(rival, amount)
        self.pass_minutes(1)
        self.request(user, amount)
        self.pass_minutes(10)
        match end:
            case "cancelled":
                self.do(cancel_payment(self.world.bot, code, rival, now=self.now))
            case "completed":
                self.pay(self.a_payment(code, Written(frozenset({code})), amount=amount))
            case _:
                opened_before = self.now - timedelta(minutes=10, seconds=30)
                self.do(expire_payments(self.world.janitor, now=self.now, opened_before=opened_before))

        _, charge = self.pay(self.a_payment("", Written(), amount=amount, minutes_ago=5))

        assert rival == user or charge["telegram_id"] is None

    @rule(user=users, amount=amounts, days=st.sampled_from([29, 31, 89, 91]))
    def disown_a_guess_and_try_again(self, user: TelegramId, amount: str, days: int) -> None:
        charge = self.pay_for_a_request(user, amount, 1, None)
        if charge["method"] == "amount_and_time":
            self.disown(charge)
        self.pass_minutes(days * 1440)
        self.do(expire_payments(self.world.janitor, now=self.now, opened_before=self.now - timedelta(hours=24)))

        again = self.pay_for_a_request(user, amount, 1, None)

        if charge["method"] == "amount_and_time" and days < 90:
            assert again["telegram_id"] is None

    @rule(user=users, amount=amounts, supporter=st.sampled_from(["s-1", "s-2"]))
    def pay_with_a_code_and_then_without_one(self, user: TelegramId, amount: str, supporter: str) -> None:
        code = self.request(user, amount)
        self.pay(self.a_payment(code, Written(frozenset({code})), amount=amount, supporter=supporter))
        self.request(user, amount)
        self.pay(self.a_payment("", Written(), amount=amount, supporter=supporter))

    @rule(user=users, supporter=st.sampled_from(["s-1", "s-2"]), is_ended_by_code=st.booleans())
    def remember_an_outsider(self, user: TelegramId, supporter: str, is_ended_by_code: bool) -> None:
        """
        If an operator has marked a supporter as an outsider, the next payment without a code is dismissed.

        A payment with a user's code is matched instead, and the supporter is no longer an outsider.
        """
        outcome, charge = self.pay(self.a_payment("", Written(), amount="7", supporter=supporter))
        if outcome is not Outcome.UNMATCHED:
            return
        order = self.order(OPERATORS[0])
        self.do(decisions.dismiss_charge(self.world.bot, charge["charge_id"], order, remember=OutsiderKind.SUPPORTER))
        code = self.request(user, "7") if is_ended_by_code else None
        written = Written(frozenset({code} if code else ()))

        _, charge = self.pay(self.a_payment(code or "", written, amount="7", supporter=supporter))

        assert (charge["state"], charge["telegram_id"]) == (("matched", user) if code else ("dismissed", None))
        remembered = [row["ended_at"] for row in self.seen.outsiders if row["name"] == supporter]
        assert code is None or None not in remembered

    @rule(supporter=supporters)
    def pay_with_a_code_that_was_never_issued(self, supporter: str | None) -> None:
        self.pay(self.a_payment(NEVER_ISSUED, Written(frozenset({NEVER_ISSUED})), supporter=supporter))

    # BMC repeats, corrects and refunds ---------------------------------------------------------------------------------

    @precondition(lambda self: self.paid or self.subscriptions)
    @rule(which=which)
    def deliver_again(self, which: int) -> None:
        before = self.seen

        outcomes = self.deliver(self.one_of([*self.paid, *self.subscriptions], which))

        assert outcomes == [Outcome.DUPLICATE]
        assert self.seen == before

    @precondition(lambda self: self.paid)
    @rule(which=which)
    def announce_under_another_family(self, which: int) -> None:
        event, before = self.one_of(self.paid, which), self.seen
        family = "wishlist_payment.created"

        self.deliver(self.renewed(event, id=90_000 + self.number) | {"type": family})

        assert len(self.seen.charges) == len(before.charges)
        assert self.seen.credits == before.credits

    @precondition(lambda self: self.paid)
    @rule(which=which)
    def announce_another_number_under_one_transaction(self, which: int) -> None:
        event, before = self.one_of(self.paid, which), self.seen

        self.deliver(self.renewed(event, id=80_000 + self.next_number()))

        assert self.seen.credits == before.credits
        assert len(self.seen.charges) == len(before.charges) + 1
        assert self.seen.charges[-1]["doubt"] == "conflict"

    @precondition(lambda self: self.paid and self.seen.payments)
    @rule(which=which, code=which)
    def add_a_code_later(self, which: int, code: int) -> None:
        event, payment = self.one_of(self.paid, which), self.one_of(self.seen.payments, code)
        before = self.charge_by_transaction(event)
        update = self.renewed(event, support_note=payment["payment_id"])
        self.known.written[event["data"]["transaction_id"]] = Written(frozenset({payment["payment_id"]}))

        self.deliver(update | {"type": event["type"].replace(".created", ".updated")})

        charge = self.charge_by_transaction(event)
        if before["state"] == "matched":
            assert charge["telegram_id"] == before["telegram_id"]
        is_clear = not before["is_held"] and before["doubt"] is None and event["data"]["currency"] != "GBP"
        if before["state"] == "unmatched" and is_clear and before["note"] != payment["payment_id"]:
            assert charge["telegram_id"] == payment["telegram_id"]

    @precondition(lambda self: self.paid)
    @rule(which=which)
    def refund(self, which: int) -> None:
        event = self.one_of(self.paid, which)
        before = self.charge_by_transaction(event)

        self.deliver(a_refund_of(event) | {"event_id": 1000 + self.next_number()})

        if before["refunded_amount"] is None:
            assert self.charge_by_transaction(event)["state"] == "refunded"

    @rule(user=users, amount=amounts, spent=st.sampled_from([0, 400]))
    def pay_spend_and_refund(self, user: TelegramId, amount: str, spent: int) -> None:
        """A refund also takes back credits that the user has spent. If the balance falls below zero, operators are notified."""
        code = self.request(user, amount)
        event = self.a_payment(code, Written(frozenset({code})), amount=amount)
        self.pay(event)
        balance = self.balance(user)
        if 0 < spent <= balance:
            self.do(spend_credits(self.world.bot, user, spent, reason="a picture", key=f"k-{self.next_number()}"))

        self.deliver(a_refund_of(event) | {"event_id": 1000 + self.next_number()})

        charge = self.charge_of(event)
        assert charge["state"] == "refunded"
        assert sum(row["credits"] for row in self.seen.credits if row["charge_id"] == charge["charge_id"]) == 0
        if self.balance(user) < 0:
            assert "refund_overdrawn" in [row["kind"] for row in self.seen.notifications]

    @precondition(lambda self: self.seen.payments)
    @rule(which=which, part=st.sampled_from(["0.01", "1.50", "4.99"]))
    def refund_and_correct_it_to_a_part(self, which: int, part: str) -> None:
        code = self.one_of(self.seen.payments, which)["payment_id"]
        event = self.a_payment(code, Written(frozenset({code})))
        _, charge = self.pay(event)
        self.deliver(a_refund_of(event) | {"event_id": 1000 + self.next_number()})

        order = self.order(OPERATORS[0])
        self.do(decisions.refund_part(self.world.bot, charge["charge_id"], order, amount=Decimal(part)))

        entries = [row["credits"] for row in self.seen.credits if row["charge_id"] == charge["charge_id"]]
        assert sum(entries) == int((Decimal(5) - Decimal(part)) * 100)

    @precondition(lambda self: self.paid)
    @rule(which=which)
    def refund_another_amount(self, which: int) -> None:
        event, before = self.one_of(self.paid, which), self.seen
        refund = a_refund_of(event)

        self.deliver(self.renewed(refund, amount=2))

        assert self.seen.credits == before.credits
        assert self.seen.charges == before.charges

    @precondition(lambda self: self.seen.payments)
    @rule(which=which, is_coded=st.booleans())
    def refund_before_the_payment(self, which: int, is_coded: bool) -> None:
        code = self.one_of(self.seen.payments, which)["payment_id"]
        event = self.a_payment(code if is_coded else "", Written(frozenset({code} if is_coded else ())))
        self.refunded_first.append(event)

        self.deliver(a_refund_of(event) | {"event_id": 1000 + self.next_number()})

    @precondition(lambda self: self.refunded_first)
    @rule()
    def pay_what_was_refunded_before(self) -> None:
        event, balances = self.refunded_first.pop(), self.seen.balances

        outcome, charge = self.pay(event)

        assert outcome is Outcome.REFUNDED
        assert charge["state"] == "refunded"
        assert [row for row in self.seen.balances if row["balance"]] == [row for row in balances if row["balance"]]

    # Subscriptions -----------------------------------------------------------------------------------------------------

    @rule(which=which, is_coded=st.booleans(), supporter=supporters, is_named=st.booleans())
    def start_a_subscription(self, which: int, is_coded: bool, supporter: str | None, is_named: bool) -> None:
        code = self.one_of(self.seen.payments, which)["payment_id"] if is_coded and self.seen.payments else None
        self.subscribe(code, supporter=supporter, is_named=is_named)

    @rule(user=users, is_coded=st.booleans(), supporter=supporters, is_named=st.booleans())
    def pick_and_subscribe(self, user: TelegramId, is_coded: bool, supporter: str | None, is_named: bool) -> None:
        """If a guess matches the first month of a subscription, the guess must not decide to whom later months are matched."""
        code = self.request(user, "3")
        event = self.subscribe(code if is_coded else None, supporter=supporter, is_named=is_named)
        charge = self.charge_of_period(event)
        self.pass_minutes(31 * 1440)

        renewal = self.charge_of_period(self.pay_next_month(event))

        is_taught = charge["method"] not in (None, "amount_and_time")
        assert is_taught or not is_coded
        assert (renewal["method"] == "subscription") == is_taught
        assert not is_coded or renewal["telegram_id"] == user

    @rule(user=users, other=users, is_named=st.booleans(), is_given_away=st.booleans())
    def subscribe_and_have_it_undone(
        self, user: TelegramId, other: TelegramId, is_named: bool, is_given_away: bool
    ) -> None:
        event = self.subscribe(self.request(user, "3"), supporter=None, is_named=is_named)
        charge_id = self.charge_of_period(event)["charge_id"]
        self.undo_charge(charge_id, OPERATORS[0])
        if is_given_away:
            self.match_charge(charge_id, other, None, OPERATORS[1])
        self.pass_minutes(31 * 1440)

        renewal = self.charge_of_period(self.pay_next_month(event))

        assert renewal["telegram_id"] == (other if is_given_away else None)

    @precondition(lambda self: self.subscriptions)
    @rule(which=which, days=st.sampled_from([31, 62]))
    def renew(self, which: int, days: int) -> None:
        self.pass_minutes(days * 1440)
        self.pay_next_month(self.one_of(self.subscriptions, which))

    def subscribe(self, code: str | None, *, supporter: str | None, is_named: bool) -> BmcEvent:
        number, at = self.next_number(), int(self.now.timestamp())
        event = a_subscription(
            id=number,
            psp_id=f"sub_{number}" if is_named else None,
            started_at=at,
            period=at,
            support_note=code or "",
            **self.supporter_of(supporter),
        )
        event |= {"event_id": 1000 + number}
        self.subscriptions.append(event)
        self.write(event, Written(frozenset({code} if code else ())))
        self.deliver(event)
        if code:
            assert self.charge_of_period(event)["telegram_id"] == self.known.owners[code]
        return event

    def pay_next_month(self, first: BmcEvent) -> BmcEvent:
        """
        Renew the subscription.

        Each renewal from BMC repeats the note of the first month, so it may contain a code that is already used.
        """
        event = self.renewed(first, current_period_start=int(self.now.timestamp())) | {"type": "membership.updated"}
        codes = frozenset({first["data"]["support_note"]} - {""})
        self.write(event, Written(codes, is_renewal=True))
        self.deliver(event)
        return event

    @precondition(lambda self: self.subscriptions)
    @rule(which=which)
    def upgrade(self, which: int) -> None:
        """An event that reports a different amount for a known period changes no credits and adds no charge."""
        event, before = self.one_of(self.subscriptions, which), self.seen

        self.deliver(self.renewed(event, amount=4) | {"type": "membership.updated"})

        assert self.seen.credits == before.credits
        assert len(self.seen.charges) == len(before.charges)

    @precondition(lambda self: self.subscriptions)
    @rule(which=which)
    def tell_the_subscription_id_later(self, which: int) -> None:
        event, before = self.one_of(self.subscriptions, which), self.seen
        named = self.renewed(event, psp_id=f"sub_{event['data']['id']}") | {"type": "membership.updated"}
        self.write(named, self.known.written[self.names(event)[0]])

        self.deliver(named)

        assert self.seen.credits == before.credits
        assert len(self.seen.charges) == len(before.charges)

    @precondition(lambda self: self.subscriptions)
    @rule(which=which)
    def stop_a_subscription(self, which: int) -> None:
        event, before = self.one_of(self.subscriptions, which), self.seen

        self.deliver(self.renewed(event, status="canceled") | {"type": "membership.cancelled"})

        assert self.seen.charges == before.charges

    @precondition(lambda self: self.subscriptions)
    @rule(which=which)
    def flag_a_subscription_as_refunded(self, which: int) -> None:
        """If BMC sets `refunded` in a subscription event, no credits change. Operators decide whether the period was refunded."""
        event, before = self.one_of(self.subscriptions, which), self.seen

        self.deliver(self.renewed(event, refunded="true") | {"type": "membership.updated"})

        assert self.seen.credits == before.credits

    @precondition(lambda self: self.seen.payments)
    @rule(which=which)
    def announce_a_first_month_twice(self, which: int) -> None:
        code = self.one_of(self.seen.payments, which)["payment_id"]
        self.pay(self.a_payment(code, Written(frozenset({code})), supporter="s-1"))
        credits, at = self.seen.credits, int(self.now.timestamp())
        number = self.next_number()
        event = a_subscription(
            "recurring_donation.started", id=number, psp_id=f"sub_{number}", amount=5, started_at=at, period=at,
            support_note=code, **self.supporter_of("s-1"),
        )  # fmt: skip
        event |= {"event_id": 1000 + number}
        self.write(event, Written(frozenset({code})))

        assert self.deliver(event) == [Outcome.UNMATCHED]
        assert self.seen.credits == credits

    # Two operations at the same time -----------------------------------------------------------------------------------

    @precondition(lambda self: self.seen.payments)
    @rule(which=which, amount=amounts)
    def two_webhooks_settle_at_once(self, which: int, amount: str) -> None:
        payment = self.one_of(self.seen.payments, which)
        code = payment["payment_id"]
        coded = self.a_payment(code, Written(frozenset({code})), amount=amount)
        uncoded = self.a_payment("", Written(), amount=amount)
        renamed = self.renewed(coded, id=70_000 + self.number) | {"type": "extra_purchase.created"}
        self.paid += [coded, uncoded]

        async def settle_both() -> tuple[list[Outcome], list[Outcome]]:
            one, other = self.world.webhooks
            first, second = await self.world.at_once(
                settle_events(one, self.read(coded, uncoded), RULES, now=self.now),
                settle_events(other, self.read(uncoded, renamed, coded), RULES, now=self.now),
            )
            return first.outcomes, second.outcomes

        first, second = self.do(settle_both())

        assert [*first, *second].count(Outcome.DUPLICATE) == 2
        assert self.charge_of(coded)["telegram_id"] == payment["telegram_id"]

    @precondition(lambda self: self.seen.charges)
    @rule(which=which, users=st.tuples(users, users), pair=decision_names)
    def two_operators_decide_at_once(self, which: int, users: tuple[TelegramId, TelegramId], pair: str) -> None:
        charge_id = self.one_of(self.seen.charges, which)["charge_id"]
        before, bot = self.seen.charges, self.world.bot
        orders = [self.order(operator) for operator in OPERATORS]

        def matched(
            order: decisions.OperatorRequest, user: TelegramId
        ) -> Coroutine[Any, Any, decisions.Done | decisions.Refused]:
            return decisions.match_charge(bot, charge_id, order, telegram_id=user, payment_id=None, rates=RULES.rates)

        first, second = {
            "match": lambda: (matched(orders[0], users[0]), matched(orders[1], users[1])),
            "match, dismiss": lambda: (
                matched(orders[0], users[0]),
                decisions.dismiss_charge(bot, charge_id, orders[1]),
            ),
            "dismiss, match": lambda: (
                decisions.dismiss_charge(bot, charge_id, orders[0]),
                matched(orders[1], users[1]),
            ),
            "undo": lambda: (
                decisions.undo_match(bot, charge_id, orders[0]),
                decisions.undo_match(bot, charge_id, orders[1]),
            ),
        }[pair]()
        if pair == "undo":
            self.expect_undo(self.one_of(self.seen.charges, which))
        done = [one for one in self.do(self.world.at_once(first, second)) if isinstance(one, decisions.Done)]

        assert len(done) <= 1
        assert done or self.seen.charges == before

    # Operators ---------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.seen.charges)
    @rule(which=which, user=users, operator=operators, payment=st.none() | which)
    def match(self, which: int, user: TelegramId, operator: TelegramId, payment: int | None) -> None:
        charge = self.one_of(self.seen.charges, which)
        theirs = [row for row in self.seen.payments if row["telegram_id"] == user]
        payment_id = self.one_of(theirs, payment)["payment_id"] if payment is not None and theirs else None

        done = self.match_charge(charge["charge_id"], user, payment_id, operator)

        if charge["state"] == "unmatched" and charge["currency"] != "GBP":
            assert isinstance(done, decisions.Done)
        if charge["state"] in ("matched", "refunded"):
            assert isinstance(done, decisions.Refused)

    def match_charge(
        self, charge_id: int, user: TelegramId, payment_id: PaymentId | None, operator: TelegramId
    ) -> decisions.Done | decisions.Refused:
        order, rates = self.order(operator), RULES.rates
        return self.do(
            decisions.match_charge(
                self.world.bot, charge_id, order, telegram_id=user, payment_id=payment_id, rates=rates
            )
        )

    def undo_charge(self, charge_id: int, operator: TelegramId) -> decisions.Done | decisions.Refused:
        self.expect_undo(next(row for row in self.seen.charges if row["charge_id"] == charge_id))
        return self.do(decisions.undo_match(self.world.bot, charge_id, self.order(operator)))

    @precondition(lambda self: self.seen.charges)
    @rule(which=which, operator=operators)
    def undo(self, which: int, operator: TelegramId) -> None:
        charge = self.one_of(self.seen.charges, which)

        done = self.undo_charge(charge["charge_id"], operator)

        assert isinstance(done, decisions.Done) == (charge["state"] in ("matched", "dismissed"))

    @precondition(lambda self: self.seen.charges)
    @rule(which=which, operator=operators, remember=st.none() | st.sampled_from(OutsiderKind))
    def dismiss(self, which: int, operator: TelegramId, remember: OutsiderKind | None) -> None:
        charge = self.one_of(self.seen.charges, which)
        self.do(decisions.dismiss_charge(self.world.bot, charge["charge_id"], self.order(operator), remember=remember))

    @precondition(lambda self: self.seen.charges)
    @rule(which=which, operator=operators, amount=st.sampled_from(["1", "2.50", "4.99", "9"]))
    def only_a_part_was_refunded(self, which: int, operator: TelegramId, amount: str) -> None:
        charge = self.one_of(self.seen.charges, which)
        self.do(
            decisions.refund_part(self.world.bot, charge["charge_id"], self.order(operator), amount=Decimal(amount))
        )

    @rule(user=users, operator=operators, credits=st.sampled_from([-300, 50, 1000]))
    def change_a_balance(self, user: TelegramId, operator: TelegramId, credits: int) -> None:
        self.do(decisions.credit_user(self.world.bot, user, self.order(operator), credits=credits))

    @precondition(lambda self: self.seen.credits)
    @rule(which=which, operator=operators)
    def undo_a_change_of_a_balance(self, which: int, operator: TelegramId) -> None:
        entry = self.one_of(self.seen.credits, which)
        done = self.do(decisions.undo_adjustment(self.world.bot, entry["credit_id"], self.order(operator)))
        assert isinstance(done, decisions.Refused) or entry["kind"] == "adjustment"

    @precondition(lambda self: self.seen.payments)
    @rule(which=which, is_settled=st.booleans())
    def settle_an_event_that_had_failed(self, which: int, is_settled: bool) -> None:
        payment = self.one_of(self.seen.payments, which)
        event = self.a_payment(payment["payment_id"], Written(frozenset({payment["payment_id"]})))
        [read] = self.read(event)
        self.do(keep_failed_event(self.world.webhooks[0], read))
        event_no = self.seen.events[-1]["event_no"]
        if not is_settled:
            self.do(decisions.dismiss_event(self.world.bot, event_no, self.order(OPERATORS[0])))
            return
        self.do(decisions.request_retry(self.world.bot, event_no, self.order(OPERATORS[0])))
        self.pass_minutes(60)

        self.do(retry_requested_events(self.world.janitor, RULES, now=self.now))

        self.paid.append(event)
        assert self.charge_of(event)["telegram_id"] == payment["telegram_id"]

    # Users reject guesses, claim payments and spend credits ------------------------------------------------------------

    @precondition(lambda self: self.seen.guesses)
    @rule(which=which)
    def not_mine(self, which: int) -> None:
        guess = self.one_of(self.seen.guesses, which)
        charge = next(row for row in self.seen.charges if row["charge_id"] == guess["charge_id"])
        payment = self.payment(charge["payment_id"]) if charge["payment_id"] else None

        taken = self.disown(charge, guess["telegram_id"])

        is_over = self.now > datetime.fromisoformat(guess["guessed_at"]) + timedelta(days=30)
        is_standing = charge["method"] == "amount_and_time" and charge["state"] == "matched"
        assert isinstance(taken, int) == (is_standing and not is_over)
        assert payment is None or self.payment(payment["payment_id"]) == payment

    def disown(self, charge: Row, user: TelegramId | None = None) -> int | decisions.Disowned:
        if charge["method"] == "amount_and_time":
            self.expect_undo(charge)
        owner = user or charge["telegram_id"]
        return self.do(decisions.disown_guess(self.world.bot, charge["charge_id"], owner, now=self.now))

    @rule(user=users, amount=amounts)
    def claim_and_have_it_confirmed(self, user: TelegramId, amount: str) -> None:
        outcome, charge = self.pay(self.a_payment("", Written(), amount=amount))
        self.claim(user, amount, None, None)
        if outcome is not Outcome.UNMATCHED:
            return

        self.match_charge(charge["charge_id"], user, None, OPERATORS[0])

        claims = [row for row in self.seen.claims if row["telegram_id"] == user and row["status"] == "open"]
        assert all(charge["charge_id"] not in row["candidates"] for row in claims)

    @rule(
        user=users,
        amount=amounts,
        name=st.sampled_from([None, "Name of s-1"]),
        end=st.sampled_from([None, "declined", "withdrawn"]),
    )
    def claim(self, user: TelegramId, amount: str, name: str | None, end: str | None) -> None:
        claimed = ClaimedPayment(self.now.date(), Decimal(amount), "USD", name)
        claim_id = self.do(raise_claim(self.world.bot, user, claimed, now=self.now))
        if isinstance(claim_id, int) and end is not None:
            self.end_claim(claim_id, user, end)

    @precondition(lambda self: self.seen.claims)
    @rule(which=which, end=st.sampled_from(["declined", "withdrawn"]))
    def end_a_claim(self, which: int, end: str) -> None:
        claim = self.one_of(self.seen.claims, which)
        self.end_claim(claim["claim_id"], claim["telegram_id"], end)

    def end_claim(self, claim_id: int, user: TelegramId, end: str) -> None:
        if end == "declined":
            self.do(decisions.decline_claim(self.world.bot, claim_id, self.order(OPERATORS[0])))
        else:
            self.do(withdraw_claim(self.world.bot, claim_id, user, now=self.now))

    @rule(user=users, credits=st.sampled_from([1, 200, 600]), key=st.sampled_from(["a", "b", "c"]))
    def spend(self, user: TelegramId, credits: int, key: str) -> None:
        held = self.balance(user)
        known = self.spent.get(key)
        try:
            left = self.do(spend_credits(self.world.bot, user, credits, reason="a picture", key=key))
        except BalanceTooLowError:
            assert known is None
            assert held < credits
        except SpendingKeyTakenError:
            assert known is not None
            assert known[:2] != (user, credits)
        else:
            # A call with a used idempotency key returns the balance after the first call with this key, even if the balance has
            # changed since then.
            assert (user, credits, left) == (known or (user, credits, held - credits))
            self.spent[key] = (user, credits, left)

    @rule(user=users)
    def erase(self, user: TelegramId) -> None:
        theirs = [row for row in self.seen.charges if row["telegram_id"] == user]
        supporters = {row["supporter_id"] for row in theirs}
        self.known.erased[user] = {row["charge_key"] for row in theirs}

        self.do(erase_user(self.world.bot, user))

        assert all(row["name"] is None for row in self.seen.supporters if row["supporter_id"] in supporters)
        assert all(row["email"] is None for row in self.seen.supporters if row["supporter_id"] in supporters)
        assert all(row["name"] is None for row in self.seen.claims if row["telegram_id"] == user)
        assert all(row["status"] != "pending" for row in self.seen.payments if row["telegram_id"] == user)
        assert all(row["telegram_id"] != user for row in self.seen.notifications)

    @rule(user=users)
    def come_back(self, user: TelegramId) -> None:
        self.known.erased.pop(user, None)
        self.do(meet_user(self.world.bot, user, language="uk", username=f"user_{user}", now=self.now))

    @rule(user=users)
    def block(self, user: TelegramId) -> None:
        self.do(mark_unreachable(self.world.bot, user, now=self.now))

    # The janitor's tasks -----------------------------------------------------------------------------------------------

    @rule()
    def forget_what_is_old(self) -> None:
        self.do(blank_personal_fields(self.world.janitor, now=self.now, before=self.now - timedelta(days=90)))

    @rule()
    def match_waiting_charges_again(self) -> None:
        count = len(self.seen.guesses)
        self.do(rematch_waiting_charges(self.world.janitor, RULES, now=self.now))
        assert len(self.seen.guesses) == count

    @rule()
    def close_claims(self) -> None:
        self.do(close_answered_claims(self.world.janitor, now=self.now))

    @rule()
    def measure(self) -> None:
        snapshot = self.do(take_snapshot(self.world.janitor, now=self.now))

        payments = Counter(row["status"] for row in self.seen.payments)
        charges = Counter(row["state"] for row in self.seen.charges if row["is_paid"])
        assert {status: number for status, number in snapshot.payments.items() if number} == payments
        assert {state: number for state, number in snapshot.charges.items() if number} == charges

    # Lookups -----------------------------------------------------------------------------------------------------------

    @staticmethod
    def one_of(things: list[Any], which: int) -> Any:
        return things[which % len(things)]

    def balance(self, user: TelegramId) -> int:
        return sum(row["balance"] for row in self.seen.balances if row["telegram_id"] == user)

    def payment(self, code: str) -> Row:
        return next(row for row in self.seen.payments if row["payment_id"] == code)

    def charge_by_transaction(self, event: BmcEvent) -> Row:
        """
        Find the first charge with the event's transaction id.

        Later charges with the same id conflict with the first charge and wait for an operator. Their `conflicts_with` is set.
        """
        name = event["data"]["transaction_id"]
        return next(row for row in self.seen.charges if row["transaction_id"] == name and row["conflicts_with"] is None)

    def charge_of_period(self, event: BmcEvent) -> Row:
        names = self.names(event)
        return next(row for row in self.seen.charges if row["period_start"] and name_of(row) in names)

    def names(self, event: BmcEvent) -> list[str]:
        data, family = event["data"], event["type"].partition(".")[0]
        period = data["current_period_start"]
        numbered = [f"{family}:{data['id']}:{period}"]
        return [f"{data['psp_id']}:{period}", *numbered] if data["psp_id"] else numbered

    def write(self, event: BmcEvent, written: Written) -> None:
        for name in self.names(event):
            self.known.written[name] = written

    def expect_undo(self, charge: Row) -> None:
        """Call this before an operator or user undoes a match. It adds the charge's subscription and user to `Known.undone`."""
        name = subscription_of(charge)
        if name is not None and charge["state"] == "matched":
            self.known.undone.add((name, charge["telegram_id"]))


def test_the_invariants_hold_after_every_sequence_of_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    the_world = world
    # With the value 0, each snapshot for the metrics merges the rows of `counts`. By default, a snapshot merges the rows only
    # if there are more than 1,000.
    monkeypatch.setattr("coffee_ledger.store.snapshot.COUNTS_MAX", 0)

    class Machine(MoneyMachine):
        world = the_world

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            deadline=None,
            # The default run draws the same sequences every time. A long run draws new sequences, and prints how to reproduce a
            # failure.
            derandomize=SEQUENCES == SEQUENCES_BY_DEFAULT,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )

    print(f"{SEQUENCES} sequences, {world.steps} steps: {dict(sorted(world.seen.items()))}")
    # Fail if the sequences do not reach all important states, because the checks would then prove little.
    assert world.seen.keys() >= REACHED
