"""Write the rules of Prometheus from the alerts and the promises."""

from __future__ import annotations

from typing import Any

import yaml

from monitoring.alerts import ALERTS, Alert
from monitoring.slos import SLOS, recording_rules

HEADER = "# Written by `make monitoring` from monitoring/; change it there.\n"
RUNBOOK = "https://github.com/coffee-ledger/coffee-ledger/blob/main/docs/runbook.md"
DASHBOARD = "http://127.0.0.1:3000/d"


def write_slos() -> str:
    groups = [{"name": f"slo-{slo.name}", "interval": "30s", "rules": list(recording_rules(slo))} for slo in SLOS]
    return HEADER + _dump({"groups": groups})


def write_alerts() -> str:
    return HEADER + _dump({"groups": [{"name": "alerts", "rules": [_rule(alert) for alert in ALERTS]}]})


def _rule(alert: Alert) -> dict[str, Any]:
    labels = {"severity": str(alert.severity)} | ({"slo": alert.slo} if alert.slo else {})
    rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expr, "for": alert.hold}
    if alert.keep:
        rule["keep_firing_for"] = alert.keep
    annotations = {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{RUNBOOK}#{alert.name.lower()}",
        "dashboard_url": f"{DASHBOARD}/{alert.dashboard}",
    }
    return rule | {"labels": labels, "annotations": annotations}


def _dump(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=140, allow_unicode=True)
