"""
Read the webhook bodies of Buy Me a Coffee (BMC). Every signed body becomes an `Event`; none is rejected.

The bodies of BMC are not consistent: booleans may be strings, amounts may be numbers or strings, names may be missing. All
these forms are read. An event that may have moved money becomes a charge even if one of its fields cannot be read. Such a
charge has a `Doubt`, and an operator decides. Only a body without a type or without data is `EventKind.UNREADABLE`.

Sources: webhook bodies that users of BMC published, from payments and from BMC's button "Send test";
https://studio.buymeacoffee.com/webhooks/docs and
http://help.buymeacoffee.com/en/articles/15743173-how-to-setup-and-use-buy-me-a-coffee-webhooks, read November 2026.
"""

import enum
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast

from coffee_ledger.charges import Charge
from coffee_ledger.model import Channel, ChargeKey, DeliveryKey, Doubt, Family
from coffee_ledger.values import (
    ID_LENGTH_MAX,
    NO_CURRENCY,
    Json,
    as_object,
    as_objects,
    parse_object,
    read_amount,
    read_currency,
    read_flag,
    read_id,
    read_text,
)
from coffee_ledger.words import Words, read_words

PAYMENT_VERBS = frozenset({"created", "updated", "refunded"})
SUBSCRIPTION_VERBS = frozenset({"started", "updated", "cancelled", "canceled", "paused"})

PAYMENT_PAID = "succeeded"
SUBSCRIPTION_PAID = "active"
STOPPED_STATUSES = frozenset({"canceled", "cancelled", "paused"})
REFUNDED_STATUSES = frozenset({"refunded", "partially_refunded"})
LIFETIME_DURATIONS = frozenset({"lifetime", "lifetime_giveaway"})
TRANSACTION_PREFIX = "pi_"
"""
The prefix of payment ids at Stripe, BMC's payment provider.

It distinguishes a payment id from a subscription id, which begins with `sub_`.
"""

RENEWED_AFTER = timedelta(days=1)
"""A charge is a renewal if its billing period begins more than this time after the start of the subscription."""

ANSWER_KEYS = frozenset({"answer", "answers", "value", "text"})
QUESTION_KEYS = frozenset({"question", "extra_question"})
# Limit the recursion of `_texts`, because a body may contain very deeply nested lists, for example in a Shop buyer's answers.
ANSWERS_DEPTH_MAX = 6
TOLD_LENGTH_MAX = 100
ITEM_LENGTH_MAX = 100
NAME_LENGTH_MAX = 200

SEPARATORS = re.compile("[ -]+")
DIGESTED = json.JSONEncoder(sort_keys=True, default=str)
"""
`_digest` hashes the JSON that this encoder writes.

Do not change the output of this encoder. Otherwise, after an update of this software, the digest of a repeated event would
differ from the stored digest, and the event would count as new.
"""

GLIMPSED_TYPE = re.compile(r'(?<!\\)"type"\s*:\s*"([a-z_]{1,40}\.[a-z_]{1,40})"')
GLIMPSED_AMOUNT = re.compile(r'(?<!\\)"amount"\s*:\s*"?([0-9]{1,9}(?:\.[0-9]{1,4})?)(?="|\s*[,}])')
GLIMPSED_CURRENCY = re.compile(r'(?<!\\)"currency"\s*:\s*"([A-Za-z]{3})"')
"""
These patterns find fields in a body that is not valid JSON. They accept only values of a fixed form, so they never return a
part of a note or of an address. A note may contain the text `"amount": "5"`. In JSON, each quote inside a note has a backslash
before it. The patterns accept no quote after a backslash, so they do not read this text as a field.
"""


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
class ChargeReport:
    """A charge as one event describes it. Only the field *charge* is stored in the table `charges`."""

    charge: Charge
    """The charge to store, unless `Book.find` in settling.py finds that this charge is stored already."""
    supporter: Supporter | None = None
    is_renewal: bool = False
    side_text: str = ""
    """
    Texts in which typos in a code are not corrected, one text per line.

    The texts are the supporter's name, and BMC's `message` if the supporter wrote no note.
    """
    has_answer: bool = False
    """
    True if the supporter answered a question of a Shop item.

    The answer may be a code with so many typos that it is not recognised. A match by amount and time could then credit a user
    who does not own this code. So the charge is never matched by amount and time.
    """

    words: Words = field(init=False, repr=False, compare=False)
    """The codes and the mentioned users in the note and in *side_text*."""

    def __post_init__(self) -> None:
        # Read the codes and mentions here, before the settlement. During the settlement, this would delay the events of the
        # next batch.
        object.__setattr__(self, "words", read_words(self.charge.note or "", self.side_text))


@dataclass(frozen=True)
class Event:
    """One event as BMC sent it. Only PAID and REFUNDED events have a *report*, which describes the charge."""

    delivery_key: DeliveryKey
    kind: EventKind
    body: bytes
    received_at: datetime
    type: str | None = None
    live_mode: bool | None = None
    attempt: int | None = None
    report: ChargeReport | None = None
    supporter_id: str | None = None
    verified_by: int | None = None
    """The position of the secret in `BMC_WEBHOOK_SECRETS` that verified the delivery, counted from 1; None if unknown."""
    traceparent: str | None = None
    """The trace of the delivery, as a W3C `traceparent`; None if the delivery is not traced."""
    channel: Channel = Channel.WEBHOOK

    @property
    def charge_key(self) -> ChargeKey | None:
        """The key that the charge gets if it is new; None if the event has no *report*. A known charge keeps its key."""
        return self.report.charge.charge_key if self.report else None


def read_event(
    body: bytes, *, received_at: datetime, nonce: str, verified_by: int | None = None, traceparent: str | None = None
) -> Event:
    """
    Read a signed body. The body may have any content; this function never raises an exception.

    *nonce* must be unique for each delivery. It is part of the delivery key of a test event, because BMC's "Send test" always
    sends the same `event_id` and content.
    """
    envelope = parse_object(body)
    if envelope is None:
        digest = hashlib.sha256(body).hexdigest()
        # A key has the form `live:<event id>:<type>:<digest>`. This event's id and type cannot be read, so leave them empty.
        return Event(
            DeliveryKey(f"live:::{digest}"),
            EventKind.UNREADABLE,
            body,
            received_at,
            verified_by=verified_by,
            traceparent=traceparent,
        )
    type_ = read_text(envelope.get("type"))
    live_mode = read_flag(envelope.get("live_mode"))
    digest = _digest(envelope, body)
    kind, report = _understand(type_, envelope, digest, live_mode=live_mode, received_at=received_at)
    name = f"test:{nonce}" if kind is EventKind.TEST else _event_name(envelope, type_, digest)
    return Event(
        delivery_key=DeliveryKey(name),
        kind=kind,
        body=body,
        received_at=received_at,
        type=type_,
        live_mode=live_mode,
        attempt=_small_integer(envelope.get("attempt")),
        report=report,
        supporter_id=read_id(data.get("supporter_id")) if (data := as_object(envelope.get("data"))) else None,
        verified_by=verified_by,
        traceparent=traceparent,
    )


class BodyProblem(enum.StrEnum):
    """The reason why a body cannot be read."""

    NO_JSON = "no_json"
    """The body is not a JSON object. Perhaps it was cut off."""
    NO_TYPE = "no_type"
    NO_DATA = "no_data"
    ROW_UNREADABLE = "row_unreadable"
    """The body is a row of one of BMC's lists. The number or the amount of the row cannot be read."""


@dataclass(frozen=True)
class Glimpse:
    """Fields of a body that help an operator to find the payment on Buy Me a Coffee. They contain no personal data."""

    type: str | None
    amount: Decimal | None
    currency: str | None
    problem: BodyProblem | None
    """The reason why the body cannot be read; None if the current version of this software can read the body."""


def glimpse_at(body: bytes) -> Glimpse:
    """Read the few fields that can be read even if the body has no valid form. This function never raises an exception."""
    envelope = parse_object(body)
    if envelope is None:
        text = body.decode("utf-8", "replace")
        amount = read_amount(_first(GLIMPSED_AMOUNT, text))
        return Glimpse(_first(GLIMPSED_TYPE, text), amount, _first(GLIMPSED_CURRENCY, text), BodyProblem.NO_JSON)
    type_, data = read_text(envelope.get("type")), as_object(envelope.get("data"))
    fields: Json = data or {}
    currency = read_currency(fields.get("currency"))
    problem = BodyProblem.NO_TYPE if type_ is None else BodyProblem.NO_DATA if data is None else None
    return Glimpse(type_, read_amount(fields.get("amount")), None if currency == NO_CURRENCY else currency, problem)


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


@dataclass(frozen=True)
class _Message:
    """An event of a known family (kind of payment), before its fields are read."""

    family: Family
    verb: str
    data: Json
    said_at: datetime
    event_name: str
    """
    A name for the event. All deliveries of the same event have the same name.

    If the charge has no ids, its charge key contains this name. So a repeated delivery of the event has the same charge key.
    """


@dataclass(frozen=True)
class _Identity:
    """The ids of a charge. *doubt* is set if these ids are not enough to recognise another event of the same charge."""

    key: ChargeKey
    bmc_id: str | None
    transaction_id: str | None = None
    psp_id: str | None = None
    period_start: datetime | None = None
    doubt: Doubt | None = None


def _understand(
    type_: str | None, envelope: Json, digest: str, *, live_mode: bool | None, received_at: datetime
) -> tuple[EventKind, ChargeReport | None]:
    # Only an explicit false means that the event is a test. If the flag is missing, the event may be a real payment.
    if live_mode is False:
        return EventKind.TEST, None
    if type_ is None:
        return (EventKind.LEGACY if as_object(envelope.get("response")) is not None else EventKind.UNREADABLE), None
    family, verb = _family_and_verb(type_)
    if family is None:
        return EventKind.UNKNOWN, None
    data = as_object(envelope.get("data"))
    if data is None:
        return EventKind.UNREADABLE, None
    said_at = _time(envelope.get("created"), no_later_than=received_at) or received_at
    event_name = f"event-{read_id(envelope.get('event_id')) or digest}"
    message = _Message(family, verb, data, said_at, event_name)
    return _read_subscription(message) if family.is_subscription else _read_payment(message)


def _read_payment(message: _Message) -> tuple[EventKind, ChargeReport | None]:
    data = message.data
    is_refund = message.verb == "refunded" or _is_refunded(data)
    # Free items of the Shop have the amount 0, so no money moved.
    if not is_refund and read_amount(data.get("amount")) == 0:
        return EventKind.NO_MONEY, None
    kind = EventKind.REFUNDED if is_refund else EventKind.PAID
    paid_at = _time(data.get("created_at"), no_later_than=message.said_at) or message.said_at
    return kind, _report(message, kind, _identify_payment(message), paid_at=paid_at, is_renewal=False)


def _read_subscription(message: _Message) -> tuple[EventKind, ChargeReport | None]:
    data = message.data
    moves_none = (
        message.verb not in ("started", "updated") or _has_stopped(data) or read_amount(data.get("amount")) == 0
    )
    # BMC has no event type for refunds of subscriptions, so check the refund flag of every subscription event.
    if moves_none and not _is_refunded(data):
        return EventKind.NO_MONEY, None
    identity = _identify_subscription(message)
    is_renewal = _is_renewal(message, identity)
    # A renewal was paid long after the subscription started, so ignore the start date.
    started_at = None if is_renewal else _time(data.get("started_at"))
    # The payment cannot be later than the event, even if the billing period begins later.
    paid_at = min(identity.period_start or started_at or message.said_at, message.said_at)
    # Return PAID even if the event says that the charge was refunded. `_doubts` then adds a doubt, so that an operator decides.
    return EventKind.PAID, _report(message, EventKind.PAID, identity, paid_at=paid_at, is_renewal=is_renewal)


def _report(
    message: _Message, kind: EventKind, identity: _Identity, *, paid_at: datetime, is_renewal: bool
) -> ChargeReport:
    data = message.data
    doubt, written = next(_doubts(message, kind, identity), (None, None))
    item, item_name = _item(data)
    supporter = _supporter(data)
    charge = Charge(
        charge_key=identity.key,
        family=message.family,
        bmc_id=identity.bmc_id,
        transaction_id=identity.transaction_id,
        psp_id=identity.psp_id,
        period_start=identity.period_start,
        supporter_id=supporter.supporter_id if supporter else None,
        amount=read_amount(data.get("amount")) or None,
        currency=read_currency(data.get("currency")),
        note="\n".join(_words(data)) or None,
        item=item,
        item_name=item_name,
        payer_name=_payer_name(data),
        paid_at=paid_at,
        doubt=doubt,
        told=_as_told(written),
    )
    has_answer = any(answer.strip() for answer in _answers(data))
    return ChargeReport(charge, supporter, is_renewal, side_text="\n".join(_side_texts(data)), has_answer=has_answer)


def _doubts(message: _Message, kind: EventKind, identity: _Identity) -> Iterator[tuple[Doubt, object]]:
    """Yield the doubts about a charge in the order of `Doubt`, each with the value that caused the doubt."""
    data = message.data
    status = _unpaid_status(message)
    if kind is EventKind.PAID and status is not None:
        yield Doubt.STATUS, status
    amount = data.get("amount")
    # A missing amount makes a payment doubtful, but not a refund. An unreadable amount makes both doubtful.
    if not read_amount(amount) and (kind is EventKind.PAID or amount is not None):
        yield Doubt.AMOUNT, amount
    if identity.doubt is not None:
        yield identity.doubt, None


def _unpaid_status(message: _Message) -> object:
    """
    Return the status of a payment that is refunded or not paid; None if the status means "paid" or is missing.

    For a refunded payment, never return None: return the status if it means a refund, and "refunded" if not.
    """
    status = message.data.get("status")
    if _is_refunded(message.data):
        return status if _closed_word(status) in REFUNDED_STATUSES else "refunded"
    # If the status is missing, the last line returns None, so the payment gets no doubt about its status.
    paid = SUBSCRIPTION_PAID if message.family.is_subscription else PAYMENT_PAID
    return None if _closed_word(status) == paid else status


def _is_refunded(data: Json) -> bool:
    return read_flag(data.get("refunded")) is True or _closed_word(data.get("status")) in REFUNDED_STATUSES


def _has_stopped(data: Json) -> bool:
    stopped = _closed_word(data.get("status")) in STOPPED_STATUSES
    return stopped or read_flag(data.get("canceled")) is True or read_flag(data.get("paused")) is True


def _identify_payment(message: _Message) -> _Identity:
    bmc_id, transaction_id = read_id(message.data.get("id")), read_id(message.data.get("transaction_id"))
    return _identity_of_transaction(message, bmc_id, transaction_id)


def _identity_of_transaction(message: _Message, bmc_id: str | None, transaction_id: str | None) -> _Identity:
    # Prefer the transaction id. BMC may report the charge again through its API or as another kind of payment, for example as a
    # donation and as a Shop item. The transaction id is the same in all these reports, but the `bmc_id` may differ.
    name = transaction_id or bmc_id
    key = ChargeKey(f"{message.family}:{name or message.event_name}")
    return _Identity(key, bmc_id, transaction_id, doubt=Doubt.IDENTITY if name is None else None)


def _identify_subscription(message: _Message) -> _Identity:
    data = message.data
    bmc_id, psp_id = read_id(data.get("id")), read_id(data.get("psp_id"))
    period_start = _time(data.get("current_period_start"))
    if period_start is None and _is_lifetime(message):
        # A lifetime membership is paid once. Its `psp_id` does not identify a subscription, but may be the transaction id.
        is_transaction = psp_id is not None and psp_id.startswith(TRANSACTION_PREFIX)
        return _identity_of_transaction(message, bmc_id, psp_id if is_transaction else None)
    name = psp_id or (f"{message.family}:{bmc_id}" if bmc_id else None)
    if name is not None and period_start is not None:
        key = f"{name}:{int(period_start.timestamp())}"
        return _Identity(ChargeKey(key), bmc_id, psp_id=psp_id, period_start=period_start)
    # BMC sends both `.started` and `.updated` for one charge. Without a billing period or an id, these two events look like two
    # charges. So add a doubt.
    doubt = Doubt.PERIOD if period_start is None else Doubt.IDENTITY
    key = f"{name or message.family}:{message.event_name}"
    return _Identity(ChargeKey(key), bmc_id, psp_id=psp_id, period_start=period_start, doubt=doubt)


def _is_lifetime(message: _Message) -> bool:
    is_lifetime = _closed_word(message.data.get("duration_type")) in LIFETIME_DURATIONS
    return message.family is Family.MEMBERSHIP and is_lifetime


def _is_renewal(message: _Message, identity: _Identity) -> bool:
    if identity.period_start is None and _is_lifetime(message):
        return False
    started_at = _time(message.data.get("started_at"))
    if started_at is None:
        # If the start date is missing, treat an update as a renewal. A renewal is never matched by amount and time, so a
        # mistake here never credits the wrong user.
        return message.verb == "updated"
    return (identity.period_start or message.said_at) - started_at > RENEWED_AFTER


def _family_and_verb(type_: str) -> tuple[Family | None, str]:
    name, _, verb = type_.partition(".")
    try:
        family = Family(name)
    except ValueError:
        return None, verb
    verbs = SUBSCRIPTION_VERBS if family.is_subscription else PAYMENT_VERBS
    # An unknown verb may mean that money moved. Return no family: the event then counts as unknown, and operators are notified.
    return (family if verb in verbs else None), verb


def _words(data: Json) -> Iterator[str]:
    """Yield the texts that the supporter wrote. Leave out `message`, because BMC composes it."""
    yield from _texts(data.get("support_note"))
    yield from _answers(data)
    yield from _texts(data.get("additional_info"))
    commission = as_object(data.get("commission"))
    if commission is not None:
        yield from _texts(commission.get("additional_info"))


def _answers(data: Json) -> Iterator[str]:
    """Yield the supporter's answers to the questions of the Shop items that the supporter bought."""
    for extra in _extras(data):
        for key in ("question_answers", "answers", "answer"):
            yield from _texts(extra.get(key))


def _side_texts(data: Json) -> Iterator[str]:
    has_note = any(text.strip() for text in _texts(data.get("support_note")))
    for value in (data.get("supporter_name"), None if has_note else data.get("message")):
        line = " ".join((read_text(value) or "").split())
        if line:
            yield line


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    """
    Yield all texts and numbers in a value and in its nested lists and objects, but leave out the questions of Shop items.

    *depth* is the number of lists and objects around the value. Deeper levels than `ANSWERS_DEPTH_MAX` are not read.
    """
    # Exclude bool, which is a subclass of int.
    if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool):
        text = read_text(str(value))
        if text:
            yield text
    elif depth < ANSWERS_DEPTH_MAX:
        for inner in _inner_values(value):
            yield from _texts(inner, depth + 1)


def _inner_values(value: object) -> Iterable[object]:
    if isinstance(value, list):
        return cast(Sequence[object], value)
    entries = as_object(value) or {}
    answers = [entries[key] for key in entries if key.strip().lower() in ANSWER_KEYS]
    return answers or [entries[key] for key in entries if key.strip().lower() not in QUESTION_KEYS]


def _extras(data: Json) -> Sequence[Json]:
    """Return the Shop items bought. BMC sends a list, a single item, or a list that PHP encoded as a numbered map."""
    extras = data.get("extras")
    single = as_object(extras)
    if single is None:
        return as_objects(extras)
    return as_objects(list(single.values())) if all(key.isdecimal() for key in single) else [single]


def _item(data: Json) -> tuple[str | None, str | None]:
    """
    Return the key and the title of the membership level or of the only Shop item bought.

    Both are None in all other cases, for example if several different items were bought.
    """
    level = _named("level", data.get("membership_level_id"), data.get("membership_level_name"))
    if level is not None:
        return level
    bought = {_named("extra", extra.get("id"), extra.get("title")) for extra in _extras(data)}
    only = bought.pop() if len(bought) == 1 else None
    return only or (None, None)


def _named(kind: str, id_: object, title: object) -> tuple[str, str | None] | None:
    name = " ".join((read_text(title) or "").split())[:ITEM_LENGTH_MAX] or None
    identifier = read_id(id_) or name
    return None if identifier is None else (f"{kind}:{identifier}", name)


def _payer_name(data: Json) -> str | None:
    name = None if read_id(data.get("supporter_id")) else read_text(data.get("supporter_name"))
    return name[:NAME_LENGTH_MAX] if name else None


def _supporter(data: Json) -> Supporter | None:
    supporter_id = read_id(data.get("supporter_id"))
    if supporter_id is None:
        return None
    return Supporter(supporter_id, read_text(data.get("supporter_name")), read_text(data.get("supporter_email")))


def _event_name(envelope: Json, type_: str | None, digest: str) -> str:
    # The digest alone identifies the event. Add the id and the type for people who read logs and tables.
    return f"live:{read_id(envelope.get('event_id')) or ''}:{(type_ or '')[:ID_LENGTH_MAX]}:{digest}"


def _digest(envelope: Json, body: bytes) -> str:
    """
    Return the SHA-256 of the content in hexadecimal. All deliveries of one event have the same digest.

    `attempt` and `created` are left out because they differ in a retry. Keys are sorted because BMC may change their order.
    """
    content = {key: value for key, value in envelope.items() if key not in ("attempt", "created")}
    try:
        return hashlib.sha256(DIGESTED.encode(content).encode()).hexdigest()
    except (ValueError, RecursionError):
        return hashlib.sha256(body).hexdigest()


def _closed_word(value: object) -> str | None:
    """
    Normalise a status or another enumerated value: `Partially Refunded` becomes `partially_refunded`.

    Return None if the value is not a string.
    """
    return SEPARATORS.sub("_", value.strip().casefold()) if isinstance(value, str) else None


def _as_told(value: object) -> str | None:
    """Format a value from an event as one short line for the operator. Return None if nothing can be shown."""
    if value is None:
        return None
    try:
        text = str(value) if isinstance(value, (str, Decimal)) else json.dumps(value, default=str)
    except RecursionError:
        return None
    printable = "".join(sign if sign.isprintable() else " " for sign in text.strip()[:TOLD_LENGTH_MAX])
    return " ".join(printable.split()) or None


def _small_integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31 else None


def _time(value: object, *, no_later_than: datetime | None = None) -> datetime | None:
    """
    Read a time in Unix seconds.

    Return None if the time is missing, not in this century, or more than an hour later than *no_later_than*.
    """
    if isinstance(value, str) and re.fullmatch("[0-9]{9,10}", value, re.ASCII):
        value = int(value)
    # Accept only times from 2000 to 2100.
    if isinstance(value, bool) or not isinstance(value, int) or not 946_684_800 <= value < 4_102_444_800:
        return None
    time = datetime.fromtimestamp(value, UTC)
    if no_later_than is not None and time > no_later_than + timedelta(hours=1):
        return None
    return time
