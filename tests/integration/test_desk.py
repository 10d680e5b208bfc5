"""
Check that each decision of an operator takes effect once, even if two operators decide at the same time.

Each decision must also be recorded and announced.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from coffee_ledger.model import PaymentId, Rates, TelegramId
from coffee_ledger.store.database import Pool
from coffee_ledger.store.decisions import (
    Done,
    OperatorRequest,
    RefusalCause,
    Refused,
    credit_user,
    decline_claim,
    dismiss_charge,
    dismiss_event,
    match_charge,
    request_retry,
    undo_adjustment,
    undo_match,
)
from coffee_ledger.store.upkeep import close_answered_claims, rematch_waiting_charges
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, BOHDAN, Ledger, connect_all
from tests.integration.webhook import RULES, Webhook

CODE, OTHER_CODE = "K7QM2XHD", "P4RT9WEZ"
OLHA, PETRO = TelegramId(900), TelegramId(901)
RATES = Rates({"USD": Decimal(100)})


def order(operator: TelegramId = OLHA, reason: str = "wrote me", *, key: str | None = None) -> OperatorRequest:
    return OperatorRequest(operator=operator, reason=reason, now=datetime.now(UTC), request_key=key)


async def match(desk: Pool, charge_id: int, user: int = ANNA, **how: object) -> Done | Refused:
    payment_id = how.get("payment_id")
    given = how.get("order", order())
    assert isinstance(given, OperatorRequest)
    return await match_charge(
        desk,
        charge_id,
        given,
        telegram_id=TelegramId(user),
        payment_id=PaymentId(str(payment_id)) if payment_id else None,
        rates=RATES,
    )


NOBODYS: dict[str, Any] = a_payment(amount=5, support_note="from a friend")


async def a_waiting_charge(webhook: Webhook, ledger: Ledger, payment: dict[str, Any] = NOBODYS) -> int:
    """
    Create the users Anna and Bohdan without pending payments. Settle *payment*, the body of an event.

    The new charge must stay unmatched. Return its id.
    """
    for user in (ANNA, BOHDAN):
        await ledger.pool.execute("INSERT INTO users (telegram_id) VALUES ($1) ON CONFLICT DO NOTHING", user)
    await webhook.settle(payment)
    charge = await ledger.charge()
    assert charge["state"] == "unmatched"
    return int(charge["charge_id"])


async def actions(ledger: Ledger) -> list[tuple[str, int, str]]:
    rows = await ledger.pool.fetch("SELECT action, operator_id, reason FROM operator_actions ORDER BY action_id")
    return [(row["action"], row["operator_id"], row["reason"]) for row in rows]


async def test_a_match_credits_completes_notifies_and_is_recorded(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)
    await ledger.open(CODE)

    done = await match(desk, charge_id, payment_id=CODE)

    assert isinstance(done, Done)
    assert (done.telegram_id, done.credits) == (ANNA, 500)
    assert await ledger.balance() == 500
    assert await ledger.status(CODE) == "completed"
    assert await ledger.told(ANNA) == ["payment_credited"]
    assert await actions(ledger) == [("match", OLHA, "wrote me")]
    charge = await ledger.charge()
    assert (charge["state"], charge["method"], charge["payment_id"]) == ("matched", "operator", CODE)


async def test_one_of_two_operators_decides_a_charge_and_the_other_is_told_who_did(
    webhook: Webhook, ledger: Ledger, desk: Pool
) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)
    await connect_all(desk)

    outcomes = await asyncio.gather(
        match(desk, charge_id, ANNA, order=order(OLHA)), match(desk, charge_id, BOHDAN, order=order(PETRO))
    )

    [done] = [one for one in outcomes if isinstance(one, Done)]
    [refused] = [one for one in outcomes if isinstance(one, Refused)]
    [(_, winner, _)] = await actions(ledger)
    assert refused == Refused(RefusalCause.DECIDED_BEFORE, TelegramId(winner))
    assert await ledger.credits() == [500]
    assert done.telegram_id is not None
    assert await ledger.balance(done.telegram_id) == 500


async def test_a_match_by_a_rule_is_refused_without_naming_an_operator(
    webhook: Webhook, ledger: Ledger, desk: Pool
) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(amount=5, support_note=CODE))

    refused = await match(desk, (await ledger.charge())["charge_id"])

    assert refused == Refused(RefusalCause.DECIDED_BEFORE, None)
    assert await ledger.credits() == [500]


async def test_a_repeated_press_takes_effect_once(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    await a_waiting_charge(webhook, ledger)

    first = await credit_user(desk, TelegramId(ANNA), order(key="press:1"), credits=50)
    second = await credit_user(desk, TelegramId(ANNA), order(key="press:1"), credits=50)

    assert isinstance(first, Done)
    assert second == Refused(RefusalCause.REPEATED)
    assert await ledger.balance() == 50


async def test_a_wrong_match_is_undone_and_given_to_the_right_user(
    webhook: Webhook, ledger: Ledger, desk: Pool
) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)
    await match(desk, charge_id, ANNA)

    undone = await undo_match(desk, charge_id, order(reason="not hers"))
    again = await match(desk, charge_id, BOHDAN)

    assert isinstance(undone, Done)
    assert isinstance(again, Done)
    assert (undone.telegram_id, undone.credits) == (ANNA, -500)
    assert (await ledger.balance(ANNA), await ledger.balance(BOHDAN)) == (0, 500)
    assert await ledger.credits("payment") == [500, 500]
    assert await ledger.credits("reversal") == [-500]
    assert await ledger.told(ANNA) == ["payment_credited", "credits_adjusted"]
    assert await ledger.told(BOHDAN) == ["payment_credited"]
    assert await ledger.drift() == 0


async def test_a_refund_reverses_only_the_credits_of_the_last_match(
    webhook: Webhook, ledger: Ledger, desk: Pool
) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)
    await match(desk, charge_id, ANNA)
    await undo_match(desk, charge_id, order())
    await match(desk, charge_id, BOHDAN)

    await webhook.settle(a_refund_of(NOBODYS))

    assert (await ledger.balance(ANNA), await ledger.balance(BOHDAN)) == (0, 0)
    assert await ledger.credits("refund") == [-500]


async def test_a_refund_after_an_undone_match_takes_no_credits(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)
    await match(desk, charge_id, ANNA)
    await undo_match(desk, charge_id, order())

    await webhook.settle(a_refund_of(NOBODYS))

    assert await ledger.balance(ANNA) == 0
    assert await ledger.credits("refund") == []


async def test_no_rule_repeats_an_undone_match(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(amount=5, support_note=CODE))
    charge_id = (await ledger.charge())["charge_id"]

    await undo_match(desk, charge_id, order())
    found = await rematch_waiting_charges(ledger.pool, RULES, now=datetime.now(UTC))

    assert found == 0
    assert (await ledger.charge())["state"] == "unmatched"
    assert await ledger.balance() == 0


async def test_an_undone_match_is_not_repeated_after_a_dismissal(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    """
    An operator undoes the match of a charge to Anna. Then an operator dismisses the charge and undoes the dismissal.

    After that, no rule may match the charge to Anna again. A rule can credit a charge only once. So after a second
    match by a rule, Anna would get no credits.
    """
    await ledger.open(CODE)
    await webhook.settle(a_payment(amount=5, support_note=CODE))
    charge_id = (await ledger.charge())["charge_id"]
    await undo_match(desk, charge_id, order())

    await dismiss_charge(desk, charge_id, order())
    await undo_match(desk, charge_id, order())
    found = await rematch_waiting_charges(ledger.pool, RULES, now=datetime.now(UTC))

    assert found == 0
    assert (await ledger.charge())["state"] == "unmatched"
    assert await ledger.balance() == 0


async def test_undoing_twice_is_refused(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)
    await match(desk, charge_id)

    await undo_match(desk, charge_id, order())
    again = await undo_match(desk, charge_id, order())

    assert again == Refused(RefusalCause.NOTHING_TO_UNDO)
    assert await ledger.credits() == [500, -500]


async def test_a_match_newer_than_the_shown_one_is_not_undone(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)
    await ledger.open(CODE, user=BOHDAN)
    await match(desk, charge_id)
    shown = int((await ledger.charge())["matched_at"].timestamp()) - 60
    await ledger.pool.execute("UPDATE charges SET matched_at = to_timestamp($1)", shown)

    first = await undo_match(desk, charge_id, order(), shown=shown)
    while_it_waits = await undo_match(desk, charge_id, order(PETRO), shown=shown)
    await match(desk, charge_id, BOHDAN)
    after_another_match = await undo_match(desk, charge_id, order(PETRO), shown=shown)

    assert isinstance(first, Done)
    assert while_it_waits == after_another_match == Refused(RefusalCause.DECIDED_BEFORE, OLHA)
    assert await ledger.balance(BOHDAN) == 500


async def test_a_charge_matched_to_its_own_code_again_is_no_second_payment(
    webhook: Webhook, ledger: Ledger, desk: Pool
) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(amount=5, support_note=CODE))
    charge_id = (await ledger.charge())["charge_id"]
    await undo_match(desk, charge_id, order())

    await match(desk, charge_id, ANNA, payment_id=CODE)

    assert (await ledger.charge())["flag"] is None
    assert await ledger.told() == []
    assert await ledger.balance() == 500


async def test_a_dismissed_charge_can_be_matched_only_after_an_undo(
    webhook: Webhook, ledger: Ledger, desk: Pool
) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)

    dismissed = await dismiss_charge(desk, charge_id, order(reason="a tip"))
    refused = await match(desk, charge_id)
    await undo_match(desk, charge_id, order())
    matched = await match(desk, charge_id)

    assert isinstance(dismissed, Done)
    assert refused == Refused(RefusalCause.DECIDED_BEFORE, OLHA)
    assert isinstance(matched, Done)
    assert await ledger.credits("payment") == [500]


async def test_a_currency_without_a_rate_is_refused_and_changes_nothing(
    webhook: Webhook, ledger: Ledger, desk: Pool
) -> None:
    charge_id = await a_waiting_charge(webhook, ledger, a_payment(currency="JPY"))

    refused = await match(desk, charge_id)

    assert refused == Refused(RefusalCause.NO_RATE)
    assert await actions(ledger) == []


@pytest.mark.parametrize(
    ("charge", "user", "why"), [(0, ANNA, RefusalCause.UNKNOWN_CHARGE), (None, 404, RefusalCause.UNKNOWN_USER)]
)
async def test_an_unknown_charge_or_user_is_refused(
    webhook: Webhook, ledger: Ledger, desk: Pool, charge: int | None, user: int, why: RefusalCause
) -> None:
    waiting = await a_waiting_charge(webhook, ledger)

    refused = await match(desk, waiting if charge is None else charge, user)

    assert refused == Refused(why)


async def test_another_users_payment_is_not_completed(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)
    await ledger.open(CODE, user=BOHDAN)

    await match(desk, charge_id, ANNA, payment_id=CODE)

    assert await ledger.status(CODE) == "pending"
    assert await ledger.balance(ANNA) == 500


async def test_an_adjustment_is_undone_once(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    await a_waiting_charge(webhook, ledger)
    await credit_user(desk, TelegramId(ANNA), order(reason="a gift"), credits=50)
    credit_id = await ledger.pool.fetchval("SELECT credit_id FROM credits")

    undone = await undo_adjustment(desk, credit_id, order())
    again = await undo_adjustment(desk, credit_id, order())

    assert isinstance(undone, Done)
    assert undone.credits == -50
    assert again == Refused(RefusalCause.UNDONE_BEFORE)
    assert await ledger.balance() == 0


async def test_a_payment_credit_cannot_be_undone_as_an_adjustment(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    await match(desk, await a_waiting_charge(webhook, ledger))
    credit_id = await ledger.pool.fetchval("SELECT credit_id FROM credits")

    refused = await undo_adjustment(desk, credit_id, order())

    assert refused == Refused(RefusalCause.NOTHING_TO_UNDO)


async def test_one_of_two_operators_decides_an_event_and_the_other_is_told_who_did(
    webhook: Webhook, ledger: Ledger, desk: Pool
) -> None:
    await webhook.post(b"{not JSON")
    await webhook.post(b"[not JSON")
    await connect_all(desk)

    outcomes = await asyncio.gather(request_retry(desk, 1, order(OLHA)), dismiss_event(desk, 1, order(PETRO)))
    aside = await dismiss_event(desk, 2, order(PETRO))
    again = await request_retry(desk, 2, order(OLHA))
    unknown = await dismiss_event(desk, 3, order())

    [refused] = [one for one in outcomes if isinstance(one, Refused)]
    [(_, winner, _), _] = await actions(ledger)
    assert refused == Refused(RefusalCause.DECIDED_BEFORE, TelegramId(winner))
    assert isinstance(aside, Done)
    assert again == Refused(RefusalCause.DECIDED_BEFORE, PETRO)
    assert unknown == Refused(RefusalCause.UNKNOWN_EVENT)
    assert await ledger.pool.fetchval("SELECT array_agg(event_no ORDER BY action_id) FROM operator_actions") == [1, 2]


async def a_claim(ledger: Ledger, *, user: int = ANNA, amount: str = "5", candidates: list[int] | None = None) -> int:
    claim_id: int = await ledger.pool.fetchval(
        "INSERT INTO claims (telegram_id, paid_on, amount, currency, name, candidates)"
        " VALUES ($1, current_date, $2, 'USD', 'Anna K.', $3) RETURNING claim_id",
        user, Decimal(amount), candidates or [],
    )  # fmt: skip
    return claim_id


async def claim_status(ledger: Ledger, claim_id: int) -> tuple[str, int | None]:
    row = await ledger.pool.fetchrow("SELECT status, decided_by FROM claims WHERE claim_id = $1", claim_id)
    assert row is not None
    return row["status"], row["decided_by"]


async def test_matching_a_charge_confirms_the_claim_about_it(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)
    claim_id = await a_claim(ledger, amount="7", candidates=[charge_id])

    await match(desk, charge_id)

    assert await claim_status(ledger, claim_id) == ("confirmed", OLHA)


async def test_a_claim_of_another_amount_stays_open(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    charge_id = await a_waiting_charge(webhook, ledger)
    claim_id = await a_claim(ledger, amount="7")

    await match(desk, charge_id)

    assert await claim_status(ledger, claim_id) == ("open", None)


async def test_a_declined_claim_is_announced_once(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    await a_waiting_charge(webhook, ledger)
    claim_id = await a_claim(ledger)

    done = await decline_claim(desk, claim_id, order(OLHA, "nothing fits"))
    again = await decline_claim(desk, claim_id, order(PETRO))
    unknown = await decline_claim(desk, 0, order())

    assert isinstance(done, Done)
    assert again == Refused(RefusalCause.DECIDED_BEFORE, OLHA)
    assert unknown == Refused(RefusalCause.UNKNOWN_CLAIM)
    assert await ledger.told(ANNA) == ["claim_declined"]


async def test_a_charge_that_a_rule_matches_later_closes_the_claim(webhook: Webhook, ledger: Ledger) -> None:
    await ledger.open(CODE, minutes_ago=90)
    claim_id = await a_claim(ledger)

    await webhook.settle(a_payment(amount=5, support_note=CODE, created_at=an_hour_ago()))
    closed = await close_answered_claims(ledger.pool, now=datetime.now(UTC))

    assert closed == 1
    assert await claim_status(ledger, claim_id) == ("confirmed", None)


def an_hour_ago() -> int:
    return int((datetime.now(UTC) - timedelta(hours=1)).timestamp())


async def test_a_payment_after_a_claim_does_not_close_it(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    await webhook.settle(a_payment(amount=5, created_at=an_hour_ago()))
    [waiting] = await ledger.pool.fetch("SELECT charge_id FROM charges")
    await ledger.open(CODE)
    claim_id = await a_claim(ledger, candidates=[waiting["charge_id"]])

    await webhook.settle(a_payment(amount=5, support_note=CODE))
    closed = await close_answered_claims(ledger.pool, now=datetime.now(UTC))

    assert await ledger.credits() == [500]
    assert closed == 0
    assert await claim_status(ledger, claim_id) == ("open", None)


async def test_erasing_a_user_removes_personal_data_and_keeps_the_ledger(
    webhook: Webhook, ledger: Ledger, desk: Pool
) -> None:
    await ledger.open(CODE)
    await webhook.settle(
        a_payment(
            amount=5,
            support_note=f"Anna here, {CODE}",
            supporter_id=7,
            supporter_name="Anna",
            supporter_email="anna@example.org",
        )
    )
    await ledger.open("ABCD2345")
    claim_id = await a_claim(ledger)

    await desk.execute("SELECT erase_user($1)", ANNA)
    await desk.execute("SELECT erase_user($1)", ANNA)

    dump = str([await ledger.pool.fetch(f"SELECT * FROM {table}") for table in PERSONAL_TABLES])
    assert "Anna" not in dump
    assert "anna" not in dump
    assert await ledger.balance() == 500
    assert await ledger.status("ABCD2345") == "cancelled"
    assert (await claim_status(ledger, claim_id))[0] == "withdrawn"
    assert await ledger.told(ANNA) == []
    assert (await ledger.charge())["telegram_id"] == ANNA


PERSONAL_TABLES = ("users", "supporters", "charges", "events", "claims", "notifications")


async def test_a_failed_event_of_an_erased_user_keeps_its_body(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    """The body of a failed event is the only record of the payment. Operators need the body to credit the payment, so keep it."""
    await ledger.open(CODE)
    person: dict[str, Any] = {"supporter_id": 7, "supporter_email": "anna@example.org"}
    await webhook.settle(a_payment(support_note=CODE, **person), a_payment(**person))
    await ledger.pool.execute("UPDATE events SET outcome = 'failed', charge_key = NULL WHERE event_no = 2")

    await desk.execute("SELECT erase_user($1)", ANNA)

    [kept] = await ledger.pool.fetch("SELECT event_no FROM events WHERE body IS NOT NULL")
    assert kept["event_no"] == 2
    assert isinstance(await request_retry(desk, 2, order()), Done)


async def test_erasing_a_user_keeps_the_data_of_others(webhook: Webhook, ledger: Ledger, desk: Pool) -> None:
    await ledger.open(CODE, user=BOHDAN)
    await webhook.settle(a_payment(amount=5, support_note=CODE, supporter_id=8, supporter_email="bohdan@example.org"))
    await ledger.open(OTHER_CODE)
    await webhook.settle(a_payment(support_note=OTHER_CODE, supporter_id=9, supporter_email="dan@example.org"))

    await desk.execute("SELECT erase_user($1)", ANNA)

    assert await ledger.pool.fetchval("SELECT email FROM supporters WHERE supporter_id = '8'") == "bohdan@example.org"
    [kept] = await ledger.pool.fetch("SELECT body FROM events WHERE body IS NOT NULL")
    assert b'"bohdan@example.org"' in kept["body"]
