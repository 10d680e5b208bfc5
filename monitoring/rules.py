"""Write the rules of Prometheus from the alerts and the SLOs."""

from typing import Any

import yaml

from monitoring.alerts import ALERTS, Alert
from monitoring.slos import SLOS, Slo, recording_rules

HEADER = "# Written by `make monitoring` from monitoring/; change it there.\n"
RUNBOOK = "runbook.md"
DASHBOARD = "/d"
"""
The prefix of relative links to dashboards.

services/links.py puts Grafana's address before this prefix. If ALERTS_DASHBOARD_URL is not set, it removes the links.
"""


def write_rules() -> dict[str, str]:
    """
    Return the content of each rule file by file name.

    There is one file for the alerts of each dashboard and one for each SLO.
    """
    topics = {f"{topic}.yml": [_alerts(topic, alerts)] for topic, alerts in _by_topic().items()}
    promises = {f"promise_{slo.name}.yml": _promise(slo) for slo in SLOS}
    return {name: HEADER + _dump({"groups": groups}) for name, groups in (topics | promises).items()}


def _by_topic() -> dict[str, list[Alert]]:
    topics: dict[str, list[Alert]] = {}
    for alert in ALERTS:
        if not alert.slo:
            topics.setdefault(alert.dashboard.removeprefix("ledger-"), []).append(alert)
    return topics


def _promise(slo: Slo) -> list[dict[str, Any]]:
    recorded = {"name": f"slo-{slo.name}", "interval": "30s", "rules": list(recording_rules(slo))}
    return [recorded, _alerts(f"slo-{slo.name}", [alert for alert in ALERTS if alert.slo == slo.name])]


def _alerts(topic: str, alerts: list[Alert]) -> dict[str, Any]:
    return {"name": f"{topic}-alerts", "rules": [_rule(alert) for alert in alerts]}


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
