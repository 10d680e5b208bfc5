"""Check that the runbook has a complete section for each alert."""

import re
from itertools import chain
from pathlib import Path

import pytest
import yaml

from monitoring.alerts import ALERTS
from monitoring.rules import write_rules
from tests.docs.test_anchors import anchors
from tests.files import ROOT
from tests.monitoring.test_rules import exported, promtool

RUNBOOK = ROOT / "docs" / "runbook.md"
SECTION = RUNBOOK.read_text(encoding="utf-8").split("\n## Alerts\n")[1].split("\n## ")[0]
HEADED = dict(re.findall(r"^### (\S+)\n(.*?)(?=^### |\Z)", SECTION, re.MULTILINE | re.DOTALL))
PARTS = ("Users notice", "Confirm", "Fix", "Check")
QUERIES = re.findall(r"```promql\n(.*?)\n```", SECTION, re.DOTALL)


def test_alerts_and_headings_are_the_same() -> None:
    assert list(HEADED) == [alert.name for alert in ALERTS]


@pytest.mark.parametrize("name", HEADED)
def test_a_section_has_all_parts_in_order(name: str) -> None:
    found = re.findall(r"^\*([A-Z][a-z ]+)[:.]\*\s+(.)", HEADED[name], re.MULTILINE)

    assert [part for part, _ in found] == list(PARTS)


def test_the_link_in_a_message_leads_to_the_heading() -> None:
    groups = chain.from_iterable(yaml.safe_load(content)["groups"] for content in write_rules().values())
    rules = [rule for rule in chain.from_iterable(group["rules"] for group in groups) if "alert" in rule]
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)

    assert len(rules) == len(ALERTS)
    for rule in rules:
        document, anchor = rule["annotations"]["runbook_url"].split("#")
        assert document == "runbook.md"
        assert anchor in anchors(RUNBOOK)
        # The heading must be unique. If two headings are equal, GitHub adds a number to the second anchor, and the link in the
        # alert's message leads to the first heading.
        assert [heading.lower() for heading in headings].count(anchor) == 1


def test_prometheus_parses_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(QUERIES)]
    tmp_path.chmod(0o755)
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))

    assert len(QUERIES) > len(ALERTS) / 2
    promtool("check", "rules", "--lint=none", "/queries/queries.yml", mounts=(f"{tmp_path}:/queries:ro",))


def test_queries_use_only_exported_metrics() -> None:
    asked = set(re.findall(r"\b(?:bmc|ledger)_\w+", " ".join(QUERIES)))
    recorded = set(re.findall(r"\bslo:[\w:]+", " ".join(QUERIES)))
    rules = "".join(write_rules().values())

    assert asked - exported() == set()
    assert [name for name in recorded if f"record: {name}\n" not in rules] == []
