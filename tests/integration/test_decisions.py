"""Check that balances stay correct when operators decide, undo and decide again, and that very large Telegram ids work."""

from datetime import UTC, datetime

from coffee_ledger.model import TelegramId
from coffee_ledger.store.database import Pool
from coffee_ledger.store.decisions import OperatorRequest, match_charge, undo_match
from tests.integration.bmc import a_payment, a_refund_of
from tests.integration.people import ANNA, BOHDAN, Ledger
from tests.integration.test_settling import CODE
from tests.integration.webhook import RULES, Webhook


def order() -> OperatorRequest:
    return OperatorRequest(TelegramId(900), "a reason", datetime.now(UTC))


async def test_a_charge_matched_and_undone_repeatedly_is_credited_and_refunded_once(
    ledger: Ledger, webhook: Webhook, desk: Pool
) -> None:
    for user in (ANNA, BOHDAN):
        await ledger.pool.execute("INSERT INTO users (telegram_id) VALUES ($1)", user)
    payment = a_payment(support_note="a word that is no code")
    await webhook.settle(payment)
    charge_id = (await ledger.charge())["charge_id"]

    async def match(user: int) -> None:
        await match_charge(desk, charge_id, order(), telegram_id=TelegramId(user), payment_id=None, rates=RULES.rates)

    for user in (ANNA, BOHDAN, ANNA, BOHDAN):
        await match(user)
        await undo_match(desk, charge_id, order())
    await match(ANNA)
    assert (await ledger.balance(ANNA), await ledger.balance(BOHDAN)) == (500, 0)

    await webhook.settle(a_refund_of(payment))

    assert (await ledger.balance(ANNA), await ledger.balance(BOHDAN)) == (0, 0)
    assert await ledger.drift() == 0


async def test_a_user_with_a_very_large_telegram_id_is_credited(ledger: Ledger, webhook: Webhook) -> None:
    await ledger.open(CODE, user=2**62)

    assert await webhook.settle(a_payment(support_note=CODE)) == ["credited"]
