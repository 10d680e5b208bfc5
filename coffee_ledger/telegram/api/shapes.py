"""Pure functions that build the JSON for the Mini App. Amounts are strings, and times are in ISO 8601."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from coffee_ledger.codes import show_code
from coffee_ledger.model import PendingPayment, Rates
from coffee_ledger.store.app_state import AppState, Paid, ShownPayment
from coffee_ledger.store.pending_payments import HistoryEntry
from coffee_ledger.telegram.amounts import LEAST, MOST
from coffee_ledger.telegram.context import Context

Json = Mapping[str, Any]


def show_offer(context: Context, *, bot: str | None) -> Json:
    """Describe the amounts and rates that the bot offers. *bot* is the bot's username, or None if Telegram did not answer."""
    return {
        "bot": bot,
        "bot_url": bot and f"https://t.me/{bot}",
        "page_url": context.page_url,
        "currency": context.currency,
        "currencies": {currency: _plain(rate) for currency, rate in context.rates.per_unit.items()},
        "amount_least": _plain(LEAST),
        "amount_most": _plain(MOST),
        "tiles": [_tile(amount, context.currency, context.rates) for amount in context.amounts],
    }


def show_state(state: AppState, context: Context) -> Json:
    return {
        "language": state.language,
        "balance": state.balance,
        "payments": [show_payment(shown, context) for shown in state.payments],
        "history": [_entry(entry) for entry in state.history],
    }


def show_payment(shown: ShownPayment, context: Context) -> Json:
    payment = shown.payment
    return {
        "payment_id": payment.payment_id,
        "code": show_code(payment.payment_id),
        "amount": _plain(payment.amount),
        "currency": payment.currency,
        "credits": _credits(payment, context.rates),
        "status": payment.status,
        "created_at": _time(payment.created_at),
        "expires_at": _time(payment.created_at + context.pending_ttl),
        "page_url": context.page_url,
        "paid": shown.paid and _paid(shown.paid),
    }


def _tile(amount: Decimal, currency: str, rates: Rates) -> Json:
    return {"amount": _plain(amount), "currency": currency, "credits": rates.credits_for(amount, currency)}


def _credits(payment: PendingPayment, rates: Rates) -> int:
    # Show 0 credits if the operator has removed the rate of the currency since the payment was opened.
    return rates.credits_for(payment.amount, payment.currency) or 0


def _paid(paid: Paid) -> Json:
    return {"amount": _plain(paid.amount), "currency": paid.currency, "credits": paid.credits, "at": _time(paid.at)}


def _entry(entry: HistoryEntry) -> Json:
    return {
        "change": entry.change,
        "credits": entry.credits,
        "amount": None if entry.amount is None else _plain(entry.amount),
        "currency": entry.currency,
        "cause": entry.cause,
        "at": _time(entry.created_at),
    }


def _plain(amount: Decimal) -> str:
    """Write an amount without trailing zeros and without an exponent: `5`, `7.5`, `1000`, never `1E+3`."""
    return f"{amount.normalize():f}"


def _time(time: datetime) -> str:
    return time.isoformat()
