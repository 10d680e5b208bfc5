"""
Serve the stand-in for BMC's REST API: the lists of supports, subscriptions and Shop purchases.

A client needs the creator's token to read these lists.

Sources, read 2026-11-29: copies of BMC's documentation; programs of users of the API; answers of the API that users have
published.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from aiohttp import web

from sandbox.bmc.deliveries import Deliveries
from sandbox.bmc.listing import Choice, Listing, Row, in_other_zone
from sandbox.bmc.misbehaviour import Fault
from sandbox.bmc.payments import Kind, Order, PaymentStore, supporter_id_of
from sandbox.bmc.token import ApiToken
from sandbox.fields import FieldError, read_fields
from sandbox.journal import log
from sandbox.refusals import conflict, not_found
from sandbox.tally import Tally

_ROOT = "/bmc/api/v1"
_PER_PAGE = 5
_REQUESTS_MAX = 60
_WINDOW_SECONDS = 60.0
_DAY_SECONDS = 24 * 3600
# Refuse a client whose User-Agent begins with the name of an HTTP library, as Cloudflare does before a request reaches BMC.
# Accept any other User-Agent. For example, Cloudflare has accepted a public program whose User-Agent begins with another word.
_LIBRARY = re.compile(
    r"(?:python|aiohttp|httpx|urllib|curl|wget|go-http-client|okhttp|java|axios|node|undici|got|guzzle|ruby|php)",
    re.IGNORECASE,
)
_OVERSIZED_BYTES = 2 * 1024 * 1024


class RequestLimit:
    """Counts requests as Laravel does: the first request begins a minute, in which a fixed number of requests is answered."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends_at = clock()
        self._used = 0

    def take(self) -> int:
        """Count one request. Return how many more requests are allowed in this minute, or -1 if this request is not allowed."""
        if self._clock() >= self._ends_at:
            self._ends_at, self._used = self._clock() + _WINDOW_SECONDS, 0
        self._used = min(self._used + 1, _REQUESTS_MAX + 1)
        return _REQUESTS_MAX - self._used

    @property
    def seconds_left(self) -> int:
        return max(1, round(self._ends_at - self._clock()))


class Api:
    def __init__(
        self,
        payments: PaymentStore,
        deliveries: Deliveries,
        token: ApiToken,
        tally: Tally,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._payments = payments
        self._deliveries = deliveries
        self._token = token
        self._tally = tally
        self._listing = Listing(payments)
        self._limit = RequestLimit(clock)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{_ROOT}/supporters", self.read_supporters),
            web.get(f"{_ROOT}/subscriptions", self.read_subscriptions),
            web.get(f"{_ROOT}/extras", self.read_extras),
            web.get("/bmc/api/login", self.show_login),
            web.get("/bmc/api/token", self.read_token),
            web.post("/bmc/api/token", self.renew_token),
            web.post("/bmc/api/rows", self.change_row),
        ]

    async def read_supporters(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "supporters", self._listing.supports)

    async def read_extras(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "extras", self._listing.extras)

    async def read_subscriptions(self, request: web.Request) -> web.StreamResponse:
        # BMC does not document the default status. By default, the sandbox lists only active subscriptions. So a client that
        # forgets `status=all` misses the cancelled subscriptions.
        status = request.query.get("status", Choice.ACTIVE.value)
        choice = Choice(status) if status in {one.value for one in Choice} else Choice.ACTIVE
        return await self._answer(request, "subscriptions", lambda: self._listing.subscriptions(choice))

    async def show_login(self, request: web.Request) -> web.Response:
        return web.Response(text="<html><h1>Log in to Buy Me a Coffee</h1></html>", content_type="text/html")

    async def read_token(self, request: web.Request) -> web.Response:
        return web.json_response({"token": self._token.value, "expires_at": self._token.expires_at})

    async def renew_token(self, request: web.Request) -> web.Response:
        days = (await read_fields(request)).integer("days")
        self._token.renew(seconds=(365 if days is None else days) * _DAY_SECONDS)
        log.info("bmc: a new token of the API was made")
        return await self.read_token(request)

    async def change_row(self, request: web.Request) -> web.Response:
        """Replace fields of a row, or delete the row, as BMC or the creator may do."""
        fields = await read_fields(request)
        key = fields.text("transaction_id") or fields.need_text("psp_id")
        if key not in self._payments.payments and key not in self._payments.subscriptions:
            raise not_found("no such payment or subscription")
        changes = fields.decoded("fields") or {}
        if not isinstance(changes, dict):
            raise FieldError("fields", "must be an object")
        if fields.flag("deleted") and changes:
            raise conflict("a deleted row has no fields")
        self._listing.change(key, None if fields.flag("deleted") else changes)
        return web.json_response({"ok": True})

    async def _answer(self, request: web.Request, name: str, read: Callable[[], list[Row]]) -> web.StreamResponse:
        if (seconds := self._take(Fault.API_SLOW)) is not None:
            await asyncio.sleep(seconds)
        if self._take(Fault.API_RESET) is not None:
            return _reset(request)
        if _LIBRARY.match(request.headers.get("User-Agent") or "python") or self._take(Fault.API_BLOCKED) is not None:
            return _blocked()
        if not self._token.accepts(request.headers.get("Authorization", "")):
            # Without a valid token, BMC redirects to its login page, even if the client accepts only JSON.
            return web.Response(
                status=302,
                headers={"Location": "/bmc/api/login"},
                text="<html>Redirecting to the login page</html>",
                content_type="text/html",
            )
        return self._answer_owner(request, name, read)

    def _answer_owner(self, request: web.Request, name: str, read: Callable[[], list[Row]]) -> web.Response:
        left = self._limit.take()
        throttled = self._take(Fault.API_THROTTLED)
        if left < 0 or throttled is not None:
            return _throttled(self._limit.seconds_left if throttled is None else round(throttled))
        headers = {"X-RateLimit-Limit": str(_REQUESTS_MAX), "X-RateLimit-Remaining": str(left)}
        if self._take(Fault.API_BROKEN) is not None:
            return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>", content_type="text/html")
        if self._take(Fault.API_DEPRECATED) is not None:
            return web.json_response({"error": "This endpoint is deprecated"}, status=400, headers=headers)
        return web.json_response(self._body(request, name, read()), headers=headers)

    def _body(self, request: web.Request, name: str, rows: list[Row]) -> Mapping[str, Any]:
        if self._take(Fault.API_OTHER_ZONE) is not None:
            rows = in_other_zone(rows)
        number = _page_number(request)
        shown = rows[(number - 1) * _PER_PAGE : number * _PER_PAGE]
        if self._take(Fault.API_UNORDERED) is not None:
            shown.reverse()
        if self._take(Fault.API_RESHAPED) is not None:
            return {"supports": shown, "meta": {"page": number}}
        # With this fault, a stranger pays while a client reads page after page. The new payment does not change the current
        # page, because the rows in `shown` are already chosen. It shifts the rows of the next page.
        if self._take(Fault.API_SHIFTED) is not None:
            self._let_a_stranger_pay()
        if not shown:
            return {"error": f"No {name}"}
        # Skip the rows of Shop purchases: they have no transaction id, and the list of supporters also shows these payments.
        self._tally.note_listed({row["transaction_id"] for row in shown if "transaction_id" in row}, at=time.time())
        self._deliveries.changed.ring()
        page = _page(request, number, shown, total=len(rows))
        if self._take(Fault.API_MISCOUNTED) is not None:
            page["last_page"] = page["total"] = len(rows) + 1
        if self._take(Fault.API_FOREIGN_LINK) is not None:
            page["next_page_url"] = f"https://elsewhere.example/api/v1/{name}?page={number + 1}"
        if self._take(Fault.API_OVERSIZED) is not None:
            page["padding"] = "x" * _OVERSIZED_BYTES
        return page

    def _let_a_stranger_pay(self) -> None:
        order = Order(kind=Kind.DONATION, amount=Decimal(3), currency="USD", supporter_id=supporter_id_of(None))
        self._payments.pay(order)

    def _take(self, fault: Fault) -> float | None:
        """
        Return the `seconds` of the rule that turns the fault on, or None if the fault is off.

        A rule applies a limited number of times, and this call counts as one of them. The caller must simulate the fault.
        """
        rule = self._deliveries.misbehaviour.take(fault)
        if rule is None:
            return None
        self._deliveries.changed.ring()
        return rule.seconds


def _page_number(request: web.Request) -> int:
    asked = request.query.get("page", "1")
    return int(asked) if re.fullmatch("[1-9][0-9]{0,5}", asked, re.ASCII) else 1


def _page(request: web.Request, number: int, shown: list[Row], *, total: int) -> dict[str, Any]:
    """
    Build the page in the form that the web framework Laravel uses.

    The links contain only the parameter `page`. So a client that requests `?status=all` and then follows the link to the next
    page gets only subscriptions with the default status.
    """
    address = f"{request.url.origin()}{request.path}"
    last = max(1, -(-total // _PER_PAGE))
    return {
        "current_page": number,
        "data": shown,
        "first_page_url": f"{address}?page=1",
        "from": (number - 1) * _PER_PAGE + 1,
        "last_page": last,
        "last_page_url": f"{address}?page={last}",
        "next_page_url": f"{address}?page={number + 1}" if number < last else None,
        "path": address,
        "per_page": _PER_PAGE,
        "prev_page_url": f"{address}?page={number - 1}" if number > 1 else None,
        "to": (number - 1) * _PER_PAGE + len(shown),
        "total": total,
    }


def _reset(request: web.Request) -> web.Response:
    """Cut the connection. aiohttp requires a response, but the returned response is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=599)


def _blocked() -> web.Response:
    """Answer as Cloudflare does when it refuses a client."""
    text = "<html><title>Access denied</title><h1>Error 1010</h1><p>The owner has banned your access.</p></html>"
    return web.Response(status=403, text=text, content_type="text/html", headers={"Server": "cloudflare"})


def _throttled(seconds: int) -> web.Response:
    headers = {"Retry-After": str(seconds), "X-RateLimit-Limit": str(_REQUESTS_MAX), "X-RateLimit-Remaining": "0"}
    return web.json_response({"message": "Too Many Attempts."}, status=429, headers=headers)
