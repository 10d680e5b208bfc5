"""The sandbox accepts payments as BMC does, and reports them by webhook."""

import hashlib
import hmac
from typing import Any

import pytest

from tests.sandbox.world import DEADLINE_SECONDS, SECRET, Product, Received, Sandbox, open_sandbox


def is_signed(received: Received) -> bool:
    expected = hmac.new(SECRET.encode(), received.raw, hashlib.sha256).hexdigest()
    return received.headers.get("x-signature-sha256") == expected


async def test_a_payment_is_reported_with_a_signature(sandbox: Sandbox, product: Product) -> None:
    paid = await sandbox.pay(amount="3.50", note="K7QM-2XHD", private=True)

    (received,) = await product.wait_for(1)

    assert is_signed(received)
    assert received.headers["user-agent"] == "BMC-HTTPS-ROBOT"
    assert received.headers["host"] == "pay.example"
    body = received.body
    assert (body["type"], body["live_mode"], body["attempt"], body["event_id"]) == (
        "donation.created",
        True,
        1,
        paid["event_id"],
    )
    data = body["data"]
    assert (data["id"], data["transaction_id"], data["supporter_id"]) == (
        paid["id"],
        paid["transaction_id"],
        paid["supporter_id"],
    )
    assert (data["amount"], data["support_note"], data["note_hidden"]) == (3.5, "K7QM-2XHD", "true")


async def test_the_log_shows_the_answers(sandbox: Sandbox) -> None:
    paid = await sandbox.pay()

    (delivery,) = await sandbox.settled(paid["event_id"])

    assert (delivery["status"], delivery["answer"], delivery["error"]) == (200, '{"seen": 1}', None)


async def test_the_checkout_accepts_forms_too(sandbox: Sandbox, product: Product) -> None:
    form = {"kind": "donation", "amount": "7", "currency": "eur", "note": "hi", "private": "true"}
    async with sandbox.client.post("/bmc/creator/checkout", data=form) as response:
        assert response.status == 200

    data = (await product.wait_for(1))[0].body["data"]
    assert (data["amount"], data["currency"], data["note_hidden"], data["supporter_name"]) == (
        7,
        "EUR",
        "true",
        "Someone",
    )


@pytest.mark.parametrize(
    "order",
    [
        {"amount": "free"},
        {"amount": "-1"},
        {"amount": "0"},
        {"amount": "NaN"},
        {"amount": "1.001"},
        {"amount": "1e30"},
        {"amount": None},
        {"currency": "dollars"},
        {"kind": "loan"},
    ],
)
async def test_an_impossible_order_is_refused(sandbox: Sandbox, order: dict[str, Any]) -> None:
    assert await sandbox.refused("/bmc/creator/checkout", **({"kind": "donation", "amount": 5} | order)) == 400
    assert sandbox.product.received == []


@pytest.mark.parametrize("kind", ["donation", "extra_purchase", "commission_order", "wishlist_payment"])
async def test_every_kind_of_payment_is_paid_and_refunded(sandbox: Sandbox, product: Product, kind: str) -> None:
    paid = await sandbox.pay(kind=kind)
    await sandbox.settled(paid["event_id"])

    refunded = await sandbox.post(f"/bmc/payments/{paid['transaction_id']}/refund")

    created, refund = await product.wait_for(2)
    assert (created.type, refund.type) == (f"{kind}.created", f"{kind}.refunded")
    assert refund.body["event_id"] == refunded["event_id"] > paid["event_id"]
    assert refund.body["data"]["id"] == paid["id"]
    assert refund.body["data"]["transaction_id"] == paid["transaction_id"]


async def test_a_refunded_or_unknown_payment_cannot_be_refunded(sandbox: Sandbox) -> None:
    paid = await sandbox.pay()
    await sandbox.post(f"/bmc/payments/{paid['transaction_id']}/refund")

    assert await sandbox.refused(f"/bmc/payments/{paid['transaction_id']}/refund") == 409
    assert await sandbox.refused("/bmc/payments/pi_3nothing/refund") == 404


async def test_the_question_of_a_shop_item_may_be_answered_later(sandbox: Sandbox, product: Product) -> None:
    paid = await sandbox.pay(kind="extra_purchase")
    await sandbox.settled(paid["event_id"])

    await sandbox.post(f"/bmc/payments/{paid['transaction_id']}/answer", answer="K7QM-2XHD")

    created, updated = [received.body for received in await product.wait_for(2)]
    assert created["data"]["extras"][0]["question_answers"] == []
    assert updated["type"] == "extra_purchase.updated"
    assert updated["data"]["extras"][0]["question_answers"] == ["K7QM-2XHD"]
    assert updated["data"]["transaction_id"] == created["data"]["transaction_id"]


async def test_only_shop_items_have_a_question(sandbox: Sandbox) -> None:
    paid = await sandbox.pay()

    assert await sandbox.refused(f"/bmc/payments/{paid['transaction_id']}/answer", answer="x") == 409


async def test_the_text_of_a_commission_is_sent_as_additional_info(sandbox: Sandbox, product: Product) -> None:
    await sandbox.pay(kind="commission_order", note="K7QM-2XHD")

    data = (await product.wait_for(1))[0].body["data"]

    assert (data["support_note"], data["commission"]["additional_info"]) == (None, "K7QM-2XHD")


@pytest.mark.parametrize("kind", ["recurring_donation", "membership"])
async def test_one_charge_of_a_subscription_causes_two_events(sandbox: Sandbox, product: Product, kind: str) -> None:
    paid = await sandbox.pay(kind=kind)

    bodies = sorted([received.body for received in await product.wait_for(2)], key=lambda body: body["event_id"])

    assert [body["type"] for body in bodies] == [f"{kind}.updated", f"{kind}.started"]
    assert bodies[0]["data"] == bodies[1]["data"]
    assert bodies[0]["data"]["psp_id"] == paid["psp_id"]
    assert "transaction_id" not in bodies[0]["data"]
    assert paid["event_id"] == bodies[1]["event_id"]


async def test_a_renewal_is_an_update_with_the_next_period(sandbox: Sandbox, product: Product) -> None:
    paid = await sandbox.pay(kind="membership")
    (first, _) = await product.wait_for(2)

    await sandbox.post(f"/bmc/subscriptions/{paid['psp_id']}/renew")

    renewal = (await product.wait_for(3))[2].body
    assert renewal["type"] == "membership.updated"
    assert renewal["data"]["current_period_start"] == first.body["data"]["current_period_end"]
    assert renewal["data"]["id"] == first.body["data"]["id"]


@pytest.mark.parametrize(("act", "event_type"), [("cancel", "membership.cancelled"), ("pause", "membership.paused")])
async def test_a_subscription_can_be_cancelled_or_paused(
    sandbox: Sandbox, product: Product, act: str, event_type: str
) -> None:
    paid = await sandbox.pay(kind="membership")
    await product.wait_for(2)

    await sandbox.post(f"/bmc/subscriptions/{paid['psp_id']}/{act}")

    assert (await product.wait_for(3))[2].type == event_type
    assert await sandbox.refused(f"/bmc/subscriptions/{paid['psp_id']}/renew") == 409


async def test_the_same_email_pays_as_the_same_supporter(sandbox: Sandbox) -> None:
    first = await sandbox.pay(email="a@example.com")
    second = await sandbox.pay(email="A@example.com")
    other = await sandbox.pay(email="b@example.com")
    named = await sandbox.pay(email="a@example.com", supporter_id=77)

    assert first["supporter_id"] == second["supporter_id"] != other["supporter_id"]
    assert named["supporter_id"] == 77


@pytest.mark.parametrize("status", [302, 401, 500])
async def test_an_answer_other_than_2xx_is_retried_with_a_higher_attempt(
    sandbox: Sandbox, product: Product, status: int
) -> None:
    product.statuses.extend([status, status])

    paid = await sandbox.pay()

    deliveries = await sandbox.settled(paid["event_id"])
    assert [delivery["status"] for delivery in deliveries] == [status, status, 200]
    assert [received.body["attempt"] for received in product.received] == [1, 2, 3]
    assert {received.body["event_id"] for received in product.received} == {paid["event_id"]}
    assert all(map(is_signed, product.received))


async def test_an_event_is_given_up_after_five_attempts(sandbox: Sandbox, product: Product) -> None:
    product.default_status = 500

    paid = await sandbox.pay()

    assert len(await sandbox.settled(paid["event_id"])) == 5


async def test_no_answer_in_time_is_a_failure() -> None:
    async with open_sandbox(answer_timeout_seconds=0.2) as sandbox:
        sandbox.product.silences = 1

        paid = await sandbox.pay()

        deliveries = await sandbox.settled(paid["event_id"])
        assert [delivery["status"] for delivery in deliveries] == [None, 200]
        assert deliveries[0]["error"] == "no answer within 0.2 s"


async def test_more_than_ten_failures_in_a_row_disable_the_webhook(sandbox: Sandbox, product: Product) -> None:
    product.default_status = 500
    for _ in range(2):
        await sandbox.settled((await sandbox.pay())["event_id"])
    assert (await sandbox.get("/bmc/webhook"))["enabled"]

    await sandbox.settled((await sandbox.pay())["event_id"])

    assert (await sandbox.get("/bmc/webhook"))["enabled"] is False
    assert len(product.received) == 11


async def test_a_success_resets_the_failure_count(sandbox: Sandbox, product: Product) -> None:
    product.statuses.extend([500] * 4)
    await sandbox.settled((await sandbox.pay())["event_id"])

    assert (await sandbox.get("/bmc/webhook"))["failures_in_a_row"] == 0


async def test_a_disabled_webhook_misses_events_for_good(sandbox: Sandbox, product: Product) -> None:
    product.statuses.extend([500] * 11)
    for _ in range(3):
        await sandbox.settled((await sandbox.pay())["event_id"])
    missed = await sandbox.pay()
    assert await sandbox.refused("/bmc/test-event") == 409

    await sandbox.post("/bmc/webhook/enable")

    paid = await sandbox.pay()
    assert await sandbox.settled(missed["event_id"]) == []
    assert [delivery["status"] for delivery in await sandbox.settled(paid["event_id"])] == [200]


async def test_a_test_event_shows_its_answer_and_is_not_live(sandbox: Sandbox, product: Product) -> None:
    answered = await sandbox.post("/bmc/test-event")

    (received,) = product.received
    assert (answered["status"], answered["event_id"]) == (200, 1)
    assert is_signed(received)
    assert (received.body["live_mode"], received.body["event_id"]) == (False, 1)
    assert received.body["data"]["supporter_email"] == "john@example.com"


async def test_every_type_of_event_can_be_tested_and_no_other(sandbox: Sandbox, product: Product) -> None:
    for event_type in ("membership.paused", "commission_order.refunded", "recurring_donation.cancelled"):
        await sandbox.post("/bmc/test-event", type=event_type)

    assert product.types() == ["membership.paused", "commission_order.refunded", "recurring_donation.cancelled"]
    assert await sandbox.refused("/bmc/test-event", type="payment.created") == 400


@pytest.mark.parametrize("kind", ["altered", "wrong_signature", "no_signature"])
async def test_a_spoiled_request_is_followed_by_a_good_one(sandbox: Sandbox, product: Product, kind: str) -> None:
    product.statuses.append(401)
    await sandbox.post("/bmc/misbehave", kind=kind)

    paid = await sandbox.pay()

    await sandbox.settled(paid["event_id"])
    assert [is_signed(received) for received in product.received] == [False, True]
    assert ("x-signature-sha256" in product.received[0].headers) is (kind != "no_signature")
    assert product.received[0].body["data"]["amount"] == (500 if kind == "altered" else 5)


async def test_an_event_sent_twice_has_identical_bytes(sandbox: Sandbox, product: Product) -> None:
    await sandbox.post("/bmc/misbehave", kind="twice")

    paid = await sandbox.pay()

    await sandbox.settled(paid["event_id"])
    first, second = product.received
    assert first.raw == second.raw


async def test_each_request_of_an_event_has_its_own_number_in_the_log(sandbox: Sandbox) -> None:
    await sandbox.post("/bmc/misbehave", kind="twice")
    paid = await sandbox.pay()

    first, second = await sandbox.settled(paid["event_id"])

    assert (first["event_id"], first["attempt"]) == (second["event_id"], second["attempt"])
    assert first["number"] != second["number"]


async def test_a_late_event_is_sent_after_its_delay(sandbox: Sandbox, product: Product) -> None:
    await sandbox.post("/bmc/misbehave", kind="late", seconds=0.2)

    late = await sandbox.pay(note="late")
    await sandbox.settled((await sandbox.pay(note="in time"))["event_id"])

    await sandbox.settled(late["event_id"])
    assert [received.body["data"]["support_note"] for received in product.received] == ["in time", "late"]


async def test_the_next_event_overtakes_an_event_out_of_order(sandbox: Sandbox, product: Product) -> None:
    await sandbox.post("/bmc/misbehave", kind="out_of_order")

    first = await sandbox.pay(note="first")
    await sandbox.pay(note="second")

    await sandbox.settled(first["event_id"])
    assert [received.body["data"]["support_note"] for received in product.received] == ["second", "first"]


async def test_a_refund_may_come_before_its_payment(sandbox: Sandbox, product: Product) -> None:
    await sandbox.post("/bmc/misbehave", kind="only_refund_first")
    paid = await sandbox.pay()
    other = await sandbox.pay(note="another payment is not held back")
    await sandbox.settled(other["event_id"])

    await sandbox.post(f"/bmc/payments/{paid['transaction_id']}/refund")

    await sandbox.settled(paid["event_id"])
    assert product.types() == ["donation.created", "donation.refunded", "donation.created"]
    assert product.received[2].body["event_id"] == paid["event_id"]


async def test_cleared_faults_affect_no_delivery(sandbox: Sandbox, product: Product) -> None:
    await sandbox.post("/bmc/misbehave", kind="no_signature", times=9)

    assert await sandbox.delete("/bmc/misbehave") == []

    await sandbox.pay()
    assert is_signed((await product.wait_for(1))[0])


@pytest.mark.parametrize("kind", ["late", "out_of_order", "only_refund_first"])
async def test_clearing_the_faults_releases_the_held_events(sandbox: Sandbox, product: Product, kind: str) -> None:
    await sandbox.post("/bmc/misbehave", kind=kind, seconds=600)
    paid = await sandbox.pay()
    assert await sandbox.get("/bmc/deliveries") == []

    await sandbox.delete("/bmc/misbehave")

    assert [delivery["status"] for delivery in await sandbox.settled(paid["event_id"])] == [200]


async def test_waiting_for_an_event_returns_after_the_wait(sandbox: Sandbox) -> None:
    await sandbox.post("/bmc/misbehave", kind="late", seconds=DEADLINE_SECONDS)
    paid = await sandbox.pay()

    assert await sandbox.get("/bmc/deliveries", event_id=paid["event_id"], wait="0.05") == []
