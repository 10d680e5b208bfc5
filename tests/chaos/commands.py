"""Run commands, such as `docker`, in the folder of the checkout."""

import asyncio
import os
from collections.abc import Mapping

from tests.files import ROOT

COMMAND_SECONDS_MAX = 60.0


class CommandError(Exception):
    """A command failed or took too long."""


async def run(
    *command: str,
    seconds: float = COMMAND_SECONDS_MAX,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
) -> str:
    """
    Run a command and return its output. *given* is the text for its standard input.

    Raises:
        CommandError: The command failed, or took longer than *seconds*.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            printed, complaint = await process.communicate(None if given is None else given.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise CommandError(f"{' '.join(command)[:200]} took longer than {seconds:g} s") from None
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        raise CommandError(f"{' '.join(command)[:200]} failed: {complaint.decode()[-500:]}")
    return printed.decode()
