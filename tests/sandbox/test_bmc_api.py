"""The sandbox serves BMC's REST API, including the peculiarities that users of the real API have described publicly."""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import ClientError, ClientResponse

from sandbox.bmc.api import RequestLimit
from sandbox.bmc.token import ApiToken
from sandbox.settings import read_settings
from tests.sandbox.world import Product, Sandbox

AGENT = "Mozilla/5.0 (compatible; coffee-ledger/0.1.0; +https://example.org)"


async def ask(sandbox: Sandbox, path: str, *, headers: Mapping[str, str] | None = None, **query: Any) -> ClientResponse:
    """
    Request a list, and return the answer, which may be a refusal.

    The request has a valid token and the usual headers. *headers* override them.
    """
    token = (await sandbox.get("/bmc/api/token"))["token"]
    sent = {"Authorization": f"Bearer {token}", "User-Agent": AGENT, "Accept": "application/json"} | dict(headers or {})
    response = await sandbox.client.get(f"/bmc/api/v1/{path}", params=query, headers=sent, allow_redirects=False)
    await response.read()
    return response


async def read(sandbox: Sandbox, path: str, **query: Any) -> dict[str, Any]:
    response = await ask(sandbox, path, **query)
    assert response.status == 200
    return dict(await response.json())


async def stories(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the payments with their timelines, as the demo's page gets them, the newest payment first."""
    return list((await sandbox.get("/demo/changes"))["tally"]["payments"])


async def rows(sandbox: Sandbox, path: str, **query: Any) -> list[dict[str, Any]]:
    return list((await read(sandbox, path, **query))["data"])


async def test_a_payment_appears_as_a_row_with_the_transaction_id_of_its_webhook(
    sandbox: Sandbox, product: Product
) -> None:
    await sandbox.pay(amount="3.50", currency="EUR", note="K7QM-2XHD", private=True)

    (row,) = await rows(sandbox, "supporters")

    webhook = (await product.wait_for(1))[0].body["data"]
    assert row["transaction_id"] == webhook["transaction_id"]
    assert (row["support_coffee_price"], row["support_currency"]) == ("3.5000", "EUR")
    assert (row["support_note"], row["support_visibility"]) == ("K7QM-2XHD", 0)
    assert len(row["support_created_on"]) == len("2026-11-30 11:20:44")


async def test_a_page_has_five_rows_the_newest_first(sandbox: Sandbox) -> None:
    paid = [(await sandbox.pay())["transaction_id"] for _ in range(7)]

    first, second = await read(sandbox, "supporters"), await read(sandbox, "supporters", page=2, per_page=100)

    assert [row["transaction_id"] for row in (*first["data"], *second["data"])] == paid[::-1]
    assert (len(first["data"]), first["per_page"], first["total"], first["last_page"]) == (5, 5, 7, 2)
    assert (first["prev_page_url"], first["next_page_url"]) == (None, f"{first['path']}?page=2")
    assert (second["from"], second["to"], second["next_page_url"]) == (6, 7, None)


@pytest.mark.parametrize("path", ["supporters", "subscriptions", "extras"])
async def test_an_empty_list_is_an_error_with_status_200(sandbox: Sandbox, path: str) -> None:
    assert await read(sandbox, path) == {"error": f"No {path}"}


@pytest.mark.parametrize("sent", ["Bearer wrong", "", "Basic x"])
async def test_a_wrong_token_is_led_to_the_login_page(sandbox: Sandbox, sent: str) -> None:
    response = await ask(sandbox, "supporters", headers={"Authorization": sent})

    assert (response.status, response.content_type) == (302, "text/html")
    async with sandbox.client.get(response.headers["Location"]) as login:
        assert (login.status, login.content_type) == (200, "text/html")


async def test_a_token_looks_like_a_jwt_and_expires(sandbox: Sandbox) -> None:
    made = await sandbox.post("/bmc/api/token", days=10)
    payload = made["token"].split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(payload + "=="))["exp"] == made["expires_at"]
    assert (await ask(sandbox, "supporters")).status == 200

    await sandbox.post("/bmc/api/token", days=-1)

    assert (await ask(sandbox, "supporters")).status == 302


def test_a_token_from_the_settings_never_expires() -> None:
    settings = read_settings(
        {
            "SANDBOX_BOT_TOKEN": "4242:abc",
            "SANDBOX_BMC_SECRET": "secret",
            "SANDBOX_WEBHOOK_URL": "https://proxy/bmc-webhook",
            "SANDBOX_BMC_API_TOKEN": "a-token-of-the-api",
        }
    )

    token = ApiToken(settings.bmc_api_token, now=lambda: 1e12)

    assert token.expires_at is None
    assert token.accepts("Bearer a-token-of-the-api")
    assert not token.accepts("Bearer ")


@pytest.mark.parametrize("agent", ["Python/3.11 aiohttp/3.14.5", "python-requests/2.32", "curl/8.14", ""])
async def test_a_bare_library_is_blocked(sandbox: Sandbox, agent: str) -> None:
    response = await ask(sandbox, "supporters", headers={"User-Agent": agent})

    assert (response.status, response.content_type) == (403, "text/html")
    assert "1010" in await response.text()


async def test_the_answers_report_the_requests_left_and_refuse_more(sandbox: Sandbox) -> None:
    left = [int((await ask(sandbox, "extras")).headers["x-ratelimit-remaining"]) for _ in range(60)]

    refused = await ask(sandbox, "extras")

    assert (left[0], left[-1]) == (59, 0)
    assert refused.status == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60


def test_the_limit_begins_again_after_a_minute() -> None:
    now = 0.0
    limit = RequestLimit(lambda: now)
    assert [limit.take() for _ in range(61)][-1] == -1

    now = 60.0

    assert limit.take() == 59


async def test_a_page_shifts_if_somebody_pays_while_it_is_read(sandbox: Sandbox, product: Product) -> None:
    for _ in range(6):
        await sandbox.pay()
    await sandbox.post("/bmc/misbehave", kind="api_shifted")

    first, second = await rows(sandbox, "supporters"), await rows(sandbox, "supporters", page=2)

    assert second[0] == first[-1]
    assert len(second) == 2
    await product.wait_for(6)
    assert len(product.received) == 6


async def test_a_deleted_row_lets_older_rows_move_up(sandbox: Sandbox) -> None:
    paid = [(await sandbox.pay())["transaction_id"] for _ in range(6)]

    await sandbox.post("/bmc/api/rows", transaction_id=paid[-1], deleted=True)

    assert [row["transaction_id"] for row in await rows(sandbox, "supporters")] == paid[-2::-1]


async def test_fields_of_a_row_can_be_replaced(sandbox: Sandbox) -> None:
    paid = await sandbox.pay(kind="extra_purchase")
    fields = {"transaction_id": "7S721018AR89XXXX", "payment_platform": "paypal", "support_hidden": 1}

    await sandbox.post("/bmc/api/rows", transaction_id=paid["transaction_id"], fields=fields)

    (support,), (extra,) = await rows(sandbox, "supporters"), await rows(sandbox, "extras")
    assert {key: support[key] for key in fields} == fields
    assert {key: extra["support"][key] for key in fields} == fields
    assert "transaction_id" not in extra


async def test_a_row_that_does_not_exist_cannot_be_changed(sandbox: Sandbox) -> None:
    assert await sandbox.refused("/bmc/api/rows", transaction_id="pi_3nothing", deleted=True) == 404
    paid = await sandbox.pay()
    assert await sandbox.refused("/bmc/api/rows", transaction_id=paid["transaction_id"], fields=[1]) == 400
    assert (
        await sandbox.refused(
            "/bmc/api/rows", transaction_id=paid["transaction_id"], deleted=True, fields={"support_note": "x"}
        )
        == 409
    )


async def test_a_refund_is_marked_in_many_forms_and_moves_no_row(sandbox: Sandbox) -> None:
    paid = [(await sandbox.pay())["transaction_id"] for _ in range(5)]
    before = [row["is_refunded"] for row in await rows(sandbox, "supporters")]

    for transaction_id in paid:
        await sandbox.post(f"/bmc/payments/{transaction_id}/refund")

    refunded = await rows(sandbox, "supporters")
    assert [row["transaction_id"] for row in refunded] == paid[::-1]
    assert sorted(map(repr, before)) == ["'0'", "'false'", "0", "False", "None"]
    assert sorted(repr(row["is_refunded"]) for row in refunded) == ["'1'", "'true'", "1", "None", "True"]
    assert [row["refunded_at"] is not None for row in refunded if row["is_refunded"] is None] == [True]


async def test_every_third_email_is_masked(sandbox: Sandbox) -> None:
    for _ in range(3):
        await sandbox.pay(email="alex@example.com")

    emails = [row["support_email"] for row in await rows(sandbox, "supporters")]

    assert sorted(emails) == ["****@example.com", "alex@example.com", "alex@example.com"]


async def test_a_free_shop_item_has_a_placeholder_as_its_transaction_id(sandbox: Sandbox) -> None:
    await sandbox.pay(kind="extra_purchase", amount=0)

    (row,) = await rows(sandbox, "supporters")

    assert (row["transaction_id"], row["support_coffee_price"]) == ("FREE_REWARD", "0.0000")


async def test_a_shop_purchase_is_in_both_lists_without_its_answer(sandbox: Sandbox) -> None:
    paid = await sandbox.pay(kind="extra_purchase", answer="K7QM-2XHD")
    await sandbox.pay(kind="donation")

    (extra,) = await rows(sandbox, "extras")

    assert extra["support"]["transaction_id"] == paid["transaction_id"]
    assert extra["fk_support_id"] == paid["id"]
    assert "K7QM-2XHD" not in json.dumps(extra)
    await sandbox.post(f"/bmc/payments/{paid['transaction_id']}/refund")
    assert (await rows(sandbox, "extras"))[0]["purchase_is_revoked"] == 1


async def test_a_subscription_has_one_row_with_its_latest_period(sandbox: Sandbox) -> None:
    paid = await sandbox.pay(kind="membership", note="K7QM-2XHD")
    (before,) = await rows(sandbox, "subscriptions", status="all")

    await sandbox.post(f"/bmc/subscriptions/{paid['psp_id']}/renew")

    (after,) = await rows(sandbox, "subscriptions", status="all")
    assert after["transaction_id"] == paid["psp_id"]
    assert after["subscription_current_period_start"] == before["subscription_current_period_end"]
    assert after["subscription_message"] == "K7QM-2XHD"
    assert await read(sandbox, "supporters") == {"error": "No supporters"}


async def test_subscriptions_are_listed_by_status_but_the_links_forget_it(sandbox: Sandbox) -> None:
    paid = [(await sandbox.pay(kind="recurring_donation"))["psp_id"] for _ in range(6)]
    await sandbox.post(f"/bmc/subscriptions/{paid[0]}/cancel")
    await sandbox.post(f"/bmc/subscriptions/{paid[1]}/pause")

    everything = await read(sandbox, "subscriptions", status="all")
    (inactive,) = await rows(sandbox, "subscriptions", status="inactive")

    assert everything["total"] == 6
    assert everything["next_page_url"].endswith("/subscriptions?page=2")
    assert (inactive["transaction_id"], inactive["subscription_is_cancelled"]) == (paid[0], 1)
    assert (await read(sandbox, "subscriptions"))["total"] == 5


@pytest.mark.parametrize(
    ("kind", "status", "content_type"),
    [
        ("api_blocked", 403, "text/html"),
        ("api_throttled", 429, "application/json"),
        ("api_broken", 502, "text/html"),
        ("api_deprecated", 400, "application/json"),
    ],
)
async def test_a_refusal_can_be_turned_on_for_one_request(
    sandbox: Sandbox, kind: str, status: int, content_type: str
) -> None:
    await sandbox.post("/bmc/misbehave", kind=kind, seconds=7)

    first, second = await ask(sandbox, "extras"), await ask(sandbox, "extras")

    assert (first.status, first.content_type, second.status) == (status, content_type, 200)
    assert first.headers.get("Retry-After") == ("7" if status == 429 else None)


async def test_a_connection_can_break(sandbox: Sandbox) -> None:
    await sandbox.post("/bmc/misbehave", kind="api_reset")

    with pytest.raises(ClientError):
        await ask(sandbox, "extras")


async def test_an_answer_can_be_slow(sandbox: Sandbox) -> None:
    await sandbox.post("/bmc/misbehave", kind="api_slow", seconds=600)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ask(sandbox, "extras")


async def test_a_page_can_have_an_unknown_shape(sandbox: Sandbox) -> None:
    await sandbox.pay()
    await sandbox.post("/bmc/misbehave", kind="api_reshaped")

    assert set(await read(sandbox, "supporters")) == {"supports", "meta"}


async def test_a_page_can_be_wrong_about_its_neighbours(sandbox: Sandbox) -> None:
    paid = [(await sandbox.pay())["transaction_id"] for _ in range(6)]
    for kind in ("api_unordered", "api_miscounted", "api_foreign_link", "api_oversized"):
        await sandbox.post("/bmc/misbehave", kind=kind)

    page = await read(sandbox, "supporters")

    assert [row["transaction_id"] for row in page["data"]] == paid[1:]
    assert page["last_page"] == 7
    assert page["next_page_url"].startswith("https://elsewhere.example/")
    assert len(json.dumps(page)) > 1024 * 1024


async def test_times_can_be_written_in_another_zone(sandbox: Sandbox) -> None:
    await sandbox.pay(kind="extra_purchase")
    (usual,) = await rows(sandbox, "extras")
    await sandbox.post("/bmc/misbehave", kind="api_other_zone")

    (shifted,) = await rows(sandbox, "extras")

    assert shifted["purchased_on"] < usual["purchased_on"]
    assert shifted["support"]["support_created_on"] == shifted["purchased_on"]


@pytest.mark.parametrize("kind", ["donation", "membership"])
async def test_bmc_can_forget_the_webhook_of_a_payment(sandbox: Sandbox, product: Product, kind: str) -> None:
    await sandbox.post("/bmc/misbehave", kind="forgotten")

    await sandbox.pay(kind=kind, note="forgotten")
    await sandbox.settled((await sandbox.pay(note="reported"))["event_id"])

    assert [received.body["data"]["support_note"] for received in product.received] == ["reported"]
    assert len(await sandbox.get("/bmc/payments")) == 2


@pytest.mark.parametrize(("kind", "path"), [("donation", "supporters"), ("membership", "subscriptions")])
async def test_the_demo_knows_which_payment_got_no_webhook_and_when_the_list_showed_it(
    sandbox: Sandbox, kind: str, path: str
) -> None:
    await sandbox.post("/bmc/misbehave", kind="forgotten")
    paid = await sandbox.pay(kind=kind)
    (before,) = await stories(sandbox)

    await rows(sandbox, path)

    (after,) = await stories(sandbox)
    assert (paid["is_sent"], before["sending"], before["listed_at"]) == (False, "forgotten", None)
    assert after["at"] <= after["listed_at"] <= time.time()


async def test_a_list_that_refuses_to_be_read_shows_no_payment(sandbox: Sandbox) -> None:
    await sandbox.pay()
    await sandbox.post("/bmc/misbehave", kind="api_broken")

    await ask(sandbox, "supporters")

    (story,) = await stories(sandbox)
    assert story["listed_at"] is None


async def test_a_read_list_reaches_the_page_at_once(sandbox: Sandbox) -> None:
    await sandbox.settled((await sandbox.pay())["event_id"])
    version = (await sandbox.get("/demo/changes"))["version"]

    await rows(sandbox, "supporters")

    assert (await sandbox.get("/demo/changes"))["version"] > version


async def test_the_answer_to_a_refund_says_whether_a_webhook_is_sent(sandbox: Sandbox, product: Product) -> None:
    paid = await sandbox.pay()
    await product.wait_for(1)
    await sandbox.post("/bmc/misbehave", kind="forgotten")

    refunded = await sandbox.post(f"/bmc/payments/{paid['transaction_id']}/refund")

    assert (paid["is_sent"], refunded["is_sent"]) == (True, False)


async def test_a_disabled_webhook_does_not_use_up_the_fault(sandbox: Sandbox, product: Product) -> None:
    product.default_status = 500
    for _ in range(3):
        await sandbox.settled((await sandbox.pay())["event_id"])
    await sandbox.post("/bmc/misbehave", kind="forgotten")

    await sandbox.pay()

    assert [fault["kind"] for fault in await sandbox.get("/bmc/misbehave")] == ["forgotten"]
