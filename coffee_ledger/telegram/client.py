"""The client of Telegram's Bot API. It retries calls, obeys rate limits, sets the bot's profile and receives updates."""

import asyncio
import hashlib
import hmac
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import structlog
from aiogram import Bot, Dispatcher
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import BaseRequestMiddleware, NextRequestMiddlewareType
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import (
    AiogramError,
    ClientDecodeError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
)
from aiogram.methods import (
    AnswerCallbackQuery,
    EditMessageReplyMarkup,
    EditMessageText,
    GetUpdates,
    SendDocument,
    SendMessage,
    SendPhoto,
    TelegramMethod,
)
from aiogram.methods.base import TelegramType
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    LinkPreviewOptions,
    MenuButtonWebApp,
    WebAppInfo,
)
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web

from coffee_ledger.model import TelegramId
from coffee_ledger.runtime.bodies import BodyReader, Unread, close_after
from coffee_ledger.runtime.timeouts import wait_for_event
from coffee_ledger.telegram.characters import load_json
from coffee_ledger.telegram.polling import polling_in_turn
from coffee_ledger.telegram.rate_limiter import Lane, RateLimiter
from coffee_ledger.telegram.settings import BotSettings
from coffee_ledger.telegram.speech import DEFAULT_LANGUAGE, LANGUAGES, Speech, speech

log = structlog.stdlib.get_logger()

WEBHOOK_PATH = "/telegram-webhook"
UPDATE_BYTES_MAX = 256 * 1024
"""The largest body of an update in webhook mode. The proxy has the same limit."""

WEBHOOK_SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 — the name of a header, not a secret
WEBHOOK_CHECK_SECONDS = 15.0
"""The interval at which the bot asks Telegram whether Telegram can reach the webhook."""

WEBHOOK_CONNECTIONS = (40, 39)
"""
Two values for the number of connections over which Telegram may send updates. Either value suffices.

`_leave_dead_address` switches between the two values, because Telegram chooses a new address only if the webhook has changed.
"""

REQUEST_SECONDS = 15.0
# POLLING_SECONDS may exceed REQUEST_SECONDS, because aiogram's timeout for a polling request is the sum of both.
POLLING_SECONDS = 25
"""If there are no updates, Telegram answers a request for updates after this time."""

ADDRESS_SECONDS_MAX = 10
"""The time for which an address from DNS is cached. aiogram would cache it longer (see `TelegramSession`)."""

RETRY_SECONDS_MAX = 30.0
"""The longest pause between two attempts of `retry_until_done`."""

ATTEMPTS_MAX = 4
"""The number of attempts that `RetryCalls` makes. The pauses between them are at most 1, 2 and 4 seconds long."""

RATE_LIMITED_SECONDS_MAX = 600
"""The total time for which a rate-limited call is retried. After this time, the user no longer expects an answer."""

EDITS = (EditMessageText, EditMessageReplyMarkup)
LIMITED_CALLS = (SendMessage, SendPhoto, SendDocument, *EDITS)
POLLED_AT_ONCE_MAX = 200
"""
The maximum number of polled updates that are handled at the same time.

When the bot stops, it waits for its handlers for at most `DRAIN_SECONDS`. In this time, the rate limit allows one answer to each
of the updates.
"""

COMMANDS = (
    "pay",
    "balance",
    "history",
    "claim",
    "help",
    "language",
    "cancel",
    "paysupport",
    "privacy",
    "delete_me",
)
OPERATOR_COMMANDS = (
    "desk",
    "waiting",
    "unmatched",
    "pending",
    "claims",
    "find",
    "payment",
    "stats",
    "credit",
    "undo",
    "part",
    "replay",
    "failed",
    "guesses",
    "outsiders",
    "export",
    "reconcile",
    "doctor",
)


class RetryCalls(BaseRequestMiddleware):
    """
    Retry a call after a server error, a network error or an unreadable answer, because aiogram itself does not retry.

    A message may have arrived although the call failed with a network error. The user then gets the message twice, which is
    better than not at all.
    """

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Any:
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return await make_request(bot, method)
            except TelegramBadRequest as error:
                # Telegram refuses an answer to an old button press, for example if the button was pressed while the bot was down.
                # Ignore the error, so that the bot still handles the button press.
                if isinstance(method, AnswerCallbackQuery) and "query is too old" in error.message:
                    return False
                raise
            except (TelegramServerError, TelegramNetworkError, ClientDecodeError) as error:
                # Do not retry polling here, because aiogram retries it.
                if isinstance(method, GetUpdates):
                    raise
                log.warning(
                    "call to telegram failed, retrying",
                    method=type(method).__name__,
                    error=type(error).__name__,
                    attempt=attempt,
                )
                # Add jitter, so that calls that failed at the same moment are not retried at the same moment.
                await asyncio.sleep(2.0 ** (attempt - 1) * (1 + random.random()) / 2)  # noqa: S311 — jitter
        # Make the last attempt outside the loop, so that its error goes to the caller.
        return await make_request(bot, method)


class LimitCalls(BaseRequestMiddleware):
    """
    Wait for the rate limiter before each call that sends or edits a message, and retry when Telegram answers 429.

    A retry does not send a message twice, because Telegram did not send the refused message. Other calls, such as the answer to
    a button press, wait only after a 429, because no limit is known for them.
    """

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Any:
        waited_seconds = 0
        while True:
            if isinstance(method, LIMITED_CALLS):
                await self._limiter.wait(Lane.ANSWER, chat=_chat_of(method))
            try:
                return await make_request(bot, method)
            except TelegramRetryAfter as error:
                waited_seconds += error.retry_after
                # Do not retry a request for updates here, because aiogram's polling waits and retries by itself.
                # Do not retry a message to a group. A retry pauses the messages to all chats, but Telegram may have limited
                # only this group, for example in slow mode (https://github.com/tdlib/telegram-bot-api/issues/75).
                # Do not retry any call for longer than `RATE_LIMITED_SECONDS_MAX`.
                is_in_group = (_chat_of(method) or 0) < 0
                if isinstance(method, GetUpdates) or is_in_group or waited_seconds > RATE_LIMITED_SECONDS_MAX:
                    raise
                log.warning(
                    "call to telegram rate limited, retrying",
                    method=type(method).__name__,
                    error=type(error).__name__,
                    retry_seconds=error.retry_after,
                )
                if isinstance(method, LIMITED_CALLS):
                    # Pause all messages and edits, because Telegram limits the whole bot and not the single call.
                    self._limiter.pause(error.retry_after)
                else:
                    await asyncio.sleep(error.retry_after)


def _chat_of(method: TelegramMethod[Any]) -> int | None:
    """
    Return the id of the call's chat, or None for a call without a chat.

    Also return None for an edit, because edits do not count towards the limit of a chat.
    """
    chat = getattr(method, "chat_id", None)
    return chat if isinstance(chat, int) and not isinstance(method, EDITS) else None


class TelegramSession(AiohttpSession):
    """
    Resolve the address of Telegram's server again after `ADDRESS_SECONDS_MAX`.

    aiogram caches an address for an hour (https://github.com/aiogram/aiogram/pull/1514). During this hour, aiogram could not
    reach a server whose address has changed, such as the container of a restarted Bot API server.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._connector_init["ttl_dns_cache"] = ADDRESS_SECONDS_MAX


def make_bot(settings: BotSettings, *, retries: bool = True) -> Bot:
    """
    Make a client that sends messages without link previews.

    If *retries* is True, the client repeats failed calls (see `RetryCalls`). It is False for the notifier, because the outbox
    retries.
    """
    # aiogram uses the session's `json_loads` also for updates that arrive by webhook, so `load_json` parses these updates too.
    session = TelegramSession(
        api=TelegramAPIServer.from_base(settings.TELEGRAM_API_URL), timeout=REQUEST_SECONDS, json_loads=load_json
    )
    if retries:
        session.middleware(RetryCalls())
    properties = DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview=LinkPreviewOptions(is_disabled=True))
    return Bot(settings.BOT_TOKEN.get_secret_value(), session=session, default=properties)


@asynccontextmanager
async def request_middlewares(bot: Bot, *steps: BaseRequestMiddleware) -> AsyncIterator[None]:
    """Register *steps* as middlewares for the calls of *bot* while the context lasts. The first step is the outermost one."""
    for step in steps:
        bot.session.middleware(step)
    try:
        yield
    finally:
        for step in steps:
            bot.session.middleware.unregister(step)


async def set_up_profile(bot: Bot, app_url: str | None, operators: Sequence[TelegramId]) -> None:
    """Set the bot's commands and descriptions in each language, and the button that opens the Mini App."""
    for language in LANGUAGES:
        texts = speech(language)
        # Pass no language code with the texts of the default language. Telegram then shows these texts to users of each
        # language that has no texts of its own.
        code = None if language == DEFAULT_LANGUAGE else language
        # Set the commands for private chats only, because in groups the bot only answers with a link to the private chat.
        await bot.set_my_commands(
            _commands(texts, COMMANDS), scope=BotCommandScopeAllPrivateChats(), language_code=code
        )
        await bot.set_my_short_description(texts.label("about"), language_code=code)
        await bot.set_my_description(texts.label("description"), language_code=code)
    if app_url is None:
        log.warning("no button opens the Mini App, PUBLIC_HOST is not a public name")
    await show_menu_button(bot, None, language=DEFAULT_LANGUAGE, app_url=app_url)
    for operator in operators:
        await list_desk_commands(bot, operator)


async def list_desk_commands(bot: Bot, operator: TelegramId) -> None:
    """
    Add the desk's commands to the command list of an operator.

    If the operator has not pressed Start yet, Telegram refuses the call, and nothing changes.
    """
    scope = BotCommandScopeChat(chat_id=operator)
    for language in LANGUAGES:
        code = None if language == DEFAULT_LANGUAGE else language
        commands = _commands(speech(language), (*OPERATOR_COMMANDS, *COMMANDS))
        try:
            await bot.set_my_commands(commands, scope=scope, language_code=code)
        except (TelegramBadRequest, TelegramForbiddenError, TelegramNotFound):
            log.info("operator has not pressed Start yet", telegram_id=operator)
            return


async def show_menu_button(bot: Bot, chat_id: TelegramId | None, *, language: str, app_url: str | None) -> None:
    """
    Set the button beside the message field to open the Mini App.

    If *chat_id* is None, set the default button, which is shown in all chats without their own button. If *app_url* is None, do
    nothing.
    """
    if app_url is None:
        return
    # Put no language into the URL of the default button, because users of all languages share this button. The page then uses the
    # language that Telegram reports.
    url = app_url if chat_id is None else f"{app_url}?lang={language}"
    button = MenuButtonWebApp(text=speech(language).label("menu-button"), web_app=WebAppInfo(url=url))
    try:
        await bot.set_chat_menu_button(chat_id=chat_id, menu_button=button)
    except TelegramBadRequest as error:
        # Telegram refuses an address whose host has no public name. Only log the error: the bot works without the button.
        log.error("menu button refused: is PUBLIC_HOST a public name?", error=error.message)


def _commands(texts: Speech, names: Iterable[str]) -> list[BotCommand]:
    return [BotCommand(command=name, description=texts.label(f"command-{name}")) for name in names]


async def take_updates(bot: Bot, dispatcher: Dispatcher, settings: BotSettings, stop: asyncio.Event) -> None:
    """
    Receive updates until *stop* is set: by webhook if `BOT_WEBHOOK_URL` is set, otherwise by polling.

    With a webhook, any number of bot processes can receive updates. Without a webhook, only one process polls, and the others
    stand by (see the module `polling`).
    """
    if settings.BOT_WEBHOOK_URL is None:
        async with polling_in_turn(bot, settings.DATABASE_URL.get_secret_value()):
            await _poll(bot, dispatcher, stop)
    else:
        await _await_webhook(bot, dispatcher, settings, settings.BOT_WEBHOOK_URL, stop)


async def _poll(bot: Bot, dispatcher: Dispatcher, stop: asyncio.Event) -> None:
    # Before polling, remove the webhook and get the bot's name, which aiogram needs. Retry both calls, because they fail during
    # an outage of Telegram. Keep the pending updates, because one of them may be about a payment.
    await retry_until_done("leave webhook mode", lambda: bot.delete_webhook(drop_pending_updates=False), stop)
    await retry_until_done("get the bot's own name", bot.me, stop)
    if stop.is_set():
        return
    # Disable aiogram's signal handlers, because the process has its own. Do not let aiogram close the session, because
    # the bot may still be handling updates, and needs the session to answer them. The caller closes the session.
    polling = asyncio.create_task(
        dispatcher.start_polling(
            bot,
            handle_signals=False,
            close_bot_session=False,
            polling_timeout=POLLING_SECONDS,
            tasks_concurrency_limit=POLLED_AT_ONCE_MAX,
            # Send the list of update types at each start, because Telegram stores the list, and an earlier version of the bot
            # may have sent a different list.
            allowed_updates=dispatcher.resolve_used_update_types(),
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({polling, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    # If polling has ended by itself, do not call `stop_polling`, because it would raise an error.
    if not polling.done():
        await dispatcher.stop_polling()
    # If polling ended with an error, raise this error.
    await polling


def add_update_route(app: web.Application, bot: Bot, dispatcher: Dispatcher, settings: BotSettings) -> None:
    """Add the route to which Telegram sends updates in webhook mode."""
    # Handle the update before answering Telegram, not in the background. If the process dies while it handles the update,
    # Telegram gets no answer and sends the update again.
    secret = webhook_secret(settings.BOT_TOKEN.get_secret_value())
    handler = SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token=secret)
    bodies = BodyReader(bytes_max=UPDATE_BYTES_MAX)

    async def take(request: web.Request) -> web.Response:
        given = request.headers.get(WEBHOOK_SECRET_HEADER, "")
        # Check the secret before reading the body, so that strangers cannot use up memory. Refuse a secret that is not ASCII,
        # because comparing it would raise an error.
        if not (given.isascii() and handler.verify_secret(given, bot)):
            return web.Response(text="Unauthorized", status=401)
        body = await bodies.read(request)
        if isinstance(body, Unread):
            return close_after(web.Response(status=body.status))
        # aiogram can read the body a second time, because the request keeps the body that was read above.
        return await handler.handle(request)

    app.router.add_post(WEBHOOK_PATH, take)


async def _await_webhook(
    bot: Bot, dispatcher: Dispatcher, settings: BotSettings, url: str, stop: asyncio.Event
) -> None:
    """Set the webhook, and keep it reachable until *stop* is set. The updates arrive at the route that `add_update_route` added."""

    async def set_webhook(connections: int = WEBHOOK_CONNECTIONS[0]) -> None:
        await bot.set_webhook(
            url,
            secret_token=webhook_secret(settings.BOT_TOKEN.get_secret_value()),
            max_connections=connections,
            drop_pending_updates=False,
            allowed_updates=dispatcher.resolve_used_update_types(),
        )

    # Do not remove the webhook when the bot stops. Telegram then keeps the updates and delivers them after the next start.
    await retry_until_done("enter webhook mode", set_webhook, stop)
    last_failed_at = None
    while not stop.is_set():
        await wait_for_event(stop, seconds=WEBHOOK_CHECK_SECONDS)
        try:
            last_failed_at = await _leave_dead_address(bot, set_webhook, last_failed_at)
        except AiogramError as error:
            log.warning("call to telegram failed", what="check the webhook", error=type(error).__name__)


async def _leave_dead_address(
    bot: Bot, set_webhook: Callable[[int], Awaitable[None]], last_failed_at: datetime | None
) -> datetime | None:
    """
    Set the webhook again if Telegram has failed to connect to it since *last_failed_at*. Return the time of the last failure.

    If the host of the webhook has several addresses, Telegram chooses one of them. Telegram keeps this address for half an
    hour, even if no server answers there. When the webhook changes, Telegram chooses again. Setting the same webhook again has
    no effect, so change the number of connections.

    Source: https://github.com/tdlib/telegram-bot-api, `WebhookActor.cpp` and `Client.cpp`, read November 2026.
    """
    webhook = await bot.get_webhook_info()
    # If Telegram got a wrong response, the bot is reachable at the chosen address. A different address would not help, because
    # it would lead to the same bot.
    is_answered = (webhook.last_error_message or "").startswith("Wrong response")
    if webhook.pending_update_count and webhook.last_error_date != last_failed_at and not is_answered:
        log.warning("webhook set again, telegram cannot reach it", error=webhook.last_error_message)
        await set_webhook(next(number for number in WEBHOOK_CONNECTIONS if number != webhook.max_connections))
    return webhook.last_error_date


def webhook_secret(token: str) -> str:
    """Derive from *token* the secret that Telegram sends with each update, so that operators need not configure the secret."""
    return hmac.new(token.encode(), b"telegram-webhook", hashlib.sha256).hexdigest()


async def retry_until_done(what: str, call: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Retry a call with growing pauses until it succeeds or *stop* is set. *what* is the name of the call in the log."""
    pause_seconds = 1.0
    while not stop.is_set():
        try:
            await call()
        except AiogramError as error:
            log.warning("call to telegram failed", what=what, error=type(error).__name__, retry_seconds=pause_seconds)
        else:
            return
        await wait_for_event(stop, seconds=pause_seconds)
        pause_seconds = min(pause_seconds * 2, RETRY_SECONDS_MAX)
