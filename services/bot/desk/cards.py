"""Charges and claims as operators see them: pure functions to a text and its buttons, whatever their state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from types import MappingProxyType
from typing import Any

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from ledger.claiming import names_agree, names_alike
from ledger.codes import show_code
from ledger.model import ChargeState, PaymentId, PendingPayment, Rates, TelegramId
from ledger.store.desk import Action
from ledger.store.lookup import ChargeFile, ClaimFile, Decision, KnownUser, ShownCharge
from services.bot.desk.buttons import OnCharge, OnClaim, Step, button, column, rows
from services.bot.speech import Speech

NOTE_LENGTH_MAX = 400
"""Escaped, a sign becomes six at most, and Fluent puts no value of more than 2,500 into a text."""

REASONS_MAX = 12
CANDIDATES_MAX = 6
NAME_LENGTH_MAX = 60
LINES_LENGTH_MAX = 3500
"""Telegram takes 4096 signs, and the first and the last line need some. Source: https://core.telegram.org/bots/api#sendmessage."""

NOBODY: Mapping[TelegramId, KnownUser] = MappingProxyType({})


@dataclass(frozen=True)
class Card:
    text: str
    keyboard: InlineKeyboardMarkup | None = None


@dataclass(frozen=True)
class Candidate:
    """Whom a rule considered: a user, by a payment of theirs or by being known."""

    telegram_id: TelegramId
    payment: PendingPayment | None


def charge_card(file: ChargeFile, speech: Speech) -> Card:
    charge = file.charge
    if charge.waits:
        text = "\n".join([speech.say("desk-charge-waits"), *describe(charge, speech), *_reasons(file, speech)])
        return Card(text, _keys_of_waiting(file, speech))
    head = [speech.say("desk-charge"), *describe(charge, speech), "", decided(file, speech)]
    can_undo = charge.state in (ChargeState.MATCHED, ChargeState.DISMISSED)
    undo = button(speech.label("desk-undo-button"), OnCharge(step=Step.UNDO, charge_id=charge.charge_id))
    return Card("\n".join(head), rows([undo]) if can_undo else None)


def describe(charge: ShownCharge, speech: Speech) -> list[str]:
    """Say what was paid, when and by whom, and the note."""
    lines = [
        speech.say(
            "desk-charge-what",
            amount=money(charge, speech),
            family=speech.label(f"desk-family-{charge.family}"),
            time=speech.time(charge.paid_at),
            number=str(charge.charge_id),
        ),
        speech.say("desk-charge-key", charge=short(charge.charge_key, 80)),
    ]
    if charge.supporter_name:
        lines.append(speech.say("desk-charge-from", name=short(charge.supporter_name, NAME_LENGTH_MAX)))
    note = (charge.note or "").strip()
    lines.append(
        speech.say("desk-charge-note", note=short(note, NOTE_LENGTH_MAX)) if note else speech.say("desk-charge-no-note")
    )
    return lines


def decided(file: ChargeFile, speech: Speech) -> str:
    """Say what became of a charge, and by whose word."""
    charge, lines = file.charge, []
    match charge.state:
        case ChargeState.MATCHED | ChargeState.REFUNDED if charge.telegram_id is not None:
            lines.append(
                speech.say(
                    f"desk-{charge.state}-to",
                    user=name_of(charge.telegram_id, file.users),
                    credits=speech.say("credits", credits=charge.credits),
                    rule=speech.say(f"rule-{charge.method}"),
                )
            )
        case ChargeState.UNMATCHED | ChargeState.DISMISSED | ChargeState.REFUNDED | ChargeState.MATCHED:
            lines.append(speech.say(f"desk-state-{charge.state}"))
    if charge.flag:
        lines.append(speech.say(f"desk-flag-{charge.flag}"))
    return "\n".join([*lines, *_decisions(file, speech)])


def _decisions(file: ChargeFile, speech: Speech) -> list[str]:
    return [decision_line(decision, file.users, speech) for decision in file.decisions]


def decision_line(decision: Decision, users: Mapping[TelegramId, KnownUser], speech: Speech) -> str:
    return speech.say(
        "desk-decided-by",
        operator=name_of(decision.operator_id, users),
        action=_action_name(decision.action, speech),
        time=speech.time(decision.at),
        reason=short(decision.reason, NOTE_LENGTH_MAX),
    )


def candidates(file: ChargeFile) -> list[Candidate]:
    """Who may be meant, each once, in the order of the rules."""
    found: dict[tuple[TelegramId, PaymentId | None], Candidate] = {}
    for reason in file.charge.reasons:
        payment = file.payments.get(reason.get("payment_id") or PaymentId(""))
        user = payment.telegram_id if payment else reason.get("telegram_id")
        if user is not None:
            found.setdefault((user, payment.payment_id if payment else None), Candidate(user, payment))
    with_payment = {user for user, payment_id in found if payment_id is not None}
    # Somebody who is known as well as having a payment is one candidate, not two.
    return [one for (user, payment_id), one in found.items() if payment_id is not None or user not in with_payment]


def confirm_card(
    charge: ShownCharge,
    user: KnownUser,
    payment: PendingPayment | None,
    speech: Speech,
    *,
    credits: int,
    back: CallbackData,
) -> Card:
    """Ask whether to credit this user, with what would happen."""
    lines = [
        speech.say("desk-confirm-match", amount=money(charge, speech), number=str(charge.charge_id)),
        speech.say(
            "desk-confirm-user",
            user=name_of(user.telegram_id, {user.telegram_id: user}),
            since=speech.time(user.created_at),
        ),
        speech.say(
            "desk-confirm-balance",
            credits=speech.say("credits", credits=credits),
            before=str(user.balance),
            after=str(user.balance + credits),
        ),
    ]
    if payment is not None:
        lines.insert(2, _payment_line(payment, speech))
    yes = OnCharge(
        step=Step.MATCH,
        charge_id=charge.charge_id,
        telegram_id=0 if payment else user.telegram_id,
        payment_id=payment.payment_id if payment else "",
    )
    return Card(
        "\n".join(lines),
        rows(
            [button(speech.label("desk-confirm-yes", credits=credits), yes, style="success")],
            [button(speech.label("desk-back"), back)],
        ),
    )


def claim_card(file: ClaimFile, rates: Rates, speech: Speech) -> Card:
    claim = file.claim
    lines = [
        speech.say(
            "desk-claim",
            user=name_of(claim.telegram_id, file.users),
            amount=speech.money(claim.amount, claim.currency),
            day=speech.day(claim.paid_on),
        ),
        speech.say("desk-claim-name", name=claim.name) if claim.name else speech.say("desk-claim-no-name"),
        speech.say("desk-claim-raised", time=speech.time(claim.created_at)),
        *_declined_before(file, speech),
        "",
    ]
    if claim.status != "open":
        by = name_of(claim.decided_by, file.users) if claim.decided_by is not None else ""
        lines.append(speech.say(f"desk-claim-{claim.status}", operator=by, charge=str(claim.charge_id or 0)))
        return Card("\n".join(lines))
    lines.append(speech.say("desk-claim-candidates" if file.charges else "desk-claim-no-candidates"))
    lines += [_fit_line(file, charge, speech) for charge in file.charges]
    if file.guessed:
        lines += [speech.say("desk-claim-guessed"), *(_guess_line(file, charge, speech) for charge in file.guessed)]
    keys = [_claim_key(file, charge, rates, speech) for charge in file.charges]
    decline = button(
        speech.label("desk-decline-button"), OnClaim(step=Step.DECLINE, claim_id=claim.claim_id), style="danger"
    )
    return Card("\n".join(lines), rows(*column(keys), [decline]))


def _declined_before(file: ClaimFile, speech: Speech) -> list[str]:
    if not file.declined_at:
        return []
    count, last = len(file.declined_at), speech.day(file.declined_at[-1].date())
    return [speech.say("desk-claim-declined-before", count=count, day=last)]


def fits_exactly(file: ClaimFile, charge: ShownCharge) -> bool:
    """
    Tell whether one tap may credit the charge.

    Amount and day must be as claimed, the told name must be the supporter's, and no second charge may fit as well. Otherwise
    the button asks once more. A claim without a name is always asked about: amounts and days are easy to guess.
    """
    fitting = [one for one in file.charges if _is_as_told(file, one)]
    return fitting == [charge]


def name_of(telegram_id: TelegramId, users: Mapping[TelegramId, KnownUser]) -> str:
    known = users.get(telegram_id)
    return f"@{known.username} ({telegram_id})" if known and known.username else str(telegram_id)


def money(charge: ShownCharge, speech: Speech) -> str:
    return speech.money(charge.amount, charge.currency) if charge.amount is not None else "—"


def _reasons(file: ChargeFile, speech: Speech) -> list[str]:
    held = [speech.say("desk-charge-held")] if file.charge.is_held else []
    told = [reason_line(reason, speech, file.users) for reason in islice(file.charge.reasons, REASONS_MAX)]
    left = len(file.charge.reasons) - REASONS_MAX
    more = [speech.say("desk-more", count=left)] if left > 0 else []
    return [*held, *_decisions(file, speech), speech.say("desk-charge-why"), *told, *more]


def reason_line(reason: Mapping[str, Any], speech: Speech, users: Mapping[TelegramId, KnownUser] = NOBODY) -> str:
    rule, why = speech.say(f"rule-{reason['rule']}"), speech.say(f"why-{reason['why']}")
    if reason.get("telegram_id") is None:
        return speech.say("reason", rule=rule, why=why)
    code = show_code(PaymentId(reason["payment_id"])) if reason.get("payment_id") else "—"
    return speech.say("reason-of", rule=rule, why=why, user=name_of(reason["telegram_id"], users), code=code)


def _keys_of_waiting(file: ChargeFile, speech: Speech) -> InlineKeyboardMarkup:
    charge_id = file.charge.charge_id
    picks = [_pick_key(file, one, speech) for one in candidates(file)[:CANDIDATES_MAX]]
    find = button(speech.label("desk-find-button"), OnCharge(step=Step.FIND, charge_id=charge_id))
    dismiss = button(speech.label("desk-dismiss-button"), OnCharge(step=Step.DISMISS, charge_id=charge_id))
    later = button(speech.label("desk-later-button"), OnCharge(step=Step.LATER, charge_id=charge_id))
    return rows(*column(picks), [find], [dismiss, later])


def _pick_key(file: ChargeFile, candidate: Candidate, speech: Speech) -> InlineKeyboardButton:
    payment = candidate.payment
    data = OnCharge(
        step=Step.PICK,
        charge_id=file.charge.charge_id,
        telegram_id=0 if payment else candidate.telegram_id,
        payment_id=payment.payment_id if payment else "",
    )
    user = file.users.get(candidate.telegram_id)
    name = f"@{user.username}" if user and user.username else str(candidate.telegram_id)
    if payment is None:
        return button(speech.label("desk-pick-user", user=name), data)
    amount = speech.money(payment.amount, payment.currency)
    return button(speech.label("desk-pick-payment", user=name, code=show_code(payment.payment_id), amount=amount), data)


def _action_name(action: str, speech: Speech) -> str:
    """Name what an operator did; what was done at a prompt stands in the words that were chosen there."""
    return speech.say(f"desk-action-{action}") if action in set(Action) else action


def _payment_line(payment: PendingPayment, speech: Speech) -> str:
    return speech.say(
        "desk-confirm-payment",
        code=show_code(payment.payment_id),
        amount=speech.money(payment.amount, payment.currency),
        status=speech.say(f"desk-status-{payment.status}"),
    )


def _fit_line(file: ClaimFile, charge: ShownCharge, speech: Speech) -> str:
    claim = file.claim
    fits = [
        _sign("desk-fit-amount", speech, is_fit=(charge.amount, charge.currency) == (claim.amount, claim.currency)),
        _sign("desk-fit-day", speech, is_fit=charge.paid_at.date() == claim.paid_on),
    ]
    if claim.name:
        fits.append(_name_sign(claim.name, charge.supporter_name, speech))
    return speech.say(
        "desk-claim-charge",
        number=str(charge.charge_id),
        amount=money(charge, speech),
        time=speech.time(charge.paid_at),
        name=short(charge.supporter_name or "—", NAME_LENGTH_MAX),
        fits=", ".join(fits),
    )


def _guess_line(file: ClaimFile, charge: ShownCharge, speech: Speech) -> str:
    assert charge.telegram_id is not None
    return speech.say(
        "desk-claim-guess",
        number=str(charge.charge_id),
        amount=money(charge, speech),
        time=speech.time(charge.paid_at),
        user=name_of(charge.telegram_id, file.users),
        rule=speech.say(f"rule-{charge.method}"),
    )


def _sign(text: str, speech: Speech, *, is_fit: bool) -> str:
    return ("✓ " if is_fit else "✗ ") + speech.say(text)


def _name_sign(told: str, known: str | None, speech: Speech) -> str:
    """Show whether the names agree; a name that is only similar gets a mark of its own."""
    if names_alike(told, known) and not names_agree(told, known):
        return "≈ " + speech.say("desk-fit-name")
    return _sign("desk-fit-name", speech, is_fit=names_agree(told, known))


def _is_as_told(file: ClaimFile, charge: ShownCharge) -> bool:
    claim = file.claim
    is_paid = (charge.amount, charge.currency) == (claim.amount, claim.currency)
    return is_paid and charge.paid_at.date() == claim.paid_on and names_agree(claim.name, charge.supporter_name)


def _claim_key(file: ClaimFile, charge: ShownCharge, rates: Rates, speech: Speech) -> InlineKeyboardButton:
    exact = fits_exactly(file, charge)
    user = file.users.get(file.claim.telegram_id)
    name = f"@{user.username}" if user and user.username else str(file.claim.telegram_id)
    credits = rates.credits_for(charge.amount or Decimal(0), charge.currency) or 0
    text = speech.label(
        "desk-claim-credit" if exact else "desk-claim-pick", number=str(charge.charge_id), user=name, credits=credits
    )
    step = Step.MATCH if exact else Step.PICK
    data = OnClaim(step=step, claim_id=file.claim.claim_id, charge_id=charge.charge_id)
    return button(text, data, style="success" if exact else None)


def as_many_as_fit(lines: Iterable[str]) -> list[str]:
    """Take lines as long as Telegram takes the message."""
    fitting: list[str] = []
    length = 0
    for line in lines:
        length += len(line) + 1
        if length > LINES_LENGTH_MAX:
            break
        fitting.append(line)
    return fitting


def short(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else text[: length_max - 1] + "…"
