"""The bot's answers to users who ask for amounts, codes or their balance, or who cancel a payment."""

import asyncio

import pytest

from coffee_ledger.codes import is_code, show_code
from coffee_ledger.store.database import Pool
from tests.bot.desk import changed, data_of, forge
from tests.bot.people import DEADLINE_SECONDS, Person, buttons, code_in, labels, people
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

pytestmark = pytest.mark.usefixtures("bot")


async def test_start_and_pay_lead_to_the_mini_app_and_the_amounts(anna: Person) -> None:
    await anna.say("/start")
    welcome = await anna.hear()
    await anna.say("/pay")
    offer = await anna.hear()

    assert "Buy Me a Coffee" in welcome["text"]
    [[support]] = welcome["reply_markup"]["keyboard"]
    assert support["web_app"]["url"] == "https://pay.example/app/?mode=keyboard&lang=en"
    assert buttons(offer)[0]["web_app"]["url"] == "https://pay.example/app/?lang=en"
    assert labels(offer)[1:] == [
        "$5 · bonus: 500 credits",
        "$10 · bonus: 1,000 credits",
        "$25 · bonus: 2,500 credits",
        "$50 · bonus: 5,000 credits",
    ]


async def test_a_start_link_with_an_unknown_payload_is_an_ordinary_start(
    anna: Person, ledger: Ledger, pool: Pool
) -> None:
    said = await anna.ask("/start pay_10000")

    assert "Hello" in said
    assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 0


async def test_a_link_with_an_amount_offers_it_and_records_nothing(sandbox: Sandbox, pool: Pool) -> None:
    offered = {"10": "$10", "7_50": "$7.50", "10-EUR": "€10"}
    users = await people(sandbox, range(1000, 1000 + len(offered)))
    for user, (payload, amount) in zip(users, offered.items(), strict=True):
        await user.ask(f"/start {payload}")
        offer = await user.hear()

        assert amount in offer["text"], payload
        assert labels(offer)[0].startswith(amount), payload
        assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 0, payload


async def test_an_amount_without_a_command_is_offered(anna: Person, ledger: Ledger) -> None:
    await anna.say("7,50")
    offer = await anna.hear()
    await anna.press(labels(offer)[0])

    answer = await anna.hear()

    assert "$7.50" in answer["text"]
    assert await ledger.status(code_in(answer["text"])) == "pending"


async def test_a_request_is_answered_with_a_code_and_buttons_to_copy_pay_and_cancel(
    anna: Person, ledger: Ledger
) -> None:
    await anna.say("/pay 10")

    answer = await anna.hear()

    code = code_in(answer["text"])
    assert is_code(code)
    assert "$10" in answer["text"]
    assert "1,000 credits" in answer["text"]
    assert {"code"} == {one["type"] for one in answer["entities"]} - {"bold"}
    copy, page, cancel = buttons(answer)
    assert copy["copy_text"] == {"text": show_code(code)}
    assert page["url"] == "https://buymeacoffee.com/creator"
    assert cancel["callback_data"].endswith(code)
    assert await ledger.status(code) == "pending"


async def test_an_amount_is_read_as_people_write_it(anna: Person, pool: Pool) -> None:
    read = {"7.50 EUR": ("7.50", "EUR"), "10,50": ("10.50", "USD"), "€5": ("5", "EUR"), "20usd": ("20", "USD")}
    for written, (amount, currency) in read.items():
        code = await anna.ask_for_code(written)

        row = await pool.fetchrow(
            "SELECT amount::text, currency, telegram_id, user_id FROM pending_payments WHERE payment_id = $1", code
        )
        assert row is not None, written
        assert (float(row["amount"]), row["currency"]) == (float(amount), currency), written
        assert (row["telegram_id"], row["user_id"]) == (ANNA, ANNA), written


async def test_a_button_requests_its_amount(anna: Person, ledger: Ledger) -> None:
    await anna.say("/pay")
    offer = await anna.hear()

    await anna.press(labels(offer)[3])

    answer = await anna.hear()
    assert "$25" in answer["text"]
    assert await ledger.status(code_in(answer["text"])) == "pending"


INVALID_AMOUNTS = {
    "ten": "could not read",
    "-5": "could not read",
    "1e3": "could not read",
    "10.555": "could not read",
    "1.000": "could not read",
    "NaN": "could not read",
    "5 10": "could not read",
    "<b>5</b>": "could not read",
    "0.99": "smallest amount is $1",
    "0": "smallest amount is $1",
    "10000.01": "largest amount is $10,000",
    "999999999": "largest amount is $10,000",
    "5 GBP": "USD, EUR",
    "5 <i>": "could not read",
}


async def test_an_invalid_amount_is_explained_and_changes_nothing(sandbox: Sandbox, pool: Pool) -> None:
    users = await people(sandbox, range(1000, 1000 + len(INVALID_AMOUNTS)))
    for user, (written, hint) in zip(users, INVALID_AMOUNTS.items(), strict=True):
        said = await user.ask(f"/pay {written}")

        assert hint in said, written
        assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 0, written


async def test_a_ukrainian_user_is_answered_in_ukrainian(bohdan: Person, pool: Pool) -> None:
    said = [await bohdan.ask(words) for words in ("/start", "/pay 21", "/balance", "/privacy", "що?")]

    assert all("і" in one for one in said)
    assert "2\N{NO-BREAK SPACE}100 кредитів" in said[1]
    assert "$21" in said[1]
    assert await pool.fetchval("SELECT language FROM users") == "uk"


async def test_ukrainian_variants_are_answered_in_ukrainian_and_other_languages_in_english(sandbox: Sandbox) -> None:
    spoken = {"uk-UA": "Вітаємо", "ru": "Hello", "be": "Hello", "pt-br": "Hello"}
    users = await people(sandbox, range(1000, 1000 + len(spoken)))
    for user, (language_code, greeting) in zip(users, spoken.items(), strict=True):
        await user.become(language_code=language_code)

        assert greeting in await user.ask("/start"), language_code


async def test_the_bot_follows_a_change_of_the_users_language(anna: Person, pool: Pool) -> None:
    await anna.ask("/start")
    await anna.become(language_code="uk")

    said = await anna.ask("/start")

    assert "Вітаємо" in said
    assert await pool.fetchval("SELECT language FROM users") == "uk"


async def test_the_same_amount_asked_for_again_shows_the_same_code(anna: Person) -> None:
    first = await anna.ask_for_code("10")

    again = await anna.ask_for_code("10.00")

    assert first == again


async def test_another_amount_or_user_gets_a_code_of_its_own(anna: Person, bohdan: Person) -> None:
    codes = {await anna.ask_for_code("10"), await anna.ask_for_code("11"), await bohdan.ask_for_code("10")}

    assert len(codes) == 3


async def test_an_update_delivered_twice_records_one_pending_payment(anna: Person, pool: Pool) -> None:
    await anna.say("/pay 10", repeat=2)
    first = code_in((await anna.hear())["text"])

    # The bot received the update with /pay twice. It handles a user's updates one after the other. So when it answers /balance,
    # it has handled both copies.
    await anna.ask("/balance")

    assert [first] == [row[0] for row in await pool.fetch("SELECT payment_id FROM pending_payments")]


async def test_an_eleventh_open_payment_is_refused(anna: Person, ledger: Ledger, pool: Pool) -> None:
    for number in range(10):
        await ledger.open(f"code-{number}", amount=str(20 + number))

    said = await anna.ask("/pay 10")

    assert "10 open payments" in said
    assert "/cancel" in said
    assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 10


async def test_any_other_text_gets_a_short_answer_that_names_pay(anna: Person) -> None:
    for words in ("good morning", "/nonsense", "<b>5", "K7QM"):
        said = await anna.ask(words)

        assert "/pay" in said


async def test_a_user_who_sends_the_code_to_the_bot_is_told_where_it_belongs(anna: Person) -> None:
    for written in ("K7QM-2XHD", "my code is k7qm 2xhd", "К7QМ2ХНD"):
        assert "into the note" in await anna.ask(written), written


async def test_help_and_privacy_are_explained(anna: Person) -> None:
    assert "refund" in await anna.ask("/paysupport")
    assert "e-mail" in await anna.ask("/privacy")
    assert "payment" in await anna.ask("/help")


# Balance and history -------------------------------------------------------------------------------------------------


async def test_a_user_without_credits_is_told_so(anna: Person) -> None:
    assert "0 credits" in await anna.ask("/balance")
    assert "/pay" in await anna.ask("/history")


async def adjust(pool: Pool, *credits: int, cause: str = "x") -> None:
    """Add one adjustment of Anna's balance for each number in *credits*, as an operator does."""
    await pool.execute(
        "WITH done AS (INSERT INTO operator_actions (operator_id, action, telegram_id, reason)"
        " VALUES (900, 'credit', $1, $3) RETURNING action_id)"
        " INSERT INTO credits (telegram_id, kind, credits, cause, action_id)"
        " SELECT $1, 'adjustment', adjusted.credits, $3, done.action_id FROM done, unnest($2::bigint []) AS adjusted (credits)",
        ANNA,
        credits,
        cause,
    )


async def test_the_history_lists_every_kind_of_entry(anna: Person, webhook: Webhook, pool: Pool) -> None:
    code = await anna.ask_for_code("10")
    await webhook.settle(a_payment(support_note=code, amount=10))
    assert "Thank you" in (await anna.hear())["text"]
    await pool.execute("SELECT spend_credits($1, 300, 'a song <by> & for you', 'song-1')", ANNA)
    await adjust(pool, 7, cause="a present")

    history = await anna.ask("/history")
    balance = await anna.ask("/balance")

    lines = [line.split("UTC: ")[1] for line in history.splitlines() if "UTC" in line]
    assert lines == ["+7, a present", "−300, a song <by> & for you", "+1,000 for $10"]
    assert "707 credits" in balance


async def test_the_history_shows_the_newest_ten(anna: Person, pool: Pool) -> None:
    await anna.ask("/start")
    await adjust(pool, *range(1, 13))

    said = await anna.ask("/history")

    assert [f"+{number}" for number in range(12, 2, -1)] == [
        line.split("UTC: ")[1].split(",")[0] for line in said.splitlines() if "UTC" in line
    ]


async def test_entries_with_long_causes_do_not_break_the_history(anna: Person, pool: Pool) -> None:
    await anna.ask("/start")
    await adjust(pool, *range(1, 11), cause="why? " * 500)

    assert "+10, why? why?" in await anna.ask("/history")


async def test_a_negative_balance_is_explained(anna: Person, pool: Pool) -> None:
    await anna.ask("/start")
    await adjust(pool, -50)

    said = await anna.ask("/balance")

    assert "−50 credits" in said
    assert "refunded" in said


# Cancelling ----------------------------------------------------------------------------------------------------------


async def test_cancel_without_an_open_payment_says_so(anna: Person) -> None:
    assert "no open payment" in await anna.ask("/cancel")


async def test_the_only_open_payment_is_cancelled_at_once(anna: Person, ledger: Ledger) -> None:
    code = await anna.ask_for_code("10")

    said = await anna.ask("/cancel")

    assert code == code_in(said)
    assert await ledger.status(code) == "cancelled"


async def test_the_user_chooses_which_of_several_open_payments_to_cancel(anna: Person, ledger: Ledger) -> None:
    first, second = await anna.ask_for_code("10"), await anna.ask_for_code("20")
    await anna.say("/cancel")
    question = await anna.hear()

    answer = await anna.press(next(label for label in labels(question) if show_code(second) in label))

    assert "Cancelled" in answer["text"]
    assert (await ledger.status(first), await ledger.status(second)) == ("pending", "cancelled")


async def test_the_cancel_button_cancels_and_rewrites_its_message(anna: Person, ledger: Ledger) -> None:
    code = await anna.ask_for_code("10")

    [asked] = await anna.messages()
    answer = await anna.press("Cancel")

    message = await changed(anna, asked)
    assert (answer["text"], answer["show_alert"]) == ("Cancelled.", False)
    assert (message["edited"], message["reply_markup"]) == (True, None)
    assert "Cancelled" in message["text"]
    assert await ledger.status(code) == "cancelled"


async def test_a_press_on_an_old_button_says_how_the_payment_ended(sandbox: Sandbox, ledger: Ledger) -> None:
    ends = {"completed": "has already arrived", "expired": "has expired", "cancelled": "was already cancelled"}
    users = await people(sandbox, range(1000, 1000 + len(ends)))
    for user, (status, words) in zip(users, ends.items(), strict=True):
        code = await user.ask_for_code("10")
        [asked] = await user.messages()
        # The bot looks for ended payments from time to time, and may remove the button before the press. So press a copy of the
        # button. A real client can also press a button that the bot has just removed.
        pressed = data_of(asked, "Cancel")
        await forge(sandbox, user, [pressed])
        await ledger.pool.execute(
            "UPDATE pending_payments SET status = $2::text, completed_at = CASE WHEN $2::text = 'completed' THEN now() END"
            " WHERE payment_id = $1",
            code,
            status,
        )

        answer = await user.press(pressed)

        assert words in answer["text"], status
        assert answer["show_alert"], status
        assert status == await ledger.status(code)


async def test_a_button_under_an_inaccessible_message_still_works(anna: Person, ledger: Ledger) -> None:
    code = await anna.ask_for_code("10")

    answer = await anna.press("Cancel", inaccessible=True)

    assert answer["text"] == "Cancelled."
    assert await ledger.status(code) == "cancelled"


async def test_a_user_cannot_cancel_another_users_payment(
    anna: Person, bohdan: Person, ledger: Ledger, pool: Pool
) -> None:
    annas = await anna.ask_for_code("10")
    bohdans = await bohdan.ask_for_code("10")
    # A modified client can send the id of any payment. To simulate this, make Anna the owner of Bohdan's payment. Bohdan's
    # button still contains the id of this payment.
    await pool.execute("UPDATE pending_payments SET telegram_id = $1 WHERE payment_id = $2", ANNA, bohdans)

    answer = await bohdan.press("Скасувати")

    assert answer["show_alert"]
    assert (await ledger.status(annas), await ledger.status(bohdans)) == ("pending", "pending")


async def test_a_press_that_is_too_old_to_be_answered_still_cancels(
    anna: Person, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = await anna.ask_for_code("10")
    monkeypatch.setattr("sandbox.telegram.methods._QUERY_SECONDS_MAX", -1)

    await anna.sandbox.post(f"{anna.path}/press", button="Cancel")

    # Wait until the press has cancelled the payment, because /cancel must find no open payment.
    async with asyncio.timeout(DEADLINE_SECONDS):
        while "Cancelled" not in (await anna.texts())[0]:  # noqa: ASYNC110 — poll, because no asyncio.Event reports the edit
            await asyncio.sleep(0.05)
    assert "no open payment" in await anna.ask("/cancel")
    assert await ledger.status(code) == "cancelled"


async def test_users_are_told_of_an_unexpected_error(anna: Person, pool: Pool) -> None:
    await anna.say("/pay")
    await anna.hear()
    await pool.execute("ALTER TABLE pending_payments DROP COLUMN request_key CASCADE")

    said = await anna.ask("/pay 10")
    alert = await anna.press("pick:5:USD")

    assert "went wrong" in said
    assert ("went wrong" in alert["text"], alert["show_alert"]) == (True, True)


async def test_eight_messages_sent_at_once_are_all_answered(anna: Person) -> None:
    await asyncio.gather(*(anna.sandbox.post(f"{anna.path}/messages", text="/balance") for _ in range(8)))

    async with asyncio.timeout(15):
        while len(await anna.texts()) < 8:
            chat = await anna.sandbox.get(anna.path)
            await anna.sandbox.get(anna.path, after=chat["messages"][-1]["message_id"], wait=5)

    assert {"You have 0 credits."} == set(await anna.texts())
