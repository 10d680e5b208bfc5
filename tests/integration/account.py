"""
A creator's account at Buy Me a Coffee (BMC): its payments, the webhooks about them, and the lists that BMC's API shows.

The bodies and the rows have the same form as those of the sandbox. There is no HTTP: `ListClient` reads the lists in this process.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from coffee_ledger.bmc_api import ApiAnswer, ApiList, ApiResult, ApiState, read_answer
from sandbox.bmc.bodies import Event, payment_data, subscription_data, wire
from sandbox.bmc.payments import Kind, Payment, Subscription
from sandbox.bmc.rows import extra_row, subscription_row, support_row, timestamp

PER_PAGE = 5
NUMBERS_APART = 700_000
"""If `has_own_number` is true, the payment's number in BMC's list is its number in the webhook plus `NUMBERS_APART`."""


@dataclass
class OneTime:
    """A payment that does not repeat, such as a donation or a Shop purchase."""

    payment: Payment
    is_listed: bool
    has_own_number: bool
    """True if the payment's number in BMC's list differs from its number in the webhook. BMC does not promise equal numbers."""


@dataclass
class Subscribed:
    """A membership or a monthly support, in its latest period."""

    subscription: Subscription
    is_listed: bool
    row_seconds_ahead: int
    """In BMC's list, the period starts this many seconds later than in the webhook."""


@dataclass
class Account:
    one_time: list[OneTime] = field(default_factory=list)
    subscribed: list[Subscribed] = field(default_factory=list)

    def rows(self, list_: ApiList) -> list[dict[str, Any]]:
        """Return all rows of a list, the newest first."""
        listed = [paid for paid in reversed(self.one_time) if paid.is_listed]
        match list_:
            case ApiList.SUPPORTERS:
                return [_support_row(paid) for paid in listed]
            case ApiList.EXTRAS:
                return [_extra_row(paid) for paid in listed if paid.payment.order.kind is Kind.EXTRA_PURCHASE]
            case ApiList.SUBSCRIPTIONS:
                return [_subscription_row(paid) for paid in reversed(self.subscribed) if paid.is_listed]


def _support_row(paid: OneTime) -> dict[str, Any]:
    return support_row(paid.payment) | {"support_id": _number(paid)}


def _extra_row(paid: OneTime) -> dict[str, Any]:
    return extra_row(paid.payment) | {"fk_support_id": _number(paid), "support": _support_row(paid)}


def _number(paid: OneTime) -> int:
    return paid.payment.id + (NUMBERS_APART if paid.has_own_number else 0)


def _subscription_row(paid: Subscribed) -> dict[str, Any]:
    start = paid.subscription.period_start + paid.row_seconds_ahead
    return subscription_row(paid.subscription) | {"subscription_current_period_start": timestamp(start)}


class ListClient:
    """Reads the lists of an account, with the interface of `BmcClient`."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.shifts: list[OneTime] = []
        """The payments that supporters make while the janitor reads `ApiList.SUPPORTERS`: one payment after each page."""
        self.failures: list[ApiState] = []
        """The errors of the next requests. Each request removes the first error and fails with it, until the list is empty."""

    async def read_page(self, list_: ApiList, page: int, *, for_claim: bool = False) -> ApiResult:
        if self.failures:
            return ApiResult(state=self.failures.pop(0))
        rows = self._account.rows(list_)
        shown = rows[(page - 1) * PER_PAGE : page * PER_PAGE]
        if list_ is ApiList.SUPPORTERS and self.shifts:
            self._account.one_time.append(self.shifts.pop(0))
        if not shown:
            return _answer(list_, {"error": f"No {list_}"})
        more = "https://developers.buymeacoffee.com/" if page * PER_PAGE < len(rows) else None
        return _answer(list_, {"data": shown, "next_page_url": more})


def _answer(list_: ApiList, body: dict[str, Any]) -> ApiResult:
    return read_answer(
        list_, ApiAnswer(status=200, content_type="application/json", body=json.dumps(body).encode("utf-8"))
    )


def payment_body(payment: Payment, event_id: int, *, verb: str = "created", attempt: int = 1) -> bytes:
    """
    Return the body of a webhook about a payment. For the verb "refunded", pass a payment that is refunded.

    *attempt* is 1 for the first delivery of the event.
    """
    type_ = f"{payment.order.kind.value}.{verb}"
    return _body(type_, payment_data(payment), event_id, created=payment.created_at, attempt=attempt)


def period_body(subscription: Subscription, event_id: int, *, verb: str, attempt: int = 1) -> bytes:
    type_ = f"{subscription.order.kind.value}.{verb}"
    return _body(type_, subscription_data(subscription), event_id, created=subscription.period_start, attempt=attempt)


def _body(type_: str, data: dict[str, Any], event_id: int, *, created: int, attempt: int) -> bytes:
    return wire(Event(event_id=event_id, type=type_, created=created, data=data), attempt=attempt)


def in_other_family(payment: Payment, kind: Kind) -> Payment:
    """
    Return the payment as BMC would report it under another family, such as `extra_purchase` instead of `donation`.

    The number of the payment differs too, because BMC numbers each family separately.
    """
    return replace(payment, id=payment.id + 50_000, order=replace(payment.order, kind=kind))
