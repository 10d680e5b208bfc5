"""Data from a Web App's page comes from the user's own device, so the bot trusts none of it."""

import json

import pytest

from coffee_ledger.model import PaymentId
from coffee_ledger.store.database import Pool
from tests.bot.people import Person, code_in
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.sandbox.world import Sandbox

pytestmark = pytest.mark.usefixtures("bot")

OLDER_FORM = PaymentId(f"{ANNA}_1732347758")

FRIENDLY = ("nothing was changed", "smallest amount", "largest amount", "currency is not accepted")

HOSTILE = [
    " ",
    "10",
    '"10"',
    "[]",
    "null",
    "not json",
    "{",
    "{}",
    '{"amount": null}',
    '{"amount": true}',
    '{"amount": []}',
    '{"amount": {"$gt": 0}}',
    '{"amount": "ten"}',
    '{"amount": NaN}',
    '{"amount": Infinity}',
    '{"amount": "NaN"}',
    '{"amount": -10}',
    '{"amount": 0}',
    '{"amount": 0.99}',
    '{"amount": 10.001}',
    '{"amount": 10000.01}',
    '{"amount": 1e999999}',
    '{"amount": 1e-999999}',
    '{"amount": ' + "9" * 4000 + "}",
    '{"amount": 10, "currency": "GBP"}',
    '{"amount": 10, "currency": ""}',
    '{"amount": 10, "currency": "USD; DROP TABLE users"}',
    '{"amount": 10, "currency": 840}',
    '{"amount": 10, "currency": "<b>"}',
    '{"amount": 10, "user_id": 202}',
    '{"amount": 10, "user_id": "somebody"}',
    '{"amount": 10, "user_id": -1}',
    '{"amount": 10, "user_id": true}',
    '{"amount": 10, "payment_id": "202_1732347758"}',
    '{"amount": 10, "payment_id": "SENDER_1732347758 "}',
    '{"amount": 10, "payment_id": "SENDER_17323477581"}',
    '{"amount": 10, "payment_id": "0SENDER_1732347758"}',
    '{"amount": 10, "payment_id": "K7QM2XHD"}',
    '{"amount": 10, "payment_id": "' + "1" * 200 + '"}',
    '{"amount": 10, "payment_id": 12}',
    '{"amount": 10, "payment_id": "\\u0000"}',
    '{"amount": 10, "payment_id": "\\ud800"}',
    "[" * 4000,
    '{"a":' * 600 + "1" + "}" * 600,
]


async def test_an_amount_is_enough(anna: Person, ledger: Ledger) -> None:
    await anna.send_form('{"amount": 12.5}')

    answer = await anna.hear()

    assert "$12.50" in answer["text"]
    assert await ledger.status(code_in(answer["text"])) == "pending"


async def test_every_allowed_field_is_accepted(anna: Person, pool: Pool) -> None:
    form = {"payment_id": OLDER_FORM, "user_id": ANNA, "amount": "7.50", "currency": "eur", "theme": "dark"}
    await anna.send_form(json.dumps(form))

    answer = await anna.hear()

    row = await pool.fetchrow("SELECT payment_id, telegram_id, amount::text, currency, status FROM pending_payments")
    assert row is not None
    assert tuple(row) == (OLDER_FORM, ANNA, "7.50", "EUR", "pending")
    assert OLDER_FORM in answer["text"]


async def test_an_id_sent_again_names_the_same_payment(anna: Person, pool: Pool) -> None:
    form = json.dumps({"payment_id": OLDER_FORM, "amount": 10})
    await anna.send_form(form)
    await anna.hear()

    await anna.send_form(form)

    assert OLDER_FORM in (await anna.hear())["text"]
    assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 1


async def test_an_id_in_use_for_another_amount_is_refused(anna: Person, pool: Pool) -> None:
    await anna.send_form(json.dumps({"payment_id": OLDER_FORM, "amount": 10}))
    await anna.hear()

    await anna.send_form(json.dumps({"payment_id": OLDER_FORM, "amount": 20}))

    assert "already in use" in (await anna.hear())["text"]
    assert await pool.fetchval("SELECT amount FROM pending_payments") == 10


async def test_any_other_data_gets_a_friendly_answer_and_changes_nothing(sandbox: Sandbox, pool: Pool) -> None:
    # Each case has its own sender. A single sender would be slow, because the bot limits the message rate of each chat.
    for sender, data in enumerate(HOSTILE, start=5000):
        person = Person(sandbox, sender)
        await person.send_form(data.replace("SENDER", str(sender)))

        said = (await person.hear())["text"]

        assert any(words in said for words in FRIENDLY), (data[:80], said)
    assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 0


async def test_a_form_for_another_user_is_refused_politely(anna: Person, pool: Pool) -> None:
    await anna.send_form(json.dumps({"amount": 10, "user_id": BOHDAN}))

    assert "another account" in (await anna.hear())["text"]
    assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 0
