"""Put what is owed into words: pure functions from a notification to its text and buttons."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, assert_never

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from coffee_ledger.codes import show_code
from coffee_ledger.matching import Flag
from coffee_ledger.model import Method, NotificationKind, PaymentId, Rates
from coffee_ledger.store.lookup import ChargeFile, ClaimFile
from coffee_ledger.store.outbox import Notification, Waiting
from coffee_ledger.telegram.desk.buttons import OnCharge, Step, button, rows
from coffee_ledger.telegram.desk.cards import claim_card, reason_line
from coffee_ledger.telegram.desk.news import ABOUT_ONE_CHARGE, SILENT, news, news_card
from coffee_ledger.telegram.desk.summary import summary_text
from coffee_ledger.telegram.keyboards import NotMine
from coffee_ledger.telegram.speech import Speech

NO_RATES = Rates({})
TOLD_OF_A_CHARGE = (NotificationKind.CHARGE_FLAGGED, NotificationKind.CODE_CAME_LATE)
REASONS_MAX = 12
"""Telegram takes 4,096 characters; a charge with more candidates than this is told by its first ones."""


@dataclass(frozen=True)
class Announcement:
    """A message in Telegram's HTML, with its buttons."""

    text: str
    keyboard: InlineKeyboardMarkup | None = None
    is_silent: bool = False
    """Sent without a sound."""


def announce(
    notification: Notification,
    speech: Speech,
    subject: ChargeFile | ClaimFile | Waiting | None = None,
    *,
    rates: Rates = NO_RATES,
) -> Announcement:
    """
    Put a notification into words.

    *subject* is the charge or the claim that it is about, where operators decide one; without it only the facts are told. A summary
    needs its numbers.
    """
    kind, is_silent = notification.kind, notification.kind in SILENT
    if isinstance(subject, Waiting):
        return Announcement(summary_text(subject, speech))
    if isinstance(subject, ChargeFile) and kind in ABOUT_ONE_CHARGE:
        card = news_card(kind, notification.facts, subject, speech)
        return Announcement(card.text, card.keyboard, is_silent)
    if isinstance(subject, ClaimFile) and kind is NotificationKind.CLAIM_RAISED:
        card = claim_card(subject, rates, speech)
        return Announcement(card.text, card.keyboard)
    return Announcement(_text(notification, speech, rates), _keys(notification, speech), is_silent)


def _keys(notification: Notification, speech: Speech) -> InlineKeyboardMarkup | None:
    """Let operators open the charge of which they are told, and users say that a guess is wrong."""
    if notification.charge_id is None:
        return None
    if _is_guess(notification):
        pressed = NotMine(charge_id=notification.charge_id).pack()
        return rows([InlineKeyboardButton(text=speech.label("not-mine-button"), callback_data=pressed)])
    if notification.kind not in TOLD_OF_A_CHARGE:
        return None
    amount = _paid(notification.facts, speech)
    text = speech.label("desk-open-button", number=str(notification.charge_id), amount=amount)
    return rows([button(text, OnCharge(step=Step.OPEN, charge_id=notification.charge_id))])


def _text(notification: Notification, speech: Speech, rates: Rates) -> str:  # noqa: C901 — one line a kind
    facts = notification.facts
    match notification.kind:
        case NotificationKind.PAYMENT_CREDITED:
            return "\n".join([_credited(notification, speech, rates), *_remarks(facts, speech)])
        case NotificationKind.PAYMENT_REFUNDED:
            text = "payment-refunded-in-part" if facts.get("is_part") else "payment-refunded"
            return speech.say(text, amount=_paid(facts, speech), balance=_balance(notification, speech))
        case NotificationKind.PAYMENT_UNDER_REVIEW:
            is_amount_known = facts["amount"] is not None
            text = "payment-under-review" if is_amount_known else "payment-under-review-bare"
            return speech.say(text, amount=_paid(facts, speech))
        case NotificationKind.PAYMENT_EXPIRED:
            return speech.say("payment-expired", amount=_paid(facts, speech), code=_code(facts))
        case NotificationKind.CHARGE_UNMATCHED:
            head = speech.say("charge-unmatched", **_charge(facts, speech))
            return "\n".join([head, *(reason_line(reason, speech) for reason in notification.reasons[:REASONS_MAX])])
        case (
            NotificationKind.CHARGE_GUESSED
            | NotificationKind.CHARGE_REFUNDED
            | NotificationKind.CHARGE_CONTRADICTED
            | NotificationKind.REFUND_UNKNOWN
            | NotificationKind.GUESS_DISOWNED
        ):
            told = news(notification.kind, facts, speech)
            return "\n".join([told, speech.say("charge-about", **_charge(facts, speech))])
        case NotificationKind.CHARGE_FLAGGED:
            return speech.say("charge-flagged", code=_code(facts), **_charge(facts, speech))
        case NotificationKind.CODE_CAME_LATE:
            return speech.say("code-came-late", code=_code(facts), **_charge(facts, speech))
        case NotificationKind.REFUND_OVERDRAWN:
            credits = speech.say("credits", credits=int(facts["balance"]))
            return speech.say("refund-overdrawn", user=str(facts["telegram_id"]), credits=credits)
        case NotificationKind.CREDITS_ADJUSTED:
            return _adjusted(notification, speech)
        case NotificationKind.CLAIM_DECLINED:
            return speech.say("claim-declined")
        case NotificationKind.CLAIM_RAISED:
            return speech.say("claim-raised", user=str(facts["telegram_id"]))
        case NotificationKind.EVENT_SETTLED_AGAIN:
            became = speech.word("became", facts["outcome"])
            return speech.say("event-settled-again", number=str(facts["event_no"]), became=became)
        case NotificationKind.SIGNATURE_FAILURES:
            return speech.say("signature-failures", count=int(facts["count"]))
        case (
            NotificationKind.TEST_EVENT
            | NotificationKind.EVENT_UNREADABLE
            | NotificationKind.EVENT_UNKNOWN
            | NotificationKind.LEGACY_WEBHOOK
        ):
            text = notification.kind.value.replace("_", "-")
            return speech.say(text, type=facts.get("type") or speech.say("type-none"))
        case NotificationKind.WAITING_SUMMARY:
            raise ValueError("a summary without its numbers")
        case _ as unhandled:
            assert_never(unhandled)


def _is_guess(notification: Notification) -> bool:
    is_credited = notification.kind is NotificationKind.PAYMENT_CREDITED
    return is_credited and notification.facts.get("method") == Method.AMOUNT_AND_TIME


def _credited(notification: Notification, speech: Speech, rates: Rates) -> str:
    facts = notification.facts
    return speech.say(
        "payment-credited",
        amount=_paid(facts, speech),
        credits=int(facts["credits"]),
        rate=_rate(facts, speech, rates),
        balance=_balance(notification, speech),
    )


def _adjusted(notification: Notification, speech: Speech) -> str:
    added = int(notification.facts["credits"])
    values = {"credits": speech.say("credits", credits=abs(added)), "balance": _balance(notification, speech)}
    if notification.facts["cause"] in ("match_undone", "refund_corrected"):
        return speech.say(notification.facts["cause"].replace("_", "-"), **values)
    return speech.say("credits-adjusted", sign="plus" if added > 0 else "minus", **values)


def _remarks(facts: Mapping[str, Any], speech: Speech) -> list[str]:
    """Say what was unusual about it."""
    remarks = []
    if facts.get("picked_amount") and _differs(facts):
        remarks.append(speech.say("credited-differs", picked=_money(facts, "picked_", speech)))
    if facts.get("method") == Method.AMOUNT_AND_TIME:
        remarks.append(speech.say("credited-guessed"))
    if facts.get("method") == Method.CORRECTED_CODE:
        remarks.append(speech.say("credited-corrected"))
    if facts.get("flag") == Flag.LATE:
        remarks.append(speech.say("credited-late"))
    if facts.get("flag") == Flag.SECOND_CHARGE:
        remarks.append(speech.say("credited-second"))
    return remarks


def _rate(facts: Mapping[str, Any], speech: Speech, rates: Rates) -> str:
    """Say at which rate it was credited; nothing where the sum says as much, or the rate is another one by now."""
    amount, currency, credits = Decimal(facts["amount"]), str(facts["currency"]), int(facts["credits"])
    per_unit = rates.per_unit.get(currency)
    if per_unit is None or rates.credits_for(amount, currency) != credits:
        return ""
    is_said = per_unit.as_integer_ratio()[1] == amount
    return "" if is_said else f" ({speech.rate(per_unit, currency)})"


def _differs(facts: Mapping[str, Any]) -> bool:
    same_amount = Decimal(facts["picked_amount"]) == Decimal(facts["amount"])
    return not same_amount or facts["picked_currency"] != facts["currency"]


def _charge(facts: Mapping[str, Any], speech: Speech) -> dict[str, str]:
    return {
        "amount": _paid(facts, speech),
        "family": speech.word("desk-family", facts["family"]),
        "time": speech.time(datetime.fromtimestamp(int(facts["paid_at"]), UTC)),
        "charge": str(facts["charge_key"]),
    }


def _paid(facts: Mapping[str, Any], speech: Speech) -> str:
    return _money(facts, "", speech)


def _money(facts: Mapping[str, Any], prefix: str, speech: Speech) -> str:
    amount = facts.get(f"{prefix}amount")
    return speech.money(Decimal(amount), str(facts[f"{prefix}currency"])) if amount is not None else "—"


def _code(facts: Mapping[str, Any]) -> str:
    return show_code(PaymentId(facts["code"])) if facts.get("code") else "—"


def _balance(notification: Notification, speech: Speech) -> str:
    return speech.say("credits", credits=notification.balance)
