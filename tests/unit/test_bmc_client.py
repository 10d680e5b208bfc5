"""The request budget keeps the janitor far below the rate limit of BMC's API, and adds the pauses that BMC asks for."""

import pytest

from coffee_ledger.bmc_api import ApiResult, ApiState
from services.janitor.bmc_client import REQUESTS_PER_MINUTE_MAX, RequestBudget


def test_no_minute_has_more_than_fifteen_requests() -> None:
    budget = RequestBudget()
    allowed = [second for second in range(300) if budget.take(float(second), for_claim=True) == 0]

    assert REQUESTS_PER_MINUTE_MAX == 15
    assert len(allowed) == 5 * 15
    assert max(sum(first <= second < first + 60 for second in allowed) for first in range(300)) == 15


def test_a_refused_request_does_not_count() -> None:
    budget = RequestBudget()
    for _ in range(15):
        assert budget.take(10.0, for_claim=True) == 0

    assert [budget.take(11.0, for_claim=True), budget.take(69.5, for_claim=True)] == [59.0, 0.5]
    assert budget.take(70.0, for_claim=True) == 0


def test_passes_leave_three_requests_of_each_minute_for_claims() -> None:
    budget = RequestBudget()

    assert [budget.take(0.0) for _ in range(14)] == [0.0] * 12 + [60.0] * 2
    assert [budget.take(0.0, for_claim=True) for _ in range(4)] == [0.0] * 3 + [60.0]
    assert budget.take(59.0) == 1.0


def test_requests_of_claims_count_for_the_passes_too() -> None:
    budget = RequestBudget()
    for _ in range(12):
        assert budget.take(0.0, for_claim=True) == 0

    assert budget.take(1.0) == 59.0


@pytest.mark.parametrize(
    ("result", "pause_seconds"),
    [
        (ApiResult(state=ApiState.THROTTLED, retry_after_seconds=7), 7),
        (ApiResult(state=ApiState.THROTTLED), 60),
        (ApiResult(state=ApiState.PAGE, requests_left=4), 60),
        (ApiResult(state=ApiState.EMPTY, requests_left=0, retry_after_seconds=3), 3),
        (ApiResult(state=ApiState.PAGE, requests_left=5), 0),
        (ApiResult(state=ApiState.PAGE), 0),
        (ApiResult(state=ApiState.UNREACHABLE, retry_after_seconds=30), 0),
    ],
)
def test_a_pause_that_bmc_asks_for_is_kept(result: ApiResult, pause_seconds: float) -> None:
    budget = RequestBudget()

    budget.note(result, 100.0)

    assert budget.take(100.0) == pause_seconds
    assert budget.take(100.0 + pause_seconds) == 0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    budget = RequestBudget()
    budget.note(ApiResult(state=ApiState.THROTTLED, retry_after_seconds=50), 0.0)

    budget.note(ApiResult(state=ApiState.THROTTLED, retry_after_seconds=5), 1.0)

    assert budget.take(10.0) == 40.0
