"""Send payments, refunds and renewals through the proxy, as Buy Me a Coffee does."""

import asyncio
import itertools
import random
import string
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import aiohttp

from tests.chaos.bodies import Data, Paid, headers, membership, payment, refund, shop, wire
from tests.chaos.doors import Door
from tests.chaos.facts import Answer, Charge, Event, Role, Sent
from tests.chaos.people import Person, Telegram

ATTEMPTS_MAX = 5
RETRY_SECONDS = 2.0
"""
The delay before the first retry of a delivery. It doubles before each further retry.

Buy Me a Coffee makes "up to 4 more deliveries with exponential delay", but does not publish the delays.
"""

WEBHOOK_PATH = "/bmc-webhook"
ANSWER_SECONDS_MAX = 15.0
CREDITS_PER_DOLLAR = 100
MONTH_SECONDS = 30 * 24 * 3600
SIGNS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"


@dataclass
class Subscription:
    person: Person
    psp_id: str
    number: int
    note: str
    started_at: int
    period_start: int


@dataclass
class Load:
    """
    Sends deliveries until `run` is cancelled. `finish` waits for the deliveries in progress.

    *doors* are the addresses of the proxies. Each attempt chooses an address at random, because DNS may return the addresses
    of the public name in any order. If no proxy answers at the chosen address, the attempt has failed. Many HTTP clients would
    then try the next address. It is not known whether Buy Me a Coffee tries another address. The load assumes that it does not.
    """

    session: aiohttp.ClientSession
    doors: Sequence[Door]
    secret: str
    telegram: Telegram
    chance: random.Random
    sent: Sent = field(default_factory=Sent)
    _error: BaseException | None = None
    """The exception that ended a task of the load, or None. It shows a mistake in this module, not in the product."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(int(time.time()) % 10**8 * 10))
    _subscriptions: list[Subscription] = field(default_factory=list)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    async def run(self, *, per_second: float, only_codes: bool = False) -> None:
        """
        Start actions at random intervals until this task is cancelled. On average, start *per_second* actions per second.

        If *only_codes* is true, each action is a payment with a user's code.
        """
        while True:
            self._start(self._pay_used_code() if only_codes else self._do_something())
            if not only_codes and self.chance.random() < 0.4:
                self._start(self.telegram.ask_for_code(self._any_user(), self.chance))
            await asyncio.sleep(self.chance.expovariate(per_second))

    async def finish(self) -> None:
        """Wait until every delivery is acknowledged or given up. Raise the error of a failed task, if there was one."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        if self._error:
            raise self._error

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error

    # Actions of users ------------------------------------------------------------------------------------------------

    def _do_something(self) -> Coroutine[Any, Any, None]:
        kinds = {
            self._pay: 40,
            self._pay_used_code: 18,
            self._pay_with_slip: 4,
            self._buy: 8,
            self._buy_and_answer_later: 6,
            self._subscribe: 6,
            self._renew: 8,
            self._pay_without_code: 7,
            self._pay_with_wrong_code: 3,
        }
        [do] = self.chance.choices(list(kinds), weights=list(kinds.values()))
        return do()

    async def _pay(self) -> None:
        person, note = self._user_with_code()
        paid = self._paid(person, note)
        await self._pay_and_perhaps_refund(person, paid, "donation", payment(paid))

    async def _buy(self) -> None:
        person, note = self._user_with_code()
        paid = self._paid(person, note)
        await self._pay_and_perhaps_refund(person, paid, "extra_purchase", shop(paid, answers=[note]))

    async def _pay_used_code(self) -> None:
        """Pay with a used code, or with an unused code if the user has no used code. A used code still identifies its user."""
        person = self._any_user()
        paid = self._paid(person, self.chance.choice(person.paid_codes or self._take_code(person) or [""]))
        if not paid.note:
            return
        await self._report(self._charge(paid, person), "donation.created", Role.PAYS, payment(paid))

    async def _pay_with_slip(self) -> None:
        """
        Pay with an unused code in which one character is wrong.

        The product corrects a wrong character only while the code's payment is pending, and this charge completes that payment.
        So remove the code from the user's codes, to use it only once.
        """
        person = self._any_user()
        if not person.codes:
            return
        code = person.codes.pop()
        person.slipped_codes.append(code)
        place = self.chance.choice([at for at, sign in enumerate(code) if sign != "-"])
        wrong = self.chance.choice([sign for sign in SIGNS if sign != code[place]])
        paid = self._paid(person, code[:place] + wrong + code[place + 1 :])
        await self._report(self._charge(paid, person), "donation.created", Role.PAYS, payment(paid))

    async def _buy_and_answer_later(self) -> None:
        person, note = self._user_with_code()
        paid = self._paid(person, note)
        charge = self._charge(paid, person)
        await self._report(charge, "extra_purchase.created", Role.ANNOUNCES, shop(paid, answers=[]))
        await asyncio.sleep(self.chance.uniform(0, 20))
        await self._report(charge, "extra_purchase.updated", Role.PAYS, shop(paid, answers=[note]))

    async def _subscribe(self) -> None:
        """Start a membership. Two events report its first charge at the same time."""
        person, note = self._user_with_code()
        paid = self._paid(person, note)
        subscription = Subscription(person, f"sub_1{self._signs()}", paid.number, note, paid.paid_at, paid.paid_at)
        charge, data = self._period(subscription, paid)
        await asyncio.gather(
            self._report(charge, "membership.started", Role.PAYS, data),
            self._report(charge, "membership.updated", Role.PAYS, data),
        )
        self._subscriptions.append(subscription)

    async def _renew(self) -> None:
        if not self._subscriptions:
            return
        subscription = self.chance.choice(self._subscriptions)
        subscription.period_start += MONTH_SECONDS
        charge, data = self._period(subscription, self._paid(subscription.person, subscription.note))
        await self._report(charge, "membership.updated", Role.PAYS, data)

    async def _pay_without_code(self) -> None:
        await self._pay_as_stranger("Thanks for the good work")

    async def _pay_with_wrong_code(self) -> None:
        await self._pay_as_stranger("".join(self.chance.choices(SIGNS, k=8)))

    async def _pay_as_stranger(self, note: str) -> None:
        number = next(self._numbers)
        amount = Decimal(500_001 + number % 400_000) / 100
        paid = Paid(
            number=number, amount=amount, supporter_id=number, note=note, paid_at=_now(), name=self._transaction()
        )
        await self._report(self._charge(paid, None), "donation.created", Role.PAYS, payment(paid))

    async def _pay_and_perhaps_refund(self, person: Person, paid: Paid, family: str, data: Data) -> None:
        """Report a payment. In one of five cases, also report its refund: after, together with, or before the payment."""
        charge = self._charge(paid, person)
        pays = self._report(charge, f"{family}.created", Role.PAYS, data)
        if self.chance.random() > 0.2:
            await pays
            return
        gone = refund(data, at=_now(), is_part=self.chance.random() < 0.3)
        refunds = self._report(charge, f"{family}.refunded", Role.REFUNDS, gone)
        match self.chance.choice(("after", "after", "with", "before")):
            case "after":
                await pays
                await asyncio.sleep(self.chance.uniform(0, 20))
                await refunds
            case "with":
                await asyncio.gather(pays, refunds)
            case _:
                await refunds
                await asyncio.sleep(self.chance.uniform(0, 10))
                await pays

    # Charges and notes -----------------------------------------------------------------------------------------------

    def _any_user(self) -> Person:
        return self.chance.choice(list(self.telegram.people.values()))

    def _user_with_code(self) -> tuple[Person, str]:
        """Choose a user and one of the user's codes. Prefer codes that were never paid."""
        people = self.telegram.people.values()
        fresh = [person for person in people if person.codes]
        # If all codes were paid, choose a user with a code in `paid_codes`. A code in `slipped_codes` must not be paid again.
        person = self.chance.choice(fresh or [person for person in people if person.paid_codes])
        return person, (self._take_code(person) or person.paid_codes[-1:])[0]

    def _take_code(self, person: Person) -> list[str]:
        if not person.codes:
            return []
        person.paid_codes.append(person.codes.pop(0))
        return person.paid_codes[-1:]

    def _paid(self, person: Person, note: str) -> Paid:
        return Paid(
            number=next(self._numbers),
            amount=person.next_amount(),
            supporter_id=person.supporter_id,
            note=note,
            paid_at=_now(),
            name=self._transaction(),
        )

    def _charge(self, paid: Paid, person: Person | None) -> Charge:
        charge = Charge(
            name=paid.name,
            user=person.telegram_id if person else None,
            amount=f"${paid.amount:,.2f}",
            credits=int(paid.amount * CREDITS_PER_DOLLAR),
        )
        self.sent.charges[charge.name] = charge
        return charge

    def _period(self, subscription: Subscription, paid: Paid) -> tuple[Charge, Data]:
        charge = Charge(
            name=f"{subscription.psp_id}:{subscription.period_start}",
            user=subscription.person.telegram_id,
            amount=f"${paid.amount:,.2f}",
            credits=int(paid.amount * CREDITS_PER_DOLLAR),
        )
        self.sent.charges[charge.name] = charge
        begun = Paid(
            number=subscription.number,
            amount=paid.amount,
            supporter_id=paid.supporter_id,
            note=subscription.note,
            paid_at=subscription.started_at,
            name=charge.name,
        )
        data = membership(
            begun,
            psp_id=subscription.psp_id,
            period_start=subscription.period_start,
            period_end=subscription.period_start + MONTH_SECONDS,
        )
        return charge, data

    def _transaction(self) -> str:
        return f"pi_3{self._signs()}"

    def _signs(self) -> str:
        return "".join(self.chance.choices(string.ascii_letters + string.digits, k=23))

    # Deliveries ------------------------------------------------------------------------------------------------------

    async def _report(self, charge: Charge, type_: str, role: Role, data: Data) -> None:
        """Deliver an event. Send one event in seven twice at the same time. Repeat one event in ten after 0 to 15 seconds."""
        event = Event(next(self._numbers), type_, charge.name, role)
        self.sent.events[event.event_id] = event
        created = _now()
        if self.chance.random() < 1 / 7:
            await asyncio.gather(self._deliver(event, data, created), self._deliver(event, data, created))
        else:
            await self._deliver(event, data, created)
        if self.chance.random() < 1 / 10:
            await asyncio.sleep(self.chance.uniform(0, 15))
            await self._deliver(event, data, created)

    async def _deliver(self, event: Event, data: Data, created: int) -> None:
        for attempt in range(1, ATTEMPTS_MAX + 1):
            body = wire(event_id=event.event_id, type_=event.type, attempt=attempt, created=created, data=data)
            event.deliveries += 1
            event.sent_at = event.sent_at or time.time()
            if await self._post(body):
                event.acknowledged += 1
                event.given_up = False
                event.acknowledged_at = event.acknowledged_at or time.time()
                return
            if attempt < ATTEMPTS_MAX:
                await asyncio.sleep(RETRY_SECONDS * 2 ** (attempt - 1))
        event.given_up = event.acknowledged == 0

    async def _post(self, body: bytes) -> bool:
        """Post one delivery, and return True if the answer is 2xx."""
        door, began_at, why = self.chance.choice(self.doors), time.time(), ""
        try:
            async with door.request(
                self.session,
                "POST",
                WEBHOOK_PATH,
                data=body,
                headers=headers(self.secret, body),
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX),
            ) as answer:
                await answer.read()
                if not 200 <= answer.status < 300:
                    why = str(answer.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = type(error).__name__
        self.sent.answers.append(Answer(began_at, time.time(), why, door.address))
        return not why


def _now() -> int:
    return int(time.time())
