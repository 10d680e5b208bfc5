"""Read the fields of a request from JSON, a form, multipart, or the query."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.web_request import FileField

Value = TypeVar("Value")


class FieldError(Exception):
    """A field is missing or of the wrong kind."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True)
class Upload:
    """A file that was uploaded in a request."""

    file_name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Fields:
    """
    The fields of a request by name. Each method reads one field as one type.

    If the field is absent, `flag` returns False, the methods `need_…` raise FieldError, and the other methods return None.
    """

    values: Mapping[str, Any]
    # The address from which the request came.
    caller: str = ""

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        raise FieldError(name, "must be a string")

    def integer(self, name: str) -> int | None:
        value = self.values.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        try:
            return int(value)
        except (TypeError, ValueError) as error:
            raise FieldError(name, "must be an integer") from error

    def seconds(self, name: str) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        try:
            seconds = float(value)
        except (TypeError, ValueError) as error:
            raise FieldError(name, "must be a number of seconds") from error
        if not 0 <= seconds <= 3600:
            raise FieldError(name, "must be from 0 to 3600 seconds")
        return seconds

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        return value.lower() in ("true", "1", "on", "yes") if isinstance(value, str) else bool(value)

    def decoded(self, name: str) -> Any:
        """Return the value of a JSON field. If the value is a string, as in a form, parse the string as JSON."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise FieldError(name, "must be JSON") from error

    def need_text(self, name: str) -> str:
        return _need(name, self.text(name))

    def need_integer(self, name: str) -> int:
        return _need(name, self.integer(name))


async def read_fields(request: web.Request) -> Fields:
    """Read the fields of the query and the body. If a field is in both, use the value from the body."""
    if request.content_type == "application/json":
        values = await _read_json(request)
    else:
        values = {name: _form_value(value) for name, value in (await request.post()).items()}
    return Fields({**request.query, **values}, caller=request.remote or "")


async def _read_json(request: web.Request) -> dict[str, Any]:
    raw = await request.read()
    try:
        body = json.loads(raw) if raw else {}
    except (ValueError, RecursionError) as error:
        raise FieldError("body", "is not JSON") from error
    if not isinstance(body, dict):
        raise FieldError("body", "must be a JSON object")
    return body


def _form_value(value: str | bytes | bytearray | FileField) -> str | Upload:
    if isinstance(value, FileField):
        return Upload(value.filename, value.file.read())
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _need(name: str, value: Value | None) -> Value:
    if value is None:
        raise FieldError(name, "is required")
    return value
