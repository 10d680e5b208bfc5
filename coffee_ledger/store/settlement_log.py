"""Log the decisions about charges, with ids by which an operator can find all log lines about one payment."""

from collections.abc import Mapping
from types import MappingProxyType

import structlog

from coffee_ledger.charges import Charge
from coffee_ledger.model import ChargeKey, Method
from coffee_ledger.settling import Settlement

log = structlog.stdlib.get_logger()

CODE_METHODS = frozenset({Method.CODE, Method.CORRECTED_CODE})
NO_TRACES: Mapping[ChargeKey, str] = MappingProxyType({})


def log_charges(done: Settlement, traces: Mapping[ChargeKey, str] = NO_TRACES) -> None:
    """
    Log the decision about each charge. Call this after the commit, so that only committed decisions are logged.

    The log never contains texts that the supporter wrote.

    *traces* maps the key of a charge to the id of its trace. Charges without a trace have no entry.
    """
    for key, charge in done.charges.items():
        ids = {"charge_key": key, "payment_id": charge.payment_id, **_trace(key, traces)}
        if key in done.payment_credits:
            user, credits = done.payment_credits[key]
            _log_code_search(charge, ids)
            log.info("charge matched", **ids, telegram_id=user, credits=credits, method=charge.method, flag=charge.flag)
        elif charge.waits:
            _log_code_search(charge, ids)
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


def _log_code_search(charge: Charge, ids: Mapping[str, str | None]) -> None:
    # If an operator matched the charge, no rule has searched for a code. So log nothing about a search.
    if charge.method is not Method.OPERATOR:
        log.info("code looked for", **ids, is_found=charge.method in CODE_METHODS)


def _trace(key: ChargeKey, traces: Mapping[ChargeKey, str]) -> dict[str, str]:
    return {"trace_id": traces[key]} if key in traces else {}
