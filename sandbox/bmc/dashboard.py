"""Serve the creator's dashboard: the webhook, its deliveries, the test button, and the switches that turn on faults."""

from collections.abc import Container
from typing import Any

from aiohttp import web

from sandbox.bmc.bodies import Event
from sandbox.bmc.deliveries import Deliveries, Delivery
from sandbox.bmc.misbehaviour import Fault, rule
from sandbox.bmc.payments import Order, Payment, PaymentStore, Subscription
from sandbox.bmc.samples import SAMPLES
from sandbox.bmc.webhook import Webhook
from sandbox.fields import FieldError, read_fields
from sandbox.refusals import conflict, not_found, read_choice

_WAIT_SECONDS_MAX = 120.0
_SHOWN_MAX = 100
_LOG_MAX = 50
# BMC gives every test event this id.
_TEST_EVENT_ID = 1


class Dashboard:
    def __init__(self, webhook: Webhook, payments: PaymentStore, deliveries: Deliveries) -> None:
        self._webhook = webhook
        self._payments = payments
        self._deliveries = deliveries

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/bmc/deliveries", self.read_deliveries),
            web.get("/bmc/payments", self.read_payments),
            web.get("/bmc/webhook", self.read_webhook),
            web.post("/bmc/webhook/enable", self.enable),
            web.post("/bmc/test-event", self.send_test),
            web.post(r"/bmc/events/{event_id:\d{1,18}}/send-again", self.send_again),
            web.get("/bmc/misbehave", self.read_misbehaviour),
            web.post("/bmc/misbehave", self.misbehave),
            web.delete("/bmc/misbehave", self.behave),
        ]

    async def read_deliveries(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        event_id = fields.integer("event_id")
        wait = min(fields.seconds("wait") or 0, _WAIT_SECONDS_MAX)
        if event_id is not None and wait:
            await self._deliveries.wait_for(event_id, seconds=wait)
        return web.json_response([delivery.as_read() for delivery in self._deliveries.read(event_id)])

    async def read_payments(self, request: web.Request) -> web.Response:
        return web.json_response(self.payments())

    async def read_webhook(self, request: web.Request) -> web.Response:
        return web.json_response(self.webhook())

    async def enable(self, request: web.Request) -> web.Response:
        self._webhook.enable()
        self._deliveries.changed.ring()
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

    async def send_again(self, request: web.Request) -> web.Response:
        event_id = int(request.match_info["event_id"])
        if not self._deliveries.is_unsent(event_id):
            raise not_found("no such event, or it is on its way")
        if not self._webhook.enabled:
            raise conflict("the webhook is disabled")
        self._deliveries.send_again(event_id)
        return web.json_response({"event_id": event_id})

    async def read_misbehaviour(self, request: web.Request) -> web.Response:
        return web.json_response(self.faults())

    async def misbehave(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        new = rule(
            read_choice(fields, "kind", Fault),
            times=fields.integer("times") or 1,
            seconds=fields.seconds("seconds"),
        )
        self._deliveries.misbehaviour.add(new)
        self._deliveries.changed.ring()
        return await self.read_misbehaviour(request)

    async def behave(self, request: web.Request) -> web.Response:
        fields = await read_fields(request)
        if fields.text("kind"):
            self._deliveries.misbehaviour.remove(read_choice(fields, "kind", Fault))
            self._deliveries.changed.ring()
        else:
            self._deliveries.behave()
        return await self.read_misbehaviour(request)

    def payments(self, *, only: Container[str] | None = None) -> list[dict[str, Any]]:
        """
        Return the newest payments and subscriptions, newest first.

        *only* contains the ids of the transactions and subscriptions to return. If *only* is None, return all of them.
        """
        paid = [(of, _payment_row(one)) for of, one in self._payments.payments.items()]
        subscribed = [(of, _subscription_row(one)) for of, one in self._payments.subscriptions.items()]
        rows = [row for of, row in (*paid, *subscribed) if only is None or of in only]
        # `at` is in whole seconds, so two rows can have the same `at`. Order these rows by their ids.
        return sorted(rows, key=lambda row: (row["at"], row["id"]), reverse=True)[:_SHOWN_MAX]

    def webhook(self) -> dict[str, Any]:
        return {
            "url": str(self._webhook.url),
            "enabled": self._webhook.enabled,
            "failures_in_a_row": self._webhook.failures_in_a_row,
        }

    def faults(self) -> list[dict[str, Any]]:
        rules = self._deliveries.misbehaviour.rules
        return [{"kind": one.fault.value, "times": one.times, "seconds": one.seconds} for one in rules]

    def log(self, *, since: float = 0.0) -> list[dict[str, Any]]:
        """Return the last deliveries with their answers, newest first. *since* is a time in seconds since 1970."""
        newest = [one for one in self._deliveries.read()[-_LOG_MAX:] if one.at.timestamp() >= since]
        return [delivery.as_read() for delivery in reversed(newest)]

    def end_faults(self) -> None:
        """End all faults of BMC, and enable the webhook."""
        self._deliveries.behave()
        self._webhook.enable()


def _payment_row(payment: Payment) -> dict[str, Any]:
    status = "refunded" if payment.is_refunded else "succeeded"
    return {
        "transaction_id": payment.transaction_id,
        **_row(payment.order, status, number=payment.id, at=payment.created_at),
    }


def _subscription_row(subscription: Subscription) -> dict[str, Any]:
    status = subscription.status.value
    return {
        "psp_id": subscription.psp_id,
        **_row(subscription.order, status, number=subscription.id, at=subscription.started_at),
    }


def _row(order: Order, status: str, *, number: int, at: int) -> dict[str, Any]:
    return {
        "id": number,
        "kind": order.kind.value,
        "name": order.name,
        "words": " ".join(filter(None, (order.note, order.answer, order.additional_info))),
        "amount": str(order.amount),
        "currency": order.currency,
        "status": status,
        "at": at,
    }
