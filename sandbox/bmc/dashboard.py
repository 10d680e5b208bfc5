"""The creator's side: the webhook, its deliveries, the test button, and the switches for misbehaviour."""

from typing import Any

from aiohttp import web

from sandbox.bmc.bodies import Event
from sandbox.bmc.deliveries import Deliveries, Delivery
from sandbox.bmc.misbehaviour import Fault, rule
from sandbox.bmc.payments import Payments
from sandbox.bmc.samples import SAMPLES
from sandbox.bmc.webhook import Webhook
from sandbox.fields import FieldError, read_fields
from sandbox.refusals import conflict, read_choice
from sandbox.templates import page

_WAIT_SECONDS_MAX = 120.0
_SHOWN_MAX = 100
# Every test event has this id.
_TEST_EVENT_ID = 1


class Dashboard:
    def __init__(self, webhook: Webhook, payments: Payments, deliveries: Deliveries) -> None:
        self._webhook = webhook
        self._payments = payments
        self._deliveries = deliveries

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/bmc", self.show),
            web.get("/bmc/deliveries", self.read_deliveries),
            web.get("/bmc/payments", self.read_payments),
            web.get("/bmc/webhook", self.read_webhook),
            web.post("/bmc/webhook/enable", self.enable),
            web.post("/bmc/test-event", self.send_test),
            web.get("/bmc/misbehave", self.read_misbehaviour),
            web.post("/bmc/misbehave", self.misbehave),
            web.delete("/bmc/misbehave", self.behave),
        ]

    async def show(self, request: web.Request) -> web.Response:
        return page("dashboard.html")

    async def read_deliveries(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        event_id = fields.integer("event_id")
        wait = min(fields.seconds("wait") or 0, _WAIT_SECONDS_MAX)
        if event_id is not None and wait:
            await self._deliveries.wait_for(event_id, seconds=wait)
        return web.json_response([delivery.as_read() for delivery in self._deliveries.read(event_id)])

    async def read_payments(self, request: web.Request) -> web.Response:
        """List the newest payments and subscriptions, newest first."""
        payments: list[dict[str, Any]] = [
            {
                "transaction_id": payment.transaction_id,
                "kind": payment.order.kind.value,
                "amount": str(payment.order.amount),
                "currency": payment.order.currency,
                "status": "refunded" if payment.is_refunded else "succeeded",
                "at": payment.created_at,
            }
            for payment in self._payments.payments.values()
        ]
        subscriptions: list[dict[str, Any]] = [
            {
                "psp_id": subscription.psp_id,
                "kind": subscription.order.kind.value,
                "amount": str(subscription.order.amount),
                "currency": subscription.order.currency,
                "status": subscription.status.value,
                "at": subscription.started_at,
            }
            for subscription in self._payments.subscriptions.values()
        ]
        newest = sorted([*payments, *subscriptions], key=lambda row: -row["at"])
        return web.json_response(newest[:_SHOWN_MAX])

    async def read_webhook(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "url": str(self._webhook.url),
                "enabled": self._webhook.enabled,
                "failures_in_a_row": self._webhook.failures_in_a_row,
            }
        )

    async def enable(self, request: web.Request) -> web.Response:
        self._webhook.enable()
        return await self.read_webhook(request)

    async def send_test(self, request: web.Request) -> web.Response:
        event_type = (await read_fields(request)).text("type") or "donation.created"
        if event_type not in SAMPLES:
            raise FieldError("type", f"must be one of {', '.join(SAMPLES)}")
        event = Event(
            event_id=_TEST_EVENT_ID,
            type=event_type,
            created=self._payments.second(),
            data=SAMPLES[event_type],
            live_mode=False,
        )
        delivery: Delivery | None = await self._deliveries.send_once(event)
        if delivery is None:
            raise conflict("the webhook is disabled")
        return web.json_response(delivery.as_read())

    async def read_misbehaviour(self, request: web.Request) -> web.Response:
        rules = self._deliveries.misbehaviour.rules
        return web.json_response(
            [{"kind": one.fault.value, "times": one.times, "seconds": one.seconds} for one in rules]
        )

    async def misbehave(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        new = rule(
            read_choice(fields, "kind", Fault),
            times=fields.integer("times") or 1,
            seconds=fields.seconds("seconds"),
        )
        self._deliveries.misbehaviour.add(new)
        return await self.read_misbehaviour(request)

    async def behave(self, request: web.Request) -> web.Response:
        self._deliveries.behave()
        return await self.read_misbehaviour(request)
