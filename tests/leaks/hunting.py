"""Search texts for secrets and personal data in every usual encoding."""

import base64
import html
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus


@dataclass(frozen=True)
class Leak:
    """A secret or a piece of personal data, and the place where it was found."""

    what: str
    where: str
    around: str


def find_leaks(secrets: Mapping[str, str], said: Mapping[str, str]) -> list[Leak]:
    """Search every text for every secret. *secrets* maps names to secrets, and *said* maps the names of sources to texts."""
    return [
        Leak(what, where, _around(text, form))
        for what, secret in secrets.items()
        for form in forms(secret)
        for where, text in said.items()
        if form in text
    ]


def forms(secret: str) -> Iterable[str]:
    """Return the secret in every encoding that is easy to reverse."""
    written = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret)}
    # Include JSON inside JSON: a log line is JSON, and one of its fields may contain an answer in JSON.
    written |= {json.dumps(json.dumps(secret))[3:-3], json.dumps(secret)[1:-1]}
    written |= {json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1], repr(secret.encode())[2:-1]}
    return written | set(_in_base64(secret.encode()))


def _in_base64(secret: bytes) -> Iterator[str]:
    """
    Return the base64 text of the secret at each of its three possible offsets.

    Base64 encodes groups of three bytes, so the text depends on the offset of the secret within a group.
    Leave out the characters at both ends that also depend on neighbouring bytes.
    """
    for place in range(3):
        whole = b"\0" * place + secret
        part = base64.b64encode(whole[: len(whole) // 3 * 3]).decode()
        yield part[4 if place else 0 :]


def _around(text: str, form: str) -> str:
    at = text.index(form)
    return text[max(0, at - 120) : at + len(form) + 40]
