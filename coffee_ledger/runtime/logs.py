"""Log to standard output, one JSON object per line. Records of our own code and records of libraries look alike."""

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
"""
Matches the bot token.

Libraries may log the token, because the URL of every call to Telegram contains it: /bot123456:AA…/sendMessage.
"""

PASSWORD_IN_URL = re.compile(r"(://[^\s:/@]+:)[^\s@]+@")

# Do not log local variables, which structlog logs by default, because they contain bodies, notes and secrets.
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
    # Add the filter to the handler, so that it gets the records of all loggers. The filter of a logger would not get the records
    # of child loggers.
    handler.addFilter(cut_words)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering()))
    # Use `force` to remove handlers that were installed before, because they would write lines that are not JSON.
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Drop the line that aiogram logs for each update, because our own log line for the update contains more.
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
    Describe an exception and its causes by their types and stack frames.

    Add the message only if it comes from our own code or the operating system. Other messages may contain personal data. For
    example, Postgres quotes the row that it refused, and Telegram quotes the text that it could not parse.
    """
    return _tell_chain(exc_info[1], told=set())


def _tell_chain(error: BaseException | None, *, told: set[int]) -> list[dict[str, Any]]:
    """
    Describe an exception and its causes. Describe each exception only once, because a chain may contain a cycle.

    *told* contains the `id()` of each exception that is already described.
    """
    entries = []
    is_cause = False
    while error is not None and id(error) not in told:
        told.add(id(error))
        entries.append(_tell(error, told) | {"is_cause": is_cause})
        is_cause = error.__cause__ is not None
        # Hide the context of an exception that was raised with `from None`, as Python's own traceback does.
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return entries


def _tell(error: BaseException, told: set[int]) -> dict[str, Any]:
    entry = _traceback((type(error), error, error.__traceback__))[0]
    # Replace the texts that come from the exception itself, because they may repeat the input.
    entry |= {"exc_value": _words_of(error), "exc_notes": [], "syntax_error": None}
    if isinstance(error, BaseExceptionGroup):
        entry["exceptions"] = [_tell_chain(one, told=told) for one in error.exceptions]
    return entry


def _words_of(error: BaseException) -> str:
    if isinstance(error, OSError | LedgerError):
        return str(error)
    if isinstance(error, asyncpg.PostgresError):
        # Not every error has all three fields, so leave out those that are None.
        return " ".join(filter(None, (error.sqlstate, error.table_name, error.constraint_name)))
    return ""


def cut_words(record: logging.LogRecord) -> bool:
    """
    Replace each exception in a log record by a safe text or by its type. Return True, so that the record is logged.

    Do not log the message of an exception of aiogram, because it can contain whole updates.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(_name(one) if isinstance(one, BaseException) else one for one in record.args)
    if isinstance(record.msg, BaseException):
        record.msg = _name(record.msg)
    return True


def _name(error: BaseException) -> str:
    return _words_of(error) or type(error).__name__


def redact(_logger: object, _method: str, line: EventDict | str) -> str:
    """Remove tokens and passwords from the rendered line. The texts of nested exceptions in the line may contain them."""
    text = BOT_TOKEN.sub(r"\1:<redacted>", str(line))
    return PASSWORD_IN_URL.sub(r"\1<redacted>@", text)


def escape_surrogates(_logger: object, _method: str, line: EventDict | str) -> str:
    r"""Write a lone surrogate, which UTF-8 cannot encode, as a JSON escape: `\ud800`."""
    return str(line).encode("utf-8", "backslashreplace").decode("utf-8")
