"""Cards that report an event of one charge to operators. A card shows the event first and then the current state of the charge."""

from decimal import Decimal

from coffee_ledger.model import ChargeState, Method
from coffee_ledger.notification_facts import (
    ChargeContradicted,
    ChargeGuessed,
    ChargeNews,
    ChargeRefunded,
    ChargeUnmatched,
    Contradiction,
    GuessDisowned,
    RefundUnknown,
)
from coffee_ledger.store.lookup import ChargeFile, ShownCharge
from coffee_ledger.telegram.desk.cards import Card, charge_card
from coffee_ledger.telegram.speech import Speech

ABOUT_ONE_CHARGE = (ChargeUnmatched, ChargeGuessed, ChargeRefunded, ChargeContradicted, RefundUnknown, GuessDisowned)
"""The kinds of notifications that are sent as a card, which is updated after each decision. The query `find_cards` lists the same kinds."""

SILENT = (ChargeGuessed, ChargeRefunded)
"""The kinds of notifications that are sent without a sound. The charge is settled, and an operator only checks the result."""


def news_card(facts: ChargeNews, file: ChargeFile, speech: Speech) -> Card:
    still_holds = not isinstance(facts, ChargeUnmatched) and _still_holds(facts, file.charge)
    return charge_card(file, speech, news=news(facts, speech) if still_holds else None)


def news(facts: ChargeNews, speech: Speech) -> str:
    """Return the text about the event, without the data of the charge itself."""
    text = facts.kind.replace("_", "-")
    if isinstance(facts, ChargeContradicted):
        return "\n".join([speech.say(text), _contradiction(facts, speech)])
    if isinstance(facts, GuessDisowned):
        return speech.say(text, user=str(facts.telegram_id))
    return speech.say(text)


def _still_holds(facts: ChargeNews, charge: ShownCharge) -> bool:
    """Tell whether the text about the event is still true. After a decision it may not be, and the card then shows only the charge."""
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
