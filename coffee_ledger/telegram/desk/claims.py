"""Decide a claim: credit the charge that the user means, or decline the claim."""

from aiogram import Bot, F, Router
from aiogram.types import CallbackQuery, Message

from coffee_ledger.store.decisions import Done, RefusalCause, Refused, decline_claim
from coffee_ledger.store.lookup import ClaimFile, ShownCharge, find_claim_file
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.buttons import OnClaim, Step
from coffee_ledger.telegram.desk.cards import claim_card, confirm_card, fits_exactly, name_of
from coffee_ledger.telegram.desk.charges import match_and_show
from coffee_ledger.telegram.desk.messages import (
    Prompt,
    ask,
    refuse,
    request_of_reply,
    show,
    show_below,
    show_claim_everywhere,
)
from coffee_ledger.telegram.desk.search import find_answered_payment


def make_router() -> Router:
    router = Router(name="desk-claims")
    for step, handler in (
        (Step.OPEN, open_claim),
        (Step.SHOW, show_claim),
        (Step.PICK, pick),
        (Step.MATCH, match_at_once),
        (Step.DECLINE, ask_why_decline),
    ):
        router.callback_query.register(handler, OnClaim.filter(F.step == step))
    return router


async def open_claim(press: CallbackQuery, callback_data: OnClaim, context: Context) -> None:
    file = await find_claim_file(context.pool, callback_data.claim_id)
    await press.answer()
    if file is not None:
        await show_below(press, claim_card(file, context.rates, context.speech))


async def show_claim(press: CallbackQuery, callback_data: OnClaim, context: Context) -> None:
    file = await find_claim_file(context.pool, callback_data.claim_id)
    await press.answer()
    if file is not None:
        await show(press, claim_card(file, context.rates, context.speech))


async def pick(press: CallbackQuery, callback_data: OnClaim, context: Context) -> None:
    """Ask whether to match a charge that does not fit the claim exactly. If no match is possible, explain why."""
    found = await _find_candidate(press, callback_data, context)
    if found is None:
        return
    file, charge = found
    user = file.users[file.claim.telegram_id]
    credits = context.rates.credits_for(charge.amount_kept, charge.currency)
    if credits is None:
        await press.answer(context.speech.label("desk-refused-no_rate"), show_alert=True)
        return
    payment = await find_answered_payment(context.pool, user.telegram_id, charge)
    back = OnClaim(step=Step.SHOW, claim_id=file.claim.claim_id)
    await press.answer()
    await show(press, confirm_card(charge, user, payment, context.speech, credits=credits, back=back))


async def match_at_once(press: CallbackQuery, callback_data: OnClaim, bot: Bot, context: Context) -> None:
    """Match the charge without a confirmation if it fits the claim exactly. Otherwise ask for confirmation."""
    found = await _find_candidate(press, callback_data, context)
    if found is None:
        return
    file, charge = found
    if not fits_exactly(file, charge):
        # A second charge that fits the claim may have arrived since the button was sent. So ask for confirmation now.
        await pick(press, callback_data, context)
        return
    payment = await find_answered_payment(context.pool, file.claim.telegram_id, charge)
    user = file.users[file.claim.telegram_id]
    await match_and_show(press, charge.charge_id, user, payment, bot, context)


async def ask_why_decline(press: CallbackQuery, callback_data: OnClaim, context: Context) -> None:
    file = await _find_open(press, callback_data, context)
    if file is None:
        return
    await press.answer()
    if press.message is not None:
        user = name_of(file.claim.telegram_id, file.users)
        text = context.speech.say("desk-ask-why-decline", user=user)
        await ask(press.message, context, Prompt.WHY_DECLINE, file.claim.claim_id, text)


async def decline(message: Message, number: int, said: str, bot: Bot, context: Context) -> None:
    done = await decline_claim(context.pool, number, request_of_reply(message, said, context))
    if not isinstance(done, Done):
        file = await find_claim_file(context.pool, number)
        card = claim_card(file, context.rates, context.speech) if file else None
        await refuse(message, done, context, card=card)
        return
    await message.answer(context.speech.say("desk-declined"))
    await show_claim_everywhere(bot, context, number)


async def _find_open(press: CallbackQuery, data: OnClaim, context: Context) -> ClaimFile | None:
    """
    Find an open claim.

    If the claim does not exist or is decided, explain this to the operator and return None.
    """
    file = await find_claim_file(context.pool, data.claim_id)
    if file is None:
        await press.answer(context.speech.label("desk-refused-unknown_claim"), show_alert=True)
        return None
    if file.claim.status == "open":
        return file
    refused = Refused(RefusalCause.DECIDED_BEFORE, file.claim.decided_by)
    await refuse(press, refused, context, card=claim_card(file, context.rates, context.speech))
    return None


async def _find_candidate(
    press: CallbackQuery, data: OnClaim, context: Context
) -> tuple[ClaimFile, ShownCharge] | None:
    """
    Find an open claim, and the chosen charge among its candidates.

    If the claim or the charge does not exist or is already decided, explain this to the operator and return None.
    """
    file = await _find_open(press, data, context)
    if file is None:
        return None
    charge = next((one for one in file.charges if one.charge_id == data.charge_id), None)
    if charge is None:
        await press.answer(context.speech.label("desk-refused-charge-gone"), show_alert=True)
        await show(press, claim_card(file, context.rates, context.speech))
        return None
    return file, charge
