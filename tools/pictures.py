"""
Draw the pictures of the documentation from the running product.

`make pictures` draws all pictures. `python -m tools.pictures desk` draws only the pictures of the operators' desk.

The program starts its own stack, uses the product in a real browser as a new user would, and writes docs/pictures/. The pictures
are not retouched. Only the number of colors and the size of the animation are reduced.
"""

import asyncio
import io
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urljoin

import aiohttp
from PIL import Image
from playwright.async_api import FrameLocator, Locator, Page, expect

from tests.e2e.browser import Scheme, Screen, running_browser
from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack, running_stack
from tests.integration.bmc import a_payment, raw, sign
from tools.contact_sheet import draw_sheets

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
BACKUP = ROOT / "db" / "backup.sh"
COPY_AND_OPEN = "Copy the code and open Buy Me a Coffee"
FIVE = re.compile(r"^[$€]?5\b")
PAID = re.compile("Thank you|Дякуємо")
OPERATOR_ID = 1_000_001
SANDBOX_SECRET = b"sandbox-secret-that-signs-nothing-real"
PAYMENTS_OF_DAYS = (2, 1, 2, 3, 0, 1, 3, 2, 1, 0, 1, 0, 2, 3, 1, 1, 0, 1, 2, 1, 2, 1, 1, 0, 0, 2, 0, 1, 1)
"""The number of payments on each day of the last month. The first number is for yesterday, the second for the day before."""

WATCHERS = ("prometheus", "postgres-exporter", "alertmanager")
BUSY_MINUTES = 8
BUSY_PAUSE_SECONDS = 2
SCAN_EVERY = 7
BACKUP_SEEN_SECONDS = 80
QUIET_BEFORE_OUTAGE_SECONDS = 45
ALERT_SECONDS_MAX = 900
OUTAGE_BOARDS = ("ledger-overview", "ledger-bot")

REST_MILLISECONDS = 700
"""Wait for this time before a picture, so that animations of the page have ended."""

LENGTHEN = """glass => {
    const list = glass.querySelector("#messages");
    glass.style.height = `${glass.offsetHeight - list.clientHeight + list.lastElementChild.offsetHeight + 24}px`;
    list.scrollTop = list.scrollHeight;
}"""
"""JavaScript that makes the phone on the demo's page high enough for its last message, so that the whole card is visible."""

COLOR_ROUNDS = 5
FRAME_SIZE = (1024, 768)
FRAME_MILLISECONDS = 1_600
LAST_FRAME_MILLISECONDS = 4_500


@dataclass(frozen=True)
class Studio:
    """The running product, and a browser that shows it."""

    stack: Stack
    screen: Screen
    bmc: BuyMeACoffee
    session: aiohttp.ClientSession

    async def invite(self, telegram_id: int, name: str, language: str) -> Person:
        return await Person.join(self.session, self.screen.address, telegram_id, name, language)

    async def set_username(self, person: Person, username: str) -> None:
        """Give a person a username, because most people have one in Telegram."""
        user = {"id": person.telegram_id, "username": username}
        async with self.session.post(f"{self.screen.address}/telegram/users", json=user) as answer:
            answer.raise_for_status()


async def draw(stack: Stack, names: Sequence[str]) -> None:
    async with aiohttp.ClientSession() as session, running_browser() as browser, AsyncExitStack() as rooms:
        bmc = BuyMeACoffee(session, stack.sandbox_url, stack.webhook_url)
        studio = Studio(stack, Screen(browser, stack.sandbox_url, rooms), bmc, session)
        for name in names:
            await SUBJECTS[name](studio)


# The demo's page -----------------------------------------------------------------------------------------------------


async def draw_payment(studio: Studio) -> None:
    """Draw each step of a payment, from the menu button to the credits. Then draw a payment while the database is cut off."""
    # At this height, the button that pays is visible without scrolling.
    page = await studio.screen.page(width=1280, height=960)
    frames: list[bytes] = []

    async def take() -> None:
        frames.append(await shot(page))

    await page.goto(studio.screen.address)
    await expect(said_by_bot(page).first).to_be_visible()
    await take()
    await page.locator("#menu").click()
    app = page.frame_locator("#app")
    await expect(app.get_by_role("radio", name=FIVE)).to_be_visible()
    await take()
    await go_to_the_checkout(page, app, take)
    await page.get_by_role("button", name="Support with $5").click()
    await expect(app.get_by_role("heading", name=PAID)).to_be_visible()
    await expect(page.get_by_text("Done: the bot has answered.")).to_be_visible()
    await take()
    await page.get_by_role("button", name="Close", exact=False).last.click()
    await expect(said_by_bot(page, "500 credits").last).to_be_visible()
    await take()
    save_animation("way", frames)
    save("demo-light", frames[-1])
    await page.get_by_role("button", name="Dark").click()
    await pay_without_the_database(page)
    save("demo-dark", await shot(page))
    await studio.bmc.behave()


async def go_to_the_checkout(page: Page, app: FrameLocator, take: Callable[[], Awaitable[None]]) -> None:
    await app.get_by_role("radio", name=FIVE).check()
    await page.locator("#main-button").click()
    await expect(app.get_by_role("button", name=COPY_AND_OPEN)).to_be_visible()
    await take()
    await app.get_by_role("button", name=COPY_AND_OPEN).click()
    await expect(page.get_by_role("button", name=re.compile("^Paste "))).to_be_visible()
    await take()
    await page.get_by_role("button", name=re.compile("^Paste ")).click()
    await take()


async def pay_without_the_database(page: Page) -> None:
    """Pay in the chat while the database is cut off, and wait until the payment is stored in the spool."""
    await page.get_by_label("Message", exact=True).fill("/pay 5")
    await page.get_by_role("button", name="Send", exact=True).click()
    await page.locator("[data-copies]").click()
    await page.get_by_role("button", name=re.compile("^Paste ")).click()
    await page.get_by_role("switch", name="Unplug the database").check()
    await page.get_by_role("button", name="Support with $5").click()
    await expect(page.locator("#deliveries li").first).to_contain_text("kept on disk")
    # Wait until the phone on the demo's page removes the message "copied", which covers the phone's input.
    await expect(page.locator("#toast")).to_be_empty()


# The Mini App --------------------------------------------------------------------------------------------------------


async def draw_mini_app(studio: Studio) -> None:
    await draw_states(studio, "en-light", width=390)
    await draw_states(studio, "uk-dark", width=320)
    await draw_states(studio, "uk-light", width=1280)
    await draw_states(studio, "en-dark", width=1280)


async def draw_states(studio: Studio, name: str, *, width: int) -> None:
    """Draw the Mini App in its three states: choose an amount, pay, paid."""
    language, _, hour = name.partition("-")
    scheme: Scheme = "dark" if hour == "dark" else "light"
    person = await studio.invite(6_000 + len(studio.screen.browser.contexts), "Anna", language)
    page = await studio.screen.open(person, width=width, scheme=scheme, locale=language)
    await expect(page.get_by_role("radio", name=FIVE)).to_be_visible()
    save(f"app-{name}-choose", await shot(page))
    await page.get_by_role("radio", name=FIVE).check()
    await page.locator("#action").click()
    code = page.get_by_text(re.compile(r"^[2-9A-Z]{4}-[2-9A-Z]{4}$")).first
    await expect(code).to_be_visible()
    save(f"app-{name}-pay", await shot(page))
    await studio.bmc.pay(amount="5", note=await code.inner_text())
    await expect(page.get_by_role("heading", name=PAID)).to_be_visible()
    save(f"app-{name}-paid", await shot(page))


# The desk ------------------------------------------------------------------------------------------------------------


async def draw_desk(studio: Studio) -> None:
    """Draw the statistics, and the card by which an operator decides which of two users made a payment."""
    operator = await studio.invite(OPERATOR_ID, "Olha", "en")
    await remember_a_month(studio)
    for telegram_id, name in ((7_001, "Marta"), (7_002, "Taras")):
        person = await studio.invite(telegram_id, name, "en")
        await studio.set_username(person, name.lower())
        await person.ask_to_pay("15")
    await studio.bmc.pay(amount="15", note="Keep it up!", name="M.")
    await operator.hear("Keep it up!")
    page = await studio.screen.page(width=1280, height=1300)
    await page.goto(f"{studio.screen.address}/?person={OPERATOR_ID}")
    await expect(said_by_bot(page, "Keep it up!").last).to_be_visible()
    await page.locator(".glass").evaluate(LENGTHEN)
    save("desk-card", await shot(page, ".phone"))
    await operator.say("/stats")
    chart = page.locator("#messages img").last
    await expect(chart).to_be_visible()
    # Save the image that the bot sent. In a screenshot of the demo's phone, the text of the image would be too small to read.
    sent = await page.request.get(urljoin(page.url, await chart.get_attribute("src")))
    save("desk-stats", await sent.body())


async def remember_a_month(studio: Studio) -> None:
    """Send deliveries of payments that were made in the last month, so that the chart has values."""
    guests = itertools.count(7_100)
    for day, payments in enumerate(PAYMENTS_OF_DAYS, start=1):
        paid_at = datetime.now(UTC) - timedelta(days=day)
        for number in range(payments):
            amount = 3 + (day * 7 + number * 5) % 20
            is_silent = (day + number) % 9 == 0
            note = "" if is_silent else await (await studio.invite(next(guests), "Guest", "en")).ask_to_pay(str(amount))
            body = raw(a_payment(amount=amount, support_note=note, created_at=int(paid_at.timestamp())))
            assert await studio.bmc.post_raw(body, sign(body, SANDBOX_SECRET)) == HTTPStatus.OK


# The dashboards ------------------------------------------------------------------------------------------------------


async def draw_dashboards(studio: Studio) -> None:
    """Create payments of all kinds for `BUSY_MINUTES` minutes, then draw each dashboard."""
    await start_monitoring(studio)
    until = datetime.now(UTC) + timedelta(minutes=BUSY_MINUTES)
    print(f"Payments go for {BUSY_MINUTES} minutes …", flush=True)
    for number in itertools.count():
        if datetime.now(UTC) >= until:
            break
        await pay_or_not(studio, number)
        if number % SCAN_EVERY == 0:
            await scan(studio)
        await asyncio.sleep(BUSY_PAUSE_SECONDS)
    await asyncio.to_thread(back_up, studio.stack)
    await asyncio.sleep(BACKUP_SEEN_SECONDS)
    await asyncio.to_thread(draw_sheets, studio.stack.project, minutes=BUSY_MINUTES + 1)


async def scan(studio: Studio) -> None:
    """Request a path that does not exist, as scanners on the internet do."""
    async with studio.session.get(urljoin(studio.stack.webhook_url, "/wp-login.php"), ssl=False) as answer:
        assert answer.status == HTTPStatus.NOT_FOUND


def back_up(stack: Stack) -> None:
    """Take a backup as an operator does, so that the dashboard shows a recent backup."""
    environment = {"COMPOSE_PROJECT_NAME": stack.project, "COMPOSE_ENV_FILES": ".env.sandbox"}
    with TemporaryDirectory() as folder:
        command = [str(BACKUP), folder]
        subprocess.run(command, env={**os.environ, **stack.environment, **environment}, cwd=ROOT, check=True)  # noqa: S603 — our own script


async def start_monitoring(studio: Studio) -> None:
    await asyncio.to_thread(studio.stack.compose, "up", "--detach", "--wait", *WATCHERS)


async def pay_or_not(studio: Studio, number: int) -> None:
    """
    Act as one of many users. Most pay with the code. Some pay without the code or in another currency, and some do not pay.

    Some payments are refunded.
    """
    guest = await studio.invite(8_000 + number, "Guest", "uk" if number % 3 else "en")
    amount, currency = str(3 + number % 12), "EUR" if number % 5 == 4 else "USD"
    code = await guest.ask_to_pay(amount, currency)
    if number % 8 == 6:
        return
    note = "" if number % 9 == 7 else f"Thank you! {code}"
    paid = await studio.bmc.pay(amount=amount, currency=currency, note=note)
    if number % 11 == 10:
        await studio.bmc.refund(paid)


async def draw_outage(studio: Studio) -> None:
    """Stop the bot, pay three times, and draw the alert and the dashboards. Then start the bot again, and draw the recovery."""
    await start_monitoring(studio)
    operator = await studio.invite(OPERATOR_ID, "Olha", "en")
    began = datetime.now(UTC)
    guests = [await studio.invite(9_000 + number, "Guest", "en") for number in range(3)]
    codes = [await guest.ask_to_pay("10") for guest in guests]
    await asyncio.sleep(QUIET_BEFORE_OUTAGE_SECONDS)
    narrate(began, "the bot is stopped")
    await asyncio.to_thread(studio.stack.compose, "stop", "bot")
    for code in codes:
        await studio.bmc.pay(amount="10", note=code)
    narrate(began, "three people have paid")
    narrate(began, f"the operator reads: {first_line(await see_alert(operator, '🚨'))}")
    await draw_moment(studio, began, "during")
    await asyncio.to_thread(studio.stack.compose, "start", "bot")
    narrate(began, "the bot is started")
    for guest in guests:
        await guest.hear("1,000")
    narrate(began, "all three are notified")
    narrate(began, f"the operator reads: {first_line(await see_alert(operator, '✅'))}")
    await draw_moment(studio, began, "after")
    page = await studio.screen.page(width=1280, height=1300)
    await page.goto(f"{studio.screen.address}/?person={OPERATOR_ID}")
    await expect(said_by_bot(page, "✅").last).to_be_visible()
    save("outage/alert", await shot(page, ".phone"))


async def see_alert(operator: Person, sign: str) -> str:
    """
    Wait for the alert message with the emoji *sign*, and return its text.

    Most alert rules wait before they fire, so this may take minutes.
    """
    async with asyncio.timeout(ALERT_SECONDS_MAX):
        while True:
            with suppress(TimeoutError):
                return await operator.see(sign)


async def draw_moment(studio: Studio, began: datetime, moment: str) -> None:
    minutes = int((datetime.now(UTC) - began).total_seconds() / 60) + 2
    folder = PICTURES / "outage" / moment
    await asyncio.to_thread(draw_sheets, studio.stack.project, folder, minutes=minutes, boards=OUTAGE_BOARDS)


def narrate(began: datetime, event: str) -> None:
    print(f"{(datetime.now(UTC) - began).total_seconds():6.0f} s  {event}", flush=True)


def first_line(text: str) -> str:
    return text.partition("\n")[0]


SUBJECTS: dict[str, Callable[[Studio], Awaitable[None]]] = {
    "way": draw_payment,
    "mini-app": draw_mini_app,
    "desk": draw_desk,
    "dashboards": draw_dashboards,
    "outage": draw_outage,
}


# Shared helpers -------------------------------------------------------------------------------------------------------


def said_by_bot(page: Page, words: str = "") -> Locator:
    return page.locator("#messages .message.bot").filter(has_text=words)


async def shot(page: Page, part: str = "body") -> bytes:
    await page.wait_for_timeout(REST_MILLISECONDS)
    return await (page.screenshot() if part == "body" else page.locator(part).first.screenshot())


def save(name: str, png: bytes) -> None:
    """Write a picture with a reduced palette."""
    path = PICTURES / f"{name}.png"
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    # MAXCOVERAGE chooses a palette that covers all colors, not only those of large areas. So small parts keep their colors.
    picture.quantize(method=Image.Quantize.MAXCOVERAGE, kmeans=COLOR_ROUNDS).save(path, optimize=True)
    tell(path)


def save_animation(name: str, frames: Sequence[bytes]) -> None:
    pictures = [Image.open(io.BytesIO(png)).convert("RGB").resize(FRAME_SIZE) for png in frames]
    times = [FRAME_MILLISECONDS] * (len(pictures) - 1) + [LAST_FRAME_MILLISECONDS]
    path = PICTURES / f"{name}.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=80, method=6)
    tell(path)


def tell(path: Path) -> None:
    print(f"{path.relative_to(PICTURES.parent.parent)}: {path.stat().st_size // 1024} KB", flush=True)


if __name__ == "__main__":
    with running_stack() as running:
        asyncio.run(draw(running, sys.argv[1:] or list(SUBJECTS)))
