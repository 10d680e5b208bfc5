"""Log lines have one format, and they contain no secrets and no private texts."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import asyncpg
import pytest
import structlog
from aiogram.exceptions import ClientDecodeError, TelegramBadRequest
from aiogram.methods import GetMe
from prometheus_client import REGISTRY

from coffee_ledger.errors import DatabaseAwayError
from coffee_ledger.runtime import logs
from coffee_ledger.runtime.logs import QueuedHandler, configure_logging
from tests.files import ROOT

TOKEN = "123456789:AAF0a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6"
KEY = TOKEN.partition(":")[2]
PASSWORD = "hunter2-_secret"
DATABASE_URL = f"postgresql://bot:{PASSWORD}@db:5432/ledger"
CALL = f"https://api.telegram.org/bot{TOKEN}/sendMessage"

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Configure logging and yield a function that returns all standard output. Restore the old configuration afterwards."""
    root, aiogram, before = logging.getLogger(), logging.getLogger("aiogram.event"), structlog.get_config()
    for logger in (root, aiogram):
        monkeypatch.setattr(logger, "level", logger.level)
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(logging.Handler, "handleError", _raise_again)
    output = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding="utf-8", write_through=True))
        configure_logging(level="INFO", service="bot")
    [handler] = root.handlers

    def read() -> str:
        handler.flush()
        return output.getvalue().decode()

    yield read
    structlog.configure(**before)


def _raise_again(_handler: logging.Handler, _record: logging.LogRecord) -> None:
    """
    Fail the test if a log record cannot be written.

    By default, `logging` prints the whole record, including secrets, to standard error.
    """
    raise  # noqa: PLE0704 — raises the handled error: `logging` calls this function in an `except` block


@pytest.fixture
def lines(written: Callable[[], str]) -> Lines:
    return lambda: [json.loads(line) for line in written().splitlines()]


def test_a_log_line_has_an_event_and_its_values_as_fields(lines: Lines) -> None:
    structlog.stdlib.get_logger("services.bot").info("charge credited", charge_id=7, credits=500)

    [line] = lines()
    assert datetime.fromisoformat(line.pop("at")).tzinfo is not None
    assert line == {
        "service": "bot",
        "level": "info",
        "logger": "services.bot",
        "event": "charge credited",
        "charge_id": 7,
        "credits": 500,
    }


def test_a_log_line_has_the_name_of_the_module_that_logs(lines: Lines) -> None:
    structlog.stdlib.get_logger().info("charge credited")

    assert [line["logger"] for line in lines()] == [__name__]


def test_a_librarys_record_has_the_same_format(lines: Lines) -> None:
    logging.getLogger("aiohttp.server").warning("odd request from %s", "a client")

    [line] = lines()
    assert datetime.fromisoformat(line.pop("at")).tzinfo is not None
    assert line == {
        "service": "bot",
        "level": "warning",
        "logger": "aiohttp.server",
        "event": "odd request from a client",
    }


def test_a_log_line_has_the_values_of_its_context(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(update_id=5):
        structlog.stdlib.get_logger("services.bot").info("update handled")
        logging.getLogger("aiogram").info("handled")

    assert [line["update_id"] for line in lines()] == [5, 5]


def test_each_event_is_one_line_even_with_line_breaks(written: Callable[[], str]) -> None:
    structlog.stdlib.get_logger("a").info("two\nlines", name="Оля\r\n🎉")

    [line] = written().splitlines()
    assert json.loads(line)["event"] == "two\nlines"
    assert "Оля" in line


def test_a_lone_surrogate_is_logged(lines: Lines) -> None:
    """A lone surrogate cannot be encoded in UTF-8, but JSON can contain it as an escape. Logging it must not fail."""
    structlog.stdlib.get_logger("a").info("odd", value="\ud800")

    assert [line["value"] for line in lines()] == ["\ud800"]


def test_a_field_that_cannot_be_written_as_json_does_not_fail_the_caller(lines: Lines) -> None:
    contains_itself: list[object] = [TOKEN]
    contains_itself.append(contains_itself)

    structlog.stdlib.get_logger("a").info("odd", value=contains_itself)

    [line] = lines()
    assert (line["level"], line["logger"], line["event"]) == ("info", "a", "odd")
    assert line["not_rendered"] == "ValueError"
    assert "value" not in line


def test_events_below_the_level_are_not_logged(written: Callable[[], str]) -> None:
    structlog.stdlib.get_logger("a").debug("detail")
    logging.getLogger("asyncio").debug("detail")
    logging.getLogger("aiogram.event").info("Update id=5 is handled")

    assert written() == ""


def test_an_error_is_logged_with_exception_types_and_frames(lines: Lines) -> None:
    try:
        raise_with_a_cause()
    except ValueError:
        structlog.stdlib.get_logger("a").exception("task failed")

    [line] = lines()
    assert line["level"] == "error"
    assert [raised["exc_type"] for raised in line["exception"]] == ["ValueError", "RuntimeError"]
    assert [raised["exc_value"] for raised in line["exception"]] == ["", ""]
    assert line["exception"][0]["frames"][-1]["name"] == raise_with_a_cause.__name__


def refused_row() -> asyncpg.PostgresError:
    """Return an error with the attributes that asyncpg sets when Postgres refuses a row."""
    error = asyncpg.CheckViolationError('new row for relation "supporters" violates check constraint "named"')
    error.detail = "Failing row contains (Anna, anna@example.org, a private note)."
    error.table_name, error.constraint_name = "supporters", "named"
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
        (DatabaseAwayError(), str(DatabaseAwayError())),
        (refused_row(), "23514 supporters named"),
        (ValueError("invalid literal for int(): 'a private note'"), ""),
        (TelegramBadRequest(GetMe(), "can't parse entities: a private note"), ""),
    ],
)
def test_only_the_texts_of_our_own_and_system_errors_are_logged(lines: Lines, error: Exception, words: str) -> None:
    try:
        raise error
    except Exception:  # noqa: BLE001 — *error* may have any type
        structlog.stdlib.get_logger("a").exception("task failed")

    [line] = lines()
    assert [raised["exc_value"] for raised in line["exception"]] == [words]
    assert "private" not in json.dumps(line)
    assert "anna@example.org" not in json.dumps(line)


def test_a_cause_that_was_never_raised_is_logged_as_a_cause(lines: Lines) -> None:
    try:
        raise DatabaseAwayError from ValueError("a private note")
    except DatabaseAwayError:
        structlog.stdlib.get_logger("a").exception("task failed")

    [line] = lines()
    assert [(raised["exc_type"], raised["is_cause"]) for raised in line["exception"]] == [
        ("DatabaseAwayError", False),
        ("ValueError", True),
    ]
    assert "private" not in json.dumps(line)


def test_errors_that_cause_each_other_are_logged_once(lines: Lines) -> None:
    first, second = ValueError("a private note"), RuntimeError("another private note")
    first.__cause__, second.__cause__ = second, first

    try:
        raise ExceptionGroup("of both", [first, second]) from first
    except ExceptionGroup:
        structlog.stdlib.get_logger("a").exception("task failed")

    [line] = lines()
    text = json.dumps(line)
    assert (text.count("ValueError"), text.count("RuntimeError")) == (1, 1)
    assert "private" not in text


@pytest.mark.parametrize("message", ["Failed to fetch updates - %s: %s", None])
def test_a_librarys_message_has_the_type_of_an_exception_without_its_text(lines: Lines, message: str | None) -> None:
    """If aiogram cannot read an answer of Telegram, it logs an exception with users' messages. We must not log these messages."""
    error = ClientDecodeError("Failed to deserialize object", ValueError(), {"text": "a private note"})

    if message is None:
        logging.getLogger("aiogram.dispatcher").error(error)
    else:
        logging.getLogger("aiogram.dispatcher").error(message, type(error).__name__, error)

    [line] = lines()
    assert line["event"].endswith("ClientDecodeError")
    assert "private" not in json.dumps(line)


# Secrets --------------------------------------------------------------------------------------------------------------


def raise_plainly() -> None:
    raise RuntimeError(f"cannot reach {CALL} for {DATABASE_URL}")


def raise_with_a_cause() -> None:
    try:
        raise_plainly()
    except RuntimeError as error:
        raise ValueError("not sent") from error


def raise_while_handling() -> None:
    try:
        raise_plainly()
    except RuntimeError:
        raise ValueError("not sent")  # noqa: B904 — the test needs the implicit `__context__`


def raise_in_a_group() -> None:
    raise ExceptionGroup(f"tasks of {CALL}", [ValueError(f"at {DATABASE_URL}"), ConnectionError(CALL)])


def raise_with_arguments() -> None:
    raise OSError(5, f"cannot reach {DATABASE_URL}", CALL)


def raise_with_a_note() -> None:
    error = ValueError("not sent")
    error.add_note(f"while calling {CALL} for {DATABASE_URL}")
    raise error


def raise_beside_locals() -> None:
    settings = {"token": TOKEN, "address": DATABASE_URL, "password": PASSWORD, "note": "a private note"}
    raise ValueError(f"{len(settings)} settings")


@pytest.mark.parametrize(
    "fail",
    [
        raise_plainly,
        raise_with_a_cause,
        raise_while_handling,
        raise_in_a_group,
        raise_with_arguments,
        raise_with_a_note,
        raise_beside_locals,
    ],
)
@pytest.mark.parametrize("logger", ["ours", "a library's"])
def test_no_secret_is_logged_with_an_exception(
    written: Callable[[], str], fail: Callable[[], None], logger: str
) -> None:
    try:
        fail()
    except Exception:
        if logger == "ours":
            structlog.stdlib.get_logger("a").exception("task failed")
        else:
            logging.getLogger("aiogram").exception("task failed")

    line = written()
    assert json.loads(line)["exception"]
    assert_no_secret(line)
    assert "a private note" not in line


def test_no_secret_is_logged_in_a_message_or_field(written: Callable[[], str]) -> None:
    log = structlog.stdlib.get_logger("a")

    log.info("calling %s", CALL, address=DATABASE_URL, call={"url": CALL, "at": [DATABASE_URL]}, token=TOKEN)
    log.bind(token=TOKEN).warning("bound %s", DATABASE_URL)
    logging.getLogger("aiohttp.client").info("GET %s for %s", CALL, DATABASE_URL)
    log.info("an object", held=Holder())

    lines = written().splitlines()
    assert len(lines) == 4
    for line in lines:
        json.loads(line)
        assert_no_secret(line)


class Holder:
    def __repr__(self) -> str:
        return f"<Bot {TOKEN} {DATABASE_URL}>"


def test_a_redacted_value_still_shows_the_bot_and_the_role(written: Callable[[], str]) -> None:
    structlog.stdlib.get_logger("a").info("calling", url=CALL, address=DATABASE_URL)

    line = json.loads(written())
    assert line["url"] == "https://api.telegram.org/bot123456789:<redacted>/sendMessage"
    assert line["address"] == "postgresql://bot:<redacted>@db:5432/ledger"


def test_values_that_only_resemble_secrets_are_logged(written: Callable[[], str]) -> None:
    structlog.stdlib.get_logger("a").info(
        "event settled", delivery_key="live:580805:donation.created:donation:pi_3ExampleExampleExampl002"
    )

    assert json.loads(written())["delivery_key"] == "live:580805:donation.created:donation:pi_3ExampleExampleExampl002"


def assert_no_secret(text: str) -> None:
    assert KEY not in text
    assert PASSWORD not in text


class SlowReader(io.StringIO):
    """A fake of standard output. Each write waits until *reads* is set, as if the reader did not read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = threading.Event()

    def write(self, text: str) -> int:
        self.reads.wait(10)
        return super().write(text)


@pytest.fixture
def slow() -> Iterator[tuple[SlowReader, logging.Logger]]:
    stream = SlowReader()
    handler = QueuedHandler(stream)
    logger = logging.Logger("slow")  # noqa: LOG001 — use a new logger, which no other test changes
    logger.addHandler(handler)
    yield stream, logger
    stream.reads.set()
    handler.close()


def test_a_slow_reader_of_the_log_does_not_block_the_process(slow: tuple[SlowReader, logging.Logger]) -> None:
    stream, logger = slow

    for number in range(1000):
        logger.info("line %s", number)
    assert stream.getvalue() == ""

    stream.reads.set()
    logger.handlers[0].flush()
    assert stream.getvalue() == "".join(f"line {number}\n" for number in range(1000))


def test_a_full_queue_drops_information_but_no_warning(
    slow: tuple[SlowReader, logging.Logger], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, logger = slow
    monkeypatch.setattr(logs, "QUEUED_MAX", 10)
    before = REGISTRY.get_sample_value("ledger_log_lines_dropped_total") or 0

    for number in range(30):
        logger.info("line %s", number)
        logger.warning("warning %s", number)

    stream.reads.set()
    logger.handlers[0].flush()
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line.startswith("warning")] == [f"warning {number}" for number in range(30)]
    dropped = (REGISTRY.get_sample_value("ledger_log_lines_dropped_total") or 0) - before
    assert dropped == 60 - len(lines) > 0


def test_the_last_lines_are_written_when_the_process_exits() -> None:
    program = (
        "import logging; from coffee_ledger.runtime.logs import configure_logging\n"
        "configure_logging(level='INFO', service='bot')\n"
        "for number in range(500): logging.getLogger('a').info('line %s', number)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)

    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == [f"line {n}" for n in range(500)]
