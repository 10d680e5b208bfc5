"""Send events to the webhook, and keep a log of the deliveries and their answers."""

import asyncio
import itertools
import time
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.background import Background
from sandbox.bell import Bell
from sandbox.bmc.bodies import Event, wire
from sandbox.bmc.misbehaviour import REQUEST_FAULTS, Fault, Misbehaviour, Rule
from sandbox.bmc.webhook import Webhook, sign
from sandbox.journal import log
from sandbox.postman import Answer, NoAnswer, Postman
from sandbox.tally import Tally

_KEPT_MAX = 5_000
_UNSENT_MAX = 1_000
_ANSWER_TEXT_MAX = 2_000
# BMC documents "up to 4 more deliveries with exponential delay", so an event is sent at most five times. The delays are not
# public.
_ATTEMPTS_MAX = 5


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One request and its answer. *number* distinguishes two requests of the same event in the same millisecond."""

    number: int
    event_id: int
    type: str
    attempt: int
    at: datetime
    outcome: Answer | NoAnswer
    seconds: float
    body: bytes
    signature: str | None

    @property
    def is_success(self) -> bool:
        return isinstance(self.outcome, Answer) and self.outcome.is_success

    def as_read(self) -> dict[str, Any]:
        answered = self.outcome if isinstance(self.outcome, Answer) else None
        return {
            "number": self.number,
            "event_id": self.event_id,
            "type": self.type,
            "attempt": self.attempt,
            "status": answered.status if answered else None,
            "answer": answered.text[:_ANSWER_TEXT_MAX] if answered else None,
            "error": self.outcome.reason if isinstance(self.outcome, NoAnswer) else None,
            "at": self.at.isoformat(timespec="milliseconds"),
            "milliseconds": round(self.seconds * 1000),
            "body": self.body.decode(),
            "signature": self.signature,
        }


class Deliveries:
    """
    Sends each event in its own task, so the order of events is not guaranteed.

    A disabled webhook receives no events. Missed events are not sent after the webhook is enabled again.
    """

    def __init__(
        self,
        webhook: Webhook,
        postman: Postman,
        background: Background,
        tally: Tally,
        *,
        retry_seconds: float,
        answer_timeout_seconds: float = 10.0,
        changed: Bell | None = None,
    ) -> None:
        # This bell rings after each change of the data that the dashboard shows.
        self.changed = changed or Bell()
        self.misbehaviour = Misbehaviour()
        self._webhook = webhook
        self._postman = postman
        self._background = background
        self._tally = tally
        self._retry_seconds = retry_seconds
        self._answer_timeout_seconds = answer_timeout_seconds
        self._numbers = itertools.count(1)
        self._log: deque[Delivery] = deque(maxlen=_KEPT_MAX)
        self._under_way: Counter[int] = Counter()
        # The events that were given up: the webhook has not accepted them, and they are not sent any more.
        self._unsent: OrderedDict[int, Event] = OrderedDict()
        # A fault can hold back an event of BMC. The task that sends this event then waits for an `asyncio.Event` in one of
        # these collections. A wait in `_overtaken` ends when another BMC event is sent. A wait in `_refunds_sent` (the key is
        # the transaction id) ends when the refund of the payment is sent. A wait in `_late` ends after a fixed delay.
        self._overtaken: set[asyncio.Event] = set()
        self._refunds_sent: dict[str, asyncio.Event] = {}
        self._late: set[asyncio.Event] = set()

    def send(self, *events: Event) -> bool:
        """
        Send the events that belong together, such as all events about one payment or about the start of a subscription.

        Return False if the events are not sent, because the webhook is disabled or `Fault.FORGOTTEN` is on.
        """
        # Ring now, because the dashboard shows a payment at once, even if its event is held back or never sent.
        self.changed.ring()
        # Check first whether the webhook is enabled. If it is disabled, no event is sent in any case, so do not count a use
        # of `Fault.FORGOTTEN`.
        if not self._webhook.enabled:
            for event in events:
                log.info("bmc: event %d %s not sent: the webhook is disabled", event.event_id, event.type)
                self._give_up(event)
            return False
        if self._take(Fault.FORGOTTEN):
            for event in events:
                log.info("bmc: event %d %s not sent: forgotten", event.event_id, event.type)
                self._give_up(event)
                self._tally.note_forgotten(event.event_id)
            return False
        for event in events:
            self._under_way[event.event_id] += 1
            self._background.start(self._deliver(event))
        return True

    def send_again(self, event_id: int) -> bool:
        """
        Resend an event that was given up. Return False for any other event, such as an event that an earlier click has resent.

        Only the demo can resend events. BMC has no documented way to send an event again.
        """
        event = self._unsent.pop(event_id, None)
        if event is not None:
            self.send(event)
        return event is not None

    def is_unsent(self, event_id: int) -> bool:
        return event_id in self._unsent

    async def send_once(self, event: Event) -> Delivery | None:
        """Send the event once, without retries, as BMC's test button does. Return None if the webhook is disabled."""
        if not self._webhook.enabled:
            return None
        return await self._post(event, attempt=1)

    async def wait_for(self, event_id: int, *, seconds: float) -> None:
        """Wait at most *seconds* until the event is accepted (2xx) or its last attempt has failed."""
        await self.changed.wait_until(lambda: not self._under_way[event_id], seconds=seconds)

    def read(self, event_id: int | None = None) -> list[Delivery]:
        return [delivery for delivery in self._log if event_id in (None, delivery.event_id)]

    def behave(self) -> None:
        """Clear all faults, and release the events that they held back."""
        self.misbehaviour.clear()
        self.changed.ring()
        for released in (*self._overtaken, *self._refunds_sent.values(), *self._late):
            released.set()

    def _take(self, fault: Fault) -> Rule | None:
        """
        Return the settings of the fault and count one use of the fault, or return None if the fault is off.

        Each use rings the bell `changed`, so that the dashboard updates its list of faults.
        """
        rule = self.misbehaviour.take(fault)
        if rule is not None:
            self.changed.ring()
        return rule

    async def _deliver(self, event: Event) -> None:
        try:
            await self._hold_back(event)
            copies = 2 if self._take(Fault.TWICE) else 1
            await asyncio.gather(*(self._send_until_accepted(event) for _ in range(copies)))
        finally:
            self._under_way[event.event_id] -= 1
            if not self._under_way[event.event_id]:
                del self._under_way[event.event_id]
            self.changed.ring()

    async def _send_until_accepted(self, event: Event) -> None:
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            if not self._webhook.enabled:
                break
            delivery = await self._post(event, attempt=attempt)
            self._note_sent(event)
            if delivery.is_success:
                return
            if attempt < _ATTEMPTS_MAX and self._webhook.enabled:
                pause_seconds = self._retry_seconds * 2 ** (attempt - 1)
                self._tally.note_retry(event.event_id, next_at=time.time() + pause_seconds)
                self.changed.ring()
                await asyncio.sleep(pause_seconds)
        log.info("bmc: event %d %s given up", event.event_id, event.type)
        self._give_up(event)

    def _give_up(self, event: Event) -> None:
        self._tally.note_given_up(event.event_id)
        self._unsent[event.event_id] = event
        if len(self._unsent) > _UNSENT_MAX:
            self._unsent.popitem(last=False)

    async def _post(self, event: Event, *, attempt: int) -> Delivery:
        body, headers = self._request(event, attempt=attempt)
        at, started = datetime.now(UTC), time.perf_counter()
        self._tally.note_sending(event.event_id)
        self.changed.ring()
        outcome = await self._postman.post(
            self._webhook.url, body=body, headers=headers, timeout_seconds=self._answer_timeout_seconds
        )
        delivery = Delivery(
            number=next(self._numbers),
            event_id=event.event_id,
            type=event.type,
            attempt=attempt,
            at=at,
            outcome=outcome,
            seconds=time.perf_counter() - started,
            body=body,
            signature=headers.get("x-signature-sha256"),
        )
        self._log.append(delivery)
        answered = outcome if isinstance(outcome, Answer) else None
        self._tally.note_answer(
            event.event_id,
            status=answered.status if answered else None,
            text=answered.text if answered else "",
            at=time.time(),
        )
        if delivery.is_success:
            self._webhook.note_success()
        else:
            self._webhook.note_failure()
        log.info(
            "bmc: event %d %s attempt %d: %s",
            event.event_id,
            event.type,
            attempt,
            f"answered {outcome.status}" if isinstance(outcome, Answer) else outcome.reason,
        )
        self.changed.ring()
        return delivery

    def _request(self, event: Event, *, attempt: int) -> tuple[bytes, dict[str, str]]:
        body = wire(event, attempt=attempt)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "BMC-HTTPS-ROBOT",
            "x-signature-sha256": sign(self._webhook.secret, body),
        }
        faults = {fault for fault in REQUEST_FAULTS if self._take(fault)}
        if Fault.ALTERED in faults:
            body = _alter(event, attempt=attempt)
        if Fault.WRONG_SIGNATURE in faults:
            headers["x-signature-sha256"] = sign(f"not {self._webhook.secret}", body)
        if Fault.NO_SIGNATURE in faults:
            del headers["x-signature-sha256"]
        return body, headers

    async def _hold_back(self, event: Event) -> None:
        if late := self._take(Fault.LATE):
            await _wait_in(self._late, late.seconds)
        if event.type.endswith(".created") and (rule := self._take(Fault.ONLY_REFUND_FIRST)):
            await self._wait_for_refund(str(event.data["transaction_id"]), rule.seconds)
        if rule := self._take(Fault.OUT_OF_ORDER):
            await _wait_in(self._overtaken, rule.seconds)

    async def _wait_for_refund(self, transaction_id: str, seconds: float) -> None:
        sent = self._refunds_sent.setdefault(transaction_id, asyncio.Event())
        await _wait(sent, seconds)
        self._refunds_sent.pop(transaction_id, None)

    def _note_sent(self, event: Event) -> None:
        for overtaken in self._overtaken:
            overtaken.set()
        if event.type.endswith(".refunded"):
            sent = self._refunds_sent.get(str(event.data["transaction_id"]))
            if sent is not None:
                sent.set()


def _alter(event: Event, *, attempt: int) -> bytes:
    """Return a forged body with a hundred times the amount, as an attacker could send it."""
    altered = {**event.data, "amount": event.data["amount"] * 100}
    return wire(
        Event(
            event_id=event.event_id,
            type=event.type,
            created=event.created,
            data=altered,
            live_mode=event.live_mode,
        ),
        attempt=attempt,
    )


async def _wait_in(held: set[asyncio.Event], seconds: float) -> None:
    """Wait at most *seconds*. Another task can end the wait: it sets the asyncio event that this function adds to *held*."""
    released = asyncio.Event()
    held.add(released)
    await _wait(released, seconds)
    held.discard(released)


async def _wait(happened: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await happened.wait()
    except TimeoutError:
        return
