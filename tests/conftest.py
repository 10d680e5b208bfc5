"""Configure logging and the garbage collector for all tests."""

import gc

import structlog

# While modules are imported, nearly all new objects stay, so looking for garbage only takes time: a quarter of the import of aiogram.
# `pytest_collection_finish` turns the search on again.
gc.disable()

# By default, structlog prints the local variables of each frame of a traceback. For one exception in a web request this takes
# seconds of CPU time. On a busy machine, the webhook's answer would then come too late.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_collection_finish() -> None:
    # The objects of the imported modules are never garbage. Without them, each search during the tests is shorter.
    gc.freeze()
    gc.enable()
