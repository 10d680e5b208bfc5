"""Read charges, payments, claims, users and statistics for operators. No function of this module changes a balance."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from coffee_ledger.charges import Charge
from coffee_ledger.claiming import DAYS_APART_MAX, ClaimedPayment
from coffee_ledger.events import Glimpse
from coffee_ledger.listed_events import glimpse_at_stored
from coffee_ledger.model import (
    ChargeState,
    CreditKind,
    Doubt,
    NotificationKind,
    Outcome,
    PaymentId,
    PendingPayment,
    TelegramId,
)
from coffee_ledger.notification_facts import ChargeUnmatched, Facts
from coffee_ledger.store.claims import load_candidates, load_declines, load_dismissed, load_guessed
from coffee_ledger.store.database import Connection, Pool, connected, sql, transaction
from coffee_ledger.store.rows import charge_of_kind, payment_of, read_facts, write_facts

DECISIONS_MAX = 3
"""The maximum number of decisions in a message about a charge. With more, the note and the reasons might not fit."""

EXPORT_ROWS_MAX = 20_000
"""The maximum number of rows in an export file. The number is limited because the bot builds the file in memory."""

FOUND_MAX = 8
"""The maximum number of charges or payments in one answer. More would not fit on the screen of a phone."""


@dataclass(frozen=True)
class KnownUser:
    telegram_id: TelegramId
    username: str | None
    language: str
    created_at: datetime
    unreachable_at: datetime | None
    erased_at: datetime | None
    balance: int


@dataclass(frozen=True)
class Decision:
    """A decision of an operator about a charge."""

    operator_id: TelegramId
    action: str
    reason: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class ShownCharge(Charge):
    """A charge with the additional data that operators see."""

    charge_id: int
    supporter_name: str | None
    email: str | None
    credits: int
    """The credits that the charge gave, minus the credits that were taken back."""
    remembered: str | None
    """
    The property of a dismissed charge (supporter, subscription or item) that is marked as an outsider; None if none is marked.

    Later charges with this property are dismissed automatically.
    """
    decision: Decision | None


@dataclass(frozen=True)
class ChargeFile:
    """A charge, and all users, payments and other charges that the operators' message about the charge mentions."""

    charge: ShownCharge
    users: Mapping[TelegramId, KnownUser]
    payments: Mapping[PaymentId, PendingPayment]
    decisions: Sequence[Decision]
    """The last `DECISIONS_MAX` decisions of operators, the oldest first."""
    reminder_at: datetime | None = None
    """The time at which the operator to whom this is shown will be reminded of the charge; None if there is no reminder."""
    other: ShownCharge | None = None
    """
    Another charge that makes *charge* doubtful; None if there is none.

    The two charges have the same transaction id, or they are probably one payment that BMC announced twice.
    """


@dataclass(frozen=True)
class ShownGuess:
    """A guess (a match by amount and time). *taken_back_at* is None if the guess was not taken back."""

    charge: ShownCharge
    telegram_id: TelegramId
    guessed_at: datetime
    taken_back_at: datetime | None

    @property
    def stands(self) -> bool:
        return self.taken_back_at is None and self.charge.state is ChargeState.MATCHED


@dataclass(frozen=True)
class ShownOutsider:
    """
    A supporter, subscription or item whose later charges are dismissed automatically.

    An operator requested the automatic dismissal when dismissing *charge*.
    """

    outsider_id: int
    charge: ShownCharge
    kind: str
    remembered_at: datetime


@dataclass(frozen=True)
class ShownClaim:
    claim_id: int
    telegram_id: TelegramId
    paid_on: date
    amount: Decimal
    currency: str
    name: str | None
    status: str
    created_at: datetime
    decided_at: datetime | None
    decided_by: TelegramId | None
    charge_id: int | None


@dataclass(frozen=True)
class ClaimFile:
    """A claim, its user, and the waiting charges that the claim may be about, the best fit first."""

    claim: ShownClaim
    users: Mapping[TelegramId, KnownUser]
    charges: Sequence[ShownCharge] = ()
    guessed: Sequence[ShownCharge] = ()
    """Charges that fit the claim, but that a rule matched to another user without an exact code. Such a match may be wrong."""
    dismissed: Sequence[ShownCharge] = ()
    """
    Charges that fit the claim, but that an operator dismissed.

    One tap can dismiss many charges, so an operator may have dismissed the claimed payment by mistake.
    """
    declined_at: Sequence[datetime] = ()
    """The times at which earlier claims of this user were declined, the oldest first."""


@dataclass(frozen=True)
class Entry:
    """An entry of the ledger."""

    credit_id: int
    telegram_id: TelegramId
    kind: CreditKind
    credits: int
    charge_id: int | None
    cause: str | None
    created_at: datetime
    reverses: int | None


@dataclass(frozen=True)
class KeptEvent:
    """An event that changed nothing, because it could not be settled or could not be read."""

    event_no: int
    type: str | None
    outcome: Outcome
    received_at: datetime
    retry_requested_at: datetime | None
    """The time at which an operator requested a retry; None if no retry is requested."""
    glimpse: Glimpse
    """The type and the amount, if they can be read from the body. Otherwise, the reason why they cannot be read."""


@dataclass(frozen=True)
class Page:
    """
    One page of a list. *total* is the number of items on all pages.

    Of the other fields, one contains the items of this page, and the rest are empty.
    """

    total: int
    charges: Sequence[ShownCharge] = ()
    payments: Sequence[PendingPayment] = ()
    claims: Sequence[ShownClaim] = ()
    events: Sequence[KeptEvent] = ()
    guesses: Sequence[ShownGuess] = ()
    outsiders: Sequence[ShownOutsider] = ()


@dataclass(frozen=True)
class Life:
    """The history of one pending payment: its charges, ledger entries and messages."""

    payment: PendingPayment
    completed_at: datetime | None
    ended_at: datetime | None
    charges: Sequence[ShownCharge]
    entries: Sequence[Entry]
    messages: Sequence[Mapping[str, Any]]
    users: Mapping[TelegramId, KnownUser]


@dataclass(frozen=True)
class SentCard:
    """A sent message that shows a charge or a claim to one operator."""

    telegram_id: TelegramId
    message_id: int
    language: str
    facts: Facts


@dataclass(frozen=True)
class Period:
    """The totals of a period from a time in the past until now. The key in `Stats.periods` is the start of the period."""

    charges: int
    unmatched: int
    refunded: int
    credits: int
    """The credits given in the period, minus the credits taken back. Credits that users spent are not counted."""
    sums: Sequence[tuple[str, Decimal]]
    methods: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Stats:
    periods: Mapping[datetime, Period]
    days: Sequence[tuple[date, int, int]]
    """One tuple for each day: the date, and the numbers of settled and of waiting charges that were paid on this day."""


@dataclass(frozen=True)
class LastEvent:
    received_at: datetime
    outcome: str


@dataclass(frozen=True)
class Examination:
    """
    Numbers about the health of all services, for /doctor.

    *failed* and *events_week* count events of the last 7 days. *forged* counts deliveries with a wrong signature in the last 24
    hours.
    """

    now: datetime
    version: str
    events_week: int
    failed: int
    forged: int
    forged_at: datetime | None
    refused: int
    """
    The number of deliveries that the webhook refused since it last accepted one.

    The number does not change when six hours pass without a refusal. But the next refusal then starts a new count.
    """
    refused_at: datetime
    backup_at: datetime | None
    owed: int
    owed_since: datetime | None
    dead: int
    unmatched: int
    claims: int
    drift: int
    """
    The sum, over all users, of the absolute difference between the balance and the sum of the ledger entries. It must be 0.
    """
    last_event: LastEvent | None
    secrets: Sequence[int]
    """The secrets that verified a delivery in the last 7 days: their positions in `BMC_WEBHOOK_SECRETS`, counted from 1."""


async def find_charge_file(
    pool: Pool,
    *,
    charge_id: int | None = None,
    charge_key: str | None = None,
    operator: TelegramId | None = None,
) -> ChargeFile | None:
    """
    Load the data for a message to operators about a charge. Return None if there is no such charge.

    If *operator* is given, also load the reminder that this operator requested.
    """
    async with transaction(pool) as db:
        charges = await load_shown_charges(db, [charge_id] if charge_id else [], [charge_key] if charge_key else [])
        if not charges:
            return None
        [charge] = charges
        payments = await _payments(db, {charge.payment_id, *(reason.payment_id for reason in charge.reasons)})
        owners = {payment.telegram_id for payment in payments.values()}
        rows = await db.fetch(sql("find_decisions"), charge.charge_id, DECISIONS_MAX)
        decisions = [Decision(**row) for row in reversed(rows)]
        deciders = {one.operator_id for one in decisions}
        users = await load_known_users(
            db, {charge.telegram_id, *(reason.telegram_id for reason in charge.reasons)} | owners | deciders
        )
        others = await load_shown_charges(db, [], _named_by_doubt(charge))
        reminder_at = await _load_reminder(db, charge, operator) if operator is not None else None
    return ChargeFile(charge, users, payments, decisions, reminder_at, others[0] if others else None)


async def find_claim_file(pool: Pool, claim_id: int) -> ClaimFile | None:
    async with transaction(pool) as db:
        row = await db.fetchrow(sql("find_shown_claim"), claim_id)
        if row is None:
            return None
        claim = ShownClaim(**row)
        if claim.status != "open":
            return ClaimFile(claim, await load_known_users(db, {claim.telegram_id, claim.decided_by}))
        # Search for the candidates again instead of using those that were stored with the claim. After the claim was
        # stored, a charge may have arrived, or a match to another user may have been undone.
        claimed = ClaimedPayment(claim.paid_on, claim.amount, claim.currency, claim.name)
        candidates = await load_candidates(db, claimed, raised_at=claim.created_at)
        guessed = await load_guessed(db, claimed, claim.telegram_id, raised_at=claim.created_at)
        dismissed = await load_dismissed(db, claimed, raised_at=claim.created_at)
        declined_at = await load_declines(db, claim.telegram_id)
        charges = {one.charge_id: one for one in await load_shown_charges(db, [*candidates, *guessed, *dismissed], [])}
        owners = {one.telegram_id for one in charges.values()}
        users = await load_known_users(db, {claim.telegram_id, *owners})
    waiting = [charges[one] for one in candidates if charges[one].can_be_matched]
    return ClaimFile(
        claim,
        users,
        waiting,
        guessed=[charges[one] for one in guessed],
        dismissed=[charges[one] for one in dismissed],
        declined_at=declined_at,
    )


async def _load_reminder(db: Connection, charge: ShownCharge, operator: TelegramId) -> datetime | None:
    row = await db.fetchrow(sql("find_reminders"), charge.charge_key, operator)
    return row["due_at"] if row else None


async def find_users(pool: Pool, telegram_ids: Collection[TelegramId | None]) -> dict[TelegramId, KnownUser]:
    async with connected(pool) as db:
        return await load_known_users(db, telegram_ids)


async def find_users_named(pool: Pool, name: str) -> list[KnownUser]:
    """Find the users who have or had this username. There may be several, because a user can take another user's old name."""
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_users_by_name"), name.removeprefix("@").lower())
        return list((await load_known_users(db, [row["telegram_id"] for row in rows])).values())


async def find_users_by_part(pool: Pool, part: str, *, is_name: bool, count_max: int) -> tuple[list[KnownUser], bool]:
    """
    Find users by a part of their username, ignoring case.

    If *is_name* is True, *part* may also be a part of a supporter's name. Then also find the users to whom charges of this
    supporter were matched, but ignore matches by a guess.

    Return at most *count_max* users, and whether there are more.
    """
    async with transaction(pool) as db:
        rows = await db.fetch(sql("find_users_by_part"), part, part if is_name else None, count_max + 1)
        ids = [row["telegram_id"] for row in rows]
        known = await load_known_users(db, ids[:count_max])
    return [known[one] for one in ids[:count_max]], len(ids) > count_max


async def find_payment_named(pool: Pool, payment_id: PaymentId) -> PendingPayment | None:
    async with connected(pool) as db:
        return (await _payments(db, [payment_id])).get(payment_id)


async def find_payments_of_user(pool: Pool, telegram_id: TelegramId) -> list[PendingPayment]:
    async with connected(pool) as db:
        return [payment_of(row) for row in await db.fetch(sql("find_payments_of_user"), telegram_id, FOUND_MAX)]


async def list_unmatched(pool: Pool, *, skip: int, count_max: int) -> Page:
    async with transaction(pool) as db:
        rows = await db.fetch(sql("find_unmatched_page"), skip, count_max)
        charges = await load_shown_charges(db, [row["charge_id"] for row in rows], [])
    return Page(rows[0]["total"] if rows else 0, charges=list(reversed(charges)))


async def list_pending(pool: Pool, *, skip: int, count_max: int) -> Page:
    total, rows = await _page(pool, "find_pending_page", skip, count_max)
    return Page(total, payments=[payment_of(row) for row in rows])


async def list_claims(pool: Pool, *, skip: int, count_max: int) -> Page:
    """Return a page of the open claims."""
    total, rows = await _page(pool, "find_claims_page", skip, count_max)
    return Page(total, claims=[ShownClaim(**row) for row in rows])


async def list_kept_events(pool: Pool, *, skip: int, count_max: int) -> Page:
    total, rows = await _page(pool, "find_kept_page", skip, count_max)
    return Page(total, events=[_kept_event(row) for row in rows])


def _kept_event(row: dict[str, Any]) -> KeptEvent:
    glimpse = glimpse_at_stored(row.pop("channel"), row.pop("body"))
    return KeptEvent(**{**row, "outcome": Outcome(row["outcome"]), "glimpse": glimpse})


async def count_before(pool: Pool, statement: str, mark: int | str, *, with_mark: bool) -> int:
    """
    Count the rows of a list that come before the row with the id *mark*.

    The count is correct even if that row is no longer on the list, for example because an operator has decided about the row.

    *statement* is one of the statements `count_…_before` in queries/lookup.sql. If *with_mark* is True, also count the row
    *mark* itself if it is still on the list.
    """
    async with connected(pool) as db:
        return int(await db.fetchval(sql(statement), mark, with_mark))


async def list_guesses(pool: Pool, *, skip: int, count_max: int) -> Page:
    """Return a page of the guesses (matches by amount and time), the newest first."""
    async with transaction(pool) as db:
        rows = await db.fetch(sql("find_guesses_page"), skip, count_max)
        charges = {one.charge_id: one for one in await load_shown_charges(db, [row["charge_id"] for row in rows], [])}
    guesses = [
        ShownGuess(charges[row["charge_id"]], row["telegram_id"], row["guessed_at"], row["taken_back_at"])
        for row in rows
    ]
    return Page(rows[0]["total"] if rows else 0, guesses=guesses)


async def _page(pool: Pool, statement: str, skip: int, count_max: int) -> tuple[int, list[dict[str, Any]]]:
    async with connected(pool) as db:
        rows = [dict(row) for row in await db.fetch(sql(statement), skip, count_max)]
    totals = [row.pop("total") for row in rows]
    return totals[0] if totals else 0, rows


async def list_outsiders(pool: Pool, *, skip: int, count_max: int) -> Page:
    async with transaction(pool) as db:
        rows = await db.fetch(sql("find_outsiders_page"), skip, count_max)
        charges = {one.charge_id: one for one in await load_shown_charges(db, [row["charge_id"] for row in rows], [])}
    outsiders = [
        ShownOutsider(row["outsider_id"], charges[row["charge_id"]], row["kind"], row["remembered_at"]) for row in rows
    ]
    return Page(rows[0]["total"] if rows else 0, outsiders=outsiders)


async def find_charges_by_number(pool: Pool, number: str) -> list[ShownCharge]:
    """Find charges by their `charge_id`, by their charge key, or by an id that Buy Me a Coffee gave them."""
    is_ours = number.isascii() and number.isdecimal() and len(number) < 18
    return await _fetch_shown_charges(pool, "find_charges_by_number", int(number) if is_ours else None, number)


async def find_charges_of_user(pool: Pool, telegram_id: TelegramId) -> list[ShownCharge]:
    return await _fetch_shown_charges(pool, "find_charges_of_user", telegram_id)


async def find_charges_by_email(pool: Pool, address: str) -> list[ShownCharge]:
    return await _fetch_shown_charges(pool, "find_charges_by_email", address.lower())


async def find_charges_by_name(pool: Pool, part: str) -> tuple[list[ShownCharge], bool]:
    """Find charges by a part of the supporter's name on Buy Me a Coffee. Return at most `FOUND_MAX`, and whether there are more."""
    async with transaction(pool) as db:
        rows = await db.fetch(sql("find_charges_by_name"), part, FOUND_MAX + 1)
        charges = await load_shown_charges(db, [row["charge_id"] for row in rows[:FOUND_MAX]], [])
    return charges, len(rows) > FOUND_MAX


async def find_life(pool: Pool, payment_id: PaymentId) -> Life | None:
    async with transaction(pool) as db:
        found = await db.fetchrow(sql("find_life_of_payment"), payment_id)
        if found is None:
            return None
        row = dict(found)
        completed_at, ended_at = row.pop("completed_at"), row.pop("ended_at")
        payment = payment_of(row)
        ids = [one["charge_id"] for one in await db.fetch(sql("find_charges_of_payment"), payment_id)]
        charges = list(reversed(await load_shown_charges(db, ids, [])))
        entries = [_entry(one) for one in await db.fetch(sql("find_entries_of_charges"), ids)]
        keys = [charge.charge_key for charge in charges]
        messages = await db.fetch(sql("find_messages_about"), payment.telegram_id, payment_id, keys)
        deciders = {charge.decision.operator_id for charge in charges if charge.decision}
        users = await load_known_users(db, {payment.telegram_id, *deciders})
    return Life(payment, completed_at, ended_at, charges, entries, [dict(one) for one in messages], users)


async def find_entry(pool: Pool, credit_id: int) -> Entry | None:
    async with connected(pool) as db:
        row = await db.fetchrow(sql("find_entries"), [credit_id])
    return _entry(row) if row else None


async def find_adjustments(pool: Pool, telegram_id: TelegramId) -> list[Entry]:
    """Find the newest `FOUND_MAX` adjustments of a user's balance that were not reversed."""
    async with connected(pool) as db:
        return [_entry(row) for row in await db.fetch(sql("find_adjustments_of_user"), telegram_id, FOUND_MAX)]


async def find_claims_about(pool: Pool, charge_id: int, *, decided_since: datetime | None = None) -> list[int]:
    """
    Find the open claims that may be about a charge.

    The day in the claim is at most `DAYS_APART_MAX` days before or after the charge. If *decided_since* is given, also find the
    claims that were confirmed at or after this time because of the charge.
    """
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_claims_about"), charge_id, DAYS_APART_MAX)
        if decided_since is not None:
            rows += await db.fetch(sql("find_claims_decided_by_charge"), charge_id, decided_since)
    return [row["claim_id"] for row in rows]


async def find_cards(
    pool: Pool, operators: Sequence[TelegramId], *, charge_key: str | None = None, claim_id: int | None = None
) -> list[SentCard]:
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_cards"), operators, charge_key, claim_id)
    return [
        SentCard(
            row["telegram_id"],
            row["message_id"],
            row["language"],
            read_facts(NotificationKind(row["kind"]), row["facts"]),
        )
        for row in rows
    ]


async def remind(pool: Pool, operator: TelegramId, facts: ChargeUnmatched, *, at: datetime) -> None:
    """Remind *operator* of the charge in *facts* at the time *at*. Replace the operator's earlier reminder of it, if any."""
    async with connected(pool) as db:
        await db.execute(sql("remind_of_charge"), operator, write_facts(facts), at)


async def find_reminders(pool: Pool, charge_key: str) -> dict[TelegramId, datetime]:
    """For each operator who has requested a reminder of the charge, return the time at which the bot will send the reminder."""
    async with connected(pool) as db:
        rows = await db.fetch(sql("find_reminders"), charge_key, None)
    return {row["telegram_id"]: row["due_at"] for row in rows}


async def drop_reminders(pool: Pool, operators: Sequence[TelegramId], charge_key: str) -> None:
    async with connected(pool) as db:
        await db.execute(sql("drop_reminders"), operators, charge_key)


async def find_stats(pool: Pool, since: Sequence[datetime], *, until: datetime) -> Stats:
    """
    Compute the totals of several periods. Each period begins at one of the times in *since*, and all periods end now.

    Also count the charges of each day, from the day of the earliest time in *since* to the day of *until*. Pass the present time
    as *until*.
    """
    async with transaction(pool) as db:
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        counts = await db.fetch(sql("count_periods"), since)
        sums = await db.fetch(sql("sum_periods"), since)
        methods = await db.fetch(sql("count_methods_since"), since)
        days = await db.fetch(sql("count_days"), min(since).date(), until.date())
    periods = {
        row["since"]: Period(
            charges=row["charges"],
            unmatched=row["unmatched"],
            refunded=row["refunded"],
            credits=row["credits"],
            sums=[(one["currency"], one["amount"]) for one in sums if one["since"] == row["since"]],
            methods=[(one["method"], one["charges"]) for one in methods if one["since"] == row["since"]],
        )
        for row in counts
    }
    return Stats(periods, [(row["day"], row["settled"], row["waiting"]) for row in days])


async def export_charges(pool: Pool, *, since: datetime, until: datetime) -> list[dict[str, Any]]:
    async with connected(pool) as db:
        return [dict(row) for row in await db.fetch(sql("export_charges"), since, until, EXPORT_ROWS_MAX)]


async def export_credits(pool: Pool, *, since: datetime, until: datetime) -> list[dict[str, Any]]:
    async with connected(pool) as db:
        return [dict(row) for row in await db.fetch(sql("export_credits"), since, until, EXPORT_ROWS_MAX)]


async def export_actions(pool: Pool, *, since: datetime, until: datetime) -> list[dict[str, Any]]:
    async with connected(pool) as db:
        return [dict(row) for row in await db.fetch(sql("export_actions"), since, until, EXPORT_ROWS_MAX)]


async def examine(pool: Pool) -> Examination:
    async with connected(pool) as db:
        row = await db.fetchrow(sql("examine"))
        drift = await db.fetchval(sql("measure_drift"))
        last = await db.fetchrow(sql("find_last_event"))
        assert row is not None
        secrets = await db.fetch(sql("count_verifying_secrets"), row["now"] - timedelta(days=7))
    event = LastEvent(last["received_at"], last["outcome"]) if last else None
    return Examination(**row, drift=drift, last_event=event, secrets=[one["verified_by"] for one in secrets])


async def _fetch_shown_charges(pool: Pool, statement: str, *values: object) -> list[ShownCharge]:
    async with transaction(pool) as db:
        rows = await db.fetch(sql(statement), *values, FOUND_MAX)
        return await load_shown_charges(db, [row["charge_id"] for row in rows], [])


async def load_shown_charges(db: Connection, ids: Sequence[int], keys: Sequence[str]) -> list[ShownCharge]:
    return [_charge(row) for row in await db.fetch(sql("find_shown_charges"), list(ids), list(keys))]


async def load_known_users(db: Connection, telegram_ids: Collection[TelegramId | None]) -> dict[TelegramId, KnownUser]:
    rows = await db.fetch(sql("find_known_users"), [one for one in telegram_ids if one is not None])
    return {row["telegram_id"]: KnownUser(**row) for row in rows}


async def _payments(db: Connection, payment_ids: Collection[PaymentId | None]) -> dict[PaymentId, PendingPayment]:
    rows = await db.fetch(sql("find_payments"), [one for one in payment_ids if one is not None])
    return {row["payment_id"]: payment_of(row) for row in rows}


def _named_by_doubt(charge: ShownCharge) -> list[str]:
    if charge.doubt == Doubt.ANNOUNCED_TWICE and charge.told is not None:
        return [charge.told]
    return [charge.conflicts_with] if charge.conflicts_with is not None else []


def _charge(row: asyncpg.Record) -> ShownCharge:
    decision = None
    if row["operator_id"] is not None:
        decision = Decision(row["operator_id"], row["action"], row["reason"], row["decided_at"])
    own = {name: row[name] for name in ("charge_id", "supporter_name", "email", "credits", "remembered")}
    return charge_of_kind(ShownCharge, row, decision=decision, **own)


def _entry(row: asyncpg.Record) -> Entry:
    return Entry(**{**row, "kind": CreditKind(row["kind"])})
