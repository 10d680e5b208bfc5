"""Test the Mini App in a real browser: the steps from choosing an amount to getting the credits, and the errors on the way."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from tests.e2e.browser import WIDTHS, Scheme, Screen, grave_faults, shown_code, spill
from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack

COPY_AND_OPEN = "Copy the code and open Buy Me a Coffee"
FIVE = re.compile(r"^[$€]5\b")
EVENTS = "**/api/events"


@pytest_asyncio.fixture(loop_scope="session")
async def screen(stack: Stack, browser: Browser) -> AsyncIterator[Screen]:
    async with AsyncExitStack() as rooms:
        screen = Screen(browser, stack.sandbox_url, rooms)
        yield screen
        assert screen.faults == []


def title(page: Page) -> Any:
    return page.get_by_role("heading", level=1)


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name)


async def lines_of(page: Page, place: str, words: str) -> int:
    """Find the text that matches the pattern *words* in the element *place*. Return the number of lines that this text takes."""
    found: int = await page.locator(place).evaluate(
        """({ firstChild: text }, words) => {
            const [found] = text.data.match(new RegExp(words));
            const range = document.createRange();
            range.setStart(text, text.data.indexOf(found));
            range.setEnd(text, text.data.indexOf(found) + found.length);
            return range.getClientRects().length;
        }""",
        words,
    )
    return found


async def pick(page: Page, amount: str) -> str:
    """Type an amount, press the button to continue, and return the code that the page shows."""
    await page.get_by_label("Another amount").fill(amount)
    await button(page, "Support with").click()
    return await shown_code(page)


# From an amount to the credits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_an_english_speaker_gets_from_an_amount_to_its_credits(
    screen: Screen, bmc: BuyMeACoffee, anna: Person, width: int, scheme: Scheme
) -> None:
    page = await screen.open(anna, width=width, scheme=scheme)
    await page.context.route("**/bmc/demo", lambda route: route.fulfill(body="Buy Anna a coffee"))
    await expect(page.get_by_text("Nothing here yet")).to_be_visible()
    await page.get_by_role("radio", name=FIVE).check()

    await button(page, "Support with $5").click()
    code = await shown_code(page)
    async with page.expect_popup() as opening:
        await button(page, COPY_AND_OPEN).click()
    await expect(page.locator(".step-done")).to_have_text("Copy the code")
    await bmc.pay(amount="5", note=await page.evaluate("navigator.clipboard.readText()"))

    await expect(title(page)).to_have_text("Thank you!")
    await expect(page.get_by_text("+500 credits")).to_be_visible()
    await expect(page.get_by_role("listitem")).to_contain_text(["Paid", f"Your code{code}", "Your balance500 credits"])
    await expect((await opening.value).get_by_text("Buy Anna a coffee")).to_be_visible()
    assert re.fullmatch(r"\w{4}-\w{4}", code)
    assert await spill(page) <= 0


async def test_the_page_shows_no_balance_if_another_bot_keeps_it(
    screen: Screen, stack: Stack, bmc: BuyMeACoffee, anna: Person
) -> None:
    stack.sql("INSERT INTO handover_start DEFAULT VALUES")
    try:
        page = await screen.open(anna)
        await expect(title(page)).to_be_visible()
        await expect(page.get_by_text("Your balance")).to_have_count(0)
        code = await pick(page, "5")
        await bmc.pay(amount="5", note=code)

        await expect(page.get_by_text("+500 credits")).to_be_visible()
        await expect(page.get_by_text("Your balance")).to_have_count(0)
        await expect(page.get_by_role("listitem")).to_contain_text(["Paid", f"Your code{code}"])
    finally:
        stack.sql("DELETE FROM handovers; DELETE FROM handover_start")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_ukrainian_speaker_gets_from_an_amount_to_its_credits(
    screen: Screen, bmc: BuyMeACoffee, bohdan: Person, width: int, scheme: Scheme
) -> None:
    page = await screen.open(bohdan, width=width, scheme=scheme)
    await expect(title(page)).to_have_text("Пригостите кавою?")

    await button(page, "Підтримати на $5").click()
    code = await shown_code(page)
    await expect(page.get_by_text("Чекаємо на ваш платіж")).to_be_visible()
    await bmc.pay(amount="5", note=f"дякую {code}")

    await expect(title(page)).to_have_text("Дякуємо!")
    await expect(page.locator(".gain")).to_have_text(re.compile(r"500\sкредитів"))
    assert await page.evaluate("document.documentElement.lang") == "uk"
    assert await spill(page) <= 0


async def test_telegrams_native_buttons_lead_from_an_amount_to_its_credits(
    screen: Screen, bmc: BuyMeACoffee, anna: Person
) -> None:
    client = await screen.open_in_client(anna)

    await client.press_main_button("Support with $5")
    code = await client.app.locator("#code").inner_text()
    # A page can copy to the clipboard when its own button is clicked, but not when Telegram's native button is pressed. So the
    # page has its own button and hides the native button.
    await client.hears("web_app_setup_main_button", '"is_visible":false')
    await client.app.get_by_role("button", name=COPY_AND_OPEN).click()
    opened = await client.hears("web_app_open_link")
    await bmc.pay(amount="5", note=code)
    await expect(client.app.get_by_role("heading", level=1)).to_have_text("Thank you!")
    await client.press_main_button("Close")

    await client.hears("web_app_close")
    assert opened["url"].startswith("http://localhost:8090/bmc/demo")
    assert (await client.hears("web_app_trigger_haptic_feedback"))["notification_type"] == "success"
    assert await client.page.evaluate("navigator.clipboard.readText()") == code


async def test_a_receipt_can_be_shared_and_leads_to_the_history(
    screen: Screen, bmc: BuyMeACoffee, anna: Person
) -> None:
    client = await screen.open_in_client(anna, menu=True)
    await client.press_main_button("Support with $5")
    await bmc.pay(amount="5", note=await client.app.locator("#code").inner_text())

    await client.app.get_by_role("button", name="Share").click()
    shared = await client.hears("web_app_open_tg_link")
    await client.app.get_by_role("button", name="History").click()

    assert shared["path_full"].startswith("/share/url?url=https%3A%2F%2Ft.me%2F")
    await expect(client.app.get_by_role("heading", name="History")).to_be_focused()


async def test_a_user_whose_payment_does_not_arrive_is_led_into_a_claim(screen: Screen, anna: Person) -> None:
    client = await screen.open_in_client(anna, menu=True)
    await client.press_main_button("Support with $5")

    await client.app.get_by_role("button", name="Paid, but no credits came?").click()

    opened = await client.hears("web_app_open_tg_link")
    assert re.fullmatch(r"/\w+\?start=claim", opened["path_full"])
    await client.hears("web_app_close")
    await anna.say("/start claim")
    assert "Did you pay this one?" in await anna.hear("Did you pay")


@dataclass(frozen=True)
class Spoken:
    button: str
    own_amount: str
    typed: str
    shown: str
    balance: str


SPOKEN = {
    "en": Spoken("☕ Support", "Another amount", "7.5", "7.50", "Your balance"),
    "uk": Spoken("☕ Підтримати", "Інша сума", "7,5", "7,50", "Ваш баланс"),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", SPOKEN)
async def test_an_app_opened_by_a_keyboard_button_is_answered_in_the_chat(
    screen: Screen, bmc: BuyMeACoffee, anna: Person, bohdan: Person, language: str, scheme: Scheme, width: int
) -> None:
    person, words = {"en": anna, "uk": bohdan}[language], SPOKEN[language]
    client = await screen.open_in_client(person, button=words.button, width=width, scheme=scheme)
    amount = client.app.get_by_label(words.own_amount)
    # Wait until the page has loaded the amounts on offer. After that, the page must send no more requests.
    await expect(amount).to_be_visible()
    asked: list[str] = []
    client.page.on("request", lambda request: asked.append(request.url))

    await amount.fill(words.typed)
    await client.press_main_button(words.shown)
    sent = (await client.hears("web_app_data_send"))["data"]
    await person.send_from_web_app(sent)
    code = await person.hear_code()
    await bmc.pay(amount="7.5", note=code)

    assert "750" in await person.hear("+750")
    assert json.loads(sent) == {"amount": "7.5", "currency": "USD"}
    assert await client.app.get_by_text(words.balance).count() == 0
    assert await client.app.locator("html").evaluate("html => html.scrollWidth - innerWidth") <= 0
    assert asked == []


async def test_an_app_that_telegram_opens_without_a_user_is_answered_in_the_chat(screen: Screen, anna: Person) -> None:
    """
    If a keyboard button opens the app, Telegram does not tell the app who the user is.

    Our keyboard button adds `?mode=keyboard` to the app's address. A button of another bot may lack this parameter. Even
    without the parameter, the app must tell the user that the bot answers in the chat.
    """
    address = (await screen.address_of(anna, button="☕ Support")).replace("mode=keyboard&", "")

    page = await screen.page()
    await page.goto(address)

    await expect(page.get_by_text("The bot answers with your code in the chat.")).to_be_visible()


async def test_the_first_version_of_web_apps_is_enough(screen: Screen, bmc: BuyMeACoffee, anna: Person) -> None:
    """
    Version 6.0 of Telegram's Web Apps has no back button, no method to open links, and no haptic feedback.

    The app must work without them.
    """
    client = await screen.open_in_client(anna, menu=True, version="6.0")
    await client.page.context.route("**/bmc/demo", lambda route: route.fulfill(body="Buy Anna a coffee"))

    await client.press_main_button("Support with $5")
    code = await client.app.locator("#code").inner_text()
    await expect(client.app.get_by_role("button", name="All amounts")).to_be_visible()
    async with client.page.expect_popup() as opening:
        await client.app.get_by_role("button", name=COPY_AND_OPEN).click()
    await bmc.pay(amount="5", note=code)

    await expect(client.app.get_by_role("heading", level=1)).to_have_text("Thank you!")
    await expect((await opening.value).get_by_text("Buy Anna a coffee")).to_be_visible()
    assert (
        await client.page.evaluate("wishes.filter(({ eventType }) => /haptic|open_link|back_button/.test(eventType))")
        == []
    )


@pytest.mark.parametrize("amount", ["100", "10000"])
async def test_many_credits_fit_the_narrowest_phone(
    screen: Screen, bmc: BuyMeACoffee, bohdan: Person, amount: str
) -> None:
    code = await bohdan.ask_to_pay(amount)
    page = await screen.open(bohdan, width=320)
    await expect(page.locator("#code")).to_have_text(code)

    await bmc.pay(amount=amount, note=code)

    await expect(title(page)).to_have_text("Дякуємо!")
    assert await spill(page) <= 0
    assert await lines_of(page, ".gain", r"[+\d\s]*\d") == 1
    assert await lines_of(page, ".gain", r"кредитів") == 1


async def test_a_payment_of_another_amount_than_the_one_picked_is_explained(
    screen: Screen, bmc: BuyMeACoffee, anna: Person
) -> None:
    page = await screen.open(anna)
    code = await pick(page, "10")

    await bmc.pay(amount="5", note=code)

    await expect(page.get_by_text("You picked $10 and paid $5, so you got credits for $5.")).to_be_visible()
    await expect(page.get_by_text("+500 credits")).to_be_visible()


# Choosing an amount --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "label"),
    [
        ("10", "Support with $10"),
        ("7_50", "Support with $7.50"),
        ("10-EUR", "Support with €10"),
        ("x-y", "Support with $5"),
    ],
)
async def test_a_deep_link_chooses_the_amount(screen: Screen, anna: Person, link: str, label: str) -> None:
    page = await screen.open(anna, menu=False, start_param=link)

    await expect(button(page, "Support with")).to_have_text(re.compile(rf"{re.escape(label)} · bonus: [\d,]+\scredits"))


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("0,5", "The smallest amount is $1."),
        ("10001", "The largest amount is $10,000."),
        ("ten", "This is not an amount."),
    ],
)
async def test_an_invalid_amount_is_explained(screen: Screen, anna: Person, written: str, answer: str) -> None:
    page = await screen.open(anna)

    await page.get_by_label("Another amount").fill(written)
    await button(page, "Choose an amount").click()

    await expect(page.get_by_role("alert").filter(has_text=answer)).to_be_visible()
    await expect(page.get_by_label("Another amount")).to_be_focused()


async def test_a_typed_amount_shows_its_credits_at_once(screen: Screen, anna: Person) -> None:
    page = await screen.open(anna)
    own = page.get_by_label("Another amount")

    await own.fill("7,5")
    await expect(page.get_by_text("= 750 credits")).to_be_visible()
    await page.get_by_role("radio", name="EUR").check()

    await expect(page.get_by_text("= 825 credits")).to_be_visible()
    await expect(page.get_by_role("radio", name=FIVE)).not_to_be_checked()


async def test_the_app_can_be_used_with_a_keyboard_alone(screen: Screen, anna: Person) -> None:
    page = await screen.open(anna)
    await expect(title(page)).to_be_visible()

    await page.get_by_role("radio", name=FIVE).focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Another amount")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")

    await expect(title(page)).to_have_text(re.compile(r"\$10 · bonus: 1,000\scredits"))
    await expect(title(page)).to_be_focused()


async def test_a_second_click_opens_no_second_payment(screen: Screen, anna: Person, stack: Stack) -> None:
    page = await screen.open(anna)

    await button(page, "Support with $5").dblclick()
    await shown_code(page)

    assert stack.sql(f"SELECT count(*) FROM pending_payments WHERE telegram_id = {anna.telegram_id}") == "1"


@pytest.mark.parametrize(("amount", "link"), [("10", "10"), ("8.20", "8_20")])
async def test_a_deep_link_with_the_amount_of_an_open_payment_shows_that_payment(
    screen: Screen, anna: Person, amount: str, link: str
) -> None:
    meant = await anna.ask_to_pay(amount)
    await anna.ask_to_pay("25")

    page = await screen.open(anna, menu=False, start_param=link)

    assert await shown_code(page) == meant


# Open payments -------------------------------------------------------------------------------------------------------


async def test_a_user_who_returns_finds_the_open_payment(screen: Screen, anna: Person) -> None:
    first = await anna.ask_to_pay("5")
    second = await anna.ask_to_pay("10")

    page = await screen.open(anna)
    assert await shown_code(page) == second
    await page.get_by_role("button", name=first).click()

    await expect(page.locator("#code")).to_have_text(first)


async def test_a_code_fits_the_narrowest_phone_on_one_line(screen: Screen, anna: Person) -> None:
    await anna.ask_to_pay("5")

    page = await screen.open(anna, width=320)

    code = await shown_code(page)
    assert await lines_of(page, "#code", code) == 1
    assert await spill(page) <= 0


async def test_a_code_of_the_older_form_fits_the_narrowest_phone(screen: Screen, anna: Person) -> None:
    code = f"{anna.telegram_id}_1760000000"
    await anna.send_from_web_app(json.dumps({"payment_id": code, "amount": "5", "currency": "USD"}))
    await anna.hear(code)

    page = await screen.open(anna, width=320)

    await expect(page.locator("#code")).to_have_text(code)
    assert await spill(page) <= 0


async def test_a_cancellation_is_confirmed_first_and_then_shown(screen: Screen, anna: Person, stack: Stack) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.open(anna)

    await button(page, "Cancel this payment").click()
    await button(page, "Keep it").click()
    assert await shown_code(page) == code
    await button(page, "Cancel this payment").click()
    await button(page, "Cancel the payment").click()

    await expect(title(page)).to_have_text("Cancelled")
    statuses = stack.sql(f"SELECT status FROM pending_payments WHERE telegram_id = {anna.telegram_id}")
    assert statuses == "cancelled"
    await button(page, "Choose an amount").click()
    await expect(button(page, "Support with $5")).to_be_visible()


async def test_an_open_page_shows_that_its_payment_has_expired(screen: Screen, anna: Person, stack: Stack) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.open(anna)
    await expect(page.locator("#code")).to_have_text(code)

    stack.sql(f"UPDATE pending_payments SET status = 'expired' WHERE telegram_id = {anna.telegram_id}")

    await expect(title(page)).to_have_text("The time is up")
    await expect(page.get_by_text("your credits still arrive")).to_be_visible()


async def test_a_payment_during_the_question_about_cancelling_closes_the_question(
    screen: Screen, bmc: BuyMeACoffee, anna: Person
) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.open(anna)
    await button(page, "Cancel this payment").click()
    await expect(button(page, "Keep it")).to_be_visible()

    await bmc.pay(amount="5", note=code)

    await expect(title(page)).to_have_text("Thank you!")
    await expect(button(page, "Keep it")).to_be_hidden()


async def test_an_open_page_shows_that_an_operator_undid_the_match(
    screen: Screen, bmc: BuyMeACoffee, anna: Person, operator: Person, stack: Stack
) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.open(anna)
    await expect(page.locator("#code")).to_have_text(code)
    await bmc.pay(amount="5", note=code)
    await expect(title(page)).to_have_text("Thank you!")

    charge = stack.sql(f"SELECT max(charge_id) FROM charges WHERE telegram_id = {anna.telegram_id}")
    await operator.say(f"/undo {charge} it was not hers")
    await operator.hear("not hers")
    await operator.press("Yes, take it back")

    await expect(title(page)).to_have_text("How about a coffee?")
    await expect(page.get_by_text(re.compile(r"balance\s*0\scredits"))).to_be_visible()


async def test_the_refusal_of_an_eleventh_payment_leads_to_the_open_ones(screen: Screen, anna: Person) -> None:
    page = await screen.open(anna)
    # Create the payments only after the page has opened. Otherwise, the page would show a payment and not the amounts.
    await expect(button(page, "Support with")).to_be_visible()
    await page.evaluate(
        """async () => {
            for (let amount = 11; amount <= 20; amount += 1) {
                const headers = { Authorization: `tma ${Telegram.WebApp.initData}` };
                await fetch("../api/payments", { method: "POST", headers, body: JSON.stringify({ amount: `${amount}` }) });
            }
        }"""
    )
    await expect(page.get_by_role("button", name="Code")).to_have_count(10)

    await button(page, "Support with").click()
    await page.get_by_role("alert").get_by_role("button", name="See the open payments").click()

    await expect(page.get_by_role("heading", name="Open payments")).to_be_focused()


async def test_if_the_clipboard_is_blocked_the_code_is_selected_before_the_page_opens(
    screen: Screen, anna: Person
) -> None:
    await anna.ask_to_pay("5")
    page = await screen.open(anna)
    await page.context.route("**/bmc/demo", lambda route: route.fulfill(body="Buy Anna a coffee"))
    code = await shown_code(page)
    await page.evaluate(
        "navigator.clipboard.writeText = () => Promise.reject(new Error()); document.execCommand = () => false;"
    )

    await button(page, COPY_AND_OPEN).click()

    await expect(page.get_by_text("The code is selected")).to_be_visible()
    assert await page.evaluate("getSelection().toString().trim()") == code
    assert len(page.context.pages) == 1
    async with page.expect_popup() as opening:
        await page.get_by_role("button", name="Open Buy Me a Coffee", exact=True).click()
    await expect((await opening.value).get_by_text("Buy Anna a coffee")).to_be_visible()


async def test_the_code_can_be_copied_alone(screen: Screen, anna: Person) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.open(anna)

    await page.get_by_role("button", name="Copy the code", exact=True).click()

    await expect(button(page, "Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == code
    assert len(page.context.pages) == 1


# Authentication and loading ------------------------------------------------------------------------------------------


async def test_forged_init_data_is_explained_and_shows_no_balance(screen: Screen, anna: Person) -> None:
    page = await screen.open(anna, forged=True)

    await expect(page.get_by_text("could not verify who you are")).to_be_visible()
    await expect(page.get_by_role("link", name="Go to the bot")).to_be_visible()
    assert await page.get_by_text("Your balance").count() == 0


async def test_init_data_that_telegram_cached_for_hours_is_accepted(screen: Screen, anna: Person) -> None:
    page = await screen.open(anna, age_seconds=23 * 3600)

    await button(page, "Support with $5").click()

    await shown_code(page)


async def test_old_init_data_leads_into_the_chat(screen: Screen, anna: Person) -> None:
    client = await screen.open_in_client(anna, menu=True, age_seconds=3 * 86_400)

    await expect(client.app.get_by_text("more than a day old")).to_be_visible()
    await client.press_main_button("Continue in the chat")

    assert (await client.hears("web_app_open_tg_link"))["path_full"].endswith("?start=pay")
    await client.hears("web_app_close")
    await anna.say("/start pay")
    assert await anna.hear("How much would you like to give?")


async def test_a_wrong_clock_of_the_server_is_named(screen: Screen, anna: Person) -> None:
    page = await screen.open(anna, age_seconds=-3600)

    await expect(page.get_by_text("The clock of the bot's server is wrong")).to_be_visible()


async def test_a_plain_browser_is_led_to_telegram(screen: Screen, anna: Person) -> None:
    page = await screen.page(locale="uk-UA")

    await page.goto(f"{screen.address}/app/")

    await expect(title(page)).to_have_text("Відкрийте в Telegram")
    way = page.get_by_role("link", name=re.compile("^Відкрити в Telegram$"))
    assert re.fullmatch(r"https://t\.me/\w+", await way.get_attribute("href") or "")
    tile = page.get_by_role("link", name=re.compile(r"^\$10"))
    assert (await tile.get_attribute("href") or "").endswith("?startapp=10")
    assert await page.get_by_role("radio").count() == 0
    assert await grave_faults(page) == []


async def test_a_telegram_script_that_does_not_load_is_explained_and_can_be_retried(
    screen: Screen, anna: Person
) -> None:
    page = await screen.page()
    await page.route("**/telegram-web-app.js*", lambda route: route.abort())

    await page.goto(await screen.address_of(anna))

    await expect(title(page)).to_have_text("Telegram did not load")
    await page.unroute("**/telegram-web-app.js*")
    await button(page, "Try again").click()
    await expect(button(page, "Support with $5")).to_be_visible()


@pytest.mark.parametrize("part", ["form.js", "locales/en.js"])
async def test_a_script_that_fails_to_load_once_is_loaded_again(screen: Screen, anna: Person, part: str) -> None:
    page = await screen.page()
    await page.route(f"**/{part}", lambda route: route.abort("connectionreset"), times=1)
    await page.route("**/telegram-web-app.js*", lambda route: route.abort("connectionreset"), times=1)

    await page.goto(await screen.address_of(anna))

    await expect(button(page, "Support with $5")).to_be_visible()


@pytest.mark.parametrize("part", ["form.js", "locales/en.js"])
async def test_a_script_that_does_not_load_is_explained_and_can_be_retried(
    screen: Screen, anna: Person, part: str
) -> None:
    page = await screen.page()
    await page.route(f"**/{part}", lambda route: route.abort())

    await page.goto(await screen.address_of(anna))
    await expect(page.get_by_role("alert").filter(has_text="Part of this page did not load")).to_be_visible()
    await button(page, "Try again").click()
    # Restore the script only after the click, to prove that the click makes the page load the script.
    await page.unroute(f"**/{part}")

    await expect(button(page, "Support with $5")).to_be_visible()


# Network errors ------------------------------------------------------------------------------------------------------


async def told_of_the_connection(page: Page, words: str) -> None:
    """Check that the page shows *words* about the connection, and announces them to screen readers."""
    await expect(page.locator("#connection-text").filter(has_text=words)).to_be_visible()
    await expect(page.get_by_role("status").filter(has_text=words)).to_have_count(1)


async def test_the_page_says_when_it_is_offline_and_when_it_is_back(
    screen: Screen, bmc: BuyMeACoffee, anna: Person
) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.open(anna)
    await expect(page.locator("#code")).to_have_text(code)

    await page.context.set_offline(True)
    await expect(page.get_by_text("Your payment is safe")).to_be_visible()
    await told_of_the_connection(page, "No connection. Check the network")
    await bmc.pay(amount="5", note=code)
    await page.context.set_offline(False)

    await expect(title(page)).to_have_text("Thank you!")
    await expect(page.locator("#connection")).to_be_hidden()


async def test_a_page_that_is_refused_a_stream_still_shows_the_payment(
    screen: Screen, bmc: BuyMeACoffee, anna: Person
) -> None:
    """
    If the service refuses the event stream, the page must still show the payment.

    The service limits the number of event streams of one user. After a phone changes networks, its broken streams still count, so
    the service may refuse a new stream.
    """
    code = await anna.ask_to_pay("5")
    page = await screen.page()
    refusal = {"error": "too_many_requests", "retry_after": 1}
    await page.route(EVENTS, lambda route: route.fulfill(status=429, json=refusal, headers={"Retry-After": "1"}))
    await page.goto(await screen.address_of(anna))
    await expect(page.locator("#code")).to_have_text(code)

    await bmc.pay(amount="5", note=code)

    await expect(title(page)).to_have_text("Thank you!")
    await expect(page.locator("#connection")).to_be_hidden()


async def test_a_page_that_is_refused_a_stream_polls_until_it_may_ask_again(
    screen: Screen, bmc: BuyMeACoffee, anna: Person
) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.page()
    refused: list[Route] = []

    async def refuse(route: Route) -> None:
        refused.append(route)
        await route.fulfill(status=429, json={"error": "too_many_requests"}, headers={"Retry-After": "600"})

    await page.route(EVENTS, refuse)
    await page.goto(await screen.address_of(anna))
    await expect(page.locator("#code")).to_have_text(code)

    await bmc.pay(amount="5", note=code)

    await expect(title(page)).to_have_text("Thank you!", timeout=10_000)
    await expect(page.locator("#connection")).to_be_hidden()
    assert len(refused) == 1


async def test_a_page_whose_stream_was_displaced_polls_and_asks_for_another_stream_later(
    screen: Screen, bmc: BuyMeACoffee, anna: Person
) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.page()
    await page.clock.install()
    displaced = 'event: displaced\ndata: {"retry_after": 600}\n\n'
    await page.route(EVENTS, lambda route: route.fulfill(content_type="text/event-stream", body=displaced), times=1)
    await page.goto(await screen.address_of(anna))
    await expect(page.locator("#code")).to_have_text(code)

    await bmc.pay(amount="5", note=code)
    await page.clock.run_for(5_000)
    await expect(title(page)).to_have_text("Thank you!")
    async with page.expect_request(EVENTS):
        await page.clock.run_for(750_000)

    await expect(page.locator("#connection")).to_be_hidden()


@pytest.mark.parametrize(
    ("amount", "is_hidden", "may_poll"), [("5", False, True), ("5", True, False), (None, False, False)]
)
async def test_a_page_without_a_stream_polls_only_while_it_is_visible_and_a_payment_is_open(
    screen: Screen, anna: Person, amount: str | None, is_hidden: bool, may_poll: bool
) -> None:
    if amount:
        await anna.ask_to_pay(amount)
    page = await screen.page()
    await page.clock.install()
    await page.add_init_script(f"Object.defineProperty(document, 'hidden', {{ get: () => {json.dumps(is_hidden)} }});")
    await page.route(EVENTS, lambda route: route.fulfill(status=429, json={}, headers={"Retry-After": "600"}))
    await page.goto(await screen.address_of(anna))
    await expect(title(page)).to_be_visible()
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url) if request.url.endswith("/api/state") else None)

    for _ in range(6):
        if may_poll:
            # Wait for the answer, because the page plans its next poll only after the answer.
            async with page.expect_response("**/api/state"):
                await page.clock.run_for(5_000)
        else:
            await page.clock.run_for(5_000)
            # Send another request and wait for its answer. If a poll is due, the page sends the poll before this request. So
            # the list `polls` is complete after the answer.
            await page.evaluate("fetch('/app/')")

    assert (len(polls) > 2) == may_poll
    assert may_poll or not polls


async def test_an_unavailable_service_is_explained_and_can_be_retried(screen: Screen, anna: Person) -> None:
    page = await screen.page()
    await page.route("**/api/**", lambda route: route.fulfill(status=502, body="<html>Bad gateway</html>"))
    await page.goto(await screen.address_of(anna))
    await expect(page.get_by_text("The service is restarting")).to_be_visible()

    await page.unroute("**/api/**")
    await button(page, "Try again").click()

    await expect(button(page, "Support with $5")).to_be_visible()


async def test_if_streams_are_blocked_the_page_polls(screen: Screen, bmc: BuyMeACoffee, anna: Person) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.page()
    await page.route(EVENTS, lambda route: route.abort())
    await page.goto(await screen.address_of(anna))
    await expect(page.locator("#code")).to_have_text(code)

    await bmc.pay(amount="5", note=code)

    await expect(title(page)).to_have_text("Thank you!")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (429, {"error": "too_many_requests"}, "That was a little too fast."),
        (503, {"error": "service_away"}, "The service is restarting."),
        (422, {"error": "amount_too_large", "most": "10000"}, "The largest amount is $10,000."),
        (422, {"error": "currency_unknown"}, "This currency is no longer accepted."),
        (401, {"error": "init_data_expired"}, "more than a day old"),
        (400, {"error": "something_new"}, "could not read this page's request"),
    ],
    ids=lambda value: value.get("error") if isinstance(value, dict) else None,
)
async def test_each_refusal_has_its_own_text(
    screen: Screen, anna: Person, status: int, body: dict[str, str], words: str
) -> None:
    async def refuse(route: Route) -> None:
        await route.fulfill(status=status, json=body, headers={"Retry-After": "1"})

    page = await screen.open(anna)
    await page.route("**/api/payments", refuse)

    await button(page, "Support with $5").click()

    await expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
    if status in (429, 503):
        await page.unroute("**/api/payments")
        await page.get_by_role("alert").get_by_role("button", name="Try again").click()
        await shown_code(page)


async def test_a_page_that_has_been_open_too_long_keeps_its_code_and_says_so(screen: Screen, anna: Person) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.open(anna)
    await expect(page.locator("#code")).to_have_text(code)

    async def end(route: Route) -> None:
        await route.fulfill(status=200, content_type="text/event-stream", body="event: expired\ndata: {}\n\n")

    await page.route(EVENTS, end)
    await page.evaluate("dispatchEvent(new Event('online'))")

    await told_of_the_connection(page, "more than a day old")
    assert await shown_code(page) == code


# Theme, language and other features of Telegram ----------------------------------------------------------------------


async def test_a_dark_telegram_on_a_light_device_shows_no_light_page_before_the_scripts_load(
    screen: Screen, anna: Person
) -> None:
    async def never_answer(_route: Route) -> None:
        pass

    page = await screen.page(scheme="light")
    await page.route("**/theme.js", never_answer)

    await page.goto(await screen.address_of(anna, menu=True, theme="dark"), wait_until="commit")

    await expect(page.locator("body")).to_have_css("background-color", "rgb(15, 15, 15)")


async def test_an_open_page_follows_a_change_of_the_theme(screen: Screen, anna: Person) -> None:
    client = await screen.open_in_client(anna, menu=True, theme="light")
    await expect(client.app.get_by_role("heading", level=1)).to_be_visible()
    body = client.app.locator("body")

    dark = {"bg_color": "#17212b", "secondary_bg_color": "#232e3c", "text_color": "#f5f5f5", "hint_color": "#708499"}
    await client.tell("theme_changed", theme_params=dark)

    await expect(body).to_have_css("background-color", "rgb(35, 46, 60)")
    await expect(body).to_have_css("color", "rgb(245, 245, 245)")


async def test_the_back_button_leads_from_a_payment_to_the_amounts(screen: Screen, anna: Person) -> None:
    await anna.ask_to_pay("5")
    client = await screen.open_in_client(anna)
    await expect(client.app.locator("#code")).to_be_visible()

    await client.press_back_button()

    await expect(client.app.get_by_role("radio", name=FIVE)).to_be_checked()
    await client.hears("web_app_setup_back_button", "false")


async def test_a_language_chosen_in_the_chat_changes_the_open_page(screen: Screen, anna: Person, stack: Stack) -> None:
    page = await screen.open(anna)
    await expect(title(page)).to_have_text("How about a coffee?")

    stack.sql(f"UPDATE users SET language = 'uk', language_chosen = true WHERE telegram_id = {anna.telegram_id}")
    await page.evaluate("dispatchEvent(new Event('online'))")

    await expect(title(page)).to_have_text("Пригостите кавою?")


async def test_a_new_language_and_a_payment_that_arrive_together_are_both_shown(
    screen: Screen, bmc: BuyMeACoffee, anna: Person, stack: Stack
) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.open(anna)
    await expect(page.locator("#code")).to_have_text(code)
    await page.context.set_offline(True)
    await expect(page.get_by_text("Your payment is safe")).to_be_visible()

    stack.sql(f"UPDATE users SET language = 'uk', language_chosen = true WHERE telegram_id = {anna.telegram_id}")
    await bmc.pay(amount="5", note=code)
    await page.context.set_offline(False)

    await expect(title(page)).to_have_text("Дякуємо!")


async def test_a_language_that_fails_to_load_leaves_the_page_in_the_old_one(
    screen: Screen, anna: Person, stack: Stack
) -> None:
    page = await screen.open(anna)
    await expect(title(page)).to_have_text("How about a coffee?")
    await page.route("**/locales/uk.js", lambda route: route.abort(), times=1)

    stack.sql(f"UPDATE users SET language = 'uk', language_chosen = true WHERE telegram_id = {anna.telegram_id}")
    async with page.expect_event("requestfailed", lambda request: "uk.js" in request.url):
        await page.evaluate("dispatchEvent(new Event('online'))")
    await expect(page.get_by_role("radio", name=FIVE)).to_be_checked()
    await expect(title(page)).to_have_text("How about a coffee?")
    await page.evaluate("dispatchEvent(new Event('online'))")

    await expect(title(page)).to_have_text("Пригостите кавою?")


async def test_a_user_who_has_not_started_the_bot_is_asked_whether_it_may_write(screen: Screen, anna: Person) -> None:
    stranger = Person(anna.session, anna.address, anna.telegram_id + 1_000_000)
    client = await screen.open_in_client(stranger, start_param="5", language_code="en")
    await client.press_main_button("Support with $5")

    await client.app.get_by_role("button", name="Yes, message me").click()
    await client.hears("web_app_request_write_access")
    await client.tell("write_access_requested", status="allowed")

    await expect(client.app.get_by_text("Good: the bot will message you.")).to_be_visible()


async def test_a_user_who_returns_to_the_page_sees_its_current_state(
    screen: Screen, bmc: BuyMeACoffee, anna: Person
) -> None:
    code = await anna.ask_to_pay("5")
    page = await screen.open(anna)
    await expect(page.locator("#code")).to_have_text(code)
    await page.route(EVENTS, lambda route: route.abort())
    await page.context.set_offline(True)
    await bmc.pay(amount="5", note=code)
    await page.context.set_offline(False)

    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    await expect(title(page)).to_have_text("Thank you!")


# Accessibility -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_screen_has_serious_accessibility_faults(
    screen: Screen, bmc: BuyMeACoffee, anna: Person, scheme: Scheme
) -> None:
    page = await screen.open(anna, width=320, scheme=scheme)
    await page.get_by_label("Another amount").fill("0")
    await button(page, "Choose an amount").click()
    found = {"choose": await grave_faults(page)}

    code = await pick(page, "6")
    found["payment"] = await grave_faults(page)
    await button(page, "Cancel this payment").click()
    found["confirming"] = await grave_faults(page)
    await button(page, "Keep it").click()
    await bmc.pay(amount="6", note=code)
    await expect(title(page)).to_have_text("Thank you!")
    found["paid"] = await grave_faults(page)

    assert found == {"choose": [], "payment": [], "confirming": [], "paid": []}
