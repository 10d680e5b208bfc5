"""Serve the Bot API over HTTP: check the token, produce the faults that are turned on, and encode the answers."""

import asyncio
import hmac
import socket
import struct
from typing import Any, assert_never

from aiohttp import web

from sandbox.fields import FieldError, Fields, read_fields
from sandbox.journal import log
from sandbox.telegram.calls import Call
from sandbox.telegram.errors import ApiError, bad_request, too_many_requests
from sandbox.telegram.methods import METHODS
from sandbox.telegram.misbehaviour import Fault, Rule
from sandbox.telegram.state import Telegram

_HANG_SECONDS = 600


class BotApi:
    def __init__(self, telegram: Telegram, *, answer_seconds: float = 0.0) -> None:
        self._telegram = telegram
        self._answer_seconds = answer_seconds

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/telegram/bot{token}/{method}", self.handle)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if not hmac.compare_digest(request.match_info["token"].encode(), self._telegram.token.encode()):
            return _answer(ApiError(401, "Unauthorized"))
        try:
            fields = await read_fields(request)
        except FieldError as error:
            return _answer(bad_request(str(error)))
        method = request.match_info["method"]
        call = self._telegram.calls.add(method, fields.values)
        await self._telegram.misbehaviour.wait_while_paused(method.lower())
        response = await self._answer_or_misbehave(request, method.lower(), fields)
        # Delay only the answer. The call has taken effect before the delay, but the bot does not know its outcome until the
        # delay ends.
        await asyncio.sleep(self._answer_seconds)
        call.status = _seen_status(response)
        _log_refusal(call)
        return response

    async def _answer_or_misbehave(self, request: web.Request, method: str, fields: Fields) -> web.StreamResponse:
        rule = self._telegram.misbehaviour.take(method, _chat_id(fields))
        if rule is None:
            return _answer(await self._run(method, fields))
        log.info("telegram: %s meets %s", method, rule.fault.value)
        if rule.takes_effect:
            await self._run(method, fields)
        return await _misbehave(request, rule)

    async def _run(self, method: str, fields: Fields) -> Any:
        run = METHODS.get(method)
        if run is None:
            return ApiError(404, "Not Found: method not found")
        try:
            return await run(self._telegram, fields)
        except ApiError as error:
            return error
        except FieldError as error:
            return bad_request(str(error))


async def _misbehave(request: web.Request, rule: Rule) -> web.StreamResponse:
    match rule.fault:
        case Fault.TOO_MANY_REQUESTS:
            return _answer(too_many_requests(rule.retry_after_seconds))
        case Fault.SERVER_ERROR:
            return _answer(ApiError(500, "Internal Server Error"))
        case Fault.CONFLICT:
            return _answer(
                ApiError(
                    409,
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
                )
            )
        case Fault.UNAUTHORIZED:
            return _answer(ApiError(401, "Unauthorized"))
        case Fault.NOT_JSON:
            return web.Response(status=502, text="<html><h1>502 Bad Gateway</h1></html>", content_type="text/html")
        case Fault.HANG:
            await asyncio.sleep(_HANG_SECONDS)
            return _reset(request)
        case Fault.RESET:
            return _reset(request)
        case _:
            assert_never(rule.fault)


def _reset(request: web.Request) -> web.Response:
    """Cut the connection with a TCP reset. aiohttp requires a response, but the returned response is never sent."""
    if request.transport is not None:
        if (connection := request.transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=_NEVER_SEEN)


_NEVER_SEEN = 599


def _seen_status(response: web.StreamResponse) -> int | None:
    return None if response.status == _NEVER_SEEN else response.status


def _answer(result: Any) -> web.Response:
    if not isinstance(result, ApiError):
        return web.json_response({"ok": True, "result": result})
    headers = {} if result.retry_after_seconds is None else {"Retry-After": str(result.retry_after_seconds)}
    return web.json_response(result.as_body(), status=result.code, headers=headers)


def _chat_id(fields: Fields) -> int | None:
    try:
        return fields.integer("chat_id")
    except FieldError:
        return None


def _log_refusal(call: Call) -> None:
    if call.status is not None and call.status >= 400:
        log.info("telegram: %s answered %d", call.method, call.status)
