"""Test the Mini App's modules for amounts, colours and texts. The modules run in a browser, without the stack."""

import json
import random
import re
import sys
import unicodedata
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page

from coffee_ledger.model import Rates
from tests.e2e.colours import AA, contrast
from tests.files import ROOT

PAGE, API = ROOT / "miniapp", ROOT / "coffee_ledger/telegram/api"
COLOURS = (
    "bg_color",
    "secondary_bg_color",
    "section_bg_color",
    "text_color",
    "hint_color",
    "link_color",
    "button_color",
)
GROUNDS = ("page", "card", "soft")
TEXTS = ("text", "hint", "link", "danger")


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of a small local server, from which tests can import the Mini App's modules."""
    app = web.Application()
    app.router.add_static("/app", PAGE)
    async with TestServer(app) as server:
        page = await browser.new_page()
        await page.goto(str(server.make_url("/app/amounts.js")))
        yield page
        await page.close()


async def call(page: Page, module: str, expression: str, argument: object = None) -> Any:
    """Evaluate a JavaScript expression. In the expression, `it` is the module and `given` is the argument."""
    code = f"async (given) => {{ const it = await import('/app/{module}'); return {expression}; }}"
    return await page.evaluate(code, argument)


# Amounts -------------------------------------------------------------------------------------------------------------


async def test_amounts_are_read_as_in_the_table_that_the_bot_shares(page: Page) -> None:
    examples = json.loads((ROOT / "tests/data/amounts.json").read_text(encoding="utf-8"))
    expected = [
        example["amount"] and {"cents": int(Decimal(example["amount"]) * 100), "currency": example.get("currency")}
        for example in examples
    ]

    read = await call(page, "amounts.js", "given.map(({ text }) => it.readAmount(text))", examples)

    assert dict(zip(texts_of(examples), read, strict=True)) == dict(zip(texts_of(examples), expected, strict=True))


def texts_of(examples: list[dict[str, Any]]) -> list[str]:
    return [example["text"] for example in examples]


async def test_digits_of_every_script_are_read_as_the_bot_reads_them(page: Page) -> None:
    # The browser must know every digit in this list. Python 3.11 makes the list from Unicode 14. The browser has a newer
    # version of Unicode, which contains all these digits.
    digits = [char for char in map(chr, range(sys.maxunicode)) if unicodedata.category(char) == "Nd"]

    read = await call(page, "amounts.js", "given.map((text) => it.readAmount(text)?.cents)", digits)

    assert read == [unicodedata.decimal(char) * 100 for char in digits]


async def test_credits_are_computed_as_the_ledger_does(page: Page) -> None:
    chance = random.Random(7)
    rates = ["100", "110", "0.5", "33.333", "1", "0.01", "99999.99"]
    cases = [(chance.randint(100, 1_000_000), rate) for rate in rates for _ in range(300)]

    told = await call(page, "amounts.js", "given.map(([cents, rate]) => it.creditsFor(cents, rate))", cases)

    given = [Rates({"USD": Decimal(rate)}).credits_for(Decimal(cents) / 100, "USD") for cents, rate in cases]
    assert told == given


async def test_deep_links_name_an_amount_or_nothing(page: Page) -> None:
    links = {
        "10": (1000, None),
        "7_50": (750, None),
        "7_5": (750, None),
        "10-EUR": (1000, "EUR"),
        "7_50-eur": (750, "EUR"),
    }
    others = [None, "", "x", "10-", "10.5", "_5", "10_555", "-EUR", "<b>"]

    read = await call(page, "amounts.js", "given.map((link) => it.readDeepLink(link))", [*links, *others])

    expected = [{"cents": cents, "currency": currency} for cents, currency in links.values()]
    assert read == expected + [None] * len(others)


# Colours -------------------------------------------------------------------------------------------------------------


async def test_texts_have_enough_contrast_in_every_theme(page: Page) -> None:
    chance = random.Random(7)
    themes = [
        {name: f"#{chance.randrange(1 << 24):06x}" for name in COLOURS if chance.random() < 0.8} for _ in range(400)
    ]

    palettes = await call(
        page, "theme.js", "given.flatMap((one) => ['light', 'dark'].map((s) => it.paletteFrom(one, s)))", themes
    )

    assert len(palettes) == 800
    for palette in palettes:
        assert all(contrast(palette[text], palette[ground]) >= AA for text in TEXTS for ground in GROUNDS), palette
        assert contrast(palette["on-fill"], palette["fill"]) >= AA, palette


async def test_a_legible_theme_is_not_changed(page: Page) -> None:
    theme = {
        "bg_color": "#FFFFFF",
        "text_color": "#000000",
        "link_color": "#0057b7",
        "button_color": "#0057b7",
        "hint_color": "#555",
    }

    palette = await call(page, "theme.js", "it.paletteFrom(given, 'light')", theme)

    assert palette["link"] == palette["fill"] == "#0057b7"
    assert palette["hint"] == "#555555"


async def test_an_invalid_colour_is_replaced_by_our_default(page: Page) -> None:
    themes = [{}, *({"bg_color": broken} for broken in ("red", "#12", "", "rgb(0,0,0)", "#gggggg", None))]

    palettes = await call(page, "theme.js", "given.map((one) => it.paletteFrom(one, 'dark'))", themes)

    assert all(palette == palettes[0] for palette in palettes)


# Texts ---------------------------------------------------------------------------------------------------------------


async def test_credits_have_the_right_plural_in_ukrainian(page: Page) -> None:
    numbers = [0, 1, 2, 5, 11, 12, 21, 22, 25, 101, 111, 1000, -3]

    told = await call(page, "words.js", "it.wordsOf('uk').then((uk) => given.map(uk.credits))", numbers)

    assert [re.sub(r"\s", " ", one) for one in told] == [
        "0 кредитів", "1 кредит", "2 кредити", "5 кредитів", "11 кредитів", "12 кредитів", "21 кредит", "22 кредити",
        "25 кредитів", "101 кредит", "111 кредитів", "1 000 кредитів", "−3 кредити",
    ]  # fmt: skip


async def test_money_is_written_as_is_usual_in_each_language(page: Page) -> None:
    written = "it.wordsOf(language).then((words) => words.money(amount, currency))"
    expression = f"Promise.all(given.map(([language, amount, currency]) => {written}))"
    cases = [
        ("en", "5", "USD"),
        ("en", "7.5", "EUR"),
        ("uk", "7.5", "EUR"),
        ("uk", "1000", "USD"),
        ("uk", "1000", "UAH"),
        ("uk", "7.5", "CAD"),
        ("en", "5", "COFFEE"),
    ]

    told = await call(page, "words.js", expression, cases)

    assert [re.sub(r"\s", " ", one) for one in told] == [
        "$5", "€7.50", "€7,50", "$1 000", "1 000 ₴", "7,50 CAD", "5 COFFEE",
    ]  # fmt: skip


async def test_language_tags_are_understood(page: Page) -> None:
    tags = ["uk", "uk-UA", "UK", "uk_UA", "en-GB", "de", "", None, "constructor"]

    languages = await call(page, "words.js", "given.map((tag) => it.languageOf(tag))", tags)

    assert languages == ["uk"] * 4 + ["en"] * 5


async def test_both_languages_have_the_same_texts_with_the_same_values(page: Page) -> None:
    english, ukrainian = [await call(page, f"locales/{one}.js", "it.texts") for one in ("en", "uk")]

    def values(texts: dict[str, str]) -> dict[str, set[str]]:
        return {name: set(re.findall(r"\{(\w+)\}", text)) for name, text in texts.items()}

    assert values(english) == values(ukrainian)
    assert all(text.strip() for text in [*english.values(), *ukrainian.values()])


def test_every_text_is_used_and_none_is_missing() -> None:
    scripts = " ".join(path.read_text(encoding="utf-8") for path in PAGE.glob("*.js"))
    service = " ".join(path.read_text(encoding="utf-8") for path in API.glob("*.py"))
    texts = set(re.findall(r"^  (\w+):", (PAGE / "locales/en.js").read_text(encoding="utf-8"), re.MULTILINE))
    put_together = ("history_", "expired_", "cancelled_", "credits", "payments")

    said = set(re.findall(r"\bsay\(\s*\"(\w+)\"", scripts))
    unused = [name for name in texts if f'"{name}"' not in scripts + service and not name.startswith(put_together)]

    assert said <= texts
    assert unused == []


# Content Security Policy ---------------------------------------------------------------------------------------------


def test_the_page_contains_nothing_that_a_strict_policy_would_refuse() -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    scripts = " ".join(path.read_text(encoding="utf-8") for path in PAGE.rglob("*.js"))

    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\.style\.cssText", scripts
    )
    assert "user-scalable" not in html
    assert json.dumps("https://telegram.org/js/telegram-web-app.js?64") in html
