"""Look for what must not be told, however it may be written."""

import base64
import html
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus


@dataclass(frozen=True)
class Leak:
    """Something that must not be told, and where it was."""

    what: str
    where: str
    around: str


def find_leaks(secrets: Mapping[str, str], said: Mapping[str, str]) -> list[Leak]:
    """Find each of *secrets*, by its name, in each of the texts *said*, by where they are from."""
    return [
        Leak(what, where, _around(text, form))
        for what, secret in secrets.items()
        for form in forms(secret)
        for where, text in said.items()
        if form in text
    ]


def forms(secret: str) -> Iterable[str]:
    """Give all the ways to write it that anybody can undo at a glance."""
    written = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret)}
    # A text inside a JSON text inside a JSON text: an answer in a log line.
    written |= {json.dumps(json.dumps(secret))[3:-3], json.dumps(secret)[1:-1]}
    written |= {json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1], repr(secret.encode())[2:-1]}
    return written | set(_in_base64(secret.encode()))


def _in_base64(secret: bytes) -> Iterator[str]:
    """Encode what does not depend on its neighbours, at each of the three places where it may begin."""
    for place in range(3):
        whole = b"\0" * place + secret
        part = base64.b64encode(whole[: len(whole) // 3 * 3]).decode()
        yield part[4 if place else 0 :]


def _around(text: str, form: str) -> str:
    at = text.index(form)
    return text[max(0, at - 120) : at + len(form) + 40]
