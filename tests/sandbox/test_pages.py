import pytest

from tests.sandbox.world import Sandbox


@pytest.mark.parametrize("path", ["/", "/telegram", "/telegram/chat/1001", "/bmc", "/bmc/creator"])
async def test_a_page_loads_nothing_from_elsewhere(sandbox: Sandbox, path: str) -> None:
    async with sandbox.client.get(path) as response:
        html = await response.text()

    assert (response.status, response.content_type) == (200, "text/html")
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "https://" not in html
    assert 'src="' not in html


async def test_a_name_cannot_bring_markup_into_a_page(sandbox: Sandbox) -> None:
    await sandbox.post("/telegram/users", id=1, first_name="<script>alert('x')</script>")

    async with sandbox.client.get("/telegram/chat/1") as response:
        html = await response.text()

    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(&#x27;x&#x27;)" in html


async def test_the_sandbox_says_that_it_is_healthy(sandbox: Sandbox) -> None:
    assert await sandbox.get("/healthz") == {"ok": True}


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
