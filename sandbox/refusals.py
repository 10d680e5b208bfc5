"""Make the error answers of the sandbox's own HTTP interface. Their form is ``{"error": …}``."""

import json
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TypeVar

from aiohttp import web

from sandbox.fields import FieldError, Fields

Choice = TypeVar("Choice", bound=Enum)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def refuse(problem: str) -> web.HTTPException:
    return web.HTTPBadRequest(text=_body(problem), content_type="application/json")


def not_found(problem: str) -> web.HTTPException:
    return web.HTTPNotFound(text=_body(problem), content_type="application/json")


def conflict(problem: str) -> web.HTTPException:
    return web.HTTPConflict(text=_body(problem), content_type="application/json")


def read_choice(fields: Fields, name: str, choices: type[Choice]) -> Choice:
    try:
        return choices(fields.need_text(name))
    except ValueError as error:
        raise FieldError(name, f"must be one of {', '.join(choice.value for choice in choices)}") from error


@web.middleware
async def refuse_bad_fields(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except FieldError as error:
        raise refuse(str(error)) from error


def _body(problem: str) -> str:
    return json.dumps({"error": problem})
