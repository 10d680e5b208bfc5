"""The endpoints under `/api/`. They take the user's id only from the init data, which the page sends and Telegram signs."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import structlog
from aiohttp import hdrs, web
from aiohttp_sse import EventSourceResponse, sse_response

from coffee_ledger.codes import is_code, is_older_form
from coffee_ledger.errors import DatabaseAwayError, PaymentIdTakenError, TooManyOpenPaymentsError
from coffee_ledger.model import PaymentId, PendingPayment
from coffee_ledger.runtime.bodies import BodyReader, Unread
from coffee_ledger.runtime.timeouts import wait_for_event
from coffee_ledger.store.app_state import ShownPayment, find_app_state
from coffee_ledger.store.pending_payments import PaymentRequest, cancel_payment, open_payment
from coffee_ledger.store.users import meet_user
from coffee_ledger.telegram.amounts import LEAST, MOST, AmountProblem, RequestedAmount, read_web_app_data
from coffee_ledger.telegram.api.counting import count_answers
from coffee_ledger.telegram.api.init_data import InitDataProblem, Visitor, read_init_data
from coffee_ledger.telegram.api.live import Live, TooManyWatchersError, Watcher
from coffee_ledger.telegram.api.problems import ProblemError, UnreadBodyError, answer_problems, too_many_requests
from coffee_ledger.telegram.api.shapes import show_offer, show_payment, show_state
from coffee_ledger.telegram.api.tracing import trace_requests
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.token_bucket import TokenBucket

log = structlog.stdlib.get_logger()

REQUEST_BYTES_MAX = 16 * 1024
REQUESTS_BURST, REQUESTS_PER_SECOND = 40, 1.0
"""The rate limit of each user: how many requests the user may send at once, and how many more per second."""

# A stream checks at this interval whether its page was closed, because aiohttp does not report that a page was closed.
STREAM_CHECK_SECONDS = 1.0
STREAM_RETRY_SECONDS = 15.0
"""
The time that a page waits before it requests a stream again.

The page waits after the bot has refused a stream, or has ended a stream to make room for another page. Meanwhile, the page
polls `/api/state`.
"""

STREAM_SEND_SECONDS = 20.0
"""The maximum time for sending one server-sent event to a page. If sending takes longer, the stream ends."""

Endpoint = Callable[[web.Request, Visitor], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Api:
    """The endpoints of the Mini App's API and the objects that they need."""

    context: Context
    token: str
    live: Live
    find_username: Callable[[], Awaitable[str | None]]
    """Finds the bot's own username. Returns None if Telegram does not answer in time."""
    send_code: Callable[[Visitor, PendingPayment], None]
    """Sends the code of a new pending payment into the user's chat with the bot, where a button copies the code."""
    bodies: BodyReader = field(default_factory=lambda: BodyReader(bytes_max=REQUEST_BYTES_MAX))

    def make_app(self) -> web.Application:
        """Make the application, which the caller must mount at `/api`."""
        # The first middleware is the outermost one. `answer_problems` turns errors into answers. It is the innermost one, so that
        # `trace_requests` and `count_answers` see these answers.
        app = web.Application(middlewares=[trace_requests, count_answers, answer_problems])
        bucket = TokenBucket(burst=REQUESTS_BURST, per_second=REQUESTS_PER_SECOND)
        routes: dict[tuple[str, str], Endpoint] = {
            ("GET", "/state"): self._show_state,
            ("GET", "/events"): self._stream_states,
            ("POST", "/payments"): self._open_payment,
            ("POST", "/payments/{payment_id}/cancel"): self._cancel_payment,
        }
        # Do not require a user for `/offer`. A page that was opened by a keyboard button gets no init data, so its user is
        # unknown.
        app.router.add_get("/offer", self._show_offer)
        for (method, path), answer in routes.items():
            app.router.add_route(method, path, self._authorised(answer, bucket))
        app.on_response_prepare.append(_forbid_caching)
        # End the streams when the application stops. If they did not end, the stop would wait until all pages are closed.
        app.on_shutdown.append(self._end_streams)
        return app

    def _authorised(
        self, answer: Endpoint, bucket: TokenBucket
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def authorise(request: web.Request) -> web.StreamResponse:
            authorization = request.headers.get("Authorization", "")
            visitor = read_init_data(authorization, token=self.token, now=self.context.clock())
            if isinstance(visitor, InitDataProblem):
                raise ProblemError(401, visitor)
            is_acting = request.method != hdrs.METH_GET
            if is_acting and self.context.clock() > visitor.may_act_until:
                raise ProblemError(401, InitDataProblem.EXPIRED)
            # Check the rate limit after the signature, so that strangers cannot use up a user's requests. Check it before any
            # query, so that refused requests do not load the database.
            wait_seconds = bucket.take(visitor.telegram_id, asyncio.get_running_loop().time())
            if wait_seconds:
                raise too_many_requests(wait_seconds)
            spoken = await meet_user(
                self.context.pool,
                visitor.telegram_id,
                language=visitor.language,
                username=visitor.username,
                now=self.context.clock(),
                # An erased user is stored again only if they do something, such as opening a payment. A GET request only reads.
                is_acting=is_acting,
                # A user who opens the page may have blocked the bot, so do not record that the bot can reach them.
                is_in_chat=False,
            )
            return await answer(request, replace(visitor, language=spoken))

        return authorise

    async def _end_streams(self, _app: web.Application) -> None:
        self.live.stop()

    async def _show_offer(self, _request: web.Request) -> web.Response:
        return web.json_response(show_offer(self.context, bot=await self.find_username()))

    async def _show_state(self, _request: web.Request, visitor: Visitor) -> web.Response:
        return web.Response(text=await self._state_of(visitor), content_type="application/json")

    async def _open_payment(self, request: web.Request, visitor: Visitor) -> web.Response:
        body = await self.bodies.read(request)
        if isinstance(body, Unread):
            raise UnreadBodyError(body)
        # Replace invalid UTF-8 instead of raising an error here. `_read_amount` refuses data that it cannot read.
        requested = self._read_amount(body.decode(errors="replace"), visitor)
        # Each request gets its own key, so the key does not identify a repeated request. A repeated request still opens no
        # second payment, because `open_payment` returns the open payment of this amount.
        asked = PaymentRequest(
            f"app:{uuid.uuid4().hex}", visitor.telegram_id, requested.amount, requested.currency, requested.payment_id
        )
        now = self.context.clock()
        try:
            payment = await open_payment(
                self.context.pool,
                asked,
                draw_code=self.context.draw_code,
                now=now,
                # Return an open payment again only if at least half of its lifetime is left, so that the user has time to pay.
                reuse_within=self.context.pending_ttl / 2,
            )
        except TooManyOpenPaymentsError as error:
            raise ProblemError(409, "too_many_open", {"count": error.open_max}) from None
        except PaymentIdTakenError:
            raise ProblemError(400, "request_unreadable") from None
        # A payment that was opened by an earlier request has an earlier `created_at`.
        is_new = payment.created_at == now
        if is_new:
            log.info("pending payment recorded", payment_id=payment.payment_id, telegram_id=visitor.telegram_id)
            self.send_code(visitor, payment)
        return web.json_response(
            show_payment(ShownPayment(payment, paid=None), self.context), status=201 if is_new else 200
        )

    async def _cancel_payment(self, request: web.Request, visitor: Visitor) -> web.Response:
        payment_id = PaymentId(request.match_info["payment_id"])
        if not (is_code(payment_id) or is_older_form(payment_id)):
            raise ProblemError(404, "payment_unknown")
        cancelling = await cancel_payment(self.context.pool, payment_id, visitor.telegram_id, now=self.context.clock())
        # The payment does not exist, or it belongs to another user. Answer both cases alike, so that the answer does not reveal
        # which codes exist.
        if cancelling is None:
            raise ProblemError(404, "payment_unknown")
        payment = cancelling.payment
        # Answer a repeated cancellation like the first. Refuse to cancel a payment that expired or was completed.
        if not cancelling.is_new and payment.status != "cancelled":
            raise ProblemError(409, "payment_ended", {"status": payment.status})
        return web.json_response(show_payment(ShownPayment(payment, paid=None), self.context))

    async def _stream_states(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        try:
            # Begin to watch before the first query, so that a change after the query is not missed.
            with self.live.watch(visitor.telegram_id) as watcher:
                first = await self._state_of(visitor)
                async with sse_response(request, send_timeout=STREAM_SEND_SECONDS, sep="\n") as stream:
                    await self._send_states(request, stream, first, watcher, visitor)
        except TooManyWatchersError:
            raise too_many_requests(STREAM_RETRY_SECONDS) from None
        return stream

    async def _send_states(
        self, request: web.Request, stream: EventSourceResponse, state: str, watcher: Watcher, visitor: Visitor
    ) -> None:
        """Send the user's current state to the page, and then the new state after each change, until the stream ends."""
        sent = ""
        try:
            while _is_open(request) and stream.is_connected() and not self.live.is_stopping:
                if self.context.clock() >= visitor.may_watch_until:
                    await stream.send("{}", event="expired")
                    return
                if watcher.is_displaced:
                    await stream.send(json.dumps({"retry_after": STREAM_RETRY_SECONDS}), event="displaced")
                    return
                if state != sent:
                    await stream.send(state, event="state")
                    sent = state
                # Wait at most until the init data expires. The stream must end then, even if nothing changes.
                seconds_left = (visitor.may_watch_until - self.context.clock()).total_seconds()
                if await wait_for_event(watcher.changed, seconds=min(STREAM_CHECK_SECONDS, max(seconds_left, 0))):
                    # Clear the event before the query. If the event were cleared after the query, a change during the query
                    # would be lost.
                    watcher.changed.clear()
                    state = await self._state_of(visitor)
        # End the stream. An error answer is no longer possible, because the headers are already sent. The page connects again.
        except (ConnectionError, TimeoutError, DatabaseAwayError):
            return

    async def _state_of(self, visitor: Visitor) -> str:
        state = await find_app_state(self.context.pool, visitor.telegram_id, language=visitor.language)
        return json.dumps(show_state(state, self.context))

    def _read_amount(self, body: str, visitor: Visitor) -> RequestedAmount:
        context = self.context
        requested = read_web_app_data(
            body, sender=visitor.telegram_id, currency=context.currency, currencies=context.currencies
        )
        match requested:
            case RequestedAmount():
                return requested
            case AmountProblem.TOO_SMALL:
                raise ProblemError(422, "amount_too_small", {"least": f"{LEAST:f}"})
            case AmountProblem.TOO_LARGE:
                raise ProblemError(422, "amount_too_large", {"most": f"{MOST:f}"})
            case AmountProblem.CURRENCY:
                raise ProblemError(422, "currency_unknown", {"currencies": context.currencies})
            case _:
                raise ProblemError(400, "request_unreadable")


def _is_open(request: web.Request) -> bool:
    """Tell whether the page still has its connection open. aiohttp does not report that a page was closed, so check regularly."""
    return request.transport is not None and not request.transport.is_closing()


async def _forbid_caching(_request: web.Request, response: web.StreamResponse) -> None:
    # Forbid caching, because the answers contain balances and codes.
    response.headers["Cache-Control"] = "no-store"
    response.headers.popall("Server", None)
