import json
from pathlib import Path

from tests.sandbox.world import open_sandbox


def messages_in(record: Path) -> list[tuple[int, str]]:
    facts = [json.loads(line) for line in record.read_text().splitlines()]
    return [(fact["message"]["chat_id"], fact["message"]["text"]) for fact in facts if "message" in fact]


async def test_a_restart_forgets_all_people_without_a_record() -> None:
    async with open_sandbox() as sandbox:
        await sandbox.meet(7)

    async with open_sandbox() as sandbox:
        assert (await sandbox.bot_answer("sendMessage", chat_id=7, text="Hello"))["description"].endswith("not found")


async def test_the_bot_can_write_to_a_recorded_person_after_a_restart(tmp_path: Path) -> None:
    async with open_sandbox(record=tmp_path / "record") as sandbox:
        await sandbox.post("/telegram/users", id=7, first_name="Anna", username="anna", language_code="uk")
        await sandbox.meet(7)

    async with open_sandbox(record=tmp_path / "record") as sandbox:
        await sandbox.bot("sendMessage", chat_id=7, text="Hello")
        [anna] = await sandbox.get("/telegram/users")

    assert (anna["first_name"], anna["username"], anna["language_code"]) == ("Anna", "anna", "uk")


async def test_a_block_survives_a_restart(tmp_path: Path) -> None:
    async with open_sandbox(record=tmp_path / "record") as sandbox:
        await sandbox.meet(7)
        await sandbox.post("/telegram/chats/7/block")

    async with open_sandbox(record=tmp_path / "record") as sandbox:
        assert (await sandbox.bot_answer("sendMessage", chat_id=7, text="Hello"))["error_code"] == 403


async def test_only_accepted_messages_of_the_bot_are_recorded(tmp_path: Path) -> None:
    async with open_sandbox(record=tmp_path / "record") as sandbox:
        await sandbox.meet(7)
        await sandbox.bot("sendMessage", chat_id=7, text="<b>Hello</b>", parse_mode="HTML")
        await sandbox.bot_answer("sendMessage", chat_id=8, text="Hello")
        await sandbox.bot("sendMessage", chat_id=7, text="Hello again")

    assert messages_in(tmp_path / "record") == [(7, "Hello"), (7, "Hello again")]


async def test_the_address_of_the_process_that_sent_a_message_is_recorded(tmp_path: Path) -> None:
    async with open_sandbox(record=tmp_path / "record") as sandbox:
        await sandbox.meet(7)
        await sandbox.bot("sendMessage", chat_id=7, text="Hello")

    [message] = [line for line in (tmp_path / "record").read_text().splitlines() if "message" in json.loads(line)]
    assert json.loads(message)["message"]["caller"] == "127.0.0.1"
