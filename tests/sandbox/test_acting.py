"""A developer can act as a Telegram user in the sandbox."""

import asyncio
import json

from tests.sandbox.world import Sandbox

CANCEL = {"inline_keyboard": [[{"text": "Cancel", "callback_data": "c:1"}]]}


async def test_an_unknown_person_is_created_at_first_use(sandbox: Sandbox) -> None:
    await sandbox.post("/telegram/chats/7/messages", text="hi")

    updates = await sandbox.bot("getUpdates")

    assert updates[0]["message"]["from"]["language_code"] == "en"


async def test_a_person_has_the_given_names_and_language(sandbox: Sandbox) -> None:
    await sandbox.post("/telegram/users", id=7, first_name="Олена", username="olena", language_code="uk")
    await sandbox.post("/telegram/chats/7/messages", text="hi")

    sender = (await sandbox.bot("getUpdates"))[0]["message"]["from"]

    assert sender == {
        "id": 7,
        "is_bot": False,
        "first_name": "Олена",
        "username": "olena",
        "language_code": "uk",
    }


async def test_a_command_is_marked_as_one(sandbox: Sandbox) -> None:
    await sandbox.post("/telegram/chats/1/messages", text="/pay 10")

    message = (await sandbox.bot("getUpdates"))[0]["message"]

    assert message["entities"] == [{"type": "bot_command", "offset": 0, "length": 4}]


async def test_the_sandbox_refuses_texts_that_telegram_would_not_send(sandbox: Sandbox) -> None:
    assert await sandbox.refused("/telegram/chats/1/messages", text="  ") == 400
    assert await sandbox.refused("/telegram/chats/1/messages", text="a" * 4097) == 400
    assert await sandbox.refused("/telegram/chats/1/messages") == 400
    assert await sandbox.refused("/telegram/chats/1/web_app_data", data="ї" * 2049) == 400


async def test_any_other_update_reaches_the_bot_unchanged(sandbox: Sandbox) -> None:
    edited = {"message_id": 5, "date": 1, "chat": {"id": 1, "type": "private"}, "text": "hi!"}
    given = await sandbox.post("/telegram/updates", kind="edited_message", body=edited)

    updates = await sandbox.bot("getUpdates")

    assert updates == [{"update_id": given["update_id"], "edited_message": edited}]


async def test_an_update_that_the_bot_did_not_ask_for_does_not_reach_it(sandbox: Sandbox) -> None:
    await sandbox.bot("getUpdates", allowed_updates=["message"])
    await sandbox.post("/telegram/updates", kind="edited_message", body={"message_id": 5})

    assert await sandbox.bot("getUpdates") == []
    assert await sandbox.refused("/telegram/updates", kind="message", body="hi") == 400


async def test_reading_a_chat_waits_for_newer_messages(sandbox: Sandbox) -> None:
    message_id = await sandbox.meet()
    reading = asyncio.create_task(sandbox.get("/telegram/chats/1", after=message_id, wait=10))

    await sandbox.bot("sendMessage", chat_id=1, text="hello")

    assert [message["text"] for message in (await reading)["messages"]] == ["hello"]


async def test_reading_a_chat_without_news_returns_after_the_wait(sandbox: Sandbox) -> None:
    message_id = await sandbox.meet()

    chat = await sandbox.get("/telegram/chats/1", after=message_id, wait="0.05")

    assert chat["messages"] == []


async def test_the_version_grows_with_edits_too(sandbox: Sandbox) -> None:
    await sandbox.meet()
    sent = await sandbox.bot("sendMessage", chat_id=1, text="hello")
    version = (await sandbox.get("/telegram/chats/1"))["version"]
    reading = asyncio.create_task(sandbox.get("/telegram/chats/1", version=version, wait=10))

    await sandbox.bot("editMessageText", chat_id=1, message_id=sent["message_id"], text="bye")

    assert (await reading)["messages"][-1]["text"] == "bye"


async def test_a_press_finds_the_newest_message_with_that_button(sandbox: Sandbox) -> None:
    await sandbox.meet()
    old = await sandbox.bot("sendMessage", chat_id=1, text="old", reply_markup=CANCEL)
    new = await sandbox.bot("sendMessage", chat_id=1, text="new", reply_markup=CANCEL)
    await sandbox.bot("sendMessage", chat_id=1, text="no button")

    newest = await sandbox.post("/telegram/chats/1/press", button="Cancel")
    older = await sandbox.post("/telegram/chats/1/press", button="c:1", message_id=old["message_id"])

    assert (newest["message_id"], older["message_id"]) == (new["message_id"], old["message_id"])
    queries = [update["callback_query"] for update in await sandbox.bot("getUpdates")]
    assert [query["id"] for query in queries] == [newest["callback_query_id"], older["callback_query_id"]]
    assert [query["message"]["text"] for query in queries] == ["new", "old"]
    assert queries[0]["data"] == "c:1"


async def test_only_a_slow_client_can_press_a_removed_button(sandbox: Sandbox) -> None:
    await sandbox.meet()
    sent = await sandbox.bot("sendMessage", chat_id=1, text="pay", reply_markup=CANCEL)
    await sandbox.bot("editMessageText", chat_id=1, message_id=sent["message_id"], text="paid")

    assert await sandbox.refused("/telegram/chats/1/press", button="Cancel") == 404

    late = await sandbox.post("/telegram/chats/1/press", button="Cancel", stale=True)
    assert late["message_id"] == sent["message_id"]


async def test_copy_and_link_buttons_send_no_update(sandbox: Sandbox) -> None:
    await sandbox.meet()
    keyboard = {"inline_keyboard": [[{"text": "Copy", "copy_text": {"text": "K7QM-2XHD"}}]]}
    await sandbox.bot("sendMessage", chat_id=1, text="pay", reply_markup=keyboard)

    pressed = await sandbox.post("/telegram/chats/1/press", button="Copy")

    assert pressed["button"]["copy_text"] == {"text": "K7QM-2XHD"}
    assert await sandbox.bot("getUpdates") == []


async def test_a_person_who_blocked_the_bot_cannot_write_to_it(sandbox: Sandbox) -> None:
    await sandbox.meet()
    await sandbox.post("/telegram/chats/1/block")

    assert await sandbox.refused("/telegram/chats/1/messages", text="hi") == 409


async def test_the_bot_is_told_of_a_block_once(sandbox: Sandbox) -> None:
    await sandbox.meet()

    first = await sandbox.post("/telegram/chats/1/block")
    second = await sandbox.post("/telegram/chats/1/block")

    assert first["update_id"] is not None
    assert second["update_id"] is None


async def test_a_deleted_account_does_not_come_back(sandbox: Sandbox) -> None:
    await sandbox.meet()
    await sandbox.post("/telegram/chats/1/delete")

    assert await sandbox.refused("/telegram/chats/1/unblock") == 409


async def test_an_unknown_fault_is_refused_with_the_valid_ones(sandbox: Sandbox) -> None:
    async with sandbox.client.post("/telegram/misbehave", json={"kind": "sulk"}) as response:
        assert response.status == 400
        assert "too_many_requests" in (await response.json())["error"]


async def test_a_body_that_is_not_a_json_object_is_refused(sandbox: Sandbox) -> None:
    for raw in ("{", "[]"):
        headers = {"Content-Type": "application/json"}
        async with sandbox.client.post("/telegram/chats/1/messages", data=raw, headers=headers) as response:
            assert response.status == 400
            assert "error" in json.loads(await response.text())
