"""
Handle the command /reconcile. It shows the differences between the lists of Buy Me a Coffee (BMC) and our charges.

The janitor compares the lists with our charges, because only the janitor has the token of BMC's API. The bot stores a request
in the database, and waits until the janitor has answered.
"""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from aiogram import Router
from aiogram.filters import Command
from aiogram.types import Message

from coffee_ledger.model import TelegramId
from coffee_ledger.store.lookup import KnownUser, find_users
from coffee_ledger.store.reconciliation import (
    CHECKED_WITHIN,
    ListedEvent,
    ListState,
    MissingRow,
    Report,
    UnlistedCharge,
    is_answered,
    load_report,
    request_reconciliation,
)
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.cards import as_many_as_fit, name_of
from coffee_ledger.telegram.desk.doctor import ago
from coffee_ledger.telegram.speech import Speech

WAIT_SECONDS_MAX = 20.0
"""The longest time to wait for the janitor. A comparison reads about ten pages, and reading a page takes less than a second."""

POLL_SECONDS = 0.5

Users = Mapping[TelegramId, KnownUser]


def make_router() -> Router:
    router = Router(name="desk-reconciliation")
    router.message.register(compare, Command("reconcile", ignore_case=True))
    return router


async def compare(message: Message, context: Context) -> None:
    """
    Ask the janitor for a comparison, and show the differences between BMC's lists and our charges.

    A comparison takes seconds, so show a progress message first.
    """
    speech = context.speech
    request_id = await request_reconciliation(context.pool, "operator", now=context.clock())
    if request_id is None:
        await message.answer("\n".join(await _report(context, head=speech.say("desk-lists-off"))))
        return
    progress = await message.answer(speech.say("desk-lists-reading"))
    is_read = await _wait_for_answer(request_id, context)
    head = speech.say("desk-lists-title" if is_read else "desk-lists-slow")
    await progress.edit_text("\n".join(await _report(context, head=head)))


async def _wait_for_answer(request_id: int, context: Context) -> bool:
    """Wait until the janitor has answered. Return False if it has not answered within `WAIT_SECONDS_MAX`."""
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            # Poll the database. A connection that listens for a NOTIFY would cost more than these few queries.
            while not await is_answered(context.pool, request_id):  # noqa: ASYNC110 — an asyncio.Event cannot report the answer of another process
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False
    return True


async def _report(context: Context, *, head: str) -> list[str]:
    report = await load_report(context.pool)
    owners = [one.telegram_id for one in report.found] + [one.telegram_id for one in report.unlisted]
    users = await find_users(context.pool, [owner for owner in owners if owner is not None])
    return as_many_as_fit([head, *_lines(report, users, context)])


def _lines(report: Report, users: Users, context: Context) -> Iterator[str]:
    speech, now = context.speech, context.clock()
    if not report.lists:
        return
    yield from (_list_line(state, speech, now) for state in report.lists)
    if report.unlisted:
        yield from ("", speech.say("desk-lists-unlisted"))
        yield from (_unlisted_line(one, users, speech) for one in report.unlisted)
    if report.missing:
        yield from ("", speech.say("desk-lists-missing"))
        yield from (_missing_line(row, speech, now) for row in report.missing)
    if report.found:
        yield from ("", speech.say("desk-lists-found"))
        yield from (_found_line(event, users, speech) for event in report.found)
    if not (report.unlisted or report.missing or report.found):
        yield from ("", speech.say("desk-lists-agree"))


def _list_line(state: ListState, speech: Speech, now: datetime) -> str:
    name, age = speech.say(f"desk-list-{state.list}"), ago(now - state.checked_at, speech)
    if state.is_healthy:
        text = "desk-list-stale" if now - state.checked_at > CHECKED_WITHIN else f"desk-list-state-{state.state}"
        return speech.say(text, list=name, ago=age)
    remedy = speech.word("desk-list-remedy", state.state)
    return speech.say("desk-list-state-failed", list=name, ago=age, remedy=remedy)


def _missing_line(row: MissingRow, speech: Speech, now: datetime) -> str:
    return speech.say(
        "desk-lists-missing-row",
        amount=_money(row.amount, row.currency, speech),
        list=speech.say(f"desk-list-{row.list}"),
        ago=ago(max(now - row.first_seen_at, timedelta()), speech),
    )


def _found_line(event: ListedEvent, users: Users, speech: Speech) -> str:
    became = speech.word("became", event.outcome)
    if event.charge_id is None:
        return speech.say("desk-lists-found-event", number=str(event.event_no), became=became)
    return speech.say(
        "desk-lists-found-row" if event.telegram_id is None else "desk-lists-found-row-of",
        number=str(event.charge_id),
        amount=_money(event.amount, event.currency, speech),
        time=speech.time(event.paid_at or event.received_at),
        became=became,
        user="" if event.telegram_id is None else name_of(event.telegram_id, users),
    )


def _unlisted_line(charge: UnlistedCharge, users: Users, speech: Speech) -> str:
    return speech.say(
        "desk-lists-unlisted-row" if charge.telegram_id is None else "desk-lists-unlisted-row-of",
        number=str(charge.charge_id),
        amount=_money(charge.amount, charge.currency, speech),
        time=speech.time(charge.paid_at),
        user="" if charge.telegram_id is None else name_of(charge.telegram_id, users),
    )


def _money(amount: Decimal | None, currency: str | None, speech: Speech) -> str:
    return "—" if amount is None or currency is None else speech.money(amount, currency)
