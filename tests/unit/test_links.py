"""Links in alert rules and dashboards get the operator's addresses. If an address is not set, its links are removed."""

import json
import re
from pathlib import Path

import pytest
import yaml

from monitoring.rules import DASHBOARD, write_rules
from monitoring.rules import RUNBOOK as RUNBOOK_IN_RULES
from services.links import RUNBOOK, Links, find_link_problems, read_links, set_links
from tests.files import ROOT

DASHBOARDS = sorted((ROOT / "grafana/dashboards").glob("*.json"))
LINKS = Links(runbook="https://example.org/help", dashboards="http://127.0.0.1:3000")
RULES = write_rules()


def annotations_in(content: str) -> list[dict[str, str]]:
    rules = [rule for group in yaml.safe_load(content)["groups"] for rule in group["rules"]]
    return [rule["annotations"] for rule in rules if "alert" in rule]


def urls(content: str) -> list[str]:
    """Return the addresses of all links in a dashboard, including links to other dashboards."""
    return [str(json.loads(url)) for url in re.findall(r'"url": ("[^"]*")', content)]


@pytest.mark.parametrize("name", RULES)
def test_rules_get_the_configured_addresses(name: str) -> None:
    after = annotations_in(set_links(RULES[name], LINKS))

    for rule, before in zip(after, annotations_in(RULES[name]), strict=True):
        runbook_url = before["runbook_url"].replace("runbook.md", "https://example.org/help")
        assert rule == before | {
            "runbook_url": runbook_url,
            "dashboard_url": f"http://127.0.0.1:3000{before['dashboard_url']}",
        }


@pytest.mark.parametrize("name", RULES)
def test_rules_have_no_links_without_an_address(name: str) -> None:
    after = annotations_in(set_links(RULES[name], Links()))

    for rule, before in zip(after, annotations_in(RULES[name]), strict=True):
        assert rule == {key: text for key, text in before.items() if key not in ("runbook_url", "dashboard_url")}


def test_a_single_address_may_be_configured() -> None:
    [rule, *_] = annotations_in(set_links(RULES["bot.yml"], Links(dashboards="https://grafana.example")))

    assert "runbook_url" not in rule
    assert rule["dashboard_url"] == "https://grafana.example/d/ledger-bot"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_links_to_the_configured_runbook(path: Path) -> None:
    content = path.read_text("utf-8")

    after = set_links(content, LINKS)

    assert "runbook.md" in content
    assert urls(after) == [url.replace("runbook.md", "https://example.org/help") for url in urls(content)]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_without_a_runbook_keeps_everything_else(path: Path) -> None:
    content = path.read_text("utf-8")

    after = set_links(content, Links())

    assert urls(after) == [url for url in urls(content) if not url.startswith("runbook.md#")]
    assert "runbook.md" not in after
    assert [panel["title"] for panel in json.loads(after)["panels"]] == [
        panel["title"] for panel in json.loads(content)["panels"]
    ]


@pytest.mark.parametrize("content", ["groups: []\n", "# runbook_url: of a comment\n", '{"links": []}'])
def test_a_text_without_such_links_stays_unchanged(content: str) -> None:
    assert set_links(content, LINKS) == content


def test_the_rules_and_their_copies_use_the_same_runbook_name() -> None:
    assert RUNBOOK_IN_RULES == RUNBOOK
    assert DASHBOARD == "/d"


def test_a_slash_at_the_end_of_an_address_is_dropped() -> None:
    assert read_links({"ALERTS_DASHBOARD_URL": " http://127.0.0.1:3000/ "}) == Links("", "http://127.0.0.1:3000")


@pytest.mark.parametrize("name", ["ALERTS_RUNBOOK_URL", "ALERTS_DASHBOARD_URL"])
@pytest.mark.parametrize(
    "address",
    [
        "runbook.md",
        "javascript:alert(1)",
        'https://x.org/"',
        "https://x.org/{{ . }}",
        "https://x.org/#a",
        "https://x y",
    ],
)
def test_an_address_that_could_break_a_file_is_refused(name: str, address: str) -> None:
    [problem] = find_link_problems({name: address})

    assert problem.startswith(f"{name} must be an address")
    assert address not in problem


def test_an_empty_address_is_no_problem() -> None:
    assert find_link_problems({"ALERTS_RUNBOOK_URL": ""}) == []
