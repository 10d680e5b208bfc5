"""Each kind of payment is settled correctly, even if its events are repeated or a refund arrives before the payment."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coffee_ledger.codes import check_sign
from coffee_ledger.model import ChargeKey, PaymentId, TelegramId
from coffee_ledger.store.pending_payments import cancel_payment
from coffee_ledger.store.replay import replay
from coffee_ledger.store.settlement import rematch_charges
from tests.integration.bmc import a_payment, a_refund_of, a_subscription
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import RULES, Webhook


def code(seven: str) -> PaymentId:
    return PaymentId(seven + check_sign(seven))


CODE, OTHER_CODE, THIRD_CODE = code("K7QM2XH"), code("P4RT9WE"), code("9MK6DYN")


async def test_a_payment_with_a_code_is_credited_for_the_paid_amount(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="10")

    outcomes = await webhook.settle(a_payment(support_note=f"Дякую! {CODE}", amount=5))

    assert outcomes == ["credited"]
    assert await ledger.credits() == [500]
    assert await ledger.balance() == 500
    assert await ledger.status(CODE) == "completed"
    assert await ledger.told(ANNA) == ["payment_credited"]
    facts = await ledger.facts("payment_credited")
    received_at = datetime.fromisoformat(facts.pop("received_at"))
    assert timedelta(0) <= datetime.now(UTC) - received_at < timedelta(minutes=1)
    assert facts == {
        "amount": "5",
        "currency": "USD",
        "credits": 500,
        "method": "code",
        "flag": None,
        "charge_key": await ledger.pool.fetchval("SELECT charge_key FROM charges"),
        "code": CODE,
        "picked_amount": "10.00",
        "picked_currency": "USD",
    }


async def test_the_same_event_again_changes_nothing(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE)

    outcomes = await webhook.settle(payment, payment | {"attempt": 2})

    assert outcomes == ["credited", "duplicate"]
    assert await ledger.credits() == [500]
    assert await ledger.told(ANNA) == ["payment_credited"]


async def test_another_event_of_the_same_charge_credits_nobody_twice(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE)

    outcomes = await webhook.settle(payment, payment | {"event_id": 9})

    assert outcomes == ["credited", "recorded"]
    assert await ledger.credits() == [500]


async def test_other_content_of_an_event_is_kept_and_operators_see_both_values(
    ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE)
    other = payment | {"data": payment["data"] | {"amount": 500}}

    outcomes = await webhook.settle(payment, other, other)

    assert outcomes == ["credited", "recorded", "duplicate"]
    assert await ledger.credits() == [500]
    assert await ledger.outcomes() == ["credited", "recorded"]
    assert await ledger.told() == ["charge_contradicted"]


async def test_a_charge_without_any_candidate_waits_for_an_operator(ledger: Ledger, webhook: Webhook) -> None:
    outcomes = await webhook.settle(a_payment(support_note="great work"))

    assert outcomes == ["unmatched"]
    assert (await ledger.charge())["state"] == "unmatched"
    assert (await ledger.charge())["reasons"][0] == {"rule": "code", "why": "no_code"}
    assert await ledger.told() == ["charge_unmatched"]
    assert "great work" not in str(await ledger.facts("charge_unmatched"))


async def test_amount_and_time_find_the_only_open_payment(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="5")
    await ledger.open(OTHER_CODE, user=BOHDAN, amount="7")

    assert await webhook.settle(a_payment(amount=5)) == ["credited"]
    assert await ledger.balance(ANNA) == 500
    assert (await ledger.charge())["method"] == "amount_and_time"


async def test_two_open_payments_of_one_amount_prevent_a_guess(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    await ledger.open(OTHER_CODE, user=BOHDAN)

    assert await webhook.settle(a_payment()) == ["unmatched"]
    assert await ledger.credits() == []


async def test_two_charges_of_one_amount_prevent_a_guess(ledger: Ledger, webhook: Webhook) -> None:
    await webhook.settle(a_payment())
    await ledger.open(CODE)

    assert await webhook.settle(a_payment()) == ["unmatched"]
    assert await ledger.credits() == []


LIKE_A_CODE = "see https://example.org/w9ek5m92"
"""By chance, the last part of the URL has the form of a code. The bot never issued this code, so a guess is allowed."""


async def test_a_note_that_only_looks_like_a_code_allows_a_guess(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)

    assert await webhook.settle(a_payment(support_note=LIKE_A_CODE)) == ["credited"]
    assert (await ledger.charge())["method"] == "amount_and_time"


async def test_rivals_prevent_a_guess_about_a_note_that_only_looks_like_a_code(
    ledger: Ledger, webhook: Webhook
) -> None:
    """
    A charge has rivals if other charges of its amount wait, or if several pending payments of its amount are open.

    The first query loads no rivals for a note with codes, because an issued code decides alone. If the bot issued none of the
    codes, a second query must load the rivals. Otherwise the ledger would guess as if there were none.
    """
    await webhook.settle(a_payment())
    await ledger.open(CODE)

    assert await webhook.settle(a_payment(support_note=LIKE_A_CODE)) == ["unmatched"]

    await ledger.open(OTHER_CODE, user=BOHDAN, amount="9")
    await ledger.open(THIRD_CODE, user=ANNA, amount="9")
    assert await webhook.settle(a_payment(amount=9, support_note=LIKE_A_CODE)) == ["unmatched"]


async def test_a_slip_in_a_code_is_corrected(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    slip = CODE[:3] + ("A" if CODE[3] != "A" else "B") + CODE[4:]

    assert await webhook.settle(a_payment(support_note=slip)) == ["credited"]
    assert (await ledger.charge())["method"] == "corrected_code"


async def test_two_codes_in_one_note_need_an_operator(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    await ledger.open(OTHER_CODE, user=BOHDAN)

    assert await webhook.settle(a_payment(support_note=f"{CODE} {OTHER_CODE}")) == ["unmatched"]
    assert [reason.get("telegram_id") for reason in (await ledger.charge())["reasons"]] == [ANNA, BOHDAN]


async def test_a_late_payment_is_credited_to_its_user(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, status="expired")

    assert await webhook.settle(a_payment(support_note=CODE)) == ["credited"]
    assert await ledger.status(CODE) == "expired"
    assert (await ledger.facts("payment_credited"))["flag"] == "late"


async def test_a_second_charge_with_a_used_code_is_credited_and_flagged(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)

    outcomes = await webhook.settle(a_payment(support_note=CODE), a_payment(support_note=CODE))

    assert outcomes == ["credited", "credited"]
    assert await ledger.balance() == 1000
    assert await ledger.told() == ["charge_flagged"]


async def test_a_currency_without_a_rate_waits_for_an_operator(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)

    assert await webhook.settle(a_payment(support_note=CODE, currency="SEK")) == ["unmatched"]
    assert (await ledger.charge())["reasons"][-1] == {
        "rule": "code",
        "why": "no_rate",
        "payment_id": CODE,
        "telegram_id": ANNA,
    }
    assert await ledger.status(CODE) == "pending"


async def test_a_refund_reverses_the_credits(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE)
    refund = a_refund_of(payment)

    outcomes = await webhook.settle(payment, refund, refund, refund | {"event_id": 5})

    assert outcomes == ["credited", "refunded", "duplicate", "recorded"]
    assert await ledger.credits() == [500, -500]
    assert (await ledger.charge())["state"] == "refunded"
    assert await ledger.told(ANNA) == ["payment_credited", "payment_refunded"]


async def test_an_early_refund_is_applied_when_its_payment_arrives(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE)

    outcomes = await webhook.settle(a_refund_of(payment), payment)

    assert outcomes == ["refunded", "refunded"]
    assert await ledger.credits() == [500, -500]
    assert await ledger.balance() == 0
    assert await ledger.status(CODE) == "pending"
    assert await ledger.told(ANNA) == ["payment_refunded"]


async def test_a_refund_without_a_transaction_finds_its_payment_by_bmcs_number(
    ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE)
    refund = a_refund_of(payment)
    del refund["data"]["transaction_id"]

    await webhook.settle(payment, refund)

    assert await ledger.balance() == 0
    assert len(await ledger.pool.fetch("SELECT 1 FROM charges")) == 1


async def test_an_early_refund_without_a_transaction_is_found_too(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE)
    refund = a_refund_of(payment)
    del refund["data"]["transaction_id"]

    await webhook.settle(refund, payment)

    assert await ledger.credits() == [500, -500]


async def test_a_refund_of_spent_credits_leaves_a_debt_and_tells_the_operators(
    ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    payment = a_payment(support_note=CODE)
    await webhook.settle(payment)
    await ledger.pool.fetchval("SELECT spend_credits($1, 400, 'a game', 'spend-1')", ANNA)

    await webhook.settle(a_refund_of(payment))

    assert await ledger.balance() == -400
    assert await ledger.told() == ["refund_overdrawn", "charge_refunded"]


async def test_a_refund_of_a_waiting_charge_ends_the_waiting(ledger: Ledger, webhook: Webhook) -> None:
    payment = a_payment()

    await webhook.settle(payment, a_refund_of(payment))

    assert (await ledger.charge())["state"] == "refunded"
    assert await ledger.credits() == []


async def test_started_and_updated_of_one_charge_credit_it_once(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="3")
    started, updated = (a_subscription(f"membership.{verb}", support_note=CODE) for verb in ("started", "updated"))

    assert await webhook.settle(updated, started) == ["credited", "recorded"]
    assert await ledger.credits() == [300]


async def test_a_renewal_credits_the_same_user_without_a_flag(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="3")
    renewal = a_subscription("membership.updated", period=1_783_000_000, support_note=CODE)

    await webhook.settle(a_subscription(support_note=CODE), renewal)

    assert await ledger.credits() == [300, 300]
    assert await ledger.told() == []
    assert await ledger.told(ANNA) == ["payment_credited", "payment_credited"]


async def test_a_known_supporter_needs_no_code_the_next_time(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note=CODE, supporter_id=77))
    await ledger.open(OTHER_CODE, amount="9", minutes_ago=600)

    assert await webhook.settle(a_payment(amount=9, supporter_id=77)) == ["credited"]
    assert await ledger.balance() == 1400
    assert await ledger.status(OTHER_CODE) == "completed"


async def test_an_answer_in_a_later_event_may_have_the_code(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="9")
    bought = a_payment("extra_purchase.created", amount=8, extras=[{"question_answers": []}])
    answered = bought | {
        "type": "extra_purchase.updated",
        "event_id": 1,
        "data": bought["data"] | {"extras": [{"question_answers": [CODE]}]},
    }

    assert await webhook.settle(bought, answered, answered | {"event_id": 2}) == ["unmatched", "credited", "recorded"]
    assert await ledger.credits() == [800]


async def test_an_answer_may_arrive_before_its_purchase(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    bought = a_payment("extra_purchase.created", extras=[{"question_answers": []}])
    answered = bought | {
        "type": "extra_purchase.updated",
        "event_id": 1,
        "data": bought["data"] | {"extras": [{"question_answers": [CODE]}]},
    }

    assert await webhook.settle(answered, bought) == ["credited", "recorded"]
    assert await ledger.credits() == [500]


def answered_later(bought: dict[str, Any], answer: str) -> dict[str, Any]:
    """Return a later event of the purchase *bought*. The event has the buyer's answer to a question of the BMC Shop."""
    data = bought["data"] | {"extras": [{"question_answers": [answer]}]}
    return bought | {"type": "extra_purchase.updated", "event_id": bought["event_id"] + 1_000_000, "data": data}


async def test_a_late_code_of_another_user_is_reported_and_changes_nothing(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, user=ANNA, amount="9")
    await ledger.open(OTHER_CODE, user=BOHDAN, amount="5")
    bought = a_payment("extra_purchase.created", amount=5, extras=[{"question_answers": []}])
    answered = answered_later(bought, CODE)

    assert await webhook.settle(bought) == ["credited"]
    assert await webhook.settle(answered, answered | {"event_id": 3}) == ["recorded", "recorded"]

    assert await ledger.balance(BOHDAN) == 500
    assert await ledger.balance(ANNA) == 0
    assert await ledger.told() == ["charge_guessed", "code_came_late"]
    assert (await ledger.facts("code_came_late"))["code"] == CODE


async def test_an_answer_without_a_code_causes_no_guess(ledger: Ledger, webhook: Webhook) -> None:
    """
    A buyer may answer a question of the BMC Shop after the purchase. A second event of the same charge then contains the answer.

    Anna and Bohdan have open payments of the same amount. Bohdan buys an item without a code, and cancels his pending payment.
    When his answer arrives, only Anna's payment is open. No rule may guess that the charge is hers.
    """
    await ledger.open(CODE, user=ANNA, amount="5")
    await ledger.open(OTHER_CODE, user=BOHDAN, amount="5")
    bought = a_payment("extra_purchase.created", amount=5, extras=[{"question_answers": []}])
    await webhook.settle(bought)
    await ledger.pool.execute("UPDATE pending_payments SET status = 'cancelled' WHERE payment_id = $1", OTHER_CODE)

    assert await webhook.settle(answered_later(bought, "size L")) == ["unmatched"]

    assert await ledger.credits() == []
    assert "asked_late" in str((await ledger.charge())["reasons"])


async def test_a_charge_that_gets_its_transaction_later_stays_one_charge(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    named = a_payment("extra_purchase.updated", support_note=CODE)
    nameless = named | {
        "event_id": 1,
        "type": "extra_purchase.created",
        "data": named["data"] | {"transaction_id": None},
    }

    assert await webhook.settle(nameless) == ["credited"]
    assert await webhook.settle(named, named | {"event_id": 2}) == ["recorded", "recorded"]
    assert await ledger.credits() == [500]

    assert await webhook.settle(a_refund_of(named)) == ["refunded"]
    assert await ledger.balance() == 0


async def test_a_charge_refunded_before_it_gets_its_transaction_is_not_credited(
    ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    named = a_payment("extra_purchase.created", support_note=CODE)
    refund = a_refund_of(named)
    nameless = refund | {"data": refund["data"] | {"transaction_id": None}}

    await webhook.settle(nameless)
    await webhook.settle(named)
    await webhook.settle(named | {"event_id": 2, "type": "extra_purchase.updated"})

    assert await ledger.balance() == 0


async def test_a_late_code_that_confirms_a_guess_is_not_reported(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    bought = a_payment("extra_purchase.created", amount=5, extras=[{"question_answers": []}])

    assert await webhook.settle(bought, answered_later(bought, CODE)) == ["credited", "recorded"]
    assert await ledger.told() == ["charge_guessed"]


async def test_a_late_code_of_a_dismissed_charge_is_reported(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="9")
    bought = a_payment("extra_purchase.created", amount=5, extras=[{"question_answers": []}])
    await webhook.settle(bought)
    await ledger.pool.execute("UPDATE charges SET state = 'dismissed'")

    assert await webhook.settle(answered_later(bought, CODE)) == ["recorded"]

    assert await ledger.told() == ["charge_unmatched", "code_came_late"]
    assert await ledger.credits() == []


async def test_a_test_event_is_not_credited_but_reported_to_operators(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    test = a_payment(support_note=CODE, live_mode=False) | {"event_id": 1}

    assert await webhook.settle(test, test) == ["test", "test"]
    assert await ledger.credits() == []
    assert await ledger.told() == ["test_event", "test_event"]


async def test_a_charge_is_matched_to_a_code_recorded_later(ledger: Ledger, webhook: Webhook) -> None:
    older_form = f"{ANNA}_1732347758"
    payment = a_payment(support_note=older_form)
    await webhook.settle(payment)
    await ledger.open(older_form)

    key = ChargeKey(f"donation:{payment['data']['transaction_id']}")
    found = await rematch_charges(ledger.pool, [key], RULES, now=datetime.now(UTC))

    assert found == 1
    assert await ledger.credits() == [500]
    assert await ledger.status(older_form) == "completed"
    assert await ledger.told(ANNA) == ["payment_credited"]


@pytest.mark.parametrize(("minutes", "outcome"), [(1, "unmatched"), (5, "credited")])
async def test_a_payment_cancelled_after_the_charge_is_a_rival(
    ledger: Ledger, webhook: Webhook, minutes: float, outcome: str
) -> None:
    """
    If a user cancels a pending payment after a charge was paid, this user may be the payer. So no guess may match the charge to
    another user.

    Anna and Bohdan have pending payments of the same amount. The event arrives three minutes after the charge was paid.
    If Bohdan cancels two minutes after the charge was paid, the charge stays unmatched.
    If he cancels two minutes before the charge was paid, he is not the payer, and Anna gets the credits.
    """
    paid_at = datetime.now(UTC) - timedelta(minutes=3)
    await ledger.open(CODE, minutes_ago=10)
    await ledger.open(OTHER_CODE, user=BOHDAN, minutes_ago=9)
    await cancel_payment(
        ledger.pool, PaymentId(OTHER_CODE), TelegramId(BOHDAN), now=datetime.now(UTC) - timedelta(minutes=minutes)
    )

    assert await webhook.settle(a_payment(created_at=int(paid_at.timestamp()))) == [outcome]

    [replayed] = await replay(ledger.pool, RULES)
    assert not replayed.differs


async def test_rematching_a_charge_causes_no_guess(ledger: Ledger, webhook: Webhook) -> None:
    payment = a_payment()
    await webhook.settle(payment)
    await ledger.open(CODE)

    key = ChargeKey(f"donation:{payment['data']['transaction_id']}")
    found = await rematch_charges(ledger.pool, [key], RULES, now=datetime.now(UTC) + timedelta(minutes=1))

    assert found == 0
    assert await ledger.credits() == []


async def test_a_code_reaches_its_user_among_any_other_text(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    note = f"\0\ud800 <b>{CODE[:4]}—{CODE[4:]}</b> 🎉 " + "дякую " * 1000

    assert await webhook.settle(a_payment(support_note=note)) == ["credited"]
