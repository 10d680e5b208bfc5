"""
The desk's lists have pages. If an operator decides on charges of a page and then opens the next page, no charge is skipped.

Each item of a list shows the facts that help to decide on it.
"""

import pytest

from coffee_ledger.store.database import Pool
from tests.bot.desk import ask, data_of, forge, shown
from tests.bot.people import Person, labels
from tests.integration.people import Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import Sandbox

WAITING = (
    "INSERT INTO charges (charge_key, family, amount, currency, paid_at, is_paid, note)"
    " SELECT 'donation:pi_' || n, 'donation', 100 + n, 'USD', now() - interval '1 day' + n * interval '1 minute', true,"
    " CASE n WHEN 1 THEN E'for <Anna>\\n' || repeat('coffee ', 30) END"
    " FROM generate_series(1, $1::integer) AS n"
)


@pytest.mark.usefixtures("bot")
async def test_a_list_opens_at_any_page_and_a_page_after_the_end_is_the_last_one(operator: Person, pool: Pool) -> None:
    await operator.ask("/start")
    await pool.execute(WAITING, 14)

    for said, page in (("2", 2), ("3", 3), ("99", 3), ("99999999999999999999", 3), ("0", 1), ("x", 1)):
        listed = await operator.ask(f"/unmatched {said}")
        assert f"page {page} of 3" in listed, said
        assert f"${101 + (page - 1) * 6}" in listed, said


@pytest.mark.usefixtures("bot")
async def test_a_list_of_unmatched_payments_shows_their_notes_in_one_short_line(operator: Person, pool: Pool) -> None:
    await operator.ask("/start")
    await pool.execute(WAITING, 2)

    listed = await operator.ask("/unmatched")

    assert "“for <Anna> coffee coffee" in listed
    assert "…”" in listed
    assert max(len(line) for line in listed.splitlines()) < 120


@pytest.mark.usefixtures("bot")
async def test_the_next_page_begins_after_the_last_shown_row_although_rows_were_decided(
    operator: Person, pool: Pool
) -> None:
    await operator.ask("/start")
    await pool.execute(WAITING, 14)
    listed = await ask(operator, "/unmatched")
    await pool.execute("UPDATE charges SET state = 'dismissed' WHERE charge_id IN (1, 2, 6)")

    await operator.press(data_of(listed, "More"))
    second = await shown(operator, listed, "$107")

    assert labels(second)[:6] == [f"#{number} · ${100 + number}" for number in range(7, 13)]
    assert "page 2 of 3" in second["text"]
    await operator.press(data_of(second, "Back"))
    first = await shown(operator, second, "page 1 of 2")
    assert labels(first) == [f"#{n} · ${100 + n}" for n in (3, 4, 5, 7, 8, 9)] + ["More »"]


@pytest.mark.usefixtures("bot")
async def test_every_list_turns_its_pages_by_rows(operator: Person, ledger: Ledger) -> None:
    pool = ledger.pool
    await operator.ask("/start")
    await pool.execute("INSERT INTO users (telegram_id) SELECT generate_series(501, 508)")
    await pool.execute(
        "INSERT INTO pending_payments (payment_id, user_id, telegram_id, amount)"
        " SELECT id || '_1780405603', id, id, 5 FROM generate_series(501, 508) AS id"
    )
    await pool.execute(
        "INSERT INTO claims (telegram_id, paid_on, amount, currency)"
        " SELECT id, current_date, 5, 'USD' FROM generate_series(501, 508) AS id"
    )
    await pool.execute(
        "INSERT INTO events (delivery_key, body, outcome) SELECT n, 'x', 'failed' FROM generate_series(1, 8) AS n"
    )
    await pool.execute(WAITING, 8)
    await pool.execute(
        "INSERT INTO guesses (charge_id, telegram_id, guessed_at) SELECT charge_id, 500 + charge_id, now() FROM charges"
    )

    for command in ("/pending", "/claims", "/failed", "/guesses"):
        listed = await ask(operator, command)
        await operator.press(data_of(listed, "More"), message_id=listed["message_id"])
        second = await shown(operator, listed, "page 2 of 2")
        await operator.press(data_of(second, "Back"), message_id=listed["message_id"])
        assert (await shown(operator, listed, "page 1 of 2"))["text"] == listed["text"], command


@pytest.mark.usefixtures("bot")
async def test_an_empty_list_says_when_it_fills(operator: Person) -> None:
    await operator.ask("/start")

    assert "When one does, you get a message" in await operator.ask("/unmatched 2")
    await operator.become(language_code="uk")
    assert "Коли з’явиться, надішлю повідомлення" in await operator.ask("/unmatched")


@pytest.mark.usefixtures("bot")
async def test_a_forged_row_turns_no_page(sandbox: Sandbox, operator: Person, pool: Pool) -> None:
    await operator.ask("/start")
    await pool.execute(WAITING, 8)
    await forge(sandbox, operator, ["dt|u|0|x", "dt|u|0|999999999999999999"])

    for data in ("dt|u|0|x", "dt|u|0|999999999999999999"):
        assert (await operator.press(data))["text"] is None, data


@pytest.mark.usefixtures("bot")
async def test_failed_events_show_their_type_amount_and_cause_but_no_personal_data(
    operator: Person, webhook: Webhook, pool: Pool
) -> None:
    await operator.ask("/start")
    cut = (
        b'{"type":"donation.created","live_mode":true,"data":{"amount":"7.50","currency":"EUR","support_note":"by Anna'
    )
    for body in (cut, b'{"live_mode":true,"data":{"amount":12,"supporter_email":"anna@example.org"}}'):
        await webhook.post(body)
        await operator.hear()
    await webhook.post(b'{"type":"donation.created","live_mode":true}')
    await operator.hear()
    await pool.execute(
        "INSERT INTO events (delivery_key, type, body, outcome) VALUES"
        " ('live:9', 'wishlist_payment.created', $1, 'failed'), ('live:10', 'donation.created', $2, 'unreadable')",
        b'{"type":"wishlist_payment.created","data":{"amount":5,"currency":"USD","support_note":"from Anna"}}',
        b'{"type":"donation.created","data":{"amount":3,"currency":"USD"}}',
    )

    listed = await operator.ask("/failed")

    for part in (
        "#1 · donation.created · €7.50",
        "└ Its content is no valid JSON, or was cut off.",
        "#2 · no type · 12",
        "└ Its type is missing.",
        "#3 · donation.created · amount unknown",
        "└ Its data are missing.",
        "#4 · wishlist_payment.created · $5",
        "└ The database refused it. For the reason see: docker compose logs webhook",
        "#5 · donation.created · $3",
        "└ Its form is valid.",
    ):
        assert part in listed, part
    assert "Anna" not in listed
    assert "anna@" not in listed
