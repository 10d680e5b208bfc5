"""Configure logging for all tests."""

import structlog

# By default, structlog prints the local variables of each frame of a traceback. For one exception in a web request this takes
# seconds of CPU time. On a busy machine, the webhook's answer would then come too late.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("%Y-%m-%d %H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)
