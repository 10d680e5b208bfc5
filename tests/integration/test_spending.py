"""A bot in any programming language can call `spend_credits`, which spends once per key and never more than the balance."""

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest

from coffee_ledger.store.database import Connection, Pool, open_pool
from tests.integration.people import ANNA, BOHDAN, Ledger, connect_all

INSUFFICIENT, DISAGREES = "CL001", "CL002"


class Spender:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def spend(
        self,
        amount: int | None = 30,
        key: str | None = "game-1",
        *,
        user: int | None = ANNA,
        reason: str | None = "a game",
    ) -> int:
        left: int = await self.pool.fetchval("SELECT spend_credits($1, $2, $3, $4)", user, amount, reason, key)
        return left

    async def fail(self, amount: int, key: str = "game-1", *, user: int | None = ANNA) -> str:
        """Assert that spending fails, and return the SQLSTATE, which bots in any programming language can read."""
        with pytest.raises(asyncpg.PostgresError) as refused:
            await self.spend(amount, key, user=user)
        return str(refused.value.sqlstate)


@pytest.fixture
async def spender(role_url: Callable[[str], str]) -> AsyncIterator[Spender]:
    """Yield a spender that connects to the database with the bot's role."""
    async with open_pool(role_url("bot")) as pool:
        await connect_all(pool)
        yield Spender(pool)


@pytest.fixture(autouse=True)
async def hundred(ledger: Ledger) -> None:
    """Give Anna and Bohdan 100 credits each."""
    await ledger.pool.execute("INSERT INTO users (telegram_id) VALUES ($1), ($2)", ANNA, BOHDAN)
    for user in (ANNA, BOHDAN):
        await give(ledger, 100, user=user)


async def give(ledger: Ledger, credits: int, *, user: int = ANNA) -> None:
    await ledger.adjust(credits, user=user)


async def test_spending_returns_the_remaining_balance(spender: Spender, ledger: Ledger) -> None:
    left = await spender.spend(30)

    assert left == await ledger.balance() == 70
    [row] = await ledger.pool.fetch("SELECT * FROM credits WHERE kind = 'spend'")
    assert (row["telegram_id"], row["credits"], row["cause"], row["idempotency_key"]) == (ANNA, -30, "a game", "game-1")


async def test_the_whole_balance_may_be_spent(spender: Spender, ledger: Ledger) -> None:
    assert await spender.spend(100) == await ledger.balance() == 0


async def test_one_credit_too_many_is_refused(spender: Spender, ledger: Ledger) -> None:
    with pytest.raises(asyncpg.PostgresError, match="balance is too low") as refused:
        await spender.spend(101)

    assert refused.value.sqlstate == INSUFFICIENT
    assert refused.value.as_dict()["detail"] == "balance 100, requested 101"
    assert await ledger.balance() == 100


@pytest.mark.parametrize("user", [303, None], ids=["unknown", "null"])
async def test_a_user_without_credits_cannot_spend(spender: Spender, user: int | None) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await spender.spend(1, user=user)

    assert refused.value.sqlstate == INSUFFICIENT


async def test_a_refused_key_may_be_used_again_when_the_balance_suffices(spender: Spender, ledger: Ledger) -> None:
    await spender.fail(150)
    await give(ledger, 50)

    assert await spender.spend(150) == 0


async def test_a_repeat_spends_once_and_returns_the_balance(spender: Spender, ledger: Ledger) -> None:
    first = await spender.spend(30)

    again = await spender.spend(30)

    assert first == again == await ledger.balance() == 70


async def test_a_repeat_returns_the_first_answer_despite_later_changes(spender: Spender, ledger: Ledger) -> None:
    first = await spender.spend(30, "game-1")
    await spender.spend(30, "game-2")
    await give(ledger, 500)

    again = await spender.spend(30, "game-1")

    assert first == again == 70
    assert await ledger.balance() == 540


async def test_a_repeat_is_answered_although_the_balance_would_not_suffice(spender: Spender, ledger: Ledger) -> None:
    await spender.spend(80)

    assert await spender.spend(80) == 20


async def test_another_key_spends_again(spender: Spender) -> None:
    await spender.spend(30, "game-1")

    assert await spender.spend(30, "game-2") == 40


@pytest.mark.parametrize(("user", "amount"), [(BOHDAN, 30), (ANNA, 31), (BOHDAN, 31), (303, 30), (None, 30)])
async def test_a_key_belongs_to_one_spending(spender: Spender, ledger: Ledger, user: int | None, amount: int) -> None:
    await spender.spend(30)

    assert await spender.fail(amount, user=user) == DISAGREES
    assert (await ledger.balance(ANNA), await ledger.balance(BOHDAN)) == (70, 100)


@pytest.mark.parametrize("amount", [0, -1, None])
async def test_an_amount_must_be_a_positive_number(spender: Spender, ledger: Ledger, amount: int | None) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="positive number"):
        await spender.spend(amount)

    assert await ledger.balance() == 100


@pytest.mark.parametrize("empty", ["", "  ", None])
async def test_a_spending_has_its_reason_and_its_key(spender: Spender, ledger: Ledger, empty: str | None) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError, match="must not be empty"):
        await spender.spend(reason=empty)
    with pytest.raises(asyncpg.InvalidParameterValueError, match="must not be empty"):
        await spender.spend(key=empty)

    assert await ledger.balance() == 100


async def test_a_debt_must_be_paid_before_spending(spender: Spender, ledger: Ledger) -> None:
    """A refund of spent credits can make the balance negative. Spending then fails until the balance suffices again."""
    await give(ledger, -150)
    assert await ledger.balance() == -50

    assert await spender.fail(1) == INSUFFICIENT

    await give(ledger, 51)
    assert await spender.spend(1) == 0


async def spend_at_once(spender: Spender, *spendings: tuple[int, str, int]) -> list[int | str]:
    """Run all *spendings* (amount, key, user) concurrently. Return the balance after each, or the SQLSTATE of its error."""
    start = asyncio.Barrier(len(spendings))

    async def spend(amount: int, key: str, user: int) -> int | str:
        await start.wait()
        try:
            return await spender.spend(amount, key, user=user)
        except asyncpg.PostgresError as error:
            return str(error.sqlstate)

    return await asyncio.gather(*(spend(*one) for one in spendings))


async def test_two_spendings_at_once_do_not_spend_the_same_credits(spender: Spender, ledger: Ledger) -> None:
    answers = await spend_at_once(spender, (60, "game-1", ANNA), (60, "game-2", ANNA))

    assert sorted(answers, key=str) == [40, INSUFFICIENT]
    assert await ledger.balance() == 40


async def test_two_spendings_at_once_both_succeed_if_the_balance_suffices(spender: Spender, ledger: Ledger) -> None:
    answers = await spend_at_once(spender, (50, "game-1", ANNA), (50, "game-2", ANNA))

    assert sorted(answers, key=str) == [0, 50]
    assert await ledger.balance() == 0


async def test_a_key_used_twice_at_once_spends_once(spender: Spender, ledger: Ledger) -> None:
    answers = await spend_at_once(spender, *[(30, "game-1", ANNA)] * 5)

    assert answers == [70] * 5
    assert await ledger.credits("spend") == [-30]


async def test_a_key_used_for_two_users_at_once_belongs_to_one(spender: Spender, ledger: Ledger) -> None:
    answers = await spend_at_once(spender, (30, "game-1", ANNA), (30, "game-1", BOHDAN))

    assert sorted(answers, key=str) == [70, DISAGREES]
    assert await ledger.credits("spend") == [-30]


async def test_a_key_that_is_being_spent_by_another_user_is_refused(spender: Spender, ledger: Ledger) -> None:
    """
    A key can be used for only one spending.

    Anna's spending with a key is not committed yet. Bohdan's spending with the same key waits for the commit, and then fails.
    """
    async with ledger.pool.acquire() as db, db.transaction():
        await db.execute("SELECT spend_credits($1, 30, 'a game', 'game-1')", ANNA)
        waiting = asyncio.create_task(spender.fail(30, user=BOHDAN))
        await ledger.until_somebody_waits()

    assert await waiting == DISAGREES
    assert await ledger.balance(BOHDAN) == 100


async def test_many_spendings_at_once_never_exceed_the_balance(spender: Spender, ledger: Ledger) -> None:
    answers = await spend_at_once(spender, *((7, f"game-{number}", ANNA) for number in range(20)))

    assert answers.count(INSUFFICIENT) == 20 - 100 // 7
    assert await ledger.balance() == 100 % 7
    assert await ledger.drift() == 0


@pytest.fixture
async def shop(ledger: Ledger, role_url: Callable[[str], str], database: str) -> AsyncIterator[Connection]:
    """Yield a connection of another bot. Its role has only the privileges of the group role `spender`."""
    role = f"shop_of_{database}"
    await ledger.pool.execute(f"CREATE ROLE {role} LOGIN; GRANT spender TO {role}")
    db = await asyncpg.connect(role_url(role))
    yield db
    await db.close()
    await ledger.pool.execute(f"DROP ROLE {role}")


async def test_another_bot_spends_and_reads_balances_with_the_role_for_it(shop: Connection, ledger: Ledger) -> None:
    assert await shop.fetchval("SELECT spend_credits($1, 30, 'a book', 'order-1')", ANNA) == 70
    assert await shop.fetchval("SELECT balance FROM balances WHERE telegram_id = $1", ANNA) == 70


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO credits (telegram_id, kind, credits, cause) VALUES (101, 'adjustment', 1, 'a gift')",
        "UPDATE balances SET balance = 1000",
        "SELECT * FROM credits",
        "SELECT * FROM users",
        "SELECT * FROM pending_payments",
        "SELECT * FROM events",
    ],
)
async def test_another_bot_has_no_other_privileges(shop: Connection, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await shop.execute(statement)


@pytest.mark.parametrize("role", ["webhook", "janitor"])
async def test_the_webhook_cannot_spend(role_url: Callable[[str], str], ledger: Ledger, role: str) -> None:
    async with open_pool(role_url(role)) as pool:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await Spender(pool).spend()

    assert await ledger.balance() == 100
