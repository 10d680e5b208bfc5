"""
Twelve payments are made while the webhook is down for an hour. Each must then be credited or shown to operators as a card.

`make drill` runs this test. It takes about two minutes, because the janitor's probes have to notice the outage. Instead of
waiting an hour, the test gives earlier times to the rows of Buy Me a Coffee (BMC) and to the users' requests. BMC sends no
webhook for these payments, as if it had given up all deliveries.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack

OUTAGE_MINUTES = 60
FAILED_PROBES_MIN = 2
NOTICED_WITHIN_SECONDS = 180
HEALED_WITHIN_SECONDS = 90
"""
All charges must be stored within this time after the webhook has started again. The janitor sends its next probe within half a
minute. If the probe succeeds, the outage has ended, and the janitor reads BMC's lists.
"""

POLL_SECONDS = 0.5
"""The test reads the janitor's log and the database at this interval, because neither signals a change."""

CREDITED, CARDS = 7, 5
COUNT_CHARGES = "SELECT count(*) FROM charges"


async def test_payments_during_an_hour_without_a_webhook_are_credited_or_shown_as_cards(
    bmc: BuyMeACoffee, session: aiohttp.ClientSession, operator: Person, stack: Stack
) -> None:
    people = [await Person.join(session, stack.sandbox_url, 7_000 + number, f"P{number}", "en") for number in range(9)]
    codes = [await person.ask_to_pay(str(20 + number)) for number, person in enumerate(people)]
    failed_before = failed_probes(stack)
    stack.compose("stop", "webhook")
    await bmc.misbehave("forgotten", times=12)
    await pay_all(bmc, codes, stack)
    # Wait for two failed probes. After only one failed probe, the janitor would assume a restart of the webhook and no outage.
    async with asyncio.timeout(NOTICED_WITHIN_SECONDS):
        while await asyncio.to_thread(failed_probes, stack) < failed_before + FAILED_PROBES_MIN:  # noqa: ASYNC110 — see POLL_SECONDS
            await asyncio.sleep(POLL_SECONDS)

    back_at = time.monotonic()
    stack.compose("up", "--detach", "--wait", "webhook")

    async with asyncio.timeout(HEALED_WITHIN_SECONDS):
        # Poll, because the database does not signal a new charge.
        while await asyncio.to_thread(stack.sql, COUNT_CHARGES) != str(CREDITED + CARDS):  # noqa: ASYNC110 — see POLL_SECONDS
            await asyncio.sleep(POLL_SECONDS)
    seconds = time.monotonic() - back_at
    for person in people[:CREDITED]:
        await person.see("Thank you!")
    await operator.see("No webhook came for it")
    found = dict(
        line.split("|") for line in stack.sql("SELECT state, count(*) FROM charges GROUP BY state").splitlines()
    )
    assert found == {"matched": str(CREDITED), "unmatched": str(CARDS)}
    assert stack.sql("SELECT count(*) FROM charges WHERE state = 'matched' AND method <> 'code'") == "0"
    expected = [100 * (20 + number) if number < CREDITED else 0 for number in range(len(people))]
    assert [await person.balance() for person in people] == expected
    minutes = [float(line) for line in stack.sql(MINUTES_TO_HEAL).splitlines()]
    print(
        f"{CREDITED} payments credited and {CARDS} shown as cards, {seconds:.0f} seconds after the webhook was back. "
        f"Minutes to heal: at least {min(minutes):.1f}, median {statistics.median(minutes):.1f}, at most {max(minutes):.1f}."
    )


MINUTES_TO_HEAL = "SELECT extract(epoch FROM recorded_at - paid_at) / 60 FROM charges WHERE channel = 'api'"


def failed_probes(stack: Stack) -> int:
    log = stack.compose("logs", "--no-color", "--no-log-prefix", "janitor")
    return sum('"task failed"' in line and '"send_probe"' in line for line in log.splitlines())


async def pay_all(bmc: BuyMeACoffee, codes: list[str], stack: Stack) -> None:
    """Make twelve payments, and spread them over the hour of the outage."""
    slip = codes[7][:-1] + ("A" if codes[7][-1] != "A" else "K")
    orders: list[dict[str, Any]] = [
        *({"amount": str(20 + number), "note": codes[number]} for number in range(CREDITED - 1)),
        {"amount": "26", "note": codes[6], "kind": "extra_purchase"},
        {"amount": "27", "note": slip},
        {"amount": "28", "note": codes[8], "kind": "membership"},
        *({"amount": amount, "note": "Great work!"} for amount in ("5", "10", "25")),
    ]
    for number, order in enumerate(orders):
        paid = await bmc.check_out(**order)
        at = datetime.now(UTC) - timedelta(minutes=OUTAGE_MINUTES - 5 * number)
        await bmc.change_row(paid, **_times(paid, at))
    # Move the users' requests to a time before the outage.
    stack.sql("UPDATE pending_payments SET created_at = created_at - interval '2 hours'")


def _times(paid: Mapping[str, Any], at: datetime) -> dict[str, str]:
    names = (
        ("support_created_on", "purchased_on")
        if "transaction_id" in paid
        else ("subscription_created_on", "subscription_current_period_start")
    )
    return dict.fromkeys(names, f"{at:%Y-%m-%d %H:%M:%S}")
