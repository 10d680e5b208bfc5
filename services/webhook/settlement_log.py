"""Log and trace the settlement of a batch. Logs and traces contain the ids by which an operator can follow one payment."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import structlog
from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind

from coffee_ledger.events import Event
from coffee_ledger.runtime.tracing import follow, span, trace_id_in
from coffee_ledger.settling import Settlement
from coffee_ledger.store.settlement_log import describe_decision, find_completed
from services.webhook.metrics import event_label

log = structlog.stdlib.get_logger()


def log_settlement(done: Settlement, events: Sequence[Event]) -> None:
    """
    Log one line for each event of a batch: its outcome, and the decision about its charge. Call this after the commit.

    Do not log more lines for an event, because a line takes about as much time as all other work for a payment.
    """
    completed = find_completed(done)
    for event, outcome in zip(events, done.outcomes, strict=True):
        charge = done.charges.get(event.charge_key) if event.charge_key else None
        log.info(
            "event settled",
            outcome=outcome,
            type=event_label(event.type),
            delivery_key=event.delivery_key,
            **({"charge_key": event.charge_key} if charge is None else describe_decision(done, charge, completed)),
            # Pass the trace id explicitly, because the span has ended, and the log takes the id only from a current span.
            **({"trace_id": trace_id_in(event.traceparent)} if event.traceparent else {}),
        )


@contextmanager
def trace_settlement(events: Sequence[Event], *, now: datetime) -> Iterator[None]:
    """
    Trace the transaction of a batch.

    The span of the transaction is a child of the first event's span, and links to the spans of the other events.
    """
    traced = [event for event in events if event.traceparent]
    if not traced:
        yield
        return
    first, *others = traced
    # Pass the age of the first event, which may have waited long in the spool. If the event is old, `follow` returns a link to
    # the event's span instead of a parent.
    parent, links = follow(first.traceparent, age=now - first.received_at)
    # Pass age 0, so that `follow` returns the context of the event even if the event is old. The next line makes a link from
    # each context.
    contexts = [follow(event.traceparent, age=timedelta(0))[0] for event in others]
    links += tuple(Link(trace.get_current_span(context).get_span_context()) for context in contexts)
    with span("settle", SpanKind.PRODUCER, parent=parent, links=links) as made:
        made.set_attributes({"messaging.system": "postgresql", "messaging.destination.name": "notifications"})
        made.set_attribute("messaging.batch.message_count", len(events))
        yield
