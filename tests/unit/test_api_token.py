"""If a token of BMC's API contains the time of its expiry, the janitor warns 14 days before this time."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from coffee_ledger.store.database import Pool
from sandbox.bmc.token import ApiToken
from services.janitor.api_token import WARNED_BEFORE, expires_soon, read_expiry, warn_before_expiry
from tests.integration.janitor import janitor_tasks

EXPIRY = datetime(2026, 12, 24, 18, 0, tzinfo=UTC)


def a_token(payload: object) -> str:
    encoded = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{encoded}.c2lnbmF0dXJl"


@pytest.mark.parametrize("exp", [EXPIRY.timestamp(), int(EXPIRY.timestamp()), str(int(EXPIRY.timestamp()))])
def test_the_expiry_of_a_jwt_is_read(exp: object) -> None:
    assert read_expiry(a_token({"aud": "1", "exp": exp})) == EXPIRY


def test_the_expiry_of_the_sandboxs_token_is_read() -> None:
    token = ApiToken(now=lambda: 1_700_000_000.0)

    assert read_expiry(token.value) == datetime.fromtimestamp(1_700_000_000, UTC) + timedelta(days=365)


@pytest.mark.parametrize(
    "token",
    [
        "a-plain-token",
        "a.b",
        "a.b.c",
        "a.б.c",
        a_token({}),
        a_token([]),
        a_token({"exp": None}),
        a_token({"exp": "soon"}),
        a_token({"exp": 1e300}),
        a_token({"exp": float("nan")}),
        a_token({"exp": float("inf")}),
    ],
)
def test_a_token_without_a_time_has_no_expiry(token: str) -> None:
    assert read_expiry(token) is None


@given(st.text() | st.text().map(lambda text: f"a.{text}.c") | st.integers().map(lambda exp: a_token({"exp": exp})))
def test_reading_a_token_never_fails(token: str) -> None:
    read_expiry(token)


def test_a_token_expires_soon_from_14_days_before() -> None:
    assert timedelta(days=14) == WARNED_BEFORE
    assert not expires_soon(EXPIRY, now=EXPIRY - timedelta(days=14, seconds=1))
    assert expires_soon(EXPIRY, now=EXPIRY - timedelta(days=14))
    assert expires_soon(EXPIRY, now=EXPIRY + timedelta(days=1))


@pytest.mark.parametrize(
    ("token", "is_checked"), [(a_token({"exp": 1_798_000_000}), True), ("a-plain-token", False), ("", False)]
)
def test_the_janitor_checks_a_token_with_an_expiry(token: str, is_checked: bool) -> None:
    tasks = janitor_tasks(cast(Pool, None), BMC_API_TOKEN=token)

    assert ("check_api_token" in tasks) is is_checked


@pytest.mark.parametrize(
    ("days_before", "events"),
    [(15, []), (14, ["API token expires soon"]), (0, ["API token has expired"]), (-3, ["API token has expired"])],
)
async def test_the_warning_says_when_the_token_expires(days_before: int, events: list[str]) -> None:
    with capture_logs() as logs:
        assert await warn_before_expiry(EXPIRY, now=EXPIRY - timedelta(days=days_before)) == 0

    assert [line["event"] for line in logs] == events
    assert [(line["log_level"], line["expires_at"]) for line in logs] == [("warning", "2026-12-24T18:00+00:00")] * len(
        logs
    )
