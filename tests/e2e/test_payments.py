"""Test the whole path of a payment: the chat, the proxy with TLS, the webhook, the database, and the chat again."""

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack
from tests.files import DATA

SECRET = b"sandbox-secret-that-signs-nothing-real"
PAYLOADS = sorted((DATA / "payloads").glob("*.json"))


def sign(body: bytes, secret: bytes = SECRET) -> dict[str, str]:
    return {"x-signature-sha256": hmac.new(secret, body, hashlib.sha256).hexdigest()}


def credits_in(text: str) -> list[int]:
    """Return all numbers of credits in a message. A thank-you message has three: the new credits, the rate and the balance."""
    return [int(re.sub(r"[^\d-]", "", found)) for found in re.findall(r"(-?\d[\d, \u00a0]*) (?:credit|кредит)", text)]


async def test_a_payment_with_a_code_is_credited_and_told(bmc: BuyMeACoffee, anna: Person) -> None:
    code = await anna.ask_to_pay("7.50")

    paid = await bmc.pay(amount="7.50", note=f"Thank you! {code}", email="anna@example.org", name="Anna")

    assert credits_in(await anna.hear("Thank you")) == [750, 100, 750]
    assert await anna.balance() == 750
    assert [attempt["status"] for attempt in await bmc.delivered(paid)] == [200]


async def test_a_payment_can_be_followed_in_the_log_by_its_code_and_then_by_its_charge(
    bmc: BuyMeACoffee, anna: Person, stack: Stack
) -> None:
    code = await anna.ask_to_pay("5")
    await bmc.pay(amount="5", note=code)
    await anna.hear("Thank you")

    told = log_of(stack, code.replace("-", ""))

    assert [line["event"] for line in told] == [
        "pending payment recorded",
        "event settled",
        "notification handled",
    ]
    assert told[1]["credits"] == 500
    charge = log_of(stack, told[1]["charge_key"])
    assert [line["event"] for line in charge] == [line["event"] for line in told[1:]]


def log_of(stack: Stack, sought: str) -> list[dict[str, Any]]:
    """Return the log lines that contain *sought*, from all services, ordered by time."""
    log = stack.compose("logs", "--no-color", "--no-log-prefix", "bot", "webhook", "janitor")
    lines = [json.loads(line) for line in log.splitlines() if sought in line]
    return sorted(lines, key=lambda line: str(line["at"]))


async def test_a_ukrainian_user_is_answered_in_ukrainian(bmc: BuyMeACoffee, bohdan: Person) -> None:
    code = await bohdan.ask_to_pay("5", "EUR")

    await bmc.pay(amount="5", currency="EUR", note=f"дякую, код {code.lower()} 🎉")

    assert credits_in(await bohdan.hear("Дякуємо")) == [550, 110, 550]


async def test_buttons_lead_from_an_amount_to_a_code_and_to_its_cancellation(bmc: BuyMeACoffee, anna: Person) -> None:
    await anna.say("/pay")
    await anna.hear("How much")

    await anna.press("pick:10:USD")
    offered = await anna.hear("Your code")
    answered = await anna.press("Cancel")

    assert credits_in(offered) == [1000]
    assert answered == "Cancelled."
    assert "your credits still arrive" in await anna.see("Cancelled")


async def test_a_web_app_may_request_a_payment_with_an_id_of_its_own(bmc: BuyMeACoffee, anna: Person) -> None:
    number = f"{anna.telegram_id}_1732347758"

    await anna.send_from_web_app(json.dumps({"payment_id": number, "user_id": anna.telegram_id, "amount": 4}))
    await anna.hear(number)
    await bmc.pay(amount="4", note=f"code: {number}")

    assert credits_in(await anna.hear("Thank you")) == [400, 100, 400]


async def test_a_repeated_delivery_credits_once(bmc: BuyMeACoffee, anna: Person, stack: Stack) -> None:
    code = await anna.ask_to_pay("5")
    await bmc.misbehave("twice", times=1)

    paid = await bmc.pay(amount="5", note=code)
    await anna.hear("Thank you")

    assert [attempt["status"] for attempt in await bmc.delivered(paid)] == [200, 200]
    assert await anna.balance() == 500
    assert stack.sql(f"SELECT count(*) FROM credits WHERE telegram_id = {anna.telegram_id}") == "1"


@pytest.mark.parametrize("fault", ["wrong_signature", "no_signature", "altered"])
async def test_a_delivery_without_a_valid_signature_is_refused_and_its_retry_credited(
    bmc: BuyMeACoffee, anna: Person, fault: str
) -> None:
    code = await anna.ask_to_pay("5")
    await bmc.misbehave(fault, times=1)

    paid = await bmc.pay(amount="5", note=code)
    await anna.hear("Thank you")

    assert [attempt["status"] for attempt in await bmc.delivered(paid)] == [401, 200]
    assert await anna.balance() == 500


async def test_a_payment_without_a_code_is_matched_by_amount_and_time(
    bmc: BuyMeACoffee, anna: Person, amount: str
) -> None:
    await anna.ask_to_pay(amount)

    await bmc.pay(amount=amount, note="keep it up")

    assert credits_in(await anna.hear("Thank you"))[0] == int(amount) * 100


async def test_without_a_code_and_without_the_fallback_an_operator_decides(
    bmc: BuyMeACoffee, anna: Person, operator: Person, amount: str, stack: Stack
) -> None:
    await anna.ask_to_pay(amount)
    stack.compose("up", "--detach", "--wait", "webhook", FALLBACK_MATCH="off")
    try:
        await bmc.pay(amount=amount, note="keep it up")
    finally:
        stack.compose("up", "--detach", "--wait", "webhook")

    told = await operator.hear("A payment waits for you")

    assert "Amount and time: switched off" in told
    assert await anna.balance() == 0


async def test_between_two_candidates_an_operator_decides(
    bmc: BuyMeACoffee, anna: Person, bohdan: Person, operator: Person, amount: str
) -> None:
    codes = [await person.ask_to_pay(amount) for person in (anna, bohdan)]

    await bmc.pay(amount=amount, note="keep it up")
    told = await operator.hear("A payment waits for you")

    assert all(code in told for code in codes)
    assert await anna.balance() == await bohdan.balance() == 0


async def test_a_refund_takes_the_credits_back(bmc: BuyMeACoffee, anna: Person) -> None:
    code = await anna.ask_to_pay("5")
    paid = await bmc.pay(amount="5", note=code)
    await anna.hear("Thank you")

    await bmc.refund(paid)

    assert credits_in(await anna.hear("refunded")) == [0]
    assert await anna.balance() == 0


async def test_a_refund_that_overtakes_its_payment_is_applied_when_the_payment_comes(
    bmc: BuyMeACoffee, anna: Person, stack: Stack
) -> None:
    code = await anna.ask_to_pay("5")
    await bmc.misbehave("only_refund_first", times=1)
    paid = await bmc.check_out(amount="5", note=code)

    await bmc.refund(paid)
    await bmc.delivered(paid)
    await anna.hear("refunded")

    entries = stack.sql(f"SELECT credits FROM credits WHERE telegram_id = {anna.telegram_id} ORDER BY credit_id")
    assert entries.split() == ["500", "-500"]


async def test_a_payment_with_an_expired_code_still_reaches_its_user(
    bmc: BuyMeACoffee, anna: Person, stack: Stack
) -> None:
    code = await anna.ask_to_pay("5")
    payment_id = code.replace("-", "")
    stack.sql(f"UPDATE pending_payments SET created_at = now() - interval '25 hours' WHERE payment_id = '{payment_id}'")
    stack.compose("restart", "janitor")
    await anna.hear("arrived in time, so the code")

    await bmc.pay(amount="5", note=code)

    assert "That code had been closed" in await anna.hear("Thank you")
    assert stack.sql(f"SELECT status FROM pending_payments WHERE payment_id = '{payment_id}'") == "expired"


async def test_a_currency_without_a_rate_waits_for_an_operator(
    bmc: BuyMeACoffee, anna: Person, operator: Person
) -> None:
    code = await anna.ask_to_pay("5")

    await bmc.pay(amount="50", currency="SEK", note=code)
    told = await operator.hear("A payment waits for you")

    assert "no rate for this currency" in told
    assert code in told
    await anna.hear("under review")
    assert await anna.balance() == 0


async def test_a_renewal_is_credited_automatically(bmc: BuyMeACoffee, anna: Person) -> None:
    code = await anna.ask_to_pay("3")
    subscription = await bmc.pay(kind="membership", amount="3", note=code)
    await anna.hear("Thank you")

    await bmc.renew(subscription)

    assert credits_in(await anna.hear("Thank you")) == [300, 100, 600]


async def test_a_code_in_a_later_answer_finds_its_payment(bmc: BuyMeACoffee, anna: Person, amount: str) -> None:
    code = await anna.ask_to_pay("9")
    bought = await bmc.pay(kind="extra_purchase", amount=amount, note="")

    await bmc.answer(bought, code)

    assert "You picked $9" in await anna.hear("Thank you")


async def test_a_test_event_tells_the_operator_that_the_connection_works(
    bmc: BuyMeACoffee, operator: Person, stack: Stack
) -> None:
    before = stack.sql("SELECT count(*) FROM credits")

    await bmc.send_test()

    assert "The connection works" in await operator.hear("connection")
    assert stack.sql("SELECT count(*) FROM credits") == before


async def test_a_user_who_pays_while_the_bot_is_down_is_told_when_it_is_back(
    bmc: BuyMeACoffee, anna: Person, stack: Stack
) -> None:
    code = await anna.ask_to_pay("5")
    stack.compose("kill", "bot")
    await bmc.pay(amount="5", note=code)

    stack.compose("up", "--detach", "--wait", "bot")

    assert credits_in(await anna.hear("Thank you")) == [500, 100, 500]


async def test_a_message_sent_while_the_bot_is_down_is_answered_when_it_is_back(anna: Person, stack: Stack) -> None:
    stack.compose("stop", "bot")
    await anna.say("/pay 5")

    stack.compose("up", "--detach", "--wait", "bot")

    assert "Your code" in await anna.hear()


async def test_a_restart_of_the_webhook_loses_nothing(bmc: BuyMeACoffee, anna: Person, stack: Stack) -> None:
    code = await anna.ask_to_pay("5")
    restarting = asyncio.create_task(asyncio.to_thread(stack.compose, "restart", "webhook"))

    paid = [await bmc.check_out(amount="5", note=code) for _ in range(20)]
    await restarting
    attempts = [await bmc.delivered(one) for one in paid]

    # Each delivery succeeded at its first attempt, because the proxy held it until the webhook was back.
    answers = [[(one["status"], one["error"], one["milliseconds"]) for one in attempt] for attempt in attempts]
    assert [answer for answer in answers if [status for status, *_ in answer] != [200]] == []
    assert stack.sql(f"SELECT sum(credits) FROM credits WHERE telegram_id = {anna.telegram_id}") == "10000"


async def test_a_restart_of_the_database_under_traffic_loses_nothing(
    bmc: BuyMeACoffee, anna: Person, stack: Stack
) -> None:
    code = await anna.ask_to_pay("5")
    restarting = asyncio.create_task(asyncio.to_thread(stack.compose, "restart", "db"))

    paid: list[Mapping[str, Any]] = []
    while not restarting.done() or len(paid) < 20:
        paid.append(await bmc.check_out(amount="5", note=code))
        await bmc.post_raw(b"{}", {})  # this unsigned request only slows the loop, so that it makes fewer payments
    attempts = [await bmc.delivered(one) for one in paid]

    assert all(attempt[-1]["status"] == 200 for attempt in attempts)
    credited = stack.sql(f"SELECT count(*), sum(credits) FROM credits WHERE telegram_id = {anna.telegram_id}")
    assert credited == f"{len(paid)}|{len(paid) * 500}"
    assert drift(stack) == "0"


async def test_a_payment_while_the_database_is_down_survives_a_kill_of_the_webhook_and_is_credited(
    bmc: BuyMeACoffee, anna: Person, stack: Stack
) -> None:
    codes = [await anna.ask_to_pay(amount) for amount in ("5", "7")]
    await asyncio.to_thread(stack.compose, "stop", "db")
    try:
        paid = [await bmc.pay(amount="5", note=codes[0])]
        # Kill the webhook without a warning, like a power cut. After that, the webhook must start without the database.
        await asyncio.to_thread(stack.compose, "kill", "webhook")
        await asyncio.to_thread(stack.compose, "restart", "webhook")
        paid.append(await bmc.pay(amount="7", note=codes[1]))
    finally:
        await asyncio.to_thread(stack.compose, "up", "--detach", "--wait", "db")

    told = [credits_in(await anna.hear("Thank you"))[0] for _ in paid]

    assert [[one["status"] for one in await bmc.delivered(payment)] for payment in paid] == [[200], [200]]
    # The order is not promised: an event that needs a locked row is settled after later events.
    assert sorted(told) == [500, 700]
    assert await anna.balance() == 1200
    assert stack.compose("exec", "-T", "webhook", "ls", "-A", "/spool") == ""
    assert drift(stack) == "0"


def drift(stack: Stack) -> str:
    return stack.sql(
        "SELECT count(*) FROM balances AS b"
        " WHERE balance <> (SELECT sum(credits) FROM credits AS c WHERE c.telegram_id = b.telegram_id)"
    )


@pytest.mark.parametrize("file", PAYLOADS, ids=lambda file: file.stem)
async def test_the_bodies_that_bmc_sends_are_accepted_through_the_proxy_and_stored(
    bmc: BuyMeACoffee, stack: Stack, file: Path
) -> None:
    body = file.read_bytes()  # noqa: ASYNC240 — reading a kilobyte blocks only for a moment
    money = "SELECT (SELECT count(*) FROM charges), (SELECT count(*) FROM credits), (SELECT sum(balance) FROM balances)"

    first = await bmc.post_raw(body, sign(body))
    settled = stack.sql(money)
    again = await bmc.post_raw(body, sign(body))

    assert (first, again) == (200, 200)
    assert stack.sql(f"SELECT count(*) > 0 FROM events WHERE body = '\\x{body.hex()}'::bytea") == "t"
    assert stack.sql(money) == settled


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), (sign(b"{}", b"another"), 401), (sign(b"{}"), 200)],
    ids=["none", "wrong", "right"],
)
async def test_only_signed_deliveries_are_accepted(bmc: BuyMeACoffee, headers: dict[str, str], status: int) -> None:
    assert await bmc.post_raw(b"{}", headers) == status


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_the_webhook_accepts_only_post(bmc: BuyMeACoffee, method: str) -> None:
    async with bmc.session.request(method, bmc.webhook_url, ssl=False) as answer:
        assert answer.status == 405


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/bmc-webhook/x", "/.env", "/api/"])
async def test_other_paths_are_not_found_from_outside(bmc: BuyMeACoffee, stack: Stack, path: str) -> None:
    address = f"https://localhost:{stack.https_port}{path}"

    async with bmc.session.get(address, ssl=False) as answer:
        assert answer.status == 404
        assert "Server" not in answer.headers


def test_no_log_contains_secrets_or_personal_data(stack: Stack) -> None:
    """This test is the last, because it searches the services' logs for secrets and personal data of the tests before it."""
    logs = stack.compose("logs", "--no-color", "webhook", "bot", "janitor", "proxy", "db", "secrets")

    for word in ("sandbox-token-that-opens", SECRET.decode(), "anna@example.org", "keep it up", "x-signature"):
        assert word.lower() not in logs.lower()
