"""Convert charges, pending payments, reasons and the facts of notifications to stored values and back."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from functools import cache
from typing import Any, TypeVar

import asyncpg
from pydantic import TypeAdapter

from coffee_ledger.charges import Charge, Flag, Reason, Rejection
from coffee_ledger.model import (
    Channel,
    ChargeState,
    Doubt,
    Family,
    Method,
    NotificationKind,
    PaymentStatus,
    PendingPayment,
)
from coffee_ledger.notification_facts import FACTS, Facts

Row = asyncpg.Record | Mapping[str, Any]
Word = TypeVar("Word", bound=enum.StrEnum)
AnyCharge = TypeVar("AnyCharge", bound=Charge)

_CHARGE_COLUMNS = tuple(one.name for one in fields(Charge))


def payment_of(row: Row) -> PendingPayment:
    values = {**row, "status": PaymentStatus(row["status"])}
    return PendingPayment(**{**values, "requested_again_at": tuple(values.get("requested_again_at", ()))})


def charge_of(row: Row) -> Charge:
    """Convert a row of `charges` to a charge. Ignore columns that are not fields of `Charge`."""
    return charge_of_kind(Charge, row)


def charge_of_kind(kind: type[AnyCharge], row: Row, **more: object) -> AnyCharge:
    values = {name: row[name] for name in _CHARGE_COLUMNS}
    words = {
        "family": _enum_or_string(Family, row["family"]),
        "state": ChargeState(row["state"]),
        "method": _enum_or_string(Method, row["method"]),
        "flag": _enum_or_string(Flag, row["flag"]),
        "doubt": _enum_or_string(Doubt, row["doubt"]),
        "channel": _enum_or_string(Channel, row["channel"]),
        "reasons": reasons_of(row["reasons"]),
    }
    return kind(**{**values, **words, **more})


def row_of_charge(charge: Charge) -> dict[str, object]:
    """
    Convert a charge to an object for `encode_json` with one key for each field.

    The fields have the names of the columns of `charges`.
    """
    row = {name: getattr(charge, name) for name in _CHARGE_COLUMNS}
    return {**row, "reasons": [_row_of_reason(reason) for reason in charge.reasons]}


def reasons_of(rows: Iterable[Mapping[str, Any]] | None) -> tuple[Reason, ...]:
    """
    Convert stored reasons to `Reason` objects. Return an empty tuple for None.

    If another version of this software stored a reason without "rule" or "why", the missing value becomes an empty string.
    """
    return tuple(
        Reason(
            _enum_or_string(Method, row.get("rule") or ""),
            _enum_or_string(Rejection, row.get("why") or ""),
            row.get("payment_id"),
            row.get("telegram_id"),
        )
        for row in rows or ()
    )


def _row_of_reason(reason: Reason) -> dict[str, object]:
    return {name: value for name, value in asdict(reason).items() if value is not None}


def read_facts(kind: NotificationKind, values: Mapping[str, Any]) -> Facts:
    """
    Read the stored facts of a notification.

    Raises:
        pydantic.ValidationError: A required fact is missing or invalid.
    """
    return _adapter(kind).validate_python(values)


@cache
def _adapter(kind: NotificationKind) -> TypeAdapter[Facts]:
    return TypeAdapter(FACTS[kind])


def write_facts(facts: Facts) -> dict[str, object]:
    """Convert the facts of a notification to an object for `encode_json`."""
    return {name: getattr(facts, name) for name in _names_of(facts.kind)}


@cache
def _names_of(kind: NotificationKind) -> tuple[str, ...]:
    return tuple(one.name for one in fields(FACTS[kind]))


def _enum_or_string(kind: type[Word], value: Any) -> Any:
    """Convert a stored word to its enum. Return an unknown word unchanged, because a newer version may have stored it."""
    try:
        return value if value is None else kind(value)
    except ValueError:
        return value
