"""Settings of all tests."""

import structlog

# By default, structlog's development console prints the local variables of each frame. For one exception of a request that takes
# seconds of CPU time, longer than the webhook may take for its answer on a busy machine.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)
