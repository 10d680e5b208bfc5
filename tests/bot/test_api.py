"""The Mini App's API answers only users whose identity Telegram has signed, and shows them only their own data."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest
from aiogram import Bot

from coffee_ledger.model import PaymentId, Rates, TelegramId
from coffee_ledger.store.database import Pool
from coffee_ledger.store.decisions import OperatorRequest, match_charge, undo_match
from coffee_ledger.store.users import erase_user
from coffee_ledger.telegram.api.app import (
    REQUEST_BYTES_MAX,
    REQUESTS_BURST,
    REQUESTS_PER_SECOND,
    STREAM_CHECK_SECONDS,
    STREAM_RETRY_SECONDS,
)
from coffee_ledger.telegram.api.chat import Chat
from coffee_ledger.telegram.api.init_data import WATCH_AGE_MAX
from coffee_ledger.telegram.api.live import WATCHERS_MAX, WATCHERS_OF_USER_MAX
from coffee_ledger.telegram.context import Context
from coffee_ledger.telegram.token_bucket import TokenBucket
from tests.bot.fixtures import OPERATOR, RunBot, Running
from tests.bot.people import Person
from tests.bot.visitors import Events, Visitor, init_data
from tests.files import ROOT
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

Visit = Callable[..., Visitor]


@pytest.fixture
async def visit(bot: Running) -> AsyncIterator[Visit]:
    """Return a function that opens the Mini App. Without arguments, it opens the Mini App as the user Anna."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        await until_ready(session, bot)
        yield lambda signed=None, **who: Visitor(session, bot.url, init_data(**who) if signed is None else signed)


async def until_ready(session: aiohttp.ClientSession, bot: Running) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                async with session.get(f"{bot.url}/api/offer") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)


def changed(signed: str, **fields: str) -> str:
    return urlencode({**dict(parse_qsl(signed)), **fields})


async def test_the_offer_needs_no_signature(visit: Visit) -> None:
    status, offer = await visit("").ask("GET", "offer")

    assert status == 200
    assert offer["tiles"][0] == {"amount": "5", "currency": "USD", "credits": 500}
    assert offer["currencies"] == {"USD": "100", "EUR": "110"}
    assert (offer["currency"], offer["amount_least"], offer["amount_most"]) == ("USD", "1", "10000")
    assert offer["page_url"] == "https://buymeacoffee.com/creator"
    assert offer["bot_url"] == f"https://t.me/{offer['bot']}"


async def test_a_new_user_has_an_empty_state(visit: Visit) -> None:
    state = await visit().state()

    assert state == {"language": "en", "balance": 0, "payments": [], "history": []}


async def test_a_payment_is_opened_shown_and_found_again(visit: Visit, ledger: Ledger) -> None:
    payment = await visit().open_payment("7.50")
    again = await visit().open_payment("7.50")

    assert again == payment
    assert payment["code"].replace("-", "") == payment["payment_id"]
    assert (payment["amount"], payment["credits"], payment["status"], payment["paid"]) == ("7.5", 750, "pending", None)
    assert (await visit().state())["payments"] == [payment]
    assert await ledger.status(payment["payment_id"]) == "pending"


async def test_the_code_is_also_sent_to_the_chat_once(visit: Visit, anna: Person, sandbox: Sandbox) -> None:
    await anna.ask("/balance")

    payment = await visit().open_payment()
    await visit().open_payment()

    assert payment["code"] in (await anna.hear())["text"]
    assert payment["code"] not in await anna.ask("/balance")


async def test_a_user_who_never_pressed_start_still_gets_the_code_on_the_page(visit: Visit) -> None:
    payment = await visit(telegram_id=12345).open_payment()

    assert payment["status"] == "pending"


async def test_a_payment_appears_in_the_state(visit: Visit, webhook: Webhook) -> None:
    payment = await visit().open_payment("10")

    await webhook.settle(a_payment(amount=5, support_note=payment["code"]))

    state = await visit().state()
    [shown] = state["payments"]
    assert state["balance"] == 500
    assert shown["status"] == "completed"
    assert (shown["paid"]["amount"], shown["paid"]["currency"], shown["paid"]["credits"]) == ("5", "USD", 500)
    entries = [(entry["change"], entry["credits"], entry["amount"]) for entry in state["history"]]
    assert entries == [("payment", 500, "5")]


async def test_an_undone_match_and_a_new_match_both_appear_in_the_state(
    visit: Visit, webhook: Webhook, pool: Pool
) -> None:
    payment = await visit().open_payment("10")
    await webhook.settle(a_payment(amount=5, support_note=payment["code"]))
    charge_id = await pool.fetchval("SELECT charge_id FROM charges")

    await undo_match(pool, charge_id, order())
    [taken_back] = (await visit().state())["payments"]
    rates = Rates({"USD": Decimal(100)})
    code = PaymentId(payment["payment_id"])
    await match_charge(pool, charge_id, order(), telegram_id=TelegramId(ANNA), payment_id=code, rates=rates)
    [given_again] = (await visit().state())["payments"]

    assert (taken_back["status"], taken_back["paid"]) == ("completed", None)
    assert (given_again["status"], given_again["paid"]["credits"]) == ("completed", 500)


def order() -> OperatorRequest:
    return OperatorRequest(TelegramId(OPERATOR), "a reason", datetime.now(UTC))


async def test_a_late_payment_appears_as_paid(visit: Visit, webhook: Webhook, pool: Pool) -> None:
    payment = await visit().open_payment("5")
    await pool.execute("UPDATE pending_payments SET status = 'expired', ended_at = now()")

    await webhook.settle(a_payment(amount=5, support_note=payment["code"]))

    [shown] = (await visit().state())["payments"]
    assert (shown["status"], shown["paid"]["credits"]) == ("expired", 500)


async def test_an_invalid_code_is_an_unknown_payment(visit: Visit) -> None:
    for code in ("%00", "K7QM2XHD", "%ED%A0%80", "x" * 300):
        answer = await visit().ask("POST", f"payments/{code}/cancel")

        assert answer == (404, {"error": "payment_unknown"}), code


async def test_a_payment_is_cancelled_and_a_second_click_changes_nothing(visit: Visit) -> None:
    payment = await visit().open_payment()

    first = await visit().ask("POST", f"payments/{payment['payment_id']}/cancel")
    second = await visit().ask("POST", f"payments/{payment['payment_id']}/cancel")

    assert (first[0], first[1]["status"]) == (200, "cancelled")
    assert second == first


async def test_a_payment_that_was_paid_meanwhile_cannot_be_cancelled(visit: Visit, webhook: Webhook) -> None:
    payment = await visit().open_payment()
    await webhook.settle(a_payment(amount=10, support_note=payment["code"]))

    refused = await visit().ask("POST", f"payments/{payment['payment_id']}/cancel")

    assert refused == (409, {"error": "payment_ended", "status": "completed"})


async def test_another_users_payment_looks_like_an_unknown_one(visit: Visit, ledger: Ledger) -> None:
    await ledger.open("K7QM2XHD", user=BOHDAN)

    theirs = await visit().ask("POST", "payments/K7QM2XHD/cancel")
    nobodys = await visit().ask("POST", "payments/ABCD2345/cancel")

    assert theirs == nobodys == (404, {"error": "payment_unknown"})
    assert await ledger.status("K7QM2XHD") == "pending"
    assert (await visit().state())["payments"] == []


REFUSED = [
    ({"amount": "0.5"}, 422, {"error": "amount_too_small", "least": "1"}),
    ({"amount": "10000.01"}, 422, {"error": "amount_too_large", "most": "10000"}),
    ({"amount": "10", "currency": "GBP"}, 422, {"error": "currency_unknown", "currencies": ["USD", "EUR"]}),
    ({"amount": "ten"}, 400, {"error": "request_unreadable"}),
    ({"amount": "10", "user_id": BOHDAN}, 400, {"error": "request_unreadable"}),
    ({"amount": "10", "payment_id": f"{BOHDAN}_1732347758"}, 400, {"error": "request_unreadable"}),
    ([], 400, {"error": "request_unreadable"}),
    (b"{", 400, {"error": "request_unreadable"}),
    (b"\xff", 400, {"error": "request_unreadable"}),
    (b" " * 100_000, 413, {"error": "request_unreadable"}),
]


async def test_an_invalid_request_is_refused_with_a_named_error(visit: Visit, pool: Pool) -> None:
    for user, (body, status, answer) in enumerate(REFUSED, start=1000):
        refused = await visit(telegram_id=user).ask("POST", "payments", body)

        assert refused == (status, answer), str(body)[:80]
        assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 0, str(body)[:80]


async def test_an_unread_body_is_answered_and_the_connection_closed(visit: Visit, pool: Pool) -> None:
    """
    A request announces a body over the size limit, and the body looks like a second request. The server must answer only the
    first request, and then close the connection, so that it does not read the body as a request.
    """
    visitor = visit()
    host, _, port = visitor.url.removeprefix("http://").partition(":")
    head = f"Host: x\r\nAuthorization: tma {visitor.signed}\r\n"
    hidden = f'POST /api/payments HTTP/1.1\r\n{head}Content-Length: 15\r\n\r\n{{"amount": "10"}}'
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(f"POST /api/payments HTTP/1.1\r\n{head}Content-Length: {REQUEST_BYTES_MAX + 1}\r\n\r\n".encode())
    writer.write(hidden.encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 0


async def test_an_eleventh_open_payment_is_refused(visit: Visit) -> None:
    for amount in range(1, 11):
        await visit().open_payment(str(amount))

    refused = await visit().ask("POST", "payments", {"amount": "11"})

    assert refused == (409, {"error": "too_many_open", "count": 10})


async def test_an_authorization_header_that_is_not_text_is_refused(visit: Visit) -> None:
    """HTTP clients refuse to send a header that is not text, so the test writes the request to a socket."""
    host, _, port = visit().url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    request = (
        b"GET /api/state HTTP/1.1\r\nHost: x\r\nAuthorization: tma hash=\xff&user=\xff\r\nConnection: close\r\n\r\n"
    )

    writer.write(request)
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"init_data_forged" in answer


async def test_while_telegram_is_down_only_the_first_page_asks_for_the_bots_name() -> None:
    asked = 0

    class Away:
        async def me(self) -> None:
            nonlocal asked
            asked += 1
            raise TimeoutError

    async with asyncio.TaskGroup() as tasks:
        chat = Chat(cast("Bot", Away()), cast("Context", None), tasks)

        assert [await chat.find_username() for _ in range(3)] == [None] * 3

    assert asked == 1


NOT_BELIEVED = {
    "nothing": ("", "init_data_missing"),
    "no fields": ("hello", "init_data_forged"),
    "no hash": (urlencode({"auth_date": "1", "user": "{}"}), "init_data_forged"),
    "a hash that is not ASCII": (changed(init_data(), hash="ї" * 64), "init_data_forged"),
    "an empty hash": (changed(init_data(), hash=""), "init_data_forged"),
    "another bot's": (init_data(token="999:another-token-of-another-bot"), "init_data_forged"),
    "another user put in": (changed(init_data(), user=json.dumps({"id": BOHDAN})), "init_data_forged"),
    "a later time put in": (changed(init_data(age=timedelta(hours=2)), auth_date="4000000000"), "init_data_forged"),
    "a field more": (init_data() + "&can_send_after=1", "init_data_forged"),
    "a field twice": (init_data() + "&auth_date=1", "init_data_forged"),
    "much too long": (init_data() + "&x=" + "y" * 4096, "init_data_forged"),
    "two days and a second old": (init_data(age=timedelta(days=2, seconds=1)), "init_data_expired"),
    "of tomorrow": (init_data(age=-timedelta(days=1)), "init_data_clock"),
}


async def test_init_data_that_telegram_did_not_sign_recently_is_refused(visit: Visit, pool: Pool) -> None:
    for case, (signed, error) in NOT_BELIEVED.items():
        visitor = visit(signed)

        answers = [
            await visitor.ask("GET", "state"),
            await visitor.ask("POST", "payments", {"amount": "10"}),
            await visitor.ask("GET", "events"),
        ]

        assert answers == [(401, {"error": error})] * 3, case
        assert await pool.fetchval("SELECT count(*) FROM users") == 0, case


async def test_init_data_of_today_may_open_payments(visit: Visit) -> None:
    """
    Init data may open payments until it is a day old.

    Telegram's apps for desktop computers and macOS pass the same init data for hours, even if the user opens the page again. A
    shorter limit would refuse these users.
    """
    visitor = visit(age=timedelta(hours=23, minutes=59))

    assert (await visitor.open_payment())["status"] == "pending"


async def test_init_data_of_yesterday_may_only_watch(visit: Visit) -> None:
    """
    Init data that is over a day old may show the user's payments, but may not open or cancel them.

    A payment may be opened with data that is nearly a day old. The payment expires a day later, and the page must show it until
    then.
    """
    payment_id = (await visit().open_payment())["payment_id"]
    visitor = visit(age=timedelta(days=1, seconds=1))

    shown = await visitor.state()
    opened = await visitor.ask("POST", "payments", {"amount": "10"})
    cancelled = await visitor.ask("POST", f"payments/{payment_id}/cancel", {})

    assert [one["payment_id"] for one in shown["payments"]] == [payment_id]
    assert opened == cancelled == (401, {"error": "init_data_expired"})


async def test_a_signed_empty_field_is_accepted(visit: Visit) -> None:
    assert (await visit(start_param="").state())["balance"] == 0


async def test_the_language_chosen_in_the_bot_overrides_telegrams(visit: Visit, ledger: Ledger) -> None:
    first = await visit(language="uk").state()
    await ledger.pool.execute("UPDATE users SET language = 'en', language_chosen = true")

    second = await visit(language="uk").state()

    assert (first["language"], second["language"]) == ("uk", "en")


async def test_a_user_who_is_erased_keeps_the_language_of_the_open_page(visit: Visit, pool: Pool) -> None:
    await visit(language="uk").open_payment()
    async with visit(language="uk").events() as events:
        await events.next()

        await erase_user(pool, TelegramId(ANNA))
        await pool.execute("NOTIFY payments")
        _, after = await events.next()
    opened_again = await visit(language="uk").state()

    assert [payment["status"] for payment in after["payments"]] == ["cancelled"]
    assert (after["language"], opened_again["language"]) == ("uk", "uk")


async def test_an_open_page_shows_a_payment_at_once(visit: Visit, webhook: Webhook) -> None:
    payment = await visit().open_payment()
    async with visit().events() as events:
        _, before = await events.next()

        await webhook.settle(a_payment(amount=10, support_note=payment["code"]))
        name, after = await events.next()

    assert name == "state"
    assert (before["balance"], after["balance"]) == (0, 1000)
    assert after["payments"][0]["status"] == "completed"


async def test_an_open_page_shows_a_request_made_in_the_chat(visit: Visit, anna: Person) -> None:
    async with visit().events() as events:
        await events.next()

        await anna.ask("/pay 25")
        _, after = await events.next()

    assert [payment["amount"] for payment in after["payments"]] == ["25"]


async def test_a_stream_contains_only_its_own_users_payments(visit: Visit, webhook: Webhook) -> None:
    theirs = await visit(telegram_id=BOHDAN).open_payment()
    async with visit().events() as events, visit(telegram_id=BOHDAN).events() as their_events:
        await events.next()
        await their_events.next()

        await webhook.settle(a_payment(amount=10, support_note=theirs["code"]))
        await their_events.next()
        await visit().open_payment("3")
        _, heard = await events.next()

    assert heard["balance"] == 0
    assert [payment["amount"] for payment in heard["payments"]] == ["3"]


async def test_a_stream_ends_when_its_init_data_expires(visit: Visit) -> None:
    # The init data expires in five seconds. Even on a busy machine, the stream opens before that.
    almost = WATCH_AGE_MAX - timedelta(seconds=5)

    async with visit(age=almost).events() as events:
        names = [(await events.next())[0], (await events.next())[0]]

    assert names == ["state", "expired"]


async def test_a_sixth_open_page_of_one_user_is_refused(visit: Visit) -> None:
    opened = [visit().events() for _ in range(5)]
    for one in opened:
        await one.__aenter__()

    status, answer = await visit().ask("GET", "events")

    assert (status, answer["error"]) == (429, "too_many_requests")
    for one in opened:
        await one.__aexit__(None, None, None)


@pytest.fixture
async def crowd(visit: Visit, bot: Running) -> AsyncIterator[Callable[..., Awaitable[list[Events]]]]:
    """Return a function that opens the streams of many users' pages, one after another."""
    async with AsyncExitStack() as rooms:
        session = await rooms.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))

        async def come(users: int, *, pages: int) -> list[Events]:
            visitors = [Visitor(session, bot.url, init_data(telegram_id=5000 + user)) for user in range(users)]
            return [await rooms.enter_async_context(visitor.events()) for visitor in visitors for _ in range(pages)]

        yield come


async def names_until_end(events: Events) -> list[str]:
    names = []
    with suppress(EOFError):
        while True:
            names.append((await events.next())[0])
    return names


async def test_two_hundred_users_with_five_pages_each_do_not_lock_out_another(
    visit: Visit, webhook: Webhook, crowd: Callable[..., Awaitable[list[Events]]]
) -> None:
    opened = await crowd(WATCHERS_MAX // WATCHERS_OF_USER_MAX, pages=WATCHERS_OF_USER_MAX)
    payment = await visit().open_payment()

    async with visit().events() as events:
        await events.next()
        displaced = await names_until_end(opened[0])
        for _ in range(10):
            await crowd(1, pages=1)
        await webhook.settle(a_payment(amount=10, support_note=payment["code"]))
        _, after = await events.next()

    assert displaced == ["state", "displaced"]
    assert after["payments"][0]["status"] == "completed"


async def test_if_all_places_are_taken_the_oldest_stream_is_displaced_and_told_when_to_return(
    visit: Visit, crowd: Callable[..., Awaitable[list[Events]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coffee_ledger.telegram.api.live.WATCHERS_MAX", 3)
    first, second, _ = await crowd(3, pages=1)
    await first.next()
    await second.next()
    neighbour = visit(telegram_id=5001)

    async with visit().events() as events:
        await events.next()
        told = await first.next()
        await visit().open_payment()
        await neighbour.open_payment("3")
        [(_, heard), (_, neighbour_heard)] = [await events.next(), await second.next()]

    assert told == ("displaced", {"retry_after": STREAM_RETRY_SECONDS})
    assert [len(state["payments"]) for state in (heard, neighbour_heard)] == [1, 1]


def test_three_pages_without_a_stream_can_poll_within_the_rate_limit() -> None:
    """
    Given three open pages without a stream, their polls and their attempts to open a stream stay within the rate limit.

    Only visible pages poll, so a user rarely has more than three polling pages. If there are more, a poll may be refused. A
    refused poll does little harm, because the page polls again a few seconds later.
    """
    script = (ROOT / "miniapp/server.js").read_text(encoding="utf-8")
    [poll_milliseconds] = map(int, re.findall(r"POLL_MILLISECONDS = (\d+);", script))
    polls = [step * poll_milliseconds / 1000 for step in range(3600_000 // poll_milliseconds)]
    attempts = [step * STREAM_RETRY_SECONDS for step in range(int(3600 / STREAM_RETRY_SECONDS))]
    bucket = TokenBucket(burst=REQUESTS_BURST, per_second=REQUESTS_PER_SECOND)

    waits = [bucket.take(ANNA, at) for at in sorted([*polls, *attempts] * 3)]

    assert not any(waits)


async def test_a_user_who_asks_too_often_is_told_when_to_ask_again(visit: Visit) -> None:
    answers = [await visit().ask("GET", "state") for _ in range(60)]

    refused = [answer for status, answer in answers if status == 429]
    assert 0 < len(refused) <= 20
    assert refused[0] == {"error": "too_many_requests", "retry_after": 1}
    assert (await visit(telegram_id=BOHDAN).ask("GET", "state"))[0] == 200


async def test_a_stop_does_not_wait_for_open_pages(run_bot: RunBot) -> None:
    async with aiohttp.ClientSession() as session, run_bot() as running:
        await until_ready(session, running)
        async with Visitor(session, running.url, init_data()).events() as events:
            await events.next()
            running.stop.set()
            async with asyncio.timeout(5):
                with pytest.raises(EOFError):
                    await events.next()


async def test_unknown_paths_and_methods_are_refused(visit: Visit) -> None:
    assert await visit().ask("GET", "users") == (404, {"error": "not_found"})
    assert await visit().ask("DELETE", "payments") == (405, {"error": "not_found"})


async def test_answers_are_not_cached(visit: Visit, bot: Running) -> None:
    visitor = visit()

    async with visitor.session.get(f"{bot.url}/api/state", headers=visitor.headers) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Server" not in answer.headers


async def test_the_user_is_taken_from_the_signed_data(visit: Visit, ledger: Ledger) -> None:
    await visit(telegram_id=ANNA).open_payment()

    assert await ledger.pool.fetchval("SELECT telegram_id FROM pending_payments") == ANNA


async def test_a_closed_page_makes_room_for_another(visit: Visit) -> None:
    for _ in range(7):
        async with visit().events() as events:
            await events.next()
        # Wait for a fixed time, because the test cannot see when the server notices that the connection was closed.
        await asyncio.sleep(STREAM_CHECK_SECONDS / 2)

    async with visit().events() as events:
        assert (await events.next())[0] == "state"
