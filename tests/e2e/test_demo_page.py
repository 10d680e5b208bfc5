"""Test the demo's page in a real browser. The tests use the page as a new user does, mostly with clicks."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FrameLocator, Locator, Page, Request, Route, expect

from tests.e2e.browser import WIDTHS, Scheme, Screen, grave_faults, spill
from tests.e2e.colours import AA, contrast
from tests.e2e.people import BuyMeACoffee, Person
from tests.e2e.stack import Stack

FIVE = re.compile(r"^[$€]?5\b")
COPY_AND_OPEN = re.compile("Copy the code and open|Скопіювати код і відкрити")
THANKS = re.compile("Thank you!|Дякуємо!")
STORY_SECONDS_MAX = 60
COLOURS_ON_THE_WALL = """(key) => {
    const { backgroundColor, color, filter } = getComputedStyle(key);
    const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const draw = (colour, filter = "none") => Object.assign(brush, { filter, fillStyle: colour }).fillRect(0, 0, 1, 1);
    const see = () => `#${[...brush.getImageData(0, 0, 1, 1).data].slice(0, 3).map((one) => one.toString(16).padStart(2, "0")).join("")}`;
    const wall = getComputedStyle(document.documentElement).getPropertyValue("--tg-wall").match(/#[0-9a-f]{6}/g);
    return wall.map((colour) => {
        draw(colour);
        draw(backgroundColor, filter);
        const ground = see();
        draw(color, filter);
        return [see(), ground];
    });
}"""
"""
A JavaScript function.

For each colour of the wallpaper, it returns the visible colours of a chat button's text and background.
"""
PLACES = """() => {
    scrollTo(0, 0);
    return ["checkout", "pay-button", "stage", "plugs", "payments-card", "webhook", "test", "faults"].map((id) =>
        [id, Math.round(document.getElementById(id).getBoundingClientRect().top)]);
}"""
"""A JavaScript function. It scrolls to the top, and returns the vertical position of each part of the page in pixels."""
FAILURES_THAT_DISABLE = 11
THE_END = "Done: the bot has answered."


@pytest_asyncio.fixture(loop_scope="session")
async def screen(stack: Stack, browser: Browser, bmc: BuyMeACoffee) -> AsyncIterator[Screen]:
    async with AsyncExitStack() as rooms:
        yield Screen(browser, stack.sandbox_url, rooms)


@pytest.fixture
def elsewhere() -> list[str]:
    """Return an empty list, in which the test stores the address of each request to a server other than the sandbox."""
    return []


async def open_demo(
    screen: Screen, *, person: Person | None = None, width: int = 1280, scheme: Scheme = "light"
) -> Page:
    page = await screen.page(width=width, height=900, scheme=scheme)
    await page.goto(f"{screen.address}/?person={person.telegram_id}" if person else screen.address)
    await expect(said_by_bot(page).first).to_be_visible()
    return page


def said_by_bot(page: Page, words: str | re.Pattern[str] = "") -> Locator:
    return page.locator("#messages .message.bot").filter(has_text=words)


def mini_app(page: Page) -> FrameLocator:
    return page.frame_locator("#app")


def guide(page: Page) -> Locator:
    return page.locator("#guide-text")


def marked(page: Page) -> Locator:
    """Return the element that the guide tells the user to click."""
    return page.locator(".guided")


async def pick_five(page: Page) -> None:
    await mini_app(page).get_by_role("radio", name=FIVE).check()
    await page.locator("#main-button").click()


async def pay(page: Page) -> None:
    await page.get_by_role("button", name=re.compile("^Paste ")).click()
    await page.get_by_role("button", name="Support with $5").click()


# From the menu button to the credits ---------------------------------------------------------------------------------


async def test_the_guide_leads_a_newcomer_from_the_menu_button_to_the_credits(
    screen: Screen, elsewhere: list[str]
) -> None:
    page = await screen.page(width=1280, height=900)
    page.on("request", lambda request: note_elsewhere(request, screen, elsewhere))
    await page.goto(screen.address)

    await follow_the_guide(page)

    await expect(page.locator("#deliveries li").first).to_contain_text(
        re.compile(r"200credited Anna \+500.*donation\.created.*ms")
    )
    await expect(said_by_bot(page, "500 credits").last).to_be_visible()
    assert elsewhere == []
    assert screen_faults(screen) == []


@pytest.mark.parametrize(
    ("width", "scheme", "language"), [(320, "dark", "en"), (320, "light", "uk"), (1280, "dark", "uk")]
)
async def test_the_guide_works_on_the_narrowest_phone_in_dark_mode_and_in_ukrainian(
    screen: Screen, anna: Person, bohdan: Person, width: int, scheme: Scheme, language: str
) -> None:
    page = await open_demo(screen, person={"en": anna, "uk": bohdan}[language], width=width, scheme=scheme)

    await follow_the_guide(page)

    await expect(said_by_bot(page, {"en": "500 credits", "uk": "500 кредитів"}[language]).last).to_be_visible()
    assert screen_faults(screen) == []


async def follow_the_guide(page: Page) -> None:
    """
    Follow the guide from the chat through the Mini App and the payment until the credits arrive, and close the Mini App.

    The part until the credits arrive must take less than a minute.
    """
    await expect(guide(page)).to_have_text("Open the Mini App.")
    await expect(marked(page)).to_have_id("menu")
    async with asyncio.timeout(STORY_SECONDS_MAX):
        await marked(page).click()
        await expect(guide(page)).to_contain_text("Pick an amount")
        await mini_app(page).get_by_role("radio", name=FIVE).check()
        await expect(marked(page)).to_have_id("main-button")
        await marked(page).click()
        await mini_app(page).get_by_role("button", name=COPY_AND_OPEN).click()
        await expect(marked(page)).to_have_id("paste")
        await marked(page).click()
        await expect(marked(page)).to_have_id("pay-button")
        await marked(page).click()
        await expect(guide(page)).to_contain_text(THE_END)
        await expect(mini_app(page).get_by_role("heading", name=THANKS)).to_be_visible()
    await page.get_by_role("button", name="Close", exact=False).last.click()


async def test_the_guide_finishes_after_a_mistyped_code(screen: Screen, anna: Person) -> None:
    code = await anna.ask_to_pay("5")
    page = await open_demo(screen, person=anna)
    await expect(guide(page)).to_have_text("Copy the code.")

    await page.get_by_label("Say something nice…").fill(code[:-1] + ("2" if code[-1] != "2" else "3"))
    await page.get_by_role("button", name="Support with $5").click()

    await expect(guide(page)).to_contain_text(THE_END)


async def test_the_guide_finishes_without_the_code_and_starts_again(screen: Screen, amount: str) -> None:
    page = await open_demo(screen)
    await page.get_by_label("Message", exact=True).fill(f"/pay {amount}")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(guide(page)).to_have_text("Copy the code.")
    await page.get_by_label("Another").fill(amount)

    await page.get_by_role("button", name=f"Support with ${amount}").click()

    await expect(guide(page)).to_contain_text(THE_END)
    await page.get_by_role("button", name="operator, English").click()
    await expect(guide(page)).to_contain_text("Olha is an operator.")
    await page.get_by_role("button", name="supporter, English").click()
    await expect(guide(page)).to_have_text("Open the Mini App.")


async def test_an_app_opened_by_a_keyboard_button_is_answered_in_the_chat_and_leads_to_the_credits(
    screen: Screen, bohdan: Person
) -> None:
    page = await open_demo(screen, person=bohdan)
    await page.locator("#reply-keyboard").get_by_role("button").first.click()
    await pick_five(page)
    await expect(page.locator("#sheet")).to_be_hidden()
    request = page.locator("#messages .message.bot", has=page.locator("[data-copies]")).last

    await request.locator("[data-copies]").click()
    await request.locator("[data-url]").click()
    await expect(page.locator("#note")).to_be_focused()
    await pay(page)

    await expect(said_by_bot(page, "500").last).to_contain_text("Дякуємо")
    await expect(page.locator("#payments li").first).to_contain_text("$5")


async def test_the_amount_of_a_link_is_selected_already(screen: Screen, anna: Person) -> None:
    page = await open_demo(screen, person=anna)

    await page.locator("#more summary").click()
    await page.get_by_role("button", name="Open a link that asks for 10").click()

    await expect(mini_app(page).get_by_role("radio", name=re.compile(r"^[$]10\b"))).to_be_checked()


# Other functions of the simulated phone -------------------------------------------------------------------------------


async def test_the_operator_is_told_of_a_payment_that_fits_no_user(screen: Screen, amount: str) -> None:
    page = await open_demo(screen)
    await page.get_by_label("Another").fill(amount)
    await page.get_by_label("Say something nice…").fill("Keep it up!")

    await page.get_by_role("button", name=f"Support with ${amount}").click()

    operator = page.get_by_role("button", name="operator, English")
    await expect(operator.get_by_label("new messages")).to_be_visible()
    await operator.click()
    await expect(said_by_bot(page, amount).last).to_be_visible()
    await expect(operator.get_by_label("new messages")).to_be_hidden()


async def test_a_slash_lists_the_commands_of_the_bot(screen: Screen, anna: Person) -> None:
    page = await open_demo(screen, person=anna)

    await page.get_by_label("Message", exact=True).press_sequentially("/bal")
    await page.locator("#commands").get_by_role("button", name="/balance").click()

    await expect(said_by_bot(page, re.compile("0 credits|balance", re.IGNORECASE)).last).to_be_visible()


async def test_the_mini_app_follows_the_switch_between_light_and_dark(screen: Screen, anna: Person) -> None:
    page = await open_demo(screen, person=anna)
    await page.locator("#menu").click()
    await expect(mini_app(page).get_by_role("heading", level=1)).to_be_visible()
    colour = "getComputedStyle(document.body).backgroundColor"
    light = await mini_app(page).locator("body").evaluate(colour)

    await page.get_by_role("button", name="Dark").click()

    body = mini_app(page).locator("body")
    await expect(body).not_to_have_css("background-color", light)
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_a_mini_app_that_cannot_report_that_it_is_ready_is_still_shown(screen: Screen, anna: Person) -> None:
    page = await open_demo(screen, person=anna)
    await page.route("**/telegram-web-app.js*", lambda route: route.abort())

    await page.locator("#menu").click()

    await expect(mini_app(page).get_by_role("heading", name="Telegram did not load")).to_be_visible()
    await expect(page.locator("#app")).to_have_css("opacity", "1")


async def test_without_telegrams_script_the_demo_says_so_and_continues_in_the_chat(
    screen: Screen, anna: Person
) -> None:
    page = await open_demo(screen, person=anna)
    await page.route("**/telegram/script", lambda route: route.fulfill(json={"source": None}))

    await page.locator("#menu").click()

    await expect(page.get_by_role("alertdialog")).to_contain_text("send /pay in the chat")
    await page.get_by_role("button", name="OK").click()
    await expect(page.get_by_role("alertdialog")).to_be_hidden()
    await expect(page.locator("#composer")).to_be_visible()


async def test_a_user_who_blocked_the_bot_can_come_back(screen: Screen, anna: Person) -> None:
    page = await open_demo(screen, person=anna)
    await page.locator("#more summary").click()
    await page.get_by_role("button", name="Block the bot").click()

    await page.get_by_role("button", name="Unblock", exact=True).click()

    await expect(page.locator("#composer")).to_be_visible()
    await expect(page.locator("#messages .message.user").last).to_contain_text("/start")


async def test_a_script_that_did_not_load_is_loaded_again(screen: Screen, anna: Person) -> None:
    page = await screen.page()
    await page.route("**/pages/phone.js", lambda route: route.abort(), times=1)

    await page.goto(f"{screen.address}/?person={anna.telegram_id}")

    await expect(said_by_bot(page).first).to_be_visible()


# Paying ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def paid() -> list[Request]:
    """Return an empty list. The test stores each request to the checkout in this list."""
    return []


async def test_a_second_click_before_the_first_is_answered_does_not_pay_again(
    screen: Screen, anna: Person, paid: list[Request]
) -> None:
    page = await open_demo(screen, person=anna)
    page.on("request", lambda request: note_payment(request, paid))
    answering = asyncio.Event()

    async def answer_late(route: Route) -> None:
        await answering.wait()
        await route.continue_()

    await page.route("**/checkout", answer_late)
    button = page.get_by_role("button", name="Support with $5")

    await button.click()
    # Force the click, because Playwright does not click a button that is marked as disabled. A user can still click it.
    await button.click(force=True)
    answering.set()

    await expect(page.locator("#pay-said")).to_contain_text("Thank you!")
    await expect(button).not_to_have_attribute("aria-disabled", "true")
    assert len(paid) == 1


async def test_a_double_click_pays_once_but_each_press_of_enter_pays(
    screen: Screen, anna: Person, paid: list[Request]
) -> None:
    page = await open_demo(screen, person=anna)
    page.on("request", lambda request: note_payment(request, paid))
    button = page.get_by_role("button", name="Support with $5")

    await button.click()
    await expect(page.locator("#pay-said")).to_contain_text("Thank you!")
    # Send a click with count 2, as a browser does for the second click of a double click.
    await page.mouse.down(click_count=2)
    await page.mouse.up(click_count=2)
    await expect(button).not_to_have_attribute("aria-disabled", "true")
    clicked = len(paid)
    async with page.expect_request("**/checkout"):
        await page.keyboard.press("Enter")

    assert (clicked, len(paid)) == (1, 2)


async def test_enter_sends_the_answer_to_the_shop_item_and_cancel_does_not(screen: Screen, anna: Person) -> None:
    page = await open_demo(screen, person=anna)
    await page.get_by_text("More ways to pay").click()
    await page.get_by_label("Kind of payment").select_option("Shop item")
    await page.get_by_role("button", name="Support with $5").click()
    answer = page.locator("#payments").get_by_role("button", name="Answer").first

    await answer.click()
    await page.get_by_label("Which code did the bot show you?").last.fill("none")
    await page.locator("#ask").get_by_role("button", name="Cancel").click()
    await expect(page.locator("#ask")).to_be_hidden()
    await expect(page.locator("#payments-said")).to_be_empty()
    await answer.click()
    await page.get_by_label("Which code did the bot show you?").last.fill("none")
    await page.keyboard.press("Enter")

    await expect(page.locator("#payments-said")).to_contain_text("is on its way")


# Simulated faults -----------------------------------------------------------------------------------------------------


async def test_the_log_shows_that_a_wrong_signature_is_refused_and_the_retry_accepted(
    screen: Screen, anna: Person
) -> None:
    page = await open_demo(screen, person=anna)
    wrong = page.get_by_role("switch", name="is signed with a wrong secret")
    await wrong.check()

    await page.get_by_role("button", name="Support with $5").click()

    log = page.locator("#deliveries li")
    await expect(log.filter(has_text="attempt 2").first).to_contain_text("200")
    await expect(log.filter(has_text="401").first).to_be_visible()
    await expect(wrong).not_to_be_checked()


async def test_the_switch_for_an_early_refund_delivers_the_refund_before_the_payment(
    screen: Screen, anna: Person
) -> None:
    page = await open_demo(screen, person=anna)
    await page.get_by_role("switch", name="pay, then refund it").check()
    # Use an amount that no other test uses, because the page also shows the payments and deliveries of other tests.
    await page.get_by_label("Another").fill("41")
    await page.get_by_role("button", name="Support with $41").click()

    await page.locator("#payments li").filter(has_text="$41").get_by_role("button", name="Refund").click()

    log = page.locator("#deliveries li").filter(has_text='"amount": 41,')
    await expect(log.nth(0)).to_contain_text("donation.created")
    await expect(log.nth(1)).to_contain_text("donation.refunded")


async def test_a_switch_can_be_turned_off_again(screen: Screen, anna: Person, bmc: BuyMeACoffee) -> None:
    page = await open_demo(screen, person=anna)
    await page.get_by_role("switch", name="comes twice").check()

    await page.get_by_role("switch", name="comes twice").uncheck()
    await page.reload()

    await expect(page.get_by_role("switch", name="comes twice")).not_to_be_checked()


async def test_a_payment_can_be_refunded_and_a_subscription_renewed(screen: Screen, anna: Person) -> None:
    page = await open_demo(screen, person=anna)
    await page.get_by_text("More ways to pay").click()
    await page.get_by_label("Kind of payment").select_option("Membership")
    await page.get_by_role("button", name="Support with $5").click()

    await page.locator("#payments").get_by_role("button", name="Renew").first.click()
    await expect(page.locator("#payments-said")).to_contain_text("is on its way")
    await page.get_by_label("Kind of payment").select_option("One-time support")
    await page.get_by_role("button", name="Support with $5").click()
    await page.locator("#payments").get_by_role("button", name="Refund").first.click()

    await expect(page.locator("#deliveries")).to_contain_text("donation.refunded")
    await expect(page.locator("#payments")).to_contain_text("refunded")


async def test_the_log_shows_the_request_and_the_answer(screen: Screen, anna: Person) -> None:
    page = await open_demo(screen, person=anna)
    await page.get_by_label("Send a test event").select_option("membership.started")
    await page.get_by_role("button", name="Send test").click()
    await expect(page.get_by_text("Answered 200.")).to_be_visible()

    entry = page.locator("#deliveries li").filter(has_text="membership.started").first
    await entry.locator("summary").click()

    await expect(entry).to_contain_text('"live_mode": false')
    await expect(entry.get_by_role("heading", name="Answered")).to_be_visible()


# The plugs, the counter and the timeline ------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def fresh(screen: Screen) -> Page:
    """Start the demo over, and open its page. The numbers of payments are then zero, and the supporters are new."""
    return await open_fresh(screen)


async def open_fresh(screen: Screen, *, width: int = 1280, scheme: Scheme = "light") -> Page:
    page = await screen.page(width=width, height=900, scheme=scheme)
    await page.request.post(f"{screen.address}/demo/start-over")
    await page.goto(screen.address)
    await expect(said_by_bot(page)).to_have_count(1)
    return page


async def supporters(page: Page) -> list[str]:
    keys = await page.locator("#people button", has_text="supporter").evaluate_all(
        "all => all.map((one) => one.dataset.key)"
    )
    return [str(key) for key in keys]


async def copy_code(page: Page) -> str:
    """Request a payment of $5 in the chat, and copy the code. Return the code."""
    await page.get_by_label("Message", exact=True).fill("/pay 5")
    await page.get_by_role("button", name="Send", exact=True).click()
    copy = page.locator("[data-copies]")
    await copy.click()
    return str(await copy.get_attribute("data-copies"))


async def prepare_payment(page: Page) -> None:
    await copy_code(page)
    await page.get_by_role("button", name=re.compile("^Paste ")).click()


async def support(page: Page) -> None:
    await page.get_by_role("button", name="Support with $5").click()


async def forget_next_webhook(page: Page) -> Locator:
    """Turn on the switch that makes Buy Me a Coffee send no webhook for the next payment. Return the switch."""
    forgotten = page.get_by_role("switch", name="is forgotten: no webhook is sent")
    await forgotten.check()
    return forgotten


async def answer_claim(page: Page) -> None:
    """Answer the bot's first question after /claim with "Yes, paid today", and skip the next question."""
    messages = page.locator("#messages")
    await messages.get_by_role("button", name="Yes, paid today").click()
    await messages.get_by_role("button", name="Skip").click()


def plug(page: Page, name: str) -> Locator:
    return page.get_by_role("switch", name=f"Unplug the {name}")


@contextmanager
def paused(stack: Stack, service: str) -> Iterator[None]:
    stack.compose("pause", service)
    try:
        yield
    finally:
        stack.compose("unpause", service)


def newest_delivery(page: Page) -> Locator:
    return page.locator("#deliveries li").first


def timeline(page: Page) -> Locator:
    """Return the steps of the newest payment."""
    return page.locator("#payments > li").first.locator(".timeline li")


async def expect_counter(page: Page, words: str) -> None:
    await expect(page.locator("#counter")).to_have_text(words, use_inner_text=True)


async def test_the_timeline_follows_a_payment_from_the_checkout_to_the_message(fresh: Page) -> None:
    await prepare_payment(fresh)
    await support(fresh)

    await expect(timeline(fresh)).to_have_text(
        [
            re.compile(r"Paid\d\d:\d\d:\d\d\.\d$"),
            re.compile(r"Signature valid"),
            re.compile(r"Matched by code"),
            re.compile(r"Committedafter \d+\.\d+ s"),
            re.compile(r"Anna told, \+500after \d+\.\d+ s"),
        ]
    )
    await expect(newest_delivery(fresh)).to_contain_text("200credited Anna +500")
    await expect_counter(fresh, "paid 1 credited 1 twice 0 waiting 0")


async def test_a_payment_while_the_database_is_unplugged_is_kept_and_credited_afterwards(
    fresh: Page, stack: Stack
) -> None:
    await prepare_payment(fresh)
    await plug(fresh, "database").check()
    await support(fresh)

    await expect(guide(fresh)).to_have_text("The database is unplugged. The webhook waits a moment.")
    await expect(newest_delivery(fresh)).to_contain_text("200kept on disk until the database is back")
    await expect(timeline(fresh).nth(2)).to_contain_text("Kept on disk")
    await expect_counter(fresh, "paid 1 credited 0 twice 0 waiting 1")
    await expect(guide(fresh)).to_have_text("The database is unplugged. Plug it in again.")

    # Pause the database. Otherwise the webhook could settle the payment before the test reads the guide.
    with paused(stack, "db"):
        await plug(fresh, "database").uncheck()
        await expect(guide(fresh)).to_have_text("Kept on disk. The webhook now looks for the database.")

    await expect_counter(fresh, "paid 1 credited 1 twice 0 waiting 0")
    await expect(newest_delivery(fresh)).to_contain_text("200kept on disk, then credited Anna +500")
    await expect(timeline(fresh).last).to_contain_text("Anna told, +500")


async def test_a_payment_while_the_webhook_is_unplugged_is_delivered_by_a_retry(fresh: Page) -> None:
    await prepare_payment(fresh)
    await plug(fresh, "webhook").check()
    await support(fresh)

    await expect(newest_delivery(fresh)).to_contain_text("no connection")
    await expect(timeline(fresh).nth(1)).to_contain_text(re.compile(r"No connectionagain at \d\d:\d\d:\d\d"))
    await expect_counter(fresh, "paid 1 credited 0 twice 0 waiting 1")

    await plug(fresh, "webhook").uncheck()

    await expect_counter(fresh, "paid 1 credited 1 twice 0 waiting 0")
    await expect(newest_delivery(fresh)).to_contain_text(re.compile(r"200credited Anna \+500.*attempt"))


async def test_a_payment_while_the_bot_is_unplugged_is_credited_and_the_user_told_afterwards(fresh: Page) -> None:
    await prepare_payment(fresh)
    await plug(fresh, "bot").check()
    await support(fresh)

    await expect(timeline(fresh).last).to_contain_text("The message waits for the bot")
    await expect_counter(fresh, "paid 1 credited 1 twice 0 waiting 1")

    await plug(fresh, "bot").uncheck()

    await expect_counter(fresh, "paid 1 credited 1 twice 0 waiting 0")
    await expect(said_by_bot(fresh, "Thank you!")).to_have_count(1)


async def test_a_payment_that_was_not_sent_because_the_webhook_was_off_can_be_sent_again(
    fresh: Page, bmc: BuyMeACoffee
) -> None:
    await prepare_payment(fresh)
    await plug(fresh, "webhook").check()
    for _ in range(FAILURES_THAT_DISABLE):
        await bmc.send_test()
    await support(fresh)
    await expect(timeline(fresh).nth(1)).to_contain_text("Not sent, the webhook is off")
    await plug(fresh, "webhook").uncheck()
    await fresh.get_by_role("button", name="Enable it again").click()
    await expect(fresh.locator("#webhook-state")).to_have_text("on")

    await timeline(fresh).get_by_role("button", name="Send again").click()

    await expect_counter(fresh, "paid 1 credited 1 twice 0 waiting 0")


async def test_a_payment_whose_webhook_is_forgotten_is_found_when_the_user_says_so(fresh: Page) -> None:
    await prepare_payment(fresh)
    forgotten = await forget_next_webhook(fresh)
    await support(fresh)

    await expect(fresh.locator("#pay-said")).to_have_text("Thank you! But no webhook was sent.")
    await expect(forgotten).not_to_be_checked()
    await expect(timeline(fresh)).to_have_text(
        [
            re.compile(r"Paid\d\d:\d\d:\d\d\.\d$"),
            re.compile("No webhook was sent$"),
            re.compile(r"Not found yet.*\(/claim\).*within seconds; otherwise.*about 25 minutes\.Send /claim$"),
            re.compile("Match$"),
            re.compile("Commit$"),
            re.compile("Message$"),
        ]
    )
    await expect_counter(fresh, "paid 1 credited 0 twice 0 waiting 1")
    await expect(guide(fresh)).to_have_text("No webhook was sent. Tell the bot that you paid.")

    await marked(fresh).click()
    await expect(guide(fresh)).to_have_text("Answer the bot, and it finds your payment.")
    await answer_claim(fresh)

    await expect_counter(fresh, "paid 1 credited 1 twice 0 waiting 0")
    await expect(said_by_bot(fresh, "Thank you!")).to_have_count(1)
    await expect(guide(fresh)).to_contain_text("Done: found without a webhook.")
    await expect(timeline(fresh)).to_have_text(
        [
            re.compile(r"Paid\d\d:\d\d:\d\d\.\d$"),
            re.compile("No webhook was sent$"),
            re.compile(r"Found in Buy Me a Coffee’s listafter \d+\.\d+ s$"),
            re.compile("Matched by code$"),
            re.compile("Committed$"),
            re.compile(r"Anna told, \+500after \d+\.\d+ s$"),
        ]
    )
    await expect(fresh.locator("#deliveries li")).to_have_count(0)


async def test_the_claim_of_a_payment_is_sent_from_the_phone_of_the_user_who_paid(fresh: Page) -> None:
    await prepare_payment(fresh)
    await forget_next_webhook(fresh)
    await support(fresh)
    await fresh.get_by_role("button", name="operator, English").click()
    await expect(guide(fresh)).to_contain_text("Olha is an operator.")

    await timeline(fresh).get_by_role("button", name="Send /claim").click()
    await answer_claim(fresh)

    await expect(fresh.get_by_role("button", name="supporter, English")).to_have_attribute("aria-pressed", "true")
    await expect_counter(fresh, "paid 1 credited 1 twice 0 waiting 0")


async def test_a_forgotten_payment_without_a_code_is_found_and_an_operator_decides(fresh: Page, amount: str) -> None:
    code = await copy_code(fresh)
    await fresh.get_by_label("Another").fill(amount)
    await forget_next_webhook(fresh)
    await fresh.get_by_role("button", name=f"Support with ${amount}").click()
    await expect(timeline(fresh).nth(2)).to_contain_text("An operator may have to decide.")
    await timeline(fresh).get_by_role("button", name="Send /claim").click()
    messages = fresh.locator("#messages")
    await messages.get_by_role("button", name="Another payment").click()
    await messages.get_by_role("button", name="Today", exact=True).click()
    await expect(said_by_bot(fresh, "How much did you pay?")).to_be_visible()
    await fresh.get_by_label("Message", exact=True).fill(amount)
    await fresh.get_by_role("button", name="Send", exact=True).click()
    await messages.get_by_role("button", name="Skip").click()
    await expect(said_by_bot(fresh, "it shows no payment with your code yet")).to_be_visible()

    await fresh.get_by_role("button", name="operator, English").click()
    card = said_by_bot(fresh, "No webhook came for it").last
    await card.get_by_role("button", name="Find the user").click()
    await messages.get_by_role("button", name=code).click()
    await messages.get_by_role("button", name="Yes, credit").last.click()

    await expect(timeline(fresh).nth(3)).to_contain_text("Matched by an operator")
    await expect_counter(fresh, "paid 1 credited 1 twice 0 waiting 0")


async def test_a_code_that_the_demo_mistypes_is_corrected(fresh: Page) -> None:
    code = await copy_code(fresh)

    await fresh.get_by_role("button", name="Mistype it for me").click()

    note = await fresh.locator("#note").input_value()
    assert sum(one != other for one, other in zip(note, code, strict=True)) == 1
    await expect(guide(fresh)).to_contain_text("Pay.")
    await support(fresh)
    await expect(said_by_bot(fresh, "There was a small slip in the code")).to_be_visible()
    await expect(timeline(fresh).nth(2)).to_contain_text("one wrong sign corrected")


async def test_starting_over_shows_a_new_supporter_and_the_guide_and_a_second_click_changes_nothing(
    fresh: Page, stack: Stack
) -> None:
    await prepare_payment(fresh)
    await support(fresh)
    await expect_counter(fresh, "paid 1 credited 1 twice 0 waiting 0")
    await fresh.get_by_role("button", name="Hide the guide").click()
    before, credits = await supporters(fresh), stack.sql("SELECT count(*) FROM credits")

    await fresh.get_by_role("button", name="Start over").click()

    await expect_counter(fresh, "paid 0 credited 0 twice 0 waiting 0")
    await expect(guide(fresh)).to_have_text("Open the Mini App.")
    await expect(said_by_bot(fresh)).to_have_count(1)
    await expect(fresh.locator("#payments > li, #deliveries > li")).to_have_count(0)
    first = await supporters(fresh)
    assert set(first).isdisjoint(before)

    async with fresh.expect_response("**/demo/start-over"):
        await fresh.get_by_role("button", name="Start over").click()

    await expect(guide(fresh)).to_have_text("Open the Mini App.")
    assert await supporters(fresh) == first
    assert stack.sql("SELECT count(*) FROM credits") == credits


async def test_a_state_that_arrives_late_lets_no_new_supporter_press_start_twice(screen: Screen, fresh: Page) -> None:
    """
    The page presses Start once for a new supporter, even if an old state of the demo, without this Start, arrives late.

    In an earlier version, the page then pressed Start again. *Start over* replaces all supporters if one of them has sent more
    than one message, so it replaced supporters for whom only the page had acted.
    """
    acts: list[str] = []
    people_and_starts = ["users", "messages"] * 2
    fetched, started = asyncio.Event(), asyncio.Event()

    async def create_after_fetch(route: Route) -> None:
        if "Богдан" in str(route.request.post_data_json):
            await fetched.wait()
        await route.continue_()

    async def answer_after_start(route: Route) -> None:
        response = await route.fetch()
        names = {person["first_name"] for person in (await response.json())["people"]}
        if "Anna" in names and "Богдан" not in names:
            fetched.set()
            await started.wait()
        await route.fulfill(response=response)

    def note_act(request: Request) -> None:
        if "/telegram/" in request.url:
            acts.append(request.url.rsplit("/", 1)[1])

    def note_start(request: Request) -> None:
        if acts == people_and_starts and request.url.endswith("/messages"):
            started.set()

    await copy_code(fresh)
    # Leave the page, so that it sends no more requests for the supporters that *Start over* will replace.
    await fresh.goto("about:blank")
    await fresh.request.post(f"{screen.address}/demo/start-over")
    await fresh.route("**/telegram/users", create_after_fetch)
    await fresh.route("**/demo/changes?version=*", answer_after_start)
    fresh.on("request", note_act)
    fresh.on("requestfinished", note_start)

    await fresh.goto(screen.address)
    async with asyncio.timeout(STORY_SECONDS_MAX):
        await started.wait()
    async with fresh.expect_request("**/demo/changes?version=*"):
        pass

    assert acts == people_and_starts


async def test_an_operator_reads_ukrainian(fresh: Page, amount: str) -> None:
    # Enter a code that was never issued, so that the bot sends a card to the operator. A payment without any code gets no card,
    # only a line in the summary.
    await fresh.get_by_label("Say something nice…").fill("9MK6-DYN5")
    await fresh.get_by_label("Another").fill(amount)
    await fresh.get_by_role("button", name=f"Support with ${amount}").click()
    operator = fresh.get_by_role("button", name="operator, Ukrainian")
    await expect(operator.get_by_label("new messages")).to_be_visible()

    await operator.click()

    await expect(said_by_bot(fresh, amount).last).to_contain_text("Платіж чекає на вас")
    await expect(said_by_bot(fresh, amount).last.locator(".words time")).to_contain_text(" р. о ")
    await expect(guide(fresh)).to_contain_text("Тарас is an operator.")
    await expect(timeline(fresh).nth(2)).to_contain_text("an operator decides")


@pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (390, "light"), (1160, "dark"), (1280, "light")])
async def test_nothing_moves_while_a_payment_waits_and_arrives(screen: Screen, width: int, scheme: Scheme) -> None:
    page = await open_fresh(screen, width=width, scheme=scheme)
    before = await page.evaluate(PLACES)

    await copy_code(page)
    copied = await page.evaluate(PLACES)
    await page.get_by_role("button", name=re.compile("^Paste ")).click()
    await plug(page, "database").check()
    await support(page)
    await expect(timeline(page).nth(2)).to_contain_text("Kept on disk")
    waiting = await page.evaluate(PLACES)
    faults = await grave_faults(page)
    await plug(page, "database").uncheck()
    await expect_counter(page, "paid 1 credited 1 twice 0 waiting 0")
    arrived = await page.evaluate(PLACES)

    assert [copied, waiting, arrived] == [before] * 3
    assert faults == await grave_faults(page) == []
    assert await spill(page) <= 0


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (390, "dark"), (1160, "light"), (1280, "dark")])
async def test_nothing_moves_while_a_payment_without_a_webhook_waits_and_is_found(
    screen: Screen, width: int, scheme: Scheme
) -> None:
    page = await open_fresh(screen, width=width, scheme=scheme)
    before = await page.evaluate(PLACES)

    await prepare_payment(page)
    await forget_next_webhook(page)
    await support(page)
    await expect(timeline(page).nth(2)).to_contain_text("Not found yet.")
    waiting = await page.evaluate(PLACES)
    faults = await grave_faults(page)
    # The timeline may show the payment before the checkout has its answer. Until then, the guide marks the pay button.
    await expect(marked(page)).to_have_text("Send /claim")
    await marked(page).click()
    await answer_claim(page)
    await expect_counter(page, "paid 1 credited 1 twice 0 waiting 0")
    found = await page.evaluate(PLACES)

    assert [waiting, found] == [before] * 2
    assert faults == await grave_faults(page) == []
    assert await spill(page) <= 0


@pytest.mark.parametrize("width", [320, 768, 1280])
async def test_nothing_moves_when_the_guide_appears(screen: Screen, width: int) -> None:
    page = await screen.page(width=width, height=900)
    answering = asyncio.Event()

    async def answer_late(route: Route) -> None:
        await answering.wait()
        await route.continue_()

    await page.route("**/demo/changes?*", answer_late)
    await page.goto(screen.address)
    top_of_main = "document.querySelector('main').getBoundingClientRect().top"
    before = await page.evaluate(top_of_main)

    answering.set()
    await expect(guide(page)).to_have_text("Open the Mini App.")

    assert await page.evaluate(top_of_main) == before


# Accessibility and layout ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_is_accessible_and_fits_its_window(
    screen: Screen, anna: Person, width: int, scheme: Scheme
) -> None:
    page = await open_demo(screen, person=anna, width=width, scheme=scheme)
    await page.get_by_label("Message", exact=True).fill("/pay 5")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator("[data-copies]").last).to_be_visible()

    assert await grave_faults(page) == []
    assert await spill(page) <= 0
    assert screen_faults(screen) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_chat_button_has_enough_contrast_on_every_colour_of_the_wallpaper(
    screen: Screen, anna: Person, scheme: Scheme
) -> None:
    """The tool axe does not check translucent backgrounds or the hover state, so this test computes the contrast itself."""
    page = await open_demo(screen, person=anna, scheme=scheme)
    await page.locator("#messages").evaluate(
        """(messages) => ["", "primary", "success", "danger"].forEach((kind) => {
            messages.append(Object.assign(document.createElement("button"), { className: `key ${kind}`, textContent: kind }));
        })"""
    )
    keys = page.locator("#messages > .key")

    seen = []
    for key in await keys.all():
        seen += await key.evaluate(COLOURS_ON_THE_WALL)
        await key.hover()
        seen += await key.evaluate(COLOURS_ON_THE_WALL)

    assert len(seen) == 4 * 2 * 3
    assert [pair for pair in seen if contrast(*pair) < AA] == []


async def test_the_checkout_in_a_tab_of_its_own_takes_a_payment(screen: Screen) -> None:
    page = await screen.page(width=390)

    await page.goto(f"{screen.address}/bmc/demo")

    await expect(page.get_by_role("heading", name="Support demo")).to_be_visible()
    await expect(page.locator("#phone-side")).to_be_hidden()
    await expect(page.get_by_role("heading", name="Webhook")).to_be_hidden()
    await page.get_by_role("button", name="Support with $5").click()
    await expect(page.get_by_text("Thank you! The webhook is on its way.")).to_be_visible()
    assert screen_faults(screen) == []


def note_payment(request: Request, paid: list[Request]) -> None:
    if request.url.endswith("/checkout"):
        paid.append(request)


def note_elsewhere(request: Request, screen: Screen, elsewhere: list[str]) -> None:
    if not request.url.startswith((screen.address, "data:", "blob:")):
        elsewhere.append(request.url)


def screen_faults(screen: Screen) -> list[str]:
    # In a frame, Telegram's script adds an empty inline style. The Mini App's Content Security Policy blocks this style on
    # purpose. The browser reports this as an error, so ignore the error.
    return [fault for fault in screen.faults if "Applying inline style" not in fault]
