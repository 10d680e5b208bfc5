"""
Check that a bot with its own `services/`, `ledger/`, `bot/` and `settings.py` can include Coffee Ledger.

One test installs Coffee Ledger from its wheel. Another test builds the bot's image from Coffee Ledger's image.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.bot.fixtures import OPERATOR
from tests.bot.people import Person
from tests.e2e.people import Person as Customer
from tests.e2e.stack import IMAGE_TAG, SERVICES, Stack, another_stack, build_image
from tests.files import ROOT
from tests.integration.bmc import a_payment
from tests.integration.webhook import Webhook
from tests.network import free_port
from tests.sandbox.world import TOKEN, Sandbox

GUEST = Path(__file__).parent / "namesakes"
GUEST_IMAGE = f"coffee-ledger-guest:{IMAGE_TAG}"
OWN_MODULES = "bot, ledger, services, settings"
UV = Path(sys.executable).with_name("uv")
SECONDS_MAX = 600
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def wait_until_healthy(port: int) -> None:
    async with asyncio.timeout(START_SECONDS_MAX), aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build Coffee Ledger's wheel, install it in a new virtual environment, and return the path to Python there."""
    folder = tmp_path_factory.mktemp("wheel")
    python = folder / "venv/bin/python"
    constraints = ("--build-constraint", ROOT / "requirements/build.lock", "--require-hashes")
    run(UV, "build", "--wheel", *constraints, "--out-dir", folder, ROOT)
    [wheel] = folder.glob("*.whl")
    run(UV, "venv", "--python", sys.executable, folder / "venv")
    run(UV, "pip", "install", "--python", python, wheel, "--constraint", ROOT / "requirements/runtime.lock")
    return python


@pytest.fixture(scope="session")
def guest_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run the whole product, with the bot from `namesakes/` in place of the product's own bot. Yield the stack."""
    override = tmp_path_factory.mktemp("guest") / "compose.override.yaml"
    override.write_text(
        f"services: {{bot: {{image: '{GUEST_IMAGE}', command: [python, main.py]}}}}\n", encoding="utf-8"
    )
    build_image()
    run("docker", "build", "--quiet", "--build-arg", f"IMAGE=coffee-ledger:{IMAGE_TAG}", "--tag", GUEST_IMAGE, GUEST)
    with another_stack("guest", *SERVICES, COMPOSE_FILE=f"{ROOT / 'compose.yaml'}:{override}") as stack:
        yield stack
    run("docker", "image", "rm", GUEST_IMAGE)


async def test_a_bot_with_the_same_module_names_runs_with_the_wheel(
    python: Path, sandbox: Sandbox, role_url: Callable[[str], str], anna: Person, webhook: Webhook
) -> None:
    settings = {
        "DATABASE_URL": role_url("bot"),
        "BOT_TOKEN": TOKEN,
        "BOT_PORT": str(free_port()),
        "HEALTH_PORT": str(free_port()),
        "TELEGRAM_API_URL": str(sandbox.url / "telegram"),
        "ADMIN_IDS": str(OPERATOR),
        "BMC_PAGE_URL": "https://buymeacoffee.com/creator",
        "PUBLIC_HOST": "pay.example",
        "CREDITS_PER_UNIT": "USD=100",
        "PATH": os.environ["PATH"],
    }
    process = await asyncio.create_subprocess_exec(python, "main.py", cwd=GUEST, env=settings)
    try:
        # Wait until the bot has started. On a busy machine, its start takes longer than `anna.ask` waits for an answer.
        await wait_until_healthy(int(settings["HEALTH_PORT"]))
        own = await anna.ask("/mine")
        await webhook.settle(a_payment(amount=5, support_note=await anna.ask_for_code("5")))
        thanks = (await anna.hear())["text"]
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_SECONDS_MAX):
            await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    assert own == OWN_MODULES
    assert "+500 credits" in thanks
    assert process.returncode == 0


async def test_a_bot_with_the_same_module_names_runs_on_the_image(guest_stack: Stack) -> None:
    async with aiohttp.ClientSession() as session:
        person = await Customer.join(session, guest_stack.sandbox_url, 4711, "Anna", "en")
        await person.say("/mine")
        own = await person.hear(OWN_MODULES)
        await person.say("/pay 5")
        asked = await person.hear("Your code")

    assert own == OWN_MODULES
    assert "$5" in asked


def test_the_production_image_has_no_sandbox() -> None:
    build_image()
    look = "import importlib.util as u, sys; sys.exit(u.find_spec('sandbox') is not None or u.find_spec('coffee_ledger') is None)"

    run("docker", "run", "--rm", "--network", "none", f"coffee-ledger:{IMAGE_TAG}", "python", "-c", look)
