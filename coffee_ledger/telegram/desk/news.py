"""Cards that tell operators some news of one charge, above the charge as it stands by now."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from coffee_ledger.model import ChargeState, Method, NotificationKind
from coffee_ledger.store.lookup import ChargeFile, ShownCharge
from coffee_ledger.telegram.desk.cards import Card, charge_card
from coffee_ledger.telegram.speech import Speech

ABOUT_ONE_CHARGE = frozenset(
    {
        NotificationKind.CHARGE_UNMATCHED,
        NotificationKind.CHARGE_GUESSED,
        NotificationKind.CHARGE_REFUNDED,
        NotificationKind.CHARGE_CONTRADICTED,
        NotificationKind.REFUND_UNKNOWN,
        NotificationKind.GUESS_DISOWNED,
    }
)
"""Sent as a card, which is brought up to date after each decision; the query `find_cards` lists the same kinds."""

SILENT = frozenset({NotificationKind.CHARGE_GUESSED, NotificationKind.CHARGE_REFUNDED})
"""Sent without a sound: the charge is settled, and an operator only looks whether it is right."""

CONTRADICTIONS = frozenset({"amount", "status", "refund"})


def news_card(kind: NotificationKind, facts: Mapping[str, Any], file: ChargeFile, speech: Speech) -> Card:
    still_holds = kind is not NotificationKind.CHARGE_UNMATCHED and _still_holds(kind, file.charge)
    return charge_card(file, speech, news=news(kind, facts, speech) if still_holds else None)


def news(kind: NotificationKind, facts: Mapping[str, Any], speech: Speech) -> str:
    """Say what happened, without the charge itself."""
    text = kind.value.replace("_", "-")
    if kind is NotificationKind.CHARGE_CONTRADICTED:
        return "\n".join([speech.say(text), _contradiction(facts, speech)])
    if kind is NotificationKind.GUESS_DISOWNED:
        return speech.say(text, user=str(facts["telegram_id"]))
    return speech.say(text)


def _still_holds(kind: NotificationKind, charge: ShownCharge) -> bool:
    """Tell whether the news still describes the charge; after a decision the charge speaks for itself."""
    if kind is NotificationKind.CHARGE_GUESSED:
        return charge.state is ChargeState.MATCHED and charge.method == Method.AMOUNT_AND_TIME
    if kind is NotificationKind.CHARGE_REFUNDED:
        return charge.state is ChargeState.REFUNDED
    if kind is NotificationKind.REFUND_UNKNOWN:
        return not charge.is_paid
    return True


def _contradiction(facts: Mapping[str, Any], speech: Speech) -> str:
    about = facts["about"] if facts["about"] in CONTRADICTIONS else "amount"
    known = _money(facts.get("amount"), facts.get("currency"), speech)
    told = _money(facts.get("told_amount"), facts.get("told_currency"), speech)
    words = str(facts.get("told") or "—")
    is_readable = facts.get("told_amount") is not None
    return speech.say(f"contradicted-{about}", known=known, told=told if is_readable else words, status=words)


def _money(amount: str | None, currency: str | None, speech: Speech) -> str:
    return speech.money(Decimal(amount), str(currency)) if amount is not None else "—"
