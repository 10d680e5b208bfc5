"""
Simulate a page of Buy Me a Coffee, and count the guesses (matches by amount and time) that credit the wrong user.

    make simulate

Three groups use the page:

- strangers, who do not know the bot and pay;
- users who request a payment in the bot and pay;
- users who request a payment in the bot and never pay.

In half of the runs there is also a camper: a user who always has an open request for every amount.

A history is the list of all requests and payments of one run. Each history is settled twice: by the rule of Git revision
87790ae ("before") and by `coffee_ledger.settling.settle` ("after"). There is no database: `Page` holds the rows that
`coffee_ledger/store/settlement.py` would load.

The simulation makes these assumptions:

- Only the camper makes more than one request. So only the camper is affected by today's pause: after a guess for a user, no
  guess credits the same user for 30 days. On a real page, other users also make several requests, so the pause prevents some more
  wrong guesses there.
- Operators do not match waiting charges. They take guesses back only in the last row of `table_of_pauses`.
- If a user's payment is not matched, the user's request stays open until it expires.
"""

import argparse
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from random import Random

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coffee_ledger.charges import Charge
from coffee_ledger.codes import issue_code
from coffee_ledger.events import Event, read_event
from coffee_ledger.matching import CLOCK_SLACK, GuessRecord, Rules
from coffee_ledger.model import PaymentId, PaymentStatus, PendingPayment, Rates, TelegramId
from coffee_ledger.settling import Book, Settlement, settle
from coffee_ledger.store.settlement import RIVALS_MAX

RATES = (0.01, 0.04, 0.1, 0.3, 1.0)
"""
The simulated rates at which users open pending payments that they never pay: the number of such payments per hour and amount.

Each rate is simulated in separate runs.
"""

AMOUNTS = (Decimal(5), Decimal(10), Decimal(25), Decimal(50))
CURRENCY = "USD"
CODELESS_SHARE = 0.1
"""The share of paying users who pay without the code."""

PAYING_MINUTES = (2.0, 45.0)
"""The shortest and the longest time, in minutes, from the request to the payment."""

LATE_SHARE = 0.05
LATE_MINUTES_MAX = 30.0
"""BMC delivers the share `LATE_SHARE` of all events late. The additional delay is at most this many minutes."""

EXPIRES_AFTER = timedelta(hours=24)
CAMPS_EVERY = timedelta(hours=1)
CAMPER = TelegramId(666)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=30)

RULES = Rules(Rates({CURRENCY: Decimal(100)}), fallback=True, fallback_window=timedelta(minutes=60))
RULES_WITHOUT_GUESSES = replace(RULES, fallback=False)

ROWS_KEPT = timedelta(hours=2)
"""
`Page` forgets a request that ended longer ago than this time, and a waiting charge that was paid longer ago than this time.

This time is longer than the window of a guess plus the longest delay of an event, so older rows cannot affect a guess.
"""

GROUND, INK, BEFORE, AFTER = "#fffaf3", "#2b1d12", "#d9a98a", "#8a3f14"
"""The colours of the chart: background, text, and the bars for "before" and "after"."""


@dataclass(frozen=True)
class Setup:
    """The length of the simulated time, and how many strangers and users pay per day."""

    days: int = 360
    seed: int = 9
    strangers_per_day: float = 4
    payers_per_day: float = 5
    """The number of users per day who request a payment in the bot and pay."""

    @property
    def until(self) -> datetime:
        return BEGIN + timedelta(days=self.days)

    @property
    def months(self) -> float:
        return timedelta(days=self.days) / MONTH


# Histories ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    payment: PendingPayment


@dataclass(frozen=True)
class Ended:
    """A pending payment expires, or its user cancels it. The step is ignored if the payment has ended already."""

    payment_id: PaymentId
    status: PaymentStatus


@dataclass(frozen=True)
class Delivered:
    event: Event
    payer: TelegramId | None
    """The user who paid, or None if the supporter is not a user of the bot."""


Step = Asked | Ended | Delivered
History = Sequence[tuple[datetime, Step]]


class Script:
    """Collects the steps of a history. The steps may be added in any order, because `history` sorts them by time."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._numbers = count(1)
        self._steps: list[tuple[datetime, Step]] = []

    def history(self) -> History:
        # The sort is stable: steps that have the same time keep their order. For example, `let_camp` cancels pending payments
        # and opens new ones at the same time, and the old ones end before the new ones begin.
        return sorted(self._steps, key=lambda step: step[0])

    def new_user(self) -> TelegramId:
        return TelegramId(1_000_000 + next(self._numbers))

    def ask(self, at: datetime, user: TelegramId, amount: Decimal) -> PaymentId:
        code = issue_code(self._chance)
        payment = PendingPayment(code, user, amount, CURRENCY, PaymentStatus.PENDING, created_at=at)
        self._steps.append((at, Asked(payment)))
        self._steps.append((at + EXPIRES_AFTER, Ended(code, PaymentStatus.EXPIRED)))
        return code

    def cancel(self, at: datetime, payment_id: PaymentId) -> None:
        self._steps.append((at, Ended(payment_id, PaymentStatus.CANCELLED)))

    def pay(
        self, at: datetime, amount: Decimal, delay: timedelta, *, payer: TelegramId | None = None, note: str = ""
    ) -> None:
        number = next(self._numbers)
        data = {
            "id": number,
            "transaction_id": f"pi_{number}",
            "amount": f"{amount}",
            "currency": CURRENCY,
            "support_note": note,
            "supporter_id": number,
            "created_at": int(at.timestamp()),
        }
        body = {"type": "donation.created", "live_mode": True, "event_id": number, "data": data}
        event = read_event(json.dumps(body).encode(), received_at=at + delay, nonce="")
        self._steps.append((at + delay, Delivered(event, payer)))


def write_history(rate: float, setup: Setup, *, camps: bool) -> History:
    """
    Make a history with *rate* unpaid requests per hour for each amount. If *camps* is true, add the steps of the camper (see `let_camp`).

    All histories of one *setup* have the same payments of strangers, so that their results can be compared.
    """
    script = Script(_chance(setup, "codes", rate))
    _let_strangers_pay(script, setup, _chance(setup, "strangers"))
    _let_users_pay(script, setup, _chance(setup, "payers"))
    _let_users_abandon(script, setup, _chance(setup, "abandoned", rate), rate)
    if camps:
        let_camp(script, BEGIN, setup.until)
    return script.history()


def _chance(setup: Setup, *names: object) -> Random:
    return Random(f"{setup.seed} {names}")  # noqa: S311 — the numbers are no secret; equal seeds must give equal histories


def _let_strangers_pay(script: Script, setup: Setup, chance: Random) -> None:
    for at in _arrivals(chance, setup.strangers_per_day, setup.until):
        script.pay(at, chance.choice(AMOUNTS), _delay(chance))


def _let_users_pay(script: Script, setup: Setup, chance: Random) -> None:
    for at in _arrivals(chance, setup.payers_per_day, setup.until):
        user, amount = script.new_user(), chance.choice(AMOUNTS)
        code = script.ask(at, user, amount)
        paid_at = at + timedelta(minutes=chance.uniform(*PAYING_MINUTES))
        note = "" if chance.random() < CODELESS_SHARE else code
        script.pay(paid_at, amount, _delay(chance), payer=user, note=note)


def _let_users_abandon(script: Script, setup: Setup, chance: Random, rate: float) -> None:
    for amount in AMOUNTS:
        for at in _arrivals(chance, rate * 24, setup.until):
            script.ask(at, script.new_user(), amount)


def let_camp(script: Script, since: datetime, until: datetime) -> None:
    """
    Add the steps of the camper, a user who tries to get the payments of others.

    Every hour, the camper cancels all own requests and makes a new request for each amount.

    A real user could do this with a script.
    """
    codes: list[PaymentId] = []
    at = since
    while at < until:
        for code in codes:
            script.cancel(at, code)
        codes = [script.ask(at, CAMPER, amount) for amount in AMOUNTS]
        at += CAMPS_EVERY


def _arrivals(chance: Random, per_day: float, until: datetime) -> Iterator[datetime]:
    if per_day == 0:
        return
    at = BEGIN + timedelta(days=chance.expovariate(per_day))
    while at < until:
        yield at
        at += timedelta(days=chance.expovariate(per_day))


def _delay(chance: Random) -> timedelta:
    """Draw the random time that BMC needs to deliver an event: mostly seconds, sometimes minutes."""
    late = timedelta(minutes=chance.uniform(0, LATE_MINUTES_MAX)) if chance.random() < LATE_SHARE else timedelta()
    return late + timedelta(seconds=chance.uniform(2, 10))


# Playing a history -------------------------------------------------------------------------------------------------


SettleEvent = Callable[["Page", Event, datetime], TelegramId | None]
"""A function that settles an event at the given time. It returns the user whom a guess credited; None if there was no guess."""


@dataclass(frozen=True)
class Guess:
    at: datetime
    user: TelegramId
    payer: TelegramId | None


def play(history: History, settle_event: SettleEvent) -> list[Guess]:
    page, guesses = Page(), []
    for at, step in history:
        match step:
            case Asked(payment):
                page.keep_payment(payment)
            case Ended(payment_id, status):
                page.end_payment(payment_id, status, at)
            case Delivered(event, payer):
                user = settle_event(page, event, at)
                guesses += [Guess(at, user, payer)] if user is not None else []
    return guesses


def settle_after(page: "Page", event: Event, now: datetime) -> TelegramId | None:
    """Settle an event by today's rules. In the chart, "after" means these rules."""
    done = settle([event], page.load_book(event), RULES, now=now)
    page.write(done, now)
    return next(iter(done.guesses.values()), None)


def settle_without_pause(page: "Page", event: Event, now: datetime) -> TelegramId | None:
    """Settle an event by today's rules, but without the pause of 30 days between two guesses for one user."""
    page.forget_guesses()
    return settle_after(page, event, now)


def settle_and_take_back(page: "Page", event: Event, now: datetime) -> TelegramId | None:
    """
    Settle an event by today's rules. If the event is matched by a guess, let an operator take the guess back immediately.

    Return the user whom the guess credited, or None if there was no guess.
    """
    user = settle_after(page, event, now)
    if user is not None:
        page.take_back_guess(user, now)
    return user


def settle_before(page: "Page", event: Event, now: datetime) -> TelegramId | None:
    """Settle an event by today's rules without guesses. If these rules find no user, guess by the rule of revision 87790ae."""
    book = page.load_book(event)
    waiting = list(book.charges.values())
    done = settle([event], book, RULES_WITHOUT_GUESSES, now=now)
    [charge] = done.charges.values()
    payment = guess_as_before(charge, page.payments_of(charge.amount), waiting) if charge.waits else None
    if payment is None:
        page.write(done, now)
        return None
    page.end_payment(payment.payment_id, PaymentStatus.COMPLETED, now)
    return payment.telegram_id


def guess_as_before(
    charge: Charge, payments: Iterable[PendingPayment], waiting: Sequence[Charge]
) -> PendingPayment | None:
    """
    Guess by the rule of revision 87790ae: return the open payment of this amount that was requested within the window.

    The window begins `RULES.fallback_window` before the charge was paid, and ends `CLOCK_SLACK` after it was paid.

    Return None in three cases:

    - There is no open payment within the window, or more than one.
    - *waiting* is not empty: other charges of this amount are unmatched.
    - Another user also requested this amount within the window. This request was open when the charge was paid, and was
      cancelled or expired later. So the charge may have been meant for this request.
    """
    since, until = charge.paid_at - RULES.fallback_window, charge.paid_at + CLOCK_SLACK
    in_window = [payment for payment in payments if since <= payment.created_at <= until]
    open_now = [payment for payment in in_window if payment.is_open]
    given_up = [payment for payment in in_window if _was_given_up_after(payment, charge.paid_at)]
    if len(open_now) != 1 or waiting:
        return None
    [payment] = open_now
    return None if any(other.telegram_id != payment.telegram_id for other in given_up) else payment


def _was_given_up_after(payment: PendingPayment, paid_at: datetime) -> bool:
    is_given_up = payment.status in (PaymentStatus.CANCELLED, PaymentStatus.EXPIRED)
    return is_given_up and payment.was_open_at(paid_at)


class Page:
    """Replaces the database: holds the rows that `settle` needs."""

    def __init__(self) -> None:
        self._payments: dict[PaymentId, PendingPayment] = {}
        self._open: dict[Decimal, dict[PaymentId, None]] = {amount: {} for amount in AMOUNTS}
        """For each amount, the ids of the open payments, the oldest first."""
        self._ended: dict[Decimal, deque[PaymentId]] = {amount: deque() for amount in AMOUNTS}
        """For each amount, the ids of the payments that ended at most `ROWS_KEPT` ago, sorted by `ended_at`."""
        self._waiting: deque[Charge] = deque()
        self._guesses: dict[TelegramId, GuessRecord] = {}

    def keep_payment(self, payment: PendingPayment) -> None:
        self._payments[payment.payment_id] = payment
        self._open[payment.amount][payment.payment_id] = None

    def end_payment(self, payment_id: PaymentId, status: PaymentStatus, at: datetime) -> None:
        payment = self._payments.get(payment_id)
        if payment is not None and payment.is_open:
            self._payments[payment_id] = replace(payment, status=status, ended_at=at)
            del self._open[payment.amount][payment_id]
            self._ended[payment.amount].append(payment_id)

    def payments_of(self, amount: Decimal | None) -> Iterator[PendingPayment]:
        """
        Return the pending payments of *amount* that are open or ended at most `ROWS_KEPT` (two hours) ago.

        The field `Charge.amount` may be None, but every charge of the simulation has an amount.
        """
        assert amount is not None
        return (self._payments[one] for one in (*self._open[amount], *self._ended[amount]))

    def load_book(self, event: Event) -> Book:
        """Return the rows that the match of a new charge needs, as coffee_ledger/store/settlement.py would load them."""
        assert event.report is not None
        paid = event.report.charge
        self._forget(event.received_at - ROWS_KEPT)
        reading = event.report.words.reading
        coded = [self._payments[code] for code in reading.codes | reading.corrections if code in self._payments]
        payments = {payment.payment_id: payment for payment in (*coded, *self._rivals(paid))}
        owners = {payment.telegram_id for payment in payments.values()}
        book = Book(payments=payments, guesses={user: self._guesses[user] for user in owners & self._guesses.keys()})
        for charge in self._waiting:
            is_close = abs(charge.paid_at - paid.paid_at) <= RULES.fallback_window
            if is_close and charge.money == paid.money:
                book.keep(charge)
        return book

    def write(self, done: Settlement, now: datetime) -> None:
        for completion in done.completions:
            self.end_payment(completion.payment_id, PaymentStatus.COMPLETED, now)
        for user in done.guesses.values():
            self._guesses[user] = GuessRecord(guessed_at=now)
        self._waiting += [charge for charge in done.charges.values() if charge.waits]

    def take_back_guess(self, user: TelegramId, now: datetime) -> None:
        self._guesses[user] = replace(self._guesses[user], taken_back_at=now)

    def forget_guesses(self) -> None:
        self._guesses.clear()

    def _rivals(self, charge: Charge) -> list[PendingPayment]:
        until = charge.paid_at + CLOCK_SLACK
        asked = [payment for payment in self.payments_of(charge.amount) if payment.created_at <= until]
        open_now = [payment for payment in asked if payment.is_open]
        ended = [payment for payment in asked if payment.ended_at is not None and payment.ended_at > charge.paid_at]
        return open_now[:RIVALS_MAX] + sorted(ended, key=lambda payment: payment.created_at)[:RIVALS_MAX]

    def _forget(self, before: datetime) -> None:
        for ended in self._ended.values():
            while ended and (self._payments[ended[0]].ended_at or before) < before:
                del self._payments[ended.popleft()]
        while self._waiting and self._waiting[0].paid_at < before:
            self._waiting.popleft()


# Results -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """The numbers of guesses in one run. A field ending in `_per_month` is the average number in 30 days."""

    wrong_per_month: float
    """Guesses that credited a user who had not paid. In nearly all of these cases, a stranger had paid."""
    right_per_month: float
    camper_total: int
    """Guesses in the whole run that credited the camper, a user who tries to get the payments of others (`let_camp`)."""
    camper_most: int
    """
    The largest number of guesses within any 30 days of the run that credited the camper.

    The camper is a simulated user who tries to get the payments of others (`let_camp`).
    """


@dataclass(frozen=True)
class Comparison:
    rate: float
    camps: bool
    before: Result
    after: Result


def compare(rate: float, setup: Setup, *, camps: bool) -> Comparison:
    history = write_history(rate, setup, camps=camps)
    before, after = (count_guesses(play(history, rules), setup) for rules in (settle_before, settle_after))
    return Comparison(rate, camps, before, after)


def count_guesses(guesses: Sequence[Guess], setup: Setup) -> Result:
    right = sum(guess.user == guess.payer for guess in guesses)
    camped = [guess.at for guess in guesses if guess.user == CAMPER]
    most = max((sum(since <= at < since + MONTH for at in camped) for since in camped), default=0)
    return Result((len(guesses) - right) / setup.months, right / setup.months, len(camped), most)


def describe_payments(setup: Setup) -> str:
    paid = [step for _, step in write_history(0, setup, camps=False) if isinstance(step, Delivered)]
    strangers = [one for one in paid if one.payer is None]
    codeless = [one for one in paid if one.payer is not None and one.event.report and not one.event.report.charge.note]
    return (
        f"{setup.days} days, seed {setup.seed}. On average in 30 days: {len(strangers) / setup.months:.1f} payments of"
        f" strangers and {len(paid) / setup.months - len(strangers) / setup.months:.1f} of users,"
        f" {len(codeless) / setup.months:.1f} of those without a code."
    )


def table_of_rates(results: Sequence[Comparison]) -> str:
    heads = ["Abandoned requests", "Wrong, before", "Wrong, after", "Right, before", "Right, after"]
    heads += ["Camper's most, before", "Camper's most, after"] if results[0].camps else []
    return _table(heads, [_row(one) for one in results])


def _row(one: Comparison) -> list[str]:
    before, after = one.before, one.after
    sums = (before.wrong_per_month, after.wrong_per_month, before.right_per_month, after.right_per_month)
    most = [str(before.camper_most), str(after.camper_most)] if one.camps else []
    return [f"{one.rate:g}", *(f"{value:.1f}" for value in sums), *most]


def table_of_pauses(setup: Setup) -> str:
    """
    Return a table of the number of guesses that credit the camper, a user who tries to get the payments of others.

    The table has one row for each of four rules: the rule of revision 87790ae, today's rule, and two variants of today's rule.
    After a guess for a user, today's rule pauses: for 30 days, no guess credits this user. Other users have few open requests
    in this history, because it has the lowest rate of unpaid requests. So the camper gets more guesses than at a higher rate.
    """
    history = write_history(RATES[0], setup, camps=True)
    rules: dict[str, SettleEvent] = {
        "before": settle_before,
        "today's rule without a pause": settle_without_pause,
        "today's rule": settle_after,
        "today's rule, and each guess is taken back": settle_and_take_back,
    }
    results = {name: count_guesses(play(history, settle_event), setup) for name, settle_event in rules.items()}
    rows = [[name, str(one.camper_total), str(one.camper_most)] for name, one in results.items()]
    return _table(["Rule", f"Camper's guesses in {setup.days} days", "Camper's most in any 30 days"], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(results: Sequence[Comparison], path: Path) -> None:
    """
    Draw a chart of the number of wrong guesses in 30 days, by the rule of revision 87790ae and by today's rule.

    Equal results give equal SVG files.
    """
    with mpl.rc_context({"svg.hashsalt": "guessing", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(9.6, 3.8), facecolor=GROUND, layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, camps in zip(panels, (False, True), strict=True):
            _draw_panel(
                axes, [one for one in results if one.camps is camps], "With a camper" if camps else "Without a camper"
            )
        panels[0].set_ylabel("payments credited to\nthe wrong user in 30 days", color=INK)
        panels[0].legend(frameon=False, labelcolor=INK, loc="upper left")
        figure.supxlabel("abandoned requests per hour and amount", color=INK, fontsize=10)
        figure.savefig(
            path, metadata={"Creator": None, "Date": None, "Title": "Payments credited to the wrong user by a guess"}
        )


def _draw_panel(axes: Axes, results: Sequence[Comparison], title: str) -> None:
    places = range(len(results))
    before = [one.before.wrong_per_month for one in results]
    after = [one.after.wrong_per_month for one in results]
    axes.set_facecolor(GROUND)
    for values, shift, color, label in ((before, -0.2, BEFORE, "before"), (after, 0.2, AFTER, "after")):
        bars = axes.bar([place + shift for place in places], values, width=0.38, color=color, label=label)
        axes.bar_label(bars, fmt="%.1f", color=INK, fontsize=9, padding=2)
    axes.set_xticks(places, [f"{one.rate:g}" for one in results])
    axes.set_title(title, color=INK, fontsize=11, loc="left")
    axes.tick_params(colors=INK, length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--days", type=int, default=Setup.days)
    words.add_argument("--seed", type=int, default=Setup.seed)
    words.add_argument("--strangers-per-day", type=float, default=Setup.strangers_per_day)
    words.add_argument("--payers-per-day", type=float, default=Setup.payers_per_day)
    words.add_argument("--picture", type=Path, help="where to write the picture, an SVG file")
    given = words.parse_args()
    setup = Setup(given.days, given.seed, given.strangers_per_day, given.payers_per_day)
    alone, camped = (_compare_rates(setup, camps=camps) for camps in (False, True))
    print(describe_payments(setup))
    print(f"\nWithout a camper:\n\n{table_of_rates(alone)}")
    print(f"\nWith a camper:\n\n{table_of_rates(camped)}")
    print(f"\nThe camper, at {RATES[0]:g} abandoned requests:\n\n{table_of_pauses(setup)}")
    if given.picture is not None:
        draw([*alone, *camped], given.picture)


def _compare_rates(setup: Setup, *, camps: bool) -> list[Comparison]:
    results = []
    for rate in RATES:
        print(f"{rate:g} abandoned an hour, {'with' if camps else 'without'} a camper …", file=sys.stderr)
        results.append(compare(rate, setup, camps=camps))
    return results


if __name__ == "__main__":
    main()
