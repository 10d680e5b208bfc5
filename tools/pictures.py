"""
Draw the pictures of the documents from the running product: `make pictures`.

Starts a stack of its own beside whatever runs, walks through it in a real browser as a newcomer would, and writes
docs/pictures/. Nothing is retouched; the pictures are only made small.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from PIL import Image
from playwright.async_api import Locator, Page, expect

from tests.e2e.browser import Screen, running_browser
from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack, running_stack

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
FIVE = re.compile(r"^[$€]?5\b")
OPERATOR_ID = 1_000_001
COLORS = 128
FRAME_MILLISECONDS = 1_400
LAST_FRAME_MILLISECONDS = 4_000


async def draw_all(stack: Stack) -> None:
    async with (
        aiohttp.ClientSession() as session,
        running_browser() as browser,
        AsyncExitStack() as rooms,
    ):
        screen = Screen(browser, stack.sandbox_url, rooms)
        bmc = BuyMeACoffee(session, stack.sandbox_url, stack.webhook_url)
        await draw_the_way(screen)
        for name, language, scheme, width in (
            ("en-light", "en", "light", 390),
            ("uk-dark", "uk", "dark", 320),
            ("en-wide", "en", "light", 1280),
        ):
            person = await Person.join(session, stack.sandbox_url, 6_000 + width, "Anna", language)
            await draw_mini_app(screen, person, bmc, name=name, language=language, scheme=scheme, width=width)
        await draw_desk(screen, bmc, await Person.join(session, stack.sandbox_url, OPERATOR_ID, "Olha", "en"))


async def draw_the_way(screen: Screen) -> None:
    """Walk from the menu button to the credits, a picture a step, and one of the end by day and by night."""
    page = await screen.page(width=1280, height=860)
    frames: list[bytes] = []

    async def take() -> None:
        await page.wait_for_timeout(600)  # for the eye: what slides in has come to rest
        frames.append(await page.screenshot())

    await page.goto(screen.address)
    await expect(page.locator("#messages .message.bot").first).to_be_visible()
    await take()
    await page.locator("#menu").click()
    app = page.frame_locator("#app")
    await expect(app.get_by_role("radio", name=FIVE)).to_be_visible()
    await take()
    await app.get_by_role("radio", name=FIVE).check()
    await page.locator("#main-button").click()
    await expect(app.get_by_role("button", name="Copy the code")).to_be_visible()
    await take()
    await app.get_by_role("button", name="Copy the code").click()
    await page.locator("#main-button").click()
    await page.get_by_role("button", name=re.compile("^Paste ")).click()
    await take()
    await page.get_by_role("button", name="Support with $5").click()
    await expect(app.get_by_role("heading", name="Thank you!")).to_be_visible()
    await take()
    await page.get_by_role("button", name="Close", exact=False).last.click()
    await expect(page.locator("#messages .message.bot", has_text="500 credits").last).to_be_visible()
    await take()
    save_animation("way", frames)
    save("demo-light", frames[-1])
    await page.get_by_role("button", name="Dark").click()
    await take()
    save("demo-dark", frames[-1])


async def draw_mini_app(
    screen: Screen, person: Person, bmc: BuyMeACoffee, *, name: str, language: str, scheme: str, width: int
) -> None:
    """Draw the page in its three states: to choose, to pay, paid."""
    assert scheme in ("light", "dark")
    page = await screen.open(person, width=width, scheme=scheme, locale=language)  # type: ignore[arg-type]  # asserted above
    await expect(page.get_by_role("radio", name=FIVE)).to_be_visible()
    await shoot(page, f"app-{name}-choose")
    await page.get_by_role("radio", name=FIVE).check()
    await page.locator("#action").click()
    code = page.get_by_text(re.compile(r"^[2-9A-Z]{4}-[2-9A-Z]{4}$")).first
    await expect(code).to_be_visible()
    await shoot(page, f"app-{name}-pay")
    await bmc.pay(amount="5", note=await code.inner_text())
    await expect(page.get_by_role("heading", name=re.compile("Thank you|Дякуємо"))).to_be_visible()
    await shoot(page, f"app-{name}-paid")


async def draw_desk(screen: Screen, bmc: BuyMeACoffee, operator: Person) -> None:
    """Draw what an operator sees on the phone: a payment that waits, and the numbers."""
    await bmc.pay(amount="12", note="from your neighbours, keep it up!", name="Neighbours")
    await operator.hear("$12")
    page = await screen.page(width=1280, height=860)
    await page.goto(f"{screen.address}/?person={operator.telegram_id}")
    phone = page.locator("#messages .message.bot")
    await expect(phone.filter(has_text="$12").last).to_be_visible()
    await shoot_phone(page, "desk-card")
    await operator.say("/stats")
    await expect(page.locator("#messages img").last).to_be_visible()
    await shoot_phone(page, "desk-stats")


async def shoot(page: Page, name: str) -> None:
    await page.wait_for_timeout(600)
    save(name, await page.screenshot())


async def shoot_phone(page: Page, name: str) -> None:
    await page.wait_for_timeout(800)
    phone: Locator = page.locator(".phone").first
    save(name, await phone.screenshot())


def save(name: str, png: bytes) -> None:
    """Write a picture with as few colours as the eye needs."""
    picture = Image.open(io.BytesIO(png)).convert("RGB").quantize(COLORS, method=Image.Quantize.MEDIANCUT)
    picture.save(PICTURES / f"{name}.png", optimize=True)
    print(f"docs/pictures/{name}.png", (PICTURES / f"{name}.png").stat().st_size // 1024, "KB")


def save_animation(name: str, frames: Sequence[bytes]) -> None:
    pictures = [Image.open(io.BytesIO(png)).convert("RGB").resize((960, 645)) for png in frames]
    times = [FRAME_MILLISECONDS] * (len(pictures) - 1) + [LAST_FRAME_MILLISECONDS]
    path = PICTURES / f"{name}.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=75, method=6)
    print(f"docs/pictures/{name}.webp", path.stat().st_size // 1024, "KB")


if __name__ == "__main__":
    with running_stack() as running:
        asyncio.run(draw_all(running))
