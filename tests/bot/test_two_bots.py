"""
In webhook mode, two bots can serve the same users: either bot may get an update.

The two bots share only the database. The simulated Telegram server sends its updates to a balancer, which chooses the bot for
each update. Some tests lock the row of Anna's dialogue until both bots wait to change it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from coffee_ledger.runtime.health import listening
from coffee_ledger.store.database import Pool, transaction
from coffee_ledger.telegram.client import WEBHOOK_PATH, webhook_secret
from tests.bot.desk import card_of, data_of
from tests.bot.fixtures import RunBot
from tests.bot.people import DEADLINE_SECONDS, Person
from tests.bot.visitors import Visitor, init_data
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA, Ledger
from tests.integration.webhook import Webhook
from tests.sandbox.world import TOKEN, Sandbox

NOWHERE = "https://nowhere.invalid/telegram-webhook"
PASSED_ON, STOPPED, APOLOGY = "passed it on", "Nothing was sent", "Something went wrong"


class Balancer:
    """Forwards each update to one of the bots, alternating between them."""

    def __init__(self, bots: list[str], session: aiohttp.ClientSession) -> None:
        self.bots = bots
        self._session = session
        self._turns = 0
        self.repeats = False
        """
        If True, each update reaches both bots, one after the other.

        So the tests can simulate a bot that dies after it has handled an update. Telegram then repeats the update.
        """

    async def forward(self, request: web.Request) -> web.Response:
        body = await request.read()
        status = await self._pass(request, body)
        if self.repeats:
            status = await self._pass(request, body)
        return web.Response(status=status)

    async def _pass(self, request: web.Request, body: bytes) -> int:
        bot = self.bots[self._turns % len(self.bots)]
        self._turns += 1
        headers = {name: value for name, value in request.headers.items() if name.startswith(("X-", "Content-Type"))}
        async with self._session.post(f"{bot}{WEBHOOK_PATH}", data=body, headers=headers) as answer:
            return answer.status


@pytest.fixture
async def balancer(run_bot: RunBot, sandbox: Sandbox) -> AsyncIterator[Balancer]:
    """Run two bots behind a balancer, and yield the balancer."""
    async with (
        run_bot(BOT_WEBHOOK_URL=NOWHERE) as first,
        run_bot(BOT_WEBHOOK_URL=NOWHERE) as second,
        aiohttp.ClientSession() as session,
    ):
        await sandbox.get("/telegram/calls", method="setWebhook", count=2, wait=DEADLINE_SECONDS)
        balancer, app = Balancer([first.url, second.url], session), web.Application()
        app.router.add_post(WEBHOOK_PATH, balancer.forward)
        async with listening(app, 0, drain_seconds=DEADLINE_SECONDS) as port:
            url = f"http://127.0.0.1:{port}{WEBHOOK_PATH}"
            await sandbox.bot("setWebhook", url=url, secret_token=webhook_secret(TOKEN))
            yield balancer


async def all_handled(sandbox: Sandbox) -> None:
    """Wait until the bots have handled all updates."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (await sandbox.bot("getWebhookInfo"))["pending_update_count"]:  # noqa: ASYNC110 — polled over HTTP
            await asyncio.sleep(0.01)


@asynccontextmanager
async def both_waiting(pool: Pool) -> AsyncIterator[None]:
    """Lock all rows of `dialogues`. Before the context ends, wait until two connections of the bots wait for a lock."""
    async with transaction(pool) as db:
        await db.execute("SELECT FROM dialogues FOR UPDATE")
        yield
        waiting = "SELECT count(*) = 2 FROM pg_stat_activity WHERE usename = 'bot' AND wait_event_type = 'Lock'"
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await pool.fetchval(waiting):  # noqa: ASYNC110 — poll: Postgres sends no signal when a connection waits
                await asyncio.sleep(0.01)


async def claim_until(person: Person, *presses: str) -> None:
    await person.ask("/claim")
    for button in presses:
        await person.press(button)
        await person.hear()
    await all_handled(person.sandbox)


async def click(person: Person, button: str) -> None:
    """Press a button without waiting for the bot."""
    await person.sandbox.post(f"{person.path}/press", button=button)


async def count(person: Person, words: str) -> int:
    return sum(words in text for text in await person.texts())


# A message and a button press at the same time -----------------------------------------------------------------------


@pytest.mark.usefixtures("balancer")
async def test_of_a_text_and_a_press_at_the_same_time_only_the_first_answers_the_question(
    anna: Person, sandbox: Sandbox, pool: Pool, ledger: Ledger
) -> None:
    await claim_until(anna)

    async with both_waiting(pool):
        await anna.say("yesterday")
        await click(anna, "Today")
    await all_handled(sandbox)
    asked = await count(anna, "How much")
    for said in ("5", "Anna K."):
        await anna.say(said)
        await all_handled(sandbox)

    [claim] = await ledger.pool.fetch("SELECT amount, name FROM claims")
    assert asked == 1
    assert (str(claim["amount"]), claim["name"]) == ("5.00", "Anna K.")
    assert await count(anna, APOLOGY) == 0


@pytest.mark.usefixtures("balancer")
async def test_a_name_and_a_press_on_skip_at_the_same_time_make_one_claim(
    anna: Person, sandbox: Sandbox, pool: Pool, ledger: Ledger
) -> None:
    await claim_until(anna, "Today", "$5")

    async with both_waiting(pool):
        await anna.say("Anna K.")
        await click(anna, "Skip")
    await all_handled(sandbox)

    assert await ledger.pool.fetchval("SELECT count(*) FROM claims") == 1
    assert await count(anna, PASSED_ON) == 1
    assert await count(anna, APOLOGY) == 0
    assert await ledger.pool.fetchval("SELECT count(*) FROM dialogues") == 0


@pytest.mark.usefixtures("balancer")
async def test_an_answer_does_not_continue_a_dialogue_that_is_stopped_at_the_same_time(
    anna: Person, sandbox: Sandbox, pool: Pool
) -> None:
    await claim_until(anna, "Today")

    async with both_waiting(pool):
        await anna.say("5")
        await click(anna, "Stop")
    await all_handled(sandbox)
    await anna.say("Anna K.")
    await all_handled(sandbox)

    assert await count(anna, STOPPED) == 1
    assert await count(anna, "did not understand") == 1
    assert await pool.fetchval("SELECT count(*) FROM claims") == 0


@pytest.mark.usefixtures("balancer")
async def test_a_claim_that_is_stopped_while_it_is_sent_is_either_stopped_or_shown(
    anna: Person, sandbox: Sandbox, pool: Pool
) -> None:
    await claim_until(anna, "Today", "$5")

    async with both_waiting(pool):
        await anna.say("Anna K.")
        await click(anna, "Stop")
    await all_handled(sandbox)

    claims = await pool.fetchval("SELECT count(*) FROM claims")
    assert await count(anna, PASSED_ON) == claims
    assert await count(anna, STOPPED) == 1 - claims


# Updates that arrive again -------------------------------------------------------------------------------------------


async def test_a_claim_whose_updates_all_arrive_twice_is_made_once_with_the_right_answers(
    anna: Person, balancer: Balancer, sandbox: Sandbox, pool: Pool
) -> None:
    """Each answer arrives twice. The second "7.50" must not answer the next question, which asks for a name."""
    balancer.repeats = True

    for said in ("/claim", "yesterday", "7.50", "Anna K."):
        await anna.say(said)
        await all_handled(sandbox)

    [claim] = await pool.fetch("SELECT amount, name FROM claims")
    assert (str(claim["amount"]), claim["name"]) == ("7.50", "Anna K.")
    assert await count(anna, PASSED_ON) == 1
    assert await count(anna, APOLOGY) == 0


async def test_a_question_is_sent_again_if_the_press_before_it_arrives_again(
    anna: Person, balancer: Balancer, sandbox: Sandbox, pool: Pool
) -> None:
    """
    Each press on an answer arrives at both bots, and each bot must then send the next question.

    The second bot cannot know whether the first bot died after it had stored the answer and before it sent the question.
    """
    await claim_until(anna)
    balancer.repeats = True

    for button, question in (("Today", "How much"), ("$5", "name")):
        await click(anna, button)
        await all_handled(sandbox)
        assert await count(anna, question) == 2
    await anna.press("Skip")
    await all_handled(sandbox)

    assert await pool.fetchval("SELECT count(*) FROM claims") == 1


async def test_requests_to_pay_that_arrive_twice_open_one_payment_each(
    anna: Person, balancer: Balancer, sandbox: Sandbox, pool: Pool
) -> None:
    await anna.say("/pay")
    await all_handled(sandbox)
    balancer.repeats = True

    await anna.say("/pay 10")
    await anna.send_form('{"amount": 20}')
    await all_handled(sandbox)
    await anna.press("pick:5:USD")
    await all_handled(sandbox)

    amounts = await pool.fetch("SELECT amount::integer FROM pending_payments ORDER BY amount")
    assert [row["amount"] for row in amounts] == [5, 10, 20]


async def test_decisions_that_arrive_twice_take_effect_once(
    anna: Person, operator: Person, balancer: Balancer, sandbox: Sandbox, webhook: Webhook, ledger: Ledger
) -> None:
    await anna.say("/start")
    card = await card_of(operator, webhook)
    await all_handled(sandbox)
    balancer.repeats = True

    await operator.press(data_of(card, "Just a supporter"), message_id=card["message_id"])
    await operator.say(f"/credit {ANNA} +70 a gift")
    await all_handled(sandbox)
    # The command arrived twice, so the bots asked for confirmation twice. The operator confirms only the last question.
    asked = (await operator.messages())[-1]
    await operator.press(data_of(asked, "Yes"), message_id=asked["message_id"])
    await all_handled(sandbox)

    assert await ledger.credits() == [70]
    decisions = await ledger.pool.fetch("SELECT action FROM operator_actions ORDER BY action_id")
    assert [row["action"] for row in decisions] == ["dismiss", "credit"]


async def test_a_guess_that_is_taken_back_twice_is_reversed_once(
    anna: Person, balancer: Balancer, sandbox: Sandbox, webhook: Webhook, ledger: Ledger
) -> None:
    await anna.ask_for_code("5")
    await webhook.settle(a_payment(support_note="thanks", amount=5))
    told = await anna.hear()
    await all_handled(sandbox)
    balancer.repeats = True

    await anna.press(data_of(told, "Not mine"))
    await all_handled(sandbox)

    assert await ledger.credits() == [500, -500]


# Event streams -------------------------------------------------------------------------------------------------------


async def test_an_open_page_is_told_of_a_payment_by_either_bot(
    anna: Person, balancer: Balancer, webhook: Webhook
) -> None:
    code = await anna.ask_for_code("5")
    async with aiohttp.ClientSession() as session, AsyncExitStack() as pages:
        visitors = [Visitor(session, bot, init_data()) for bot in balancer.bots]
        streams = [await pages.enter_async_context(visitor.events()) for visitor in visitors]
        for stream in streams:
            await stream.next()

        await webhook.settle(a_payment(support_note=code, amount=5))
        heard = [await stream.next() for stream in streams]

    assert [state["balance"] for _, state in heard] == [500, 500]


# Receipts ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("balancer")
async def test_of_two_bots_one_writes_a_receipt(anna: Person, sandbox: Sandbox, webhook: Webhook, pool: Pool) -> None:
    for amount in (5, 6, 7):
        await webhook.settle(a_payment(support_note=await anna.ask_for_code(str(amount)), amount=amount))
        await anna.hear()
    async with asyncio.timeout(2 * DEADLINE_SECONDS):
        while await pool.fetchval("SELECT count(*) FROM payment_messages"):  # noqa: ASYNC110 — poll: a deletion sends no signal
            await asyncio.sleep(0.05)

    edits = await sandbox.get("/telegram/calls", method="editMessageText")
    assert [edit["status"] for edit in edits] == [200, 200, 200]
