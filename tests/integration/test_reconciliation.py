"""
The janitor compares BMC's own lists with our charges.

It finds the payments that no webhook has reported, credits those that carry an exact code, and shows the others to operators.
"""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from coffee_ledger.bmc_api import ApiList, ApiState
from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.events import read_event
from coffee_ledger.model import Outcome, PaymentId, TelegramId
from coffee_ledger.store.claims import raise_claim
from coffee_ledger.store.database import Pool, sql
from coffee_ledger.store.decisions import OperatorRequest, match_charge
from coffee_ledger.store.reconciliation import (
    CHECKED_WITHIN,
    LISTED_AFTER,
    REQUEST_AGE_MAX,
    load_lists,
    load_report,
    request_reconciliation,
)
from coffee_ledger.store.replay import replay
from coffee_ledger.store.settlement import settle_events
from services.janitor.bmc_client import BmcClient
from services.janitor.outages import OutageWatch
from services.janitor.reconciliation import LATE_AFTER, PAGES_MAX, PASS_PERIOD, RETRY_PAUSE, WEBHOOK_WAIT, Reconciler
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import RULES
from tests.sandbox.world import Sandbox, open_sandbox

CODE, OTHER_CODE = "K7QM2XHD", "9MK6DYN5"
NOW = datetime.now(UTC)
LATER = NOW + WEBHOOK_WAIT
SHOWN = "K7QM-2XHD"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with open_sandbox() as running:
        yield running


@pytest.fixture
async def client(sandbox: Sandbox) -> BmcClient:
    # The tests read BMC's lists several times within seconds, so with a real clock, the client would reach its limit of
    # requests per minute. The test's clock advances by one minute each time the client asks for the time.
    minutes = iter(range(10**6))
    return await client_of(sandbox, lambda: 60.0 * next(minutes))


async def client_of(sandbox: Sandbox, clock: Callable[[], float]) -> BmcClient:
    token = (await sandbox.get("/bmc/api/token"))["token"]
    return BmcClient(SecretStr(token), url=str(sandbox.url / "bmc/api/v1"), clock=clock)


@pytest.fixture
def outages() -> OutageWatch:
    return OutageWatch()


@pytest.fixture
async def reconciler(client: BmcClient, janitor: Pool, outages: OutageWatch, ledger: Ledger) -> Reconciler:
    # The janitor ignores rows from before the first pending payment (see `find_first_day`). So open a pending payment that is
    # a day old.
    await ledger.open(OTHER_CODE, user=BOHDAN, amount="77", minutes_ago=24 * 60)
    return Reconciler(client, janitor, RULES, outages, clock=lambda: datetime.now(UTC))


async def pay(sandbox: Sandbox, pool: Pool, **order: Any) -> str:
    """
    Pay, and settle the events that the sandbox sends about the payment.

    Return the transaction id of the payment, or the id of the subscription if the payment starts one.
    """
    paid = await sandbox.pay(**order)
    await settle_deliveries(sandbox, pool, paid["event_id"])
    return str(paid.get("transaction_id") or paid["psp_id"])


async def settle_deliveries(sandbox: Sandbox, pool: Pool, event_id: int) -> None:
    for delivery in await sandbox.settled(event_id):
        event = read_event(delivery["body"].encode(), received_at=datetime.now(UTC), nonce="1")
        await settle_events(pool, [event], RULES, now=datetime.now(UTC))


async def pay_unreported(sandbox: Sandbox, **order: Any) -> str:
    await sandbox.post("/bmc/misbehave", kind="forgotten")
    paid = await sandbox.pay(**order)
    return str(paid.get("transaction_id") or paid["psp_id"])


async def change_row(sandbox: Sandbox, paid: str, /, **fields: Any) -> None:
    await sandbox.post("/bmc/api/rows", transaction_id=paid, fields=fields)


async def run_twice(reconciler: Reconciler) -> int:
    """
    Let the janitor read BMC's lists at NOW and again at LATER. Return the number of settled rows.

    Usually, a row waits for its webhook before it is settled. At LATER, the rows from NOW have waited long enough.
    """
    return await reconciler.run_once(NOW) + await reconciler.run_once(LATER)


async def waiting_rows(pool: Pool) -> int:
    count: int = await pool.fetchval("SELECT count(*) FROM missing_rows")
    return count


# Crediting ------------------------------------------------------------------------------------------------------------


async def test_a_payment_without_a_webhook_is_credited_by_its_code(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger
) -> None:
    await ledger.open(CODE)
    paid = await pay_unreported(sandbox, note=SHOWN)

    assert await reconciler.run_once(NOW) == 0
    assert await reconciler.run_once(LATER) == 1

    charge = await ledger.charge()
    assert (charge["state"], charge["method"], charge["telegram_id"]) == ("matched", "code", ANNA)
    assert (charge["source"], charge["channel"], charge["transaction_id"]) == ("bmc", "api", paid)
    assert (await ledger.credits(), await ledger.status(CODE)) == ([500], "completed")
    assert await ledger.told(ANNA) == ["payment_credited"]
    assert await waiting_rows(ledger.pool) == 0


async def test_a_row_is_left_to_its_webhook_for_a_quarter_of_an_hour(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger
) -> None:
    await ledger.open(CODE)
    await pay_unreported(sandbox, note=SHOWN)
    await reconciler.run_once(NOW)

    assert await reconciler.run_once(NOW + WEBHOOK_WAIT - timedelta(seconds=1)) == 0
    assert await waiting_rows(ledger.pool) == 1


async def test_a_row_whose_webhook_comes_in_time_is_not_settled(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    paid = await sandbox.pay(note=SHOWN)
    assert await reconciler.run_once(NOW) == 0
    await settle_deliveries(sandbox, pool, paid["event_id"])

    assert await reconciler.run_once(LATER) == 0
    assert await ledger.outcomes() == ["credited"]
    assert await waiting_rows(pool) == 0


@pytest.mark.parametrize("kind", ["donation", "extra_purchase", "commission_order", "wishlist_payment"])
async def test_a_webhook_after_the_row_credits_nobody_twice(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool, kind: str
) -> None:
    """
    A row of BMC's list does not reliably show the family of its charge: donation, Shop purchase, commission or wishlist
    payment.

    So the webhook about the payment may name a different family than the row.
    """
    await ledger.open(CODE)
    paid = await sandbox.pay(kind=kind, note=SHOWN)
    await run_twice(reconciler)

    await settle_deliveries(sandbox, pool, paid["event_id"])

    assert (await ledger.charge())["channel"] == "api"
    assert await ledger.credits() == [500]
    assert await ledger.told(ANNA) == ["payment_credited"]


async def test_a_payment_is_settled_once_however_often_its_row_is_read(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger
) -> None:
    await ledger.open(CODE)
    await pay_unreported(sandbox, note=SHOWN)
    await run_twice(reconciler)

    assert await reconciler.run_once(LATER + PASS_PERIOD) == 0
    assert (await ledger.credits(), await ledger.outcomes()) == ([500], ["credited"])


@pytest.mark.parametrize(
    "order",
    [
        {"note": "thank you"},
        {"note": "K7QM-2XHE"},
        {"note": "", "name": SHOWN},
        {"note": SHOWN, "kind": "membership"},
        {"note": SHOWN, "kind": "recurring_donation"},
    ],
    ids=["no code", "a typo in the code", "the code in the name", "a membership", "monthly support"],
)
async def test_a_weak_row_becomes_a_card(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, order: dict[str, Any]
) -> None:
    """The amount fits Anna's only open payment, but a charge that only a list shows is never matched by amount and time."""
    await ledger.open(CODE)
    await pay_unreported(sandbox, **order)

    await run_twice(reconciler)

    charge = await ledger.charge()
    assert (charge["state"], charge["doubt"], charge["channel"]) == ("unmatched", "listed_only", "api")
    assert (await ledger.credits(), await ledger.told()) == ([], ["charge_unmatched"])


@pytest.mark.parametrize(
    ("fields", "doubt"),
    [
        ({"transaction_id": "3AB12345CD678901E"}, "listed_only"),
        ({"transaction_id": None}, "identity"),
        ({"is_refunded": "perhaps"}, "status"),
    ],
    ids=["PayPal", "no id", "an unknown mark of a refund"],
)
async def test_a_row_with_a_code_but_an_odd_field_becomes_a_card(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, fields: dict[str, Any], doubt: str
) -> None:
    await ledger.open(CODE)
    await change_row(sandbox, await pay_unreported(sandbox, note=SHOWN), **fields)

    await run_twice(reconciler)

    assert ((await ledger.charge())["doubt"], await ledger.credits()) == (doubt, [])
    assert await ledger.told() == ["charge_unmatched"]


async def test_a_row_with_an_unknown_code_stays_a_card_when_it_is_matched_again(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    """The doubt `listed_only` must stay, so that no later attempt matches the charge by a corrected code or by its amount."""
    await ledger.open(CODE)
    await pay_unreported(sandbox, note="2345-67A3 K7QM-2XHE")
    await run_twice(reconciler)

    assert (await ledger.charge())["doubt"] == "listed_only"


async def test_a_webhook_removes_the_doubt_about_a_row(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    """A mistyped code may decide the match of a charge that a webhook reports, but not of a charge that only a list shows."""
    await ledger.open(CODE)
    paid = await sandbox.pay(note="K7QM-2XHE")
    await run_twice(reconciler)
    assert await ledger.credits() == []

    await settle_deliveries(sandbox, pool, paid["event_id"])

    charge = await ledger.charge()
    assert (charge["doubt"], charge["method"], charge["telegram_id"]) == (None, "corrected_code", ANNA)
    assert await ledger.credits() == [500]


async def test_a_payment_that_bmc_announces_twice_is_credited_once(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    """
    BMC lists the first month of a subscription as a one-time payment. The webhook reports this month as a subscription.

    The ids in the webhook differ from the ids in the list.
    """
    await ledger.open(CODE)
    await pay_unreported(sandbox, note=SHOWN)
    await run_twice(reconciler)
    assert await ledger.credits() == [500]

    await pay(sandbox, pool, kind="recurring_donation", note=SHOWN)

    doubts = await pool.fetch("SELECT doubt FROM charges ORDER BY charge_id")
    assert ([row["doubt"] for row in doubts], await ledger.credits()) == ([None, "announced_twice"], [500])


async def test_a_webhook_without_a_transaction_id_is_not_credited_beside_its_row(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    """
    Without a transaction id, the webhook's charge has only BMC's number, and the list may show another number for the same
    payment.

    So a person must compare the row and the webhook.
    """
    await ledger.open(CODE)
    await pay_unreported(sandbox, note=SHOWN)
    await run_twice(reconciler)

    await settle_events(pool, [read_event(forged(1, transaction_id=None), received_at=NOW, nonce="1")], RULES, now=NOW)

    doubts = await pool.fetch("SELECT doubt FROM charges ORDER BY charge_id")
    assert ([row["doubt"] for row in doubts], await ledger.credits()) == ([None, "announced_twice"], [500])


async def test_a_repeated_payment_is_doubted_also_if_an_operator_matched_the_first_one(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    await pay_unreported(sandbox, note="K7QM-2XHE")
    await run_twice(reconciler)
    request = OperatorRequest(operator=TelegramId(900), reason="seen on the page", now=NOW)
    charge_id = (await ledger.charge())["charge_id"]
    await match_charge(
        pool, charge_id, request, telegram_id=TelegramId(ANNA), payment_id=PaymentId(CODE), rates=RULES.rates
    )

    await pay(sandbox, pool, kind="recurring_donation", note="K7QM-2XHE")

    doubts = await pool.fetch("SELECT doubt FROM charges ORDER BY charge_id")
    assert ([row["doubt"] for row in doubts], await ledger.credits()) == (["listed_only", "announced_twice"], [500])


async def test_a_row_of_a_payment_that_was_reported_as_a_subscription_is_not_credited_again(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    await pay(sandbox, pool, kind="recurring_donation", note=SHOWN)
    await pay_unreported(sandbox, note=SHOWN)

    await run_twice(reconciler)

    doubts = await pool.fetch("SELECT doubt FROM charges ORDER BY charge_id")
    assert ([row["doubt"] for row in doubts], await ledger.credits()) == ([None, "announced_twice"], [500])


async def test_a_first_month_that_two_lists_show_is_credited_once_although_its_webhook_comes_later(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    """
    BMC lists the first month of a subscription twice: as a one-time payment and as a subscription. The row of the one-time
    payment is credited. The charge of the subscription waits for a decision.

    An earlier version did not compare the waiting charge with other charges when the webhook of the subscription arrived. So
    the earlier version credited the payment a second time.
    """
    await ledger.open(CODE)
    await pay_unreported(sandbox, note=SHOWN)
    subscription = await sandbox.pay(kind="recurring_donation", note=SHOWN)
    await run_twice(reconciler)

    await settle_deliveries(sandbox, pool, subscription["event_id"])

    doubts = await pool.fetch("SELECT doubt FROM charges ORDER BY charge_id")
    assert ([row["doubt"] for row in doubts], await ledger.credits()) == ([None, "announced_twice"], [500])
    assert await ledger.told(ANNA) == ["payment_credited"]


async def test_a_first_month_is_credited_once_although_a_list_showed_it_before_both_webhooks(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    subscription = await sandbox.pay(kind="recurring_donation", note=SHOWN)
    await run_twice(reconciler)

    donation = await sandbox.pay(note=SHOWN)
    for paid in (donation, subscription):
        await settle_deliveries(sandbox, pool, paid["event_id"])

    doubts = await pool.fetch("SELECT doubt FROM charges ORDER BY charge_id")
    assert ([row["doubt"] for row in doubts], await ledger.credits()) == (["announced_twice", None], [500])


async def test_a_settled_row_can_be_replayed(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    await pay_unreported(sandbox, note=SHOWN)
    await run_twice(reconciler)

    [replayed] = await replay(pool, RULES)

    assert (replayed.method, replayed.telegram_id, replayed.differs) == ("code", ANNA, False)


async def test_an_unreadable_row_is_kept_for_operators(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger
) -> None:
    await change_row(sandbox, await pay_unreported(sandbox, note=SHOWN), support_coffees="many", transaction_id=None)

    await run_twice(reconciler)

    assert (await ledger.outcomes(), await ledger.told()) == (["unreadable"], ["event_unreadable"])
    assert await reconciler.run_once(LATER + PASS_PERIOD) == 0


async def test_payments_from_before_the_product_are_ignored(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await change_row(
        sandbox, await pay_unreported(sandbox), support_created_on=f"{NOW - timedelta(days=2):%Y-%m-%d %H:%M:%S}"
    )
    newer = await pay_unreported(sandbox)

    await run_twice(reconciler)

    assert (await ledger.charge())["transaction_id"] == newer


@pytest.mark.parametrize(
    "order",
    [{"kind": "extra_purchase", "amount": 0}, {"kind": "membership", "is_gift": True}],
    ids=["free item", "gift"],
)
async def test_a_row_without_money_is_ignored(
    sandbox: Sandbox, reconciler: Reconciler, pool: Pool, order: dict[str, Any]
) -> None:
    if order.pop("is_gift", False):
        given = await pay_unreported(sandbox, **order)
        await change_row(sandbox, given, subscription_duration_type="lifetime-giveaway")
    else:
        await pay_unreported(sandbox, **order)

    assert (await run_twice(reconciler), await waiting_rows(pool)) == (0, 0)


async def test_a_missed_purchase_in_the_shop_is_one_charge_although_two_lists_show_it(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger
) -> None:
    await ledger.open(CODE)
    await pay_unreported(sandbox, kind="extra_purchase", note=SHOWN)

    await run_twice(reconciler)

    assert (await ledger.credits(), (await ledger.charge())["method"]) == ([500], "code")


async def test_a_missed_renewal_becomes_a_card(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    renewed = await pay(sandbox, pool, kind="recurring_donation", note=SHOWN)
    await sandbox.post("/bmc/misbehave", kind="forgotten")
    await sandbox.post(f"/bmc/subscriptions/{renewed}/renew")

    await run_twice(reconciler)

    rows = await pool.fetch("SELECT state, channel FROM charges WHERE psp_id = $1 ORDER BY charge_id", renewed)
    assert [tuple(row) for row in rows] == [("matched", "webhook"), ("unmatched", "api")]


# Refunds --------------------------------------------------------------------------------------------------------------


async def test_a_refund_that_only_the_list_shows_takes_the_credits_back(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    paid = await pay(sandbox, pool, note=SHOWN)
    await change_row(sandbox, paid, is_refunded=1)

    assert await run_twice(reconciler) == 1

    assert (await ledger.charge())["state"] == "refunded"
    assert (await ledger.credits(), await ledger.told(ANNA)) == ([500, -500], ["payment_credited", "payment_refunded"])
    assert await reconciler.run_once(LATER + PASS_PERIOD) == 0


async def test_a_refund_of_a_partly_refunded_payment_is_left_to_operators(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    paid = await pay(sandbox, pool, note=SHOWN)
    await pool.execute("UPDATE charges SET refunded_amount = 1")
    await change_row(sandbox, paid, refunded_at="2026-11-30 10:00:00")

    await run_twice(reconciler)

    assert ((await ledger.charge())["state"], await ledger.told()) == ("matched", ["charge_contradicted"])


async def test_an_unknown_mark_on_a_credited_payment_is_shown_to_operators_once(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    await change_row(sandbox, await pay(sandbox, pool, note=SHOWN), is_refunded="perhaps")

    await run_twice(reconciler)
    await reconciler.run_once(LATER + PASS_PERIOD)

    assert ((await ledger.charge())["state"], await ledger.told()) == ("matched", ["charge_contradicted"])


async def test_a_missed_payment_that_was_refunded_credits_nobody(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger
) -> None:
    await ledger.open(CODE)
    await change_row(sandbox, await pay_unreported(sandbox, note=SHOWN), is_refunded=True)

    await run_twice(reconciler)

    assert ((await ledger.charge())["state"], await ledger.credits()) == ("refunded", [])
    assert await ledger.told() == ["refund_unknown"]


async def test_a_late_refund_on_an_older_page_is_found_in_rotation(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    paid = await pay(sandbox, pool, note=SHOWN)
    for _ in range(12):
        await pay(sandbox, pool)
    await change_row(sandbox, paid, is_refunded="1")

    for number in range(6):
        await reconciler.run_once(NOW + number * PASS_PERIOD)

    assert (await ledger.credits("refund"), (await load_lists(pool))[ApiList.SUPPORTERS].covered_at is None) == (
        [-500],
        False,
    )


# Passes ---------------------------------------------------------------------------------------------------------------


async def test_a_pass_runs_every_ten_minutes(sandbox: Sandbox, reconciler: Reconciler, pool: Pool) -> None:
    async def checked_at(now: datetime) -> datetime:
        await reconciler.run_once(now)
        return (await load_lists(pool))[ApiList.SUPPORTERS].checked_at

    assert await checked_at(NOW) == NOW
    assert await checked_at(NOW + PASS_PERIOD - timedelta(seconds=1)) == NOW
    assert await checked_at(NOW + PASS_PERIOD) == NOW + PASS_PERIOD


async def test_reading_stops_at_known_ground(
    sandbox: Sandbox, reconciler: Reconciler, pool: Pool, client: BmcClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(16):
        await pay(sandbox, pool)
    await reconciler.run_once(NOW)
    read: list[int] = []
    original = client.read_page

    async def read_page(list_: ApiList, page: int, *, for_claim: bool = False) -> Any:
        if list_ is ApiList.SUPPORTERS:
            read.append(page)
        return await original(list_, page, for_claim=for_claim)

    monkeypatch.setattr(client, "read_page", read_page)

    await reconciler.run_once(NOW + timedelta(days=2))
    await reconciler.run_once(NOW + timedelta(days=4))

    # The pages of the first pass are not in `read`. A pass reads from page 1 to the first page whose rows are all known and are
    # dated more than a day before the last complete pass. Then it reads one older page, if there is one. In the second pass, no
    # row is old enough, so this pass reads all four pages. In the third pass, all rows are old enough, so this pass reads
    # page 1, and page 2 as the older page.
    assert read == [1, 2, 3, 4, 1, 2]


async def test_a_pass_reads_a_limited_number_of_pages(sandbox: Sandbox, reconciler: Reconciler, pool: Pool) -> None:
    for _ in range(5 * PAGES_MAX[ApiList.SUPPORTERS] + 6):
        await pay_unreported(sandbox)

    await reconciler.run_once(NOW)

    # Each page has five rows. The pass reads the newest PAGES_MAX pages, and then one older page.
    assert await waiting_rows(pool) == 5 * PAGES_MAX[ApiList.SUPPORTERS] + 5
    assert (await load_lists(pool))[ApiList.SUPPORTERS].completed_at is None


async def test_a_row_that_shifts_to_the_next_page_is_found_once(
    sandbox: Sandbox, reconciler: Reconciler, pool: Pool
) -> None:
    for _ in range(6):
        await pay_unreported(sandbox)
    await sandbox.post("/bmc/misbehave", kind="api_shifted")

    await run_twice(reconciler)

    # A seventh payment, made during the first pass, shifted the rows. Only the second pass read the row of this
    # payment, so this row still waits for its webhook.
    assert await pool.fetchval("SELECT count(*) FROM charges") == 6
    assert await waiting_rows(pool) == 1


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("api_blocked", ApiState.BLOCKED),
        ("api_throttled", ApiState.THROTTLED),
        ("api_broken", ApiState.UNREACHABLE),
        ("api_reshaped", ApiState.CHANGED),
    ],
)
async def test_each_failure_of_the_api_has_its_own_state(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool, fault: str, state: ApiState
) -> None:
    """
    If BMC's API fails during a pass, users and operators get no notification.

    Later passes settle the payment that the failed pass could not find.
    """
    await ledger.open(CODE)
    await pay_unreported(sandbox, note=SHOWN)
    await sandbox.post("/bmc/misbehave", kind=fault)

    await reconciler.run_once(NOW)

    assert (await load_lists(pool))[ApiList.SUPPORTERS].state == state
    assert (await ledger.told(), await ledger.told(ANNA)) == ([], [])
    await reconciler.run_once(NOW + PASS_PERIOD)
    assert await reconciler.run_once(NOW + PASS_PERIOD + WEBHOOK_WAIT) == 1


async def test_a_refused_token_has_its_own_state(sandbox: Sandbox, reconciler: Reconciler, pool: Pool) -> None:
    await sandbox.post("/bmc/api/token")

    await reconciler.run_once(NOW)

    assert {state.state for state in (await load_lists(pool)).values()} == {ApiState.TOKEN_REFUSED}


@pytest.mark.parametrize(("fault", "differs"), [(None, False), ("api_other_zone", True)])
async def test_times_in_another_zone_are_noticed(
    sandbox: Sandbox, reconciler: Reconciler, pool: Pool, fault: str | None, differs: bool
) -> None:
    await pay(sandbox, pool)
    if fault is not None:
        await sandbox.post("/bmc/misbehave", kind=fault)

    await reconciler.run_once(NOW)

    assert (await load_lists(pool))[ApiList.SUPPORTERS].differs_in_zone is differs


async def test_an_empty_account_is_healthy(reconciler: Reconciler, pool: Pool) -> None:
    await reconciler.run_once(NOW)

    lists = await load_lists(pool)
    assert {state.state for state in lists.values()} == {ApiState.EMPTY}
    assert {state.covered_at for state in lists.values()} == {NOW}


# Outages --------------------------------------------------------------------------------------------------------------


async def test_after_failed_probes_rows_are_settled_at_once(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, outages: OutageWatch
) -> None:
    await ledger.open(CODE)
    await reconciler.run_once(NOW)
    await pay_unreported(sandbox, note=SHOWN)
    for passed in (False, False, True):
        outages.note_probe(passed=passed)

    assert await reconciler.run_once(NOW + timedelta(seconds=2)) == 1
    assert (await ledger.credits(), outages.has_ended) == ([500], False)


async def test_a_single_failed_probe_is_no_outage(outages: OutageWatch) -> None:
    for passed in (False, True, False, True):
        outages.note_probe(passed=passed)

    assert not outages.has_ended


async def test_after_an_outage_of_the_database_a_pass_runs_at_once(outages: OutageWatch) -> None:
    for is_away in (True, True, False):
        outages.note_database(is_away=is_away)

    assert outages.has_ended


async def test_an_outage_is_remembered_until_all_lists_could_be_read(
    sandbox: Sandbox, reconciler: Reconciler, outages: OutageWatch
) -> None:
    for passed in (False, False, True):
        outages.note_probe(passed=passed)
    await sandbox.post("/bmc/misbehave", kind="api_broken")

    await reconciler.run_once(NOW)
    await reconciler.run_once(NOW + RETRY_PAUSE - timedelta(seconds=1))
    assert outages.has_ended

    await reconciler.run_once(NOW + RETRY_PAUSE)
    assert not outages.has_ended


@pytest.mark.parametrize(("pause", "settled"), [(LATE_AFTER, 0), (LATE_AFTER + timedelta(seconds=1), 1)])
async def test_after_a_long_pause_between_passes_rows_are_settled_at_once(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pause: timedelta, settled: int
) -> None:
    """
    A long pause between two passes counts as an outage, because the machine was probably down or without a network.

    After an outage, the janitor settles rows at once, and does not wait for their webhooks.
    """
    await ledger.open(CODE)
    await reconciler.run_once(NOW)
    await pay_unreported(sandbox, note=SHOWN)

    assert await reconciler.run_once(NOW + pause) == settled


# Requests -------------------------------------------------------------------------------------------------------------


async def test_a_request_of_an_operator_runs_a_pass_now(sandbox: Sandbox, reconciler: Reconciler, pool: Pool) -> None:
    await reconciler.run_once(NOW)
    soon = NOW + timedelta(seconds=5)

    request = await request_reconciliation(pool, "operator", now=soon)
    await reconciler.run_once(soon)

    assert await pool.fetchval(sql("is_request_answered"), request) is True
    assert (await load_lists(pool))[ApiList.SUPPORTERS].checked_at == soon


async def test_after_a_restore_rows_are_settled_at_once(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    await pay_unreported(sandbox, note=SHOWN)
    await pool.execute("INSERT INTO reconciliation_requests (cause, requested_at) VALUES ('restore', $1)", NOW)

    assert await reconciler.run_once(NOW) == 1
    assert await ledger.credits() == [500]


async def test_an_old_request_is_ignored(reconciler: Reconciler, pool: Pool) -> None:
    await reconciler.run_once(NOW)
    request = await request_reconciliation(pool, "operator", now=NOW)

    await reconciler.run_once(NOW + REQUEST_AGE_MAX + timedelta(seconds=1))

    assert await pool.fetchval(sql("is_request_answered"), request) is False


async def test_without_a_reconciler_nothing_can_be_requested(reconciler: Reconciler, pool: Pool) -> None:
    assert await request_reconciliation(pool, "operator", now=NOW) is None
    await reconciler.run_once(NOW)

    assert await request_reconciliation(pool, "operator", now=NOW + CHECKED_WITHIN) is not None
    assert await request_reconciliation(pool, "operator", now=NOW + CHECKED_WITHIN + timedelta(seconds=1)) is None


# Claims ---------------------------------------------------------------------------------------------------------------


async def claim(pool: Pool, *, amount: str = "5", now: datetime = NOW) -> None:
    claimed = ClaimedPayment(now.date(), Decimal(amount), "USD", None)
    assert isinstance(await raise_claim(pool, TelegramId(ANNA), claimed, now=now), int)


async def test_a_claim_finds_the_payment_with_the_users_code_at_once(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    await reconciler.run_once(NOW)
    await pay_unreported(sandbox, note=SHOWN)

    await claim(pool)

    assert await reconciler.run_once(NOW + timedelta(seconds=2)) == 1
    assert (await ledger.credits(), await ledger.told(ANNA)) == ([500], ["payment_credited"])


async def test_a_claim_for_a_payment_without_a_code_becomes_a_card(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    """The bot does not tell the user that a list shows the payment, because it may be the payment of another supporter."""
    await ledger.open(CODE)
    await reconciler.run_once(NOW)
    await pay_unreported(sandbox, note="thanks")

    await claim(pool)
    await reconciler.run_once(NOW + timedelta(seconds=2))

    assert ((await ledger.charge())["state"], await ledger.credits()) == ("unmatched", [])
    assert await ledger.told(ANNA) == ["claim_looked_up"]
    assert await ledger.told() == ["claim_raised", "charge_unmatched"]


async def test_a_claim_leaves_the_payments_of_others_to_their_webhooks(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    await reconciler.run_once(NOW)
    await pay_unreported(sandbox, note=OTHER_CODE, amount=77)

    await claim(pool)

    assert await reconciler.run_once(NOW + timedelta(seconds=2)) == 0
    assert await ledger.told(ANNA) == ["claim_looked_up"]


async def test_a_claim_is_looked_up_once(reconciler: Reconciler, ledger: Ledger, pool: Pool) -> None:
    await ledger.open(CODE)
    await reconciler.run_once(NOW)
    await claim(pool)

    await reconciler.run_once(NOW + timedelta(seconds=2))
    await reconciler.run_once(NOW + timedelta(seconds=4))

    assert await ledger.told(ANNA) == ["claim_looked_up"]


async def test_passes_leave_requests_for_a_claim(
    sandbox: Sandbox, janitor: Pool, outages: OutageWatch, ledger: Ledger, pool: Pool
) -> None:
    """
    In each minute, three of our requests to BMC are reserved for claims, so passes cannot use them up.

    A pass starts whenever BMC can deliver again after an outage of the webhook or the database. Without the reserve, two passes
    within a minute could use all requests of this minute, and a user who claims a payment would have to wait.
    """
    within_one_minute = await client_of(sandbox, lambda: 0.0)
    reconciler = Reconciler(within_one_minute, janitor, RULES, outages, clock=lambda: datetime.now(UTC))
    await ledger.open(CODE)
    for number in range(6):
        await reconciler.run_once(NOW + number * PASS_PERIOD)
    assert (await load_lists(pool))[ApiList.EXTRAS].state == ApiState.THROTTLED
    await pay_unreported(sandbox, note=SHOWN)

    later = NOW + 5 * PASS_PERIOD + timedelta(seconds=2)
    await claim(pool, now=later)

    assert await reconciler.run_once(later) == 1
    assert await ledger.told(ANNA) == ["payment_credited"]


async def test_a_claim_waits_if_no_request_may_be_sent_now(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    await reconciler.run_once(NOW)
    await pay_unreported(sandbox, note=SHOWN)
    await claim(pool)
    await sandbox.post("/bmc/misbehave", kind="api_throttled")

    assert await reconciler.run_once(NOW + timedelta(seconds=2)) == 0
    assert await ledger.told(ANNA) == []

    assert await reconciler.run_once(NOW + timedelta(seconds=4)) == 1
    assert await ledger.told(ANNA) == ["payment_credited"]


@pytest.mark.parametrize("fault", ["api_blocked", "api_broken"])
async def test_a_user_is_not_alarmed_if_the_list_cannot_be_read(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool, fault: str
) -> None:
    await ledger.open(CODE)
    await reconciler.run_once(NOW)
    await claim(pool)
    await sandbox.post("/bmc/misbehave", kind=fault)

    await reconciler.run_once(NOW + timedelta(seconds=2))

    assert await ledger.told(ANNA) == []


# Charges that no list contains ----------------------------------------------------------------------------------------


def forged(number: int, **data: Any) -> bytes:
    fields = {
        "id": number,
        "transaction_id": f"pi_3Forged{number}",
        "status": "succeeded",
        "amount": 5,
        "currency": "USD",
        "support_note": SHOWN,
        "supporter_id": number,
    }
    event = {"type": "donation.created", "live_mode": True, "event_id": number, "data": {**fields, **data}}
    return json.dumps(event).encode()


async def forge(pool: Pool, *, hours_ago: float = 0) -> None:
    at = NOW - timedelta(hours=hours_ago)
    await settle_events(pool, [read_event(forged(1), received_at=at, nonce="1")], RULES, now=at)
    await pool.execute("UPDATE charges SET recorded_at = $1", at)


async def test_a_charge_that_no_list_contains_becomes_a_card_after_a_day(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    """An attacker who knows a signing secret can forge the webhook of a payment, but cannot add a row to BMC's list."""
    await ledger.open(CODE)
    await forge(pool)
    await pay(sandbox, pool)

    await reconciler.run_once(NOW + LISTED_AFTER)
    assert await ledger.told() == ["charge_unmatched"]
    await reconciler.run_once(NOW + LISTED_AFTER + PASS_PERIOD)

    assert await ledger.told() == ["charge_unmatched", "charge_not_listed"]
    assert (await ledger.facts("charge_not_listed"))["charge_key"] == "donation:pi_3Forged1"
    await reconciler.run_once(NOW + LISTED_AFTER + 2 * PASS_PERIOD)
    assert await ledger.told() == ["charge_unmatched", "charge_not_listed"]


@pytest.mark.parametrize("kind", ["donation", "extra_purchase", "commission_order", "membership", "recurring_donation"])
async def test_a_charge_of_any_family_is_found_in_its_list(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool, kind: str
) -> None:
    await pay(sandbox, pool, kind=kind)

    await reconciler.run_once(NOW + timedelta(minutes=1))
    await reconciler.run_once(NOW + 2 * LISTED_AFTER)

    assert "charge_not_listed" not in await ledger.told()


async def test_nothing_is_reported_while_the_lists_cannot_be_read(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    await forge(pool)
    await sandbox.post("/bmc/api/token")

    await reconciler.run_once(NOW + 2 * LISTED_AFTER)

    assert await ledger.told() == []


# The report for operators ---------------------------------------------------------------------------------------------


async def test_the_report_lists_rows(sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool) -> None:
    await ledger.open(CODE)
    await pay_unreported(sandbox, note=SHOWN)
    await run_twice(reconciler)
    await pay_unreported(sandbox, amount=9)
    await reconciler.run_once(LATER + PASS_PERIOD)

    report = await load_report(pool)

    [found], [waits] = report.found, report.missing
    assert (found.type, found.outcome, found.amount, found.telegram_id) == (
        "api.supporters",
        Outcome.CREDITED,
        Decimal(5),
        ANNA,
    )
    assert (waits.list, waits.amount, waits.currency) == (ApiList.SUPPORTERS, Decimal(9), "USD")
    assert {state.list for state in report.lists} == set(ApiList)


async def test_the_lookup_of_transactions_uses_the_index(pool: Pool) -> None:
    async with pool.acquire() as db, db.transaction():
        # Disable scans of the whole table. The table is empty, so the planner would prefer a scan to the index.
        await db.execute("SET LOCAL enable_seqscan = off")

        plan = await db.fetch(f"EXPLAIN {sql('find_known_transactions')}", "bmc", ["pi_1", "pi_2"])

    assert "one_charge_per_transaction" in str(plan)


# Metrics --------------------------------------------------------------------------------------------------------------


def measured(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(f"ledger_reconciliation_{name}", labels)
    assert value is not None
    return value


async def test_a_missed_payment_is_counted_with_the_time_until_it_was_settled(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger
) -> None:
    await ledger.open(CODE)
    await pay_unreported(sandbox, note=SHOWN)
    before = measured("rows_total", outcome="credited"), measured("healing_seconds_count")

    await reconciler.run_once(NOW)
    assert measured("missing_rows") == 1
    await reconciler.run_once(LATER)

    assert (measured("rows_total", outcome="credited"), measured("healing_seconds_count")) == (
        before[0] + 1,
        before[1] + 1,
    )
    assert measured("missing_rows") == 0
    assert measured("last_good_timestamp_seconds", lists="all") == LATER.timestamp()
    assert measured("list_healthy", list="supporters") == 1


async def test_a_failed_pass_is_counted_by_its_failure_and_is_not_the_last_good_one(
    sandbox: Sandbox, reconciler: Reconciler
) -> None:
    await reconciler.run_once(NOW)
    await sandbox.post("/bmc/api/token")
    before = measured("passes_total", result="good"), measured("passes_total", result="token_refused")

    await reconciler.run_once(NOW + PASS_PERIOD)

    after = measured("passes_total", result="good"), measured("passes_total", result="token_refused")
    assert after == (before[0], before[1] + 1)
    assert measured("last_good_timestamp_seconds", lists="all") == NOW.timestamp()
    assert {measured("list_healthy", list=one) for one in ApiList} == {0}


async def test_a_charge_that_no_list_contains_is_counted_once(
    sandbox: Sandbox, reconciler: Reconciler, ledger: Ledger, pool: Pool
) -> None:
    await ledger.open(CODE)
    await forge(pool)
    await pay(sandbox, pool)
    before = measured("unlisted_charges_total")

    for passes in range(4):
        await reconciler.run_once(NOW + LISTED_AFTER + passes * PASS_PERIOD)

    assert measured("unlisted_charges_total") == before + 1
