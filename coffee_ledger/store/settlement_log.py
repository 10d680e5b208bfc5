"""
Log the decisions about charges, with ids by which an operator can find all log lines about one payment.

The log never contains texts that the supporter wrote.
"""

from collections import defaultdict
from collections.abc import Mapping

import structlog

from coffee_ledger.charges import Charge
from coffee_ledger.model import ChargeKey, PaymentId
from coffee_ledger.settling import Settlement

log = structlog.stdlib.get_logger()


def log_charges(done: Settlement) -> None:
    """
    Log the decisions of a settlement. Call this function after the commit, so that only committed decisions are logged.

    Do not call it for a settlement of webhook deliveries. services/webhook/settlement_log.py logs those decisions.
    """
    completed = find_completed(done)
    for key, charge in done.charges.items():
        decision = describe_decision(done, charge, completed)
        if key in done.payment_credits:
            log.info("charge matched", **decision)
        elif charge.waits:
            log.info("charge unmatched", **decision)
        elif key in done.refunded:
            log.info("charge refunded", **decision)


def find_completed(done: Settlement) -> Mapping[ChargeKey, list[PaymentId]]:
    """For each charge that completed pending payments, return the ids of these payments."""
    completed = defaultdict[ChargeKey, list[PaymentId]](list)
    for one in done.completions:
        completed[one.charge.charge_key].append(one.payment_id)
    return completed


def describe_decision(
    done: Settlement, charge: Charge, completed: Mapping[ChargeKey, list[PaymentId]]
) -> dict[str, object]:
    """Return the fields of a log line about the decision that a settlement made about a charge."""
    key = charge.charge_key
    ids: dict[str, object] = {"charge_key": key, "payment_id": charge.payment_id}
    if key in done.payment_credits:
        user, credits = done.payment_credits[key]
        paid = {"completed": completed[key]} if key in completed else {}
        return {**ids, "telegram_id": user, "credits": credits, "method": charge.method, "flag": charge.flag, **paid}
    if charge.waits:
        return {**ids, "reasons": [f"{reason.rule}: {reason.why}" for reason in charge.reasons]}
    return {**ids, "telegram_id": charge.telegram_id} if key in done.refunded else ids
