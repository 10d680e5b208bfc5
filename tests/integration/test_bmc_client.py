"""The janitor's client reads BMC's lists over HTTP from the sandbox, in every state of the API."""

import asyncio
import logging
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from coffee_ledger.bmc_api import ApiList, ApiResult, ApiState, ExtraRow, SubscriptionRow, SupportRow, UnreadableRow
from services.janitor.bmc_client import BODY_BYTES_MAX, USER_AGENT, BmcClient
from tests.sandbox.world import Sandbox, open_sandbox

WRONG_TOKEN = "a-token-of-nobody"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with open_sandbox() as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> BmcClient:
    return await client_of(sandbox)


async def client_of(sandbox: Sandbox, *, timeout_seconds: float = 10.0, user_agent: str = USER_AGENT) -> BmcClient:
    token = (await sandbox.get("/bmc/api/token"))["token"]
    return BmcClient(SecretStr(token), url=api_url(sandbox), timeout_seconds=timeout_seconds, user_agent=user_agent)


def api_url(sandbox: Sandbox) -> str:
    return str(sandbox.url / "bmc/api/v1")


def transactions(result: ApiResult) -> list[str | None]:
    return [row.transaction_id for row in result.rows if isinstance(row, SupportRow | ExtraRow | UnreadableRow)]


async def test_the_newest_payments_are_read_page_by_page(sandbox: Sandbox, client: BmcClient) -> None:
    paid = [(await sandbox.pay(amount="3.50", currency="EUR", note="K7QM-2XHD"))["transaction_id"] for _ in range(6)]

    first, second = await client.read_page(ApiList.SUPPORTERS, 1), await client.read_page(ApiList.SUPPORTERS, 2)

    assert (first.state, first.status, first.has_more, first.requests_left) == (ApiState.PAGE, 200, True, 59)
    assert (second.state, second.has_more) == (ApiState.PAGE, False)
    assert transactions(first) + transactions(second) == paid[::-1]
    for row in (*first.rows, *second.rows):
        assert isinstance(row, SupportRow)
        assert (row.amount, row.currency, row.note) == (Decimal("3.5"), "EUR", "K7QM-2XHD")
        assert row.is_refunded is False
        assert row.created_at is not None


async def test_every_form_of_a_refund_is_read(sandbox: Sandbox, client: BmcClient) -> None:
    for _ in range(5):
        paid = await sandbox.pay()
        await sandbox.post(f"/bmc/payments/{paid['transaction_id']}/refund")

    result = await client.read_page(ApiList.SUPPORTERS, 1)

    assert [isinstance(row, SupportRow) and row.is_refunded for row in result.rows] == [True] * 5


async def test_subscriptions_of_every_status_are_read_on_every_page(sandbox: Sandbox, client: BmcClient) -> None:
    paid = [(await sandbox.pay(kind="membership"))["psp_id"] for _ in range(6)]
    await sandbox.post(f"/bmc/subscriptions/{paid[0]}/cancel")

    await client.read_page(ApiList.SUBSCRIPTIONS, 1)
    (oldest,) = (await client.read_page(ApiList.SUBSCRIPTIONS, 2)).rows

    assert isinstance(oldest, SubscriptionRow)
    assert (oldest.psp_id, oldest.is_cancelled, oldest.level_id) == (paid[0], True, "5")
    assert oldest.period_start is not None


async def test_a_shop_purchase_is_read_with_its_transaction(sandbox: Sandbox, client: BmcClient) -> None:
    paid = await sandbox.pay(kind="extra_purchase")

    (row,) = (await client.read_page(ApiList.EXTRAS, 1)).rows

    assert isinstance(row, ExtraRow)
    assert (row.transaction_id, row.support_id) == (paid["transaction_id"], str(paid["id"]))


async def test_a_page_that_shifts_shows_a_row_twice_but_skips_none(sandbox: Sandbox, client: BmcClient) -> None:
    paid = [(await sandbox.pay())["transaction_id"] for _ in range(6)]
    await sandbox.post("/bmc/misbehave", kind="api_shifted")

    first, second = await client.read_page(ApiList.SUPPORTERS, 1), await client.read_page(ApiList.SUPPORTERS, 2)

    assert transactions(first)[-1] == transactions(second)[0]
    assert {*transactions(first), *transactions(second)} == set(paid)


@pytest.mark.parametrize("list_", ApiList)
async def test_an_empty_list_is_empty(client: BmcClient, list_: ApiList) -> None:
    assert (await client.read_page(list_, 1)).state is ApiState.EMPTY


async def test_a_wrong_token_is_refused_without_following_the_redirect(sandbox: Sandbox) -> None:
    result = await BmcClient(SecretStr(WRONG_TOKEN), url=api_url(sandbox)).read_page(ApiList.SUPPORTERS, 1)

    assert (result.state, result.status) == (ApiState.TOKEN_REFUSED, 302)


async def test_an_expired_token_is_refused(sandbox: Sandbox) -> None:
    await sandbox.post("/bmc/api/token", days=-1)

    result = await (await client_of(sandbox)).read_page(ApiList.SUPPORTERS, 1)

    assert result.state is ApiState.TOKEN_REFUSED


async def test_a_bare_library_would_be_blocked(sandbox: Sandbox) -> None:
    result = await (await client_of(sandbox, user_agent="Python/3.11 aiohttp/3.14")).read_page(ApiList.EXTRAS, 1)

    assert (result.state, result.status) == (ApiState.BLOCKED, 403)


@pytest.mark.parametrize(
    ("kind", "state", "status"),
    [
        ("api_blocked", ApiState.BLOCKED, 403),
        ("api_broken", ApiState.UNREACHABLE, 502),
        ("api_reset", ApiState.UNREACHABLE, None),
        ("api_deprecated", ApiState.CHANGED, 400),
        ("api_reshaped", ApiState.CHANGED, 200),
        ("api_oversized", ApiState.CHANGED, 200),
    ],
)
async def test_each_fault_has_its_state_and_passes(
    sandbox: Sandbox, client: BmcClient, kind: str, state: ApiState, status: int | None
) -> None:
    await sandbox.pay()
    await sandbox.post("/bmc/misbehave", kind=kind)

    failed, read = await client.read_page(ApiList.SUPPORTERS, 1), await client.read_page(ApiList.SUPPORTERS, 1)

    assert (failed.state, failed.status, failed.rows) == (state, status, ())
    assert read.state is ApiState.PAGE


async def test_a_slow_answer_is_not_awaited_for_long(sandbox: Sandbox) -> None:
    await sandbox.post("/bmc/misbehave", kind="api_slow", seconds=600)

    result = await (await client_of(sandbox, timeout_seconds=0.2)).read_page(ApiList.SUPPORTERS, 1)

    assert result == ApiResult(state=ApiState.UNREACHABLE)


async def test_a_server_that_is_down_is_unreachable() -> None:
    async with open_sandbox() as sandbox:
        client = await client_of(sandbox)

    assert await client.read_page(ApiList.SUPPORTERS, 1) == ApiResult(state=ApiState.UNREACHABLE)


async def test_no_request_is_sent_during_a_pause(sandbox: Sandbox) -> None:
    now = 1000.0
    token = (await sandbox.get("/bmc/api/token"))["token"]
    client = BmcClient(SecretStr(token), url=api_url(sandbox), clock=lambda: now)
    await sandbox.post("/bmc/misbehave", kind="api_throttled", seconds=7)

    refused, unsent = await client.read_page(ApiList.EXTRAS, 1), await client.read_page(ApiList.EXTRAS, 1)
    now += 7
    read = await client.read_page(ApiList.EXTRAS, 1)

    assert (refused.state, refused.status, refused.retry_after_seconds) == (ApiState.THROTTLED, 429, 7)
    assert (unsent.state, unsent.status, unsent.retry_after_seconds) == (ApiState.THROTTLED, None, 7)
    # The sandbox allows 60 requests in a minute. 58 are left, because only the first and the third call of `read_page` sent a
    # request. The second call sent none, because the first answer demanded a pause of 7 seconds.
    assert (read.state, read.requests_left) == (ApiState.EMPTY, 58)


@pytest.mark.parametrize(("for_claim", "sent"), [(True, 15), (False, 12)])
async def test_at_most_fifteen_requests_a_minute_are_sent(client: BmcClient, for_claim: bool, sent: int) -> None:
    results = await asyncio.gather(*(client.read_page(ApiList.EXTRAS, 1, for_claim=for_claim) for _ in range(20)))

    assert [result.state for result in results].count(ApiState.EMPTY) == sent
    assert [result.status for result in results].count(None) == 20 - sent


async def test_a_body_up_to_the_limit_is_read() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["User-Agent"].startswith("Mozilla/5.0 (compatible; coffee-ledger/")
        body = '{"error": "No extras"}'.ljust(BODY_BYTES_MAX + int(request.query["page"]))
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/extras", answer)])
    async with TestServer(app) as server:
        client = BmcClient(SecretStr(WRONG_TOKEN), url=str(server.make_url("")).rstrip("/"))

        states = [(await client.read_page(ApiList.EXTRAS, page)).state for page in (0, 1)]

    assert states == [ApiState.EMPTY, ApiState.CHANGED]


async def test_the_token_is_in_no_repr_and_no_log(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = BmcClient(SecretStr(WRONG_TOKEN), url=api_url(sandbox))
    await sandbox.post("/bmc/misbehave", kind="api_reset")

    results = [await client.read_page(ApiList.EXTRAS, 1) for _ in range(2)]

    assert WRONG_TOKEN not in f"{client!r} {vars(client)!r} {results!r}"
    assert WRONG_TOKEN not in caplog.text
