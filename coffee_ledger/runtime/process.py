"""The life of a process: settings or one clear line, logs, then work until SIGTERM or SIGINT."""

import asyncio
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
"""EX_CONFIG of sysexits.h: a restart will not help."""

EXIT_FAILED = 1

log = structlog.stdlib.get_logger()


def run_service(
    name: str, kind: type[AnySettings], work: Callable[[AnySettings, asyncio.Event], Awaitable[None]]
) -> None:
    """
    Run *work* with its settings and the event that says "stop", which it awaits to end in order.

    Exits with 78 and a line for each problem when the settings are wrong, and with 1 and a line of the log when *work* fails.
    """
    try:
        settings = read_settings(kind, os.environ)
    except SettingsError as error:
        for problem in error.problems:
            print(f"{name}: {problem}", file=sys.stderr)
        raise SystemExit(EXIT_MISCONFIGURED) from None
    configure_logging(level=settings.LOG_LEVEL, service=name)
    configure_tracing(name, settings)
    try:
        asyncio.run(_run_until_signalled(settings, work))
    except Exception:
        # Python's own words of it would stand on standard error in another shape, with what no line may show.
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
    """Log what was raised where nobody waited for it; by itself asyncio writes the words of it, and the arguments of calls."""
    log.error("error not handled", reason=context["message"].partition("(")[0], exc_info=context.get("exception"))
