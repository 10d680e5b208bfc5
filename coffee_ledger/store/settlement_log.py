"""Tell in the log what was settled, under the ids by which an operator follows one payment."""

from collections.abc import Mapping
from types import MappingProxyType

import structlog

from coffee_ledger.charges import Charge
from coffee_ledger.model import ChargeKey, Method
from coffee_ledger.settling import Settlement

log = structlog.stdlib.get_logger()

CODE_METHODS = frozenset({Method.CODE, Method.CORRECTED_CODE})
NO_TRACES: Mapping[ChargeKey, str] = MappingProxyType({})


def tell(done: Settlement, traces: Mapping[ChargeKey, str] = NO_TRACES) -> None:
    """
    Write what became of each charge; to be called once it is committed. Nothing of the supporter's words is in it.

    *traces* gives the id of the trace that a charge's event belongs to, where it was traced.
    """
    for key, charge in done.charges.items():
        ids = {"charge_key": key, "payment_id": charge.payment_id, **_trace(key, traces)}
        if key in done.payment_credits:
            user, credits = done.payment_credits[key]
            _tell_search(charge, ids)
            log.info("charge matched", **ids, telegram_id=user, credits=credits, method=charge.method, flag=charge.flag)
        elif charge.waits:
            _tell_search(charge, ids)
            log.info(
                "charge unmatched",
                **ids,
                reasons=[f"{reason.rule}: {reason.why}" for reason in charge.reasons],
            )
        elif key in done.refunded:
            log.info("charge refunded", **ids, telegram_id=charge.telegram_id)
    for one in done.completions:
        user, credits = done.payment_credits[one.charge.charge_key]
        ids = {
            "payment_id": one.payment_id,
            "charge_key": one.charge.charge_key,
            **_trace(one.charge.charge_key, traces),
        }
        log.info("payment completed", **ids, telegram_id=user, credits=credits)


def _tell_search(charge: Charge, ids: Mapping[str, str | None]) -> None:
    # Where a person said whose it is, nobody looked.
    if charge.method is not Method.OPERATOR:
        log.info("code looked for", **ids, is_found=charge.method in CODE_METHODS)


def _trace(key: ChargeKey, traces: Mapping[ChargeKey, str]) -> dict[str, str]:
    return {"trace_id": traces[key]} if key in traces else {}
