"""
List unmatched charges, pending payments, claims, guesses, outsiders and failed events, in pages.

In the list of failed events, an operator can also settle an event again or dismiss it.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiogram import F, Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message

from coffee_ledger.charges import OutsiderKind
from coffee_ledger.codes import show_code
from coffee_ledger.events import Glimpse
from coffee_ledger.model import Outcome, PendingPayment, TelegramId
from coffee_ledger.store.decisions import Done, OperatorRequest, dismiss_event, request_retry
from coffee_ledger.store.lookup import (
    KeptEvent,
    KnownUser,
    Page,
    ShownCharge,
    ShownClaim,
    ShownGuess,
    ShownOutsider,
    count_before,
    find_users,
    list_claims,
    list_guesses,
    list_kept_events,
    list_outsiders,
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
    TurnFrom,
    TurnPage,
    button,
    page_keys,
    rows,
)
from coffee_ledger.telegram.desk.cards import NAME_LENGTH_MAX, Card, item_of, money, name_of, short
from coffee_ledger.telegram.desk.messages import Prompt, ask, refuse, request_of_reply, show
from coffee_ledger.telegram.speech import Speech

PAGE_LENGTH = 6
PAGES_MAX = 1_000_000
"""The largest accepted page number. A client can forge a larger number, which would exceed the range of OFFSET in the query."""

LINE_NOTE_LENGTH_MAX = 80
"""The maximum length of a note in a list, in characters. The card of the charge shows more of the note."""

Lines = list[str]
Keys = list[InlineKeyboardButton]


def make_router() -> Router:
    router = Router(name="desk-lists")
    for command, listing in COMMANDS.items():
        router.message.register(_begin(listing), Command(command, ignore_case=True))
    router.callback_query.register(turn, TurnPage.filter())
    router.callback_query.register(turn_from, TurnFrom.filter())
    # Register `settle_event_again` first, because the filter of `ask_whether_again` also matches confirmed requests.
    router.callback_query.register(settle_event_again, SettleAgain.filter(F.is_sure))
    router.callback_query.register(ask_whether_again, SettleAgain.filter())
    router.callback_query.register(ask_why_aside, PutAside.filter())
    return router


def _begin(listing: Listing) -> Callable[..., Awaitable[None]]:
    async def begin(message: Message, command: CommandObject, context: Context) -> None:
        card = await list_card(listing, _read_page(command.args) * PAGE_LENGTH, context)
        await message.answer(card.text, reply_markup=card.keyboard)

    return begin


def _read_page(args: str | None) -> int:
    """Return the index of the page in *args*, counted from 0: `/unmatched 2` gives 1. Text that is no number gives 0."""
    written = (args or "").strip()
    is_number = written.isascii() and written.isdecimal()
    # Read only the first seven digits. They suffice, because every page from 1,000,000 on is after the last page.
    return min(max(int(written[:7]) - 1, 0), PAGES_MAX) if is_number else 0


async def turn(press: CallbackQuery, callback_data: TurnPage, context: Context) -> None:
    page = min(max(callback_data.page, 0), PAGES_MAX)
    await press.answer()
    await show(press, await list_card(callback_data.listing, page * PAGE_LENGTH, context))


async def turn_from(press: CallbackQuery, callback_data: TurnFrom, context: Context) -> None:
    """Show the page after or before the row in *callback_data*. If rows have left the list meanwhile, no row is skipped."""
    listing, is_back = callback_data.listing, callback_data.is_back
    mark = _read_mark(listing, callback_data.mark)
    await press.answer()
    if mark is None:
        return
    count = await count_before(context.pool, LISTS[listing].count, mark, with_mark=not is_back)
    await show(press, await list_card(listing, max(count - PAGE_LENGTH, 0) if is_back else count, context))


def _read_mark(listing: Listing, mark: str) -> int | str | None:
    """Read the id of a row. Return None for text that is no id, because a client can forge the data of a button."""
    if listing is Listing.PENDING:
        return mark
    return int(mark) if re.fullmatch(r"[0-9]{1,18}", mark) else None


async def ask_whether_again(press: CallbackQuery, callback_data: SettleAgain, context: Context) -> None:
    """Ask whether to settle the event again."""
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


async def list_card(listing: Listing, skip: int, context: Context) -> Card:
    """Build the page that begins after the first *skip* rows of a list, with a button for each row that can be opened."""
    speech = context.speech
    kind, name = LISTS[listing], listing.name.lower()
    page = await kind.load(context.pool, skip=skip, count_max=PAGE_LENGTH)
    lines, keys = await kind.describe(page, context)
    if not lines:
        if not skip:
            return Card(speech.say(f"desk-{name}-none"))
        # The page does not exist, or all its rows have left the list meanwhile. Show the last page, which depends on the total.
        total = (await kind.load(context.pool, skip=0, count_max=1)).total
        return await list_card(listing, max(total - 1, 0) // PAGE_LENGTH * PAGE_LENGTH, context)
    # Count the pages before this page. One of them may be incomplete, because this page may begin after any row. So round up.
    before = -(-skip // PAGE_LENGTH)
    pages = before - (skip - page.total) // PAGE_LENGTH
    title = speech.say(f"desk-{name}-title", total=page.total, page=before + 1, pages=pages) + "\n"
    marks = kind.marks(page)
    turning = page_keys(
        speech, listing, first=marks[0], last=marks[-1], has_back=skip > 0, has_forth=skip + len(marks) < page.total
    )
    return Card("\n".join([title, *lines]), rows(*in_pairs(keys), turning))


async def _charges(page: Page, context: Context) -> tuple[Lines, Keys]:
    lines = [line for charge in page.charges for line in _charge_lines(charge, context.speech)]
    return lines, [open_key(one, context.speech) for one in page.charges]


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
    lines = [line for event in page.events for line in _event_lines(event, context.speech)]
    return lines, [key for pair in keys for key in pair]


async def _guesses(page: Page, context: Context) -> tuple[Lines, Keys]:
    users = await find_users(context.pool, {guess.telegram_id for guess in page.guesses})
    lines = [_guess_line(guess, users, context.speech) for guess in page.guesses]
    return lines, [open_key(guess.charge, context.speech) for guess in page.guesses]


async def _outsiders(page: Page, context: Context) -> tuple[Lines, Keys]:
    lines = [_outsider_line(one, context.speech) for one in page.outsiders]
    return lines, [open_key(one.charge, context.speech) for one in page.outsiders]


COMMANDS = {
    "unmatched": Listing.UNMATCHED,
    "pending": Listing.PENDING,
    "claims": Listing.CLAIMS,
    "failed": Listing.FAILED,
    "guesses": Listing.GUESSES,
    "outsiders": Listing.OUTSIDERS,
}


@dataclass(frozen=True)
class Kind:
    """The functions and the SQL query with which the desk loads a list, describes its rows and turns its pages."""

    load: Callable[..., Awaitable[Page]]
    describe: Callable[[Page, Context], Awaitable[tuple[Lines, Keys]]]
    marks: Callable[[Page], Sequence[str]]
    """Returns the ids of the rows on a page, in the order of the rows."""
    count: str
    """The name of the SQL query that counts the rows before a given row."""


LISTS = {
    Listing.UNMATCHED: Kind(
        list_unmatched, _charges, lambda page: [str(one.charge_id) for one in page.charges], "count_unmatched_before"
    ),
    Listing.PENDING: Kind(
        list_pending, _payments, lambda page: [one.payment_id for one in page.payments], "count_pending_before"
    ),
    Listing.CLAIMS: Kind(
        list_claims, _claims, lambda page: [str(one.claim_id) for one in page.claims], "count_claims_before"
    ),
    Listing.FAILED: Kind(
        list_kept_events, _events, lambda page: [str(one.event_no) for one in page.events], "count_kept_before"
    ),
    Listing.GUESSES: Kind(
        list_guesses, _guesses, lambda page: [str(one.charge.charge_id) for one in page.guesses], "count_guesses_before"
    ),
    Listing.OUTSIDERS: Kind(
        list_outsiders,
        _outsiders,
        lambda page: [str(one.outsider_id) for one in page.outsiders],
        "count_outsiders_before",
    ),
}


def _charge_lines(charge: ShownCharge, speech: Speech) -> Lines:
    note = " ".join((charge.note or "").split())
    lines = [charge_line(charge, speech)]
    return [*lines, speech.say("desk-line-note", note=short(note, LINE_NOTE_LENGTH_MAX))] if note else lines


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


def _outsider_line(outsider: ShownOutsider, speech: Speech) -> str:
    charge = outsider.charge
    is_item = outsider.kind == OutsiderKind.ITEM
    name = item_of(charge)[1] if is_item else short(charge.supporter_name or "—", NAME_LENGTH_MAX)
    return speech.say(
        "desk-outsiders-line",
        number=str(charge.charge_id),
        kind=speech.word("desk-outsider", outsider.kind),
        name=name,
        time=speech.time(outsider.remembered_at),
    )


def _event_lines(event: KeptEvent, speech: Speech) -> Lines:
    seen = event.glimpse
    line = speech.say(
        "desk-failed-line",
        number=str(event.event_no),
        type=short(event.type or seen.type or speech.label("type-none"), NAME_LENGTH_MAX),
        amount=_amount_seen(seen, speech),
        time=speech.time(event.received_at),
        became=speech.say("became-wanted" if event.retry_requested_at else f"became-{event.outcome}"),
    )
    return [line, speech.say("desk-failed-cause", cause=speech.label(f"desk-cause-{_cause_of(event)}"))]


def _amount_seen(seen: Glimpse, speech: Speech) -> str:
    if seen.amount is None:
        return speech.label("desk-failed-no-amount")
    return speech.money(seen.amount, seen.currency) if seen.currency else f"{seen.amount:f}"


def _cause_of(event: KeptEvent) -> str:
    if event.glimpse.problem is not None:
        return event.glimpse.problem
    # This version of the software finds no problem in the event's body, so the outcome shows the cause. If the outcome is
    # `failed`, the database refused the event. If the outcome is `unreadable`, an older version could not read the event, but
    # this version probably can.
    return "refused" if event.outcome is Outcome.FAILED else "readable"


def _event_keys(event: KeptEvent, speech: Speech) -> Keys:
    number = str(event.event_no)
    again = button(
        speech.label("desk-failed-button", number=number), SettleAgain(event_no=event.event_no, is_sure=False)
    )
    return [again, button(speech.label("desk-aside-button", number=number), PutAside(event_no=event.event_no))]


def in_pairs(keys: Sequence[InlineKeyboardButton]) -> list[Sequence[InlineKeyboardButton]]:
    return [keys[place : place + 2] for place in range(0, len(keys), 2)]
