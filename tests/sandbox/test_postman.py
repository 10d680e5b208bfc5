"""The sandbox sends webhooks for the public host name to the product's proxy, even if DNS does not know the name."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from yarl import URL

from sandbox.postman import Answer, Postman
from sandbox.relay import HERE, Address, Relay
from tests.sandbox.world import DEADLINE_SECONDS, Sandbox, open_sandbox


async def test_an_address_at_the_public_name_is_posted_to_the_door(sandbox: Sandbox) -> None:
    await sandbox.bot("setWebhook", url="https://pay.example/telegram-webhook")

    await sandbox.post("/telegram/chats/1/messages", text="hello")

    (received,) = await sandbox.product.wait_for(1)
    assert (received.path, received.headers["host"]) == ("/telegram-webhook", "pay.example")


async def test_a_door_whose_address_has_no_port_gets_the_posts_for_the_public_name(sandbox: Sandbox) -> None:
    """
    The door is the address of the product's proxy. If it contains no port, `Postman` uses the default port of the URL's scheme.

    In an earlier version, `http://proxy` and `http://proxy:80` counted as different addresses. `Postman` did not recognise the
    door then, and bots in webhook mode got no updates.
    """
    line = Relay(Address(HERE, sandbox.product_url.port or 0))
    await line.mend()
    postman = Postman(door=URL("http://proxy.invalid/bmc-webhook"), public_host="pay.example", line=line)

    answer = await postman.post(
        URL("https://pay.example/telegram-webhook"), body=b"{}", headers={}, timeout_seconds=DEADLINE_SECONDS
    )

    await postman.close()
    await line.cut()
    assert isinstance(answer, Answer), answer
    (received,) = sandbox.product.received
    assert (received.path, received.headers["host"]) == ("/telegram-webhook", "pay.example")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
async def test_the_postman_sends_the_public_name_to_a_door_with_an_internal_certificate(tmp_path: Path) -> None:
    names: list[str | None] = []
    tls = self_signed(tmp_path)
    tls.sni_callback = lambda connection, name, context: names.append(name)
    async with open_sandbox(tls=tls) as sandbox:
        paid = await sandbox.pay()

        assert [delivery["status"] for delivery in await sandbox.settled(paid["event_id"])] == [200]

    assert names == ["pay.example"]


async def test_a_redirect_is_not_followed(sandbox: Sandbox) -> None:
    sandbox.product.statuses.append(307)

    paid = await sandbox.pay()

    assert [delivery["status"] for delivery in await sandbox.settled(paid["event_id"])] == [307, 200]


def self_signed(folder: Path) -> ssl.SSLContext:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=pay.example", "-days", "2"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
