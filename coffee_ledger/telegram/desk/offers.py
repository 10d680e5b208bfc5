"""Dismiss all charges that a summary lists as ordinary (see `coffee_ledger.triage`), and undo these dismissals."""

from collections.abc import Mapping

from aiogram import Bot, Router
from aiogram.types import CallbackQuery

from coffee_ledger.model import TelegramId
from coffee_ledger.store.decisions import (
    DoneForAll,
    OperatorRequest,
    SkipCause,
    dismiss_offered,
    undo_offered,
)
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.buttons import DismissAll, UndoAll, button, rows
from coffee_ledger.telegram.desk.cards import Card, as_many_as_fit
from coffee_ledger.telegram.desk.messages import refuse, show, show_below, show_everywhere
from coffee_ledger.telegram.speech import Speech


def make_router() -> Router:
    router = Router(name="desk-offers")
    router.callback_query.register(dismiss_all, DismissAll.filter())
    router.callback_query.register(undo_all, UndoAll.filter())
    return router


async def dismiss_all(press: CallbackQuery, callback_data: DismissAll, bot: Bot, context: Context) -> None:
    """Dismiss the charges that the summary showed. Report this in a new message with a button that undoes the dismissals."""
    speech = context.speech
    request = _request(press, speech.label("desk-reason-dismiss-all"), context)
    done = await dismiss_offered(context.pool, callback_data.offer_id, request)
    if not isinstance(done, DoneForAll):
        await refuse(press, done, context, first="desk-refused-offer-taken")
        return
    await press.answer()
    undo = button(speech.label("desk-undo-all-button"), UndoAll(offer_id=callback_data.offer_id))
    head = [_list("desk-dismissed-all", done.charge_ids, speech)] if done.charge_ids else []
    text = "\n".join([*(head or [speech.say("desk-dismissed-none")]), *_skipped(done.skipped, speech)])
    await show_below(press, Card(text, rows([undo]) if head else None))
    await _show_all(done, bot, context)


async def undo_all(press: CallbackQuery, callback_data: UndoAll, bot: Bot, context: Context) -> None:
    speech = context.speech
    request = _request(press, speech.label("desk-reason-undo-all"), context)
    done = await undo_offered(context.pool, callback_data.offer_id, request)
    if not isinstance(done, DoneForAll):
        await refuse(press, done, context)
        return
    await press.answer()
    head = _list("desk-undone-all", done.charge_ids, speech) if done.charge_ids else speech.say("desk-undone-none")
    await show(press, Card("\n".join([head, *_skipped(done.skipped, speech)])))
    await _show_all(done, bot, context)


def _request(press: CallbackQuery, reason: str, context: Context) -> OperatorRequest:
    return OperatorRequest(operator=TelegramId(press.from_user.id), reason=reason, now=context.clock())


def _list(text: str, charge_ids: tuple[int, ...], speech: Speech) -> str:
    numbers = ", ".join(speech.label("desk-number", number=str(one)) for one in charge_ids)
    return speech.say(text, count=len(charge_ids), numbers=numbers)


def _skipped(skipped: Mapping[int, SkipCause], speech: Speech) -> list[str]:
    """Return a line for each skipped charge, with the reason. Lines that do not fit in a message are left out."""
    return as_many_as_fit(
        speech.say("desk-skipped", number=str(number), why=speech.label(f"desk-skipped-{why}"))
        for number, why in skipped.items()
    )


async def _show_all(done: DoneForAll, bot: Bot, context: Context) -> None:
    """Update the cards of the charges. Most of these charges have no card, because only a summary has shown them."""
    for charge_id in done.charge_ids:
        await show_everywhere(bot, context, charge_id)
