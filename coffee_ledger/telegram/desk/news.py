"""Build the cards that notify operators about a charge. A card shows the news first, then the current state of the charge."""

from decimal import Decimal

from coffee_ledger.model import ChargeState, Method
from coffee_ledger.notification_facts import (
    ChargeContradicted,
    ChargeGuessed,
    ChargeNews,
    ChargeNotListed,
    ChargeRefunded,
    ChargeUnmatched,
    Contradiction,
    GuessDisowned,
    RefundUnknown,
)
from coffee_ledger.store.lookup import ChargeFile, ShownCharge
from coffee_ledger.telegram.desk.cards import Card, charge_card
from coffee_ledger.telegram.speech import Speech

ABOUT_ONE_CHARGE = (
    ChargeUnmatched,
    ChargeGuessed,
    ChargeRefunded,
    ChargeContradicted,
    ChargeNotListed,
    RefundUnknown,
    GuessDisowned,
)
"""
The notifications that are sent as the card of a charge. Each card is updated after a decision about its charge.

The query `find_cards` contains the same list, so change both lists together.
"""

SILENT = (ChargeGuessed, ChargeRefunded)
"""The notifications that are sent without a sound. They are not urgent, because the charge is already settled."""


def news_card(facts: ChargeNews, file: ChargeFile, speech: Speech) -> Card:
    still_holds = not isinstance(facts, ChargeUnmatched) and _still_holds(facts, file.charge)
    return charge_card(file, speech, news=news(facts, speech) if still_holds else None)


def news(facts: ChargeNews, speech: Speech) -> str:
    """Return the lines at the top of the card, which say why the card was sent."""
    text = facts.kind.replace("_", "-")
    if isinstance(facts, ChargeContradicted):
        return "\n".join([speech.say(text), _contradiction(facts, speech)])
    if isinstance(facts, GuessDisowned):
        return speech.say(text, user=str(facts.telegram_id))
    return speech.say(text)


def _still_holds(facts: ChargeNews, charge: ShownCharge) -> bool:
    """Return whether the news is still true. After a decision, the news may be wrong, and then the card shows only the charge."""
    match facts:
        case ChargeGuessed():
            return charge.state is ChargeState.MATCHED and charge.method == Method.AMOUNT_AND_TIME
        case ChargeRefunded():
            return charge.state is ChargeState.REFUNDED
        case RefundUnknown():
            return not charge.is_paid
        case _:
            return True


def _contradiction(facts: ChargeContradicted, speech: Speech) -> str:
    about = facts.about if facts.about in set(Contradiction) else Contradiction.AMOUNT
    known = _money(facts.amount, facts.currency, speech)
    words = facts.told or "—"
    told = words if facts.told_amount is None else _money(facts.told_amount, facts.told_currency, speech)
    return speech.say(f"contradicted-{about}", known=known, told=told, status=words)


def _money(amount: Decimal | None, currency: str | None, speech: Speech) -> str:
    return "—" if amount is None else speech.money(amount, str(currency))
