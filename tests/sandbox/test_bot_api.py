"""The sandbox returns the same errors as the Bot API, applies the same rate limits, and simulates faults."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.sandbox.world import DEADLINE_SECONDS, TOKEN, Sandbox, open_sandbox

BUTTONS = {"inline_keyboard": [[{"text": "Cancel", "callback_data": "cancel"}]]}


async def send(sandbox: Sandbox, text: str = "hello", **params: Any) -> dict[str, Any]:
    return await sandbox.bot_answer("sendMessage", chat_id=1, text=text, **params)


async def test_a_wrong_token_is_unauthorized(sandbox: Sandbox) -> None:
    answer = await sandbox.bot_answer("getMe", token="4242:wrong")

    assert answer == {"ok": False, "error_code": 401, "description": "Unauthorized"}


async def test_an_unknown_method_is_not_found(sandbox: Sandbox) -> None:
    assert (await sandbox.bot_answer("makeCoffee"))["description"] == "Not Found: method not found"


async def test_method_names_are_case_insensitive(sandbox: Sandbox) -> None:
    assert (await sandbox.bot("GETME"))["id"] == 4242


@pytest.mark.parametrize("chat_id", [1, "@nobody", -100, "abc"])
async def test_the_bot_cannot_write_to_a_person_who_never_wrote(sandbox: Sandbox, chat_id: int | str) -> None:
    await sandbox.post("/telegram/users", id=1, first_name="Olena")

    answer = await sandbox.bot_answer("sendMessage", chat_id=chat_id, text="hello")

    assert (answer["error_code"], answer["description"]) == (400, "Bad Request: chat not found")


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"text": ""}, "message text is empty"),
        ({"text": " \n "}, "message text is empty"),
        ({"text": "a" * 4097}, "message is too long"),
        ({"text": "<b>a", "parse_mode": "HTML"}, "can't parse entities: Can't find end tag"),
        ({"text": "a", "parse_mode": "Klingon"}, "unsupported parse_mode"),
        ({"text": "a", "reply_markup": "{"}, "reply_markup must be JSON"),
        ({"text": "a", "reply_markup": "[]"}, "object expected as reply markup"),
        ({"text": "a", "reply_markup": {"inline_keyboard": [{}]}}, 'field "keyboard"'),
    ],
)
async def test_a_message_that_telegram_would_refuse_is_refused(
    sandbox: Sandbox, params: dict[str, Any], problem: str
) -> None:
    await sandbox.meet()

    answer = await sandbox.bot_answer("sendMessage", chat_id=1, **params)

    assert answer["error_code"] == 400
    assert answer["description"].startswith(f"Bad Request: {problem}")


@pytest.mark.parametrize("text", ["a" * 4096, "<b>" + "a" * 4096 + "</b>"])
async def test_the_limit_of_a_message_counts_after_parsing(sandbox: Sandbox, text: str) -> None:
    await sandbox.meet()

    assert (await send(sandbox, text, parse_mode="HTML"))["ok"]


@pytest.mark.parametrize(
    ("button", "is_taken"),
    [
        ({"callback_data": "x" * 64}, True),
        ({"callback_data": "x" * 65}, False),
        ({"callback_data": "ї" * 33}, False),
        ({"callback_data": ""}, False),
        ({"copy_text": {"text": "x" * 256}}, True),
        ({"copy_text": {"text": "x" * 257}}, False),
        ({"copy_text": {"text": ""}}, False),
        ({"copy_text": "x"}, False),
        ({"url": "http://127.0.0.1:8090/bmc/creator"}, True),
        ({"url": "javascript:alert(1)"}, False),
        ({"web_app": {"url": "https://example.com/app/"}}, True),
        ({"web_app": {"url": "http://example.com/app/"}}, False),
        ({}, False),
        ({"callback_data": "x", "url": "https://example.com"}, False),
    ],
)
async def test_an_inline_button_has_exactly_one_valid_action(
    sandbox: Sandbox, button: dict[str, Any], is_taken: bool
) -> None:
    await sandbox.meet()

    answer = await send(sandbox, reply_markup={"inline_keyboard": [[{"text": "Press", **button}]]})

    assert answer["ok"] is is_taken


async def test_forms_and_multipart_bodies_are_read_like_json(sandbox: Sandbox) -> None:
    await sandbox.meet()
    fields = {"chat_id": "1", "text": "hello", "reply_markup": json.dumps(BUTTONS)}
    multipart = aiohttp.FormData(fields, default_to_multipart=True)

    for body in (fields, multipart):
        async with sandbox.client.post(f"/telegram/bot{TOKEN}/sendMessage", data=body) as response:
            assert (await response.json())["result"]["reply_markup"] == BUTTONS


async def test_an_edit_that_changes_nothing_is_refused(sandbox: Sandbox) -> None:
    await sandbox.meet()
    sent = (await send(sandbox, "hello", reply_markup=BUTTONS))["result"]
    edit = {"chat_id": 1, "message_id": sent["message_id"], "text": "hello", "reply_markup": BUTTONS}

    answer = await sandbox.bot_answer("editMessageText", **edit)

    assert answer["description"].startswith("Bad Request: message is not modified")


async def test_an_edit_without_a_keyboard_removes_the_keyboard(sandbox: Sandbox) -> None:
    await sandbox.meet()
    sent = (await send(sandbox, "hello", reply_markup=BUTTONS))["result"]

    edited = await sandbox.bot("editMessageText", chat_id=1, message_id=sent["message_id"], text="cancelled")

    assert "reply_markup" not in edited
    assert edited["edit_date"] >= edited["date"]


async def test_the_bot_can_edit_only_its_own_messages(sandbox: Sandbox) -> None:
    from_user = await sandbox.meet()

    theirs = await sandbox.bot_answer("editMessageText", chat_id=1, message_id=from_user, text="x")
    missing = await sandbox.bot_answer("editMessageText", chat_id=1, message_id=7, text="x")

    assert theirs["description"] == "Bad Request: message can't be edited"
    assert missing["description"] == "Bad Request: message to edit not found"


async def test_a_deleted_message_is_gone(sandbox: Sandbox) -> None:
    await sandbox.meet()
    sent = (await send(sandbox))["result"]

    assert await sandbox.bot("deleteMessage", chat_id=1, message_id=sent["message_id"])

    again = await sandbox.bot_answer("deleteMessage", chat_id=1, message_id=sent["message_id"])
    assert again["description"] == "Bad Request: message to delete not found"


@pytest.mark.parametrize(
    ("act", "description"),
    [
        ("block", "Forbidden: bot was blocked by the user"),
        ("delete", "Forbidden: user is deactivated"),
    ],
)
async def test_a_person_who_left_gets_no_more_messages(sandbox: Sandbox, act: str, description: str) -> None:
    await sandbox.meet()

    await sandbox.post(f"/telegram/chats/1/{act}")

    answer = await send(sandbox)
    assert (answer["error_code"], answer["description"]) == (403, description)


async def test_a_person_who_unblocks_the_bot_gets_messages_again(sandbox: Sandbox) -> None:
    await sandbox.meet()
    await sandbox.post("/telegram/chats/1/block")

    await sandbox.post("/telegram/chats/1/unblock")

    assert (await send(sandbox))["ok"]


async def test_the_bot_is_told_of_blocking_and_unblocking(sandbox: Sandbox) -> None:
    await sandbox.meet()
    await sandbox.post("/telegram/chats/1/block")
    await sandbox.post("/telegram/chats/1/unblock")

    updates = await sandbox.bot("getUpdates")

    changes = [update["my_chat_member"] for update in updates]
    assert [change["new_chat_member"]["status"] for change in changes] == ["kicked", "member"]


async def test_sending_too_fast_into_one_chat_is_answered_429(sandbox: Sandbox) -> None:
    await sandbox.meet()
    for _ in range(5):
        await send(sandbox)

    answer = await send(sandbox)

    assert answer["error_code"] == 429
    assert answer["parameters"] == {"retry_after": 1}


async def test_updates_are_repeated_until_they_are_confirmed(sandbox: Sandbox) -> None:
    first = await sandbox.post("/telegram/chats/1/messages", text="one")
    second = await sandbox.post("/telegram/chats/1/messages", text="two")

    unconfirmed = await sandbox.bot("getUpdates")
    once_more = await sandbox.bot("getUpdates", limit=1)
    confirmed = await sandbox.bot("getUpdates", offset=first["update_id"] + 1)

    assert [update["update_id"] for update in unconfirmed] == [first["update_id"], second["update_id"]]
    assert [update["update_id"] for update in once_more] == [first["update_id"]]
    assert [update["message"]["text"] for update in confirmed] == ["two"]


async def test_a_negative_offset_keeps_the_last_updates(sandbox: Sandbox) -> None:
    for text in ("one", "two", "three"):
        await sandbox.post("/telegram/chats/1/messages", text=text)

    kept = await sandbox.bot("getUpdates", offset=-1)

    assert [update["message"]["text"] for update in kept] == ["three"]


async def test_a_long_poll_returns_when_a_message_arrives(sandbox: Sandbox) -> None:
    poll = asyncio.create_task(sandbox.bot("getUpdates", timeout=int(DEADLINE_SECONDS)))
    await sandbox.get("/telegram/calls", method="getUpdates", wait=10)

    await sandbox.post("/telegram/chats/1/messages", text="hello")

    assert [update["message"]["text"] for update in await poll] == ["hello"]


async def test_a_second_poll_ends_the_first_with_409(sandbox: Sandbox) -> None:
    first = asyncio.create_task(sandbox.bot_answer("getUpdates", timeout=int(DEADLINE_SECONDS)))
    await sandbox.get("/telegram/calls", method="getUpdates", wait=10)

    second = await sandbox.bot_answer("getUpdates")

    assert second["ok"]
    assert (await first)["description"].startswith("Conflict: terminated by other getUpdates request")


async def test_updates_of_unwanted_kinds_are_left_out(sandbox: Sandbox) -> None:
    await sandbox.bot("getUpdates", allowed_updates=["callback_query"])
    await sandbox.post("/telegram/chats/1/messages", text="unheard")

    assert await sandbox.bot("getUpdates") == []

    await sandbox.bot("getUpdates", allowed_updates=[])
    await sandbox.post("/telegram/chats/1/messages", text="heard")
    assert [update["message"]["text"] for update in await sandbox.bot("getUpdates")] == ["heard"]


async def test_an_update_is_delivered_twice_on_demand(sandbox: Sandbox) -> None:
    said = await sandbox.post("/telegram/chats/1/messages", text="hello", repeat=2)
    offset = said["update_id"] + 1

    seen = [await sandbox.bot("getUpdates", **query) for query in ({}, {"offset": offset}, {"offset": offset})]

    assert [[update["update_id"] for update in updates] for updates in seen] == [
        [said["update_id"]],
        [said["update_id"]],
        [],
    ]


async def test_an_update_is_pushed_with_the_secret_until_the_webhook_accepts_it(sandbox: Sandbox) -> None:
    sandbox.product.statuses.append(503)
    url = str(sandbox.product_url.with_path("/telegram-webhook"))
    await sandbox.bot("setWebhook", url=url, secret_token="s3cret", allowed_updates=["message"])

    said = await sandbox.post("/telegram/chats/1/messages", text="hello")

    received = await sandbox.product.wait_for(2)
    assert [one.body["update_id"] for one in received] == [said["update_id"]] * 2
    assert received[0].headers["x-telegram-bot-api-secret-token"] == "s3cret"
    info = await sandbox.bot("getWebhookInfo")
    assert (info["url"], info["last_error_message"]) == (url, "Wrong response from the webhook: 503")


async def test_a_press_is_pushed_while_a_message_waits_for_its_answer_but_the_next_message_is_not(
    sandbox: Sandbox,
) -> None:
    keyboard = {"inline_keyboard": [[{"text": "Yes", "callback_data": "yes"}]]}
    await sandbox.meet()
    await sandbox.bot("sendMessage", chat_id=1, text="sure?", reply_markup=keyboard)
    sandbox.product.silences = 1
    await sandbox.bot("setWebhook", url=str(sandbox.product_url))

    first = await sandbox.post("/telegram/chats/1/messages", text="first")
    await sandbox.post("/telegram/chats/1/messages", text="second")
    await sandbox.product.wait_for(1)
    pressed = await sandbox.post("/telegram/chats/1/press", button="Yes")

    received = await sandbox.product.wait_for(2)
    assert [one.body["update_id"] for one in received] == [first["update_id"], pressed["update_id"]]


async def test_polling_and_webhook_exclude_each_other(sandbox: Sandbox) -> None:
    await sandbox.bot("setWebhook", url=str(sandbox.product_url))

    during = await sandbox.bot_answer("getUpdates")
    await sandbox.bot("deleteWebhook")
    after = await sandbox.bot_answer("getUpdates")

    assert during["error_code"] == 409
    assert after["ok"]


async def test_pending_updates_are_dropped_only_on_demand(sandbox: Sandbox) -> None:
    await sandbox.post("/telegram/chats/1/messages", text="hello")

    await sandbox.bot("deleteWebhook")
    assert (await sandbox.bot("getWebhookInfo"))["pending_update_count"] == 1

    await sandbox.bot("deleteWebhook", drop_pending_updates=True)
    assert (await sandbox.bot("getWebhookInfo"))["pending_update_count"] == 0


async def test_an_unknown_callback_query_cannot_be_answered(sandbox: Sandbox) -> None:
    answer = await sandbox.bot_answer("answerCallbackQuery", callback_query_id="1")

    assert answer["description"].startswith("Bad Request: query is too old")


async def test_commands_are_kept_for_each_language(sandbox: Sandbox) -> None:
    commands = [{"command": "pay", "description": "Підтримати"}]

    await sandbox.bot("setMyCommands", commands=commands, language_code="uk")

    assert await sandbox.bot("getMyCommands", language_code="uk") == commands
    assert await sandbox.bot("getMyCommands") == []


async def test_commands_for_a_stranger_are_refused(sandbox: Sandbox) -> None:
    commands = [{"command": "pay", "description": "Support"}]

    answer = await sandbox.bot_answer("setMyCommands", commands=commands, scope={"type": "chat", "chat_id": 9})

    assert answer["description"] == "Bad Request: chat not found"


@pytest.mark.parametrize("command", ["Pay", "with space", "", "x" * 33])
async def test_malformed_commands_are_refused(sandbox: Sandbox, command: str) -> None:
    answer = await sandbox.bot_answer("setMyCommands", commands=[{"command": command, "description": "d"}])

    assert answer["description"] == "Bad Request: BOT_COMMAND_INVALID"


@pytest.mark.parametrize(("kind", "status"), [("too_many_requests", 429), ("server_error", 500), ("conflict", 409)])
async def test_a_fault_affects_as_many_calls_as_requested(sandbox: Sandbox, kind: str, status: int) -> None:
    await sandbox.meet()
    await sandbox.post("/telegram/misbehave", method="sendMessage", kind=kind, times=2, retry_after=7)

    answers = [await send(sandbox) for _ in range(3)]

    assert [answer.get("error_code") for answer in answers] == [status, status, None]
    assert answers[0].get("parameters") == ({"retry_after": 7} if status == 429 else None)


async def test_a_fault_may_affect_a_single_chat(sandbox: Sandbox) -> None:
    await sandbox.meet(1)
    await sandbox.meet(2)
    await sandbox.post("/telegram/misbehave", method="*", kind="server_error", user_id=2)

    assert (await send(sandbox))["ok"]
    assert not (await sandbox.bot_answer("sendMessage", chat_id=2, text="x"))["ok"]


async def test_an_answer_may_be_lost_after_the_call_took_effect(sandbox: Sandbox) -> None:
    await sandbox.meet()
    await sandbox.post("/telegram/misbehave", method="sendMessage", kind="reset", takes_effect=True)

    with pytest.raises(aiohttp.ClientError):
        await send(sandbox, "sent all the same")

    chat = await sandbox.get("/telegram/chats/1")
    assert chat["messages"][-1]["text"] == "sent all the same"


async def test_an_answer_may_not_be_json(sandbox: Sandbox) -> None:
    await sandbox.post("/telegram/misbehave", method="getMe", kind="not_json")

    async with sandbox.client.post(f"/telegram/bot{TOKEN}/getMe") as response:
        assert (response.status, response.content_type) == (502, "text/html")


async def test_a_call_may_hang(sandbox: Sandbox) -> None:
    await sandbox.post("/telegram/misbehave", method="getMe", kind="hang")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await sandbox.bot("getMe")

    assert (await sandbox.get("/telegram/calls", method="getMe"))[0]["status"] is None


async def test_cleared_faults_affect_no_call(sandbox: Sandbox) -> None:
    await sandbox.post("/telegram/misbehave", method="*", kind="server_error", times=100)

    await sandbox.delete("/telegram/misbehave")

    assert await sandbox.bot("getMe")


async def test_a_paused_method_answers_after_it_is_resumed(sandbox: Sandbox) -> None:
    await sandbox.post("/telegram/pause", method="getMe")
    held = asyncio.create_task(sandbox.bot("getMe"))
    (call,) = await sandbox.get("/telegram/calls", method="getMe", wait=10)

    assert call["status"] is None
    assert not held.done()

    await sandbox.post("/telegram/resume", method="getMe")
    assert (await held)["is_bot"]


async def test_calls_are_listed_in_order_with_their_answers_and_no_secret(sandbox: Sandbox) -> None:
    await sandbox.meet()
    await send(sandbox, reply_markup=json.dumps(BUTTONS))
    await sandbox.bot_answer("sendMessage", chat_id=404, text="x")
    await sandbox.bot("setWebhook", url="", secret_token="s3cret")

    sends = await sandbox.get("/telegram/calls", method="sendMessage")
    everything = await sandbox.get("/telegram/calls")

    assert [(call["params"]["chat_id"], call["status"]) for call in sends] == [(1, 200), (404, 400)]
    assert sends[0]["params"]["reply_markup"] == BUTTONS
    assert [call["method"] for call in everything] == ["getUpdates", "sendMessage", "sendMessage", "setWebhook"]
    assert "s3cret" not in json.dumps(everything)
    assert TOKEN not in json.dumps(everything)


async def test_an_answer_is_delayed_but_its_effect_is_not() -> None:
    async with open_sandbox(answer_seconds=0.3) as sandbox:
        await sandbox.post("/telegram/chats/1/messages", text="/start")
        began_at = asyncio.get_running_loop().time()
        sending = asyncio.create_task(sandbox.bot("sendMessage", chat_id=1, text="Hello"))
        chat = await sandbox.get("/telegram/chats/1", wait=5, version=1)
        was_answered = sending.done()
        await sending

    assert chat["messages"][-1]["text"] == "Hello"
    assert not was_answered
    assert asyncio.get_running_loop().time() - began_at >= 0.3
