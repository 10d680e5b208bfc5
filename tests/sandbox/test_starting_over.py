"""The button *Start over* resets the demo's page to its initial state. It deletes nothing from the product's ledger."""

from typing import Any

from tests.sandbox.world import Sandbox


async def supporters(sandbox: Sandbox) -> list[int]:
    cast = (await sandbox.get("/demo/changes"))["cast"]
    return [person["id"] for person in cast if not person["is_operator"]]


async def changes(sandbox: Sandbox) -> Any:
    return await sandbox.get("/demo/changes")


async def test_there_are_two_operators_and_one_speaks_ukrainian(sandbox: Sandbox) -> None:
    cast = (await changes(sandbox))["cast"]

    assert [person["language_code"] for person in cast if person["is_operator"]] == ["en", "uk"]


async def test_new_supporters_come_and_the_old_payments_go(sandbox: Sandbox) -> None:
    before = await supporters(sandbox)
    paid = await sandbox.pay()
    await sandbox.settled(paid["event_id"])

    await sandbox.post("/demo/start-over")

    after = await changes(sandbox)
    assert set(await supporters(sandbox)).isdisjoint(before)
    assert (after["payments"], after["deliveries"], after["tally"]["paid"]) == ([], [], 0)


async def test_operators_stay(sandbox: Sandbox) -> None:
    await sandbox.pay()
    before = [person for person in (await changes(sandbox))["cast"] if person["is_operator"]]

    await sandbox.post("/demo/start-over")

    assert [person for person in (await changes(sandbox))["cast"] if person["is_operator"]] == before


async def test_a_second_click_changes_nothing(sandbox: Sandbox) -> None:
    await sandbox.pay()
    await sandbox.post("/demo/start-over")
    first = await supporters(sandbox)
    await sandbox.meet(first[0])

    await sandbox.post("/demo/start-over")

    assert await supporters(sandbox) == first


async def test_a_supporter_who_has_said_something_is_replaced(sandbox: Sandbox) -> None:
    [one, _] = before = await supporters(sandbox)
    await sandbox.meet(one)
    await sandbox.post(f"/telegram/chats/{one}/messages", text="/balance")

    await sandbox.post("/demo/start-over")

    assert set(await supporters(sandbox)).isdisjoint(before)


async def test_every_fault_ends_and_every_plug_is_in(sandbox: Sandbox) -> None:
    await sandbox.post("/demo/plugs", name="webhook", pulled=True)
    await sandbox.post("/bmc/misbehave", kind="twice")
    await sandbox.post("/telegram/misbehave", kind="server_error", method="sendMessage")

    await sandbox.post("/demo/start-over")

    state = await changes(sandbox)
    assert not any(plug["pulled"] for plug in state["plugs"])
    assert (state["bmc_faults"], state["telegram_faults"]) == ([], [])


async def test_old_payments_can_still_be_refunded(sandbox: Sandbox) -> None:
    paid = await sandbox.pay()
    await sandbox.post("/demo/start-over")

    refund = await sandbox.post(f"/bmc/payments/{paid['transaction_id']}/refund")

    assert [one["status"] for one in await sandbox.settled(refund["event_id"])] == [200]
