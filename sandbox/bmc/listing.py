"""List payments and subscriptions as BMC's API does, with the changes that a test makes to single rows."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from sandbox.bmc.payments import Kind, Payment, PaymentStore, Status, Subscription
from sandbox.bmc.rows import extra_row, subscription_row, support_row

Row = dict[str, Any]
Paid = TypeVar("Paid", Payment, Subscription)

_CHANGES_MAX = 10_000
_ZONE_SHIFT = timedelta(hours=-7)
_TIME_ENDINGS = ("_on", "_at", "_period_start", "_period_end")


class Choice(Enum):
    """The values of the parameter `status` of the list of subscriptions."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    ALL = "all"


class Listing:
    """Builds the rows of each list, the newest payment first. A refund or a renewal does not move a row."""

    def __init__(self, payments: PaymentStore) -> None:
        self._payments = payments
        # The changed fields of each row, by transaction id or subscription id. The value is None if BMC has deleted the row.
        self._changes: OrderedDict[str, Mapping[str, Any] | None] = OrderedDict()

    def change(self, key: str, fields: Mapping[str, Any] | None) -> None:
        """Set *fields* in the row of the payment or subscription with the id *key*. If *fields* is None, delete the row."""
        self._changes[key] = fields
        self._changes.move_to_end(key)
        if len(self._changes) > _CHANGES_MAX:
            self._changes.popitem(last=False)

    def supports(self) -> list[Row]:
        return [{**support_row(one), **changes} for one, changes in self._listed(self._payments.payments)]

    def extras(self) -> list[Row]:
        listed = self._listed(self._payments.payments)
        return [
            {**(row := extra_row(one)), **_for_extra(row, changes)}
            for one, changes in listed
            if one.order.kind is Kind.EXTRA_PURCHASE
        ]

    def subscriptions(self, choice: Choice) -> list[Row]:
        listed = self._listed(self._payments.subscriptions)
        return [{**subscription_row(one), **changes} for one, changes in listed if _is_chosen(one, choice)]

    def _listed(self, paid: Mapping[str, Paid]) -> Iterator[tuple[Paid, Mapping[str, Any]]]:
        for key in reversed(list(paid)):
            changes = self._changes.get(key, {})
            if changes is not None:
                yield paid[key], changes


def in_other_zone(rows: Iterable[Row]) -> list[Row]:
    """Make all times of the rows seven hours earlier, as if BMC wrote them in the zone UTC-7. The rows name no time zone."""
    return [_shifted(row) for row in rows]


def _shifted(row: Row) -> Row:
    return {key: _shift(key, value) for key, value in row.items()}


def _shift(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _shifted(value)
    if not (isinstance(value, str) and key.endswith(_TIME_ENDINGS)):
        return value
    return str(datetime.fromisoformat(value) + _ZONE_SHIFT)


def _for_extra(row: Row, changes: Mapping[str, Any]) -> Row:
    """
    Return the fields that replace fields of *row*, the row of a Shop purchase. *row* itself stays unchanged.

    The field `support` of *row* contains the payment's row in the list of supporters. *changes* may name fields of both rows,
    so the result also contains a changed copy of `support`.
    """
    own = {key: value for key, value in changes.items() if key in row}
    inner = {key: value for key, value in changes.items() if key in row["support"]}
    return {**own, "support": {**row["support"], **inner}} if "support" not in own else own


def _is_chosen(subscription: Subscription, choice: Choice) -> bool:
    # BMC does not document whether a paused subscription is active. The sandbox lists it as active, because it may be resumed.
    is_active = subscription.status is not Status.CANCELED
    return choice is Choice.ALL or is_active is (choice is Choice.ACTIVE)
