"""The operators' summaries are refreshed after each change, although a refresh takes time."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest

from coffee_ledger.telegram.desk.summary import REFRESH_SECONDS, Summaries


class Slow(Summaries):
    """Calls *meanwhile* during each refresh. *finds* tells whether the refresh finds summaries."""

    def __init__(self, meanwhile: Callable[["Slow"], None], *, finds: bool) -> None:
        unused: Any = Mock()
        super().__init__(unused, unused, unused, clock=lambda: datetime.now(UTC))
        self._meanwhile = meanwhile
        self._finds = finds

    async def refresh(self) -> bool:
        self._meanwhile(self)
        return self._finds


@pytest.mark.parametrize(
    ("meanwhile", "finds"), [(Summaries.expect_new, False), (Summaries.expect_new, True), (Summaries.note_change, True)]
)
async def test_a_change_during_a_refresh_is_shown_by_the_next_one(
    meanwhile: Callable[[Slow], None], *, finds: bool
) -> None:
    summaries = Slow(meanwhile, finds=finds)

    assert await summaries.refresh_if_due() <= REFRESH_SECONDS
    summaries.note_change()

    assert await summaries.refresh_if_due() <= REFRESH_SECONDS


async def test_without_summaries_a_change_needs_no_refresh() -> None:
    summaries = Slow(lambda _: None, finds=False)
    await summaries.refresh_if_due()

    summaries.note_change()

    assert await summaries.refresh_if_due() == float("inf")
