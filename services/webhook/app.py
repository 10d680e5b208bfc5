"""The HTTP application of the webhook. Its only address receives deliveries and probes."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from aiohttp import web
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.events import Event, read_event
from coffee_ledger.runtime.bodies import BodyReader, Unread, close_after
from coffee_ledger.runtime.tracing import read_parent, span, timed, write_parent
from services.webhook.batcher import OverloadedError
from services.webhook.failures import FailedStreak, SignatureFailureCounter
from services.webhook.intake import Intake
from services.webhook.metrics import (
    DELIVERIES,
    DURATION,
    LAST_ACCEPTED,
    PROBE_EVENT,
    PROBED,
    SPOOLED,
    UNVERIFIED_EVENT,
    DeliveryRefusal,
    event_label,
)
from services.webhook.signature import HEADER, find_secret
from services.webhook.spool import VerifiedDelivery

log = structlog.stdlib.get_logger()

PATH = "/bmc-webhook"
BODY_BYTES_MAX = 128 * 1024
"""The size of the largest accepted body. Real bodies have one or two kilobytes. The proxy has the same limit."""
RETRY_AFTER_SECONDS = "5"


@dataclass(frozen=True)
class Probe:
    """The settings for probes. A probe is a synthetic test delivery with its own secret. Its settlement is always rolled back."""

    secret: bytes
    settle_and_roll_back: Callable[[Event], Awaitable[object]]


def make_app(
    intake: Intake,
    secrets: Sequence[bytes],
    failures: SignatureFailureCounter,
    streak: FailedStreak,
    probe: Probe | None = None,
) -> web.Application:
    """
    Make the application. *probe* contains the settings for probes, which are synthetic test deliveries.

    If *probe* is None, probes are refused like any delivery with a wrong signature.
    """
    # `client_max_size` limits chunked bodies. They have no `Content-Length`, so BodyReader cannot know their size in advance.
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    handler = DeliveryHandler(intake, secrets, failures, streak, probe)
    for path in (PATH, f"{PATH}/"):
        # Operators type this address into a form on BMC's site. Accept a slash at the end, so that this small error does not make
        # us refuse payments.
        app.router.add_post(path, handler.take)
    app.on_response_prepare.append(_hide_server)
    return app


class DeliveryHandler:
    """Answers deliveries. BMC shows each answer in its delivery log, so an answer contains no personal data."""

    def __init__(
        self,
        intake: Intake,
        secrets: Sequence[bytes],
        failures: SignatureFailureCounter,
        streak: FailedStreak,
        probe: Probe | None,
    ) -> None:
        self._intake = intake
        self._secrets = secrets
        self._failures = failures
        self._streak = streak
        self._probe = probe
        self._bodies = BodyReader(bytes_max=BODY_BYTES_MAX)

    async def take(self, request: web.Request) -> web.Response:
        body = await self._bodies.read(request)
        if isinstance(body, Unread):
            return _refuse_unread(body)
        # Pass all values of the header, so that `find_secret` can refuse a request with two signatures.
        signatures = request.headers.getall(HEADER, [])
        # Try the signing secrets before the probe's secret. Then a payment is never taken for a probe, even if the probe's
        # secret is also a signing secret.
        secret = find_secret(body, signatures, self._secrets)
        if secret is None and self._probe and find_secret(body, signatures, [self._probe.secret]):
            return await self._settle_probe(body, self._probe)
        if secret is None:
            # BMC signs every delivery, so an unsigned request comes from a scanner. Do not count the request as a signature
            # failure, because operators need no message about scanners.
            if not signatures:
                return _refuse(DeliveryRefusal.UNSIGNED, 401)
            # Count the failure, so that operators get a message. The request may be forged, or it may be a payment signed with a
            # secret that is missing in our settings.
            self._streak.refuse()
            self._failures.count()
            return _refuse(DeliveryRefusal.BAD_SIGNATURE, 401)
        # Start tracing only after the signature is verified, so that an attacker cannot create traces.
        parent = read_parent(request.headers)
        with span(f"POST {PATH}", SpanKind.SERVER, parent=parent) as taken, timed(DURATION):
            taken.set_attribute("http.route", PATH)
            # Record which secret matched. The command /doctor shows the secrets in use, so that operators know when they can
            # remove an old secret.
            answer = await self._settle(body, verified_by=secret)
            taken.set_attribute("http.response.status_code", answer.status)
            return answer

    async def _settle_probe(self, body: bytes, probe: Probe) -> web.Response:
        """Settle a probe and roll it back. A probe does not end the failed streak, because BMC did not send the probe."""
        try:
            await probe.settle_and_roll_back(read_event(body, received_at=datetime.now(UTC), nonce=uuid.uuid4().hex))
        except DatabaseAwayError:
            # Do not spool a probe. While the database is away, no user can be credited, so the probe must fail.
            DELIVERIES.labels(PROBE_EVENT, DeliveryRefusal.DATABASE_AWAY).inc()
            return web.json_response({"error": DeliveryRefusal.DATABASE_AWAY}, status=503)
        DELIVERIES.labels(PROBE_EVENT, PROBED).inc()
        return web.json_response({"outcome": PROBED})

    async def _settle(self, body: bytes, *, verified_by: int) -> web.Response:
        delivery = VerifiedDelivery(body, datetime.now(UTC), uuid.uuid4().hex, verified_by, write_parent())
        event = delivery.read()
        # Log this only at the level DEBUG: the line "event settled", "event spooled" or "delivery refused" follows in any case.
        log.debug("webhook received", type=event_label(event.type), delivery_key=event.delivery_key)
        try:
            outcome = await self._intake.take(delivery, event) or SPOOLED
        except DatabaseAwayError:
            self._streak.refuse()
            return _refuse(DeliveryRefusal.DATABASE_AWAY, 503)
        except OverloadedError:
            self._streak.refuse()
            return _refuse(DeliveryRefusal.OVERLOADED, 503)
        except Exception:
            # Not even the raw event could be stored. Count a refusal: aiohttp answers 500, which BMC counts as a failure.
            self._streak.refuse()
            DELIVERIES.labels(UNVERIFIED_EVENT, DeliveryRefusal.NOT_KEPT).inc()
            raise
        DELIVERIES.labels(event_label(event.type), outcome).inc()
        trace.get_current_span().set_attributes({"ledger.event": event_label(event.type), "ledger.outcome": outcome})
        LAST_ACCEPTED.set_to_current_time()
        self._streak.accept()
        return web.json_response({"outcome": outcome})


def _refuse(refusal: DeliveryRefusal, status: int) -> web.Response:
    DELIVERIES.labels(UNVERIFIED_EVENT, refusal).inc()
    log.warning("delivery refused", refusal=refusal, status=status)
    response = web.json_response({"error": refusal}, status=status)
    if status == 503:
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response


def _refuse_unread(unread: Unread) -> web.Response:
    return close_after(_refuse(DeliveryRefusal(unread), unread.status))


async def _hide_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
