"""Run the sandbox: ``python -m sandbox``."""

import os
import sys

from aiohttp import web

from sandbox.app import make_app
from sandbox.journal import log, start_journal
from sandbox.settings import SettingError, read_settings


def main() -> int:
    try:
        settings = read_settings(os.environ)
    except SettingError as error:
        print(error, file=sys.stderr)
        return 2
    start_journal()
    log.info("sandbox: listening on port %d", settings.port)
    web.run_app(
        make_app(settings),
        host=settings.host,
        port=settings.port,
        access_log=None,
        print=None,
        shutdown_timeout=1.0,
        # Stop handling a request when its client disconnects. Otherwise, long polls and delayed answers would keep running.
        handler_cancellation=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
