"""Define the web application that serves the stand-ins for Telegram and for Buy Me a Coffee (BMC)."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from sandbox.background import Background
from sandbox.bell import Bell
from sandbox.bmc.api import Api
from sandbox.bmc.checkout import Checkout
from sandbox.bmc.dashboard import Dashboard
from sandbox.bmc.deliveries import Deliveries
from sandbox.bmc.payments import PaymentStore
from sandbox.bmc.token import ApiToken
from sandbox.bmc.webhook import Webhook
from sandbox.cast import Cast
from sandbox.counters import Counter
from sandbox.demo import Demo
from sandbox.forwarding import Forwarding
from sandbox.plugs import PlugName, Plugs
from sandbox.postman import Postman
from sandbox.refusals import refuse_bad_fields
from sandbox.relay import HERE, Address, Relay
from sandbox.script import Script
from sandbox.settings import Settings
from sandbox.tally import Tally
from sandbox.telegram.acting import Acting
from sandbox.telegram.acting_in_groups import ActingInGroups
from sandbox.telegram.bot_api import BotApi
from sandbox.telegram.chats import Chat, Message
from sandbox.telegram.keyboards import copied_texts
from sandbox.telegram.launches import Launches
from sandbox.telegram.record import Record
from sandbox.telegram.state import Telegram
from sandbox.telegram.webhook import Pusher

_BODY_BYTES_MAX = 50 * 1024 * 1024


def make_app(settings: Settings, *, answer_timeout_seconds: float = 10.0) -> web.Application:
    """Make the sandbox's application. The stand-in for BMC waits at most *answer_timeout_seconds* for the answer to a webhook."""
    anything = Bell()
    background = Background()
    lines = Lines.of(settings)
    plugs = Plugs(lines.by_plug(), Bell(anything))
    door, public_host = settings.webhook_url, settings.webhook_host
    bmc_postman = Postman(door=door, public_host=public_host, line=lines.webhook)
    telegram_postman = Postman(door=door, public_host=public_host, line=lines.bot)

    script = Script(origin=settings.script_url)
    forwarding = Forwarding(origin=door, public_host=public_host, script=script, bot_line=lines.bot)

    tally = Tally()
    telegram = Telegram(settings.bot_token, Bell(anything), record=Record(settings.record))
    telegram.heard = lambda chat, message: _note_message(tally, chat, message, pressed_at=telegram.pressed_at)
    pusher = Pusher(telegram.webhook, telegram.updates, telegram_postman, lines.bot)

    webhook = Webhook(settings.webhook_url, settings.bmc_secret)
    payments = PaymentStore(time.time)
    deliveries = Deliveries(
        webhook,
        bmc_postman,
        background,
        tally,
        retry_seconds=settings.retry_seconds,
        answer_timeout_seconds=answer_timeout_seconds,
        changed=Bell(anything),
    )

    dashboard = Dashboard(webhook, payments, deliveries)

    async def run_background(app: web.Application) -> AsyncIterator[None]:
        await plugs.put_all_in()
        background.start(pusher.run())
        yield
        await background.close()
        await bmc_postman.close()
        await telegram_postman.close()
        await forwarding.close()
        await plugs.close()

    app = web.Application(middlewares=[refuse_bad_fields], client_max_size=_BODY_BYTES_MAX)
    app.cleanup_ctx.append(run_background)
    app.add_routes([web.get("/healthz", say_healthy)])
    app.add_routes(BotApi(telegram, answer_seconds=settings.answer_seconds).routes())
    app.add_routes(Acting(telegram).routes())
    app.add_routes(ActingInGroups(telegram).routes())
    app.add_routes(Launches(telegram, public_host=settings.webhook_host).routes())
    app.add_routes(script.routes())
    app.add_routes(forwarding.routes())
    app.add_routes(dashboard.routes())
    app.add_routes(plugs.routes())
    app.add_routes(Checkout(payments, deliveries, tally, event_ids=Counter(epoch_seconds=1_720_000_000)).routes())
    app.add_routes(Api(payments, deliveries, ApiToken(settings.bmc_api_token), tally).routes())
    # Add these routes last. aiohttp uses the first route that matches, and `/bmc/{slug}` also matches `/bmc/payments`.
    app.add_routes(Demo(telegram, dashboard, tally, plugs, Cast(), anything).routes())
    return app


@dataclass(frozen=True)
class Lines:
    """
    The relays that carry the connections of the product's services.

    *webhook* and *bot* carry the requests to the webhook and to the bot. *telegram* carries the bot's calls of the Bot API. It
    is None if the settings name no port for it. *database* carries the connections to the database. It is None if the settings
    name no address for it.
    """

    webhook: Relay
    bot: Relay
    telegram: Relay | None
    database: Relay | None

    @classmethod
    def of(cls, settings: Settings) -> "Lines":
        proxy = Address(settings.webhook_url.host or "", settings.webhook_url.port or 443)
        here = Address(HERE, settings.port)
        telegram_port, database = settings.telegram_port, settings.database
        return cls(
            webhook=Relay(proxy),
            bot=Relay(proxy),
            telegram=Relay(here, host=settings.host, port=telegram_port) if telegram_port else None,
            database=Relay(database, host=settings.host, port=database.port) if database else None,
        )

    def by_plug(self) -> dict[PlugName, list[Relay]]:
        database = {PlugName.DATABASE: [self.database]} if self.database else {}
        telegram = [self.telegram] if self.telegram else []
        return {**database, PlugName.WEBHOOK: [self.webhook], PlugName.BOT: [self.bot, *telegram]}


def _note_message(tally: Tally, chat: Chat, message: Message, *, pressed_at: float) -> None:
    tally.note_message(
        chat.person.id,
        chat.person.first_name,
        message.content.text,
        copied_texts(message.reply_markup),
        at=time.time(),
        pressed_at=pressed_at,
    )


async def say_healthy(request: web.Request) -> web.Response:
    return web.json_response({"ok": True})
