"""The sandbox forwards requests for the product's pages and endpoints to the product."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from tests.sandbox.world import Product, Sandbox, open_sandbox

PAGE = '<script src="https://telegram.org/js/telegram-web-app.js?64"></script><a href="https://telegram.org/">T</a>'


async def show_page(request: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html", headers={"Content-Security-Policy": "default-src 'none'"})


async def page_of(sandbox: Sandbox) -> str:
    async with sandbox.client.get("/app/?lang=uk") as answer:
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'"
        return await answer.text()


async def source_of(sandbox: Sandbox) -> str | None:
    source: str | None = (await sandbox.get("/telegram/script"))["source"]
    return source


async def test_a_page_loads_telegrams_script_if_telegram_can_be_reached(sandbox: Sandbox, product: Product) -> None:
    async def show_script(request: web.Request) -> web.Response:
        return web.Response(content_type="text/javascript")

    product.pages |= {"/app/": show_page, "/js/script.js": show_script}

    assert await page_of(sandbox) == PAGE
    assert await source_of(sandbox) == "telegram"


async def test_a_page_loads_the_copy_if_telegram_cannot_be_reached(sandbox: Sandbox, product: Product) -> None:
    product.pages["/app/"] = show_page

    html = await page_of(sandbox)
    async with sandbox.client.get("/js/telegram-web-app.js") as script:
        source = await script.text()

    assert html == '<script src="/js/telegram-web-app.js"></script><a href="https://telegram.org/">T</a>'
    assert "javascript" in script.content_type
    assert "window.Telegram.WebApp" in source
    assert await source_of(sandbox) == "copy"


async def test_a_page_stays_unchanged_without_any_script_and_the_demo_knows_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sandbox.script.COPY", tmp_path / "nothing.js")
    async with open_sandbox() as sandbox:
        sandbox.product.pages["/app/"] = show_page

        assert await page_of(sandbox) == PAGE
        assert await source_of(sandbox) is None
        async with sandbox.client.get("/js/telegram-web-app.js") as script:
            assert (script.status, "make sandbox/telegram-web-app.js" in await script.text()) == (404, True)


async def test_a_request_reaches_the_product_with_its_public_name_query_and_headers(
    sandbox: Sandbox, product: Product
) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response([request.host, request.query_string, request.headers["Authorization"]])

    product.pages["/api/state"] = echo

    async with sandbox.client.get("/api/state?a=%2B1", headers={"Authorization": "tma query_id=1"}) as answer:
        assert await answer.json() == ["pay.example", "a=%2B1", "tma query_id=1"]


async def test_a_body_and_a_refusal_pass_through_unchanged(sandbox: Sandbox, product: Product) -> None:
    product.statuses.append(422)

    async with sandbox.client.post("/api/payments", json={"amount": "0"}) as answer:
        status = answer.status

    assert status == 422
    assert product.received[0].path == "/api/payments"
    assert product.received[0].body == {"amount": "0"}


async def test_events_pass_through_one_by_one_while_the_stream_is_open(sandbox: Sandbox, product: Product) -> None:
    heard = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await heard.wait()
        await response.write(b"data: 2\n\n")
        return response

    product.pages["/api/events"] = stream

    async with asyncio.timeout(10), sandbox.client.get("/api/events") as answer:
        first = await answer.content.readuntil(b"\n\n")
        heard.set()
        rest = await answer.content.read()

    assert (first, rest) == (b"data: 1\n\n", b"data: 2\n\n")
    assert answer.content_type == "text/event-stream"


async def test_a_not_modified_answer_passes_through(sandbox: Sandbox, product: Product) -> None:
    async def unchanged(request: web.Request) -> web.Response:
        return web.Response(status=304 if request.headers.get("If-None-Match") == '"1"' else 200)

    product.pages["/app/app.js"] = unchanged

    async with sandbox.client.get("/app/app.js", headers={"If-None-Match": '"1"'}) as answer:
        assert answer.status == 304


async def test_an_unreachable_product_causes_a_bad_gateway_answer() -> None:
    async with open_sandbox() as sandbox:
        await sandbox.close_product()

        async with sandbox.client.get("/api/offer") as answer:
            assert answer.status == 502
