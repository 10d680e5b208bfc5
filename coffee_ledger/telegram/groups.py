"""Answer in groups, with one line that leads to the private chat. Payments and balances are shown only there."""

import asyncio

from aiogram import Bot, F, Router
from aiogram.enums import ChatType, MessageEntityType
from aiogram.filters import Filter
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Message

from coffee_ledger.telegram.conversation.pay import PAY_PAYLOAD
from coffee_ledger.telegram.speech import language_of, speech
from coffee_ledger.telegram.token_bucket import TokenBucket

ANSWERS_BURST, ANSWERS_PER_SECOND = 3, 1 / 20
"""The rate limit of answers in one group. It is stricter than Telegram's 20 messages a minute, to avoid disturbing the group."""


class IsAddressed(Filter):
    """
    Match messages that name the bot, as in `/pay@the_bot` or `@the_bot`, and replies to the bot's messages.

    A command without the bot's name is not matched, because Telegram sends it to every bot of the group.
    """

    async def __call__(self, message: Message, bot: Bot) -> bool:
        me = await bot.me()
        replied = message.reply_to_message
        if replied is not None and replied.from_user is not None and replied.from_user.id == me.id:
            return True
        text = message.text or message.caption or ""
        marked = message.entities or message.caption_entities or []
        name = f"@{me.username}".casefold()
        named = (
            entity.extract_from(text).casefold()
            for entity in marked
            if entity.type in {MessageEntityType.MENTION, MessageEntityType.BOT_COMMAND}
        )
        return any(words.endswith(name) for words in named)


def make_router() -> Router:
    """Make the router for groups. Include it only in our own bot, because the routers of other bots may answer in groups too."""
    router = Router(name="groups")
    bucket = TokenBucket(burst=ANSWERS_BURST, per_second=ANSWERS_PER_SECOND)

    async def lead_to_private_chat(message: Message, bot: Bot) -> None:
        if bucket.take(message.chat.id, asyncio.get_running_loop().time()):
            return
        texts = speech(language_of(message.from_user.language_code if message.from_user else None))
        address = f"https://t.me/{(await bot.me()).username}?start={PAY_PAYLOAD}"
        button = InlineKeyboardButton(text=texts.label("group-button"), url=address)
        await message.reply(texts.say("group-answer"), reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]))

    router.message.register(lead_to_private_chat, IsAddressed())
    router.message.filter(F.chat.type.in_({ChatType.GROUP, ChatType.SUPERGROUP}))
    return router
