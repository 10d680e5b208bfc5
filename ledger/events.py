"""
Read what Buy Me a Coffee (BMC) sends: any signed body becomes an `Event`, none is refused.

Field by field generous, because BMC is not consistent: booleans come as strings, amounts as number or text, names may
be missing. What moves money but cannot be read becomes `EventKind.UNREADABLE` and goes to a person.

Source: deliveries and copies of "Send test" bodies published by their receivers, https://studio.buymeacoffee.com/webhooks/docs
and http://help.buymeacoffee.com/en/articles/15743173-how-to-setup-and-use-buy-me-a-coffee-webhooks, read November 2026.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import cast

from ledger.model import ChargeKey, DeliveryKey, Family

Json = Mapping[str, object]

PAYMENT_VERBS = frozenset({"created", "updated", "refunded"})
SUBSCRIPTION_VERBS = frozenset({"started", "updated", "cancelled", "canceled", "paused"})

AMOUNT_MAX = Decimal("1e9")
AMOUNT_STEP = Decimal("0.0001")
ID_LENGTH_MAX = 200
INTEGER_DIGITS_MAX = 40
NO_CURRENCY = "XXX"
"""ISO 4217's own code for "no currency"; it never has a rate, so such a charge goes to a person."""

FREE_ITEM = "FREE_REWARD"
"""Stands in place of the `transaction_id` of everything that was given away, so it names none of it."""

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Signs that JSON can carry and Postgres text cannot."""


class EventKind(enum.Enum):
    PAID = enum.auto()
    REFUNDED = enum.auto()
    NO_MONEY = enum.auto()
    TEST = enum.auto()
    UNKNOWN = enum.auto()
    UNREADABLE = enum.auto()
    LEGACY = enum.auto()


@dataclass(frozen=True)
class Supporter:
    supporter_id: str
    name: str | None
    email: str | None


@dataclass(frozen=True)
class ChargeFacts:
    """What an event says of one movement of money."""

    key: ChargeKey
    family: Family
    bmc_id: str | None
    transaction_id: str | None
    psp_id: str | None
    amount: Decimal | None
    """Major units, before fees; None only in a refund that does not name it."""
    currency: str
    note: str
    """All of the supporter's own words, a line for each place they stand in; empty when there are none."""
    paid_at: datetime
    supporter: Supporter | None
    is_renewal: bool


@dataclass(frozen=True)
class Event:
    """One event as BMC told it. *charge* is there for PAID and REFUNDED, and only for them."""

    delivery_key: DeliveryKey
    digest: bytes
    kind: EventKind
    body: bytes
    received_at: datetime
    type: str | None = None
    live_mode: bool | None = None
    attempt: int | None = None
    charge: ChargeFacts | None = None
    supporter_id: str | None = None
    verified_by: int | None = None
    """Which of the signing secrets fitted: 1 is the first. None: not told."""
    traceparent: str | None = None
    """The trace that its delivery belongs to, as W3C writes it; None: it is not traced."""


def read_event(body: bytes, *, received_at: datetime, nonce: str) -> Event:
    """
    Read a signed body; never raises, whatever stands in it.

    *nonce* is unlike any other: "Send test" always sends the same `event_id`, so a test is told apart by nothing it says.
    """
    envelope = _parse(body)
    if envelope is None:
        digest = hashlib.sha256(body).digest()
        return Event(_key_by_digest(digest), digest, EventKind.UNREADABLE, body, received_at)
    type_ = _text(envelope.get("type"))
    data = _object(envelope.get("data"))
    live_mode = _boolean(envelope.get("live_mode"))
    digest = _digest(envelope, body)
    kind, charge = _understand(type_, data, envelope, live_mode=live_mode, received_at=received_at)
    return Event(
        delivery_key=_delivery_key(envelope, type_, charge, digest, is_test=kind is EventKind.TEST, nonce=nonce),
        digest=digest,
        kind=kind,
        body=body,
        received_at=received_at,
        type=type_,
        live_mode=live_mode,
        attempt=_small_integer(envelope.get("attempt")),
        charge=charge,
        supporter_id=_id(data.get("supporter_id")) if data else None,
    )


def _understand(
    type_: str | None, data: Json | None, envelope: Json, *, live_mode: bool | None, received_at: datetime
) -> tuple[EventKind, ChargeFacts | None]:
    # Only an explicit false is a test: a missing flag may be somebody's money.
    if live_mode is False:
        return EventKind.TEST, None
    if type_ is None:
        return (EventKind.LEGACY if _object(envelope.get("response")) is not None else EventKind.UNREADABLE), None
    family, verb = _family_and_verb(type_)
    if family is None:
        return EventKind.UNKNOWN, None
    if data is None:
        return EventKind.UNREADABLE, None
    said_at = _time(envelope.get("created"), no_later_than=received_at) or received_at
    if family.is_subscription:
        return _read_subscription(family, verb, data, said_at)
    return _read_payment(family, verb, data, said_at)


def _read_payment(family: Family, verb: str, data: Json, said_at: datetime) -> tuple[EventKind, ChargeFacts | None]:
    amount = _amount(data.get("amount"))
    is_refund = verb == "refunded" or _boolean(data.get("refunded")) is True or data.get("status") == "refunded"
    if not is_refund and (data.get("status") in ("failed", "pending") or amount == 0):
        return EventKind.NO_MONEY, None
    bmc_id, transaction_id = _id(data.get("id")), _transaction_id(data.get("transaction_id"))
    name = transaction_id or bmc_id
    if name is None or (amount is None and not is_refund):
        return EventKind.UNREADABLE, None
    charge = ChargeFacts(
        key=ChargeKey(f"{family}:{name}"),
        family=family,
        bmc_id=bmc_id,
        transaction_id=transaction_id,
        psp_id=None,
        amount=amount or None,
        currency=_currency(data.get("currency")),
        note="\n".join(_words(data)),
        paid_at=_time(data.get("created_at"), no_later_than=said_at) or said_at,
        supporter=_supporter(data),
        is_renewal=False,
    )
    return (EventKind.REFUNDED if is_refund else EventKind.PAID), charge


def _read_subscription(
    family: Family, verb: str, data: Json, said_at: datetime
) -> tuple[EventKind, ChargeFacts | None]:
    amount = _amount(data.get("amount"))
    if verb not in ("started", "updated") or _has_stopped(data) or amount == 0:
        return EventKind.NO_MONEY, None
    bmc_id, psp_id = _id(data.get("id")), _id(data.get("psp_id"))
    name = psp_id or (f"{family}:{bmc_id}" if bmc_id else None)
    period_start = _time(data.get("current_period_start"))
    # What is neither running nor stopped, such as overdue, may be unpaid. Source of the known ones: BMC's samples and its tester.
    if data.get("status") not in (None, "active"):
        return EventKind.UNREADABLE, None
    # Without its period a charge has no key: what would keep `.started` and `.updated` of one charge from counting twice?
    if name is None or period_start is None or amount is None:
        return EventKind.UNREADABLE, None
    started_at = _time(data.get("started_at")) or period_start
    charge = ChargeFacts(
        key=ChargeKey(f"{name}:{int(period_start.timestamp())}"),
        family=family,
        bmc_id=bmc_id,
        transaction_id=None,
        psp_id=name,
        amount=amount,
        currency=_currency(data.get("currency")),
        note="\n".join(_words(data)),
        paid_at=min(period_start, said_at),
        supporter=_supporter(data),
        is_renewal=period_start - started_at > timedelta(days=1),
    )
    return EventKind.PAID, charge


def _has_stopped(data: Json) -> bool:
    stopped = data.get("status") in ("canceled", "cancelled", "paused")
    return stopped or _boolean(data.get("canceled")) is True or _boolean(data.get("paused")) is True


def _family_and_verb(type_: str) -> tuple[Family | None, str]:
    name, _, verb = type_.partition(".")
    try:
        family = Family(name)
    except ValueError:
        return None, verb
    verbs = SUBSCRIPTION_VERBS if family.is_subscription else PAYMENT_VERBS
    return (family if verb in verbs else None), verb


def _words(data: Json) -> Iterator[str]:
    """Yield the supporter's own words; `message` is BMC's sentence and not among them."""
    yield from _texts(data.get("support_note"))
    for extra in _objects(data.get("extras")):
        yield from _texts(extra.get("question_answers"))
    yield from _texts(data.get("additional_info"))
    commission = _object(data.get("commission"))
    if commission is not None:
        yield from _texts(commission.get("additional_info"))


def _texts(value: object) -> Iterator[str]:
    values: Sequence[object] = value if isinstance(value, list) else [value]
    for one in values:
        text = _text(str(one) if isinstance(one, int) and not isinstance(one, bool) else one)
        if text:
            yield text


def _supporter(data: Json) -> Supporter | None:
    supporter_id = _id(data.get("supporter_id"))
    if supporter_id is None:
        return None
    return Supporter(supporter_id, _text(data.get("supporter_name")), _text(data.get("supporter_email")))


def _delivery_key(
    envelope: Json, type_: str | None, charge: ChargeFacts | None, digest: bytes, *, is_test: bool, nonce: str
) -> DeliveryKey:
    if is_test:
        return DeliveryKey(f"test:{nonce}")
    event_id = _id(envelope.get("event_id"))
    if event_id is None:
        return _key_by_digest(digest)
    # With the type and the charge, so that an id which BMC should ever use twice does not swallow another payment.
    return DeliveryKey(f"live:{event_id}:{(type_ or '')[:ID_LENGTH_MAX]}:{charge.key if charge else ''}")


def _key_by_digest(digest: bytes) -> DeliveryKey:
    return DeliveryKey(f"body:{digest.hex()}")


def _digest(envelope: Json, body: bytes) -> bytes:
    """Digest what is said, not how: BMC may write the keys of a retry in another order, and counts `attempt` up."""
    said = {key: value for key, value in envelope.items() if key not in ("attempt", "created")}
    try:
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).digest()
    except (ValueError, RecursionError):
        return hashlib.sha256(body).digest()


def _parse(body: bytes) -> Json | None:
    try:
        value = json.loads(body, parse_float=_decimal, parse_int=_integer)
    except (ValueError, RecursionError):
        return None
    return _object(value)


def _decimal(digits: str) -> Decimal | str:
    try:
        return Decimal(digits)
    except InvalidOperation:
        return digits


def _integer(digits: str) -> int | str:
    # Python itself refuses to turn very long digits into a number; such a thing is no amount and no id anyway.
    return int(digits) if len(digits) <= INTEGER_DIGITS_MAX else digits


def _object(value: object) -> Json | None:
    return cast(Json, value) if isinstance(value, dict) else None


def _objects(value: object) -> Iterator[Json]:
    values: Sequence[object] = value if isinstance(value, list) else []
    return (cast(Json, one) for one in values if isinstance(one, dict))


def _text(value: object) -> str | None:
    return UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else None


def _id(value: object) -> str | None:
    """Read an id given as number or text; None when there is none or it is too long to be one."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = UNSTORABLE.sub("\ufffd", str(value)).strip()
    return text if 0 < len(text) <= ID_LENGTH_MAX else None


def _transaction_id(value: object) -> str | None:
    text = _id(value)
    return None if text == FREE_ITEM else text


def _boolean(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return bool(value) if isinstance(value, bool | int) else None


def _small_integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31 else None


def _amount(value: object) -> Decimal | None:
    """Read money in major units, zero included; None for what is no amount, negative or beyond all reason."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        amount = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation:
        return None
    if not amount.is_finite() or not 0 <= amount < AMOUNT_MAX:
        return None
    stepped = amount.quantize(AMOUNT_STEP, rounding=ROUND_FLOOR)
    return stepped.quantize(Decimal(1)) if stepped == stepped.to_integral_value() else stepped.normalize()


def _currency(value: object) -> str:
    text = value.strip().upper() if isinstance(value, str) else ""
    return text if re.fullmatch("[A-Z]{3,10}", text, re.ASCII) else NO_CURRENCY


def _time(value: object, *, no_later_than: datetime | None = None) -> datetime | None:
    """Read Unix seconds; None when they are missing, not of this century, or later than can be."""
    if isinstance(value, str) and re.fullmatch("[0-9]{9,10}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 946_684_800 <= value < 4_102_444_800:
        return None
    time = datetime.fromtimestamp(value, UTC)
    if no_later_than is not None and time > no_later_than + timedelta(hours=1):
        return None
    return time
