"""Configure logging and the garbage collector for all tests."""

import gc

import structlog

# Turn garbage collection off during imports. Imports create almost no garbage, but a quarter of the time to import
# aiogram would be spent on collections. `pytest_collection_finish` turns the collector on again.
gc.disable()

# Log plain tracebacks. By default, structlog also prints the local variables of each frame. For one exception in a web request,
# this takes seconds of CPU time, and a test would get the webhook's answer too late.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_collection_finish() -> None:
    # Exclude the objects of the imported modules from garbage collection. These objects are never garbage, and collections are
    # faster if they need not examine these objects.
    gc.freeze()
    gc.enable()
