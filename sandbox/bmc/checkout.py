"""Handle the requests of the page where people pay, and later actions on a payment, such as a refund."""

import re
import time
from decimal import Decimal, InvalidOperation

from aiohttp import web

from sandbox.bmc.bodies import Event, payment_data, subscription_data
from sandbox.bmc.deliveries import Deliveries
from sandbox.bmc.payments import Kind, Order, Payment, PaymentStore, Status, Subscription, supporter_id_of
from sandbox.counters import Counter
from sandbox.fields import FieldError, Fields, read_fields
from sandbox.journal import log
from sandbox.refusals import conflict, not_found, read_choice
from sandbox.tally import Tally

_CURRENCY = re.compile(r"[A-Z]{3}")
_AMOUNT_MAX = Decimal(10000000)


class Checkout:
    def __init__(self, payments: PaymentStore, deliveries: Deliveries, tally: Tally, *, event_ids: Counter) -> None:
        self._payments = payments
        self._deliveries = deliveries
        self._tally = tally
        self._event_ids = event_ids

    def routes(self) -> list[web.RouteDef]:
        payment = "/bmc/payments/{transaction_id}"
        subscription = "/bmc/subscriptions/{psp_id}"
        return [
            web.post(f"{payment}/refund", self.refund),
            web.post(f"{payment}/answer", self.answer),
            web.post(f"{subscription}/renew", self.renew),
            web.post(f"{subscription}/cancel", self.cancel),
            web.post(f"{subscription}/pause", self.pause),
            web.post(r"/bmc/{slug:[\w.\-]+}/checkout", self.pay),
        ]

    async def pay(self, request: web.Request) -> web.Response:
        order = read_order(await read_fields(request))
        if order.kind.is_subscription:
            return self._start(self._payments.subscribe(order))
        payment = self._payments.pay(order)
        self._note_payment(payment.transaction_id, of=payment.transaction_id, order=order)
        log.info("bmc: %s %s paid", order.kind.value, payment.transaction_id)
        return web.json_response(
            {
                "transaction_id": payment.transaction_id,
                "id": payment.id,
                "supporter_id": order.supporter_id,
                **self._report_payment(payment, "created"),
            }
        )

    async def refund(self, request: web.Request) -> web.Response:
        payment = self._payment(request)
        if payment.is_refunded:
            raise conflict("it was refunded before")
        refunded = self._payments.refund(payment)
        self._tally.note_refund(payment.transaction_id)
        return web.json_response(self._report_payment(refunded, "refunded"))

    async def answer(self, request: web.Request) -> web.Response:
        """Store the supporter's answer to the question that a shop item asks after the payment."""
        payment = self._payment(request)
        if payment.order.kind is not Kind.EXTRA_PURCHASE:
            raise conflict("only shop items ask a question")
        answer = (await read_fields(request)).need_text("answer")
        answered = self._payments.answer(payment, answer)
        self._tally.note_words(payment.transaction_id, _words(answered.order))
        return web.json_response(self._report_payment(answered, "updated"))

    async def renew(self, request: web.Request) -> web.Response:
        renewed = self._payments.renew(self._active_subscription(request))
        self._note_payment(_period_key(renewed), of=renewed.psp_id, order=renewed.order)
        return web.json_response(
            {
                "current_period_start": renewed.period_start,
                **self._report_subscription(renewed, "updated"),
            }
        )

    async def cancel(self, request: web.Request) -> web.Response:
        feedback = (await read_fields(request)).text("feedback")
        cancelled = self._payments.cancel(self._subscription(request), feedback)
        return web.json_response(self._report_subscription(cancelled, "cancelled"))

    async def pause(self, request: web.Request) -> web.Response:
        paused = self._payments.pause(self._active_subscription(request))
        return web.json_response(self._report_subscription(paused, "paused"))

    def _start(self, subscription: Subscription) -> web.Response:
        self._note_payment(_period_key(subscription), of=subscription.psp_id, order=subscription.order)
        # The first charge of a subscription causes two events. Report `.updated` first, because this event has the lower id in
        # BMC's published example.
        updated = self._subscription_event(subscription, "updated")
        started = self._subscription_event(subscription, "started")
        is_sent = self._deliveries.send(updated, started)
        log.info("bmc: %s %s started", subscription.order.kind.value, subscription.psp_id)
        return web.json_response(
            {
                "psp_id": subscription.psp_id,
                "id": subscription.id,
                "event_id": started.event_id,
                "event_ids": [updated.event_id, started.event_id],
                "is_sent": is_sent,
                "supporter_id": subscription.order.supporter_id,
                "current_period_start": subscription.period_start,
            }
        )

    def _report_payment(self, payment: Payment, happening: str) -> dict[str, int | bool]:
        # Give the event of a refund no key. Otherwise `Tally` would count the deliveries of the refund as deliveries of the
        # payment.
        key = None if happening == "refunded" else payment.transaction_id
        event = self._event(f"{payment.order.kind.value}.{happening}", payment_data(payment), key)
        return self._send(event)

    def _report_subscription(self, subscription: Subscription, happening: str) -> dict[str, int | bool]:
        return self._send(self._subscription_event(subscription, happening))

    def _send(self, event: Event) -> dict[str, int | bool]:
        return {"event_id": event.event_id, "is_sent": self._deliveries.send(event)}

    def _subscription_event(self, subscription: Subscription, happening: str) -> Event:
        key = _period_key(subscription) if happening in ("started", "updated") else None
        return self._event(f"{subscription.order.kind.value}.{happening}", subscription_data(subscription), key)

    def _event(self, event_type: str, data: dict[str, object], key: str | None) -> Event:
        """Make an event. *key* is the key of the payment that the event reports, or None if the event reports no payment."""
        event = Event(event_id=self._event_ids.next(), type=event_type, created=self._payments.second(), data=data)
        if key is not None:
            self._tally.note_event(key, event.event_id)
        return event

    def _note_payment(self, key: str, *, of: str, order: Order) -> None:
        self._tally.note_payment(key, of=of, amount=order.amount, words=_words(order), at=time.time())

    def _payment(self, request: web.Request) -> Payment:
        payment = self._payments.payments.get(request.match_info["transaction_id"])
        if payment is None:
            raise not_found("no such payment")
        return payment

    def _subscription(self, request: web.Request) -> Subscription:
        subscription = self._payments.subscriptions.get(request.match_info["psp_id"])
        if subscription is None:
            raise not_found("no such subscription")
        return subscription

    def _active_subscription(self, request: web.Request) -> Subscription:
        subscription = self._subscription(request)
        if subscription.status is not Status.ACTIVE:
            raise conflict(f"the subscription is {subscription.status.value}")
        return subscription


def _period_key(subscription: Subscription) -> str:
    return f"{subscription.psp_id}/{subscription.period_start}"


def _words(order: Order) -> str:
    return " ".join(filter(None, (order.note, order.answer, order.additional_info)))


def read_order(fields: Fields) -> Order:
    kind = read_choice(fields, "kind", Kind) if fields.text("kind") else Kind.DONATION
    note = fields.text("note") or ""
    email = (fields.text("email") or "").strip() or None
    info = fields.text("additional_info")
    if kind is Kind.COMMISSION_ORDER and info is None:
        # The form of a commission has only one free text field. BMC reports the text in `additional_info`, and the note is
        # empty.
        note, info = "", note
    return Order(
        kind=kind,
        amount=_read_amount(fields, kind),
        currency=_read_currency(fields),
        supporter_id=_read_supporter_id(fields, email),
        note=note,
        name=(fields.text("name") or "").strip(),
        email=email,
        is_private=fields.flag("private"),
        pays_fee=fields.flag("pays_fee"),
        answer=fields.text("answer") or None,
        additional_info=info,
    )


def _read_amount(fields: Fields, kind: Kind) -> Decimal:
    try:
        amount = Decimal(fields.need_text("amount").strip())
    except InvalidOperation as error:
        raise FieldError("amount", "must be a number") from error
    if not amount.is_finite() or amount < 0 or amount > _AMOUNT_MAX:
        raise FieldError("amount", "must be positive, and payable")
    if amount == 0 and kind is not Kind.EXTRA_PURCHASE:
        raise FieldError("amount", "must be positive: only shop items can be free")
    if amount != amount.quantize(Decimal("0.01")):
        raise FieldError("amount", "must have at most two decimal places")
    return amount


def _read_currency(fields: Fields) -> str:
    currency = (fields.text("currency") or "USD").strip().upper()
    if not _CURRENCY.fullmatch(currency):
        raise FieldError("currency", "must be a code of three letters, such as USD")
    return currency


def _read_supporter_id(fields: Fields, email: str | None) -> int:
    given = fields.integer("supporter_id") if fields.text("supporter_id") else None
    return supporter_id_of(email) if given is None else given
