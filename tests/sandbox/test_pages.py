import asyncio
import re

import pytest

from tests.sandbox.world import Product, Sandbox


@pytest.mark.parametrize("path", ["/", "/?person=7", "/bmc/creator"])
async def test_a_page_loads_nothing_from_elsewhere(sandbox: Sandbox, path: str) -> None:
    async with sandbox.client.get(path) as response:
        html = await response.text()

    assert (response.status, response.content_type) == (200, "text/html")
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "https://" not in html
    assert re.findall(r'(?:src|href)="([^"]+)"', html) == [
        "data:,",
        "/pages/demo.css",
        "/pages/retry.js",
        "/pages/demo.js",
    ]


async def test_every_part_of_the_page_is_served(sandbox: Sandbox) -> None:
    wanted, seen = {"/pages/demo.css", "/pages/retry.js", "/pages/demo.js"}, set[str]()

    while wanted - seen:
        path = (wanted - seen).pop()
        seen.add(path)
        async with sandbox.client.get(path) as response:
            assert response.status == 200, path
            source = await response.text()
        wanted |= {f"/pages/{name}" for name in re.findall(r'from "\./([a-z_]+\.js)"', source)}

    assert len(seen) > 5


@pytest.mark.parametrize("name", ["none.js", "..%2fdemo.py", "demo.html"])
async def test_nothing_else_is_served_as_a_part(sandbox: Sandbox, name: str) -> None:
    async with sandbox.client.get(f"/pages/{name}") as response:
        assert response.status == 404


async def test_the_sandbox_reports_that_it_is_healthy(sandbox: Sandbox) -> None:
    assert await sandbox.get("/healthz") == {"ok": True}


async def test_the_changes_contain_everything_that_the_page_shows(sandbox: Sandbox) -> None:
    await sandbox.post("/telegram/users", id=1, first_name="Anna", language_code="uk")
    await sandbox.meet()
    sent = await sandbox.bot("sendMessage", chat_id=1, text="Hello")
    await sandbox.bot("setMyCommands", commands=[{"command": "pay", "description": "Support"}])
    paid = await sandbox.pay(amount="3.50", note="For K7QM-2XHD")
    await sandbox.settled(paid["event_id"])
    await sandbox.post("/telegram/misbehave", method="sendMessage", kind="hang")
    await sandbox.post("/bmc/misbehave", kind="late", seconds=1)

    shown = await sandbox.get("/demo/changes", person=1)

    (anna,) = shown["people"]
    assert (anna["id"], anna["standing"], anna["newest_from_bot"]) == (1, "open", sent["message_id"])
    assert [message["text"] for message in shown["chat"]["messages"]] == ["/start", "Hello"]
    assert [command["command"] for command in shown["chat"]["commands"]] == ["pay"]
    assert shown["chat"]["menu_button"] == {"type": "commands"}
    assert shown["payments"][0]["words"] == "For K7QM-2XHD"
    (delivery,) = shown["deliveries"]
    assert (delivery["status"], delivery["attempt"]) == (200, 1)
    assert delivery["milliseconds"] >= 0
    assert '"support_note":"For K7QM-2XHD"' in delivery["body"].replace('": ', '":')
    assert len(delivery["signature"]) == 64
    assert [fault["kind"] for fault in shown["telegram_faults"]] == ["hang"]
    assert [fault["kind"] for fault in shown["bmc_faults"]] == ["late"]


async def test_the_page_gets_the_people_it_asks_for_however_many_came_since(sandbox: Sandbox) -> None:
    for user in range(1, 100):
        await sandbox.post("/telegram/users", id=user, first_name="Guest")

    shown = await sandbox.get("/demo/changes", people="2,1,1000")

    assert [one["id"] for one in shown["people"]] == [2, 1]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/telegram/chats/1/messages", {"text": "hello"}),
        ("/telegram/users", {"id": 1, "first_name": "Anna"}),
        ("/telegram/misbehave", {"kind": "hang"}),
        ("/bmc/creator/checkout", {"amount": 5}),
        ("/bmc/misbehave", {"kind": "late"}),
        ("/bmc/webhook/enable", {}),
    ],
)
async def test_every_change_reaches_the_page_at_once(sandbox: Sandbox, path: str, fields: dict[str, str | int]) -> None:
    version = (await sandbox.get("/demo/changes"))["version"]
    asking = asyncio.create_task(sandbox.get("/demo/changes", version=version, wait=10))

    await sandbox.post(path, **fields)

    async with asyncio.timeout(5):
        assert (await asking)["version"] > version


@pytest.mark.parametrize("kind", ["late", "out_of_order", "only_refund_first"])
async def test_a_payment_that_is_held_back_shows_at_once_and_its_switch_is_off(sandbox: Sandbox, kind: str) -> None:
    await sandbox.post("/bmc/misbehave", kind=kind, seconds=600)
    before = await sandbox.get("/demo/changes")
    paid = await sandbox.pay()

    shown = before
    async with asyncio.timeout(5):
        while shown["bmc_faults"] or not shown["payments"]:
            shown = await sandbox.get("/demo/changes", version=shown["version"], wait=10)

    assert [payment["transaction_id"] for payment in shown["payments"]] == [paid["transaction_id"]]
    assert shown["deliveries"] == []


async def test_a_payment_shows_although_the_webhook_is_switched_off(sandbox: Sandbox, product: Product) -> None:
    product.default_status = 500
    for _ in range(11):
        await sandbox.post("/bmc/test-event")
    shown = await sandbox.get("/demo/changes")
    asking = asyncio.create_task(sandbox.get("/demo/changes", version=shown["version"], wait=10))

    await sandbox.pay()

    async with asyncio.timeout(5):
        assert len((await asking)["payments"]) == 1
    assert not shown["webhook"]["enabled"]


async def test_a_single_fault_can_be_cleared(sandbox: Sandbox) -> None:
    for party, kinds in (("telegram", ("hang", "reset")), ("bmc", ("late", "twice"))):
        for kind in kinds:
            await sandbox.post(f"/{party}/misbehave", kind=kind)

    await sandbox.delete("/telegram/misbehave?kind=hang")
    await sandbox.delete("/bmc/misbehave?kind=late")

    shown = await sandbox.get("/demo/changes")
    assert [fault["kind"] for fault in shown["telegram_faults"]] == ["reset"]
    assert [fault["kind"] for fault in shown["bmc_faults"]] == ["twice"]


async def test_the_newest_payment_comes_first_even_among_payments_of_one_second(sandbox: Sandbox) -> None:
    for amount, kind in ((1, "donation"), (2, "membership"), (3, "donation"), (4, "recurring_donation")):
        await sandbox.pay(amount=amount, kind=kind)

    payments = await sandbox.get("/bmc/payments")

    assert [payment["amount"] for payment in payments] == ["4", "3", "2", "1"]


async def test_the_lists_behind_the_pages_show_people_payments_and_faults(sandbox: Sandbox) -> None:
    await sandbox.meet()
    await sandbox.pay(amount="3.50")
    subscribed = await sandbox.pay(kind="membership")
    await sandbox.post("/telegram/misbehave", method="sendMessage", kind="hang", times=3)
    await sandbox.post("/telegram/pause", method="getMe")
    await sandbox.post("/bmc/misbehave", kind="late", seconds=1)

    assert [person["standing"] for person in await sandbox.get("/telegram/users")] == ["open"]
    payments = await sandbox.get("/bmc/payments")
    assert {payment["amount"] for payment in payments} == {"3.50", "5"}
    assert subscribed["psp_id"] in {payment.get("psp_id") for payment in payments}
    assert await sandbox.get("/telegram/misbehave") == {
        "rules": [{"method": "sendMessage", "kind": "hang", "times": 3, "user_id": None}],
        "paused": ["getme"],
    }
    assert await sandbox.get("/bmc/misbehave") == [{"kind": "late", "times": 1, "seconds": 1.0}]
