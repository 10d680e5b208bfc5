"""Tell in the log what a batch changed, under the ids by which an operator follows one payment."""

from __future__ import annotations

import structlog

from ledger.settling import Settlement

log = structlog.stdlib.get_logger()


def tell(done: Settlement) -> None:
    """Write a line for each charge; to be called once the batch is committed. Nothing of the supporter's words is in it."""
    for key, charge in done.charges.items():
        ids = {"charge_key": key, "payment_id": charge.payment_id}
        if key in done.payment_credits:
            user, credits = done.payment_credits[key]
            log.info("charge matched", **ids, telegram_id=user, credits=credits, method=charge.method, flag=charge.flag)
        elif charge.waits:
            log.info("charge unmatched", **ids, reasons=[f"{reason.rule}: {reason.why}" for reason in charge.reasons])
        elif key in done.refunded:
            log.info("charge refunded", **ids, telegram_id=charge.telegram_id)
    for one in done.completions:
        log.info("payment completed", payment_id=one.payment_id, charge_key=one.charge.key)
