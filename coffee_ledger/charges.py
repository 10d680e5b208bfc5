"""The charge: one payment on Buy Me a Coffee, with the match that assigns it to a user."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from coffee_ledger.model import (
    SOURCE_BMC,
    Channel,
    ChargeKey,
    ChargeState,
    Doubt,
    Family,
    Method,
    PaymentId,
    TelegramId,
)

Money = tuple[Decimal | None, str]
"""An amount and its currency. The amount is None if it is unknown."""


class Rejection(enum.StrEnum):
    """The reason why a rule rejected a candidate, or why a rule found no user for a charge."""

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
    LISTED_ONLY = "listed_only"


class Flag(enum.StrEnum):
    """The reason why a valid match is unusual: its pending payment was no longer open."""

    LATE = "late"
    """The pending payment had expired or had been cancelled."""
    SECOND_CHARGE = "second_charge"
    """Another charge had already completed the pending payment."""


@dataclass(frozen=True)
class Reason:
    """
    A rule that did not match a charge, and the reason why.

    *rule* and *why* are strings if the database contains a value that this version of the software does not know.
    """

    rule: Method | str
    why: Rejection | str
    payment_id: PaymentId | None = None
    """The pending payment that the rule rejected; None if the reason is not about a pending payment."""
    telegram_id: TelegramId | None = None


class OutsiderKind(enum.StrEnum):
    """
    The kinds of outsiders.

    An operator marks a supporter, a subscription or an item as an outsider if its payments do not come from users of the bot.
    """

    SUPPORTER = "supporter"
    SUBSCRIPTION = "subscription"
    ITEM = "item"
    """A membership level or a Shop item."""


OutsiderName = tuple[OutsiderKind, str]


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A charge. Each field has the name of its column in the table `charges`."""

    charge_key: ChargeKey
    source: str = SOURCE_BMC
    family: Family | str
    bmc_id: str | None
    transaction_id: str | None
    psp_id: str | None
    """The id of the subscription at BMC's payment provider; None if the charge has no subscription, or if BMC sent no id."""
    period_start: datetime | None = None
    """The start of the billing period; None if the charge has no subscription, or if BMC sent no period."""
    supporter_id: str | None
    amount: Decimal | None
    """
    The amount in major units (dollars, not cents), before fees. It is more than zero.

    None if the amount could not be read, or if the only event so far is a refund without an amount.
    """
    currency: str
    note: str | None
    """All texts that the supporter wrote, one line for each field of the event; None if the supporter wrote nothing."""
    item: str | None = None
    """
    The membership level (`level:5`), or the only Shop item bought (`extra:12`); None in all other cases.

    The part after the colon is BMC's id of the level or item, or its title if BMC sent no id.
    """
    item_name: str | None = None
    payer_name: str | None = None
    """The name of a payer who has no supporter id. None if the payer has a *supporter_id*, or if BMC sent no name."""
    paid_at: datetime
    state: ChargeState = ChargeState.UNMATCHED
    is_paid: bool = True
    """False if BMC has reported a refund of the charge, but not yet the payment."""
    is_held: bool = False
    """True if an operator or the user took back a match of the charge. Then only an operator may match the charge again."""
    doubt: Doubt | str | None = None
    """
    The reason why only an operator may match the charge; None if there is no doubt.

    If there are several reasons, this is the first of them in the order of the members of `Doubt`.
    """
    told: str | None = None
    """
    The value that caused the *doubt*, as text for the operator; None if no value caused a doubt.

    For `Doubt.ANNOUNCED_TWICE`, it is the key of the charge that was announced first. For other doubts, it comes from the event.
    """
    conflicts_with: ChargeKey | None = None
    """The key of the charge that has the same transaction id but a different `bmc_id`; None if there is no such charge."""
    dismissed_by: int | None = None
    """The id of the row of `outsiders` that caused an automatic dismissal; None if there was no automatic dismissal."""
    method: Method | str | None = None
    reasons: tuple[Reason, ...] = ()
    payment_id: PaymentId | None = None
    telegram_id: TelegramId | None = None
    flag: Flag | str | None = None
    matched_at: datetime | None = None
    refunded_at: datetime | None = None
    refunded_amount: Decimal | None = None
    """The refunded part of the amount, if an operator recorded a partial refund; None if there was no partial refund."""
    channel: Channel | str = Channel.WEBHOOK
    """The channel of the first event that reported the charge."""

    @property
    def waits(self) -> bool:
        return self.state is ChargeState.UNMATCHED

    @property
    def can_be_matched(self) -> bool:
        """True if an operator may match the charge: it is unmatched, or it was dismissed automatically."""
        return self.waits or (self.state is ChargeState.DISMISSED and self.dismissed_by is not None)

    @property
    def may_match(self) -> bool:
        """
        True if a rule may match the charge. This property ignores the *doubt*, which the rules check separately.

        Only an operator may match a charge whose match was taken back (`is_held`).
        """
        return self.can_be_matched and not self.is_held

    @property
    def money(self) -> Money:
        return self.amount, self.currency

    @property
    def amount_kept(self) -> Decimal:
        """The amount paid minus a partial refund; zero if the amount is unknown."""
        return Decimal(0) if self.amount is None else self.amount - (self.refunded_amount or 0)

    @property
    def subscription(self) -> str | None:
        """
        The key of the subscription that the charge belongs to.

        The key is the `psp_id`. If the `psp_id` is missing, the key consists of the family (the kind of payment) and the
        `bmc_id`. None if both ids are missing, or if the charge belongs to no subscription.
        """
        if self.psp_id is not None:
            return self.psp_id
        if self.period_start is None and self.doubt != Doubt.PERIOD:
            return None
        return f"{self.family}:{self.bmc_id}" if self.bmc_id else None

    def outsider_names(self) -> Iterator[OutsiderName]:
        """Yield the charge's supporter, subscription and item, if any. An operator may have marked one of them as an outsider."""
        if self.supporter_id is not None:
            yield OutsiderKind.SUPPORTER, self.supporter_id
        if self.subscription is not None:
            yield OutsiderKind.SUBSCRIPTION, self.subscription
        if self.item is not None:
            yield OutsiderKind.ITEM, self.item


@dataclass(frozen=True)
class RivalCharge:
    """An unmatched charge, reduced to the fields that are compared when another charge is matched by amount and time."""

    charge_key: ChargeKey
    amount: Decimal | None
    currency: str
    paid_at: datetime

    @property
    def money(self) -> Money:
        return self.amount, self.currency
