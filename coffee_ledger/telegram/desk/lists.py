"""
List unmatched charges, pending payments, claims, guesses and failed events, in pages.

In the list of failed events, an operator can also settle an event again or dismiss it.
"""

from collections.abc import Awaitable, Callable, Sequence

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message

from coffee_ledger.codes import show_code
from coffee_ledger.model import PendingPayment, TelegramId
from coffee_ledger.store.decisions import Done, OperatorRequest, dismiss_event, request_retry
from coffee_ledger.store.lookup import (
    KeptEvent,
    KnownUser,
    Page,
    ShownCharge,
    ShownClaim,
    ShownGuess,
    find_users,
    list_claims,
    list_guesses,
    list_kept_events,
    list_pending,
    list_unmatched,
)
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.buttons import (
    Listing,
    OnCharge,
    OnClaim,
    PutAside,
    SettleAgain,
    Step,
    TurnPage,
    button,
    page_keys,
    rows,
)
from coffee_ledger.telegram.desk.cards import NAME_LENGTH_MAX, Card, money, name_of, short
from coffee_ledger.telegram.desk.messages import Prompt, RepliesTo, ask, refuse, request_of_reply, show
from coffee_ledger.telegram.speech import Speech

PAGE_LENGTH = 6
PAGES_MAX = 1_000_000
"""The largest accepted page number. A client can forge a larger number, which would exceed the range of OFFSET in the query."""

Lines = list[str]
Keys = list[InlineKeyboardButton]


def make_router() -> Router:
    router = Router(name="desk-lists")
    for command, listing in COMMANDS.items():
        router.message.register(_begin(listing), Command(command, ignore_case=True))
    router.callback_query.register(turn, TurnPage.filter())
    # Register the handler of confirmed requests first, because the second filter matches confirmed requests too.
    router.callback_query.register(settle_event_again, SettleAgain.filter(F.is_sure))
    router.callback_query.register(ask_whether_again, SettleAgain.filter())
    router.callback_query.register(ask_why_aside, PutAside.filter())
    router.message.register(dismiss_event_by_reply, RepliesTo(Prompt.WHY_DISMISS_EVENT))
    return router


def _begin(listing: Listing) -> Callable[..., Awaitable[None]]:
    async def begin(message: Message, context: Context) -> None:
        card = await list_card(listing, 0, context)
        await message.answer(card.text, reply_markup=card.keyboard)

    return begin


async def turn(press: CallbackQuery, callback_data: TurnPage, context: Context) -> None:
    page = min(max(callback_data.page, 0), PAGES_MAX)
    await press.answer()
    await show(press, await list_card(callback_data.listing, page, context))


async def ask_whether_again(press: CallbackQuery, callback_data: SettleAgain, context: Context) -> None:
    """Ask for confirmation before the event is settled again."""
    speech = context.speech
    number = callback_data.event_no
    keys = rows(
        [button(speech.label("desk-failed-yes"), SettleAgain(event_no=number, is_sure=True), style="success")],
        [button(speech.label("desk-back"), TurnPage(listing=Listing.FAILED, page=0))],
    )
    await press.answer()
    await show(press, Card(speech.say("desk-confirm-failed", number=str(number)), keys))


async def settle_event_again(press: CallbackQuery, callback_data: SettleAgain, context: Context) -> None:
    """Mark the event, so that the janitor settles it again."""
    number = callback_data.event_no
    request = OperatorRequest(
        operator=TelegramId(press.from_user.id),
        reason=context.speech.label("desk-reason-failed", number=str(number)),
        now=context.clock(),
        request_key=f"press:{press.id}",
    )
    done = await request_retry(context.pool, number, request)
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
        await ask(press.message, context, Prompt.WHY_DISMISS_EVENT, number, text)


async def dismiss_event_by_reply(message: Message, number: int, said: str, context: Context) -> None:
    done = await dismiss_event(context.pool, number, request_of_reply(message, said, context))
    if isinstance(done, Done):
        await message.answer(context.speech.say("desk-aside", number=str(number)))
    else:
        await refuse(message, done, context, first="desk-refused-event-decided")


async def list_card(listing: Listing, number: int, context: Context) -> Card:
    """Build a page of a list, with a button for each row that can be opened."""
    speech = context.speech
    load, describe = LISTS[listing]
    page = await load(context.pool, skip=number * PAGE_LENGTH, count_max=PAGE_LENGTH)
    name = listing.name.lower()
    lines, keys = await describe(page, context)
    if not lines:
        # If a later page is empty, its rows were decided after the operator opened the list, so show the first page.
        return await list_card(listing, 0, context) if number else Card(speech.say(f"desk-{name}-none"))
    pages = -(-page.total // PAGE_LENGTH)
    title = speech.say(f"desk-{name}-title", total=page.total, page=number + 1, pages=pages) + "\n"
    return Card(
        "\n".join([title, *lines]),
        rows(*in_pairs(keys), page_keys(speech, listing, page=number, pages=pages)),
    )


async def _charges(page: Page, context: Context) -> tuple[Lines, Keys]:
    return [charge_line(charge, context.speech) for charge in page.charges], [
        open_key(one, context.speech) for one in page.charges
    ]


async def _payments(page: Page, context: Context) -> tuple[Lines, Keys]:
    users = await find_users(context.pool, {payment.telegram_id for payment in page.payments})
    return [payment_line(payment, users, context.speech) for payment in page.payments], []


async def _claims(page: Page, context: Context) -> tuple[Lines, Keys]:
    users = await find_users(context.pool, {claim.telegram_id for claim in page.claims})
    lines = [_claim_line(claim, users, context.speech) for claim in page.claims]
    return lines, [
        button(
            context.speech.label("desk-claims-button", number=str(claim.claim_id)),
            OnClaim(step=Step.OPEN, claim_id=claim.claim_id),
        )
        for claim in page.claims
    ]


async def _events(page: Page, context: Context) -> tuple[Lines, Keys]:
    # Show no buttons for an event that the janitor is already going to settle again.
    keys = [_event_keys(event, context.speech) for event in page.events if event.retry_requested_at is None]
    return [_event_line(event, context.speech) for event in page.events], [key for pair in keys for key in pair]


async def _guesses(page: Page, context: Context) -> tuple[Lines, Keys]:
    users = await find_users(context.pool, {guess.telegram_id for guess in page.guesses})
    lines = [_guess_line(guess, users, context.speech) for guess in page.guesses]
    return lines, [open_key(guess.charge, context.speech) for guess in page.guesses]


COMMANDS = {
    "unmatched": Listing.UNMATCHED,
    "pending": Listing.PENDING,
    "claims": Listing.CLAIMS,
    "failed": Listing.FAILED,
    "guesses": Listing.GUESSES,
}
LISTS: dict[
    Listing,
    tuple[Callable[..., Awaitable[Page]], Callable[[Page, Context], Awaitable[tuple[Lines, Keys]]]],
] = {
    Listing.UNMATCHED: (list_unmatched, _charges),
    Listing.PENDING: (list_pending, _payments),
    Listing.CLAIMS: (list_claims, _claims),
    Listing.FAILED: (list_kept_events, _events),
    Listing.GUESSES: (list_guesses, _guesses),
}


def charge_line(charge: ShownCharge, speech: Speech) -> str:
    return speech.say(
        "desk-charge-line",
        number=str(charge.charge_id),
        amount=money(charge, speech),
        time=speech.time(charge.paid_at),
        name=short(charge.supporter_name or "—", NAME_LENGTH_MAX),
        state=speech.say(f"desk-word-{charge.state}"),
    )


def payment_line(payment: PendingPayment, users: dict[TelegramId, KnownUser], speech: Speech) -> str:
    return speech.say(
        "desk-payment-line",
        code=show_code(payment.payment_id),
        amount=speech.money(payment.amount, payment.currency),
        user=name_of(payment.telegram_id, users),
        time=speech.time(payment.created_at),
        status=speech.say(f"desk-status-{payment.status}"),
    )


def open_key(charge: ShownCharge, speech: Speech) -> InlineKeyboardButton:
    text = speech.label("desk-open-button", number=str(charge.charge_id), amount=money(charge, speech))
    return button(text, OnCharge(step=Step.OPEN, charge_id=charge.charge_id))


def _claim_line(claim: ShownClaim, users: dict[TelegramId, KnownUser], speech: Speech) -> str:
    return speech.say(
        "desk-claims-line",
        number=str(claim.claim_id),
        amount=speech.money(claim.amount, claim.currency),
        day=speech.day(claim.paid_on),
        user=name_of(claim.telegram_id, users),
        time=speech.time(claim.created_at),
    )


def _guess_line(guess: ShownGuess, users: dict[TelegramId, KnownUser], speech: Speech) -> str:
    taken_back_at = guess.taken_back_at
    if taken_back_at is not None:
        state = speech.label("desk-guess-taken-back", time=speech.time(taken_back_at))
    else:
        state = speech.label("desk-guess-stands" if guess.stands else f"desk-word-{guess.charge.state}")
    return speech.say(
        "desk-guesses-line",
        number=str(guess.charge.charge_id),
        amount=money(guess.charge, speech),
        user=name_of(guess.telegram_id, users),
        time=speech.time(guess.guessed_at),
        state=state,
    )


def _event_line(event: KeptEvent, speech: Speech) -> str:
    return speech.say(
        "desk-failed-line",
        number=str(event.event_no),
        type=event.type or speech.say("type-none"),
        time=speech.time(event.received_at),
        became=speech.say("became-wanted" if event.retry_requested_at else f"became-{event.outcome}"),
    )


def _event_keys(event: KeptEvent, speech: Speech) -> Keys:
    number = str(event.event_no)
    again = button(
        speech.label("desk-failed-button", number=number), SettleAgain(event_no=event.event_no, is_sure=False)
    )
    return [again, button(speech.label("desk-aside-button", number=number), PutAside(event_no=event.event_no))]


def in_pairs(keys: Sequence[InlineKeyboardButton]) -> list[Sequence[InlineKeyboardButton]]:
    return [keys[place : place + 2] for place in range(0, len(keys), 2)]
