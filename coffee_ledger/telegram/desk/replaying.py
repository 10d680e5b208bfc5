"""A dry run: what today's rules and settings would decide of past payments, beside what was decided."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from coffee_ledger.model import ChargeState
from coffee_ledger.store.lookup import ShownCharge, find_charges_by_number
from coffee_ledger.store.replay import REPLAYED_MAX, Replayed, replay
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.desk.cards import as_many_as_fit, money, reason_words
from coffee_ledger.telegram.desk.people import without_sign
from coffee_ledger.telegram.desk.periods import read_span
from coffee_ledger.telegram.speech import Speech

SHOWN_MAX = 25


def make_router() -> Router:
    router = Router(name="desk-replaying")
    router.message.register(rehearse, Command("replay"))
    return router


async def rehearse(message: Message, command: CommandObject, context: Context) -> None:
    said = (command.args or "").strip()
    span = read_span(said)
    if span is not None:
        found = await replay(context.pool, context.rules, since=span.since, until=span.until)
    elif said:
        charges = await find_charges_by_number(context.pool, without_sign(said))
        found = await replay(context.pool, context.rules, charges=[charge.charge_id for charge in charges])
    else:
        await message.answer(context.speech.say("desk-replay-how"))
        return
    await message.answer(_tell(found, context.speech))


def _tell(found: list[Replayed], speech: Speech) -> str:
    if not found:
        return speech.say("desk-replay-none")
    differing = [one for one in found if one.differs]
    same = [one for one in found if not one.differs]
    # What differs comes first: it is what was asked for.
    shown = as_many_as_fit(_line(one, speech) for one in [*differing, *same][:SHOWN_MAX])
    lines = [speech.say("desk-replay-title", total=len(found), differing=str(len(differing)))]
    lines += shown
    if len(found) > len(shown) or len(found) == REPLAYED_MAX:
        lines.append(speech.say("desk-replay-cut", count=str(len(shown))))
    return "\n".join(lines)


def _line(one: Replayed, speech: Speech) -> str:
    values = {"number": str(one.charge.charge_id), "amount": money(one.charge, speech)}
    then = _then(one.charge, speech)
    if not one.differs:
        return speech.say("desk-replay-same", then=then, **values)
    line = speech.say("desk-replay-other", then=then, now=_now(one, speech), **values)
    words = [reason_words(reason, speech) for reason in one.reasons[:5]]
    reasons = [speech.label("reason", rule=rule, why=why).lstrip("• ") for rule, why in words]
    if one.telegram_id is not None or not reasons:
        return line
    return line + "\n" + speech.say("desk-replay-why", reasons="; ".join(reasons))


def _then(charge: ShownCharge, speech: Speech) -> str:
    if charge.telegram_id is not None:
        rule = speech.word("rule", charge.method or "—")
        return speech.label("desk-replay-to", rule=rule, user=str(charge.telegram_id))
    state = "dismissed" if charge.state is ChargeState.DISMISSED else "unmatched"
    return speech.say(f"desk-replay-{state}")


def _now(one: Replayed, speech: Speech) -> str:
    if one.telegram_id is not None:
        rule = speech.word("rule", one.method or "—")
        return speech.label("desk-replay-to", rule=rule, user=str(one.telegram_id))
    return speech.say("desk-replay-unmatched")
