"""Pure functions that compose the text and the buttons of a notification's message."""

from dataclasses import dataclass
from decimal import Decimal

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from coffee_ledger.charges import Flag
from coffee_ledger.codes import show_code
from coffee_ledger.model import Method, Rates
from coffee_ledger.notification_facts import (
    AdjustmentCause,
    ChargeFlagged,
    ChargeNews,
    ChargeUnmatched,
    ClaimDeclined,
    ClaimLookedUp,
    ClaimRaised,
    CodeCameLate,
    CreditsAdjusted,
    EventNews,
    EventRetried,
    Facts,
    PaymentCredited,
    PaymentExpired,
    PaymentRefunded,
    PaymentUnderReview,
    RefundOverdrawn,
    SignatureFailures,
    WaitingSummary,
)
from coffee_ledger.store.lookup import ChargeFile, ClaimFile
from coffee_ledger.store.outbox import Notification
from coffee_ledger.store.waiting import Waiting
from coffee_ledger.telegram.desk.buttons import OnCharge, Step, button, rows
from coffee_ledger.telegram.desk.cards import claim_card, reason_line
from coffee_ledger.telegram.desk.news import ABOUT_ONE_CHARGE, SILENT, news, news_card
from coffee_ledger.telegram.desk.summary import summary_card
from coffee_ledger.telegram.keyboards import NotMine
from coffee_ledger.telegram.speech import Speech

NO_RATES = Rates({})
REASONS_MAX = 12
"""The maximum number of reasons in a message. Further reasons are left out, because Telegram accepts only 4,096 characters."""


@dataclass(frozen=True)
class Announcement:
    """A message in Telegram's HTML, with its buttons."""

    text: str
    keyboard: InlineKeyboardMarkup | None = None
    is_silent: bool = False
    """True if the message is sent without a sound."""


def announce(
    notification: Notification,
    speech: Speech,
    subject: ChargeFile | ClaimFile | Waiting | None = None,
    *,
    rates: Rates = NO_RATES,
) -> Announcement:
    """
    Compose the message of a notification.

    For a message to operators about a charge or a claim, *subject* is that charge or claim. For a summary, *subject* contains
    the open decisions. Without *subject*, the message contains only the facts that are stored in the notification.
    """
    facts = notification.facts
    is_silent = isinstance(facts, SILENT) or (isinstance(facts, WaitingSummary) and facts.is_silent)
    if isinstance(subject, Waiting):
        summary = summary_card(subject, speech)
        return Announcement(summary.text, summary.keyboard, is_silent)
    if isinstance(subject, ChargeFile) and isinstance(facts, ABOUT_ONE_CHARGE):
        card = news_card(facts, subject, speech)
        return Announcement(card.text, card.keyboard, is_silent)
    if isinstance(subject, ClaimFile) and isinstance(facts, ClaimRaised):
        card = claim_card(subject, rates, speech)
        return Announcement(card.text, card.keyboard)
    return Announcement(_text(notification, facts, speech, rates), _keys(notification, speech), is_silent)


def _keys(notification: Notification, speech: Speech) -> InlineKeyboardMarkup | None:
    """
    Return the buttons of a message, or None if it has none.

    If a payment was matched by a guess, the message to the user has a button *Not mine*. If a second charge was matched to a
    completed pending payment, or if a code arrived after the charge was decided, the message to operators has a button that
    opens the charge.
    """
    facts, charge_id = notification.facts, notification.charge_id
    if charge_id is None:
        return None
    if isinstance(facts, PaymentCredited) and facts.method == Method.AMOUNT_AND_TIME:
        pressed = NotMine(charge_id=charge_id).pack()
        return rows([InlineKeyboardButton(text=speech.label("not-mine-button"), callback_data=pressed)])
    if not isinstance(facts, (ChargeFlagged, CodeCameLate)):
        return None
    text = speech.label("desk-open-button", number=str(charge_id), amount=_paid(facts, speech))
    return rows([button(text, OnCharge(step=Step.OPEN, charge_id=charge_id))])


def _text(notification: Notification, facts: Facts, speech: Speech, rates: Rates) -> str:  # noqa: C901 — one case for each kind
    match facts:
        case PaymentCredited():
            return "\n".join([_credited(notification, facts, speech, rates), *_remarks(facts, speech)])
        case PaymentRefunded():
            text = "payment-refunded-in-part" if facts.is_part else "payment-refunded"
            return speech.say(text, amount=_paid(facts, speech), balance=speech.new_balance(notification.balance))
        case PaymentUnderReview():
            text = "payment-under-review-bare" if facts.amount is None else "payment-under-review"
            return speech.say(text, amount=_paid(facts, speech))
        case PaymentExpired():
            return speech.say("payment-expired", amount=_paid(facts, speech), code=show_code(facts.code))
        case ChargeUnmatched():
            head = speech.say("charge-unmatched", **_charge(facts, speech))
            return "\n".join([head, *(reason_line(reason, speech) for reason in notification.reasons[:REASONS_MAX])])
        case ChargeFlagged():
            return speech.say("charge-flagged", code=_code(facts), **_charge(facts, speech))
        case CodeCameLate():
            return speech.say("code-came-late", code=_code(facts), **_charge(facts, speech))
        case ChargeNews():
            return "\n".join([news(facts, speech), speech.say("charge-about", **_charge(facts, speech))])
        case RefundOverdrawn():
            credits = speech.say("credits", credits=facts.balance)
            return speech.say("refund-overdrawn", user=str(facts.telegram_id), credits=credits)
        case CreditsAdjusted():
            return _adjusted(notification, facts, speech)
        case ClaimDeclined():
            return speech.say("claim-declined")
        case ClaimLookedUp():
            return speech.say("claim-looked-up", amount=_paid(facts, speech))
        case ClaimRaised():
            return speech.say("claim-raised", user=str(facts.telegram_id))
        case EventRetried():
            became = speech.word("became", facts.outcome)
            return speech.say("event-retried", number=str(facts.event_no), became=became)
        case SignatureFailures():
            return speech.say("signature-failures", count=facts.count)
        case EventNews():
            return speech.say(facts.kind.replace("_", "-"), type=facts.type or speech.say("type-none"))
        case _:
            raise ValueError(f"no text for {facts.kind}")


def _credited(notification: Notification, facts: PaymentCredited, speech: Speech, rates: Rates) -> str:
    return speech.say(
        "payment-credited",
        amount=_paid(facts, speech),
        credits=facts.credits,
        rate=_rate(facts, speech, rates),
        balance=speech.new_balance(notification.balance),
    )


def _adjusted(notification: Notification, facts: CreditsAdjusted, speech: Speech) -> str:
    added = facts.credits
    values = {"credits": speech.say("credits", credits=abs(added)), "balance": speech.new_balance(notification.balance)}
    if facts.cause in (AdjustmentCause.MATCH_UNDONE, AdjustmentCause.REFUND_CORRECTED):
        return speech.say(facts.cause.replace("_", "-"), **values)
    return speech.say("credits-adjusted", sign="plus" if added > 0 else "minus", **values)


def _remarks(facts: PaymentCredited, speech: Speech) -> list[str]:
    """Return a line for each unusual fact about the payment."""
    remarks = []
    picked = facts.picked_amount, facts.picked_currency
    if facts.picked_amount is not None and picked != (facts.amount, facts.currency):
        remarks.append(speech.say("credited-differs", picked=_money(*picked, speech)))
    if facts.method == Method.AMOUNT_AND_TIME:
        remarks.append(speech.say("credited-guessed"))
    if facts.method == Method.CORRECTED_CODE:
        remarks.append(speech.say("credited-corrected"))
    if facts.flag == Flag.LATE:
        remarks.append(speech.say("credited-late"))
    if facts.flag == Flag.SECOND_CHARGE:
        remarks.append(speech.say("credited-second"))
    return remarks


def _rate(facts: PaymentCredited, speech: Speech, rates: Rates) -> str:
    """
    Return a text that tells the rate of the payment's currency.

    Return an empty text if the amount and the credits of the payment already show the rate. For example, if $1 brought 100
    credits, the text "$1 = 100 credits" would be a repetition. Also return an empty text if the rate was changed or removed
    since the payment.
    """
    per_unit = rates.per_unit.get(facts.currency)
    if per_unit is None or rates.credits_for(facts.amount, facts.currency) != facts.credits:
        return ""
    is_stated = per_unit.as_integer_ratio()[1] == facts.amount
    return "" if is_stated else f" ({speech.rate(per_unit, facts.currency)})"


def _charge(facts: ChargeNews, speech: Speech) -> dict[str, str]:
    return {
        "amount": _paid(facts, speech),
        "family": speech.word("desk-family", facts.family),
        "time": speech.time(facts.paid_at),
        "charge": facts.charge_key,
    }


def _paid(
    facts: PaymentCredited | PaymentRefunded | PaymentExpired | PaymentUnderReview | ClaimLookedUp | ChargeNews,
    speech: Speech,
) -> str:
    return _money(facts.amount, facts.currency, speech)


def _money(amount: Decimal | None, currency: str | None, speech: Speech) -> str:
    return "—" if amount is None else speech.money(amount, str(currency))


def _code(facts: ChargeNews) -> str:
    return "—" if facts.code is None else show_code(facts.code)
