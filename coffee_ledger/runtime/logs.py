"""Log to standard output, one JSON object per line. Lines from our own code and lines from libraries have the same format."""

import logging
import re
import sys
import threading
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TextIO

import asyncpg
import structlog
from prometheus_client import Counter
from structlog.typing import EventDict, ExcInfo, Processor

from coffee_ledger.errors import LedgerError
from coffee_ledger.runtime.tracing import trace_ids

BOT_TOKEN_KEY = re.compile(r":(?<=\d{6}:)[A-Za-z0-9_-]{30,}")
"""
Matches the secret part of the bot token: the colon and everything after the colon.

Libraries may log the token, because the URL of every call to Telegram contains it: /bot123456:AA…/sendMessage. The pattern begins
with the colon, because a search for one fixed character is many times faster than a search for digits.
"""

QUEUED_MAX = 10_000
"""The maximum number of lines that wait to be written. A line has about 500 bytes, so 10,000 lines take about 5 MB."""

WRITTEN_MAX = 100
FLUSH_SECONDS_MAX = 5.0
"""The time limit for writing the last lines at exit. The process exits even if the reader of the log has stopped reading."""

LINES_DROPPED = Counter(
    "ledger_log_lines_dropped", "Log lines below WARNING that were dropped, because the log was read too slowly."
)

PASSWORD_IN_URL = re.compile(r"(://[^\s:/@]+:)[^\s@]+@")

# By default, structlog logs local variables. Do not log them, because they contain bodies, notes and secrets.
_traceback = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def configure_logging(*, level: str, service: str) -> None:
    """Send all log records of this process to standard output, one JSON object per line."""
    facts: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        lambda _, __, line: {"service": service, **line, **trace_ids()},
    ]
    handler = QueuedHandler(sys.stdout)
    # A logger gets the name of the module that calls `get_logger`. Ignore this module, in which the lambda below is called.
    find_logger = structlog.stdlib.LoggerFactory(ignore_frame_names=[__name__])
    structlog.configure(
        processors=[*facts, render],
        # Do not pass the lines of our own code through `logging`, because this would double the time to log a line.
        logger_factory=lambda *names: LineLogger(find_logger(*names).name, handler),
        # A log call below *level* returns at once, without rendering its line.
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    # Add the filter to the handler, so that it applies to the records of all loggers. A filter of the root logger would not
    # apply to the records of its child loggers.
    handler.addFilter(cut_words)
    formatting: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, render]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=facts, processors=formatting))
    # Use `force` to remove handlers that were installed before, because they would write lines that are not JSON.
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # Do not look up the thread, process and source line of the call for each record, because our lines do not contain them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001 — the documentation of `logging` recommends this assignment
    # Drop the line that aiogram logs for each update, because our own log line for the update contains more.
    logging.getLogger("aiogram.event").setLevel(logging.WARNING)


class QueuedHandler(logging.Handler):
    """
    Writes lines in a separate thread. A write to standard output blocks while the reader of the log is slow. If the event loop
    wrote the lines itself, a slow reader would delay payments.

    If `QUEUED_MAX` lines wait, further lines below WARNING are dropped and counted. Lines of WARNING and above are never
    dropped. When the process exits, Python flushes the handler, so that the queued lines are written.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._queue = SimpleQueue[str | threading.Event]()
        self._thread = threading.Thread(target=self._write_lines, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # Format the record in this thread, because the line contains the ids of the current trace, and the thread that
            # writes the lines has no current trace.
            line = self.format(record)
        except Exception:  # noqa: BLE001 — a log call must not raise, as in the standard library
            self.handleError(record)
        else:
            self.put(line, may_drop=record.levelno < logging.WARNING)

    def put(self, line: str, *, may_drop: bool) -> None:
        """
        Queue a line without waiting.

        If `QUEUED_MAX` lines are queued already and *may_drop* is True, drop the line and count it. If *may_drop* is False, the
        queue may become longer than `QUEUED_MAX`.
        """
        if may_drop and self._queue.qsize() >= QUEUED_MAX:
            LINES_DROPPED.inc()
        else:
            self._queue.put(line)

    def flush(self) -> None:
        """Wait until the lines that are queued now are written, but no longer than `FLUSH_SECONDS_MAX`."""
        written = threading.Event()
        self._queue.put(written)
        written.wait(FLUSH_SECONDS_MAX)

    def _write_lines(self) -> None:
        while True:
            items = [self._queue.get()]
            # Take further queued lines, up to `WRITTEN_MAX` in all, so that one call of `write` writes many lines.
            while len(items) < WRITTEN_MAX and not self._queue.empty():
                items.append(self._queue.get())
            lines = [item for item in items if isinstance(item, str)]
            # A failed write must not end the thread. The error is not reported, because the log itself cannot be written.
            with suppress(OSError, ValueError):
                self._stream.write("".join(f"{line}\n" for line in lines))
                self._stream.flush()
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()


class LineLogger:
    """
    Puts the log lines of our own code into the queue of *handler*.

    `render` has already turned each line into JSON. For a line of the level `info`, structlog calls the method `info`.
    """

    def __init__(self, name: str, handler: QueuedHandler) -> None:
        self.name = name
        self.debug = self.info = partial(handler.put, may_drop=True)
        self.warning = self.error = self.critical = partial(handler.put, may_drop=False)


def render(logger: object, method: str, line: EventDict) -> str:
    """
    Turn the fields of a line into JSON, without secrets and without the texts of most exceptions.

    A log call must not raise an exception. So if a field cannot be written as JSON, the line contains only the fields that
    every line has, and the type of the error.
    """
    try:
        text = _to_json(logger, method, _render_exception(logger, method, line))
    except Exception as error:  # noqa: BLE001 — for example, a field contains itself
        kept = {name: str(line.get(name)) for name in ("service", "level", "logger", "at", "event")}
        text = _to_json(logger, method, {**kept, "not_rendered": type(error).__name__})
    return escape_surrogates(redact(str(text)))


def tell_exception(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """
    Describe an exception and its causes by their types and stack frames.

    Add the message only if it comes from our own code or the operating system. Other messages may contain personal data. For
    example, Postgres quotes the row that it refused, and Telegram quotes the text that it could not parse.
    """
    return _tell_chain(exc_info[1], told=set())


def _tell_chain(error: BaseException | None, *, told: set[int]) -> list[dict[str, Any]]:
    """
    Describe an exception and its causes. Describe each exception only once, because an exception may be its own indirect cause.

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
    # Replace the texts that come from the exception itself, because they may quote input that contains personal data.
    entry |= {"exc_value": _words_of(error), "exc_notes": [], "syntax_error": None}
    if isinstance(error, BaseExceptionGroup):
        entry["exceptions"] = [_tell_chain(one, told=told) for one in error.exceptions]
    return entry


def _words_of(error: BaseException) -> str:
    if isinstance(error, (OSError, LedgerError)):
        return str(error)
    if isinstance(error, asyncpg.PostgresError):
        # Leave out fields that are None, because some errors have no table or no constraint.
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


_render_exception = structlog.processors.ExceptionRenderer(tell_exception)
_to_json = structlog.processors.JSONRenderer(ensure_ascii=False)


def redact(line: str) -> str:
    """Remove tokens and passwords from the rendered line. The texts of nested exceptions in the line may contain them."""
    return PASSWORD_IN_URL.sub(r"\1<redacted>@", BOT_TOKEN_KEY.sub(":<redacted>", line))


def escape_surrogates(line: str) -> str:
    r"""Write a lone surrogate, which UTF-8 cannot encode, as a JSON escape: `\ud800`."""
    return line.encode("utf-8", "backslashreplace").decode("utf-8")
