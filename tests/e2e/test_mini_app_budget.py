"""What the Mini App may weigh, as docs/budgets.md promises it: measured through the proxy, which presses what it sends."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Page, Request, Route, expect

from tests.e2e.browser import Screen, running_browser
from tests.e2e.people import Person
from tests.e2e.stack import ROOT, Stack

SCRIPT = (ROOT / "sandbox/vendor/telegram-web-app.js").read_text(encoding="utf-8")
PAGE = ROOT / "miniapp"

TRANSFERRED_BYTES_MAX = 40 * 1024
FILES_BYTES_MAX = 84 * 1024
REQUESTS_MAX = 16
"""The stream of events is one of them; Telegram's script is not."""


@pytest.fixture
def loaded() -> list[Request]:
    return []


async def open_through_the_proxy(rooms: AsyncExitStack, stack: Stack, anna: Person, loaded: list[Request]) -> Page:
    browser = await rooms.enter_async_context(running_browser())
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()

    async def answer_as_telegram(route: Route) -> None:
        await route.fulfill(content_type="text/javascript", body=SCRIPT)

    await page.route("https://telegram.org/**", answer_as_telegram)
    page.on("request", lambda request: loaded.append(request) if request.url.startswith("https://localhost") else None)
    address = await Screen(browser, stack.sandbox_url, rooms).address_of(anna)
    await page.goto(address.replace(stack.sandbox_url, f"https://localhost:{stack.https_port}"))
    return page


async def test_a_first_visit_stays_within_its_weight_and_its_requests(
    stack: Stack, anna: Person, loaded: list[Request]
) -> None:
    async with AsyncExitStack() as rooms:
        page = await open_through_the_proxy(rooms, stack, anna, loaded)
        await expect(page.get_by_role("button", name="Support with")).to_be_visible()

        ended = [await request.sizes() for request in loaded if not request.url.endswith("/api/events")]

    transferred = sum(size["responseBodySize"] + size["responseHeadersSize"] for size in ended)
    print(f"{len(loaded)} requests, {transferred} bytes")
    assert len(loaded) <= REQUESTS_MAX
    assert transferred <= TRANSFERRED_BYTES_MAX


def test_the_files_stay_within_their_weight_before_they_are_pressed() -> None:
    weight = sum(path.stat().st_size for path in PAGE.rglob("*") if path.is_file())

    assert weight <= FILES_BYTES_MAX


def test_the_budgets_that_are_written_down_are_those_that_are_held() -> None:
    written = Path(ROOT / "docs/budgets.md").read_text(encoding="utf-8")

    for budget in (TRANSFERRED_BYTES_MAX, FILES_BYTES_MAX):
        assert f"{budget // 1024} KB" in written
    assert f"| {REQUESTS_MAX} |" in written
