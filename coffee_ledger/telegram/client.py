"""Telegram's side of the bot: the client, the commands it shows, and how updates come in."""

import asyncio
import hashlib
import hmac
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
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
from coffee_ledger.runtime.bodies import BodyReader, Unread
from coffee_ledger.runtime.waiting import happens
from coffee_ledger.telegram.characters import load_json
from coffee_ledger.telegram.rate_limiter import Lane, RateLimiter
from coffee_ledger.telegram.settings import BotSettings
from coffee_ledger.telegram.speech import DEFAULT_LANGUAGE, LANGUAGES, Speech, speech

log = structlog.stdlib.get_logger()

WEBHOOK_PATH = "/telegram-webhook"
UPDATE_BYTES_MAX = 256 * 1024
"""The proxy's limit as well."""
WEBHOOK_SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 — the name of the header
REQUEST_SECONDS = 15.0
POLLING_SECONDS = 25
ADDRESS_SECONDS_MAX = 10
"""aiohttp's default."""
RETRY_SECONDS_MAX = 30.0
ATTEMPTS_MAX = 4
REFUSED_SECONDS_MAX = 600
"""After so long, added up, nobody waits for the answer any more."""

EDITS = (EditMessageText, EditMessageReplyMarkup)
LIMITED_CALLS = (SendMessage, SendPhoto, SendDocument, *EDITS)
POLLED_AT_ONCE_MAX = 200
"""Updates that are handled at once. Their answers must go out within the seconds that a stop waits."""

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
    "unmatched",
    "pending",
    "claims",
    "find",
    "payment",
    "stats",
    "credit",
    "undo",
    "replay",
    "failed",
    "guesses",
    "export",
    "doctor",
)


class RetryCalls(BaseRequestMiddleware):
    """
    Try a call again when Telegram is in trouble or does not answer; aiogram by itself never does.

    Where no answer came, the message may have arrived: the user then reads the same twice, which is better than nothing.
    """

    async def __call__(
        self, make_request: NextRequestMiddlewareType[TelegramType], bot: Bot, method: TelegramMethod[TelegramType]
    ) -> Any:
        for attempt in range(1, ATTEMPTS_MAX):
            try:
                return await make_request(bot, method)
            except TelegramBadRequest as error:
                # The bot was down when the button was pressed: there is nobody to answer any more, but all to do.
                if isinstance(method, AnswerCallbackQuery) and "query is too old" in error.message:
                    return False
                raise
            except (TelegramServerError, TelegramNetworkError, ClientDecodeError) as error:
                # Polling has a patience of its own.
                if isinstance(method, GetUpdates):
                    raise
                log.warning("answer put off", method=type(method).__name__, error=type(error).__name__, attempt=attempt)
                # With jitter, so that not all who failed together come back together.
                await asyncio.sleep(2.0 ** (attempt - 1) * (1 + random.random()) / 2)  # noqa: S311 — jitter
        return await make_request(bot, method)


class LimitCalls(BaseRequestMiddleware):
    """
    Let a call wait for the rate limiter, and let it wait again as often as Telegram still refuses it as too early.

    A refused message was not sent, so this repeats nothing. Other calls, such as the answer to a press, count for no limit that
    we know, and wait only when they are refused.
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
                # Polling has a patience of its own.
                if isinstance(method, GetUpdates) or waited_seconds > REFUSED_SECONDS_MAX:
                    raise
                log.warning(
                    "answer refused as too early",
                    method=type(method).__name__,
                    error=type(error).__name__,
                    retry_seconds=error.retry_after,
                )
                if isinstance(method, LIMITED_CALLS):
                    self._limiter.pause(error.retry_after)
                else:
                    await asyncio.sleep(error.retry_after)


def _chat_of(method: TelegramMethod[Any]) -> int | None:
    """Return the chat that gets one message more; None where a message only changes."""
    chat = getattr(method, "chat_id", None)
    return chat if isinstance(chat, int) and not isinstance(method, EDITS) else None


class TelegramSession(AiohttpSession):
    """
    Look the address of Telegram's server up again after a while.

    aiogram keeps an address for an hour (https://github.com/aiogram/aiogram/pull/1514). A server that moved, such as a Bot API server
    whose container was started again, could not be reached for so long.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._connector_init["ttl_dns_cache"] = ADDRESS_SECONDS_MAX


def make_bot(settings: BotSettings, *, retries: bool = True) -> Bot:
    """Make a client; links in its messages show no preview. *retries* False: for who remembers what failed."""
    # aiogram reads webhook requests with the session's `json_loads`, too.
    session = TelegramSession(
        api=TelegramAPIServer.from_base(settings.TELEGRAM_API_URL), timeout=REQUEST_SECONDS, json_loads=load_json
    )
    if retries:
        session.middleware(RetryCalls())
    properties = DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview=LinkPreviewOptions(is_disabled=True))
    return Bot(settings.BOT_TOKEN.get_secret_value(), session=session, default=properties)


@asynccontextmanager
async def request_middlewares(bot: Bot, *steps: BaseRequestMiddleware) -> AsyncIterator[None]:
    """Let each call of *bot* pass through *steps*, the first one first, for as long as the context lasts."""
    for step in steps:
        bot.session.middleware(step)
    try:
        yield
    finally:
        for step in steps:
            bot.session.middleware.unregister(step)


async def set_up_profile(bot: Bot, app_url: str | None, operators: Sequence[TelegramId]) -> None:
    """Tell Telegram in each language what the bot is for and which commands it has, and where its Mini App is."""
    for language in LANGUAGES:
        texts = speech(language)
        # What has no language is for all whose own has none.
        code = None if language == DEFAULT_LANGUAGE else language
        # Not for groups, where it would list what is answered in private alone.
        await bot.set_my_commands(
            _commands(texts, COMMANDS), scope=BotCommandScopeAllPrivateChats(), language_code=code
        )
        await bot.set_my_short_description(texts.label("about"), language_code=code)
        await bot.set_my_description(texts.label("description"), language_code=code)
    if app_url is None:
        log.warning("no button opens the Mini App: PUBLIC_HOST is no public name")
    await show_menu_button(bot, None, language=DEFAULT_LANGUAGE, app_url=app_url)
    for operator in operators:
        await list_desk_commands(bot, operator)


async def list_desk_commands(bot: Bot, operator: TelegramId) -> None:
    """List the desk's commands, too, for one operator; nothing happens before they have pressed Start."""
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
    Let the button beside the message field open the Mini App: in one chat, or (None) in all that have none of their own.

    Without an app to open, the button stays as it is.
    """
    if app_url is None:
        return
    # Who has no button of their own may speak any language: Telegram tells the page.
    url = app_url if chat_id is None else f"{app_url}?lang={language}"
    button = MenuButtonWebApp(text=speech(language).label("menu-button"), web_app=WebAppInfo(url=url))
    try:
        await bot.set_chat_menu_button(chat_id=chat_id, menu_button=button)
    except TelegramBadRequest as error:
        # Telegram wants a public name; everything but this button goes on.
        log.error("menu button refused: is PUBLIC_HOST a public name?", error=error.message)


def _commands(texts: Speech, names: Iterable[str]) -> list[BotCommand]:
    return [BotCommand(command=name, description=texts.label(f"command-{name}")) for name in names]


async def take_updates(bot: Bot, dispatcher: Dispatcher, settings: BotSettings, stop: asyncio.Event) -> None:
    """Take updates until told to stop: by polling, or, with `BOT_WEBHOOK_URL`, by a webhook."""
    if settings.BOT_WEBHOOK_URL is None:
        await _poll(bot, dispatcher, stop)
    else:
        await _await_webhook(bot, dispatcher, settings, settings.BOT_WEBHOOK_URL, stop)


async def _poll(bot: Bot, dispatcher: Dispatcher, stop: asyncio.Event) -> None:
    # Nothing pending is dropped: it may be somebody's payment.
    await retry_until_done("leave webhook mode", lambda: bot.delete_webhook(drop_pending_updates=False), stop)
    await retry_until_done("say who the bot is", bot.me, stop)
    if stop.is_set():
        return
    polling = asyncio.create_task(
        dispatcher.start_polling(
            bot,
            handle_signals=False,
            close_bot_session=False,
            polling_timeout=POLLING_SECONDS,
            tasks_concurrency_limit=POLLED_AT_ONCE_MAX,
            allowed_updates=dispatcher.resolve_used_update_types(),
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({polling, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not polling.done():
        await dispatcher.stop_polling()
    await polling


def add_update_route(app: web.Application, bot: Bot, dispatcher: Dispatcher, settings: BotSettings) -> None:
    """Take the updates that Telegram sends in webhook mode."""
    # Answer only after the handler, so that Telegram sends an update again if the process dies.
    secret = webhook_secret(settings.BOT_TOKEN.get_secret_value())
    handler = SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token=secret)
    bodies = BodyReader(bytes_max=UPDATE_BYTES_MAX)

    async def take(request: web.Request) -> web.Response:
        given = request.headers.get(WEBHOOK_SECRET_HEADER, "")
        # Before the body is read, so that strangers cannot occupy anything. Comparing what is not ASCII would raise.
        if not (given.isascii() and handler.verify_secret(given, bot)):
            return web.Response(text="Unauthorized", status=401)
        body = await bodies.read(request)
        if isinstance(body, Unread):
            response = web.Response(status=body.status)
            response.force_close()
            return response
        # The request keeps the body that was read, and aiogram takes it from there.
        return await handler.handle(request)

    app.router.add_post(WEBHOOK_PATH, take)


async def _await_webhook(
    bot: Bot, dispatcher: Dispatcher, settings: BotSettings, url: str, stop: asyncio.Event
) -> None:
    """Tell Telegram where to send updates, and let them come."""
    await retry_until_done(
        "enter webhook mode",
        lambda: bot.set_webhook(
            url,
            secret_token=webhook_secret(settings.BOT_TOKEN.get_secret_value()),
            drop_pending_updates=False,
            allowed_updates=dispatcher.resolve_used_update_types(),
        ),
        stop,
    )
    await stop.wait()


def webhook_secret(token: str) -> str:
    """Derive what Telegram sends along to prove itself, so that there is no further secret to keep."""
    return hmac.new(token.encode(), b"telegram-webhook", hashlib.sha256).hexdigest()


async def retry_until_done(what: str, call: Callable[[], Awaitable[object]], stop: asyncio.Event) -> None:
    """Try until Telegram answers well, with growing pauses, or until told to stop."""
    pause_seconds = 1.0
    while not stop.is_set():
        try:
            await call()
        except AiogramError as error:
            log.warning("telegram does not answer", what=what, error=type(error).__name__, retry_seconds=pause_seconds)
        else:
            return
        await happens(stop, seconds=pause_seconds)
        pause_seconds = min(pause_seconds * 2, RETRY_SECONDS_MAX)
