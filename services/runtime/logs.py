"""One JSON line on standard output for each thing that happened, ours and the libraries' in one shape."""

from __future__ import annotations

import logging
import re
import sys

import structlog
from structlog.typing import EventDict, Processor

from services.runtime.tracing import trace_ids

# Telegram puts the token into the address of every call, so libraries may log it: /bot123456:AA…/sendMessage.
BOT_TOKEN = re.compile(r"(?<!\d)(\d{6,12}):[A-Za-z0-9_-]{30,}")
PASSWORD_IN_URL = re.compile(r"(://[^\s:/@]+:)[^\s@]+@")


def configure_logging(*, level: str, service: str) -> None:
    """Send everything that is logged anywhere in this process to standard output, one JSON object a line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        lambda _, __, line: {"service": service, **line, **trace_ids()},
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering()))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # A line for each update says nothing that our own do not say better.
    logging.getLogger("aiogram.event").setLevel(logging.WARNING)


def _rendering() -> list[Processor]:
    # The default renderer of exceptions writes the local variables of every frame: bodies, notes and secrets.
    errors = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.ExceptionRenderer(errors),
        structlog.processors.JSONRenderer(ensure_ascii=False),
        redact,
        escape_surrogates,
    ]


def redact(_logger: object, _method: str, line: EventDict | str) -> str:
    """Blot out what no line may show, on the finished line: a nested exception can bring it in as well."""
    text = BOT_TOKEN.sub(r"\1:<redacted>", str(line))
    return PASSWORD_IN_URL.sub(r"\1<redacted>@", text)


def escape_surrogates(_logger: object, _method: str, line: EventDict | str) -> str:
    r"""Write half a pair of surrogates, which no stream takes, as JSON can: `\ud800`."""
    return str(line).encode("utf-8", "backslashreplace").decode("utf-8")
