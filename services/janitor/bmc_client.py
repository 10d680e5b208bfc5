"""Call the REST API of Buy Me a Coffee (BMC)."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from pydantic import SecretStr

from coffee_ledger import __version__
from coffee_ledger.bmc_api import ApiAnswer, ApiList, ApiResult, ApiState, read_answer

SECONDS_MAX = 30.0
BODY_BYTES_MAX = 1024 * 1024
REQUESTS_PER_MINUTE_MAX = 15
CLAIM_REQUESTS = 3
"""
The number of requests in each minute that are reserved for claims.

When a user claims to have paid, the janitor looks for the payment on one page of each of the three lists. Without the reserve,
two passes over the lists in one minute could use all requests, and the user would have to wait.
"""

MINUTE_SECONDS = 60.0
REQUESTS_LEFT_MIN = 5
"""
If BMC reports that fewer requests than this number are left, the client makes a pause.

The creator's other programs may share BMC's rate limit with us, so the client leaves some requests for these programs.
"""

# BMC's servers are behind Cloudflare, which refuses a client whose User-Agent is the default one of an HTTP library.
# Source: npm buymeacoffee-mcp 0.1.2, read 2026-11-29.
USER_AGENT = f"Mozilla/5.0 (compatible; coffee-ledger/{__version__}; +https://github.com/coffee-ledger/coffee-ledger)"


@dataclass
class RequestBudget:
    """
    Limits our requests: at most 15 in any minute, and none during a pause (see `note`).

    BMC does not publish its limit. Published programs that use the API suggest a limit of about 60 requests a minute. All
    times are seconds of a monotonic clock.
    """

    _sent_at: deque[float] = field(default_factory=lambda: deque(maxlen=REQUESTS_PER_MINUTE_MAX))
    _pause_ends_at: float = 0.0

    def take(self, now: float, *, for_claim: bool = False) -> float:
        """
        Count a request and return 0. If no request is allowed now, return the seconds until a request is allowed.

        Only a request with *for_claim* may use the last `CLAIM_REQUESTS` requests of a minute.
        """
        allowed_at = self._pause_ends_at
        requests_max = REQUESTS_PER_MINUTE_MAX - (0 if for_claim else CLAIM_REQUESTS)
        if len(self._sent_at) >= requests_max:
            allowed_at = max(allowed_at, self._sent_at[-requests_max] + MINUTE_SECONDS)
        if allowed_at > now:
            return allowed_at - now
        self._sent_at.append(now)
        return 0.0

    def note(self, result: ApiResult, now: float) -> None:
        """Begin a pause if BMC refused the request because of the rate limit, or reports that few requests are left."""
        is_throttled = result.state is ApiState.THROTTLED
        is_nearly_used_up = result.requests_left is not None and result.requests_left < REQUESTS_LEFT_MIN
        if is_throttled or is_nearly_used_up:
            # Without a `Retry-After`, wait a minute: that is the usual period of a rate limit.
            seconds = MINUTE_SECONDS if result.retry_after_seconds is None else result.retry_after_seconds
            self._pause_ends_at = max(self._pause_ends_at, now + seconds)


class BmcClient:
    """Reads pages of BMC's lists. Calls may run at the same time. One `RequestBudget` limits the requests of all calls."""

    def __init__(
        self,
        token: SecretStr,
        *,
        url: str,
        user_agent: str = USER_AGENT,
        timeout_seconds: float = SECONDS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = token
        self._url = url
        self._user_agent = user_agent
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._clock = clock
        self._budget = RequestBudget()

    async def read_page(self, list_: ApiList, page: int, *, for_claim: bool = False) -> ApiResult:
        """
        Read one page of a list. The first page has number 1. If *for_claim* is true, the request may use the whole budget.

        Return an `ApiResult` for every failure and raise no exception, so that the token cannot become part of a traceback. If
        the budget allows no request now, send no request and return the state THROTTLED.
        """
        wait_seconds = self._budget.take(self._clock(), for_claim=for_claim)
        if wait_seconds:
            return ApiResult(state=ApiState.THROTTLED, retry_after_seconds=math.ceil(wait_seconds))
        answer = await self._ask(list_, page)
        if isinstance(answer, ApiResult):
            return answer
        result = read_answer(list_, answer)
        self._budget.note(result, self._clock())
        return result

    async def _ask(self, list_: ApiList, page: int) -> ApiAnswer | ApiResult:
        query = {"page": str(page)}
        if list_ is ApiList.SUBSCRIPTIONS:
            # Always send the parameter `status`, because BMC does not document its default value. BMC's links to the next page
            # do not contain the parameter, so this client does not follow these links.
            query["status"] = "all"
        headers = {
            "Authorization": f"Bearer {self._token.get_secret_value()}",
            "Accept": "application/json",
            "User-Agent": self._user_agent,
        }
        try:
            # Open a session for each request. A connection that stays open would be idle between two passes over the lists, and
            # could break.
            async with aiohttp.ClientSession(timeout=self._timeout) as session:
                # Turn retries off. If the connection breaks, aiohttp would send the GET a second time, and the budget would not
                # count the second request.
                session._retry_connection = False  # noqa: SLF001 — aiohttp has no public option that turns retries off
                # Follow no redirect. BMC redirects to its login page, and a redirect to another host could send the token there.
                async with session.get(
                    f"{self._url}/{list_}", params=query, headers=headers, allow_redirects=False
                ) as response:
                    return _as_answer(response, await _read_body(response))
        # TimeoutError is a subclass of OSError, so a timeout is caught too.
        except (aiohttp.ClientError, OSError):
            return ApiResult(state=ApiState.UNREACHABLE)


async def _read_body(response: aiohttp.ClientResponse) -> bytes:
    """
    Return the body, or `b""` if the body is larger than `BODY_BYTES_MAX`. A page of rows is always smaller.

    aiohttp unpacks a compressed body in small chunks, so a body that becomes huge by unpacking cannot fill the memory.
    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            return b""
    return bytes(body)


def _as_answer(response: aiohttp.ClientResponse, body: bytes) -> ApiAnswer:
    return ApiAnswer(
        status=response.status,
        # `response.content_type` is the media type without parameters such as `charset`. If the answer has no header
        # `Content-Type`, aiohttp uses `application/octet-stream`.
        content_type=response.content_type,
        body=body,
        location=response.headers.get("Location"),
        retry_after=response.headers.get("Retry-After"),
        requests_left=response.headers.get("X-RateLimit-Remaining"),
    )
