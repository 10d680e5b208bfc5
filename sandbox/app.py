"""Define the web application that serves the stand-ins for Telegram and for Buy Me a Coffee (BMC)."""

import time
from collections.abc import AsyncIterator

from aiohttp import web

from sandbox.background import Background
from sandbox.bell import Bell
from sandbox.bmc.api import Api
from sandbox.bmc.checkout import Checkout
from sandbox.bmc.dashboard import Dashboard
from sandbox.bmc.deliveries import Deliveries
from sandbox.bmc.payments import Payments
from sandbox.bmc.token import ApiToken
from sandbox.bmc.webhook import Webhook
from sandbox.counters import Counter
from sandbox.demo import Demo
from sandbox.forwarding import Forwarding
from sandbox.postman import Postman
from sandbox.refusals import refuse_bad_fields
from sandbox.script import Script
from sandbox.settings import Settings
from sandbox.telegram.acting import Acting
from sandbox.telegram.acting_in_groups import ActingInGroups
from sandbox.telegram.bot_api import BotApi
from sandbox.telegram.launches import Launches
from sandbox.telegram.record import Record
from sandbox.telegram.state import Telegram
from sandbox.telegram.webhook import Pusher

_BODY_BYTES_MAX = 50 * 1024 * 1024


def make_app(settings: Settings, *, answer_timeout_seconds: float = 10.0) -> web.Application:
    """Make the sandbox's application. The stand-in for BMC waits at most *answer_timeout_seconds* for the answer to a webhook."""
    anything = Bell()
    background = Background()
    postman = Postman(door=settings.webhook_url, public_host=settings.webhook_host)

    script = Script(origin=settings.script_url)
    forwarding = Forwarding(origin=settings.webhook_url, public_host=settings.webhook_host, script=script)

    telegram = Telegram(settings.bot_token, Bell(anything), record=Record(settings.record))
    pusher = Pusher(telegram.webhook, telegram.updates, postman)

    webhook = Webhook(settings.webhook_url, settings.bmc_secret)
    payments = Payments(time.time)
    deliveries = Deliveries(
        webhook,
        postman,
        background,
        retry_seconds=settings.retry_seconds,
        answer_timeout_seconds=answer_timeout_seconds,
        changed=Bell(anything),
    )

    dashboard = Dashboard(webhook, payments, deliveries)

    async def run_background(app: web.Application) -> AsyncIterator[None]:
        background.start(pusher.run())
        yield
        await background.close()
        await postman.close()
        await forwarding.close()

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
    app.add_routes(Checkout(payments, deliveries, event_ids=Counter(epoch_seconds=1_720_000_000)).routes())
    app.add_routes(Api(payments, deliveries, ApiToken(settings.bmc_api_token)).routes())
    # Add these routes last. aiohttp uses the first route that matches, and `/bmc/{slug}` also matches `/bmc/payments`.
    app.add_routes(Demo(telegram, dashboard, anything).routes())
    return app


async def say_healthy(request: web.Request) -> web.Response:
    return web.json_response({"ok": True})
