"""Pure functions that build cards. A card is a message with buttons that shows a charge or a claim to an operator."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from coffee_ledger.charges import OutsiderKind, Reason, Rejection
from coffee_ledger.claiming import names_agree, names_alike
from coffee_ledger.codes import show_code
from coffee_ledger.model import ChargeState, Doubt, Family, Method, PaymentId, PendingPayment, Rates, TelegramId
from coffee_ledger.store.lookup import ChargeFile, ClaimFile, Decision, KnownUser, ShownCharge
from coffee_ledger.telegram.desk.buttons import DismissAs, OnCharge, OnClaim, Preset, Step, button, column, rows
from coffee_ledger.telegram.speech import Speech
from coffee_ledger.triage import decisive_first

NOTE_LENGTH_MAX = 400
"""
The maximum length of a note on a card, in characters. Longer notes are cut off.

Fluent, the translation library, refuses values of more than 2,500 characters. HTML escaping may replace one character by six, so
400 characters become at most 2,400.
"""

REASONS_MAX = 12
CANDIDATES_MAX = 6
NAME_LENGTH_MAX = 60
LINES_LENGTH_MAX = 3500
"""
The maximum total length of the listed lines in a message, in characters.

Telegram allows 4,096 characters in a message. The lines before and after the list need the rest.

Source: https://core.telegram.org/bots/api#sendmessage.
"""

NO_USERS: Mapping[TelegramId, KnownUser] = MappingProxyType({})


@dataclass(frozen=True)
class Card:
    text: str
    keyboard: InlineKeyboardMarkup | None = None


@dataclass(frozen=True)
class Candidate:
    """A user to whom the charge may belong. *payment* is None if no pending payment of the user was found for the charge."""

    telegram_id: TelegramId
    payment: PendingPayment | None
    is_mentioned: bool = False
    """True if the user is a candidate only because of a mention in the supporter's text."""


def charge_card(file: ChargeFile, speech: Speech, *, news: str | None = None) -> Card:
    """Build the card of a charge. If *news* is given, it replaces the usual first line."""
    charge = file.charge
    if charge.waits:
        head = news or speech.say("desk-charge-waits")
        lines = [
            head,
            *_later(file, speech),
            *describe(file, speech),
            *_must_decide(charge, speech),
            *_reasons(file, speech),
        ]
        return Card("\n".join([*lines, _about_presets(charge, speech)]), _keys_of_waiting(file, speech))
    lines = [news or speech.say("desk-charge"), *describe(file, speech), "", decided(file, speech)]
    return Card("\n".join(lines), _keys_of_decided(charge, speech))


def describe(file: ChargeFile, speech: Speech) -> list[str]:
    """
    Describe the charge, one fact per line.

    The facts are the amount, the time, the item, the supporter, the note, the refunds, and the doubt that prevents an automatic
    match.
    """
    charge = file.charge
    lines = [
        speech.say(
            "desk-charge-what",
            amount=money(charge, speech),
            family=speech.word("desk-family", charge.family),
            time=speech.time(charge.paid_at),
            number=str(charge.charge_id),
        ),
        speech.say("desk-charge-key", charge=short(charge.charge_key, 80)),
    ]
    if charge.item_name:
        kind, item = item_of(charge)
        lines.append(speech.say(f"desk-charge-{kind}", item=item))
    if charge.supporter_name:
        lines.append(speech.say("desk-charge-from", name=short(charge.supporter_name, NAME_LENGTH_MAX)))
    note = (charge.note or "").strip()
    lines.append(
        speech.say("desk-charge-note", note=short(note, NOTE_LENGTH_MAX)) if note else speech.say("desk-charge-no-note")
    )
    if charge.refunded_amount is not None:
        amount = speech.money(charge.refunded_amount, charge.currency)
        lines.append(speech.say("desk-charge-part-refunded", amount=amount))
    if charge.doubt is not None:
        lines.append(_doubt_line(file, charge.doubt, speech))
    return lines


def item_of(charge: ShownCharge) -> tuple[str, str]:
    """Return the kind and the name of the bought item. The kind is `level` for a membership level, and `item` otherwise."""
    name = short(charge.item_name or charge.item or "—", NAME_LENGTH_MAX)
    return ("level" if charge.family == Family.MEMBERSHIP else "item"), name


def _doubt_line(file: ChargeFile, doubt: str, speech: Speech) -> str:
    charge = file.charge
    told = short(charge.told or "—", NAME_LENGTH_MAX)
    other = short(charge.conflicts_with or told, 80)
    if file.other is not None:
        other = speech.label("desk-number", number=str(file.other.charge_id))
    # The doubt is unknown if a newer version stored it before a rollback. In this case, show its stored name.
    text = f"desk-doubt-{doubt}" if doubt in set(Doubt) else "desk-doubt-unknown"
    return speech.say(text, told=told, other=other, doubt=doubt)


def _later(file: ChargeFile, speech: Speech) -> list[str]:
    return [speech.say("desk-charge-later", time=speech.time(file.reminder_at))] if file.reminder_at else []


def _must_decide(charge: ShownCharge, speech: Speech) -> list[str]:
    if charge.amount is None:
        return [speech.say("desk-charge-no-amount")]
    return [speech.say("desk-charge-only-a-person")] if charge.doubt is not None else []


def decided(file: ChargeFile, speech: Speech) -> str:
    """Describe the decision about a charge, and name the operator or the rule that decided."""
    charge, lines = file.charge, []
    match charge.state:
        case ChargeState.MATCHED | ChargeState.REFUNDED if charge.telegram_id is not None:
            lines.append(
                speech.say(
                    f"desk-{charge.state}-to",
                    user=name_of(charge.telegram_id, file.users),
                    credits=speech.say("credits", credits=charge.credits),
                    rule=speech.word("rule", charge.method or "—"),
                )
            )
        case ChargeState.DISMISSED if charge.dismissed_by is not None:
            lines.append(speech.say("desk-dismissed-by-memory"))
        case ChargeState.UNMATCHED | ChargeState.DISMISSED | ChargeState.REFUNDED | ChargeState.MATCHED:
            lines.append(speech.say(f"desk-state-{charge.state}"))
    if charge.state is ChargeState.MATCHED and charge.method == Method.AMOUNT_AND_TIME:
        lines.append(speech.say("desk-charge-guess"))
    if charge.flag:
        lines.append(speech.say("desk-charge-flag", flag=speech.word("desk-flag", charge.flag)))
    if charge.remembered is not None:
        lines += [remembered(charge, charge.remembered, speech), speech.say("desk-undo-ends-memory")]
    return "\n".join([*lines, *_decisions(file, speech)])


def remembered(charge: ShownCharge, kind: str, speech: Speech) -> str:
    """Say that other charges of this supporter, subscription or item (see *kind*) are dismissed if they have no valid code."""
    of_item, item = item_of(charge)
    return speech.say(f"desk-remembered-{of_item if kind == OutsiderKind.ITEM else kind}", item=item)


def _decisions(file: ChargeFile, speech: Speech) -> list[str]:
    return [decision_line(decision, file.users, speech) for decision in file.decisions]


def decision_line(decision: Decision, users: Mapping[TelegramId, KnownUser], speech: Speech) -> str:
    return speech.say(
        "desk-decided-by",
        operator=name_of(decision.operator_id, users),
        action=speech.word("desk-action", decision.action),
        time=speech.time(decision.at),
        reason=short(decision.reason, NOTE_LENGTH_MAX),
    )


def candidates(file: ChargeFile) -> list[Candidate]:
    """List the candidates of a charge without duplicates, in the order of the matching rules."""
    found: dict[tuple[TelegramId, PaymentId | None], Candidate] = {}
    for reason in file.charge.reasons:
        payment = file.payments.get(reason.payment_id) if reason.payment_id else None
        user = payment.telegram_id if payment else reason.telegram_id
        if user is not None:
            candidate = Candidate(user, payment, is_mentioned=reason.why == Rejection.MENTIONED)
            found.setdefault((user, payment.payment_id if payment else None), candidate)
    with_payment = {user for user, payment_id in found if payment_id is not None}
    # Two rules may have found the same user, one rule with a payment and the other without. Keep only the entry with the payment.
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
    """Build the card that asks whether to credit *user*. The card shows the user's balance before and after the credit."""
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
            before=speech.number(user.balance),
            after=speech.number(user.balance + credits),
        ),
    ]
    if payment is not None:
        lines.insert(2, _payment_line(payment, speech))
    # The button contains either the payment or the user. With both, the data could exceed Telegram's limit of 64 bytes.
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
    if file.dismissed:
        lines += [speech.say("desk-claim-dismissed-too"), *(_dismissed_line(one, speech) for one in file.dismissed)]
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
    Return whether an operator may match the charge with one tap, without a confirmation.

    The charge must have the claimed amount, day and supporter name, and no other charge may fit the claim. A claim without a name
    always needs a confirmation, because a stranger can easily guess an amount and a day.
    """
    fitting = [one for one in file.charges if _is_as_told(file, one)]
    return fitting == [charge]


def name_of(telegram_id: TelegramId, users: Mapping[TelegramId, KnownUser]) -> str:
    known = users.get(telegram_id)
    return f"@{known.username} ({telegram_id})" if known and known.username else str(telegram_id)


def handle_of(telegram_id: TelegramId, user: KnownUser | None) -> str:
    """Return a short name of the user for a button: the username, or the Telegram id if the user has no username."""
    return f"@{user.username}" if user and user.username else str(telegram_id)


def money(charge: ShownCharge, speech: Speech) -> str:
    return speech.money(charge.amount, charge.currency) if charge.amount is not None else "—"


def _reasons(file: ChargeFile, speech: Speech) -> list[str]:
    """Explain why the charge waits. Show the decisive reason first, and the other reasons in a quotation that a tap expands."""
    held = [speech.say("desk-charge-held")] if file.charge.is_held else []
    reasons = decisive_first(file.charge.reasons)
    first, *others = [reason_line(reason, speech, file.users) for reason in reasons[:REASONS_MAX]] or [""]
    left = len(reasons) - REASONS_MAX
    more = [speech.say("desk-more", count=left)] if left > 0 else []
    hidden = [collapsed([*others, *more])] if others else []
    return [*held, *_decisions(file, speech), speech.say("desk-charge-why"), *([first] if first else []), *hidden]


def collapsed(lines: Iterable[str]) -> str:
    """
    Put lines of Telegram's HTML into a quotation. Telegram shows its first three lines. A tap on the quotation shows all lines.

    Source: https://core.telegram.org/bots/api#html-style, read November 2026.
    """
    return "<blockquote expandable>" + "\n".join(lines) + "</blockquote>"


def _about_presets(charge: ShownCharge, speech: Speech) -> str:
    """Explain which charges, besides *charge*, the button *Just a supporter* dismisses."""
    kind = remembered_by_preset(charge)
    return speech.say(f"desk-presets-{kind}" if kind else "desk-presets-nothing")


def remembered_by_preset(charge: ShownCharge) -> OutsiderKind | None:
    """
    Return the property by which the button *Just a supporter* dismisses other charges: supporter or subscription.

    The button prefers the supporter, because one supporter may have several subscriptions. It uses the subscription only if the
    supporter is not known.

    Return None if the charge has neither a known supporter nor a subscription. The button then dismisses no other charges.
    """
    kinds = dict(charge.outsider_names())
    return next((one for one in (OutsiderKind.SUPPORTER, OutsiderKind.SUBSCRIPTION) if one in kinds), None)


def reason_line(reason: Reason, speech: Speech, users: Mapping[TelegramId, KnownUser] = NO_USERS) -> str:
    """
    Describe why a rule rejected a charge or a candidate.

    A newer version may have stored a value that this version does not know. Such a value is shown as it is stored.
    """
    rule, why = reason_words(reason, speech)
    if reason.telegram_id is None:
        return speech.say("reason", rule=rule, why=why)
    user = name_of(reason.telegram_id, users)
    if reason.payment_id is None:
        # Use a different text for a user who was only mentioned in the supporter's text: a mention is a hint and never leads to a
        # match.
        is_mentioned = reason.why == Rejection.MENTIONED
        return speech.say("reason-mentioned" if is_mentioned else "reason-of-user", rule=rule, why=why, user=user)
    return speech.say("reason-of", rule=rule, why=why, user=user, code=show_code(reason.payment_id))


def reason_words(reason: Reason, speech: Speech) -> tuple[str, str]:
    """Return the names of the rule and the cause in a stored reason, as plain text without HTML."""
    return speech.word("rule", reason.rule or "—"), speech.word("why", reason.why or "—")


def _keys_of_waiting(file: ChargeFile, speech: Speech) -> InlineKeyboardMarkup:
    charge_id = file.charge.charge_id
    presets = [
        button(speech.label(f"desk-preset-{one.name.lower()}"), DismissAs(charge_id=charge_id, preset=one))
        for one in Preset
    ]
    other = button(speech.label("desk-dismiss-button"), OnCharge(step=Step.DISMISS, charge_id=charge_id))
    later = button(speech.label("desk-later-button"), OnCharge(step=Step.LATER, charge_id=charge_id))
    if file.charge.amount is None:
        # Offer no match, because a charge without an amount cannot be matched.
        return rows(presets, [other, later])
    picks = [_pick_key(file, one, speech) for one in candidates(file)[:CANDIDATES_MAX]]
    find = button(speech.label("desk-find-button"), OnCharge(step=Step.FIND, charge_id=charge_id))
    return rows(*column(picks), [find], presets, [other, later])


def _keys_of_decided(charge: ShownCharge, speech: Speech) -> InlineKeyboardMarkup | None:
    part = OnCharge(step=Step.REFUND_PART, charge_id=charge.charge_id)
    has_part = charge.is_paid and charge.amount is not None and charge.state is not ChargeState.DISMISSED
    text = "desk-only-part-button" if charge.state is ChargeState.REFUNDED else "desk-part-button"
    parts = [button(speech.label(text), part)] if has_part else []
    undo = button(speech.label("desk-undo-button"), OnCharge(step=Step.UNDO, charge_id=charge.charge_id))
    undos = [] if charge.state is ChargeState.REFUNDED else [undo]
    return rows(undos, parts) if undos or parts else None


def _pick_key(file: ChargeFile, candidate: Candidate, speech: Speech) -> InlineKeyboardButton:
    payment = candidate.payment
    data = OnCharge(
        step=Step.PICK,
        charge_id=file.charge.charge_id,
        telegram_id=0 if payment else candidate.telegram_id,
        payment_id=payment.payment_id if payment else "",
    )
    user = file.users.get(candidate.telegram_id)
    name = handle_of(candidate.telegram_id, user)
    if payment is None:
        text = "desk-pick-mentioned" if candidate.is_mentioned else "desk-pick-user"
        return button(speech.label(text, user=name), data)
    amount = speech.money(payment.amount, payment.currency)
    return button(speech.label("desk-pick-payment", user=name, code=show_code(payment.payment_id), amount=amount), data)


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
        rule=speech.word("rule", charge.method or "—"),
    )


def _dismissed_line(charge: ShownCharge, speech: Speech) -> str:
    return speech.say(
        "desk-claim-dismissed-charge",
        number=str(charge.charge_id),
        amount=money(charge, speech),
        time=speech.time(charge.paid_at),
        name=short(charge.supporter_name or "—", NAME_LENGTH_MAX),
    )


def _sign(text: str, speech: Speech, *, is_fit: bool) -> str:
    return ("✓ " if is_fit else "✗ ") + speech.say(text)


def _name_sign(told: str, known: str | None, speech: Speech) -> str:
    """
    Compare the name in a claim (*told*) with the supporter's name (*known*). Return a mark and the word for "name".

    The mark is ✓ if the names agree, ≈ if they are similar, and ✗ if they differ.
    """
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
    name = handle_of(file.claim.telegram_id, user)
    credits = rates.credits_for(charge.amount_kept, charge.currency) or 0
    text = speech.label(
        "desk-claim-credit" if exact else "desk-claim-pick", number=str(charge.charge_id), user=name, credits=credits
    )
    step = Step.MATCH if exact else Step.PICK
    data = OnClaim(step=step, claim_id=file.claim.claim_id, charge_id=charge.charge_id)
    return button(text, data, style="success" if exact else None)


def as_many_as_fit(lines: Iterable[str]) -> list[str]:
    """Return the first lines that fit into one message, and drop the others."""
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
