"""The ledger recognises all events of one subscription, although some of them lack the subscription id."""

from datetime import UTC, datetime
from typing import Any

import pytest

from coffee_ledger.model import TelegramId
from coffee_ledger.store.decisions import OperatorRequest, undo_match
from tests.integration.bmc import a_subscription
from tests.integration.people import ANNA, Ledger
from tests.integration.test_settling import CODE
from tests.integration.webhook import Webhook

FIRST_MONTH, SECOND_MONTH = 1_780_405_603, 1_783_000_000
OPERATOR = TelegramId(900)


def a_month(period: int, psp_id: str | None, *, note: str = "") -> dict[str, Any]:
    type_ = "membership.started" if period == FIRST_MONTH else "membership.updated"
    return a_subscription(type_, id=6, psp_id=psp_id, period=period, support_note=note)


async def matches(ledger: Ledger) -> list[tuple[int | None, str | None]]:
    rows = await ledger.pool.fetch("SELECT telegram_id, method FROM charges ORDER BY period_start")
    return [(row["telegram_id"], row["method"]) for row in rows]


@pytest.mark.parametrize(("first", "second"), [("sub_6", None), (None, "sub_6"), (None, None), ("sub_6", "sub_6")])
async def test_a_renewal_is_recognised_although_one_event_lacks_the_subscription_id(
    ledger: Ledger, webhook: Webhook, first: str | None, second: str | None
) -> None:
    await ledger.open(CODE, amount="3")

    outcomes = await webhook.settle(a_month(FIRST_MONTH, first, note=CODE), a_month(SECOND_MONTH, second))

    assert outcomes == ["credited", "credited"]
    assert await matches(ledger) == [(ANNA, "code"), (ANNA, "subscription")]


@pytest.mark.parametrize(("first", "second"), [("sub_6", None), (None, "sub_6"), (None, None), ("sub_6", "sub_6")])
async def test_an_undone_match_does_not_return_although_one_event_lacks_the_subscription_id(
    ledger: Ledger, webhook: Webhook, first: str | None, second: str | None
) -> None:
    """
    If an operator undoes the match of a subscription, its renewals must not be matched to the same user by a code.

    An operator undoes the match of the first month to Anna. Then a renewal arrives with Anna's code in the note. The renewal
    must stay unmatched, even if the event of the first month or of the renewal lacks the subscription id.
    """
    await ledger.open(CODE, amount="3")
    await webhook.settle(a_month(FIRST_MONTH, first, note=CODE))
    await undo_match(
        ledger.pool, (await ledger.charge())["charge_id"], OperatorRequest(OPERATOR, "stranger", datetime.now(UTC))
    )

    outcomes = await webhook.settle(a_month(SECOND_MONTH, second, note=CODE))

    assert outcomes == ["unmatched"]
    assert await matches(ledger) == [(None, None), (None, None)]


async def test_another_subscription_with_the_same_number_is_not_recognised(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, amount="3")

    outcomes = await webhook.settle(a_month(FIRST_MONTH, "sub_6", note=CODE), a_month(SECOND_MONTH, "sub_7"))

    assert outcomes == ["credited", "unmatched"]
