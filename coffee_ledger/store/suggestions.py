"""Suggest users to whom a waiting charge may belong. An operator decides; a suggestion never matches a charge by itself."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain

from coffee_ledger.claiming import DAYS_APART_MAX, names_agree
from coffee_ledger.model import PendingPayment, TelegramId
from coffee_ledger.store.database import Pool, sql, transaction
from coffee_ledger.store.lookup import ShownCharge
from coffee_ledger.store.rows import payment_of

SUGGESTED_MAX = 6
"""The maximum number of suggestions. More buttons would not fit on the screen of a phone."""


class Cause(enum.StrEnum):
    """The reason why a user is suggested."""

    OPEN = "open"
    """The user had an open pending payment on the day of the charge."""
    NAME = "name"
    """
    Another charge with the same supporter, or with the same supporter name, was matched to the user.

    A match by a guess does not count, because a guess may be wrong.
    """
    CLAIM = "claim"
    """The user has an open claim. The claimed day of payment is at most `DAYS_APART_MAX` days before or after the charge."""


@dataclass(frozen=True)
class Suggestion:
    telegram_id: TelegramId
    cause: Cause
    amount: Decimal | None = None
    """The amount that the user picked or claims to have paid, in *currency*. None if *cause* is NAME."""
    currency: str = ""
    payment: PendingPayment | None = None


async def find_suggestions(pool: Pool, charge: ShownCharge) -> Sequence[Suggestion]:
    """
    Find at most `SUGGESTED_MAX` users to whom the charge may belong.

    First come users who had an open payment. Then come users to whom another charge of the same supporter, or of the same
    supporter name, was matched. Users with a claim come last.
    """
    money = charge.amount, charge.currency
    # Do not search for a word that is used instead of a name, such as "Someone". The search would suggest all users who paid
    # anonymously. For such a word, `names_agree` returns False even if both names are equal.
    name = charge.supporter_name if names_agree(charge.supporter_name, charge.supporter_name) else None
    async with transaction(pool) as db:
        opened = await db.fetch(sql("suggest_open"), charge.paid_at, *money, SUGGESTED_MAX)
        named = await db.fetch(sql("suggest_named"), charge.supporter_id, name, SUGGESTED_MAX)
        claims = await db.fetch(sql("suggest_claimants"), charge.paid_at, *money, DAYS_APART_MAX, SUGGESTED_MAX)
    return choose(
        [_of_payment(payment_of(row)) for row in opened],
        [Suggestion(row["telegram_id"], Cause.NAME) for row in named],
        [Suggestion(row["telegram_id"], Cause.CLAIM, row["amount"], row["currency"]) for row in claims],
    )


def choose(*groups: Sequence[Suggestion]) -> Sequence[Suggestion]:
    """
    Choose at most `SUGGESTED_MAX` suggestions, and at most one for each user. The suggestions of the first group come first.

    Choose at least one suggestion from each group, unless all its users are in earlier groups. Otherwise, the users with open
    payments would fill the whole list on a busy day.
    """
    distinct: dict[TelegramId, Suggestion] = {}
    for one in chain(*groups):
        distinct.setdefault(one.telegram_id, one)
    firsts: dict[Cause, Suggestion] = {}
    for one in distinct.values():
        firsts.setdefault(one.cause, one)
    others = [one for one in distinct.values() if firsts[one.cause] is not one]
    chosen = {one.telegram_id for one in [*firsts.values(), *others][:SUGGESTED_MAX]}
    return [one for one in distinct.values() if one.telegram_id in chosen]


def _of_payment(payment: PendingPayment) -> Suggestion:
    return Suggestion(payment.telegram_id, Cause.OPEN, payment.amount, payment.currency, payment)
