"""Tell what a batch changed: in the log under the ids by which an operator follows one payment, and in its traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import structlog
from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind

from ledger.events import Event
from ledger.settling import Settlement
from services.runtime.tracing import follow, span, trace_id_in

log = structlog.stdlib.get_logger()


def tell(done: Settlement, events: Sequence[Event]) -> None:
    """Write a line for each charge; to be called once the batch is committed. Nothing of the supporter's words is in it."""
    traces = {
        event.charge.key: {"trace_id": trace_id_in(event.traceparent)}
        for event in events
        if event.charge and event.traceparent
    }
    for key, charge in done.charges.items():
        ids = {"charge_key": key, "payment_id": charge.payment_id, **traces.get(key, {})}
        if key in done.payment_credits:
            user, credits = done.payment_credits[key]
            log.info("charge matched", **ids, telegram_id=user, credits=credits, method=charge.method, flag=charge.flag)
        elif charge.waits:
            log.info("charge unmatched", **ids, reasons=[f"{reason.rule}: {reason.why}" for reason in charge.reasons])
        elif key in done.refunded:
            log.info("charge refunded", **ids, telegram_id=charge.telegram_id)
    for one in done.completions:
        log.info(
            "payment completed", payment_id=one.payment_id, charge_key=one.charge.key, **traces.get(one.charge.key, {})
        )


@contextmanager
def settling(events: Sequence[Event]) -> Iterator[None]:
    """Trace the transaction of a batch: as the first event's own, with links to the others, whose child it is as much."""
    parents = [follow(event.traceparent, age=timedelta(0))[0] for event in events if event.traceparent]
    if not parents:
        yield
        return
    others = tuple(Link(trace.get_current_span(parent).get_span_context()) for parent in parents[1:])
    with span("settle", SpanKind.PRODUCER, parent=parents[0], links=others) as made:
        made.set_attributes({"messaging.system": "postgresql", "messaging.destination.name": "notifications"})
        made.set_attribute("messaging.batch.message_count", len(events))
        yield
