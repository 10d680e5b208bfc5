"""
Receive the claims of users who say "I paid but nothing came".

The bot asks for the day, the amount and the name, and passes the answers to the operators.

The bot's texts do not depend on the charges of other users, so they reveal nothing about the payments of others.

Two bot processes may handle updates of the same user at the same time, and Telegram may deliver an update again if a process
died before it answered. So each step is conditional: only the first answer to a question counts. If an update arrives again,
the bot only sends the open question again, because the user may not have got it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from aiogram import BaseMiddleware, F, Router
from aiogram.filters import Command, CommandStart, StateFilter, or_f
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, InaccessibleMessage, Message, TelegramObject

from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.codes import show_code
from coffee_ledger.model import PendingPayment, TelegramId
from coffee_ledger.store.claims import (
    Arrival,
    NotRaised,
    OpenClaim,
    Paused,
    find_arrival,
    find_claims_pause_end,
    find_open_claim,
    raise_claim,
    withdraw_claim,
)
from coffee_ledger.store.dialogues import (
    Dialogue,
    advance_dialogue,
    begin_dialogue,
    end_dialogue,
    find_dialogue,
)
from coffee_ledger.store.pending_payments import find_open_payments
from coffee_ledger.telegram.amounts import read_paid
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.conversation.start import SAID_BY_PEOPLE
from coffee_ledger.telegram.days import DAYS_BACK_MAX, read_day
from coffee_ledger.telegram.keyboards import (
    ClaimAction,
    ClaimAmount,
    ClaimButton,
    ClaimDay,
    ClaimOpenPayment,
    WithdrawClaim,
    claim_amounts_keyboard,
    claim_days_keyboard,
    claim_name_keyboard,
    claim_payment_keyboard,
    claim_withdraw_keyboard,
)
from coffee_ledger.telegram.middleware import Handler
from coffee_ledger.telegram.speech import Speech

RECENT = timedelta(days=3)
NAME_LENGTH_MAX = 100
CLAIM_PAYLOAD = "claim"
"""The payload of the link `t.me/BOT?start=claim`, by which the Mini App begins a claim in the chat."""


class ClaimDialogue(StatesGroup):
    """The states of the claim dialogue. Each state is the question that the user must answer next."""

    payment = State()
    day = State()
    amount = State()
    name = State()


AnyMessage = Message | InaccessibleMessage
"""
A message to answer.

Telegram sends an old message without its content (`InaccessibleMessage`), but with its chat, so the bot can answer there.
"""


@dataclass(frozen=True)
class Given:
    """A text or a press of a button. It begins a dialogue, or answers the open question."""

    user: TelegramId
    message: AnyMessage
    """The user's text, or the message with the pressed button. The bot sends its next question to the chat of this message."""
    mark: Mapping[str, int | str]
    """The id of the message or of the button press. It is stored with the answers, to recognise a repeated update."""


def _by_text(message: Message) -> Given:
    assert message.from_user is not None
    return Given(TelegramId(message.from_user.id), message, {"message_id": message.message_id})


def _by_press(press: CallbackQuery) -> Given | None:
    """Return the press as a `Given`, or None if Telegram delivers it without the message that contains the button."""
    if press.message is None:
        return None
    return Given(TelegramId(press.from_user.id), press.message, {"press_id": press.id})


def _was_taken(update: Message | CallbackQuery, dialogue: Dialogue) -> bool:
    """Return whether this update has already begun or continued the dialogue."""
    if isinstance(update, Message):
        # Message ids in a chat increase, and Telegram delivers the messages in the order of their ids. So the bot has handled
        # every message whose id is not greater than the stored one.
        return bool(update.message_id <= dialogue.answers.get("message_id", 0))
    return bool(update.id == dialogue.answers.get("press_id"))


class GuardDialogue(BaseMiddleware):
    """
    Send the open question again if an update arrives again.

    End the dialogue at any new command, so that the next message is not taken for an answer.
    """

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        is_asked = data.get("raw_state") in ClaimDialogue.__all_states_names__
        if not is_asked or not isinstance(event, (Message, CallbackQuery)) or event.from_user is None:
            return await handler(event, data)
        context: Context = data["context"]
        user = TelegramId(event.from_user.id)
        dialogue = await find_dialogue(context.pool, user, now=context.clock())
        if dialogue is not None and _was_taken(event, dialogue):
            return await _ask_again(event, dialogue.state, context)
        if isinstance(event, Message) and (event.text or "").startswith("/"):
            await end_dialogue(context.pool, user)
        return await handler(event, data)


async def _ask_again(update: Message | CallbackQuery, question: str, context: Context) -> None:
    if isinstance(update, CallbackQuery):
        await update.answer()
    given = _by_text(update) if isinstance(update, Message) else _by_press(update)
    if given is None:
        return
    if question == ClaimDialogue.payment.state:
        # The open question is "Is it this payment?", the first question of the dialogue. Begin the dialogue again instead of
        # repeating the question, because the payment may have ended since the bot asked.
        await _begin(given, context)
    else:
        await _ask(given.message, question, context)


def make_router() -> Router:
    router = Router(name="claim")
    router.message.register(begin, Command("claim", ignore_case=True))
    router.message.register(begin, CommandStart(deep_link=True, magic=F.args == CLAIM_PAYLOAD, ignore_case=True))
    router.callback_query.register(begin_by_button, ClaimButton.filter(F.what == ClaimAction.BEGIN))
    # During the dialogue, /cancel ends the dialogue and not a pending payment.
    router.message.register(stop_by_command, Command("cancel", ignore_case=True), StateFilter(ClaimDialogue))
    # Do not treat commands as answers to a question, because they have their own handlers.
    answer = F.text & ~F.text.startswith("/")
    # The first question may be "Is it this payment?". If the user answers with a text instead of a button, the user means another
    # payment. So take the text as the day of this other payment.
    router.message.register(take_day, StateFilter(ClaimDialogue.payment, ClaimDialogue.day), answer)
    router.message.register(take_amount, StateFilter(ClaimDialogue.amount), answer)
    router.message.register(take_name, StateFilter(ClaimDialogue.name), answer)
    router.message.register(want_words, StateFilter(ClaimDialogue), ~F.text, F.content_type.in_(SAID_BY_PEOPLE))
    router.callback_query.register(confirm_payment, ClaimOpenPayment.filter(), StateFilter(ClaimDialogue.payment))
    router.callback_query.register(
        ask_day, ClaimButton.filter(F.what == ClaimAction.OTHER_PAYMENT), StateFilter(ClaimDialogue.payment)
    )
    router.callback_query.register(press_day, ClaimDay.filter(), StateFilter(ClaimDialogue.day))
    router.callback_query.register(press_amount, ClaimAmount.filter(), StateFilter(ClaimDialogue.amount))
    router.callback_query.register(
        skip_name, ClaimButton.filter(F.what == ClaimAction.SKIP_NAME), StateFilter(ClaimDialogue.name)
    )
    # The handlers above take the presses that answer the open question. The two handlers below take the other presses of these
    # buttons: `overlook` if another question is open, and `begin_anew` if no question is open.
    late = or_f(
        ClaimOpenPayment.filter(),
        ClaimDay.filter(),
        ClaimAmount.filter(),
        ClaimButton.filter(F.what.in_({ClaimAction.OTHER_PAYMENT, ClaimAction.SKIP_NAME})),
    )
    router.callback_query.register(overlook, late, StateFilter(ClaimDialogue))
    router.callback_query.register(begin_anew, late)
    router.callback_query.register(stop, ClaimButton.filter(F.what == ClaimAction.STOP))
    router.callback_query.register(withdraw, WithdrawClaim.filter())
    return router


async def begin(message: Message, context: Context) -> None:
    await _begin(_by_text(message), context)


async def begin_by_button(press: CallbackQuery, context: Context) -> None:
    await press.answer()
    if given := _by_press(press):
        await _begin(given, context)


async def begin_anew(press: CallbackQuery, context: Context) -> None:
    """
    Handle the press of a button whose dialogue has ended, for example because a dialogue is open only for a day.

    If the user has an open claim, ignore the press. Otherwise, begin a new dialogue.
    """
    user = TelegramId(press.from_user.id)
    # An open claim means that the user has answered all questions. So the button of an old question must change nothing.
    if await find_open_claim(context.pool, user):
        await overlook(press)
        return
    await press.answer(context.speech.label("claim-anew"))
    if given := _by_press(press):
        await _begin(given, context)


async def overlook(press: CallbackQuery) -> None:
    """Ignore the button of a question that is no longer open."""
    await press.answer()


async def _begin(given: Given, context: Context) -> None:
    speech, user, message = context.speech, given.user, given.message
    await end_dialogue(context.pool, user)
    known = await find_open_claim(context.pool, user)
    if known is not None:
        await _show(message, known, speech)
        return
    open_now = await find_open_payments(context.pool, user)
    pause_end = await find_claims_pause_end(context.pool, user, now=context.clock())
    if pause_end is not None:
        code = [speech.say("claim-open-code", code=show_code(open_now[-1].payment_id))] if open_now else []
        text = [*await _arrivals(user, context), _paused(pause_end, speech), *code]
        await message.answer("\n\n".join(text))
        return
    lines = [speech.say("claim-begin"), *await _arrivals(user, context)]
    if open_now:
        # Ask about the newest open payment. It is the last in the list, because the query returns the oldest payment first.
        question, keyboard = ClaimDialogue.payment, claim_payment_keyboard(speech, open_now[-1])
        lines.append(_describe_open(open_now[-1], speech))
    else:
        question, keyboard = ClaimDialogue.day, claim_days_keyboard(speech)
        lines.append(speech.say("claim-when"))
    await begin_dialogue(context.pool, user, _name(question), given.mark, now=context.clock())
    await message.answer("\n\n".join(lines), reply_markup=keyboard)


async def _arrivals(user: TelegramId, context: Context) -> list[str]:
    """
    Return a list with one text about the user's last payment that arrived, because the user may be looking for this payment.

    The list is empty if no payment of the user arrived in the last three days (`RECENT`).
    """
    arrival = await find_arrival(context.pool, user, since=context.clock() - RECENT)
    return [_arrived(arrival, context.speech)] if arrival else []


def _describe_open(payment: PendingPayment, speech: Speech) -> str:
    return speech.say(
        "claim-open-payment",
        amount=speech.money(payment.amount, payment.currency),
        time=speech.time(payment.created_at),
        code=show_code(payment.payment_id),
    )


async def confirm_payment(press: CallbackQuery, callback_data: ClaimOpenPayment, context: Context) -> None:
    """
    Store the amount of the open payment and today's date as the user's answers, and ask for the name.

    The bot skips the questions about the day and the amount.
    """
    await press.answer()
    given = _by_press(press)
    if given is None:
        return
    open_now = await find_open_payments(context.pool, given.user)
    meant = next((one for one in open_now if one.payment_id == callback_data.payment_id), None)
    if meant is None:
        # The payment ended after the question was sent. Begin again. The new message says whether a payment arrived.
        await _begin(given, context)
        return
    answers = {"day": context.clock().date().isoformat(), "amount": f"{meant.amount:f}", "currency": meant.currency}
    await _advance(given, ClaimDialogue.payment, ClaimDialogue.name, context, answers)


async def ask_day(press: CallbackQuery, context: Context) -> None:
    await press.answer()
    if given := _by_press(press):
        await _advance(given, ClaimDialogue.payment, ClaimDialogue.day, context, {})


async def take_day(message: Message, context: Context, raw_state: str) -> None:
    today = context.clock().date()
    day = read_day(message.text or "", today=today)
    if day is None:
        await message.answer(context.speech.say("claim-day-unreadable", days=DAYS_BACK_MAX, **_examples(today)))
        return
    await _advance(_by_text(message), raw_state, ClaimDialogue.amount, context, {"day": day.isoformat()})


async def press_day(press: CallbackQuery, callback_data: ClaimDay, context: Context) -> None:
    await press.answer()
    if given := _by_press(press):
        today = context.clock().date()
        if callback_data.days_ago < 0:
            await given.message.answer(context.speech.say("claim-which-day", **_examples(today)))
            return
        # Limit the number of days, because a modified client can send any number.
        day = today - timedelta(days=min(callback_data.days_ago, DAYS_BACK_MAX))
        await _advance(given, ClaimDialogue.day, ClaimDialogue.amount, context, {"day": day.isoformat()})


async def take_amount(message: Message, context: Context) -> None:
    await _take_amount(_by_text(message), message.text or "", context)


async def press_amount(press: CallbackQuery, callback_data: ClaimAmount, context: Context) -> None:
    await press.answer()
    if given := _by_press(press):
        await _take_amount(given, f"{callback_data.amount} {callback_data.currency}", context)


async def _take_amount(given: Given, written: str, context: Context) -> None:
    paid = read_paid(written, currency=context.currency)
    if paid is None:
        example = f"{context.amounts[0]:f} {context.currency}"
        await given.message.answer(context.speech.say("claim-amount-unreadable", example=example))
        return
    answers = {"amount": f"{paid.amount:f}", "currency": paid.currency}
    await _advance(given, ClaimDialogue.amount, ClaimDialogue.name, context, answers)


async def _advance(
    given: Given, answered: State | str, asked: State, context: Context, answers: Mapping[str, str]
) -> None:
    """
    Store the answer to the question *answered*, and send the question *asked*.

    Do nothing if the question *answered* is no longer open, because another answer came first.
    """
    is_first = await advance_dialogue(
        context.pool,
        given.user,
        answered=_name(answered),
        state=_name(asked),
        answers={**answers, **given.mark},
        now=context.clock(),
    )
    if is_first:
        await _ask(given.message, _name(asked), context)


async def _ask(message: AnyMessage, question: str, context: Context) -> None:
    speech = context.speech
    if question == ClaimDialogue.day.state:
        await message.answer(speech.say("claim-when"), reply_markup=claim_days_keyboard(speech))
    elif question == ClaimDialogue.amount.state:
        keyboard = claim_amounts_keyboard(speech, context.amounts, context.currency)
        await message.answer(speech.say("claim-how-much"), reply_markup=keyboard)
    else:
        await message.answer(speech.say("claim-name"), reply_markup=claim_name_keyboard(speech))


def _name(question: State | str) -> str:
    return question if isinstance(question, str) else str(question.state)


async def take_name(message: Message, context: Context) -> None:
    name = " ".join((message.text or "").split())[:NAME_LENGTH_MAX]
    await _raise(_by_text(message), name, context)


async def skip_name(press: CallbackQuery, context: Context) -> None:
    await press.answer()
    if given := _by_press(press):
        await _raise(given, None, context)


async def _raise(given: Given, name: str | None, context: Context) -> None:
    message, user, speech, now = given.message, given.user, context.speech, context.clock()
    question = _name(ClaimDialogue.name)
    dialogue = await find_dialogue(context.pool, user, now=now)
    if dialogue is None or dialogue.state != question:
        # The question about the name is no longer open. Another bot process has just handled another update of the user, such
        # as a second answer or a press of *Stop*.
        return
    told = dialogue.answers
    claimed = ClaimedPayment(date.fromisoformat(told["day"]), Decimal(told["amount"]), told["currency"], name)
    match await raise_claim(context.pool, user, claimed, now=now, question=question):
        case NotRaised.NOT_ASKED:
            return
        case NotRaised.OPEN_BEFORE:
            # The user pressed the button twice, or raised a claim on another device. Show the open claim.
            await _begin(given, context)
            return
        case NotRaised.TOO_MANY:
            await message.answer(speech.say("claim-too-many"))
        case Paused(until):
            # Declined claims cause a pause, in which the user cannot raise a claim. The pause began while the user answered the
            # questions, because an operator declined an earlier claim.
            await message.answer(_paused(until, speech))
        case claim_id:
            await message.answer(
                speech.say(
                    "claim-passed-on",
                    amount=speech.money(claimed.amount, claimed.currency),
                    day=speech.day(claimed.paid_on),
                ),
                reply_markup=claim_withdraw_keyboard(speech, claim_id),
            )
    # End the dialogue last. If the bot dies before the user is told, the update arrives again, and the bot shows the open claim.
    await end_dialogue(context.pool, user)


def _paused(until: datetime, speech: Speech) -> str:
    return speech.say("claim-paused", time=speech.time(until))


async def want_words(message: Message, context: Context) -> None:
    await message.answer(context.speech.say("claim-words"))


async def stop_by_command(message: Message, context: Context) -> None:
    # Only confirm the end: the middleware `GuardDialogue` has ended the dialogue before this handler is called.
    await message.answer(context.speech.say("claim-stopped"))


async def stop(press: CallbackQuery, context: Context) -> None:
    # If another bot process is storing the claim at this moment, `end_dialogue` waits until the claim is stored, so that
    # `find_open_claim` below finds it.
    await end_dialogue(context.pool, TelegramId(press.from_user.id))
    await press.answer()
    if press.message is None:
        return
    # The button may be old, and the user may have sent the claim after the button was shown. If a claim is open, show it, so
    # that the user does not believe that the claim was stopped.
    known = await find_open_claim(context.pool, TelegramId(press.from_user.id))
    if known is None:
        await press.message.answer(context.speech.say("claim-stopped"))
    else:
        await _show(press.message, known, context.speech)


async def withdraw(press: CallbackQuery, callback_data: WithdrawClaim, context: Context) -> None:
    user = TelegramId(press.from_user.id)
    done = await withdraw_claim(context.pool, callback_data.claim_id, user, now=context.clock())
    text = "claim-withdrawn" if done else "claim-none"
    await press.answer(context.speech.label(text), show_alert=not done)
    if done and press.message is not None:
        await press.message.answer(context.speech.say(text))


def _examples(today: date) -> dict[str, str]:
    day = today - timedelta(days=2)
    return {"example": day.strftime("%d.%m"), "long": day.isoformat()}


def _arrived(arrival: Arrival, speech: Speech) -> str:
    amount = speech.money(arrival.amount, arrival.currency)
    credits = speech.say("credits", credits=arrival.credits)
    return speech.say("claim-arrived", amount=amount, time=speech.time(arrival.matched_at), credits=credits)


async def _show(message: AnyMessage, claim: OpenClaim, speech: Speech) -> None:
    text = speech.say(
        "claim-known",
        amount=speech.money(claim.amount, claim.currency),
        day=speech.day(claim.paid_on),
        raised=speech.time(claim.created_at),
    )
    await message.answer(text, reply_markup=claim_withdraw_keyboard(speech, claim.claim_id))
