"""
Read the answers of the REST API of Buy Me a Coffee (BMC). Every answer becomes an `ApiResult`; none raises an exception.

The API lists what an account received, five rows a page, the newest first. It is read-only and has no filter by date. A row is
weaker evidence than a webhook: it is not signed, its times have no zone, and it does not reliably show the family (kind) of the
payment. E-mail addresses may be masked, so they are not read. As in webhooks, the same field may be a number in one answer and
a string in another, and both are read. A row that cannot be read becomes an `UnreadableRow`, so the other rows of its page are
kept.

The janitor calls the API (services/janitor/bmc_client.py). coffee_ledger/listed_events.py turns the rows into events.

Source: copies of BMC's documentation in github.com/DazWilkin/go-buymeacoffee, answers published in npm buymeacoffee-mcp 0.1.2 and
programs of users of the API, read 2026-11-29.
"""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias, assert_never, cast

from coffee_ledger.values import (
    Json,
    as_object,
    parse_object,
    read_amount,
    read_currency,
    read_flag,
    read_id,
    read_text,
)

API_PATH = "/api/v1/"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TIME = re.compile(
    r"20[0-9]{2}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)
NO_TIME = frozenset({"", "0000-00-00 00:00:00"})
SECONDS_MAX = 3600
"""Wait at most this long if BMC sends a longer `Retry-After`. So one wrong header cannot stop our requests for days."""


class ApiList(enum.StrEnum):
    """The lists of the API. Each value is the last part of the list's address."""

    SUPPORTERS = "supporters"
    """All one-time payments, probably also those of the Shop, of commissions and of the wishlist."""
    SUBSCRIPTIONS = "subscriptions"
    """Memberships and monthly supports, each with its latest period only."""
    EXTRAS = "extras"
    """Purchases in the Shop."""


class ApiState(enum.StrEnum):
    """The result of one request to the API. Each failure has its own value, because operators must act differently on each."""

    PAGE = "page"
    EMPTY = "empty"
    """The list has no rows, or the requested page comes after the last row."""
    TOKEN_REFUSED = "token_refused"  # noqa: S105 — not a password
    BLOCKED = "blocked"
    """Cloudflare, which stands in front of BMC, refuses our client or its IP address."""
    THROTTLED = "throttled"
    """There were too many requests. Either BMC says so, or our own limit is reached and no request was sent."""
    UNREACHABLE = "unreachable"
    """No answer came in time, or BMC's server failed."""
    CHANGED = "changed"
    """The answer has an unknown form. BMC may have changed the API, or removed it."""

    @property
    def is_healthy(self) -> bool:
        return self in (ApiState.PAGE, ApiState.EMPTY)


@dataclass(frozen=True, kw_only=True)
class ApiAnswer:
    """An HTTP answer of the API. The headers are as they were sent; a header that was not sent is None."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    location: str | None = None
    retry_after: str | None = None
    requests_left: str | None = None

    @property
    def is_json(self) -> bool:
        # The optional group before `json` allows types such as `application/problem+json`.
        return bool(re.fullmatch(r"application/(?:[\w.-]+\+)?json", self.content_type.strip().lower()))


@dataclass(frozen=True, kw_only=True)
class SupportRow:
    row_id: str
    """BMC's `support_id`. It probably equals the `id` in the webhook, but no published example shows both for one payment."""
    transaction_id: str | None
    """
    The same `transaction_id` as in the payment's webhook.

    None if it is missing or a placeholder, as for a free Shop item.
    """
    amount: Decimal
    """The price of one coffee times the number of coffees. It is zero for a free Shop item."""
    currency: str
    note: str | None = field(repr=False)
    name: str | None = field(repr=False)
    created_at: datetime | None
    """BMC's `support_created_on`, read as UTC if it has no zone. BMC does not document the zone."""
    is_refunded: bool | None
    """True if BMC marks the payment as refunded; None if a field that marks refunds has an unknown value."""
    support_type: str | None = None
    platform: str | None = None


@dataclass(frozen=True, kw_only=True)
class SubscriptionRow:
    row_id: str
    psp_id: str | None
    """
    The id of the subscription at Stripe: `transaction_id` in the API, `psp_id` in webhooks.

    None if it is missing or a placeholder.
    """
    amount: Decimal
    """The price of one period."""
    currency: str
    note: str | None = field(repr=False)
    name: str | None = field(repr=False)
    created_at: datetime | None
    period_start: datetime | None
    period_end: datetime | None
    is_cancelled: bool | None
    """If `is_cancelled`, `ends_with_period` or `is_paused` is None, BMC sent an unknown value for it."""
    ends_with_period: bool | None
    is_paused: bool | None
    duration_type: str | None = None
    level_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExtraRow:
    """A purchase in the Shop. An item may ask the buyer a question. The API does not show the buyer's answer."""

    row_id: str
    transaction_id: str | None
    support_id: str | None
    """The `row_id` of the same payment in the list of one-time payments. None if BMC did not send this id with the purchase."""
    amount: Decimal
    currency: str
    name: str | None = field(repr=False)
    created_at: datetime | None
    is_revoked: bool | None
    """True if BMC marks the purchase as revoked or its payment as refunded; None if one of these marks has an unknown value."""
    item_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class UnreadableRow:
    """A row whose `row_id` or amount cannot be read. An id that cannot be read is None."""

    row_id: str | None = None
    transaction_id: str | None = None


Row: TypeAlias = SupportRow | SubscriptionRow | ExtraRow | UnreadableRow


@dataclass(frozen=True, kw_only=True)
class ApiResult:
    """The result of one request. It has *rows* only if the *state* is PAGE."""

    state: ApiState
    rows: tuple[Row, ...] = ()
    values: tuple[object, ...] = field(default=(), repr=False)
    """The JSON values from which *rows* were read, in the same order."""
    has_more: bool = False
    status: int | None = None
    """The HTTP status; None if no answer came or no request was sent."""
    retry_after_seconds: int | None = None
    requests_left: int | None = None
    """The number of requests that BMC still allows in this minute; None if BMC did not say."""


def read_answer(list_: ApiList, answer: ApiAnswer) -> ApiResult:
    """Read an answer to a request for a page of *list_*. If the content cannot be read, the result has the state CHANGED."""
    refusal = _refusal(answer)
    result = ApiResult(state=refusal) if refusal is not None else _read_page(list_, answer)
    return replace(
        result,
        status=answer.status,
        retry_after_seconds=_read_count(answer.retry_after, count_max=SECONDS_MAX),
        requests_left=_read_count(answer.requests_left, count_max=10**6),
    )


def _refusal(answer: ApiAnswer) -> ApiState | None:
    """Return the state that the HTTP status means. Return None for status 200: the caller must then read the body."""
    match answer.status:
        case 200:
            return None
        case 401:
            return ApiState.TOKEN_REFUSED
        case 403:
            # If BMC refuses the token, its answer is JSON. If Cloudflare refuses the client, its answer is HTML, a line of
            # text, or JSON with 1010 (the number for a banned client). So JSON without 1010 comes from BMC.
            return ApiState.TOKEN_REFUSED if answer.is_json and b"1010" not in answer.body else ApiState.BLOCKED
        case 429:
            return ApiState.THROTTLED
        case status if status in REDIRECTS:
            # If BMC refuses the token, it redirects to the login page. A redirect to an address with `API_PATH` means that the
            # API has moved.
            return ApiState.CHANGED if API_PATH in (answer.location or "") else ApiState.TOKEN_REFUSED
        case status if status == 408 or status >= 500:
            return ApiState.UNREACHABLE
        case _:
            return ApiState.CHANGED


def _read_page(list_: ApiList, answer: ApiAnswer) -> ApiResult:
    page = parse_object(answer.body) if answer.is_json else None
    if page is None:
        return ApiResult(state=ApiState.CHANGED)
    values = _values(page.get("data"))
    if values is None:
        return ApiResult(state=ApiState.EMPTY if _says_empty(page) else ApiState.CHANGED)
    if not values:
        return ApiResult(state=ApiState.EMPTY)
    rows = tuple(read_row(list_, value) for value in values)
    if all(isinstance(row, UnreadableRow) and row.row_id is None for row in rows):
        return ApiResult(state=ApiState.CHANGED)
    # Do not rely on `total` and `last_page`: in an answer that a user of the API published, they contradict each other. If
    # `next_page_url` is missing, assume that there is a next page. This does no harm, because a page after the last one is empty.
    has_more = page.get("next_page_url", True) not in (None, False, "")
    return ApiResult(state=ApiState.PAGE, rows=rows, values=tuple(values), has_more=has_more)


def _values(data: object) -> Sequence[object] | None:
    """Return the rows of a list, or of a map with numbers as keys (PHP's form of a list with gaps); None for other data."""
    if isinstance(data, list):
        return cast(Sequence[object], data)
    numbered = as_object(data)
    if numbered and all(key.isdecimal() for key in numbered):
        return list(numbered.values())
    return None


def _says_empty(page: Json) -> bool:
    """
    Tell whether a page without `data` means that the list is empty.

    If a list is empty, BMC sends a text such as "No supporters" or "No subscriptions" instead of `data`. So a text that begins
    with "No" means an empty list. Any other text may report an error.
    """
    words = read_text(page.get("error")) or read_text(page.get("message")) or ""
    return "data" not in page and bool(re.match(r"no\s", words.strip().lower()))


def read_row(list_: ApiList, value: object) -> Row:
    """Read a row of *list_*. *value* may have any form."""
    fields = as_object(value)
    if fields is None:
        return UnreadableRow()
    match list_:
        case ApiList.SUPPORTERS:
            return _read_support(fields)
        case ApiList.SUBSCRIPTIONS:
            return _read_subscription(fields)
        case ApiList.EXTRAS:
            return _read_extra(fields)
        case _:
            assert_never(list_)


def _read_support(fields: Json) -> SupportRow | UnreadableRow:
    row_id, transaction_id = read_id(fields.get("support_id")), read_id(fields.get("transaction_id"))
    amount = _product(fields.get("support_coffee_price"), fields.get("support_coffees"))
    if row_id is None or amount is None:
        return UnreadableRow(row_id=row_id, transaction_id=transaction_id)
    return SupportRow(
        row_id=row_id,
        transaction_id=transaction_id,
        amount=amount,
        currency=read_currency(fields.get("support_currency")),
        note=_words(fields.get("support_note")),
        name=_words(fields.get("supporter_name")) or _words(fields.get("payer_name")),
        created_at=_read_time(fields.get("support_created_on")),
        is_refunded=_read_refund(fields),
        support_type=_words(fields.get("support_type")),
        platform=_words(fields.get("payment_platform")),
    )


def _read_subscription(fields: Json) -> SubscriptionRow | UnreadableRow:
    row_id, psp_id = read_id(fields.get("subscription_id")), read_id(fields.get("transaction_id"))
    amount = _product(fields.get("subscription_coffee_price"), fields.get("subscription_coffee_num"))
    if row_id is None or amount is None:
        return UnreadableRow(row_id=row_id, transaction_id=psp_id)
    return SubscriptionRow(
        row_id=row_id,
        psp_id=psp_id,
        amount=amount,
        currency=read_currency(fields.get("subscription_currency")),
        note=_words(fields.get("subscription_message")),
        name=_words(fields.get("payer_name")),
        created_at=_read_time(fields.get("subscription_created_on")),
        period_start=_read_time(fields.get("subscription_current_period_start")),
        period_end=_read_time(fields.get("subscription_current_period_end")),
        is_cancelled=_any_mark(
            _read_mark(fields.get("subscription_is_cancelled")), _has_time(fields.get("subscription_cancelled_on"))
        ),
        ends_with_period=_read_mark(fields.get("subscription_is_cancelled_at_period_end")),
        is_paused=_read_mark(fields.get("is_paused")),
        duration_type=_words(fields.get("subscription_duration_type")),
        level_id=read_id(fields.get("membership_level_id")),
    )


def _read_extra(fields: Json) -> ExtraRow | UnreadableRow:
    # The field `support` may be missing: answers of 2026 have it, but the sample in BMC's documentation does not.
    support = as_object(fields.get("support")) or {}
    item = as_object(fields.get("extra")) or {}
    row_id, transaction_id = read_id(fields.get("purchase_id")), read_id(support.get("transaction_id"))
    paid = read_amount(fields.get("total_paid_amount"))
    amount = read_amount(fields.get("purchase_amount")) if paid is None else paid
    if row_id is None or amount is None:
        return UnreadableRow(row_id=row_id, transaction_id=transaction_id)
    return ExtraRow(
        row_id=row_id,
        transaction_id=transaction_id,
        support_id=read_id(fields.get("fk_support_id")) or read_id(support.get("support_id")),
        amount=amount,
        currency=read_currency(fields.get("purchase_currency")),
        name=_words(fields.get("payer_name")),
        created_at=_read_time(fields.get("purchased_on")),
        is_revoked=_any_mark(_read_mark(fields.get("purchase_is_revoked")), _read_refund(support)),
        item_name=_words(item.get("reward_title")),
    )


def _read_refund(fields: Json) -> bool | None:
    """Tell whether a payment was refunded; None if unknown. Read two fields, because some rows have only one of them."""
    return _any_mark(_read_mark(fields.get("is_refunded")), _has_time(fields.get("refunded_at")))


def _any_mark(*marks: bool | None) -> bool | None:
    """Return True if any mark is True; otherwise None if any mark is None (unknown); otherwise False."""
    return True if True in marks else None if None in marks else False


def _read_mark(value: object) -> bool | None:
    """Read a flag. Return False if it is missing or null, and None if its value cannot be read as true or false."""
    return False if value is None else read_flag(value)


def _has_time(value: object) -> bool | None:
    """Return True for a time, False for a missing or empty value, and None for any other value."""
    if value is None or read_flag(value) is False or (isinstance(value, str) and value.strip() in NO_TIME):
        return False
    return True if _read_time(value) is not None or _is_unix_time(value) else None


def _is_unix_time(value: object) -> bool:
    # Call `str` only for an int or a string: for a deeply nested list, `str` raises a RecursionError.
    return isinstance(value, (int, str)) and bool(re.fullmatch("[1-9][0-9]{8,9}", str(value).strip(), re.ASCII))


def _product(price: object, number: object) -> Decimal | None:
    """Multiply a price by a number. Return None if one of them or the result cannot be read as an amount."""
    one, times = read_amount(price), read_amount(number)
    return None if one is None or times is None else read_amount(f"{one * times:f}")


def _words(value: object) -> str | None:
    return (read_text(value) or "").strip() or None


def _read_time(value: object) -> datetime | None:
    """Read a time such as `2026-11-30 11:20:44`. A time without a zone is UTC. Return None for any other value."""
    if not isinstance(value, str) or not TIME.fullmatch(value.strip()):
        return None
    try:
        time = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _read_count(header: str | None, *, count_max: int) -> int | None:
    """Read a whole number from a header; return *count_max* if the number is higher. Return None if the header has no number."""
    if header is None or not re.fullmatch("[0-9]{1,9}", header.strip(), re.ASCII):
        return None
    return min(int(header), count_max)
