"""
Take the answers of operators to the bot's prompts, and hand each answer to the part of the desk that asked.

An operator can answer by a reply to a prompt. A text that is not a reply answers the only open question to this operator. If
several questions are open, the bot asks which one is meant. Only prompts of the last ten minutes count as open here.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiogram import Bot, F, Router
from aiogram.dispatcher.event.handler import CallableObject
from aiogram.filters import Command, Filter
from aiogram.filters.callback_data import CallbackData
from aiogram.types import CallbackQuery, Message

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.model import TelegramId
from coffee_ledger.store.dialogues import advance_dialogue, find_dialogue
from coffee_ledger.store.prompts import PROMPT_AGE_MAX, OpenPrompt, close_prompts, find_prompts
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk import charges, claims, lists, undo
from coffee_ledger.telegram.desk.buttons import LeaveAsIs, button, column, rows
from coffee_ledger.telegram.desk.cards import Card
from coffee_ledger.telegram.desk.messages import Prompt, one_line, prompt_replied_to, quoted, show

ANSWER_WITHIN = timedelta(minutes=10)
"""A text that is not a reply answers a prompt only within this time. A later text is probably meant for something else."""

QUESTIONS_MAX = 8

TAKERS: Mapping[Prompt, Callable[..., Awaitable[Any]]] = {
    Prompt.WHO: charges.take_who,
    Prompt.WHY_DISMISS: charges.dismiss_by_reply,
    Prompt.WHY_UNDO_CHARGE: undo.take_why_undo_charge,
    Prompt.WHY_UNDO_ENTRY: undo.take_why_undo_entry,
    Prompt.WHY_DECLINE: claims.decline,
    Prompt.WHY_DISMISS_EVENT: lists.dismiss_event_by_reply,
    Prompt.HOW_MUCH: undo.take_amount,
}
"""
For each kind of prompt, the function that takes the answer.

The first argument of the function is a message in the operator's chat, to which the function replies. The other arguments are
`number` (the number of the charge, claim, event or ledger entry), `said` (the text of the operator's answer) and, if the
function has parameters with these names, `bot` and `context`.
"""


@dataclass(frozen=True)
class Question:
    prompt: Prompt
    number: int


@dataclass(frozen=True)
class Questions:
    """The open prompts to an operator, the newest first."""

    prompts: Sequence[Question]
    has_claim: bool
    """True if the claim dialogue has an open question to the operator. An operator is also a user, and can raise a claim."""

    @property
    def only(self) -> Question | None:
        """The open prompt, if there is exactly one and no question of the claim dialogue is open. None otherwise."""
        return self.prompts[0] if len(self.prompts) == 1 and not self.has_claim else None


class AnswerTo(CallbackData, prefix="dw", sep="|"):
    """
    A button by which the operator chooses one of several open prompts.

    The message with the button quotes the operator's text. The quoted text is the answer to the chosen prompt.
    """

    prompt: Prompt
    number: int


class AnswerToClaim(CallbackData, prefix="dwc", sep="|"):
    """
    A button by which the operator chooses the claim dialogue's question, and not one of the open prompts.

    The bot shows this button if a text of the operator may answer the claim dialogue or a prompt. After a press of the button,
    the operator's next text answers the claim dialogue.
    """


class Reply(Filter):
    """Match a text that replies to a prompt. A command is not an answer."""

    async def __call__(self, message: Message, bot: Bot) -> bool | dict[str, object]:
        said, asked = one_line(message.text), prompt_replied_to(message, bot)
        if asked is None or not said or said.startswith("/"):
            return False
        return {"question": Question(*asked), "said": said}


class Asked(Filter):
    """Match if at least one prompt to this operator is open and is not older than `ANSWER_WITHIN`."""

    async def __call__(self, message: Message, context: Context) -> bool | dict[str, object]:
        try:
            questions = await _find_questions(TelegramId(message.chat.id), context)
        except DatabaseAwayError:
            # The database is unreachable. Return False, so that a handler of the conversation gets the message. This handler
            # fails too, and the middleware `MeetUser` then asks the operator to try later. If this filter raised the error,
            # the operator would get no answer.
            return False
        return {"questions": questions} if questions.prompts else False


def make_router() -> Router:
    router = Router(name="desk-answers")
    router.message.register(take_reply, Reply())
    router.message.register(cancel, Command("cancel", ignore_case=True), Asked())
    # Do not take a forwarded text as an answer, because it was not written for the prompt.
    is_answer = F.text & ~F.text.startswith("/") & ~F.reply_to_message & ~F.external_reply & ~F.forward_origin
    router.message.register(take_text, is_answer, Asked())
    router.callback_query.register(take_choice, AnswerTo.filter())
    router.callback_query.register(leave_for_claim, AnswerToClaim.filter())
    return router


async def take_reply(message: Message, question: Question, said: str, bot: Bot, context: Context) -> None:
    await _take(message, question, said, bot, context)


async def take_text(message: Message, questions: Questions, bot: Bot, context: Context) -> None:
    said = one_line(message.text)
    if questions.only is not None:
        await _take(message, questions.only, said, bot, context)
        return
    card = _ask_which(questions, said, context)
    await message.answer(card.text, reply_markup=card.keyboard)


async def take_choice(press: CallbackQuery, callback_data: AnswerTo, bot: Bot, context: Context) -> None:
    """Take the quoted text as the answer to the chosen prompt, unless this prompt was answered or cancelled meanwhile."""
    message, speech = press.message, context.speech
    said = quoted(message) if isinstance(message, Message) else None
    if not isinstance(message, Message) or not said:
        await press.answer(speech.label("desk-too-old"), show_alert=True)
        return
    question = Question(callback_data.prompt, callback_data.number)
    if question not in await _find_open(TelegramId(message.chat.id), context):
        await press.answer(speech.label("desk-question-gone"), show_alert=True)
        return
    await press.answer()
    await show(press, Card(speech.say("desk-which-chosen", question=_name(question, context), said=said)))
    await _take(message, question, said, bot, context)


async def leave_for_claim(press: CallbackQuery, context: Context) -> None:
    """Make the claim dialogue's question newer than all prompts, so that the operator's next text answers this question."""
    operator = TelegramId(press.from_user.id)
    now = context.clock()
    dialogue = await find_dialogue(context.pool, operator, now=now)
    question = dialogue.state if dialogue else ""
    if not await advance_dialogue(context.pool, operator, answered=question, state=question, answers={}, now=now):
        await press.answer(context.speech.label("desk-question-gone"), show_alert=True)
        return
    await press.answer()
    await show(press, Card(context.speech.say("desk-which-claim")))


async def cancel(message: Message, questions: Questions, context: Context) -> None:
    """End all open prompts, so that the next text is not taken as an answer."""
    operator = TelegramId(message.chat.id)
    for question in questions.prompts:
        await close_prompts(context.pool, operator, [question.prompt], question.number, until=context.clock())
    names = "\n".join(f"• {_name(question, context)}" for question in questions.prompts)
    await message.answer(context.speech.say("desk-questions-cancelled", questions=names))


async def _take(message: Message, question: Question, said: str, bot: Bot, context: Context) -> None:
    now = context.clock()
    values = {"number": question.number, "said": said, "bot": bot, "context": context}
    await CallableObject(TAKERS[question.prompt]).call(message, **values)
    # Close the prompt only after the answer is taken. If the call above fails, the operator can send the answer again. If the
    # answer was not understood, the call has asked the question again. This new prompt stays open, because only prompts that
    # were sent before the call are closed.
    await close_prompts(context.pool, TelegramId(message.chat.id), [question.prompt], question.number, until=now)


async def _find_questions(operator: TelegramId, context: Context) -> Questions:
    now = context.clock()
    prompts = await find_prompts(context.pool, operator, since=now - ANSWER_WITHIN)
    dialogue = await find_dialogue(context.pool, operator, now=now) if prompts else None
    if dialogue is not None and dialogue.updated_at > prompts[0].asked_at:
        # The claim dialogue has continued after the bot sent the newest prompt. So the operator's text is an answer in the claim
        # dialogue, and not an answer to a prompt.
        return Questions((), has_claim=True)
    return Questions(_questions(prompts), has_claim=dialogue is not None)


async def _find_open(operator: TelegramId, context: Context) -> Sequence[Question]:
    return _questions(await find_prompts(context.pool, operator, since=context.clock() - PROMPT_AGE_MAX))


def _questions(prompts: Sequence[OpenPrompt]) -> Sequence[Question]:
    # Leave out prompts of unknown kinds. A newer version may have stored them before a rollback to this version.
    return [Question(Prompt(one.kind), one.number) for one in prompts if one.kind in set(Prompt)]


def _ask_which(questions: Questions, said: str, context: Context) -> Card:
    speech = context.speech
    keys = [
        button(_name(one, context), AnswerTo(prompt=one.prompt, number=one.number))
        for one in questions.prompts[:QUESTIONS_MAX]
    ]
    if questions.has_claim:
        keys.append(button(speech.label("desk-question-claim"), AnswerToClaim()))
    keys.append(button(speech.label("desk-which-none"), LeaveAsIs()))
    return Card(speech.say("desk-which", said=said), rows(*column(keys)))


def _name(question: Question, context: Context) -> str:
    return context.speech.label(f"desk-question-{question.prompt}", number=str(question.number))
