"""
Check that the Mini App stays within the budgets of docs/budgets.md.

The tests load the Mini App through the proxy, as users do, because the proxy compresses the answers.
"""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import Page, Request, Route, expect

from tests.e2e.browser import Screen, running_browser
from tests.e2e.people import Person
from tests.e2e.stack import Stack
from tests.files import ROOT

SCRIPT = (ROOT / "sandbox/telegram-web-app.js").read_text(encoding="utf-8")

TRANSFERRED_BYTES_MAX = 32 * 1024
FILES_BYTES_MAX = 78 * 1024
REQUESTS_MAX = 15
"""The maximum number of requests of a first visit. The event stream counts as one request. Telegram's script does not count."""


@pytest.fixture
def loaded() -> list[Request]:
    return []


async def open_through_the_proxy(rooms: AsyncExitStack, stack: Stack, person: Person, loaded: list[Request]) -> Page:
    browser = await rooms.enter_async_context(running_browser())
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()

    async def answer_as_telegram(route: Route) -> None:
        await route.fulfill(content_type="text/javascript", body=SCRIPT)

    await page.route("https://telegram.org/**", answer_as_telegram)
    page.on("request", lambda request: loaded.append(request) if request.url.startswith("https://localhost") else None)
    address = await Screen(browser, stack.sandbox_url, rooms).address_of(person)
    await page.goto(address.replace(stack.sandbox_url, f"https://localhost:{stack.https_port}"))
    await expect(page.get_by_role("radio")).not_to_have_count(0)
    return page


async def test_a_first_visit_stays_within_its_budgets_of_bytes_and_requests(
    stack: Stack, bohdan: Person, loaded: list[Request]
) -> None:
    async with AsyncExitStack() as rooms:
        await open_through_the_proxy(rooms, stack, bohdan, loaded)

        ended = [await request.sizes() for request in loaded if not request.url.endswith("/api/events")]

    transferred = sum(size["responseBodySize"] + size["responseHeadersSize"] for size in ended)
    print(f"{len(loaded)} requests, {transferred} bytes")
    assert len(loaded) <= REQUESTS_MAX
    assert transferred <= TRANSFERRED_BYTES_MAX


@pytest.mark.parametrize("language", ["en", "uk"])
async def test_the_uncompressed_files_of_a_visit_stay_within_their_budget(
    stack: Stack, anna: Person, bohdan: Person, loaded: list[Request], language: str
) -> None:
    person = {"en": anna, "uk": bohdan}[language]

    async with AsyncExitStack() as rooms:
        page = await open_through_the_proxy(rooms, stack, person, loaded)
        files: dict[str, int] = await page.evaluate(
            """() => Object.fromEntries(
                [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
                    .filter(({ name }) => name.startsWith(`${location.origin}/app/`))
                    .map(({ name, decodedBodySize }) => [new URL(name).pathname, decodedBodySize]))"""
        )

    print(f"{language}: {sum(files.values())} bytes", files)
    assert all(files.values())
    assert [path for path in files if "/locales/" in path] == [f"/app/locales/{language}.js"]
    assert sum(files.values()) <= FILES_BYTES_MAX


def test_the_documented_budgets_are_those_tested_here() -> None:
    written = Path(ROOT / "docs/budgets.md").read_text(encoding="utf-8")

    for budget in (TRANSFERRED_BYTES_MAX, FILES_BYTES_MAX):
        assert f"| {budget // 1024} KB |" in written
    assert f"| {REQUESTS_MAX} |" in written
