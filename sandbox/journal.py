"""Log to stdout, one plain line per event. Lines never contain a token, a secret, a note or the text of a message."""

import logging
import sys

log = logging.getLogger("sandbox")


def start_journal() -> None:
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s", force=True)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
