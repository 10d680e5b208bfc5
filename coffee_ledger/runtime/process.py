"""Run a process: read its settings, configure logs and traces, and work until SIGTERM or SIGINT."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from coffee_ledger.runtime.logs import configure_logging
from coffee_ledger.runtime.settings import AnySettings, SettingsError, read_settings
from coffee_ledger.runtime.tracing import configure_tracing, end_tracing

EXIT_MISCONFIGURED = 78
"""The exit code EX_CONFIG of sysexits.h. It means that a restart does not help, because a setting is wrong."""

EXIT_FAILED = 1

log = structlog.stdlib.get_logger()


def run_service(
    name: str, kind: type[AnySettings], work: Callable[[AnySettings, asyncio.Event], Awaitable[None]]
) -> None:
    """
    Read the settings, and run *work* with the settings and an asyncio event.

    SIGTERM or SIGINT sets the event. Then *work* must finish and return.

    If settings are wrong, print a line for each problem and exit with code 78. If *work* raises an error, log the error and
    exit with code 1.
    """
    try:
        settings = read_settings(kind, os.environ)
    except SettingsError as error:
        # Print the problems. The log is not configured yet, because the log level is one of the settings.
        for problem in error.problems:
            print(f"{name}: {problem}", file=sys.stderr)
        raise SystemExit(EXIT_MISCONFIGURED) from None
    configure_logging(level=settings.LOG_LEVEL, service=name)
    configure_tracing(name, settings)
    # Exclude the imported modules from garbage collection, because they never become garbage.
    gc.freeze()
    try:
        asyncio.run(_run_until_signalled(settings, work))
    except Exception:
        # Log the error here. Otherwise Python would print a traceback that is not JSON and may contain personal data.
        log.exception("service failed")
        raise SystemExit(EXIT_FAILED) from None
    finally:
        end_tracing()


async def _run_until_signalled(
    settings: AnySettings, work: Callable[[AnySettings, asyncio.Event], Awaitable[None]]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_unhandled)
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    await work(settings, stop)


def _log_unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """
    Log an error that no code has handled, such as an exception in a task that was never awaited.

    asyncio's default handler would also log the message of the exception and the arguments of callbacks. Both may contain
    personal data.
    """
    log.error("error not handled", reason=context["message"].partition("(")[0], exc_info=context.get("exception"))
