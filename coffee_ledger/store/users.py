"""Store users, their languages and whether they can be reached, and erase their personal data."""

from datetime import datetime

from coffee_ledger.model import TelegramId
from coffee_ledger.store.database import Connection, Pool, connected, settling_transaction, sql, transaction
from coffee_ledger.store.outbox import requeue_missed


async def meet_user(
    pool: Pool,
    telegram_id: TelegramId,
    *,
    language: str,
    username: str | None,
    now: datetime,
    is_acting: bool = True,
    is_in_chat: bool = True,
) -> str:
    """
    Insert or update a user who contacted the bot. Return the language (`uk` or `en`) in which to answer.

    *language* is the language that Telegram reports. A language that the user chose in the bot takes precedence.

    *is_in_chat* means that the user wrote in the chat, so the bot can reach the user again. Then the messages that the user
    missed and that still matter are queued again. A user who was erased gets no missed messages. For a request of the Mini App,
    *is_in_chat* is False, because the user may have blocked the bot.

    *is_acting* means that the user did something. It is False if a page only loaded data. An erased user is stored again only
    if *is_acting* is True.
    """
    async with transaction(pool) as db:
        met = await db.fetchrow(sql("meet_user"), telegram_id, language, username, is_acting, is_in_chat)
        assert met is not None
        if met["was_erased"]:
            await db.execute(sql("withhold_missed"), telegram_id)
        elif met["is_back"]:
            await _requeue_missed(db, telegram_id, now=now)
    return str(met["language"])


async def mark_reachable(pool: Pool, telegram_id: TelegramId, *, now: datetime) -> None:
    """Record that a user has unblocked the bot, and queue their missed messages again. Do nothing for an erased user."""
    async with transaction(pool) as db:
        if await db.fetchval(sql("mark_reachable"), telegram_id) is not None:
            await _requeue_missed(db, telegram_id, now=now)


async def _requeue_missed(db: Connection, telegram_id: TelegramId, *, now: datetime) -> None:
    if await requeue_missed(db, [telegram_id], now=now):
        await db.execute(sql("announce"))


async def choose_language(pool: Pool, telegram_id: TelegramId, language: str, *, is_lasting: bool) -> None:
    """
    Set the user's language. If *is_lasting* is True, a language that Telegram reports later does not replace it.

    If *is_lasting* is False, the language that Telegram reports replaces it.
    """
    async with connected(pool) as db:
        await db.execute(sql("choose_language"), telegram_id, language, is_lasting)


async def erase_user(pool: Pool, telegram_id: TelegramId) -> None:
    """
    Erase the user's names and texts, close their open payments and claim, and send them no messages until they write again.

    The data that the ledger is based on stays: the Telegram id, amounts, times, codes and entries. Erasing twice is harmless.
    """
    # Wait for a running settlement. If the erasure did not wait, the settlement could write back a note that it read before the
    # erasure.
    async with settling_transaction(pool) as db:
        await db.execute(sql("erase_user"), telegram_id)


async def mark_unreachable(pool: Pool, telegram_id: TelegramId, *, now: datetime) -> None:
    async with connected(pool) as db:
        await db.execute(sql("mark_unreachable"), telegram_id, now)
