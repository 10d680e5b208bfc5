"""
Turn rows of Buy Me a Coffee's (BMC's) lists into events, so that a payment without a webhook is settled like all others.

The event is stored with the raw row as its body. A replay or a retry reads the event again from this body, as it does with the
body of a webhook. `coffee_ledger/bmc_api.py` reads the fields of a row.

A row is weaker evidence than a webhook: it is not signed, it does not reliably show the family of the payment, and its times
have no zone. So a row credits a user by itself only if it is in the list of one-time payments, contains an exact code in the
note, has the id of a payment at Stripe, and has no mark of a refund. Every other charge made from a row has a `Doubt`, so that
an operator decides. No charge made from a row is matched by amount and time.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from coffee_ledger.bmc_api import ApiList, ExtraRow, SubscriptionRow, SupportRow, UnreadableRow, read_row
from coffee_ledger.charges import Charge
from coffee_ledger.codes import read_codes
from coffee_ledger.events import (
    ITEM_LENGTH_MAX,
    NAME_LENGTH_MAX,
    RENEWED_AFTER,
    TRANSACTION_PREFIX,
    BodyProblem,
    ChargeReport,
    Event,
    EventKind,
    Glimpse,
    glimpse_at,
    read_event,
)
from coffee_ledger.model import Channel, ChargeKey, DeliveryKey, Doubt, Family
from coffee_ledger.reconciling import is_refunded, moves_money
from coffee_ledger.values import parse_object

MoneyRow: TypeAlias = SupportRow | SubscriptionRow | ExtraRow

CLOCK_SLACK = timedelta(hours=1)
REFUND_MARK = "is_refunded"


def listed_body(list_: ApiList, value: object) -> bytes:
    """Return the body of the event that is made from a row. *value* is the row as BMC sent it."""
    return json.dumps({"list": list_, "row": value}, default=str, ensure_ascii=False).encode("utf-8", "replace")


def read_listed_event(body: bytes, *, received_at: datetime) -> Event:
    """Read the event of a row from its body (`listed_body`). Like `read_event`, this function never raises an exception."""
    envelope = parse_object(body) or {}
    try:
        list_ = ApiList(str(envelope.get("list")))
    except ValueError:
        return _unreadable(None, None, body, received_at)
    row = read_row(list_, envelope.get("row"))
    if isinstance(row, UnreadableRow):
        return _unreadable(list_, row.row_id, body, received_at)
    kind = _kind(row)
    return Event(
        delivery_key=_delivery_key(list_, row),
        kind=kind,
        body=body,
        received_at=received_at,
        type=_type(list_),
        live_mode=True,
        report=None if kind is EventKind.NO_MONEY else _report(row, kind, received_at=received_at),
        channel=Channel.API,
    )


def row_name(event: Event) -> str:
    """Return the name of the event's row: the delivery key without the row's state. A new state does not change the name."""
    return event.delivery_key.rpartition(":")[0]


def read_stored_event(channel: Channel | str, body: bytes, *, received_at: datetime, nonce: str) -> Event:
    """Read a stored event again. *nonce* has the same meaning as in `read_event`."""
    if channel == Channel.API:
        return read_listed_event(body, received_at=received_at)
    return read_event(body, received_at=received_at, nonce=nonce)


def glimpse_at_stored(channel: Channel | str, body: bytes) -> Glimpse:
    """
    Return a few fields of a stored event for operators, even if the event cannot be read.

    Read the body of a webhook as `glimpse_at` does. For a row, return only the name of its list, and the problem if any.
    """
    if channel != Channel.API:
        return glimpse_at(body)
    # A `Glimpse` contains no time, so the time of receipt has no effect.
    event = read_listed_event(body, received_at=datetime.fromtimestamp(0, UTC))
    problem = BodyProblem.ROW_UNREADABLE if event.kind is EventKind.UNREADABLE else None
    return Glimpse(event.type, None, None, problem)


def _unreadable(list_: ApiList | None, row_id: str | None, body: bytes, received_at: datetime) -> Event:
    # The key contains a digest of the body. So if BMC changes the row, the row becomes a new event, which may be readable. Put
    # the digest before the row's number. In the reverse order, the number, the colon and the digest would look like a bot's
    # token, and coffee_ledger/runtime/logs.py would hide the digest.
    name = f"{hashlib.sha256(body).hexdigest()}:{row_id or ''}"
    key = DeliveryKey(f"api:{list_ or ''}:{name}:unreadable")
    return Event(key, EventKind.UNREADABLE, body, received_at, type=_type(list_), channel=Channel.API)


def _type(list_: ApiList | None) -> str:
    return f"api.{list_ or 'unknown'}"


def _kind(row: MoneyRow) -> EventKind:
    if not moves_money(row):
        return EventKind.NO_MONEY
    return EventKind.REFUNDED if is_refunded(row) else EventKind.PAID


def _delivery_key(list_: ApiList, row: MoneyRow) -> DeliveryKey:
    """
    Return a key that changes only if the state of the row changes. A row that is read again in the same state is a known event.

    The state of a payment is paid, refunded or unclear. The state of a subscription is its latest period, because BMC shows all
    periods in one row.
    """
    if isinstance(row, SubscriptionRow):
        state = "none" if row.period_start is None else str(int(row.period_start.timestamp()))
    else:
        state = {True: "refunded", False: "paid", None: "unclear"}[is_refunded(row)]
    return DeliveryKey(f"api:{list_}:{row.row_id}:{state}")


def _report(row: MoneyRow, kind: EventKind, *, received_at: datetime) -> ChargeReport:
    if isinstance(row, SubscriptionRow):
        return _report_subscription(row, received_at=received_at)
    return _report_payment(row, kind, received_at=received_at)


def _report_payment(row: SupportRow | ExtraRow, kind: EventKind, *, received_at: datetime) -> ChargeReport:
    family = Family.DONATION if isinstance(row, SupportRow) else Family.EXTRA_PURCHASE
    doubt, told = (None, None) if kind is EventKind.REFUNDED else _doubt_about_payment(row)
    item_name = row.item_name if isinstance(row, ExtraRow) else None
    charge = Charge(
        # A webhook with this transaction id and family gets the same key. So the payment is stored as one charge, even if
        # `Book.find` does not find this charge for the webhook. Without a transaction id, no webhook gets the same key, so the
        # charge has a doubt unless it was refunded.
        charge_key=ChargeKey(f"{family}:{row.transaction_id or f'api:{row.row_id}'}"),
        family=family,
        # Do not use the row's number. The webhook of this payment may have a different number, and would then look like a
        # conflict (`Doubt.CONFLICT`).
        bmc_id=None,
        transaction_id=row.transaction_id,
        psp_id=None,
        supporter_id=None,
        amount=row.amount,
        currency=row.currency,
        note=row.note if isinstance(row, SupportRow) else None,
        item_name=item_name[:ITEM_LENGTH_MAX] if item_name else None,
        payer_name=_shortened(row.name),
        paid_at=_paid_at(row.created_at, received_at=received_at),
        doubt=doubt,
        told=told,
        channel=Channel.API,
    )
    return ChargeReport(charge)


def _report_subscription(row: SubscriptionRow, *, received_at: datetime) -> ChargeReport:
    # Only a membership has a level. A row of monthly support has none.
    family = Family.RECURRING_DONATION if row.level_id is None else Family.MEMBERSHIP
    key = f"{family}:api:{row.row_id}"
    if row.psp_id is not None and row.period_start is not None:
        key = f"{row.psp_id}:{int(row.period_start.timestamp())}"
    charge = Charge(
        charge_key=ChargeKey(key),
        family=family,
        bmc_id=None,
        transaction_id=None,
        psp_id=row.psp_id,
        period_start=row.period_start,
        supporter_id=None,
        amount=row.amount,
        currency=row.currency,
        note=row.note,
        item=f"level:{row.level_id}" if row.level_id is not None else None,
        payer_name=_shortened(row.name),
        paid_at=_paid_at(row.period_start, received_at=received_at),
        doubt=_doubt_about_subscription(row),
        channel=Channel.API,
    )
    return ChargeReport(charge, is_renewal=_is_renewal(row))


def _doubt_about_payment(row: SupportRow | ExtraRow) -> tuple[Doubt | None, str | None]:
    """
    Return the first doubt that applies, in the order of `Doubt`, and the name of the field that caused the doubt.

    The doubt is None if the row may credit a user. The name is None if no single field caused the doubt.
    """
    if is_refunded(row) is None:
        return Doubt.STATUS, REFUND_MARK
    if row.transaction_id is None:
        return Doubt.IDENTITY, None
    return (None if _may_credit(row) else Doubt.LISTED_ONLY), None


def _doubt_about_subscription(row: SubscriptionRow) -> Doubt:
    if row.period_start is None:
        return Doubt.PERIOD
    return Doubt.IDENTITY if row.psp_id is None else Doubt.LISTED_ONLY


def _may_credit(row: SupportRow | ExtraRow) -> bool:
    """Return whether the row is strong enough as evidence to credit a user without an operator."""
    is_stripe = row.transaction_id is not None and row.transaction_id.startswith(TRANSACTION_PREFIX)
    return isinstance(row, SupportRow) and is_stripe and bool(read_codes(row.note or "").codes)


def _shortened(name: str | None) -> str | None:
    return name[:NAME_LENGTH_MAX] if name else None


def _paid_at(told: datetime | None, *, received_at: datetime) -> datetime:
    # A time in the future is wrong, for example because BMC wrote it in a zone other than UTC. Use the time of receipt instead.
    return received_at if told is None or told > received_at + CLOCK_SLACK else told


def _is_renewal(row: SubscriptionRow) -> bool:
    # If one of the times is missing, treat the row as a renewal. `_compare_with_earlier` in settling.py skips renewals. This
    # function looks for a first payment that BMC also reported as a donation, and could add a wrong doubt to a renewal.
    if row.created_at is None or row.period_start is None:
        return True
    return row.period_start - row.created_at > RENEWED_AFTER
