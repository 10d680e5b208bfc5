"""Check that charges are credited to the right user, even if supporters or Buy Me a Coffee behave unexpectedly."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any

import pytest

from coffee_ledger.charges import OutsiderKind
from coffee_ledger.claiming import ClaimedPayment
from coffee_ledger.codes import issue_code, read_codes
from coffee_ledger.events import read_event
from coffee_ledger.model import NotificationKind, PaymentId, Rates, TelegramId
from coffee_ledger.store.claims import find_open_claim, raise_claim
from coffee_ledger.store.database import Pool, open_pool
from coffee_ledger.store.decisions import (
    Disowned,
    Done,
    OperatorRequest,
    RefusalCause,
    Refused,
    dismiss_charge,
    disown_guess,
    match_charge,
    refund_part,
    undo_match,
)
from coffee_ledger.store.lookup import find_charge_file, find_claim_file
from coffee_ledger.store.pending_payments import PaymentRequest, cancel_payment, open_payment
from coffee_ledger.store.settlement import rematch_charges, settle_events
from coffee_ledger.store.upkeep import close_answered_claims
from coffee_ledger.store.users import erase_user, meet_user
from tests.integration.bmc import a_payment, a_refund_of, a_subscription, raw
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.webhook import RULES, Webhook

CODE, OTHER_CODE, THIRD_CODE = "K7QM2XHD", "P4RT9WEZ", "B7C8D9EF"
MALLORY, VERA = TelegramId(666), 303
RATES = Rates({"USD": Decimal(100)})
MONTH = 2_592_000
START = 1_780_405_603
orders = count()


def now() -> datetime:
    return datetime.now(UTC)


def seconds_ago(seconds: float) -> int:
    return int(now().timestamp() - seconds)


def order(reason: str = "a reason", *, at: datetime | None = None) -> OperatorRequest:
    return OperatorRequest(TelegramId(900), reason, at or now(), request_key=f"press:{next(orders)}")


async def ask(desk: Pool, user: int, amount: str, *, minutes_ago: float) -> PaymentId:
    """Request a payment for the user *minutes_ago* minutes ago, as the Mini App does. Return the id of the pending payment."""
    await meet_user(desk, TelegramId(user), language="en", username=f"user{user}", now=now())
    request = PaymentRequest(f"app:{secrets.token_hex(8)}", TelegramId(user), Decimal(amount), "USD")
    payment = await open_payment(
        desk,
        request,
        draw_code=lambda: issue_code(secrets.SystemRandom()),
        now=now() - timedelta(minutes=minutes_ago),
        reuse_within=timedelta(hours=12),
    )
    return payment.payment_id


async def charges(ledger: Ledger) -> list[tuple[str, int | None, str | None]]:
    rows = await ledger.pool.fetch("SELECT state, telegram_id, method FROM charges ORDER BY charge_id")
    return [(row["state"], row["telegram_id"], row["method"]) for row in rows]


async def last_charge_id(ledger: Ledger) -> int:
    charge_id: int = await ledger.pool.fetchval("SELECT max(charge_id) FROM charges")
    return charge_id


async def reasons(ledger: Ledger) -> set[tuple[str, int | None]]:
    rows = await ledger.pool.fetchval("SELECT reasons FROM charges ORDER BY charge_id DESC LIMIT 1")
    return {(row["why"], row.get("telegram_id")) for row in rows}


# Guesses -------------------------------------------------------------------------------------------------------------


async def test_an_account_that_requests_every_amount_each_hour_gets_one_guess(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    """
    A user is credited by at most one guess in 30 days.

    Mallory requests four usual amounts in each of three hours. Twelve strangers pay these amounts without a code. One of their
    charges is credited to Mallory by a guess, and the other eleven stay unmatched.
    """
    for hour in (2, 1, 0):
        for code in await ledger.pool.fetch("SELECT payment_id FROM pending_payments WHERE status = 'pending'"):
            await cancel_payment(desk, code["payment_id"], MALLORY, now=now() - timedelta(hours=hour, minutes=10))
        for number, amount in enumerate([5, 10, 25, 50]):
            await ask(desk, MALLORY, str(amount), minutes_ago=hour * 60 + 10)
            paid_at = seconds_ago(hour * 3600 + 300)
            await webhook.settle(a_payment(amount=amount, created_at=paid_at, supporter_id=f"{hour}{number}77"))

    found = [user for _, user, _ in await charges(ledger)]
    assert (found.count(MALLORY), found.count(None)) == (1, 11)


async def test_an_open_payment_older_than_the_window_is_a_rival(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, user=BOHDAN, minutes_ago=65)
    await ledger.open(OTHER_CODE, user=ANNA, minutes_ago=10)

    await webhook.settle(a_payment(support_note="Дякую!"))

    assert await charges(ledger) == [("unmatched", None, None)]
    assert {("several_open_payments", ANNA), ("several_open_payments", BOHDAN)} <= await reasons(ledger)


def a_slip_that_does_not_look_like_a_code() -> tuple[str, str]:
    """
    Return a code, and the same code with one wrong character, written so that it does not look like a code.

    A similar letter replaces the only digit of the first half, so that this half looks like a word. A space separates the
    halves.
    """
    chance = Random(5)
    while True:
        code = issue_code(chance)
        digits = [sign for sign in code[:4] if sign.isdigit()]
        if len(digits) == 1 and digits[0] in "25":
            text = code[:4].replace(digits[0], {"2": "Z", "5": "S"}[digits[0]]) + " " + code[4:]
            reading = read_codes(text)
            if not reading.holds_code and code in reading.corrections:
                return code, text


async def test_a_slip_of_an_ended_code_forbids_a_guess(ledger: Ledger, webhook: Webhook) -> None:
    code, text = a_slip_that_does_not_look_like_a_code()
    await ledger.open(code, user=BOHDAN, status="expired", minutes_ago=1500)
    await ledger.open(OTHER_CODE, user=ANNA, minutes_ago=10)

    await webhook.settle(a_payment(support_note=f"hi {text} thanks"))

    assert await charges(ledger) == [("unmatched", None, None)]


async def test_a_slip_near_two_codes_forbids_a_guess(ledger: Ledger, webhook: Webhook) -> None:
    code, text = a_slip_that_does_not_look_like_a_code()
    near = min(read_codes(text).corrections - {code})
    await ledger.open(code, user=BOHDAN, minutes_ago=100)
    await ledger.open(near, user=VERA, minutes_ago=100)
    await ledger.open(OTHER_CODE, user=ANNA, minutes_ago=10)

    await webhook.settle(a_payment(support_note=text))

    assert await charges(ledger) == [("unmatched", None, None)]


async def test_two_charges_without_a_code_in_one_batch_prevent_a_guess(
    ledger: Ledger, role_url: Callable[[str], str]
) -> None:
    """Two charges in one batch fit Anna's pending payment. We cannot know which one she paid, so both stay unmatched."""
    await ledger.open(OTHER_CODE, user=ANNA, minutes_ago=10)
    bodies = [raw(a_payment(supporter_id=number)) for number in (1, 2)]
    events = [read_event(body, received_at=now(), nonce="n") for body in bodies]

    async with open_pool(role_url("webhook")) as pool:
        done = await settle_events(pool, events, RULES, now=now())

    assert done.outcomes == ["unmatched", "unmatched"]


async def test_a_charge_with_a_code_in_the_same_batch_is_no_rival_of_a_guess(
    ledger: Ledger, role_url: Callable[[str], str]
) -> None:
    await ledger.open(OTHER_CODE, user=ANNA, minutes_ago=10)
    await ledger.open(CODE, user=BOHDAN, amount="9", minutes_ago=10)
    bodies = [raw(a_payment()), raw(a_payment(support_note=CODE))]
    events = [read_event(body, received_at=now(), nonce="n") for body in bodies]

    async with open_pool(role_url("webhook")) as pool:
        done = await settle_events(pool, events, RULES, now=now())

    assert done.outcomes == ["credited", "credited"]
    assert [(user, method) for _, user, method in await charges(ledger)] == [
        (ANNA, "amount_and_time"),
        (BOHDAN, "code"),
    ]


async def test_two_open_payments_of_one_user_allow_a_guess(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(f"{ANNA}_1780405603", minutes_ago=10)
    await ledger.open(f"{ANNA}_1780405604", minutes_ago=5)

    assert await webhook.settle(a_payment()) == ["credited"]
    assert (await ledger.charge())["payment_id"] == f"{ANNA}_1780405604"


async def test_a_renewal_with_an_unknown_start_is_not_guessed(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(OTHER_CODE, amount="3", minutes_ago=5)
    renewal = a_subscription("membership.updated", psp_id="sub_x", period=seconds_ago(0))
    del renewal["data"]["started_at"]

    assert await webhook.settle(renewal) == ["unmatched"]


async def test_a_user_who_repeats_a_request_after_the_window_is_a_rival(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    """
    A charge without a code is not matched by a guess if it may belong to two users.

    Bohdan repeats his request after 90 minutes and gets his old pending payment again. Anna has a pending payment of the same
    amount. A charge of this amount may be his or hers, so it stays unmatched.
    """
    first = await ask(desk, BOHDAN, "5", minutes_ago=92)
    assert await ask(desk, BOHDAN, "5", minutes_ago=2) == first
    await ledger.open(OTHER_CODE, user=ANNA, minutes_ago=10)

    await webhook.settle(a_payment(support_note="Дякую!"))

    assert await charges(ledger) == [("unmatched", None, None)]


async def test_a_user_who_repeats_a_request_after_the_window_is_guessed(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    await ask(desk, BOHDAN, "5", minutes_ago=92)
    await ask(desk, BOHDAN, "5", minutes_ago=2)

    assert await webhook.settle(a_payment(support_note="Дякую!")) == ["credited"]


async def test_a_request_repeated_after_the_charge_does_not_count(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await ask(desk, BOHDAN, "5", minutes_ago=92)
    await ask(desk, BOHDAN, "5", minutes_ago=2)

    assert await webhook.settle(a_payment(created_at=seconds_ago(600))) == ["unmatched"]


async def test_a_payment_completed_by_another_charge_meanwhile_is_a_rival(ledger: Ledger, webhook: Webhook) -> None:
    """
    A charge without a code is not matched by a guess if two users had an open payment of its amount when the charge was paid.

    Bohdan pays without his code, and then pays again with the code. The event of his first charge arrives last, when only Anna
    still has an open payment. The first charge must not be matched to Anna.
    """
    await ledger.open(CODE, user=BOHDAN, minutes_ago=20)
    await ledger.open(OTHER_CODE, user=ANNA, minutes_ago=18)
    first = a_payment(created_at=seconds_ago(900))
    again = a_payment(support_note=CODE, created_at=seconds_ago(180))

    await webhook.settle(again, first)

    assert await charges(ledger) == [("matched", BOHDAN, "code"), ("unmatched", None, None)]


async def test_a_guess_is_labelled_and_reported_to_both_sides(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(OTHER_CODE)

    await webhook.settle(a_payment())

    assert (await ledger.facts("payment_credited"))["method"] == "amount_and_time"
    assert await ledger.told() == ["charge_guessed"]


async def test_a_guessed_first_charge_does_not_decide_the_renewal(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(OTHER_CODE, user=MALLORY, minutes_ago=5)
    start = seconds_ago(60)
    first = a_subscription(psp_id="sub_s", amount=5, period=start, started_at=start, supporter_id=4242)
    renewals = [
        a_subscription(
            "membership.updated",
            psp_id="sub_s",
            amount=5,
            period=start + number * MONTH,
            started_at=start,
            supporter_id=4242,
        )
        for number in range(1, 4)
    ]

    assert await webhook.settle(first, *renewals) == ["credited", "unmatched", "unmatched", "unmatched"]


async def test_a_purchase_answered_without_a_code_is_not_guessed(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(OTHER_CODE)
    bought = a_payment(
        "extra_purchase.created", extras=[{"id": 1, "question_answers": ["my code is in the other chat"]}]
    )

    assert await webhook.settle(bought) == ["unmatched"]


async def test_a_user_can_disown_a_guess(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await ledger.open(OTHER_CODE)
    await webhook.settle(a_payment())
    charge_id = await last_charge_id(ledger)
    await ledger.pool.execute("SELECT spend_credits($1, 400, 'a game', 'game-1')", ANNA)

    assert await disown_guess(desk, charge_id, TelegramId(ANNA), now=now()) == 500

    assert await charges(ledger) == [("unmatched", None, None)]
    assert await ledger.status(OTHER_CODE) == "completed"
    assert await ledger.balance() == -400
    assert await ledger.told() == ["charge_guessed", "guess_disowned", "refund_overdrawn"]
    assert await disown_guess(desk, charge_id, TelegramId(ANNA), now=now()) is Disowned.DECIDED_BEFORE


async def test_another_user_cannot_disown_a_guess(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await ledger.open(OTHER_CODE)
    await webhook.settle(a_payment())

    refused = await disown_guess(desk, await last_charge_id(ledger), MALLORY, now=now())

    assert refused is Disowned.DECIDED_BEFORE
    assert await ledger.balance() == 500


@pytest.mark.parametrize(("days", "is_taken_back"), [(29.9, True), (30.1, False)])
async def test_a_guess_can_be_disowned_for_thirty_days(
    ledger: Ledger, webhook: Webhook, desk: Pool, days: float, is_taken_back: bool
) -> None:
    await ledger.open(OTHER_CODE)
    await webhook.settle(a_payment())

    said = await disown_guess(desk, await last_charge_id(ledger), TelegramId(ANNA), now=now() + timedelta(days=days))

    assert said == (500 if is_taken_back else Disowned.TOO_LATE)


async def test_a_match_by_code_cannot_be_disowned(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note=CODE))

    assert (
        await disown_guess(desk, await last_charge_id(ledger), TelegramId(ANNA), now=now()) is Disowned.DECIDED_BEFORE
    )


@pytest.mark.parametrize("who", ["the user", "an operator"])
async def test_a_disowned_guess_prevents_another_for_ninety_days(
    ledger: Ledger, webhook: Webhook, desk: Pool, role_url: Callable[[str], str], who: str
) -> None:
    await ledger.open(OTHER_CODE)
    await webhook.settle(a_payment())
    charge_id = await last_charge_id(ledger)
    if who == "the user":
        await disown_guess(desk, charge_id, TelegramId(ANNA), now=now())
    else:
        await undo_match(desk, charge_id, order())

    async def pays_in(days: float, code: str) -> str:
        at = now() + timedelta(days=days)
        await ledger.open(code, minutes_ago=-days * 24 * 60 + 5, amount="7")
        paid = read_event(raw(a_payment(amount=7, created_at=int(at.timestamp()))), received_at=at, nonce="n")
        async with open_pool(role_url("webhook")) as pool:
            [outcome] = (await settle_events(pool, [paid], RULES, now=at)).outcomes
        return outcome

    assert await pays_in(89.9, CODE) == "unmatched"
    await ledger.pool.execute("UPDATE charges SET state = 'dismissed' WHERE state = 'unmatched'")
    await cancel_payment(desk, PaymentId(CODE), TelegramId(ANNA), now=now() + timedelta(days=89.95))
    assert await pays_in(90.1, THIRD_CODE) == "credited"


# Codes and names in texts --------------------------------------------------------------------------------------------


async def test_a_code_in_the_name_reaches_its_user(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="9")

    assert await webhook.settle(a_payment(support_note="Thanks!", supporter_name=f"Ola {CODE}")) == ["credited"]


async def test_a_code_in_bmcs_sentence_reaches_its_user_if_there_is_no_note(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="9")

    assert await webhook.settle(a_payment(message=f"Ola {CODE} bought you a coffee")) == ["credited"]


async def test_codes_of_one_user_are_all_completed_by_their_sum(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="5")
    await ledger.open(OTHER_CODE, amount="10")

    assert await webhook.settle(a_payment(amount=15, support_note=f"{CODE} and {OTHER_CODE}")) == ["credited"]

    assert await ledger.credits() == [1500]
    assert (await ledger.status(CODE), await ledger.status(OTHER_CODE)) == ("completed", "completed")
    facts = await ledger.facts("payment_credited")
    assert (facts["amount"], Decimal(facts["picked_amount"])) == ("15", Decimal(15))


@pytest.mark.parametrize("note", ["it's @User101, thanks", f"my telegram id is {10**9 + 101}", "t.me/user101"])
async def test_a_user_named_in_the_note_is_only_a_candidate(
    ledger: Ledger, webhook: Webhook, desk: Pool, note: str
) -> None:
    for user in (ANNA, 10**9 + 101):
        await meet_user(desk, TelegramId(user), language="en", username="user101" if user == ANNA else None, now=now())

    assert await webhook.settle(a_payment(support_note=note)) == ["unmatched"]

    assert ("mentioned", 10**9 + 101 if "id is" in note else ANNA) in await reasons(ledger)


# Unusual data from BMC ----------------------------------------------------------------------------------------------


async def test_supporters_without_a_name_do_not_share_a_user(ledger: Ledger, webhook: Webhook) -> None:
    """
    All supporters without a name may have the same supporter id, such as 0. So this id must not identify a user.

    One supporter with the id 0 pays with Anna's code. A later charge with the id 0 must not be credited to Anna.
    """
    await ledger.open(CODE, user=ANNA)
    await webhook.settle(a_payment(support_note=CODE, supporter_id=0))
    await ledger.open(OTHER_CODE, user=ANNA, minutes_ago=600)
    await ledger.open(THIRD_CODE, user=BOHDAN, minutes_ago=5)

    await webhook.settle(a_payment(supporter_id=0))

    assert (await charges(ledger))[1] == ("unmatched", None, None)


async def test_a_known_supporter_is_not_credited_if_another_payment_fits_too(ledger: Ledger, webhook: Webhook) -> None:
    """
    A known supporter may be a user who once paid for another user. So no user is credited if pending payments of two users fit.

    A supporter once paid with Anna's code. Anna and Bohdan now have pending payments of $5, and the supporter pays $5 without a
    code. The supporter may be Bohdan, who once paid for Anna.
    """
    await ledger.open(CODE, user=ANNA)
    await webhook.settle(a_payment(support_note=CODE, supporter_id=77))
    await ledger.open(OTHER_CODE, user=ANNA, minutes_ago=600)
    await ledger.open(THIRD_CODE, user=BOHDAN, minutes_ago=5)

    await webhook.settle(a_payment(supporter_id=77))

    assert (await charges(ledger))[1] == ("unmatched", None, None)
    assert {("several_users", ANNA), ("several_users", BOHDAN)} <= await reasons(ledger)


async def test_an_operators_match_does_not_link_a_supporter_to_a_user(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    """
    An operator may match a charge to the wrong user, so the match does not link the charge's supporter to the user.

    An operator matches a charge to Mallory. A later charge of the same supporter must not be credited to Mallory.
    """
    await meet_user(desk, MALLORY, language="en", username="mallory", now=now())
    await webhook.settle(a_payment(supporter_id=4242))
    await match_charge(desk, await last_charge_id(ledger), order(), telegram_id=MALLORY, payment_id=None, rates=RATES)
    await ledger.open(OTHER_CODE, user=MALLORY, amount="25", minutes_ago=1200)

    assert await webhook.settle(a_payment(amount=25, support_note="love it", supporter_id=4242)) == ["unmatched"]


async def test_gifted_memberships_do_not_share_a_subscription(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    first = a_subscription(psp_id="GIVE_AWAY", id=1, support_note=CODE)
    second = a_subscription(psp_id="GIVE_AWAY", id=2, period=START + 100, started_at=START + 100, supporter_id=9)

    assert await webhook.settle(first, second) == ["credited", "unmatched"]


@pytest.mark.parametrize(("seconds", "outcome"), [(1, "recorded"), (300, "recorded"), (301, "credited")])
async def test_two_events_of_one_period_may_have_slightly_different_starts(
    ledger: Ledger, webhook: Webhook, seconds: int, outcome: str
) -> None:
    await ledger.open(CODE)
    again = a_subscription("membership.updated", support_note=CODE, period=START + seconds)

    assert await webhook.settle(a_subscription(support_note=CODE), again) == ["credited", outcome]


@pytest.mark.parametrize("is_first_without", [True, False])
async def test_a_subscription_without_its_id_in_one_of_two_events_is_one_charge(
    ledger: Ledger, webhook: Webhook, is_first_without: bool
) -> None:
    await ledger.open(CODE)
    events = [a_subscription(support_note=CODE), a_subscription("membership.updated", support_note=CODE)]
    del events[0 if is_first_without else 1]["data"]["psp_id"]

    assert await webhook.settle(*events) == ["credited", "recorded"]

    assert await ledger.credits() == [300]
    assert (await ledger.charge())["psp_id"] == "sub_1"


async def test_a_renewal_that_first_has_its_subscription_id_reaches_its_user(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    first = a_subscription(support_note=CODE)
    del first["data"]["psp_id"]
    renewal = a_subscription("membership.updated", period=START + MONTH)

    assert await webhook.settle(first, renewal) == ["credited", "credited"]


@pytest.mark.parametrize("is_donation_first", [True, False])
async def test_a_first_month_also_announced_as_a_donation_is_credited_once(
    ledger: Ledger, webhook: Webhook, is_donation_first: bool
) -> None:
    await ledger.open(CODE)
    at = seconds_ago(600)
    month = a_subscription(
        "recurring_donation.started", amount=5, support_note=CODE, period=at, started_at=at, supporter_id=7
    )
    donation = a_payment(support_note=CODE, created_at=at + 300, supporter_id=7)
    events = [donation, month] if is_donation_first else [month, donation]

    assert await webhook.settle(*events) == ["credited", "unmatched"]

    assert await ledger.credits() == [500]
    assert ("announced_twice", ANNA) in await reasons(ledger)
    assert await ledger.told(ANNA) == ["payment_credited"]


@pytest.mark.parametrize(
    "other",
    [{"amount": 6}, {"supporter_id": 8}, {"support_note": f"{CODE}!"}, {"created_at": START + 901}],
    ids=["another amount", "another supporter", "another note", "later"],
)
async def test_a_donation_that_differs_from_a_first_month_is_a_separate_payment(
    ledger: Ledger, webhook: Webhook, other: dict[str, Any]
) -> None:
    await ledger.open(CODE)
    month = a_subscription(
        "recurring_donation.started", amount=5, support_note=CODE, period=START, started_at=START, supporter_id=7
    )
    same: dict[str, Any] = {"support_note": CODE, "created_at": START, "supporter_id": 7}

    assert await webhook.settle(month, a_payment(**same | other)) == ["credited", "credited"]


async def test_the_same_transaction_in_two_families_is_one_charge(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    donation = a_payment(support_note=CODE)

    assert await webhook.settle(donation, donation | {"type": "extra_purchase.created", "event_id": 777}) == [
        "credited",
        "recorded",
    ]

    assert await ledger.credits() == [500]


async def test_two_numbers_under_one_transaction_are_a_conflict_that_an_operator_can_credit(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    """
    An operator can credit a payment that has the same transaction id as an earlier payment.

    With PayPal or a cart, two payments may have the same transaction id. The ledger then records a conflict, and no rule
    matches the second payment.

    Anna pays with her code, and then Bohdan pays with his code. The two events have the same `transaction_id`, but different
    values of `id`. Bohdan's payment stays unmatched until an operator matches it to him.
    """
    await ledger.open(CODE, user=ANNA)
    await ledger.open(OTHER_CODE, user=BOHDAN, amount="10")
    second = a_payment(id=2, transaction_id="T", amount=10, support_note=OTHER_CODE)

    outcomes = await webhook.settle(a_payment(id=1, transaction_id="T", support_note=CODE), second)
    again = await webhook.settle(second | {"event_id": 4711})

    assert (outcomes, again) == (["credited", "unmatched"], ["recorded"])
    assert ("conflict", BOHDAN) in await reasons(ledger)
    assert await ledger.told(BOHDAN) == ["payment_under_review"]
    await match_charge(
        desk,
        await last_charge_id(ledger),
        order(),
        telegram_id=TelegramId(BOHDAN),
        payment_id=PaymentId(OTHER_CODE),
        rates=RATES,
    )
    assert await ledger.balance(BOHDAN) == 1000


async def test_no_rule_matches_a_conflict_later(ledger: Ledger, webhook: Webhook, janitor: Pool) -> None:
    await webhook.settle(
        a_payment(id=1, transaction_id="T"), a_payment(id=2, transaction_id="T", support_note=f"{ANNA}_1780405603")
    )
    await ledger.open(f"{ANNA}_1780405603")
    keys = [row["charge_key"] for row in await ledger.pool.fetch("SELECT charge_key FROM charges")]

    assert await rematch_charges(janitor, keys, RULES, now=now()) == 0


async def test_an_upgrade_within_a_period_shows_operators_both_amounts(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    upgrade = a_subscription("membership.updated", support_note=CODE, amount=30)

    assert await webhook.settle(a_subscription(support_note=CODE), upgrade) == ["credited", "recorded"]

    assert await ledger.credits() == [300]
    facts = await ledger.facts("charge_contradicted")
    assert (facts["about"], facts["amount"], facts["told_amount"]) == ("amount", "3", "30")


async def test_a_contradiction_is_reported_once(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    upgrade = a_subscription("membership.updated", support_note=CODE, amount=30)

    await webhook.settle(a_subscription(support_note=CODE), upgrade, upgrade | {"event_id": 99})

    assert await ledger.told() == ["charge_contradicted"]


async def test_a_later_event_with_another_amount_is_reported(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    bought = a_payment("extra_purchase.created", support_note=CODE)
    more = bought | {"type": "extra_purchase.updated", "event_id": 888, "data": bought["data"] | {"amount": 50}}

    await webhook.settle(bought, more)

    assert await ledger.told() == ["charge_contradicted"]
    assert await ledger.balance() == 500


async def test_a_credited_renewal_that_becomes_overdue_is_reported(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    renewal = {"period": START + MONTH}

    outcomes = await webhook.settle(
        a_subscription(support_note=CODE),
        a_subscription("membership.updated", **renewal),
        a_subscription("membership.updated", status="past_due", **renewal),
    )

    assert outcomes == ["credited", "credited", "recorded"]
    assert await ledger.balance() == 600
    facts = await ledger.facts("charge_contradicted")
    assert (facts["about"], facts["told"]) == ("status", "past_due")


async def test_an_overdue_renewal_is_credited_only_when_it_is_paid(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    renewal = {"period": START + MONTH}

    outcomes = await webhook.settle(
        a_subscription(support_note=CODE),
        a_subscription("membership.updated", status="past_due", **renewal),
        a_subscription("membership.updated", **renewal),
    )

    assert outcomes == ["credited", "unmatched", "credited"]
    assert await ledger.credits() == [300, 300]


async def test_a_membership_marked_as_refunded_is_not_credited(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)

    assert await webhook.settle(a_subscription(support_note=CODE, refunded="true")) == ["unmatched"]


async def test_a_membership_marked_as_refunded_later_is_reported(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)

    await webhook.settle(
        a_subscription(support_note=CODE), a_subscription("membership.updated", support_note=CODE, refunded="true")
    )

    assert (await ledger.facts("charge_contradicted"))["told"] == "refunded"
    assert await ledger.balance() == 300


@pytest.mark.parametrize("status", ["disputed", "canceled", "Cancelled", "processing", "Failed", "pending", ""])
async def test_a_payment_of_an_unknown_status_waits_and_its_user_is_told(
    ledger: Ledger, webhook: Webhook, status: str
) -> None:
    await ledger.open(CODE)

    assert await webhook.settle(a_payment(support_note=CODE, status=status)) == ["unmatched"]

    assert await ledger.credits() == []
    assert ("status_unknown", ANNA) in await reasons(ledger)
    assert await ledger.told(ANNA) == ["payment_under_review"]
    assert await ledger.told() == ["charge_unmatched"]


@pytest.mark.parametrize("amount", ["5_0", "٥", "1e3", "5,00", "0x5", -5, "", True])
async def test_an_unreadable_amount_is_shown_on_a_card_but_not_credited(
    ledger: Ledger, webhook: Webhook, desk: Pool, amount: object
) -> None:
    await ledger.open(CODE)

    assert await webhook.settle(a_payment(support_note=CODE, amount=amount)) == ["unmatched"]

    assert ("amount_unreadable", ANNA) in await reasons(ledger)
    refused = await match_charge(
        desk, await last_charge_id(ledger), order(), telegram_id=TelegramId(ANNA), payment_id=None, rates=RATES
    )
    assert refused == Refused(RefusalCause.NO_RATE)
    assert await ledger.credits() == []


@pytest.mark.parametrize("supporter_id", [None, 0, "null", 5])
async def test_a_card_names_the_payer_even_without_a_supporter_id(
    ledger: Ledger, webhook: Webhook, desk: Pool, supporter_id: object
) -> None:
    await webhook.settle(a_payment(supporter_id=supporter_id, supporter_name="Anna K", amount="5,00"))

    file = await find_charge_file(desk, charge_id=await last_charge_id(ledger))

    assert file is not None
    assert (file.charge.supporter_name, file.charge.told) == ("Anna K", "5,00")


async def test_a_lifetime_membership_without_a_period_is_credited_once(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    lifetime = a_subscription(support_note=CODE, psp_id="pi_9", duration_type="lifetime", current_period_start=None)

    assert await webhook.settle(lifetime, lifetime | {"event_id": 5, "type": "membership.updated"}) == [
        "credited",
        "recorded",
    ]

    assert await ledger.credits() == [300]


async def test_values_of_a_newer_version_break_nothing(ledger: Ledger, webhook: Webhook) -> None:
    """
    After a return to an older version of the product, the database may contain reasons and flags of the newer version.

    The older version does not know these reasons and flags, but it must still settle events.
    """
    paid = a_payment(support_note="from a friend")
    await webhook.settle(paid)
    await ledger.pool.execute(
        """UPDATE charges SET reasons = '[{"rule": "a_new_rule", "why": "a_new_reason"}]', flag = 'a_new_flag'"""
    )
    await ledger.open(CODE)

    assert await webhook.settle(a_payment(support_note=CODE)) == ["credited"]
    assert await webhook.settle(a_refund_of(paid)) == ["refunded"]


# Undoing matches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("note", [CODE, ""])
async def test_an_undone_membership_match_does_not_return_with_the_next_renewal(
    ledger: Ledger, webhook: Webhook, desk: Pool, note: str
) -> None:
    await ledger.open(CODE)
    await webhook.settle(
        a_subscription(support_note=CODE), a_subscription("membership.updated", support_note=note, period=START + MONTH)
    )
    assert await ledger.balance() == 600
    charge_id = await last_charge_id(ledger)
    await undo_match(desk, charge_id, order("not hers"))
    await dismiss_charge(desk, charge_id, order("not hers"))

    renewal = a_subscription("membership.updated", support_note=note, period=START + 2 * MONTH)
    assert await webhook.settle(renewal) == ["unmatched"]


async def test_a_subscription_rematched_by_an_operator_goes_to_the_new_user(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    await ledger.open(CODE)
    await meet_user(desk, TelegramId(BOHDAN), language="en", username=None, now=now())
    await webhook.settle(a_subscription(support_note=CODE))
    charge_id = await last_charge_id(ledger)
    await undo_match(desk, charge_id, order())
    await match_charge(desk, charge_id, order(), telegram_id=TelegramId(BOHDAN), payment_id=None, rates=RATES)

    renewal = a_subscription("membership.updated", support_note=CODE, period=START + MONTH)
    assert await webhook.settle(renewal) == ["credited"]

    assert (await charges(ledger))[1] == ("matched", BOHDAN, "subscription")


# Refunds -------------------------------------------------------------------------------------------------------------


async def test_a_refund_of_another_amount_is_left_to_operators(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="50")
    paid = a_payment(support_note=CODE, amount=50)
    refund = a_refund_of(paid)
    refund["data"] = refund["data"] | {"amount": "20.00", "status": "partially_refunded"}

    assert await webhook.settle(paid, refund) == ["credited", "recorded"]

    assert await ledger.balance() == 5000
    facts = await ledger.facts("charge_contradicted")
    assert (facts["about"], Decimal(facts["told_amount"])) == ("refund", Decimal(20))


async def test_a_refund_with_its_own_transaction_finds_its_payment(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)
    paid = a_payment(support_note=CODE)
    refund = a_refund_of(paid)
    refund["data"] = refund["data"] | {"transaction_id": "re_9"}

    await webhook.settle(paid, refund)

    assert await ledger.balance() == 0


async def test_a_refund_without_a_charge_is_reported(ledger: Ledger, webhook: Webhook) -> None:
    await webhook.settle(a_refund_of(a_payment()))

    assert await ledger.told() == ["refund_unknown"]


async def test_a_payment_of_more_than_its_early_refund_is_credited_and_reported(
    ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE, amount="50")
    paid = a_payment(support_note=CODE, amount=50)
    refund = a_refund_of(paid)
    refund["data"] = refund["data"] | {"amount": 20}

    assert await webhook.settle(refund, paid) == ["refunded", "credited"]

    assert await ledger.balance() == 5000
    facts = await ledger.facts("charge_contradicted")
    assert (facts["about"], facts["amount"], facts["told_amount"]) == ("refund", "50", "20")


async def test_an_operator_corrects_a_full_refund_that_was_partial(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    await ledger.open(CODE, amount="50")
    paid = a_payment(support_note=CODE, amount=50)
    await webhook.settle(paid, a_refund_of(paid))
    charge_id = await last_charge_id(ledger)
    assert await ledger.told() == ["charge_refunded"]

    done = await refund_part(desk, charge_id, order(), amount=Decimal(20))

    assert isinstance(done, Done)
    assert done.credits == 3000
    assert await ledger.balance() == 3000
    assert await charges(ledger) == [("matched", ANNA, "code")]
    assert await ledger.told(ANNA) == ["payment_credited", "payment_refunded", "credits_adjusted"]


async def test_partial_refunds_never_exceed_the_credits_in_total(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await ledger.open(CODE, amount="50")
    paid = a_payment(support_note=CODE, amount=50)
    await webhook.settle(paid)
    charge_id = await last_charge_id(ledger)

    await refund_part(desk, charge_id, order(), amount=Decimal(20))
    await refund_part(desk, charge_id, order(), amount=Decimal("7.50"))

    assert await ledger.balance() == 2250
    assert await refund_part(desk, charge_id, order(), amount=Decimal("22.50")) == Refused(RefusalCause.NO_PART)
    assert await refund_part(desk, charge_id, order(), amount=Decimal(0)) == Refused(RefusalCause.NO_PART)
    undone = await undo_match(desk, charge_id, order())
    assert isinstance(undone, Done)
    assert (undone.credits, await ledger.balance()) == (-2250, 0)


async def test_a_part_refunded_before_the_match_is_not_credited(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await meet_user(desk, TelegramId(ANNA), language="en", username=None, now=now())
    await webhook.settle(a_payment(amount=50))
    charge_id = await last_charge_id(ledger)

    await refund_part(desk, charge_id, order(), amount=Decimal(20))
    await match_charge(desk, charge_id, order(), telegram_id=TelegramId(ANNA), payment_id=None, rates=RATES)

    assert await ledger.balance() == 3000


# Outsiders: supporters who are no users ------------------------------------------------------------------------------


async def test_a_known_outsider_pays_again_without_a_card(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await webhook.settle(a_payment(supporter_id=5, support_note="love it"))
    await dismiss_charge(desk, await last_charge_id(ledger), order(), remember=OutsiderKind.SUPPORTER)

    assert await webhook.settle(a_payment(supporter_id=5, support_note="love it again")) == ["recorded"]

    assert [state for state, _, _ in await charges(ledger)] == ["dismissed", "dismissed"]
    assert ("outsider", None) in await reasons(ledger)
    assert await ledger.told() == ["charge_unmatched"]


async def test_other_waiting_payments_of_a_new_outsider_are_dismissed_too(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    """
    Two payments of one supporter wait. An operator dismisses the first one, and records the supporter as an outsider.

    The second payment must then be dismissed, too.
    """
    await ledger.open(CODE, amount="9")
    await webhook.settle(
        a_payment(supporter_id=5),
        a_payment(supporter_id=5, amount=6),
        a_payment(supporter_id=5, amount=9, support_note=CODE, status="disputed"),
        a_payment(supporter_id=6, amount=7),
    )
    first = await ledger.pool.fetchval("SELECT min(charge_id) FROM charges")

    done = await dismiss_charge(desk, first, order(), remember=OutsiderKind.SUPPORTER)

    assert isinstance(done, Done)
    assert len(done.also_dismissed) == 1
    # Marking the supporter as an outsider dismisses only the first two charges. The third charge has a user's code, and the
    # fourth charge is from another supporter.
    assert [state for state, _, _ in await charges(ledger)] == ["dismissed", "dismissed", "unmatched", "unmatched"]


async def test_a_dismissal_without_a_record_does_not_affect_later_payments(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    await webhook.settle(a_payment(supporter_id=5))
    await dismiss_charge(desk, await last_charge_id(ledger), order())

    assert await webhook.settle(a_payment(supporter_id=5, amount=6)) == ["unmatched"]


async def test_a_valid_code_ends_the_record_of_an_outsider(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await webhook.settle(a_payment(supporter_id=5))
    await dismiss_charge(desk, await last_charge_id(ledger), order(), remember=OutsiderKind.SUPPORTER)
    await ledger.open(CODE, amount="9")

    outcomes = await webhook.settle(
        a_payment(supporter_id=5, support_note=CODE, amount=9), a_payment(supporter_id=5, amount=6)
    )

    assert outcomes == ["credited", "unmatched"]


async def test_a_known_outsider_is_not_guessed(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await webhook.settle(a_payment(supporter_id=5))
    await dismiss_charge(desk, await last_charge_id(ledger), order(), remember=OutsiderKind.SUPPORTER)
    await ledger.open(CODE, amount="6")

    assert await webhook.settle(a_payment(supporter_id=5, amount=6)) == ["recorded"]


@pytest.mark.parametrize("which", ["the first", "the automatic one"])
async def test_undoing_a_dismissal_ends_the_record(ledger: Ledger, webhook: Webhook, desk: Pool, which: str) -> None:
    await webhook.settle(a_payment(supporter_id=5))
    first = await last_charge_id(ledger)
    await dismiss_charge(desk, first, order(), remember=OutsiderKind.SUPPORTER)
    await webhook.settle(a_payment(supporter_id=5, amount=6))

    await undo_match(desk, first if which == "the first" else await last_charge_id(ledger), order())

    assert await webhook.settle(a_payment(supporter_id=5, amount=7)) == ["unmatched"]


async def test_a_subscription_and_an_item_can_be_outsiders_too(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await webhook.settle(a_subscription(psp_id="sub_9", id=9))
    await dismiss_charge(desk, await last_charge_id(ledger), order(), remember=OutsiderKind.SUBSCRIPTION)
    bought: dict[str, Any] = {"extras": [{"id": 12, "title": "Sticker"}]}
    await webhook.settle(a_payment("extra_purchase.created", amount=4, **bought))
    await dismiss_charge(desk, await last_charge_id(ledger), order(), remember=OutsiderKind.ITEM)
    await ledger.open(CODE, amount="4")

    outcomes = await webhook.settle(
        a_subscription("membership.updated", psp_id="sub_9", id=9, period=START + MONTH),
        a_payment("extra_purchase.created", amount=4, supporter_id=1, **bought),
        a_payment("extra_purchase.created", amount=4, supporter_id=2, support_note=CODE, **bought),
        a_payment("extra_purchase.created", amount=4, supporter_id=3, **bought),
    )

    # An operator marked the item as an outsider. The third event has a code, so it is credited. A code does not end the mark of
    # an item, because other buyers of the item may not be users. So the last event, which has no code, is only recorded.
    assert outcomes == ["recorded", "recorded", "credited", "recorded"]


async def test_a_charge_without_a_supporter_cannot_record_an_outsider(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    await webhook.settle(a_payment())

    refused = await dismiss_charge(desk, await last_charge_id(ledger), order(), remember=OutsiderKind.SUPPORTER)

    assert refused == Refused(RefusalCause.NOTHING_TO_REMEMBER)
    assert [state for state, _, _ in await charges(ledger)] == ["unmatched"]


async def test_a_claim_finds_the_payment_of_a_known_outsider(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await webhook.settle(a_payment(supporter_id=5))
    await dismiss_charge(desk, await last_charge_id(ledger), order(), remember=OutsiderKind.SUPPORTER)
    await webhook.settle(a_payment(supporter_id=5, amount=7))
    await meet_user(desk, TelegramId(ANNA), language="en", username=None, now=now())

    claim_id = await raise_claim(
        desk,
        TelegramId(ANNA),
        ClaimedPayment(now().date(), Decimal(7), "USD", "Anna"),
        now=now() + timedelta(seconds=5),
    )

    assert isinstance(claim_id, int)
    file = await find_claim_file(desk, claim_id)
    assert file is not None
    assert [one.charge_id for one in file.charges] == [await last_charge_id(ledger)]
    done = await match_charge(
        desk, await last_charge_id(ledger), order(), telegram_id=TelegramId(ANNA), payment_id=None, rates=RATES
    )
    assert isinstance(done, Done)
    assert await webhook.settle(a_payment(supporter_id=5, amount=6)) == ["unmatched"]


# Notifications to the user -------------------------------------------------------------------------------------------


async def test_users_whose_codes_are_in_one_note_are_told_of_the_review(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, user=ANNA)
    await ledger.open(OTHER_CODE, user=BOHDAN)

    await webhook.settle(a_payment(support_note=f"{CODE} {OTHER_CODE}"))

    assert await ledger.told(ANNA) == await ledger.told(BOHDAN) == [NotificationKind.PAYMENT_UNDER_REVIEW]


async def test_the_user_of_a_charge_without_a_rate_is_told_of_the_review(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE)

    await webhook.settle(a_payment(support_note=CODE, currency="JPY"))

    assert await ledger.told(ANNA) == ["payment_under_review"]


async def test_a_supporters_second_payment_with_one_code_is_not_shown_to_operators(
    ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    payments = [a_payment(support_note=CODE, supporter_id=number) for number in (5, 5, 6)]

    assert await webhook.settle(*payments) == ["credited"] * 3

    assert await ledger.told() == ["charge_flagged"]


# Erasing and claims --------------------------------------------------------------------------------------------------


async def test_a_later_event_does_not_restore_erased_data(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await ledger.open(CODE)
    bought = a_payment(
        "extra_purchase.created",
        support_note=CODE,
        supporter_id=5,
        supporter_name="Anna K",
        supporter_email="a@example.org",
    )
    await webhook.settle(bought)
    await erase_user(desk, TelegramId(ANNA))
    answered = bought["data"] | {"extras": [{"question_answers": ["size M, Anna K"]}]}

    await webhook.settle(bought | {"type": "extra_purchase.updated", "event_id": 99999, "data": answered})

    assert (await ledger.charge())["note"] is None
    assert await ledger.pool.fetchval("SELECT count(*) FROM supporters WHERE name IS NULL AND email IS NULL") == 1
    assert await ledger.pool.fetchval("SELECT count(body) FROM events") == 0


async def test_a_renewal_of_an_erased_user_is_credited_without_personal_data(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    person: dict[str, Any] = {
        "supporter_id": 5,
        "supporter_name": "Anna K",
        "supporter_email": "a@example.org",
        "support_note": CODE,
    }
    await ledger.open(CODE)
    await webhook.settle(a_subscription(**person))
    await erase_user(desk, TelegramId(ANNA))

    renewal = a_subscription("membership.updated", period=START + MONTH, **person)
    end = a_subscription("membership.cancelled", status="canceled", **person)

    assert await webhook.settle(renewal, end) == ["credited", "recorded"]
    assert await ledger.balance() == 600
    assert await ledger.pool.fetchval("SELECT count(note) FROM charges") == 0
    assert await ledger.pool.fetchval("SELECT count(name) + count(email) FROM supporters") == 0
    assert await ledger.pool.fetchval("SELECT count(body) FROM events") == 0


async def test_a_first_month_is_credited_once_although_the_donations_note_was_erased(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    await ledger.open(CODE)
    at = seconds_ago(600)
    await webhook.settle(a_payment(support_note=CODE, created_at=at, supporter_id=7))
    await erase_user(desk, TelegramId(ANNA))

    month = a_subscription(
        "recurring_donation.started", amount=5, support_note=CODE, period=at, started_at=at, supporter_id=7
    )

    assert await webhook.settle(month) == ["unmatched"]
    assert await ledger.credits() == [500]


async def test_a_waiting_payment_of_an_erased_user_keeps_its_note(ledger: Ledger, webhook: Webhook, desk: Pool) -> None:
    await ledger.open(CODE)
    await webhook.settle(a_payment(support_note=CODE, supporter_id=5, supporter_name="Anna K"))
    await erase_user(desk, TelegramId(ANNA))

    assert await webhook.settle(a_payment(amount=9, support_note="again", supporter_id=5)) == ["unmatched"]

    assert await ledger.pool.fetchval("SELECT note FROM charges WHERE state = 'unmatched'") == "again"


async def test_a_claim_raised_while_its_event_was_spooled_is_closed(
    ledger: Ledger, role_url: Callable[[str], str], janitor: Pool
) -> None:
    await ledger.open(CODE, minutes_ago=30)
    body = raw(a_payment(support_note=CODE, created_at=seconds_ago(600)))
    spooled = read_event(body, received_at=now() - timedelta(minutes=10), nonce="n")
    raised_at = now() - timedelta(seconds=5)
    await raise_claim(ledger.pool, TelegramId(ANNA), ClaimedPayment(now().date(), Decimal(5), "USD"), now=raised_at)

    async with open_pool(role_url("webhook")) as pool:
        await settle_events(pool, [spooled], RULES, now=now())

    assert await close_answered_claims(janitor, now=now()) == 1
    assert await find_open_claim(ledger.pool, TelegramId(ANNA)) is None
