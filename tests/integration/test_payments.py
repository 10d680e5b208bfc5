"""Test how users open, reuse and cancel pending payments, and read their balance and history."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from coffee_ledger.codes import confusable_codes
from coffee_ledger.errors import PaymentIdTakenError, TooManyOpenPaymentsError
from coffee_ledger.model import PaymentId, PaymentStatus, PendingPayment, TelegramId
from coffee_ledger.store.database import Pool, open_pool, sql
from coffee_ledger.store.pending_payments import (
    OPEN_MAX,
    REQUESTS_KEPT,
    Cancelling,
    Change,
    PaymentRequest,
    cancel_payment,
    find_balance,
    find_history,
    find_open_payments,
    open_payment,
)
from coffee_ledger.store.users import erase_user, mark_unreachable, meet_user
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, BOHDAN, Ledger, connect_all
from tests.integration.test_settling import CODE, OTHER_CODE, code
from tests.integration.webhook import Webhook

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
REUSE = timedelta(hours=12)
OLDER_FORM = PaymentId(f"{ANNA}_1732347758")
CODES = [code(seven) for seven in ("A2B3C4D", "E5F6G7H", "J8K9M2N", "P3Q4R5S", "T6U7V8W", "X9Y2Z3A")]
CODES += [code(seven) for seven in ("B4C5D6E", "F7G8H9J", "K2M3N4P", "Q5R6S7T", "U8V9W2X", "Y3Z4A5B")]


def request_of(
    key: str = "message:1",
    *,
    user: int = ANNA,
    amount: str = "5",
    currency: str = "USD",
    payment_id: PaymentId | None = None,
) -> PaymentRequest:
    return PaymentRequest(key, TelegramId(user), Decimal(amount), currency, payment_id)


class Bot:
    """Requests and cancels payments as the bot does, with the bot's database role. The test chooses the codes."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.codes: Iterator[PaymentId] = iter(CODES)

    async def open(self, request: PaymentRequest, *, now: datetime = NOW) -> PendingPayment:
        return await open_payment(self.pool, request, draw_code=lambda: next(self.codes), now=now, reuse_within=REUSE)

    async def cancel(self, payment_id: PaymentId, *, user: int = ANNA) -> Cancelling | None:
        return await cancel_payment(self.pool, payment_id, TelegramId(user), now=NOW)


@pytest.fixture
async def bot(role_url: Callable[[str], str]) -> AsyncIterator[Bot]:
    async with open_pool(role_url("bot")) as pool:
        await connect_all(pool)
        for user in (ANNA, BOHDAN):
            await meet_user(pool, TelegramId(user), language="uk", username=None, now=NOW)
        yield Bot(pool)


async def test_a_request_is_stored_as_a_payment(bot: Bot) -> None:
    payment = await bot.open(request_of(amount="7.50", currency="EUR"))

    assert payment == PendingPayment(
        CODES[0], TelegramId(ANNA), Decimal("7.50"), "EUR", PaymentStatus.PENDING, created_at=NOW
    )
    assert await find_open_payments(bot.pool, TelegramId(ANNA)) == [payment]


async def test_a_repeated_update_finds_its_payment(bot: Bot) -> None:
    first = await bot.open(request_of())

    again = await bot.open(request_of(), now=NOW + timedelta(days=30))

    assert again == first


async def test_a_repeated_update_finds_its_payment_although_it_has_ended(bot: Bot) -> None:
    first = await bot.open(request_of())
    await bot.cancel(first.payment_id)

    again = await bot.open(request_of())

    assert (again.payment_id, again.status) == (first.payment_id, PaymentStatus.CANCELLED)


async def test_one_update_handled_twice_at_once_opens_one_payment(bot: Bot, ledger: Ledger) -> None:
    start = asyncio.Barrier(2)

    async def take() -> PendingPayment:
        await start.wait()
        return await bot.open(request_of())

    one, other = await asyncio.gather(take(), take())

    assert one == other
    assert await ledger.pool.fetchval("SELECT count(*) FROM pending_payments") == 1


async def test_two_requests_of_one_amount_at_once_open_one_payment(bot: Bot) -> None:
    start = asyncio.Barrier(2)

    async def take(key: str) -> PendingPayment:
        await start.wait()
        return await bot.open(request_of(key))

    one, other = await asyncio.gather(take("message:1"), take("message:2"))

    assert one.payment_id == other.payment_id


async def test_a_recent_open_payment_of_the_same_amount_is_reused(bot: Bot) -> None:
    first = await bot.open(request_of("message:1"))

    later = NOW + REUSE - timedelta(seconds=1)
    again = await bot.open(request_of("message:2", amount="5.00"), now=later)

    assert again == replace(first, requested_again_at=(later,))


async def test_the_newest_times_of_repeated_requests_are_kept(bot: Bot) -> None:
    first = await bot.open(request_of("message:0"))
    times = [NOW + timedelta(seconds=number) for number in range(1, REQUESTS_KEPT + 3)]

    for number, at in enumerate(times):
        again = await bot.open(request_of(f"message:{number + 1}"), now=at)

    assert again == replace(first, requested_again_at=tuple(times[-REQUESTS_KEPT:]))


async def test_an_older_open_payment_is_not_reused(bot: Bot) -> None:
    first = await bot.open(request_of("message:1"))

    again = await bot.open(request_of("message:2"), now=NOW + REUSE)

    assert again.payment_id != first.payment_id


@pytest.mark.parametrize(
    "other",
    [
        request_of("message:2", amount="5.01"),
        request_of("message:2", currency="EUR"),
        request_of("message:2", user=BOHDAN),
    ],
    ids=["another amount", "another currency", "another user"],
)
async def test_a_different_request_opens_another_payment(bot: Bot, other: PaymentRequest) -> None:
    first = await bot.open(request_of("message:1"))

    second = await bot.open(other)

    assert second.payment_id != first.payment_id
    assert second.telegram_id == other.telegram_id


async def test_an_ended_payment_is_not_reused(bot: Bot) -> None:
    first = await bot.open(request_of("message:1"))
    await bot.cancel(first.payment_id)

    again = await bot.open(request_of("message:2"))

    assert again.payment_id != first.payment_id


async def test_a_user_has_at_most_ten_open_payments(bot: Bot) -> None:
    payments = [await bot.open(request_of(f"message:{number}", amount=str(number))) for number in range(1, 11)]

    with pytest.raises(TooManyOpenPaymentsError) as refused:
        await bot.open(request_of("message:11", amount="11"))

    assert refused.value.open_max == OPEN_MAX == len(payments)
    assert await find_open_payments(bot.pool, TelegramId(ANNA)) == payments


async def test_open_payments_are_still_reused_at_the_limit(bot: Bot) -> None:
    payments = [await bot.open(request_of(f"message:{number}", amount=str(number))) for number in range(1, 11)]

    again = await bot.open(request_of("message:11", amount="3"))

    assert again.payment_id == payments[2].payment_id


async def test_the_limit_counts_only_open_payments_of_the_same_user(bot: Bot) -> None:
    payments = [await bot.open(request_of(f"message:{number}", amount=str(number))) for number in range(1, 11)]
    await bot.cancel(payments[0].payment_id)

    await bot.open(request_of("message:11", amount="11"))
    await bot.open(request_of("message:12", amount="12", user=BOHDAN))

    assert len(await find_open_payments(bot.pool, TelegramId(ANNA))) == OPEN_MAX


async def test_many_requests_at_once_do_not_exceed_the_limit(bot: Bot) -> None:
    start = asyncio.Barrier(OPEN_MAX + 2)

    async def take(number: int) -> PendingPayment:
        await start.wait()
        return await bot.open(request_of(f"message:{number}", amount=str(number + 1)))

    taken = await asyncio.gather(*(take(number) for number in range(OPEN_MAX + 2)), return_exceptions=True)

    assert sum(isinstance(one, TooManyOpenPaymentsError) for one in taken) == 2
    assert len(await find_open_payments(bot.pool, TelegramId(ANNA))) == OPEN_MAX


async def test_the_limit_holds_for_ids_made_by_a_web_app(bot: Bot) -> None:
    for number in range(OPEN_MAX):
        await bot.open(request_of(f"message:{number}", payment_id=PaymentId(f"{ANNA}_173234775{number}")))

    with pytest.raises(TooManyOpenPaymentsError):
        await bot.open(request_of("message:11", payment_id=PaymentId(f"{ANNA}_1732347999")))


async def test_an_id_made_by_a_web_app_is_kept_unchanged(bot: Bot) -> None:
    payment = await bot.open(request_of(payment_id=OLDER_FORM))

    assert payment.payment_id == OLDER_FORM
    assert payment.status is PaymentStatus.PENDING


async def test_an_id_made_by_a_web_app_opens_a_second_payment_of_the_same_amount(bot: Bot) -> None:
    """
    Normally, a second request of the same amount returns the payment that is already open.

    But if a Web App created a payment id for the request, the request must open a new payment with this id. The Web App already
    shows the id, so the supporter will write the id into the note.
    """
    first = await bot.open(request_of("message:1"))

    payment = await bot.open(request_of("message:2", payment_id=OLDER_FORM))

    assert payment.payment_id == OLDER_FORM != first.payment_id


async def test_a_repeated_web_apps_id_finds_its_payment(bot: Bot) -> None:
    first = await bot.open(request_of("message:1", payment_id=OLDER_FORM))

    again = await bot.open(request_of("message:2", payment_id=OLDER_FORM))

    assert again == first


@pytest.mark.parametrize(
    "other",
    [
        request_of("message:2", amount="6", payment_id=OLDER_FORM),
        request_of("message:2", currency="EUR", payment_id=OLDER_FORM),
        request_of("message:2", user=BOHDAN, payment_id=OLDER_FORM),
    ],
    ids=["another amount", "another currency", "another user"],
)
async def test_a_web_apps_id_belongs_to_one_payment(bot: Bot, other: PaymentRequest) -> None:
    first = await bot.open(request_of("message:1", payment_id=OLDER_FORM))

    with pytest.raises(PaymentIdTakenError):
        await bot.open(other)

    assert await find_open_payments(bot.pool, TelegramId(ANNA)) == [first]
    assert await find_open_payments(bot.pool, TelegramId(BOHDAN)) == []


async def test_a_web_apps_id_handled_twice_at_once_opens_one_payment(bot: Bot) -> None:
    start = asyncio.Barrier(2)

    async def take(key: str) -> PendingPayment:
        await start.wait()
        return await bot.open(request_of(key, payment_id=OLDER_FORM))

    one, other = await asyncio.gather(take("message:1"), take("message:2"))

    assert one == other


def differences(one: str, other: str) -> int:
    return sum(sign != its for sign, its in zip(one, other, strict=True))


@pytest.mark.parametrize("status", ["pending", "completed", "expired", "cancelled"])
async def test_a_new_code_differs_in_three_places_from_all_earlier_ones(bot: Bot, ledger: Ledger, status: str) -> None:
    """
    One or two wrong characters must never turn a code into the code of another user.

    This includes codes of payments that ended long ago, because late payments are credited, too.
    """
    await ledger.open(CODE, user=BOHDAN, status=status)
    near = sorted(confusable_codes(CODE))
    bot.codes = iter([CODE, near[0], near[-1], OTHER_CODE])

    payment = await bot.open(request_of())

    assert payment.payment_id == OTHER_CODE
    assert differences(CODE, near[0]) == 2
    assert differences(CODE, OTHER_CODE) >= 3


async def test_two_users_who_draw_the_same_code_at_once_get_different_ones(bot: Bot) -> None:
    start = asyncio.Barrier(2)
    drawn = {ANNA: iter([CODE, OTHER_CODE]), BOHDAN: iter([CODE, OTHER_CODE])}

    async def take(user: int) -> PaymentId:
        await start.wait()
        payment = await open_payment(
            bot.pool,
            request_of(f"message:{user}", user=user),
            draw_code=lambda: next(drawn[user]),
            now=NOW,
            reuse_within=REUSE,
        )
        return payment.payment_id

    assert sorted(await asyncio.gather(take(ANNA), take(BOHDAN))) == sorted([CODE, OTHER_CODE])


async def test_a_user_cancels_their_own_payment(bot: Bot, ledger: Ledger) -> None:
    payment = await bot.open(request_of())

    done = await bot.cancel(payment.payment_id)

    assert done is not None
    assert done.is_new
    assert done.payment.status is PaymentStatus.CANCELLED
    assert await ledger.pool.fetchval("SELECT ended_at FROM pending_payments") == NOW
    assert await find_open_payments(bot.pool, TelegramId(ANNA)) == []


async def test_a_user_cannot_cancel_the_payment_of_another(bot: Bot, ledger: Ledger) -> None:
    payment = await bot.open(request_of())

    done = await bot.cancel(payment.payment_id, user=BOHDAN)

    assert done is None
    assert await ledger.status(payment.payment_id) == "pending"


async def test_an_unknown_code_cannot_be_cancelled(bot: Bot) -> None:
    assert await bot.cancel(CODE) is None


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled"])
async def test_an_ended_payment_is_not_cancelled_again(bot: Bot, ledger: Ledger, status: str) -> None:
    await ledger.open(CODE, status=status)

    done = await bot.cancel(CODE)

    assert done is not None
    assert not done.is_new
    assert done.payment.status == status
    assert await ledger.status(CODE) == status


@pytest.mark.parametrize("first", ["cancel", "pay"])
async def test_cancelling_and_paying_at_once_ends_the_payment_once_and_credits_it(
    bot: Bot, ledger: Ledger, webhook: Webhook, first: str
) -> None:
    """
    If a user cancels a pending payment and pays it at the same time, the user is credited in any case.

    The pending payment is then either cancelled or completed. The answer to the cancellation must agree with this status.
    """
    await ledger.open(CODE)
    start = asyncio.Barrier(2)

    async def cancel() -> Cancelling | None:
        await start.wait()
        return await bot.cancel(CODE)

    async def pay() -> list[str]:
        await start.wait()
        return await webhook.settle(a_payment(support_note=CODE))

    if first == "cancel":
        done, outcomes = await asyncio.gather(cancel(), pay())
    else:
        outcomes, done = await asyncio.gather(pay(), cancel())

    assert outcomes == ["credited"]
    assert done is not None
    assert done.payment.status == await ledger.status(CODE) == ("cancelled" if done.is_new else "completed")
    assert await ledger.credits() == [500]


async def test_a_cancellation_that_waits_for_the_completion_finds_it_completed(bot: Bot, ledger: Ledger) -> None:
    await ledger.open(CODE)
    async with ledger.pool.acquire() as db, db.transaction():
        await db.execute("UPDATE pending_payments SET status = 'completed', completed_at = now(), ended_at = now()")
        cancelling = asyncio.create_task(bot.cancel(CODE))
        await ledger.until_somebody_waits()

    done = await cancelling

    assert done is not None
    assert (done.is_new, done.payment.status) == (False, PaymentStatus.COMPLETED)


async def test_a_cancellation_waits_for_a_settlement_that_saw_the_payment_open(bot: Bot, ledger: Ledger) -> None:
    """
    A settlement may match a charge by a guess only to a pending payment that is still open when the settlement commits.

    So a settlement holds a lock until it commits, and a cancellation waits for this lock.
    """
    await ledger.open(CODE)
    async with ledger.pool.acquire() as db, db.transaction():
        await db.execute(sql("lock_settling"))
        cancelling = asyncio.create_task(bot.cancel(CODE))
        await ledger.until_somebody_waits()

        assert await ledger.status(CODE) == "pending"

    done = await cancelling

    assert done is not None
    assert done.is_new


async def test_a_settlement_that_waits_for_the_cancellation_credits_and_leaves_it_cancelled(
    ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    async with ledger.pool.acquire() as db, db.transaction():
        await db.execute("UPDATE pending_payments SET status = 'cancelled', ended_at = now()")
        paying = asyncio.create_task(webhook.settle(a_payment(support_note=CODE)))
        await ledger.until_somebody_waits()

    assert await paying == ["credited"]
    assert await ledger.status(CODE) == "cancelled"
    assert await ledger.credits() == [500]


async def test_a_user_who_never_paid_has_no_balance_and_no_history(bot: Bot) -> None:
    assert await find_balance(bot.pool, TelegramId(ANNA)) == 0
    assert await find_history(bot.pool, TelegramId(ANNA), entries_max=10) == []


async def test_the_history_lists_entries_with_their_amounts_newest_first(
    bot: Bot, ledger: Ledger, webhook: Webhook
) -> None:
    await ledger.open(CODE)
    await ledger.open(OTHER_CODE, user=BOHDAN)
    payment = a_payment(support_note=CODE, amount=7.5, currency="EUR")
    await webhook.settle(payment, a_payment(support_note=OTHER_CODE))
    await bot.pool.execute("SELECT spend_credits($1, 25, 'a game', 'game-1')", ANNA)
    await webhook.settle(a_refund_of(payment))

    history = await find_history(bot.pool, TelegramId(ANNA), entries_max=10)

    assert [(entry.change, entry.credits, entry.amount, entry.currency, entry.cause) for entry in history] == [
        (Change.REFUND, -825, Decimal("7.5"), "EUR", None),
        (Change.SPEND, -25, None, None, "a game"),
        (Change.PAYMENT, 825, Decimal("7.5"), "EUR", None),
    ]
    assert await find_balance(bot.pool, TelegramId(ANNA)) == -25
    assert await find_history(bot.pool, TelegramId(ANNA), entries_max=2) == history[:2]


async def test_a_new_message_updates_the_users_language_and_name(bot: Bot, ledger: Ledger) -> None:
    await mark_unreachable(bot.pool, TelegramId(ANNA), now=NOW)

    await meet_user(bot.pool, TelegramId(ANNA), language="en", username="anna", now=NOW)

    [user] = await ledger.pool.fetch("SELECT * FROM users WHERE telegram_id = $1", ANNA)
    assert (user["language"], user["username"], user["unreachable_at"]) == ("en", "anna", None)


async def test_an_erased_user_is_known_again_by_acting_but_not_by_looking(bot: Bot, ledger: Ledger) -> None:
    await erase_user(bot.pool, TelegramId(ANNA))

    looked = await meet_user(bot.pool, TelegramId(ANNA), language="uk", username="anna", now=NOW, is_acting=False)
    [looking] = await ledger.pool.fetch("SELECT * FROM users WHERE telegram_id = $1", ANNA)
    await meet_user(bot.pool, TelegramId(ANNA), language="uk", username="anna", now=NOW)
    [acting] = await ledger.pool.fetch("SELECT * FROM users WHERE telegram_id = $1", ANNA)

    assert looked == "uk"
    assert (looking["username"], looking["erased_at"] is None) == (None, False)
    assert (acting["username"], acting["erased_at"]) == ("anna", None)


async def test_the_first_time_of_being_unreachable_is_kept(bot: Bot, ledger: Ledger) -> None:
    await mark_unreachable(bot.pool, TelegramId(ANNA), now=NOW)

    await mark_unreachable(bot.pool, TelegramId(ANNA), now=NOW + timedelta(days=1))

    assert await ledger.pool.fetchval("SELECT unreachable_at FROM users WHERE telegram_id = $1", ANNA) == NOW


async def test_an_unknown_user_cannot_open_a_payment(bot: Bot) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await bot.open(request_of(user=999))
