"""How a process ends: seen from outside, as Docker sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "123456789:AAF0a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6"
EMAIL = "anna@example.org"

SERVICE = """
import asyncio

from services.runtime.process import run_service
from services.runtime.settings import Settings


async def fail():
    raise ValueError("{token} of {email}")


async def fail_in_a_group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail())


async def work(settings, stop):
    await {what}()


run_service("bot", Settings, work)
"""


@pytest.mark.parametrize(("what", "raised"), [("fail", "ValueError"), ("fail_in_a_group", "ExceptionGroup")])
def test_a_service_that_fails_says_so_in_one_line_that_shows_nothing_private(what: str, raised: str) -> None:
    service = SERVICE.format(token=TOKEN, email=EMAIL, what=what)
    environment = {"DATABASE_URL": "postgresql://bot:secret@db:5432/ledger"}

    ended = subprocess.run(
        [sys.executable, "-c", service],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    [line] = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (line["level"], line["event"], line["service"]) == ("error", "service failed", "bot")
    assert line["exception"][0]["exc_type"] == raised
    assert "ValueError" in ended.stdout
    assert [word for word in (TOKEN, EMAIL, "secret") if word in ended.stdout] == []
    assert (ended.returncode, ended.stderr) == (1, "")
