"""Send valid payments during the attack: one per second, each on a new connection, as Buy Me a Coffee sends them."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import aiohttp

from tests.e2e.stack import Stack

SECRET = b"sandbox-secret-that-signs-nothing-real"
"""The webhook's secret in .env.sandbox."""
PAYER = 7
CREDITS = 500
AMOUNT = 5
ANSWER_SECONDS_MAX = 30


@dataclass(frozen=True)
class Payment:
    number: int
    status: int | None
    """The HTTP status of the answer, or None if no answer came."""
    seconds: float

    @property
    def is_prompt(self) -> bool:
        return self.status == 200 and self.seconds <= 2


def request_payments(stack: Stack, count: int) -> None:
    """Record *count* pending payments of one user."""
    stack.sql(
        f"INSERT INTO users (telegram_id) VALUES ({PAYER}) ON CONFLICT DO NOTHING;"
        " INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount)"
        f" SELECT {PAYER} || '_' || (1700000000 + n), {PAYER}, {PAYER}, {AMOUNT} FROM generate_series(1, {count}) AS n"
    )


async def pay_every_second(stack: Stack, numbers: Iterable[int]) -> list[Payment]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=False, force_close=True, limit=0),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX),
    ) as session:
        paying = []
        for number in numbers:
            paying.append(asyncio.create_task(pay(session, stack.webhook_url, number)))
            await asyncio.sleep(1)
        return await asyncio.gather(*paying)


async def pay(session: aiohttp.ClientSession, url: str, number: int) -> Payment:
    body = json.dumps(
        {
            "type": "donation.created",
            "live_mode": True,
            "event_id": number,
            "data": {
                "id": number,
                "transaction_id": f"pi_attack_{number}",
                "amount": AMOUNT,
                "currency": "USD",
                "support_note": f"{PAYER}_{1700000000 + number}",
            },
        }
    ).encode()
    signature = {"x-signature-sha256": hmac.new(SECRET, body, hashlib.sha256).hexdigest()}
    began = time.monotonic()
    status = None
    try:
        async with session.post(url, data=body, headers=signature) as answer:
            await answer.read()
            status = answer.status
    except (aiohttp.ClientError, TimeoutError):
        pass
    return Payment(number, status, time.monotonic() - began)


def wrongly_credited(stack: Stack, paid: Sequence[Payment]) -> list[str]:
    """
    Return a line of text for each payment that was not credited exactly once and in full.

    A payment whose delivery was not answered with 200 may have no credit, because Buy Me a Coffee would repeat the delivery.
    """
    rows = stack.sql(
        "SELECT transaction_id, count(credits.credits), coalesce(sum(credits.credits), 0)"
        "  FROM charges LEFT JOIN credits USING (charge_id)"
        " WHERE transaction_id LIKE 'pi_attack_%' GROUP BY transaction_id"
    )
    credited = {name: (int(count), int(total)) for name, count, total in (row.split("|") for row in rows.splitlines())}
    wrong = []
    for payment in paid:
        found = credited.get(f"pi_attack_{payment.number}", (0, 0))
        if found != (1, CREDITS) and (payment.status == 200 or found != (0, 0)):
            wrong.append(f"payment {payment.number}: answered {payment.status}, {found[0]} entries, {found[1]} credits")
    return wrong
