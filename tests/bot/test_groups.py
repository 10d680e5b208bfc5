"""In a group, the bot answers only messages that address it. Each answer is one line that leads to the private chat."""

import itertools
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY

from coffee_ledger.store.database import Pool
from coffee_ledger.telegram.client import webhook_secret
from coffee_ledger.telegram.groups import ANSWERS_BURST
from tests.bot.fixtures import RunBot
from tests.bot.people import DEADLINE_SECONDS, Message, Person, buttons
from tests.integration.bmc import a_payment
from tests.integration.people import ANNA
from tests.integration.webhook import Webhook
from tests.network import free_port
from tests.sandbox.world import TOKEN, Sandbox

NAME = "coffee_ledger_sandbox_bot"
ADDRESS = f"https://t.me/{NAME}?start=pay"
ENGLISH = "Let us talk in a private chat"


@dataclass
class Group:
    """A group whose members are the users that the test needs. The bot is a member, too."""

    sandbox: Sandbox
    id: int

    @property
    def path(self) -> str:
        return f"/telegram/groups/{self.id}"

    async def admit(self, standing: str, by: Person) -> None:
        await self.sandbox.post(f"{self.path}/bot", standing=standing, user_id=by.telegram_id)

    async def say(self, person: Person, text: str, **how: Any) -> int:
        said = await self.sandbox.post(f"{self.path}/messages", user_id=person.telegram_id, text=text, **how)
        return int(said["message_id"])

    async def answer_to(self, person: Person, text: str, **how: Any) -> Message:
        """
        Send *text* to the group as *person*. Return the bot's next message in the group, which must be a reply to *text*.

        *how* contains further fields of the request to the sandbox, such as `thread_id`.
        """
        message_id = await self.say(person, text, **how)
        read = await self.sandbox.get(self.path, after=message_id, wait=DEADLINE_SECONDS)
        answers = [one for one in read["messages"] if one["from"] == "bot"]
        assert [one["reply_to_message_id"] for one in answers] == [message_id], text
        return dict(answers[0])

    async def answers(self) -> list[Message]:
        read = await self.sandbox.get(self.path)
        return [one for one in read["messages"] if one["from"] == "bot" and one["text"]]


async def a_group(sandbox: Sandbox, *members: Person, standing: str = "member", **fields: Any) -> Group:
    ids = [one.telegram_id for one in members]
    group = Group(sandbox, (await sandbox.post("/telegram/groups", members=ids, **fields))["id"])
    await group.admit(standing, members[0])
    return group


@pytest.mark.usefixtures("bot")
async def test_an_addressed_bot_answers_with_one_line_and_a_link_to_the_private_chat(
    sandbox: Sandbox, anna: Person
) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        (f"/pay@{NAME}", {}),
        (f"/PAY@{NAME.upper()} 10", {}),
        (f"@{NAME} hi", {}),
        (f"дякую 💛 @{NAME}!", {}),
        (f"/balance@{NAME}", {"type": "group"}),
    ]
    for text, fields in cases:
        group = await a_group(sandbox, anna, **fields)

        answer = await group.answer_to(anna, text)

        assert answer["text"].startswith(ENGLISH), text
        assert "\n" not in answer["text"], text
        assert [one["url"] for one in buttons(answer)] == [ADDRESS], text


@pytest.mark.usefixtures("bot")
async def test_a_reply_to_the_bots_answer_is_answered(sandbox: Sandbox, anna: Person) -> None:
    group = await a_group(sandbox, anna)
    first = await group.answer_to(anna, f"@{NAME} hi")

    again = await group.answer_to(anna, "how?", reply_to_message_id=first["message_id"])

    assert again["text"] == first["text"]


@pytest.mark.usefixtures("bot")
async def test_a_message_that_does_not_address_the_bot_gets_no_answer(sandbox: Sandbox, anna: Person) -> None:
    """
    The bot is an administrator, so it gets every message, even one that does not address it.

    The bot handles Anna's messages in order. So when it answers her last message, it has handled all her earlier ones.
    """
    group = await a_group(sandbox, anna, standing="administrator")
    answer = await group.answer_to(anna, f"@{NAME} hi")
    to_the_bot = {"reply_to_message_id": answer["message_id"]}
    said = await group.say(anna, "Thanks for the coffee!")
    cases: list[tuple[str, dict[str, Any]]] = [
        ("/pay", {}),
        ("/pay 10", {}),
        ("/start@another_bot", {}),
        (f"/start@the_{NAME}", {}),
        ("@another_bot hi", {}),
        (f"https://t.me/{NAME}", {}),
        (f"anna@{NAME}.example", {}),
        ("ordinary talk", {}),
        ("a reply to Anna", {"reply_to_message_id": said}),
        ("/ban", to_the_bot),
        ("/ban@another_bot", to_the_bot),
        (f"Try @{NAME}!", {"forwarded_from": "Mykola"}),
    ]
    for text, how in cases:
        await group.say(anna, text, **how)

    await group.answer_to(anna, f"@{NAME} hi")

    assert len(await group.answers()) == 2


@pytest.mark.usefixtures("bot")
async def test_an_edited_message_and_changes_of_the_group_get_no_answer(sandbox: Sandbox, anna: Person) -> None:
    group = await a_group(sandbox, anna)
    said = await group.say(anna, "hi")

    await sandbox.post(f"{group.path}/edit", message_id=said, text=f"@{NAME} hi")
    await sandbox.post(f"{group.path}/join", user_id=404)
    await group.admit("administrator", anna)
    await group.answer_to(anna, f"@{NAME} hi")

    assert len(await group.answers()) == 1


@pytest.mark.usefixtures("bot")
async def test_another_bot_gets_no_answer(sandbox: Sandbox, anna: Person) -> None:
    group = await a_group(sandbox, anna)
    sender = {"id": ANNA, "is_bot": True, "first_name": "Another bot"}
    chat = {"id": group.id, "type": "supergroup", "title": "Coffee lovers"}
    entities = [{"type": "mention", "offset": 0, "length": len(NAME) + 1}]
    message = {"message_id": 77, "date": 1, "chat": chat, "from": sender, "text": f"@{NAME} hi", "entities": entities}

    await sandbox.post("/telegram/updates", kind="message", body=message)
    await group.answer_to(anna, f"@{NAME} hi")

    assert len(await group.answers()) == 1


@pytest.mark.usefixtures("bot")
async def test_the_answer_is_in_the_language_of_the_sender(sandbox: Sandbox, anna: Person, bohdan: Person) -> None:
    group = await a_group(sandbox, anna, bohdan)

    english = await group.answer_to(anna, f"/pay@{NAME}")
    ukrainian = await group.answer_to(bohdan, f"/pay@{NAME}")

    assert english["text"].startswith(ENGLISH)
    assert ukrainian["text"].startswith("Напишіть мені в приватний чат")


@pytest.mark.usefixtures("bot")
async def test_a_sender_without_a_name_is_answered(sandbox: Sandbox, bohdan: Person) -> None:
    group = await a_group(sandbox, bohdan)

    hidden = await group.answer_to(bohdan, f"/pay@{NAME}", anonymous=True)
    channel = await group.answer_to(bohdan, f"@{NAME} hi", channel="News")

    assert [one["text"].startswith(ENGLISH) for one in (hidden, channel)] == [True, True]


@pytest.mark.usefixtures("bot")
async def test_the_answer_stays_in_the_topic(sandbox: Sandbox, anna: Person) -> None:
    """
    The bot answers a message in the topic in which a user addresses the bot, and does not answer in other topics.

    Anna writes in two topics: in a topic that the bot created, and in her own topic. She addresses the bot only in hers.
    Telegram presents every message in the bot's topic as a reply to the bot, even if the sender did not reply to a message. The
    bot must not answer this kind of message.
    """
    group = await a_group(sandbox, anna, standing="administrator", is_forum=True)
    hers = (await sandbox.post(f"{group.path}/topics", user_id=ANNA))["message_id"]
    the_bots = (await sandbox.post(f"{group.path}/topics"))["message_id"]

    await group.say(anna, "ordinary talk", thread_id=the_bots)
    answer = await group.answer_to(anna, f"@{NAME} hi", thread_id=hers)

    assert answer["thread_id"] == hers
    assert len(await group.answers()) == 1


@pytest.mark.usefixtures("bot")
async def test_one_group_gets_only_a_few_answers_at_once(sandbox: Sandbox, anna: Person) -> None:
    group, other = await a_group(sandbox, anna), await a_group(sandbox, anna)
    for _ in range(ANSWERS_BURST):
        await group.answer_to(anna, f"/pay@{NAME}")

    await group.say(anna, f"/pay@{NAME}")
    await other.answer_to(anna, f"/pay@{NAME}")
    await anna.ask("/balance")

    assert len(await group.answers()) == ANSWERS_BURST


@pytest.mark.usefixtures("bot")
async def test_a_group_shows_and_records_nothing_about_its_members(
    sandbox: Sandbox, anna: Person, bohdan: Person, webhook: Webhook, pool: Pool
) -> None:
    await webhook.settle(a_payment(support_note=await anna.ask_for_code("5")))
    assert "500" in (await anna.hear())["text"]
    group = await a_group(sandbox, bohdan, anna)

    shown = [await group.answer_to(anna, f"/{command}@{NAME}") for command in ("balance", "history")]
    await group.answer_to(bohdan, f"/pay@{NAME} 10")

    assert {one["text"] for one in shown} == {shown[0]["text"]}
    assert not any(character.isdigit() for character in shown[0]["text"])
    assert [row["telegram_id"] for row in await pool.fetch("SELECT telegram_id FROM users")] == [ANNA]
    assert await pool.fetchval("SELECT count(*) FROM pending_payments") == 1


@pytest.mark.usefixtures("bot")
async def test_a_group_that_adds_or_removes_the_bot_does_not_change_whom_the_bot_can_reach(
    sandbox: Sandbox, anna: Person, bohdan: Person, pool: Pool
) -> None:
    """
    Given Anna, whom the bot can reach, when she removes the bot from a group, then the bot can still reach her.

    Given Bohdan, who has blocked the bot, when he adds the bot to a group, then the bot can still not reach him.
    """
    await anna.ask("/start")
    await bohdan.ask("/start")
    await sandbox.post(f"{bohdan.path}/block")
    await anna.ask("/balance")

    group = await a_group(sandbox, bohdan, anna)
    await group.admit("kicked", anna)
    await anna.ask("/balance")

    rows = await pool.fetch("SELECT telegram_id, unreachable_at IS NULL AS reachable FROM users")
    assert {row["telegram_id"]: row["reachable"] for row in rows} == {ANNA: True, bohdan.telegram_id: False}


def failed_updates() -> float:
    return REGISTRY.get_sample_value("ledger_updates_total", {"type": "message", "outcome": "error"}) or 0.0


async def sent_to(sandbox: Sandbox, chat_id: int) -> list[int]:
    calls = await sandbox.get("/telegram/calls", method="sendMessage")
    return [one["status"] for one in calls if int(one["params"]["chat_id"]) == chat_id]


@pytest.mark.parametrize(("standing", "status"), [("restricted", 400), ("kicked", 403)])
@pytest.mark.usefixtures("bot")
async def test_a_refused_answer_is_no_failure_and_is_not_tried_again_soon(
    sandbox: Sandbox, anna: Person, standing: str, status: int
) -> None:
    """
    The bot loses its right to write in a group while it sends an answer. The refused answer does not count as an error.

    The bot still answers in other groups. It does not answer in this group for a while, even if it gets the right back at once.
    """
    group, before = await a_group(sandbox, anna), failed_updates()
    await sandbox.post("/telegram/pause", method="sendMessage")
    await group.say(anna, f"/pay@{NAME}")
    await sandbox.get("/telegram/calls", method="sendMessage", wait=DEADLINE_SECONDS)

    await group.admit(standing, anna)
    await sandbox.post("/telegram/resume")
    await anna.ask("/balance")
    await group.admit("administrator", anna)
    await group.say(anna, f"/pay@{NAME}")
    other = await a_group(sandbox, anna)
    await other.answer_to(anna, f"/pay@{NAME}")

    assert await sent_to(sandbox, group.id) == [status]
    assert failed_updates() == before


@pytest.mark.usefixtures("bot")
async def test_an_answer_to_an_upgraded_group_is_dropped(sandbox: Sandbox, anna: Person) -> None:
    group, before = await a_group(sandbox, anna, type="group"), failed_updates()
    await sandbox.post("/telegram/pause", method="sendMessage")
    await group.say(anna, f"/pay@{NAME}")
    await sandbox.get("/telegram/calls", method="sendMessage", wait=DEADLINE_SECONDS)

    upgraded = await sandbox.post(f"{group.path}/upgrade", user_id=ANNA)
    await sandbox.post("/telegram/resume")
    await Group(sandbox, upgraded["id"]).answer_to(anna, f"/pay@{NAME}")

    assert await sent_to(sandbox, group.id) == [400]
    assert failed_updates() == before


@pytest.mark.usefixtures("bot")
async def test_a_rate_limit_of_one_group_does_not_delay_other_chats(sandbox: Sandbox, anna: Person) -> None:
    """
    Telegram limits each group separately, for example by slow mode, and may ask for a pause of minutes.

    If Telegram refuses an answer because of a group's limit, the bot drops the answer. The bot does not wait for the end of the
    pause, so it answers other chats at once.
    """
    group, before = await a_group(sandbox, anna), failed_updates()
    limit = {"method": "sendMessage", "kind": "too_many_requests", "retry_after": 300, "user_id": group.id}
    await sandbox.post("/telegram/misbehave", **limit)

    await group.say(anna, f"/pay@{NAME}")
    await group.answer_to(anna, f"@{NAME} hi")
    said = await anna.ask("/balance")

    assert "You have" in said
    assert await sent_to(sandbox, group.id) == [429, 200]
    assert failed_updates() == before


async def test_in_webhook_mode_a_group_is_not_answered_while_the_bots_name_is_unknown(
    run_bot: RunBot, sandbox: Sandbox, anna: Person
) -> None:
    """
    A bot that does not know its own name cannot tell whether a message addresses it, so it ignores the message.

    Given two messages, when the bot learns its name between them, then it answers only the second message. Both updates get
    status 200, because Telegram repeats an update after any error status.
    """
    port = free_port()
    group, before = await a_group(sandbox, anna), failed_updates()
    message = {
        "message_id": 1,
        "date": 1,
        "from": {"id": ANNA, "is_bot": False, "first_name": "Anna"},
        "chat": {"id": group.id, "type": "supergroup", "title": "Coffee lovers"},
        "text": f"/pay@{NAME}",
        "entities": [{"type": "bot_command", "offset": 0, "length": len(NAME) + 5}],
    }
    await sandbox.post("/telegram/misbehave", method="getMe", kind="unauthorized")
    async with (
        run_bot(BOT_WEBHOOK_URL="https://pay.example/telegram-webhook", BOT_PORT=str(port)),
        aiohttp.ClientSession(headers={"X-Telegram-Bot-Api-Secret-Token": webhook_secret(TOKEN)}) as session,
    ):
        await sandbox.get("/telegram/calls", method="setWebhook", wait=DEADLINE_SECONDS)
        url, numbers = f"http://127.0.0.1:{port}/telegram-webhook", itertools.count(1)
        statuses = []
        for _ in range(2):
            async with session.post(url, json={"update_id": next(numbers), "message": message}) as answer:
                statuses.append(answer.status)

    assert statuses == [200, 200]
    assert await sent_to(sandbox, group.id) == [200]
    assert failed_updates() == before
