"""A charge, and the match that assigns it to a user."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from coffee_ledger.model import SOURCE_BMC, ChargeKey, ChargeState, Doubt, Family, Method, PaymentId, TelegramId

Money = tuple[Decimal | None, str]
"""An amount and its currency."""


class Rejection(enum.StrEnum):
    """A reason for which a rule rejected a candidate, or did not decide a charge at all."""

    NO_CODE = "no_code"
    UNKNOWN_CODE = "unknown_code"
    SEVERAL_CODES = "several_codes"
    CODE_UNDONE = "code_undone"
    NO_CODE_NEAR = "no_code_near"
    SEVERAL_CODES_NEAR = "several_codes_near"
    CODE_NOT_LIVE = "code_not_live"
    NO_SUBSCRIPTION = "no_subscription"
    NEW_SUBSCRIPTION = "new_subscription"
    NEW_SUPPORTER = "new_supporter"
    SEVERAL_USERS = "several_users"
    OTHER_USER = "other_user"
    NO_OPEN_PAYMENT = "no_open_payment"
    SEVERAL_OPEN_PAYMENTS = "several_open_payments"
    PAYMENT_ENDED = "payment_ended"
    OTHER_AMOUNT = "other_amount"
    OTHER_CURRENCY = "other_currency"
    OUTSIDE_WINDOW = "outside_window"
    OTHER_CHARGE_WAITS = "other_charge_waits"
    CODE_MEANT = "code_meant"
    ANSWERED_WITHOUT_CODE = "answered_without_code"
    RENEWAL = "renewal"
    ASKED_LATE = "asked_late"
    GUESSED_LATELY = "guessed_lately"
    GUESS_TAKEN_BACK = "guess_taken_back"
    SWITCHED_OFF = "switched_off"
    OUTSIDER = "outsider"
    MENTIONED = "mentioned"
    NO_RATE = "no_rate"
    STATUS_UNKNOWN = "status_unknown"
    AMOUNT_UNREADABLE = "amount_unreadable"
    PERIOD_MISSING = "period_missing"
    IDENTITY_MISSING = "identity_missing"
    CONFLICT = "conflict"
    ANNOUNCED_TWICE = "announced_twice"


class Flag(enum.StrEnum):
    """An unusual circumstance of a valid match."""

    LATE = "late"
    """The pending payment had expired or had been cancelled."""
    SECOND_CHARGE = "second_charge"
    """Another charge had already completed the pending payment."""


@dataclass(frozen=True)
class Reason:
    """
    One step of a decision: a rule that was applied, and the reason for which it did not decide.

    Values that another version of this software stored, and that this version does not know, are kept as strings.
    """

    rule: Method | str
    why: Rejection | str
    payment_id: PaymentId | None = None
    """The rejected candidate, if it is a pending payment."""
    telegram_id: TelegramId | None = None


class OutsiderKind(enum.StrEnum):
    """The traits by which an operator marks payments that are not from users of the bot."""

    SUPPORTER = "supporter"
    SUBSCRIPTION = "subscription"
    ITEM = "item"
    """The trait is a membership level or a Shop item."""


OutsiderName = tuple[OutsiderKind, str]


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A charge. Its fields have the names of the columns in which they are stored."""

    charge_key: ChargeKey
    source: str = SOURCE_BMC
    family: Family | str
    bmc_id: str | None
    transaction_id: str | None
    psp_id: str | None
    """The id of the subscription at BMC's payment provider. All charges of a subscription have the same id."""
    period_start: datetime | None = None
    """The start of the billing period of a subscription charge. Single payments and lifetime memberships have none."""
    supporter_id: str | None
    amount: Decimal | None
    """
    The amount in major units, before fees, more than zero.

    None if the amount could not be read, or if only a refund without an amount has come.
    """
    currency: str
    note: str | None
    """All texts that the supporter wrote, one line for each field; None if there are none."""
    item: str | None = None
    """
    The membership level (`level:5`), or the Shop item (`extra:12`) if exactly one item was bought.

    If BMC sent no id, the title takes its place.
    """
    item_name: str | None = None
    payer_name: str | None = None
    """The name of a payer who has no supporter id. None if *supporter_id* identifies the payer."""
    paid_at: datetime
    state: ChargeState = ChargeState.UNMATCHED
    is_paid: bool = True
    """False while only the refund of the charge has come."""
    is_held: bool = False
    """True if an operator undid the match. Then only an operator may match the charge again, not a rule."""
    doubt: Doubt | str | None = None
    """
    The reason for which only an operator may match the charge.

    If there are several reasons, this is the first one in the order of `Doubt`.
    """
    told: str | None = None
    """The value that BMC sent for the doubtful field. This value is shown to the operator."""
    conflicts_with: ChargeKey | None = None
    """The key of another charge that has the same transaction id but another number."""
    dismissed_by: int | None = None
    """The id of the outsider (a row of `outsiders`) because of which the charge was dismissed automatically."""
    method: Method | str | None = None
    reasons: tuple[Reason, ...] = ()
    payment_id: PaymentId | None = None
    telegram_id: TelegramId | None = None
    flag: Flag | str | None = None
    matched_at: datetime | None = None
    refunded_at: datetime | None = None
    refunded_amount: Decimal | None = None
    """The refunded part of the amount, if an operator recorded that the refund was only partial."""

    @property
    def waits(self) -> bool:
        return self.state is ChargeState.UNMATCHED

    @property
    def can_be_matched(self) -> bool:
        """True if an operator may match the charge, because it waits or was dismissed automatically."""
        return self.waits or (self.state is ChargeState.DISMISSED and self.dismissed_by is not None)

    @property
    def may_match(self) -> bool:
        """True if a rule may still match the charge."""
        return self.can_be_matched and not self.is_held

    @property
    def money(self) -> Money:
        return self.amount, self.currency

    @property
    def amount_kept(self) -> Decimal:
        """The amount paid, less the refunded part; zero if the amount is unknown."""
        return Decimal(0) if self.amount is None else self.amount - (self.refunded_amount or 0)

    @property
    def subscription(self) -> str | None:
        """
        The key of the subscription that the charge belongs to; None if there is no subscription.

        The key is the `psp_id`, or the family with BMC's number if the `psp_id` is missing.
        """
        if self.psp_id is not None:
            return self.psp_id
        if self.period_start is None and self.doubt != Doubt.PERIOD:
            return None
        return f"{self.family}:{self.bmc_id}" if self.bmc_id else None

    def outsider_names(self) -> Iterator[OutsiderName]:
        """Yield all traits by which an operator may have marked the charge as not from a user of the bot."""
        if self.supporter_id is not None:
            yield OutsiderKind.SUPPORTER, self.supporter_id
        if self.subscription is not None:
            yield OutsiderKind.SUBSCRIPTION, self.subscription
        if self.item is not None:
            yield OutsiderKind.ITEM, self.item


@dataclass(frozen=True)
class RivalCharge:
    """A waiting charge, with only the fields that decisions about other charges need."""

    charge_key: ChargeKey
    amount: Decimal | None
    currency: str
    paid_at: datetime

    @property
    def money(self) -> Money:
        return self.amount, self.currency
