"""What becomes of events that had failed or could not be read: settled again, by the janitor, or put aside."""

from aiogram import F, Router
from aiogram.types import CallbackQuery, Message

from coffee_ledger.model import TelegramId
from coffee_ledger.store.desk import Done, Order, put_event_aside, settle_again
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.asking import Prompt, RepliesTo, ask, order_of_reply
from coffee_ledger.telegram.desk.buttons import Listing, PutAside, SettleAgain, TurnPage, button, rows
from coffee_ledger.telegram.desk.cards import Card
from coffee_ledger.telegram.desk.lists import list_card
from coffee_ledger.telegram.desk.showing import refuse, show


def make_router() -> Router:
    router = Router(name="desk-failed")
    router.callback_query.register(want, SettleAgain.filter(F.is_sure))
    router.callback_query.register(ask_whether, SettleAgain.filter())
    router.callback_query.register(ask_why_aside, PutAside.filter())
    router.message.register(put_aside, RepliesTo(Prompt.WHY_PUT_ASIDE))
    return router


async def ask_whether(press: CallbackQuery, callback_data: SettleAgain, context: Context) -> None:
    speech = context.speech
    number = callback_data.event_no
    keys = rows(
        [button(speech.label("desk-failed-yes"), SettleAgain(event_no=number, is_sure=True), style="success")],
        [button(speech.label("desk-back"), TurnPage(listing=Listing.FAILED, page=0))],
    )
    await press.answer()
    await show(press, Card(speech.say("desk-confirm-failed", number=str(number)), keys))


async def want(press: CallbackQuery, callback_data: SettleAgain, context: Context) -> None:
    number = callback_data.event_no
    order = Order(
        operator=TelegramId(press.from_user.id),
        reason=context.speech.label("desk-reason-failed", number=str(number)),
        now=context.clock(),
        request_key=f"press:{press.id}",
    )
    done = await settle_again(context.pool, number, order)
    if isinstance(done, Done):
        await press.answer(context.speech.label("desk-failed-wanted"))
    else:
        await refuse(press, done, context)
    await show(press, await list_card(Listing.FAILED, 0, context))


async def ask_why_aside(press: CallbackQuery, callback_data: PutAside, context: Context) -> None:
    await press.answer()
    if press.message is not None:
        number = callback_data.event_no
        text = context.speech.say("desk-ask-why-aside", number=str(number))
        await ask(press.message, context, Prompt.WHY_PUT_ASIDE, number, text)


async def put_aside(message: Message, number: int, said: str, context: Context) -> None:
    done = await put_event_aside(context.pool, number, order_of_reply(message, said, context))
    if isinstance(done, Done):
        await message.answer(context.speech.say("desk-aside", number=str(number)))
    else:
        await refuse(message, done, context, first="desk-refused-event-decided")
