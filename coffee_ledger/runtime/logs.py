"""Log to standard output, one JSON object per line, in the same form for our own code and for libraries."""

import logging
import re
import sys
from typing import Any

import asyncpg
import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from coffee_ledger.errors import LedgerError
from coffee_ledger.runtime.tracing import trace_ids

BOT_TOKEN = re.compile(r"(?<!\d)(\d{6,12}):[A-Za-z0-9_-]{30,}")
"""The URL of every call to Telegram contains the token, so libraries may log it: /bot123456:AA…/sendMessage."""

PASSWORD_IN_URL = re.compile(r"(://[^\s:/@]+:)[^\s@]+@")

# The default also writes the local variables of each frame, which hold bodies, notes and secrets.
_traceback = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def configure_logging(*, level: str, service: str) -> None:
    """Send all log records of this process to standard output, one JSON object per line."""
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
    # A filter of the handler sees the records of all loggers. A filter of a logger does not see those of its children.
    handler.addFilter(cut_words)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering()))
    # With `force`, handlers that were installed before are removed, because they would write lines that are not JSON.
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # aiogram logs a line for each update; our own lines say more.
    logging.getLogger("aiogram.event").setLevel(logging.WARNING)


def _rendering() -> list[Processor]:
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.ExceptionRenderer(tell_exception),
        structlog.processors.JSONRenderer(ensure_ascii=False),
        redact,
        escape_surrogates,
    ]


def tell_exception(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """
    Describe an exception and its causes: types and stack frames, and the message only if it comes from us or from the system.

    Other messages repeat their input: Postgres quotes the whole row that it refused, Telegram the text that it could not parse,
    Python the value that is not a number.
    """
    return _tell_chain(exc_info[1], told=set())


def _tell_chain(error: BaseException | None, *, told: set[int]) -> list[dict[str, Any]]:
    """Describe each exception once, because a chain may contain a cycle. *told* holds the ids of those already described."""
    entries = []
    is_cause = False
    while error is not None and id(error) not in told:
        told.add(id(error))
        entries.append(_tell(error, told) | {"is_cause": is_cause})
        is_cause = error.__cause__ is not None
        # As in Python's own traceback, `from None` hides the context.
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return entries


def _tell(error: BaseException, told: set[int]) -> dict[str, Any]:
    entry = _traceback((type(error), error, error.__traceback__))[0]
    # Replace the texts that come from the exception itself, because they may repeat its input.
    entry |= {"exc_value": _words_of(error), "exc_notes": [], "syntax_error": None}
    if isinstance(error, BaseExceptionGroup):
        entry["exceptions"] = [_tell_chain(one, told=told) for one in error.exceptions]
    return entry


def _words_of(error: BaseException) -> str:
    if isinstance(error, OSError | LedgerError):
        return str(error)
    if isinstance(error, asyncpg.PostgresError):
        # A field is None if the error does not set it.
        return " ".join(filter(None, (error.sqlstate, error.table_name, error.constraint_name)))
    return ""


def cut_words(record: logging.LogRecord) -> bool:
    """Replace an exception in a library's log message by its name: messages of aiogram's exceptions contain whole updates."""
    if isinstance(record.args, tuple):
        record.args = tuple(_name(one) if isinstance(one, BaseException) else one for one in record.args)
    if isinstance(record.msg, BaseException):
        record.msg = _name(record.msg)
    return True


def _name(error: BaseException) -> str:
    return _words_of(error) or type(error).__name__


def redact(_logger: object, _method: str, line: EventDict | str) -> str:
    """Remove tokens and passwords from the finished line, because a nested exception can contain them too."""
    text = BOT_TOKEN.sub(r"\1:<redacted>", str(line))
    return PASSWORD_IN_URL.sub(r"\1<redacted>@", text)


def escape_surrogates(_logger: object, _method: str, line: EventDict | str) -> str:
    r"""Write a lone surrogate, which UTF-8 cannot encode, as a JSON escape: `\ud800`."""
    return str(line).encode("utf-8", "backslashreplace").decode("utf-8")
