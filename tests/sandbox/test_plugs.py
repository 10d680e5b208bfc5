"""On the demo's page, a visitor can pull a plug, which cuts the connections of the database, the webhook or the bot."""

import asyncio
from typing import Any

import pytest
from aiohttp import ClientError, web

from sandbox.relay import HERE, Address
from tests.sandbox.world import DEADLINE_SECONDS, Sandbox, open_sandbox


async def pull(sandbox: Sandbox, name: str) -> None:
    await sandbox.post("/demo/plugs", name=name, pulled=True)


async def put_in(sandbox: Sandbox, name: str) -> None:
    await sandbox.post("/demo/plugs", name=name, pulled=False)


async def pulled(sandbox: Sandbox) -> list[str]:
    return [plug["name"] for plug in (await sandbox.get("/demo/changes"))["plugs"] if plug["pulled"]]


async def state_of(sandbox: Sandbox, event_id: int) -> Any:
    """Return the payment that the event reports, as the demo's page gets it."""
    payments = (await sandbox.get("/demo/changes"))["tally"]["payments"]
    return next(payment for payment in payments if event_id in payment["event_ids"])


async def test_the_page_shows_which_plugs_are_out(sandbox: Sandbox) -> None:
    assert await pulled(sandbox) == []

    await pull(sandbox, "bot")

    assert await pulled(sandbox) == ["bot"]


async def test_an_unplugged_webhook_gets_nothing_and_the_retry_arrives_later() -> None:
    async with open_sandbox(retry_seconds=0.5) as sandbox:
        await pull(sandbox, "webhook")
        paid = await sandbox.pay()
        version = (await sandbox.get("/demo/changes"))["version"]
        while (await state_of(sandbox, paid["event_id"]))["sending"] != "retry":
            version = (await sandbox.get("/demo/changes", version=version, wait=int(DEADLINE_SECONDS)))["version"]

        await put_in(sandbox, "webhook")

        assert [one["status"] for one in await sandbox.settled(paid["event_id"])] == [None, 200]
        assert len(sandbox.product.received) == 1


async def test_an_event_that_was_given_up_can_be_sent_again(sandbox: Sandbox) -> None:
    await pull(sandbox, "webhook")
    paid = await sandbox.pay()
    await sandbox.settled(paid["event_id"])
    assert (await state_of(sandbox, paid["event_id"]))["sending"] == "given_up"
    await put_in(sandbox, "webhook")

    await sandbox.post(f"/bmc/events/{paid['event_id']}/send-again")

    await sandbox.product.wait_for(1)
    await sandbox.settled(paid["event_id"])
    assert (await state_of(sandbox, paid["event_id"]))["sending"] == "accepted"
    assert await sandbox.refused(f"/bmc/events/{paid['event_id']}/send-again") == 404


async def test_an_event_is_not_sent_again_while_the_webhook_is_disabled(sandbox: Sandbox) -> None:
    await pull(sandbox, "webhook")
    paid = [await sandbox.pay() for _ in range(3)]
    for one in paid:
        await sandbox.settled(one["event_id"])

    assert not (await sandbox.get("/bmc/webhook"))["enabled"]
    assert await sandbox.refused(f"/bmc/events/{paid[0]['event_id']}/send-again") == 409


async def test_an_unplugged_bot_does_not_answer_the_mini_app(sandbox: Sandbox) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text="here")

    sandbox.product.pages |= {"/api/start": answer, "/app/": answer}
    await pull(sandbox, "bot")

    async with sandbox.client.get("/api/start") as refused, sandbox.client.get("/app/") as page:
        assert (refused.status, page.status) == (502, 200)
    await put_in(sandbox, "bot")
    async with sandbox.client.get("/api/start") as answered:
        assert await answered.text() == "here"


async def test_pulling_the_plug_of_the_bot_cuts_an_open_stream(sandbox: Sandbox) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.Event().wait()
        return response

    sandbox.product.pages["/api/events"] = stream
    async with asyncio.timeout(DEADLINE_SECONDS), sandbox.client.get("/api/events") as events:
        assert await events.content.readany() == b"first"

        await pull(sandbox, "bot")

        with pytest.raises(ClientError):
            await events.content.read()


async def test_the_plug_of_the_database_cuts_the_connections_of_the_services() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ready")
        await reader.read()
        writer.close()

    # The sandbox's relay, which forwards connections to the database, listens on the port number of the database. In the demo,
    # the relay and the database run on two hosts. In this test, they listen on two IP addresses of one host.
    database = await asyncio.start_server(greet, "127.0.0.2", 0)
    port = database.sockets[0].getsockname()[1]
    async with asyncio.timeout(DEADLINE_SECONDS), open_sandbox(database=Address("127.0.0.2", port)) as sandbox:
        reader, _ = await asyncio.open_connection(HERE, port)
        assert await reader.readexactly(5) == b"ready"

        await pull(sandbox, "database")

        assert await reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HERE, port)
    database.close()


async def test_without_a_database_there_is_no_plug_for_it(sandbox: Sandbox) -> None:
    names = [plug["name"] for plug in await sandbox.get("/demo/plugs")]

    assert names == ["webhook", "bot"]
    assert await sandbox.refused("/demo/plugs", name="database", pulled=True) == 404
    assert await sandbox.refused("/demo/plugs", name="kettle", pulled=True) == 400
