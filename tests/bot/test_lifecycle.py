"""The bot starts and stops without losing messages, and tolerates outages of Telegram and of the database."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import aiohttp
import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramNetworkError
from aiogram.types import User
from aiohttp.resolver import DefaultResolver

from coffee_ledger.store.database import Pool
from coffee_ledger.telegram import client
from coffee_ledger.telegram.client import UPDATE_BYTES_MAX, make_bot, webhook_secret
from tests.bot.fixtures import RunBot, settings_of
from tests.bot.gate import Gate
from tests.bot.outbox import Outbox
from tests.bot.people import DEADLINE_SECONDS, Person, code_in
from tests.integration.people import ANNA
from tests.network import free_port
from tests.sandbox.world import TOKEN, Sandbox

WEBHOOK_URL = "https://nowhere.invalid/telegram-webhook"
"""
An address that does not exist, so the simulated Telegram server cannot send updates to the bot. The tests send all updates.
"""

URL_AT_DOOR = "https://pay.example/telegram-webhook"
"""The sandbox sends requests for this host to a fake of the product, `Sandbox.product`, and not to the bot."""


async def called(sandbox: Sandbox, method: str, *, count: int = 1) -> None:
    """Wait until the bot has called *method* at least *count* times."""
    assert len(await sandbox.get("/telegram/calls", method=method, count=count, wait=DEADLINE_SECONDS)) >= count


async def payments(pool: Pool) -> int:
    found: int = await pool.fetchval("SELECT count(*) FROM pending_payments")
    return found


# Stopping ------------------------------------------------------------------------------------------------------------


async def test_a_stop_completes_the_answer_in_progress_and_nothing_is_answered_twice(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, pool: Pool
) -> None:
    async with run_bot() as bot:
        await anna.ask("/start")
        await sandbox.post("/telegram/pause", method="sendMessage")
        await anna.say("/pay 10")
        await called(sandbox, "sendMessage", count=2)
        bot.stop.set()
        await called(sandbox, "getUpdates")
        await sandbox.post("/telegram/resume")
    answer = await anna.hear()

    async with run_bot():
        await anna.ask("/balance")

    assert code_in(answer["text"])
    assert await payments(pool) == 1
    assert sum("Your code" in text for text in await anna.texts()) == 1


async def test_messages_sent_while_the_bot_is_down_are_answered_at_the_next_start(
    run_bot: RunBot, anna: Person, pool: Pool
) -> None:
    async with run_bot():
        await anna.ask("/start")
    await anna.say("/pay 10")
    await anna.send_form('{"amount": 20}')

    async with run_bot():
        assert "$20" in (await anna.hear())["text"] or "$20" in (await anna.hear())["text"]

    assert await payments(pool) == 2


async def test_the_messages_of_one_user_are_handled_in_order(run_bot: RunBot, anna: Person) -> None:
    for words in ("/pay 10", "/cancel", "/pay 20", "/history", "/cancel"):
        await anna.say(words)

    async with run_bot():
        said = [(await anna.hear())["text"] for _ in range(5)]

    wanted = ("Your code", "Cancelled: $10", "Your code", "nothing here yet", "Cancelled: $20")
    assert [words in text for words, text in zip(wanted, said, strict=True)] == [True] * 5


async def test_no_names_and_no_message_texts_are_logged(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with run_bot():
        await sandbox.post("/telegram/misbehave", method="sendMessage", kind="server_error")
        await anna.ask("my dear diary")
        await anna.ask("/pay 10 for the diary")
        await anna.send_form('{"amount": "dear diary"}')
        await anna.hear()
        await sandbox.post(f"{anna.path}/block")
        await anna.sandbox.post(f"{anna.path}/unblock")
        await anna.ask("/balance")

    logged = capfd.readouterr().out + caplog.text
    assert "call to telegram failed, retrying" in logged
    assert [word for word in ("diary", "Anna", "anna", TOKEN) if word in logged] == []


# Telegram down -------------------------------------------------------------------------------------------------------


async def test_a_bot_that_starts_while_telegram_is_down_keeps_trying(
    run_bot: RunBot, sandbox: Sandbox, anna: Person
) -> None:
    for method in ("deleteWebhook", "getMe", "setMyCommands"):
        await sandbox.post("/telegram/misbehave", method=method, kind="server_error", times=5)

    async with run_bot():
        await sandbox.delete("/telegram/misbehave")

        assert "Hello" in await anna.ask("/start")


async def test_a_telegram_server_that_changed_its_address_is_found_again(
    sandbox: Sandbox, role_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    If the Telegram server gets a new IP address, the bot must find the new address within seconds.

    By default, aiogram resolves a host name again only after an hour.
    """
    addresses = ["127.0.0.2"]

    async def resolve(_resolver: object, host: str, port: int, **_options: object) -> list[dict[str, object]]:
        found = {
            "hostname": host,
            "host": addresses[-1],
            "port": port,
            "family": socket.AF_INET,
            "proto": 0,
            "flags": 0,
        }
        return [found]

    monkeypatch.setattr(DefaultResolver, "resolve", resolve)
    monkeypatch.setattr(client, "ADDRESS_SECONDS_MAX", 0.05)
    port = sandbox.url.port
    settings = settings_of(sandbox, role_url("bot"), TELEGRAM_API_URL=f"http://telegram.test:{port}/telegram")

    async with make_bot(settings, retries=False) as bot, asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(TelegramNetworkError):
            await bot.get_me()
        addresses.append("127.0.0.1")

        assert (await until_answered(bot)).is_bot


async def until_answered(bot: Bot) -> User:
    while True:
        with suppress(TelegramNetworkError):
            return await bot.get_me()
        await asyncio.sleep(0.01)


async def test_polling_survives_every_fault(run_bot: RunBot, sandbox: Sandbox, anna: Person) -> None:
    async with run_bot():
        await anna.ask("/start")
        for kind in ("server_error", "not_json", "reset"):
            await sandbox.post("/telegram/misbehave", method="getUpdates", kind=kind)
            await anna.say("/balance")

            assert "0 credits" in (await anna.hear())["text"]


async def test_commands_are_published_in_each_language(run_bot: RunBot, sandbox: Sandbox) -> None:
    async with run_bot():
        await called(sandbox, "setMyShortDescription", count=2)

        english = await sandbox.bot("getMyCommands", scope={"type": "all_private_chats"})
        ukrainian = await sandbox.bot("getMyCommands", scope={"type": "all_private_chats"}, language_code="uk")
        in_groups = await sandbox.bot("getMyCommands")

    assert in_groups == []
    assert [one["command"] for one in english] == [one["command"] for one in ukrainian]
    assert {"pay", "balance", "history", "cancel", "paysupport", "privacy"} <= {one["command"] for one in english}
    assert all(one["description"] != two["description"] for one, two in zip(english, ukrainian, strict=True))


# The database down ---------------------------------------------------------------------------------------------------


async def test_users_are_asked_to_try_again_while_the_database_is_down_and_served_when_it_is_back(
    run_bot: RunBot, anna: Person, gate: Gate, gated_url: str, pool: Pool
) -> None:
    async with run_bot(DATABASE_URL=gated_url):
        await anna.say("/pay")
        await anna.hear()
        gate.close()

        said = await anna.ask("/pay 10")
        alert = await anna.press("pick:5:USD")
        gate.open()
        answer = await anna.ask("/pay 10")

    assert "try again in a minute" in said
    assert ("try again in a minute" in alert["text"], alert["show_alert"]) == (True, True)
    assert code_in(answer)
    assert await payments(pool) == 1


async def test_an_apology_that_telegram_refuses_is_not_logged_as_an_error(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, gate: Gate, gated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """
    While the database and Telegram are both down, the bot cannot even send an apology. It must not log an error for each message.
    """
    async with run_bot(DATABASE_URL=gated_url):
        await anna.ask("/start")
        gate.close()
        # Let Telegram ask for a pause of 601 seconds. The bot waits at most 600 seconds, so it does not retry its apology.
        await sandbox.post("/telegram/misbehave", method="sendMessage", kind="too_many_requests", retry_after=601)
        calls = len(await sandbox.get("/telegram/calls", method="sendMessage"))
        await anna.say("/pay 10")
        await sandbox.get("/telegram/calls", method="sendMessage", count=calls + 1, wait=30)
        gate.open()

        assert code_in(await anna.ask("/pay 10"))

    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_notification_queued_during_an_outage_of_the_database_is_sent_afterwards(
    run_bot: RunBot, anna: Person, gate: Gate, gated_url: str, pool: Pool
) -> None:
    async with run_bot(DATABASE_URL=gated_url):
        await anna.ask("/start")
        gate.close()
        await Outbox(pool).owe(ANNA)

        gate.open()

        assert "+500 credits" in (await anna.hear())["text"]


async def test_a_bot_that_starts_without_the_database_waits_for_it(
    run_bot: RunBot, anna: Person, gate: Gate, gated_url: str
) -> None:
    gate.close()
    async with run_bot(DATABASE_URL=gated_url):
        assert "try again" in await anna.ask("/pay 10")
        gate.open()

        assert code_in(await anna.ask("/pay 10"))


async def test_the_bot_is_unhealthy_while_its_database_is_down(run_bot: RunBot, gate: Gate, gated_url: str) -> None:
    port = free_port()
    async with run_bot(DATABASE_URL=gated_url, HEALTH_PORT=str(port)) as bot, aiohttp.ClientSession() as session:
        await listens(port, bot.task)
        healthy = await status(session, port)
        gate.close()
        ill = await status(session, port)
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = await answer.text()

    assert (healthy, ill) == (200, 503)
    assert 'ledger_outbox_deliveries_total{kind="payment_credited",outcome="sent"}' in metrics


async def status(session: aiohttp.ClientSession, port: int) -> int:
    async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
        return answer.status


async def listens(port: int, task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not task.done():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


# Webhook mode --------------------------------------------------------------------------------------------------------


class Telegram:
    """Sends updates to the bot's webhook, as Telegram does through the proxy."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session = session
        self.port = port
        self.address = f"http://127.0.0.1:{port}/telegram-webhook"
        self.number = 100

    async def send(self, *, secret: str | None = None, chat: dict[str, object] | None = None, text: str) -> int:
        """
        Send one message from Anna to the webhook, and return the HTTP status of the answer.

        Without *secret*, the request has no secret. Without *chat*, Anna writes in her private chat with the bot.
        """
        self.number += 1
        user = {"id": ANNA, "is_bot": False, "first_name": "Anna", "language_code": "en"}
        private = {"id": ANNA, "type": "private", "first_name": "Anna"}
        message = {"message_id": self.number, "date": 1, "from": user, "chat": chat or private, "text": text}
        if text.startswith("/"):
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text.split(maxsplit=1)[0])}]
        headers = {} if secret is None else {"X-Telegram-Bot-Api-Secret-Token": secret}
        update = {"update_id": self.number, "message": message}
        async with self.session.post(self.address, json=update, headers=headers) as answer:
            return answer.status


@pytest.fixture
async def telegram(run_bot: RunBot, sandbox: Sandbox) -> AsyncIterator[Telegram]:
    port = free_port()
    await sandbox.meet(ANNA)
    async with (
        run_bot(BOT_WEBHOOK_URL=WEBHOOK_URL, BOT_PORT=str(port)),
        aiohttp.ClientSession() as session,
    ):
        await called(sandbox, "setWebhook")
        yield Telegram(session, port)


async def test_an_update_is_acknowledged_after_it_was_handled(telegram: Telegram, anna: Person, pool: Pool) -> None:
    answered = await telegram.send(secret=webhook_secret(TOKEN), text="/pay 10")

    assert answered == 200
    assert await payments(pool) == 1
    assert ["Your code" in text for text in await anna.texts()] == [True]


async def test_an_update_without_the_secret_is_refused(telegram: Telegram, pool: Pool) -> None:
    for secret in (None, "", "wrong", "ї", TOKEN):
        answered = await telegram.send(secret=secret, text="/pay 10")

        assert answered == 401, secret
        assert await payments(pool) == 0, secret


async def test_a_bad_update_is_refused_before_its_body_arrives(telegram: Telegram) -> None:
    """
    The first request has a wrong secret. The second announces a body over the limit. The test sends neither body, but both
    requests must be answered.
    """
    for secret, length, status in (("wrong", 1000, 401), (webhook_secret(TOKEN), UPDATE_BYTES_MAX + 1, 413)):
        reader, writer = await asyncio.open_connection("127.0.0.1", telegram.port)

        head = f"POST /telegram-webhook HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
        writer.write(f"{head}X-Telegram-Bot-Api-Secret-Token: {secret}\r\n\r\n".encode())
        async with asyncio.timeout(DEADLINE_SECONDS):
            status_line = await reader.readline()

        assert f" {status} ".encode() in status_line
        writer.close()


async def test_a_command_in_a_group_without_the_bots_name_is_ignored(
    telegram: Telegram, sandbox: Sandbox, pool: Pool
) -> None:
    group: dict[str, object] = {"id": -100, "type": "supergroup", "title": "Friends"}

    answered = await telegram.send(secret=webhook_secret(TOKEN), chat=group, text="/pay 10")

    assert answered == 200
    assert await payments(pool) == 0
    assert await sandbox.get("/telegram/calls", method="sendMessage") == []


async def test_switching_to_webhook_mode_and_back_loses_no_update(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, telegram: Telegram
) -> None:
    [entered] = await sandbox.get("/telegram/calls", method="setWebhook")
    await anna.say("/balance")

    async with run_bot():
        assert "0 credits" in (await anna.hear())["text"]

    assert entered["params"]["drop_pending_updates"] == "false"
    assert "secret_token" in entered["params"]


async def test_a_webhook_that_telegram_cannot_reach_is_set_again(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    If the webhook's host has several IP addresses, Telegram uses only one of them until a setting of the webhook changes.

    So when Telegram reports that it cannot connect, the bot sets the webhook again with another value of `max_connections`.
    """
    monkeypatch.setattr("coffee_ledger.telegram.client.WEBHOOK_CHECK_SECONDS", 0.05)
    async with run_bot(BOT_WEBHOOK_URL=URL_AT_DOOR):
        await called(sandbox, "setWebhook")
        await sandbox.close_product()

        await anna.say("/balance")
        first, second = (await sandbox.get("/telegram/calls", method="setWebhook", count=2, wait=DEADLINE_SECONDS))[:2]

    assert first["params"]["max_connections"] != second["params"]["max_connections"]
    assert first["params"] | {"max_connections": 0} == second["params"] | {"max_connections": 0}


async def test_a_webhook_that_answers_with_an_error_is_not_set_again(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coffee_ledger.telegram.client.WEBHOOK_CHECK_SECONDS", 0.05)
    sandbox.product.default_status = 503
    async with run_bot(BOT_WEBHOOK_URL=URL_AT_DOOR):
        await called(sandbox, "setWebhook")
        await anna.say("/balance")
        await sandbox.product.wait_for(1)
        checks = len(await sandbox.get("/telegram/calls", method="getWebhookInfo"))

        await sandbox.get("/telegram/calls", method="getWebhookInfo", count=checks + 3, wait=DEADLINE_SECONDS)

        assert len(await sandbox.get("/telegram/calls", method="setWebhook")) == 1


async def test_a_host_that_telegram_cannot_open_gets_a_conversation_without_the_app(
    run_bot: RunBot, sandbox: Sandbox, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coffee_ledger.telegram.settings.TELEGRAM_API_URL", str(sandbox.url / "telegram"))

    async with run_bot(PUBLIC_HOST="localhost"):
        greeting, offer, help_ = await anna.ask("/start"), await anna.ask("/pay"), await anna.ask("/help")
        said = await anna.messages()

    assert "To begin, send /pay" in greeting
    assert "How much" in offer
    assert "/claim" in help_
    assert "web_app" not in str([one["reply_markup"] for one in said])
    assert not await sandbox.get("/telegram/calls", method="setChatMenuButton")


async def test_help_explains_a_fractional_rate_by_an_amount_that_gives_whole_credits(
    run_bot: RunBot, anna: Person
) -> None:
    async with run_bot(CREDITS_PER_UNIT="USD=100,PLN=25.5,UAH=0.5"):
        said = await anna.ask("/help")

    assert "$1 = 100 credits" in said
    assert re.search(r"PLN\s?2 = 51 credits", said)
    assert re.search(r"UAH\s?2 = 1 credit\b", said)
