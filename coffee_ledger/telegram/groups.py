"""
Answer messages in groups with one line and a button that opens the private chat with the bot.

Payments and balances are shown only in the private chat.
"""

import asyncio
from collections import OrderedDict

import structlog
from aiogram import Bot, F, Router
from aiogram.enums import ChatType, MessageEntityType
from aiogram.exceptions import (
    AiogramError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNotFound,
)
from aiogram.filters import Filter
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Message, MessageEntity, User

from coffee_ledger.telegram.conversation.pay import PAY_PAYLOAD
from coffee_ledger.telegram.speech import language_of, speech
from coffee_ledger.telegram.token_bucket import TokenBucket

log = structlog.stdlib.get_logger()

ANSWERS_BURST, ANSWERS_PER_SECOND = 3, 1 / 20
"""
The rate limit of the bot's answers in one group: three answers at once, then one answer in 20 seconds.

Telegram allows 20 messages a minute in a group. The bot sends fewer, so that it does not disturb the group.
"""

CLOSED_SECONDS = 3600.0
"""
The time for which the bot does not answer in a group after Telegram has refused an answer there.

Telegram usually refuses because the bot has no right to write in this group. Without the pause, repeated refusals could fire the
alert about Telegram's errors.
"""

CLOSED_GROUPS_MAX = 1_000

CLOSED = (TelegramForbiddenError, TelegramBadRequest, TelegramNotFound, TelegramMigrateToChat)
"""After one of these errors, the next answer would fail too: the bot may not write in this group, or the group has a new id."""


class IsAddressed(Filter):
    """
    Match messages that name the bot, as in `/pay@the_bot` or `@the_bot`, and replies to the bot's messages.

    A command without the bot's name is not matched, because Telegram sends the command to every bot of the group. A reply that
    begins with a command is matched only if the reply names this bot, because a moderator may reply with a command for another
    bot.
    """

    async def __call__(self, message: Message, bot: Bot) -> bool:
        if not _is_from_person(message):
            return False
        try:
            me = await bot.me()
        except AiogramError as error:
            log.warning("message in a group not handled, the bot's name is not known", error=type(error).__name__)
            return False
        return is_addressed(message, me)


def is_addressed(message: Message, me: User) -> bool:
    text = message.text or message.caption or ""
    marked = message.entities or message.caption_entities or []
    if any(_names(entity, text, me) for entity in marked):
        return True
    is_command = any(entity.type == MessageEntityType.BOT_COMMAND and entity.offset == 0 for entity in marked)
    replied = message.reply_to_message
    # In a forum, Telegram presents every message as a reply to the service message that created the topic. The bot may have
    # created the topic, so do not count a reply to such a service message as a reply to the bot.
    if is_command or replied is None or replied.from_user is None or replied.forum_topic_created is not None:
        return False
    return replied.from_user.id == me.id


def _names(entity: MessageEntity, text: str, me: User) -> bool:
    match entity.type:
        case MessageEntityType.TEXT_MENTION:
            return entity.user is not None and entity.user.id == me.id
        case MessageEntityType.MENTION | MessageEntityType.BOT_COMMAND:
            return entity.extract_from(text).casefold().endswith(f"@{me.username}".casefold())
        case _:
            return False


def _is_from_person(message: Message) -> bool:
    """
    Return whether a person wrote the message to this group.

    Anonymous administrators and people who write as a channel have the id of a bot. They count as people, and a `sender_chat`
    identifies them. Forwarded messages do not count, because they were not written to this group. This rule excludes the posts
    of the group's channel, because Telegram forwards these posts to the group. Messages of other bots do not count, because two
    bots might answer each other forever.
    """
    is_bot = message.from_user is None or message.from_user.is_bot
    return message.forward_origin is None and (message.sender_chat is not None or not is_bot)


class GroupAnswers:
    """
    Sends the bot's answers in groups. `ANSWERS_BURST` and `ANSWERS_PER_SECOND` limit the rate of answers in each group.

    A group in which Telegram refused an answer gets no answer for `CLOSED_SECONDS`.
    """

    def __init__(self) -> None:
        self._bucket = TokenBucket(burst=ANSWERS_BURST, per_second=ANSWERS_PER_SECOND)
        self._closed_until: OrderedDict[int, float] = OrderedDict()

    async def lead_to_private_chat(self, message: Message, bot: Bot) -> None:
        group, now = message.chat.id, asyncio.get_running_loop().time()
        if self._closed_until.get(group, 0.0) > now or self._bucket.take(group, now):
            return
        texts = speech(language_of(message.from_user.language_code if message.from_user else None))
        address = f"https://t.me/{(await bot.me()).username}?start={PAY_PAYLOAD}"
        button = InlineKeyboardButton(text=texts.label("group-button"), url=address)
        try:
            await message.reply(
                texts.say("group-answer"),
                reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]),
                # If the message was deleted meanwhile, answer without quoting it. Without this option, Telegram would refuse
                # the answer.
                allow_sending_without_reply=True,
            )
        except CLOSED as error:
            log.info("answer in a group refused", error=type(error).__name__)
            self._close(group, until=now + CLOSED_SECONDS)
        except AiogramError as error:
            log.warning("answer in a group not delivered", error=type(error).__name__)

    def _close(self, group: int, *, until: float) -> None:
        self._closed_until[group] = until
        self._closed_until.move_to_end(group)
        if len(self._closed_until) > CLOSED_GROUPS_MAX:
            self._closed_until.popitem(last=False)


def make_router() -> Router:
    """Make the router for groups. Include it only in our own bot, because a developer's bot may answer in groups itself."""
    router = Router(name="groups")
    router.message.register(GroupAnswers().lead_to_private_chat, IsAddressed())
    router.message.filter(F.chat.type.in_({ChatType.GROUP, ChatType.SUPERGROUP}))
    return router
