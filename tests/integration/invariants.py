"""
Check the rules that the database must obey after every step, for example: no charge has two credits in force.

Each check compares the rows before a step with the rows after it. `Known` holds facts that the test chose and the database does
not contain. This module imports no code of the product, because shared code would repeat the product's mistakes.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Any

Row = Mapping[str, Any]
CountKey = tuple[str | None, str | None, str | None, str | None]
"""The key of a row of the table `counts`: the values of the columns `counted`, `kind`, `method` and `currency`."""

RATES = {"USD": Decimal(100), "EUR": Decimal(110)}
WINDOW = timedelta(minutes=60)
CLOCK_SLACK = timedelta(minutes=1)
BETWEEN_GUESSES = timedelta(days=30)
AFTER_A_MISTAKE = timedelta(days=90)

# Read all tables in one statement. All rows are then from the same moment, and each step needs only one round trip.
SNAPSHOT = """
SELECT json_build_object(
    'users', (SELECT json_agg(t ORDER BY telegram_id) FROM users AS t),
    'payments', (SELECT json_agg(t ORDER BY payment_id) FROM pending_payments AS t),
    'events', (
        SELECT json_agg(json_build_object(
                   'event_no', event_no, 'delivery_key', delivery_key, 'charge_key', charge_key, 'outcome', outcome,
                   'is_blank', body IS NULL, 'is_dismissed', dismissed_at IS NOT NULL
               ) ORDER BY event_no)
          FROM events
    ),
    'charges', (SELECT json_agg(t ORDER BY charge_id) FROM charges AS t),
    'credits', (SELECT json_agg(t ORDER BY credit_id) FROM credits AS t),
    'balances', (SELECT json_agg(t ORDER BY telegram_id) FROM balances AS t),
    'guesses', (SELECT json_agg(t ORDER BY charge_id) FROM guesses AS t),
    'outsiders', (SELECT json_agg(t ORDER BY outsider_id) FROM outsiders AS t),
    'claims', (SELECT json_agg(t ORDER BY claim_id) FROM claims AS t),
    'supporters', (SELECT json_agg(t ORDER BY supporter_id) FROM supporters AS t),
    'notifications', (SELECT json_agg(t ORDER BY notification_id) FROM notifications AS t),
    'counts', (SELECT json_agg(t) FROM counts AS t)
)::text
"""


@dataclass(frozen=True)
class Snapshot:
    """Holds all rows of the database at one moment. Times are ISO strings, and money is Decimal."""

    users: list[Row] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    charges: list[Row] = field(default_factory=list)
    credits: list[Row] = field(default_factory=list)
    balances: list[Row] = field(default_factory=list)
    guesses: list[Row] = field(default_factory=list)
    outsiders: list[Row] = field(default_factory=list)
    claims: list[Row] = field(default_factory=list)
    supporters: list[Row] = field(default_factory=list)
    notifications: list[Row] = field(default_factory=list)
    counts: list[Row] = field(default_factory=list)

    @classmethod
    def read(cls, text: str) -> "Snapshot":
        tables = json.loads(text, parse_float=Decimal)
        return cls(**{name: rows or [] for name, rows in tables.items()})


@dataclass(frozen=True)
class Written:
    """The codes that a supporter wrote for one charge, in any of the charge's events."""

    codes: frozenset[str] = frozenset()
    corrected: frozenset[str] = frozenset()
    """
    The codes that the supporter may have meant.

    Each of these codes differs from the written text by one mistake, such as a wrong character.
    """
    is_renewal: bool = False


@dataclass
class Known:
    """Facts that the test chose and the database does not contain."""

    now: datetime
    owners: dict[str, int] = field(default_factory=dict)
    """Maps each code to the user who requested it."""
    written: dict[str, Written] = field(default_factory=dict)
    """Maps the name of each charge (see `name_of`) to the codes that the supporter wrote in the texts of its events."""
    delivered: set[str] = field(default_factory=set)
    """
    Contains the delivery key of each delivered event, or the start of this key.

    A delivery key ends with the charge key, which the test does not always know.
    """
    erased: dict[int, set[str]] = field(default_factory=dict)
    """Maps each erased user to the keys of the user's charges. A user who uses the bot again is removed from this map."""
    undone: set[tuple[str, int]] = field(default_factory=set)
    """
    Contains pairs of a subscription and a user.

    A charge of the subscription was matched to the user, and then an operator or the user undid the match. After that, only an
    operator or the code of an open payment may match a charge of the subscription to the user.
    """


Check = Callable[[Snapshot, Snapshot, Known], None]


def check(before: Snapshot, after: Snapshot, known: Known) -> None:
    """Raise AssertionError if a step broke an invariant."""
    for one in CHECKS:
        one(before, after, known)


# The ledger ----------------------------------------------------------------------------------------------------------


def check_ledger_only_grows(before: Snapshot, after: Snapshot, known: Known) -> None:
    assert after.credits[: len(before.credits)] == before.credits


def check_balances(before: Snapshot, after: Snapshot, known: Known) -> None:
    sums: Counter[int] = Counter()
    for entry in after.credits:
        sums[entry["telegram_id"]] += entry["credits"]
    assert dict(sums) == {row["telegram_id"]: row["balance"] for row in after.balances}


def check_counts(before: Snapshot, after: Snapshot, known: Known) -> None:
    numbers: Counter[CountKey] = Counter()
    amounts: Counter[CountKey] = Counter()
    for row in after.counts:
        key = (row["counted"], row["kind"], row["method"], row["currency"])
        numbers[key] += row["number"]
        amounts[key] += row["amount"]
    for key, amount in rows_to_count(after):
        numbers[key] -= 1
        amounts[key] -= amount
    assert not any(numbers.values()), numbers
    assert not any(amounts.values()), amounts
    # The metric of matches is read from the table `counts`, which counts only charges with `is_paid`. So the metric is correct
    # only if `is_paid` is true for every charge with a method.
    assert all(charge["is_paid"] for charge in after.charges if charge["method"] is not None)


def rows_to_count(after: Snapshot) -> Iterator[tuple[CountKey, Any]]:
    """
    Yield a key of the table `counts` and an amount for each payment, charge, entry and negative balance that it must count.

    The amount is the money of a charge or the credits of an entry. It is 0 for everything else, because `counts` adds up no
    amounts there.
    """
    for payment in after.payments:
        yield ("pending_payments", payment["status"], None, None), 0
    for charge in after.charges:
        if charge["is_paid"]:
            yield ("charges", charge["state"], charge["method"], charge["currency"]), charge["amount"] or 0
    sums: Counter[int] = Counter()
    for entry in after.credits:
        sums[entry["telegram_id"]] += entry["credits"]
        yield (
            ("credits_taken" if entry["credits"] < 0 else "credits_given", entry["kind"], None, None),
            abs(entry["credits"]),
        )
        if entry["kind"] == "refund" and sums[entry["telegram_id"]] < 0:
            yield ("overdrawn", "refund", None, None), 0
    for total in sums.values():
        if total < 0:
            yield ("overdrawn", "balance", None, None), 0


def check_credits_of_charges(before: Snapshot, after: Snapshot, known: Known) -> None:
    """
    Check how many credits each charge has.

    A matched charge has exactly one credit in force, which belongs to the charge's user. All credits of a refunded charge are
    taken back. A charge in any other state has no credit in force.
    """
    for charge in after.charges:
        in_force = [given for given in payment_entries(after, charge) if not reversal_of(after, given)]
        assert len(in_force) <= 1, charge
        match charge["state"]:
            case "matched":
                assert [given["telegram_id"] for given in in_force] == [charge["telegram_id"]], charge
            case "refunded":
                assert all(left_of(after, given) == 0 for given in in_force), charge
            case _:
                assert in_force == [], charge


def check_what_is_taken_back(before: Snapshot, after: Snapshot, known: Known) -> None:
    """
    Check the refunds and reversals of each entry of kind `payment`.

    Together, they never take back more credits than the entry gave. After a reversal, no credits of the entry are left. Refunds
    and reversals take credits only from the user whom the entry credited.
    """
    for given in after.credits:
        if given["kind"] == "payment":
            left = left_of(after, given)
            assert 0 <= left <= given["credits"], given
            assert left == 0 or not reversal_of(after, given), given
    by_id = {entry["credit_id"]: entry for entry in after.credits}
    guessed = {row["charge_id"] for row in after.guesses}
    for entry in after.credits:
        if entry["reverses"] is not None:
            taken = by_id[entry["reverses"]]
            assert (taken["telegram_id"], taken["charge_id"]) == (entry["telegram_id"], entry["charge_id"]), entry
        if entry["kind"] == "reversal":
            assert (entry["action_id"] is not None) != entry["is_not_mine"], entry
            assert not entry["is_not_mine"] or entry["charge_id"] in guessed, entry
        if entry["kind"] == "adjustment":
            assert entry["action_id"] is not None, entry


def check_amounts_of_credits(before: Snapshot, after: Snapshot, known: Known) -> None:
    for entry in new_credits(before, after):
        if entry["kind"] == "payment":
            charge = charge_by_id(after, entry["charge_id"])
            paid = Decimal(charge["amount"]) - Decimal(charge["refunded_amount"] or 0)
            worth = (paid * RATES[charge["currency"]]).to_integral_value(rounding=ROUND_FLOOR)
            assert entry["credits"] == worth, (entry, charge)


def check_people_are_told(before: Snapshot, after: Snapshot, known: Known) -> None:
    """Check that each change of a user's balance queues a notification to the user, unless the user made the change."""
    told = [row for row in new_notifications(before, after) if row["telegram_id"] is not None]
    for entry in new_credits(before, after):
        if entry["kind"] == "spend" or entry["is_not_mine"] or entry["credits"] == 0:
            continue
        kinds = {row["kind"] for row in told if row["telegram_id"] == entry["telegram_id"]}
        if entry["kind"] == "payment" and charge_by_id(after, entry["charge_id"])["state"] == "matched":
            assert "payment_credited" in kinds, entry
        assert kinds & {"payment_credited", "payment_refunded", "credits_adjusted"}, entry


# Pending payments, events, charges -----------------------------------------------------------------------------------


def check_payments_end_once(before: Snapshot, after: Snapshot, known: Known) -> None:
    now = {row["payment_id"]: row for row in after.payments}
    for row in before.payments:
        later = now[row["payment_id"]]
        same = ("telegram_id", "amount", "currency", "created_at")
        assert [row[name] for name in same] == [later[name] for name in same], later
        if row["status"] != "pending":
            assert dict(later) == dict(row)
    keys = {row["charge_key"]: row for row in after.charges}
    for row in after.payments:
        assert (row["status"] == "pending") == (row["ended_at"] is None), row
        if row["status"] == "completed":
            assert row["bmc_data"]["charge_key"] in keys, row


def check_deliveries_are_kept(before: Snapshot, after: Snapshot, known: Known) -> None:
    assert [row["event_no"] for row in after.events[: len(before.events)]] == [row["event_no"] for row in before.events]
    kept = Counter(row["delivery_key"] for row in after.events)
    assert all(count == 1 for count in kept.values()), kept
    for event in known.delivered:
        assert any(key.startswith(event) for key in kept), event


def check_charges_keep_their_identity(before: Snapshot, after: Snapshot, known: Known) -> None:
    later = {row["charge_id"]: row for row in after.charges}
    for row in before.charges:
        same = ("charge_key", "source", "family", "period_start", "conflicts_with")
        assert [row[name] for name in same] == [later[row["charge_id"]][name] for name in same]
    names = Counter(name_of(row) for row in after.charges if row["conflicts_with"] is None)
    assert all(count == 1 for count in names.values()), names
    periods = Counter((subscription_of(row), row["period_start"]) for row in after.charges if row["period_start"])
    assert all(count == 1 for count in periods.values()), periods


def check_doubt_is_left_to_a_person(before: Snapshot, after: Snapshot, known: Known) -> None:
    for charge in newly_matched(before, after):
        earlier = earlier_of(before, charge)
        if charge["doubt"] is not None or (earlier is not None and earlier["is_held"]):
            assert charge["method"] == "operator", charge


# Matches -------------------------------------------------------------------------------------------------------------


def check_codes_decide(before: Snapshot, after: Snapshot, known: Known) -> None:
    """
    Check that a note with a user's code credits no other user, even if one character of the code is wrong.

    There are two exceptions: the rule `subscription` and operators may match the charge to another user.
    """
    for charge in newly_matched(before, after):
        written = known.written.get(name_of(charge), Written())
        coded = {known.owners[code] for code in written.codes if code in known.owners}
        corrected = {known.owners[code] for code in written.corrected if code in known.owners}
        match charge["method"]:
            case "code":
                assert coded == {charge["telegram_id"]}, charge
            case "corrected_code":
                assert not coded, charge
                assert corrected == {charge["telegram_id"]}, charge
            case "known_supporter" | "amount_and_time":
                assert coded | corrected <= {charge["telegram_id"]}, charge


def check_guesses(before: Snapshot, after: Snapshot, known: Known) -> None:
    for guess in after.guesses[len(before.guesses) :]:
        charge = charge_by_id(after, guess["charge_id"])
        assert charge["method"] == "amount_and_time"
        assert charge["telegram_id"] == guess["telegram_id"]
        check_guess(guess, charge, before, after, known)
    # Guesses are never deleted, because old guesses count towards the limit of guesses for each user.
    assert [row["charge_id"] for row in after.guesses[: len(before.guesses)]] == [
        row["charge_id"] for row in before.guesses
    ]
    guessed = {row["charge_id"] for row in after.guesses}
    assert all(row["charge_id"] in guessed for row in after.charges if row["method"] == "amount_and_time")
    for row in after.guesses:
        is_undone = any(
            e["charge_id"] == row["charge_id"] and e["kind"] == "reversal" for e in reversed_payments(after)
        )
        assert is_undone == (row["taken_back_at"] is not None), row


def check_guess(guess: Row, charge: Row, before: Snapshot, after: Snapshot, known: Known) -> None:
    user, paid_at, guessed_at = guess["telegram_id"], time(charge["paid_at"]), time(guess["guessed_at"])
    written = known.written.get(name_of(charge), Written())
    assert not written.codes, charge
    assert not written.corrected, charge
    assert not written.is_renewal, charge
    assert earlier_of(before, charge) is None, "a guess is made only when the charge arrives"

    for other in after.guesses:
        if other["telegram_id"] == user and other["charge_id"] != guess["charge_id"]:
            assert time(other["guessed_at"]) <= guessed_at - BETWEEN_GUESSES, other
            taken_back = other["taken_back_at"]
            assert taken_back is None or time(taken_back) <= guessed_at - AFTER_A_MISTAKE, other

    fitting = [row for row in before.payments if is_same_money(row, charge)]
    theirs = [row for row in fitting if row["telegram_id"] == user and row["status"] == "pending"]
    requests = [time(at) for row in theirs for at in (row["created_at"], *row["requested_again_at"])]
    assert any(paid_at - WINDOW <= at <= paid_at + CLOCK_SLACK for at in requests), charge
    assert {row["telegram_id"] for row in fitting if was_open(row, paid_at)} <= {user}, charge

    waiting = [
        row for row in before.charges if row["state"] == "unmatched" and row["is_paid"] and is_same_money(row, charge)
    ]
    assert not [row for row in waiting if abs(time(row["paid_at"]) - paid_at) <= WINDOW], charge
    payers = {row["telegram_id"] for row in before.charges if is_of_supporter(row, charge) and row["method"] == "code"}
    assert payers <= {user, None}, charge
    kinds = [(row["telegram_id"], row["kind"], row["facts"]["method"] if row["telegram_id"] else None)
             for row in new_notifications(before, after) if row["facts"].get("charge_key") == charge["charge_key"]]  # fmt: skip
    assert (user, "payment_credited", "amount_and_time") in kinds, kinds
    assert (None, "charge_guessed", None) in kinds, kinds


def check_guesses_teach_nothing(before: Snapshot, after: Snapshot, known: Known) -> None:
    charges = [*before.charges, *after.charges]
    for charge in newly_matched(before, after):
        user = charge["telegram_id"]
        others = [row for row in charges if row["charge_id"] != charge["charge_id"] and row["telegram_id"] == user]
        if charge["method"] == "subscription":
            taught = [row for row in others if is_of_subscription(row, charge) and row["method"] != "amount_and_time"]
            assert taught, charge
        if charge["method"] == "known_supporter":
            assert [row for row in others if is_of_supporter(row, charge) and row["method"] == "code"], charge


def check_undone_matches_stay_undone(before: Snapshot, after: Snapshot, known: Known) -> None:
    open_before = {row["payment_id"] for row in before.payments if row["status"] == "pending"}
    for charge in newly_matched(before, after):
        belongs = (subscription_of(charge), charge["telegram_id"])
        if belongs[0] is None or belongs not in known.undone:
            continue
        is_named_again = charge["method"] in ("code", "corrected_code") and charge["payment_id"] in open_before
        assert is_named_again or charge["method"] == "operator", charge
        known.undone.discard(belongs)


def check_outsiders_are_dismissed(before: Snapshot, after: Snapshot, known: Known) -> None:
    """
    Check the charges of supporters whom an operator has marked as outsiders, which means "not one of our users".

    If an outsider pays without a code, the charge is dismissed, and operators get no message about it.
    """
    remembered = {row["name"] for row in before.outsiders if row["kind"] == "supporter" and row["ended_at"] is None}
    earlier = {row["charge_id"] for row in before.charges}
    asked = {
        row["facts"].get("charge_key") for row in new_notifications(before, after) if row["kind"] == "charge_unmatched"
    }
    for charge in after.charges:
        written = known.written.get(name_of(charge), Written())
        is_new = charge["charge_id"] not in earlier and charge["is_paid"] and charge["doubt"] is None
        if is_new and charge["supporter_id"] in remembered and not written.codes and not written.corrected:
            assert charge["state"] in ("dismissed", "refunded"), charge
            assert charge["charge_key"] not in asked, charge


# Personal data and claims --------------------------------------------------------------------------------------------


def check_erased_stays_erased(before: Snapshot, after: Snapshot, known: Known) -> None:
    for user, keys in known.erased.items():
        [row] = [row for row in after.users if row["telegram_id"] == user]
        assert row["username"] is None
        assert row["erased_at"] is not None
        for charge in after.charges:
            if charge["charge_key"] in keys and charge["telegram_id"] == user:
                assert charge["note"] is None, charge
                events = [event for event in after.events if event["charge_key"] == charge["charge_key"]]
                assert all(event["is_blank"] or is_undecided(event) for event in events), events


def check_waiting_data_stays(before: Snapshot, after: Snapshot, known: Known) -> None:
    for charge in after.charges:
        earlier = earlier_of(before, charge)
        if earlier is not None and earlier["state"] == charge["state"] == "unmatched" and earlier["note"] is not None:
            assert charge["note"] is not None, charge
    for was, event in zip(before.events, after.events, strict=False):
        assert not is_undecided(event) or not event["is_blank"] or was["is_blank"], event


def check_claims_end_once(before: Snapshot, after: Snapshot, known: Known) -> None:
    for was, claim in zip(before.claims, after.claims, strict=False):
        same = ("status", "decided_at", "charge_id")
        assert was["status"] == "open" or [was[name] for name in same] == [claim[name] for name in same], claim
    opened = Counter(claim["telegram_id"] for claim in after.claims if claim["status"] == "open")
    assert all(count == 1 for count in opened.values())
    for claim in after.claims:
        if claim["status"] == "confirmed":
            entries = [entry for entry in after.credits if entry["charge_id"] == claim["charge_id"]]
            assert claim["telegram_id"] in {entry["telegram_id"] for entry in entries}, claim


CHECKS: tuple[Check, ...] = (
    check_ledger_only_grows,
    check_balances,
    check_counts,
    check_credits_of_charges,
    check_what_is_taken_back,
    check_amounts_of_credits,
    check_people_are_told,
    check_payments_end_once,
    check_deliveries_are_kept,
    check_charges_keep_their_identity,
    check_doubt_is_left_to_a_person,
    check_codes_decide,
    check_guesses,
    check_guesses_teach_nothing,
    check_undone_matches_stay_undone,
    check_outsiders_are_dismissed,
    check_erased_stays_erased,
    check_waiting_data_stays,
    check_claims_end_once,
)


# Finding rows --------------------------------------------------------------------------------------------------------


def name_of(charge: Row) -> str:
    """
    Return the name by which BMC identifies a charge: the transaction id, if there is one.

    Without a transaction id, the name is the subscription id and the start of the period. If the subscription id is missing too,
    the charge's family and number (`bmc_id`) replace the subscription id.
    """
    if charge["transaction_id"] is not None:
        return str(charge["transaction_id"])
    period = charge["period_start"] and int(time(charge["period_start"]).timestamp())
    return f"{charge['psp_id'] or charge['family'] + ':' + str(charge['bmc_id'])}:{period or ''}"


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def charge_by_id(snapshot: Snapshot, charge_id: int) -> Row:
    return next(row for row in snapshot.charges if row["charge_id"] == charge_id)


def earlier_of(before: Snapshot, charge: Row) -> Row | None:
    return next((row for row in before.charges if row["charge_id"] == charge["charge_id"]), None)


def payment_entries(snapshot: Snapshot, charge: Row) -> list[Row]:
    return [row for row in snapshot.credits if row["charge_id"] == charge["charge_id"] and row["kind"] == "payment"]


def reversal_of(snapshot: Snapshot, entry: Row) -> Row | None:
    found = (row for row in snapshot.credits if row["reverses"] == entry["credit_id"] and row["kind"] == "reversal")
    return next(found, None)


def reversed_payments(snapshot: Snapshot) -> Iterable[Row]:
    """Return the reversals of entries of kind `payment`."""
    payments = {row["credit_id"] for row in snapshot.credits if row["kind"] == "payment"}
    return [row for row in snapshot.credits if row["kind"] == "reversal" and row["reverses"] in payments]


def left_of(snapshot: Snapshot, entry: Row) -> int:
    taken = [row for row in snapshot.credits if row["reverses"] == entry["credit_id"]]
    return int(entry["credits"]) + sum(left_of(snapshot, row) for row in taken)


def new_credits(before: Snapshot, after: Snapshot) -> list[Row]:
    return after.credits[len(before.credits) :]


def new_notifications(before: Snapshot, after: Snapshot) -> list[Row]:
    earlier = {row["notification_id"] for row in before.notifications}
    return [row for row in after.notifications if row["notification_id"] not in earlier]


def newly_matched(before: Snapshot, after: Snapshot) -> Iterator[Row]:
    """Yield the charges that were matched in this step, even if the same step also refunded them."""
    for charge in after.charges:
        earlier = earlier_of(before, charge)
        if charge["telegram_id"] is not None and (earlier is None or earlier["matched_at"] != charge["matched_at"]):
            yield charge


def is_same_money(row: Row, charge: Row) -> bool:
    return bool((row["amount"], row["currency"]) == (charge["amount"], charge["currency"]))


def was_open(payment: Row, at: datetime) -> bool:
    ended_at = payment["ended_at"]
    return time(payment["created_at"]) <= at and (ended_at is None or time(ended_at) > at)


def is_of_supporter(row: Row, charge: Row) -> bool:
    return charge["supporter_id"] is not None and row["supporter_id"] == charge["supporter_id"]


def subscription_of(charge: Row) -> str | None:
    """
    Identify a charge's subscription by the charge's family and number (`bmc_id`).

    The subscription id (`psp_id`) is not used, because some events lack it. Return None for a charge without a period, because
    such a charge belongs to no subscription.
    """
    return f"{charge['family']}:{charge['bmc_id']}" if charge["period_start"] is not None else None


def is_of_subscription(row: Row, charge: Row) -> bool:
    if row["psp_id"] is not None and row["psp_id"] == charge["psp_id"]:
        return True
    return subscription_of(row) is not None and subscription_of(row) == subscription_of(charge)


def is_undecided(event: Row) -> bool:
    return event["outcome"] in ("failed", "unreadable") and not event["is_dismissed"]
