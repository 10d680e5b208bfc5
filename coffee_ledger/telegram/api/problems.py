"""Answer failed requests of the Mini App. Each problem has an HTTP status and a name, and the Mini App has a text for each name."""

import math
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from coffee_ledger.errors import DatabaseAwayError, LedgerError
from coffee_ledger.runtime.bodies import Unread, close_after

log = structlog.stdlib.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ProblemError(LedgerError):
    """A problem with a request. The answer to the request is `{"error": name, …fields}`."""

    def __init__(self, status: int, name: str, fields: Mapping[str, str | int | list[str]] | None = None) -> None:
        super().__init__(name)
        self.status = status
        self.name = name
        self.fields = fields or {}


class UnreadBodyError(ProblemError):
    """The body of the request was not read to its end, so the connection must be closed after the answer."""

    def __init__(self, unread: Unread) -> None:
        super().__init__(unread.status, "request_unreadable")


def too_many_requests(wait_seconds: float) -> ProblemError:
    return ProblemError(429, "too_many_requests", {"retry_after": math.ceil(wait_seconds)})


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn errors into answers that contain the name of the problem but no part of the request."""
    try:
        return await handler(request)
    except UnreadBodyError as problem:
        return close_after(_answer(problem))
    except ProblemError as problem:
        return _answer(problem)
    except DatabaseAwayError:
        return _answer(ProblemError(503, "service_away", {"retry_after": 5}))
    except web.HTTPException as error:
        # aiohttp raises both errors and redirects as exceptions. Do not turn redirects into problems.
        if error.status < 400:
            raise
        return _answer(
            ProblemError(error.status, {404: "not_found", 405: "not_found"}.get(error.status, "request_unreadable"))
        )
    except ConnectionError:
        # The page was closed during the request. No page receives this answer, so its content does not matter.
        return _answer(ProblemError(400, "request_unreadable"))
    except Exception:
        log.exception("request not answered", method=request.method)
        return _answer(ProblemError(500, "service_away"))


def _answer(problem: ProblemError) -> web.Response:
    answer = web.json_response({"error": problem.name, **problem.fields}, status=problem.status)
    if "retry_after" in problem.fields:
        answer.headers["Retry-After"] = str(problem.fields["retry_after"])
    return answer
