"""Find a user by what an operator knows of them: a code, a name in Telegram, a Telegram id."""

import re
from dataclasses import dataclass

from coffee_ledger.codes import read_codes
from coffee_ledger.model import PendingPayment, TelegramId
from coffee_ledger.store.database import Pool
from coffee_ledger.store.lookup import (
    KnownUser,
    ShownCharge,
    find_payment_named,
    find_payments_of_user,
    find_users,
    find_users_named,
)

NAME = re.compile(r"@?([A-Za-z][A-Za-z0-9_]{3,31})")
TELEGRAM_ID = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(frozen=True)
class Found:
    """A user, and the payment by whose code they were found, if so."""

    user: KnownUser
    payment: PendingPayment | None = None


async def find_people(pool: Pool, said: str) -> list[Found]:
    payments = [await find_payment_named(pool, code) for code in sorted(read_codes(said).codes)]
    known = [payment for payment in payments if payment is not None]
    if known:
        users = await find_users(pool, {payment.telegram_id for payment in known})
        return [Found(users[payment.telegram_id], payment) for payment in known if payment.telegram_id in users]
    if TELEGRAM_ID.fullmatch(said):
        return [Found(user) for user in (await find_users(pool, [TelegramId(int(said))])).values()]
    name = NAME.fullmatch(said)
    return [Found(user) for user in await find_users_named(pool, name[1])] if name else []


def without_sign(number: str) -> str:
    """Drop what stands before a number where we write one: #7, №7."""
    return number.lstrip("#№ ")


async def find_answered_payment(pool: Pool, user: TelegramId, charge: ShownCharge) -> PendingPayment | None:
    """Find the user's one open payment of the charge's amount: it would be completed by it; None: none, or a doubt."""
    fitting = [
        payment
        for payment in await find_payments_of_user(pool, user)
        if payment.is_open and (payment.amount, payment.currency) == (charge.amount, charge.currency)
    ]
    return fitting[0] if len(fitting) == 1 else None
