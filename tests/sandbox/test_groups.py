"""The stand-in for Telegram simulates groups: the messages that the bot gets, and the errors that the bot's calls return."""

from typing import Any

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramMigrateToChat
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, Update, WebAppInfo

from tests.sandbox.world import Sandbox

OLHA, ANNA, STRANGER = 1, 2, 3
NAME = "coffee_ledger_sandbox_bot"


async def a_group(sandbox: Sandbox, *, standing: str = "member", **fields: Any) -> int:
    """
    Create a group of Olha and Anna, in which the bot has the status *standing*, a value of `BotStanding`. Return the id of the
    group.
    """
    group = await sandbox.post("/telegram/groups", members=[OLHA, ANNA], **fields)
    if standing != "never_added":
        await sandbox.post(f"/telegram/groups/{group['id']}/bot", standing=standing, user_id=OLHA)
    return int(group["id"])


async def say(sandbox: Sandbox, group: int, text: str, user_id: int = ANNA, **fields: Any) -> dict[str, Any]:
    said = await sandbox.post(f"/telegram/groups/{group}/messages", text=text, user_id=user_id, **fields)
    return dict(said)


async def updates(sandbox: Sandbox, kinds: tuple[str, ...] = ("message", "my_chat_member")) -> list[Update]:
    """
    Fetch the bot's updates of the types in *kinds*, and of edited messages. Confirm the updates, so that the sandbox does not
    return them again. Return them parsed.
    """
    found = await sandbox.bot("getUpdates", allowed_updates=[*kinds, "edited_message"])
    if found:
        await sandbox.bot("getUpdates", offset=found[-1]["update_id"] + 1)
    return [Update.model_validate(one) for one in found]


async def texts(sandbox: Sandbox) -> list[str | None]:
    return [one.message.text for one in await updates(sandbox) if one.message and one.message.text]


async def test_a_bot_gets_only_the_messages_that_the_privacy_mode_lets_through(sandbox: Sandbox) -> None:
    group = await a_group(sandbox)
    answer = await sandbox.bot("sendMessage", chat_id=group, text="hello")
    other = await say(sandbox, group, "ordinary talk")

    await say(sandbox, group, f"/pay@{NAME} 10")
    await say(sandbox, group, "/pay")
    await say(sandbox, group, "/pay@another_bot")
    await say(sandbox, group, f"thanks, @{NAME.upper()}!")
    await say(sandbox, group, "ask @another_bot")
    await say(sandbox, group, "a reply", reply_to_message_id=answer["message_id"])
    await say(sandbox, group, "a reply to Anna", reply_to_message_id=other["message_id"])

    assert await texts(sandbox) == [f"/pay@{NAME} 10", "/pay", f"thanks, @{NAME.upper()}!", "a reply"]
    assert other["update_id"] is None


async def test_an_administrator_gets_every_message(sandbox: Sandbox) -> None:
    group = await a_group(sandbox, standing="administrator")

    await say(sandbox, group, "ordinary talk")

    assert await texts(sandbox) == ["ordinary talk"]


async def test_a_bot_outside_the_group_gets_nothing(sandbox: Sandbox) -> None:
    for standing in ("never_added", "left", "kicked"):
        group = await a_group(sandbox, standing=standing)

        said = await say(sandbox, group, f"/pay@{NAME}")

        assert said["update_id"] is None, standing
    assert await texts(sandbox) == []


async def test_the_bot_learns_about_its_standing_and_about_members(sandbox: Sandbox) -> None:
    group = await a_group(sandbox)
    path = f"/telegram/groups/{group}"

    await sandbox.post(f"{path}/join", user_id=STRANGER)
    await sandbox.post(f"{path}/leave", user_id=ANNA)
    for standing in ("restricted", "administrator", "kicked"):
        await sandbox.post(f"{path}/bot", standing=standing, user_id=OLHA)
    got = await updates(sandbox)

    changes = [one.my_chat_member for one in got if one.my_chat_member]
    assert [(one.old_chat_member.status, one.new_chat_member.status) for one in changes] == [
        ("left", "member"),
        ("member", "restricted"),
        ("restricted", "administrator"),
        ("administrator", "kicked"),
    ]
    assert {(one.from_user.id, one.chat.id, one.chat.type) for one in changes} == {(OLHA, group, "supergroup")}
    messages = [one.message for one in got if one.message]
    assert [one.content_type for one in messages] == ["new_chat_members", "new_chat_members", "left_chat_member"]


async def test_only_members_write_in_a_group(sandbox: Sandbox) -> None:
    group = await a_group(sandbox)

    assert await sandbox.refused(f"/telegram/groups/{group}/messages", user_id=STRANGER, text="hi") == 409
    assert await sandbox.refused("/telegram/groups/-5/messages", user_id=ANNA, text="hi") == 404


async def test_the_bot_answers_in_the_group_and_its_members_read_it(sandbox: Sandbox, bot: Bot) -> None:
    group = await a_group(sandbox)
    said = await say(sandbox, group, f"/pay@{NAME}")
    [asked] = [one.message for one in await updates(sandbox) if one.message and one.message.text]

    sent = await asked.as_(bot).reply("Here")

    read = await sandbox.get(f"/telegram/groups/{group}", after=said["message_id"], wait=10)
    assert [one["text"] for one in read["messages"]] == ["Here"]
    assert read["messages"][0]["reply_to_message_id"] == said["message_id"]
    assert (sent.chat.id, sent.chat.type) == (group, "supergroup")
    assert sent.reply_to_message is not None
    assert (await bot.get_chat(group)).title == "Coffee lovers"


async def test_a_group_does_not_hide_who_wrote_unless_the_sender_is_anonymous(sandbox: Sandbox) -> None:
    group = await a_group(sandbox, standing="administrator")

    await say(sandbox, group, "as Anna")
    await say(sandbox, group, "as the group", anonymous=True)
    await say(sandbox, group, "as a channel", channel="News")
    await say(sandbox, group, "not my words", forwarded_from="Mykola")
    anna, hidden, channel, forwarded = [one.message for one in await updates(sandbox) if one.message][-4:]

    assert anna.from_user is not None
    assert (anna.from_user.id, anna.sender_chat) == (ANNA, None)
    for message, name in ((hidden, "GroupAnonymousBot"), (channel, "Channel_Bot")):
        assert message.from_user is not None
        assert message.sender_chat is not None
        assert (message.from_user.username, message.from_user.is_bot) == (name, True)
    assert forwarded.forward_origin is not None


async def test_an_edit_is_an_update_of_its_own(sandbox: Sandbox) -> None:
    group = await a_group(sandbox)
    said = await say(sandbox, group, "hello")
    await updates(sandbox)

    await sandbox.post(f"/telegram/groups/{group}/edit", message_id=said["message_id"], text=f"@{NAME} hello")
    [edited] = await updates(sandbox)

    assert edited.event_type == "edited_message"


async def test_a_reply_in_a_forum_stays_in_its_topic(sandbox: Sandbox, bot: Bot) -> None:
    group = await a_group(sandbox, is_forum=True)
    topic = (await sandbox.post(f"/telegram/groups/{group}/topics", user_id=OLHA, name="Coffee"))["message_id"]
    await say(sandbox, group, f"@{NAME} in the topic", thread_id=topic)
    await say(sandbox, group, f"@{NAME} outside")
    inside, outside = [one.message for one in await updates(sandbox) if one.message and one.message.text]

    answered = await inside.as_(bot).reply("Here")
    elsewhere = await outside.as_(bot).reply("Here")

    # Telegram presents every message of a topic as a reply to the message that created the topic.
    assert inside.reply_to_message is not None
    assert inside.reply_to_message.forum_topic_created is not None
    assert (inside.is_topic_message, answered.message_thread_id) == (True, topic)
    assert (outside.is_topic_message, elsewhere.message_thread_id) == (None, None)
    with pytest.raises(TelegramBadRequest, match="message thread not found"):
        await bot.send_message(group, "hello", message_thread_id=topic + 100)


@pytest.mark.parametrize(
    ("standing", "error", "words"),
    [
        ("never_added", TelegramBadRequest, "Bad Request: chat not found"),
        ("restricted", TelegramBadRequest, "Bad Request: not enough rights to send text messages to the chat"),
        ("left", TelegramForbiddenError, "Forbidden: bot is not a member of the supergroup chat"),
        ("kicked", TelegramForbiddenError, "Forbidden: bot was kicked from the supergroup chat"),
    ],
)
async def test_a_bot_that_may_not_write_gets_telegrams_error(
    sandbox: Sandbox, bot: Bot, standing: str, error: type[Exception], words: str
) -> None:
    group = await a_group(sandbox, standing=standing)

    with pytest.raises(error, match=words):
        await bot.send_message(group, "hello")


async def test_a_bot_that_leaves_a_group_can_no_longer_write(sandbox: Sandbox, bot: Bot) -> None:
    group = await a_group(sandbox)

    assert await bot.leave_chat(group)

    with pytest.raises(TelegramForbiddenError):
        await bot.send_message(group, "hello")


async def test_an_upgraded_group_has_a_new_id(sandbox: Sandbox, bot: Bot) -> None:
    small = await a_group(sandbox, type="group")
    await bot.send_message(small, "hello")

    large = (await sandbox.post(f"/telegram/groups/{small}/upgrade", user_id=OLHA))["id"]

    with pytest.raises(TelegramMigrateToChat) as refused:
        await bot.send_message(small, "hello")
    assert refused.value.migrate_to_chat_id == large
    assert (await bot.send_message(large, "hello")).chat.type == "supergroup"
    assert await sandbox.refused(f"/telegram/groups/{small}/messages", user_id=ANNA, text="hi") == 409
    assert {"migrate_to_chat_id", "migrate_from_chat_id"} <= {
        one.message.content_type for one in await updates(sandbox) if one.message
    }


async def test_a_group_takes_twenty_messages_a_minute(sandbox: Sandbox) -> None:
    group = await a_group(sandbox)

    answers = [await sandbox.bot_answer("sendMessage", chat_id=group, text="hello") for _ in range(21)]

    assert [one["ok"] for one in answers] == [True] * 20 + [False]
    assert 1 <= answers[-1]["parameters"]["retry_after"] <= 3


async def test_a_button_cannot_open_the_mini_app_in_a_group(sandbox: Sandbox, bot: Bot) -> None:
    group = await a_group(sandbox)
    button = InlineKeyboardButton(text="Open", web_app=WebAppInfo(url="https://pay.example/app/"))

    with pytest.raises(TelegramBadRequest, match="BUTTON_TYPE_INVALID"):
        await bot.send_message(group, "hello", reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]))


async def test_supergroups_number_their_messages_separately(sandbox: Sandbox) -> None:
    one, other = await a_group(sandbox, standing="never_added"), await a_group(sandbox, standing="never_added")

    first, second = await say(sandbox, one, "hello"), await say(sandbox, other, "hello")

    assert (first["message_id"], second["message_id"]) == (1, 1)
