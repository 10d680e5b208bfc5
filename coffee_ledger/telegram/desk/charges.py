"""Decide a charge: match it to a user, or dismiss it."""

from aiogram import Bot, F, Router
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message

from coffee_ledger.charges import OutsiderKind
from coffee_ledger.codes import show_code
from coffee_ledger.model import PaymentId, PaymentStatus, PendingPayment, TelegramId
from coffee_ledger.store.decisions import (
    Done,
    OperatorRequest,
    RefusalCause,
    Refused,
    dismiss_charge,
    find_decider,
    match_charge,
)
from coffee_ledger.store.lookup import (
    ChargeFile,
    KnownUser,
    ShownCharge,
    find_charge_file,
    find_payment_named,
    find_users,
)
from coffee_ledger.store.suggestions import Suggestion, find_suggestions
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.buttons import (
    Dismiss,
    DismissAs,
    OnCharge,
    Postpone,
    Preset,
    Step,
    button,
    column,
    rows,
)
from coffee_ledger.telegram.desk.cards import (
    Card,
    charge_card,
    confirm_card,
    handle_of,
    item_of,
    name_of,
    remembered,
    remembered_by_preset,
)
from coffee_ledger.telegram.desk.messages import (
    Prompt,
    ask,
    end_prompts,
    find_charge_card,
    message_key,
    refuse,
    request_of_reply,
    show,
    show_below,
    show_everywhere,
)
from coffee_ledger.telegram.desk.search import Found, People, find_answered_payment, search_people, user_line
from coffee_ledger.telegram.speech import Speech

ABOUT_WAITING = (Prompt.WHO, Prompt.WHY_DISMISS)
"""The prompts that ask about a waiting charge. A decision about the charge ends these prompts."""


def make_router() -> Router:
    router = Router(name="desk-charges")
    for step, handler in (
        (Step.OPEN, open_charge),
        (Step.SHOW, show_charge),
        (Step.PICK, pick),
        (Step.PICK_BELOW, pick),
        (Step.MATCH, match),
        (Step.FIND, ask_who),
        (Step.DISMISS, ask_why_dismiss),
    ):
        router.callback_query.register(handler, OnCharge.filter(F.step == step))
    router.callback_query.register(dismiss_by_preset, DismissAs.filter())
    router.callback_query.register(dismiss_by_button, Dismiss.filter())
    return router


async def open_charge(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    file = await _find_or_alert(press, callback_data, context)
    if file is not None:
        await press.answer()
        await show_below(press, charge_card(file, context.speech))


async def show_charge(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    file = await _find_or_alert(press, callback_data, context)
    if file is not None:
        await press.answer()
        await show(press, charge_card(file, context.speech))


async def pick(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    """Show the balance before and after the match, and ask for confirmation. If no match is possible, explain why."""
    file = await find_waiting(press, callback_data, context)
    if file is None:
        return
    user, payment = await _whom(callback_data, context)
    card = _confirm(file, user, payment, context) if user else None
    if card is None:
        why = "desk-refused-no_rate" if user else "desk-refused-unknown_user"
        await press.answer(context.speech.label(why), show_alert=True)
        return
    # The button may be a suggestion below the prompt that asks for the user. The operator has now chosen, so end this prompt.
    await end_prompts(context, press.from_user.id, file.charge.charge_id, Prompt.WHO)
    await press.answer()
    await (show_below if callback_data.step is Step.PICK_BELOW else show)(press, card)


async def match(press: CallbackQuery, callback_data: OnCharge, bot: Bot, context: Context) -> None:
    user, payment = await _whom(callback_data, context)
    if user is None:
        await press.answer(context.speech.label("desk-refused-unknown_user"), show_alert=True)
        return
    await match_and_show(press, callback_data.charge_id, user, payment, bot, context)


async def match_and_show(
    press: CallbackQuery,
    charge_id: int,
    user: KnownUser,
    payment: PendingPayment | None,
    bot: Bot,
    context: Context,
) -> None:
    """
    Match the charge to the user, or explain why the match is refused.

    Then show the current state of the charge to all operators.
    """
    done = await match_charge(
        context.pool,
        charge_id,
        OperatorRequest(
            operator=TelegramId(press.from_user.id),
            reason=_whom_in_words(user, payment, context.speech),
            now=context.clock(),
            request_key=f"press:{press.id}",
        ),
        telegram_id=user.telegram_id,
        payment_id=payment.payment_id if payment else None,
        rates=context.rates,
    )
    if isinstance(done, Done):
        name = name_of(user.telegram_id, {user.telegram_id: user})
        await press.answer(context.speech.label("desk-matched-short", user=name, credits=done.credits))
        await end_prompts(context, press.from_user.id, charge_id, *ABOUT_WAITING)
    else:
        await refuse(press, done, context)
    card = await find_charge_card(context, charge_id)
    if card is not None:
        await show(press, card)
    # Update the cards of all operators. If the pressed button was on the card of a claim, this also restores that card, which
    # `show` has replaced by the card of the charge.
    await show_everywhere(bot, context, charge_id)


async def ask_who(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    """Ask the operator to which user the charge belongs, and offer the suggested users as buttons."""
    file = await find_waiting(press, callback_data, context)
    if file is None:
        return
    await press.answer()
    if press.message is not None:
        number = file.charge.charge_id
        keys = rows(*column(await _suggest(file.charge, context)))
        text = context.speech.say(
            "desk-ask-who-suggested" if keys.inline_keyboard else "desk-ask-who", number=str(number)
        )
        await ask(press.message, context, Prompt.WHO, number, text, keys=keys if keys.inline_keyboard else None)


async def take_who(message: Message, number: int, said: str, context: Context) -> None:
    """
    Ask whether to credit the user that the operator's answer names. If the answer names several users, ask which of them.

    If the answer names no known user, ask again. If the charge was decided before the answer, tell the operator.
    """
    speech = context.speech
    file = await find_charge_file(context.pool, charge_id=number)
    if file is None:
        await message.answer(speech.say("desk-refused-unknown_charge"))
        return
    if not file.charge.waits:
        first = await find_decider(context.pool, number)
        await refuse(message, Refused(RefusalCause.DECIDED_BEFORE, first), context, card=charge_card(file, speech))
        return
    people = await search_people(context.pool, said)
    if not people.found:
        await ask(message, context, Prompt.WHO, number, speech.say("desk-who-unknown", number=str(number)))
    elif len(people.found) == 1:
        found = people.found[0]
        # If the operator wrote a code, use the payment with this code. Otherwise look for an open payment of the charge's
        # amount.
        payment = found.payment or await find_answered_payment(context.pool, found.user.telegram_id, file.charge)
        card = _confirm(file, found.user, payment, context) or Card(speech.say("desk-refused-no_rate"))
        await message.answer(card.text, reply_markup=card.keyboard)
    else:
        card = _which_of(people, number, speech)
        await message.answer(card.text, reply_markup=card.keyboard)


def _which_of(people: People, number: int, speech: Speech) -> Card:
    lines = [speech.say("desk-who-several", number=str(number)), *(user_line(one.user, speech) for one in people.found)]
    if people.has_more:
        lines.append(speech.say("desk-found-more"))
    return Card("\n".join(lines), rows(*column(_found_key(one, number, speech) for one in people.found)))


def _found_key(found: Found, number: int, speech: Speech) -> InlineKeyboardButton:
    name = handle_of(found.user.telegram_id, found.user)
    if found.payment is None:
        return button(name, OnCharge(step=Step.PICK, charge_id=number, telegram_id=found.user.telegram_id))
    return _payment_key(name, found.payment, number, speech)


def _payment_key(name: str, payment: PendingPayment, number: int, speech: Speech) -> InlineKeyboardButton:
    amount = speech.money(payment.amount, payment.currency)
    text = speech.label("desk-pick-payment", user=name, code=show_code(payment.payment_id), amount=amount)
    return button(text, OnCharge(step=Step.PICK, charge_id=number, payment_id=payment.payment_id))


async def _suggest(charge: ShownCharge, context: Context) -> list[InlineKeyboardButton]:
    """Build a button for each user to whom the charge may belong. After a press, the bot asks for confirmation."""
    suggestions = await find_suggestions(context.pool, charge)
    users = await find_users(context.pool, [one.telegram_id for one in suggestions])
    return [_suggestion_key(one, users.get(one.telegram_id), charge.charge_id, context.speech) for one in suggestions]


def _suggestion_key(
    suggestion: Suggestion, user: KnownUser | None, number: int, speech: Speech
) -> InlineKeyboardButton:
    name, payment = handle_of(suggestion.telegram_id, user), suggestion.payment
    if payment is not None and payment.status is not PaymentStatus.COMPLETED:
        return _payment_key(name, payment, number, speech)
    amount = speech.money(suggestion.amount, suggestion.currency) if suggestion.amount is not None else ""
    text = speech.label(f"desk-suggest-{suggestion.cause}", user=name, amount=amount)
    return button(text, OnCharge(step=Step.PICK, charge_id=number, telegram_id=suggestion.telegram_id))


async def dismiss_by_preset(press: CallbackQuery, callback_data: DismissAs, bot: Bot, context: Context) -> None:
    """Dismiss the charge for the reason on the button, and show the decision in place of the card with the button."""
    number = callback_data.charge_id
    file = await _find_or_alert(press, callback_data, context)
    if file is None:
        return
    is_supporter = callback_data.preset is Preset.SUPPORTER
    request = OperatorRequest(
        operator=TelegramId(press.from_user.id),
        reason=context.speech.label(f"desk-preset-{callback_data.preset.name.lower()}"),
        now=context.clock(),
        # Make the request key from the button press and not from the message. After an undo, the same message offers the
        # button again, and a new press must take effect.
        request_key=f"press:{press.id}",
    )
    remember = remembered_by_preset(file.charge) if is_supporter else None
    done = await dismiss_charge(context.pool, number, request, remember=remember)
    if not isinstance(done, Done):
        is_own = done.why is RefusalCause.DECIDED_BEFORE and done.operator_id == press.from_user.id
        why = Refused(RefusalCause.REPEATED) if is_own else done
        await refuse(press, why, context, card=await find_charge_card(context, number))
        return
    await end_prompts(context, press.from_user.id, number, *ABOUT_WAITING)
    await press.answer(context.speech.label("desk-dismissed-short", number=str(number)))
    card = await find_charge_card(context, number)
    if card is not None:
        await show(press, card)
    await _show_dismissed(done, number, bot, context)


async def ask_why_dismiss(press: CallbackQuery, callback_data: OnCharge, context: Context) -> None:
    """
    Ask for the reason to dismiss a charge. If the operator replies with a reason, only this charge is dismissed.

    If an item was bought, the prompt has a button that dismisses this charge and all waiting and later charges of the item.
    """
    file = await find_waiting(press, callback_data, context)
    if file is None:
        return
    await press.answer()
    if press.message is None:
        return
    number = file.charge.charge_id
    has_item = OutsiderKind.ITEM in dict(file.charge.outsider_names())
    text = context.speech.say(
        "desk-ask-why-dismiss-or-item" if has_item else "desk-ask-why-dismiss", number=str(number)
    )
    label = _dismiss_label(file.charge, OutsiderKind.ITEM, context.speech)
    keys = rows([button(label, Dismiss(charge_id=number, remember=OutsiderKind.ITEM))]) if has_item else None
    await ask(press.message, context, Prompt.WHY_DISMISS, number, text, keys=keys)


async def dismiss_by_button(press: CallbackQuery, callback_data: Dismiss, bot: Bot, context: Context) -> None:
    """
    Dismiss the charge, or explain why the dismissal is refused.

    If the button also marks the supporter, subscription or item as an outsider, dismiss all its waiting and later charges too.
    Charges that contain the code of a payment are not dismissed, because they may be from a user of the bot.
    """
    speech = context.speech
    number, remember = callback_data.charge_id, callback_data.remember
    file = await find_charge_file(context.pool, charge_id=number)
    if file is None:
        await press.answer(speech.label("desk-refused-unknown_charge"), show_alert=True)
        return
    request = OperatorRequest(
        operator=TelegramId(press.from_user.id),
        reason=_dismiss_label(file.charge, remember, speech),
        now=context.clock(),
        request_key=message_key(press),
    )
    done = await dismiss_charge(context.pool, number, request, remember=remember)
    if not isinstance(done, Done):
        # If the operator pressed the button twice, keep the message that shows the result of the first press.
        card = None if done.why is RefusalCause.REPEATED else await find_charge_card(context, number)
        await refuse(press, done, context, card=card)
        return
    await end_prompts(context, press.from_user.id, number, *ABOUT_WAITING)
    await press.answer()
    await show(press, _dismissed(file.charge, remember, speech))
    await _show_dismissed(done, number, bot, context)


async def _show_dismissed(done: Done, number: int, bot: Bot, context: Context) -> None:
    """Update the cards of the dismissed charge, and of the charges that were dismissed with it."""
    await show_everywhere(bot, context, number)
    for key in done.also_dismissed:
        other = await find_charge_file(context.pool, charge_key=key)
        if other is not None:
            await show_everywhere(bot, context, other.charge.charge_id)


async def dismiss_by_reply(message: Message, number: int, said: str, bot: Bot, context: Context) -> None:
    done = await dismiss_charge(context.pool, number, request_of_reply(message, said, context))
    if not isinstance(done, Done):
        await refuse(message, done, context, card=await find_charge_card(context, number))
        return
    await end_prompts(context, message.chat.id, number, *ABOUT_WAITING)
    await message.answer(context.speech.say("desk-dismissed", number=str(number)))
    await show_everywhere(bot, context, number)


async def _find_or_alert(
    press: CallbackQuery, data: OnCharge | Postpone | DismissAs, context: Context
) -> ChargeFile | None:
    operator = TelegramId(press.from_user.id)
    file = await find_charge_file(context.pool, charge_id=data.charge_id, operator=operator)
    if file is None:
        await press.answer(context.speech.label("desk-refused-unknown_charge"), show_alert=True)
    return file


async def find_waiting(press: CallbackQuery, data: OnCharge | Postpone, context: Context) -> ChargeFile | None:
    """
    Find a charge that is not decided yet.

    If the charge does not exist or is decided, explain this to the operator and return None.
    """
    file = await _find_or_alert(press, data, context)
    if file is None or file.charge.waits:
        return file
    first = await find_decider(context.pool, file.charge.charge_id)
    await refuse(press, Refused(RefusalCause.DECIDED_BEFORE, first), context, card=charge_card(file, context.speech))
    return None


async def _whom(data: OnCharge, context: Context) -> tuple[KnownUser | None, PendingPayment | None]:
    """
    Load the user and the pending payment that the button names.

    If the user or the payment does not exist, return None in its place.
    """
    payment = await find_payment_named(context.pool, PaymentId(data.payment_id)) if data.payment_id else None
    telegram_id = payment.telegram_id if payment else TelegramId(data.telegram_id)
    return (await find_users(context.pool, [telegram_id])).get(telegram_id), payment


def _confirm(file: ChargeFile, user: KnownUser, payment: PendingPayment | None, context: Context) -> Card | None:
    """
    Build the card that asks for confirmation.

    Return None if the currency has no rate, because then no credits can be computed.
    """
    charge = file.charge
    credits = context.rates.credits_for(charge.amount_kept, charge.currency)
    back = OnCharge(step=Step.SHOW, charge_id=charge.charge_id)
    return None if credits is None else confirm_card(charge, user, payment, context.speech, credits=credits, back=back)


def _whom_in_words(user: KnownUser, payment: PendingPayment | None, speech: Speech) -> str:
    """
    Describe the chosen user or payment. The text is recorded as the reason of the request.

    Leave out the username, because the user may ask us to erase it later.
    """
    if payment is None:
        return speech.label("desk-chosen-user", user=str(user.telegram_id))
    return speech.label("desk-chosen-payment", code=show_code(payment.payment_id))


def _dismiss_label(charge: ShownCharge, remember: OutsiderKind | None, speech: Speech) -> str:
    """Return the text of a button that dismisses a charge. The text is also recorded as the reason for the dismissal."""
    if remember is None:
        return speech.label("desk-preset-gift")
    if remember is OutsiderKind.ITEM:
        name, item = item_of(charge)
        return speech.label(f"desk-any-{name}-button", item=item)
    return speech.label("desk-preset-supporter")


def _dismissed(charge: ShownCharge, remember: OutsiderKind | None, speech: Speech) -> Card:
    number = charge.charge_id
    undo = button(speech.label("desk-undo-button"), OnCharge(step=Step.UNDO, charge_id=number))
    lines = [speech.say("desk-dismissed", number=str(number))]
    if remember is not None:
        lines += [remembered(charge, remember, speech), speech.say("desk-undo-ends-memory")]
    return Card("\n".join(lines), rows([undo]))
