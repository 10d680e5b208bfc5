"""Define the error answers of the Bot API."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ApiError(Exception):
    """Makes the Bot API answer a call with an error (`ok` is false). The description has Telegram's wording."""

    code: int
    description: str
    retry_after_seconds: int | None = None
    migrate_to_chat_id: int | None = None

    def as_body(self) -> dict[str, object]:
        body: dict[str, object] = {"ok": False, "error_code": self.code, "description": self.description}
        if self.retry_after_seconds is not None:
            body["parameters"] = {"retry_after": self.retry_after_seconds}
        if self.migrate_to_chat_id is not None:
            body["parameters"] = {"migrate_to_chat_id": self.migrate_to_chat_id}
        return body


def bad_request(problem: str) -> ApiError:
    return ApiError(400, f"Bad Request: {problem}")


def too_many_requests(retry_after_seconds: int) -> ApiError:
    return ApiError(429, f"Too Many Requests: retry after {retry_after_seconds}", retry_after_seconds)
