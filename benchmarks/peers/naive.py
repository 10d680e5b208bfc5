"""
A naive webhook, for comparison with the product: one transaction for each delivery, with six statements and a NOTIFY.

The naive webhook writes to the tables of the product's database. But it handles only the simplest payment: a donation with a
valid code in its note.
"""

import json
import os
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import asyncpg
from aiohttp import web

from benchmarks.peers.deliveries import PATH, PORT, read_delivery

CODE = re.compile(r"\b([2-9A-Z]{4})-([2-9A-Z]{4})\b")
CREDITS_PER_UNIT = 100
POOL = web.AppKey("pool", asyncpg.Pool)

KEEP_EVENT = """
    INSERT INTO events (delivery_key, type, live_mode, attempt, body, outcome, charge_key, verified_by)
    VALUES ($1, $2, $3, $4, $5, 'credited', $6, 1)
"""
FIND_PAYMENT = "SELECT payment_id, telegram_id FROM pending_payments WHERE payment_id = $1 AND status = 'pending'"
KEEP_CHARGE = """
    INSERT INTO charges (
        charge_key, family, bmc_id, transaction_id, amount, currency, note, paid_at, is_paid, state, method, payment_id, telegram_id,
        matched_at
    )
    VALUES ($1, 'donation', $2, $3, $4, $5, $6, to_timestamp($7), true, 'matched', 'code', $8, $9, now())
    RETURNING charge_id
"""
CREDIT = "INSERT INTO credits (charge_id, kind, telegram_id, credits) VALUES ($1, 'payment', $2, $3)"
COMPLETE_PAYMENT = (
    "UPDATE pending_payments SET status = 'completed', completed_at = now(), ended_at = now() WHERE payment_id = $1"
)
QUEUE_NOTIFICATION = (
    "INSERT INTO notifications (telegram_id, kind, facts, fact_key) VALUES ($1, 'payment_credited', $2, $3)"
)


async def take(request: web.Request) -> web.Response:
    body, event = await read_delivery(request)
    async with request.app[POOL].acquire() as db, db.transaction():
        await credit(db, body, event)
    return web.json_response({"outcome": "credited"})


async def credit(db: Any, body: bytes, event: dict[str, Any]) -> None:
    data = event["data"]
    charge_key = f"donation:{data['id']}"
    await db.execute(
        KEEP_EVENT, str(event["event_id"]), event["type"], event["live_mode"], event["attempt"], body, charge_key
    )
    payment = await db.fetchrow(FIND_PAYMENT, "".join(CODE.findall(data["support_note"])[0]))
    amount = Decimal(str(data["amount"]))
    charge_id = await db.fetchval(
        KEEP_CHARGE,
        charge_key,
        str(data["id"]),
        data["transaction_id"],
        amount,
        data["currency"],
        data["support_note"],
        data["created_at"],
        payment["payment_id"],
        payment["telegram_id"],
    )
    credits = int(amount * CREDITS_PER_UNIT)
    await db.execute(CREDIT, charge_id, payment["telegram_id"], credits)
    await db.execute(COMPLETE_PAYMENT, payment["payment_id"])
    facts = json.dumps({"credits": credits, "charge_key": charge_key})
    await db.execute(QUEUE_NOTIFICATION, payment["telegram_id"], facts, f"credited:{charge_key}")
    await db.execute("NOTIFY payments")


async def connected(app: web.Application) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"]) as pool:
        app[POOL] = pool
        yield


if __name__ == "__main__":
    app = web.Application()
    app.cleanup_ctx.append(connected)
    app.router.add_post(PATH, take)
    web.run_app(app, port=PORT, access_log=None, print=None)
