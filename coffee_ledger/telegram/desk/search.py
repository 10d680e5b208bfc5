"""Handle /find, which searches users and charges, and /payment, which shows the history of a pending payment."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import InlineKeyboardMarkup, Message

from coffee_ledger.codes import is_code, is_older_form, read_codes
from coffee_ledger.model import PaymentId, PendingPayment, TelegramId
from coffee_ledger.store.database import Pool
from coffee_ledger.store.lookup import (
    FOUND_MAX,
    Entry,
    KnownUser,
    Life,
    ShownCharge,
    find_charges_by_email,
    find_charges_by_name,
    find_charges_by_number,
    find_charges_of_user,
    find_life,
    find_payment_named,
    find_payments_of_user,
    find_users,
    find_users_by_part,
    find_users_named,
)
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.buttons import rows
from coffee_ledger.telegram.desk.cards import as_many_as_fit, decision_line, money, name_of, reason_words
from coffee_ledger.telegram.desk.lists import charge_line, in_pairs, open_key, payment_line
from coffee_ledger.telegram.speech import Speech

PEOPLE_MAX = 5
CHARGES_MAX = 12
"""The maximum number of charges in one answer. Each charge has one button, so the number of buttons is limited too."""

QUERY_LENGTH_MAX = 200
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
NAME = re.compile(r"@?([A-Za-z][A-Za-z0-9_]{3,31})")
# Accept at most 16 digits, because Telegram's ids have at most 52 bits.
TELEGRAM_ID = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(frozen=True)
class Found:
    """A user that was found. If the operator searched for a code, *payment* is the pending payment with this code."""

    user: KnownUser
    payment: PendingPayment | None = None


@dataclass(frozen=True)
class People:
    """The users that a search found, at most `PEOPLE_MAX`. *has_more* is True if more users fit the search."""

    found: Sequence[Found]
    has_more: bool = False


def make_router() -> Router:
    router = Router(name="desk-search")
    router.message.register(find, Command("find", ignore_case=True))
    router.message.register(show_history, Command("payment", ignore_case=True))
    return router


async def find(message: Message, command: CommandObject, context: Context) -> None:
    speech = context.speech
    said = (command.args or "").strip()[:QUERY_LENGTH_MAX]
    if not said:
        await message.answer(speech.say("desk-find-how"))
        return
    is_address = not said.startswith("@") and EMAIL.fullmatch(said) is not None
    people = People([]) if is_address else await search_people(context.pool, said)
    charges, has_more = await _find_charges(context.pool, said, people, is_address=is_address)
    lines = [line for found in people.found for line in await _tell_user(found, context)]
    lines += [_line_with_email(charge, said if is_address else None, speech) for charge in charges]
    if not lines:
        await message.answer(speech.say("desk-found-nothing"))
        return
    text = _fit(lines, speech)
    if people.has_more or has_more:
        text += "\n" + speech.say("desk-found-more")
    keys = [open_key(charge, speech) for charge in charges]
    await message.answer(text, reply_markup=rows(*in_pairs(keys)) if keys else None)


async def show_history(message: Message, command: CommandObject, context: Context) -> None:
    speech = context.speech
    code = read_payment_id(command.args or "")
    life = await find_life(context.pool, code) if code else None
    if life is None:
        await message.answer(speech.say("desk-payment-how" if code is None else "desk-payment-unknown"))
        return
    await message.answer(_life(life, speech), reply_markup=_life_keys(life, speech))


async def search_people(pool: Pool, said: str) -> People:
    """
    Find users by a code, a Telegram id, or a part of a username or of a name on Buy Me a Coffee.

    A number is read only as a Telegram id. If the text is a known @username or contains a known code, no parts are searched.
    """
    exact = (await find_people(pool, said))[:PEOPLE_MAX]
    if TELEGRAM_ID.fullmatch(said):
        return People(exact)
    is_exact = said.startswith("@") or any(found.payment for found in exact)
    part = unicodedata.normalize("NFC", " ".join(said.removeprefix("@").split()))
    if (exact and is_exact) or not part:
        return People(exact)
    # A text that begins with @ is a username, so do not search the names on Buy Me a Coffee for it.
    users, has_more = await find_users_by_part(pool, part, is_name=not said.startswith("@"), count_max=PEOPLE_MAX)
    # The users with exactly this username come first. The search by a part has found these users too, so remove duplicates.
    found = {one.user.telegram_id: one for one in (*exact, *map(Found, users))}
    return People(list(found.values())[:PEOPLE_MAX], has_more=has_more or len(found) > PEOPLE_MAX)


async def find_people(pool: Pool, said: str) -> list[Found]:
    """
    Find users by the codes in the text. If the text contains no known code, read it as a Telegram id or a username.

    Parts of names are not searched, because a part may fit the wrong user. So this function is safe for commands that change a
    balance.
    """
    payments = [await find_payment_named(pool, code) for code in sorted(read_codes(said).codes)]
    known = [payment for payment in payments if payment is not None]
    if known:
        users = await find_users(pool, {payment.telegram_id for payment in known})
        return [Found(users[payment.telegram_id], payment) for payment in known if payment.telegram_id in users]
    if TELEGRAM_ID.fullmatch(said):
        return [Found(user) for user in (await find_users(pool, [TelegramId(int(said))])).values()]
    name = NAME.fullmatch(said)
    return [Found(user) for user in await find_users_named(pool, name[1])] if name else []


async def find_answered_payment(pool: Pool, user: TelegramId, charge: ShownCharge) -> PendingPayment | None:
    """Find the user's open pending payment of the amount that was charged. Return None if there is none or more than one."""
    fitting = [
        payment
        for payment in await find_payments_of_user(pool, user)
        if payment.is_open and (payment.amount, payment.currency) == (charge.amount, charge.currency)
    ]
    return fitting[0] if len(fitting) == 1 else None


def read_payment_id(said: str) -> PaymentId | None:
    """Parse a code, or a payment id of the older form `<telegram_id>_<unix seconds>`. Return None for any other text."""
    codes = read_codes(said).codes
    if len(codes) == 1:
        return next(iter(codes))
    said = said.strip()
    return PaymentId(said) if is_code(said) or is_older_form(said) else None


def user_line(user: KnownUser, speech: Speech) -> str:
    return speech.say(
        "desk-user",
        user=name_of(user.telegram_id, {user.telegram_id: user}),
        credits=speech.say("credits", credits=user.balance),
        since=speech.time(user.created_at),
        language=user.language,
    )


def without_number_sign(number: str) -> str:
    """Remove the # or № before a number, as in #7 or №7."""
    return number.lstrip("#№ ")


def mask(address: str) -> str:
    """Hide most of an e-mail address, as in a***@example.org. The visible part usually distinguishes two addresses."""
    name, _, host = address.partition("@")
    return f"{name[:1]}***@{host}" if host else f"{name[:1]}***"


async def _find_charges(
    pool: Pool, said: str, people: People, *, is_address: bool
) -> tuple[Sequence[ShownCharge], bool]:
    """Find the charges that fit the search. Return at most `CHARGES_MAX` of them, and whether there are more."""
    if is_address:
        return await find_charges_by_email(pool, said), False
    number = without_number_sign(said)
    charges = await find_charges_by_number(pool, number)
    has_more = False
    if not said.startswith("@") and not TELEGRAM_ID.fullmatch(number):
        named, has_more = await find_charges_by_name(pool, " ".join(said.split()))
        charges += named
    for found in people.found:
        charges += await find_charges_of_user(pool, found.user.telegram_id)
    # Remove duplicates, because more than one search may find the same charge.
    distinct = list({charge.charge_id: charge for charge in charges}.values())
    return distinct[:CHARGES_MAX], has_more or len(distinct) > CHARGES_MAX


async def _tell_user(found: Found, context: Context) -> list[str]:
    speech = context.speech
    user = found.user
    lines = [user_line(user, speech)]
    if user.erased_at is not None:
        lines.append(speech.say("desk-user-erased", time=speech.time(user.erased_at)))
    elif user.unreachable_at is not None:
        lines.append(speech.say("desk-user-unreachable", time=speech.time(user.unreachable_at)))
    payments = await find_payments_of_user(context.pool, user.telegram_id)
    lines += [payment_line(payment, {user.telegram_id: user}, speech) for payment in payments]
    return [*lines, ""]


def _line_with_email(charge: ShownCharge, typed: str | None, speech: Speech) -> str:
    line = charge_line(charge, speech)
    if not charge.email:
        return line
    # Show the whole address only if the operator searched for it, because this operator already knows it.
    is_known = typed is not None and typed.lower() == charge.email.lower()
    return f"{line} · {speech.say('desk-email', email=charge.email if is_known else mask(charge.email))}"


def _life(life: Life, speech: Speech) -> str:
    payment = life.payment
    lines = [
        payment_line(payment, dict(life.users), speech),
        "",
        speech.say("desk-life-opened", time=speech.time(payment.created_at)),
    ]
    ended_at = life.completed_at or life.ended_at
    if ended_at is not None:
        status = speech.say(f"desk-status-{payment.status}")
        lines.append(speech.say("desk-life-ended", time=speech.time(ended_at), status=status))
    for charge in life.charges:
        lines += _life_of_charge(charge, life, speech)
    if not life.charges:
        lines.append(speech.say("desk-life-no-charge"))
    lines += [
        speech.say(
            "desk-life-told",
            time=speech.time(one["sent_at"] or one["created_at"]),
            kind=speech.word("desk-kind", one["kind"]),
            status=speech.say(f"desk-sent-{one['status']}"),
        )
        for one in life.messages
    ]
    return _fit(lines, speech)


def _life_of_charge(charge: ShownCharge, life: Life, speech: Speech) -> list[str]:
    rule = speech.word("rule", charge.method) if charge.method else "—"
    lines = [
        speech.say(
            "desk-life-charge",
            time=speech.time(charge.paid_at),
            amount=money(charge, speech),
            number=str(charge.charge_id),
            charge=charge.charge_key,
            rule=rule,
        )
    ]
    if charge.flag:
        lines.append(speech.say("desk-charge-flag", flag=speech.word("desk-flag", charge.flag)))
    for reason in charge.reasons[:6]:
        rule, why = reason_words(reason, speech)
        lines.append(speech.say("reason", rule=rule, why=why))
    lines += [_entry_line(entry, speech) for entry in life.entries if entry.charge_id == charge.charge_id]
    if charge.decision is not None:
        lines.append(decision_line(charge.decision, life.users, speech))
    return lines


def _entry_line(entry: Entry, speech: Speech) -> str:
    return speech.say(
        "desk-life-entry",
        time=speech.time(entry.created_at),
        credits=speech.change(entry.credits),
        kind=speech.say(f"desk-entry-{entry.kind}"),
        user=str(entry.telegram_id),
        number=str(entry.credit_id),
    )


def _life_keys(life: Life, speech: Speech) -> InlineKeyboardMarkup | None:
    # Show buttons only for the newest charges, because many charges may have the same code.
    keys = [open_key(charge, speech) for charge in life.charges[-FOUND_MAX:]]
    return rows(*in_pairs(keys)) if keys else None


def _fit(lines: list[str], speech: Speech) -> str:
    """Join the lines that fit into a message. If lines are left out, add a line with their number."""
    shown = as_many_as_fit(lines)
    left = len(lines) - len(shown)
    return "\n".join([*shown, speech.say("desk-more", count=left)] if left else shown)
