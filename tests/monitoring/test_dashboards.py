"""Dashboards keep to the rules, say what the alerts say, and lead to the runbook."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring import thresholds
from monitoring.__main__ import ROOT, written_files
from monitoring.alerts import ALERTS
from monitoring.dashboards.boards import BOARDS
from monitoring.dashboards.queries import panels_of
from monitoring.dashboards.parts import FIRST, Board, Panel, Unit
from monitoring.rules import DASHBOARD, RUNBOOK
from monitoring.slos import SLOS
from tests.monitoring.dashboard_lint import Excluded, lint, read_excluded, selectors
from tests.monitoring.test_rules import exported, promtool

FILES = sorted(path for path in written_files() if path.suffix == ".json")
PROVISIONED = ROOT / "grafana" / "dashboards"
EXCLUSIONS = PROVISIONED / ".lint"
DATA_SOURCES = ROOT / "grafana" / "provisioning" / "datasources" / "datasources.yaml"
BY_NAME = {alert.name: alert for alert in ALERTS}


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def limited_panels() -> Iterator[tuple[Board, Panel]]:
    for board in BOARDS:
        for panel in board.panels:
            if panel.limit:
                yield board, panel


def test_every_dashboard_in_grafanas_folder_is_written_from_here() -> None:
    assert sorted({*PROVISIONED.iterdir()} - {EXCLUSIONS}) == FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_keeps_to_the_rules(path: Path) -> None:
    excluded = {*read_excluded(EXCLUSIONS)}

    findings = [str(one) for one in lint(read(path)) if Excluded(one.rule, one.board, one.panel) not in excluded]

    assert findings == []


def test_no_exclusion_outlives_what_it_excludes() -> None:
    found = {Excluded(one.rule, one.board, one.panel) for path in FILES for one in lint(read(path))}

    assert {*read_excluded(EXCLUSIONS)} - found == set()


OURS = ("ledger_",)


def test_dashboards_ask_only_for_what_is_exported() -> None:
    asked = {metric for _, expr in expressions() for metric, _ in selectors(expr)}

    of_a_pool = {"ledger_db_pool_connections"}  # which there is none of here
    assert {metric for metric in asked if metric.startswith(OURS)} - exported() - of_a_pool == set()


def test_what_is_exported_is_shown_somewhere() -> None:
    shown = " ".join(expr for _, expr in expressions())
    families = {re.sub("_(total|bucket|count|sum)$", "", name) for name in exported() if name.startswith(OURS)}

    assert {family for family in families if family not in shown} == NOT_SHOWN.keys()


NOT_SHOWN: dict[str, str] = {}
"""Metrics that no panel needs, each with the reason."""


def expressions() -> Iterator[tuple[str, str]]:
    for path in FILES:
        for panel in panels_of(read(path)):
            for target in panel["targets"]:
                if "expr" in target:
                    yield panel["title"], target["expr"]


@pytest.mark.parametrize(("board", "panel"), [*limited_panels()], ids=lambda one: getattr(one, "title", ""))
def test_a_limit_is_the_one_of_the_alert(board: Board, panel: Panel) -> None:
    assert panel.limit
    assert panel.alerts, "nobody acts on a limit that no alert knows"
    sought = re.compile(
        rf"(?<![\w.]){re.escape(f'{panel.limit.value:g}' if panel.limit.value < 1e6 else str(panel.limit.value))}(?![\w.])"
    )
    promises = {slo.name: slo.promise for slo in SLOS}
    said = [BY_NAME[name].expr + promises.get(BY_NAME[name].slo or "", "") for name in panel.alerts]

    is_same = any(sought.search(text) for text in said)

    # For "more than none" the first one is the limit.
    assert is_same or (panel.limit.value == FIRST and any("> 0" in text for text in said))


HUNDREDS = 100
COUNTED = [
    panel
    for _, panel in limited_panels()
    if panel.limit and (panel.unit, panel.decimals) == (Unit.COUNT, 0) and panel.limit.value < HUNDREDS
]
"""Panels of things counted one by one, where the limit itself is met as often as anything beyond it."""

by_title = pytest.mark.parametrize("panel", COUNTED, ids=lambda panel: panel.title)


@by_title
def test_a_count_reddens_with_the_first_that_is_told(panel: Panel) -> None:
    """A line in a dashboard stands at its value, not above it."""
    assert panel.limit
    alerts = [BY_NAME[name].expr for name in panel.alerts]

    told_from = "> 0" if panel.limit.value == FIRST else f">= {panel.limit.value:g}"

    assert any(told_from in expr for expr in alerts)


@by_title
def test_a_count_over_time_is_the_one_that_the_alert_asks_for(panel: Panel) -> None:
    assert isinstance(panel.queries, tuple)
    alerts = [BY_NAME[name].expr for name in panel.alerts]
    over_time = [query.expr for query in panel.queries if "[" in query.expr]

    asked = [re.sub(r"\{\$here,?\}?", lambda here: "" if here[0].endswith("}") else "{", expr) for expr in over_time]

    assert [one for one in asked if not any(one in expr for expr in alerts)] == []


@pytest.mark.parametrize(("board", "panel"), [*limited_panels()], ids=lambda one: getattr(one, "title", ""))
def test_a_limit_is_written_as_the_line_where_the_color_turns(board: Board, panel: Panel) -> None:
    assert panel.limit
    written = next(one for one in panels_of(read(PROVISIONED / f"{board.uid}.json")) if one["title"] == panel.title)

    steps = written["fieldConfig"]["defaults"]["thresholds"]["steps"]

    below, above = ("red", "green") if panel.limit.is_floor else ("green", "red")
    assert steps == [{"value": None, "color": below}, {"value": panel.limit.value, "color": above}]


def test_a_limit_lies_within_the_drawing() -> None:
    drawn = [panel for path in FILES for panel in panels_of(read(path)) if panel["type"] == "timeseries"]
    limits = {panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:] for panel in drawn}
    reach = {panel["title"]: panel["fieldConfig"]["defaults"]["custom"].get("axisSoftMax") for panel in drawn}

    assert reach == {title: steps[0]["value"] if steps else None for title, steps in limits.items()}


def test_what_is_added_up_by_day_is_shown_for_days() -> None:
    queries = [
        (panel, target.get("rawSql", ""))
        for path in FILES
        for panel in panels_of(read(path))
        for target in panel["targets"]
    ]

    by_day = [panel for panel, sql in queries if "date_trunc('day'" in sql]

    assert [panel["timeFrom"] for panel in by_day] == ["30d"]


def test_an_update_is_marked_and_an_absence_is_not(tmp_path: Path) -> None:
    marks = {mark["name"]: mark["expr"] for mark in read(FILES[0])["annotations"]["list"]}
    minutes = {
        'ledger_build_info{job="bot",revision="a"}': "1x30 _x10 1x20",
        'ledger_build_info{job="webhook",revision="a"}': "1x30",
        'ledger_build_info{job="webhook",revision="b"}': "_x31 1x30",
    }
    updated = [{"labels": '{job="webhook",revision="b"}', "value": 1}]
    story = tmp_path / "marks.yml"
    story.write_text(
        yaml.safe_dump(
            {
                "tests": [
                    {
                        "interval": "1m",
                        "input_series": [{"series": name, "values": values} for name, values in minutes.items()],
                        "promql_expr_test": [
                            {"expr": marks["Deployments"], "eval_time": time, "exp_samples": marked}
                            for time, marked in (("31m", updated), ("41m", []))
                        ],
                    }
                ]
            }
        ),
        encoding="utf-8",
    )

    promtool("test", "rules", "/marks.yml", mounts=(f"{story}:/marks.yml:ro",))


def test_limits_come_from_the_constants_of_the_alerts() -> None:
    constants = {value for value in vars(thresholds).values() if isinstance(value, int | float)}

    assert {panel.limit.value for _, panel in limited_panels() if panel.limit} <= constants | {FIRST}


def test_a_task_is_late_where_its_alert_says_so() -> None:
    (panel,) = (panel for board, panel in limited_panels() if "JanitorTaskNotSucceeding" in panel.alerts)
    assert isinstance(panel.queries, tuple)

    assert f"- {thresholds.JANITOR_SLACK_SECONDS}, 0)" in panel.queries[0].expr
    assert BY_NAME["JanitorTaskNotSucceeding"].expr.endswith(f" + {thresholds.JANITOR_SLACK_SECONDS}")


def test_every_alert_is_explained_on_the_dashboard_it_leads_to() -> None:
    led_to = {(alert.dashboard, alert.name) for alert in ALERTS}
    linked = {(board.uid, name) for board in BOARDS for panel in board.panels for name in panel.alerts}

    assert led_to - linked == set()
    assert {name for _, name in linked} <= BY_NAME.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_panel_with_an_alert_leads_to_its_page_of_the_runbook(path: Path) -> None:
    (board,) = (one for one in BOARDS if one.uid == path.stem)
    alerts = {panel.title: panel.alerts for panel in board.panels}

    for panel in panels_of(read(path)):
        expected = [f"{RUNBOOK}#{name.lower()}" for name in alerts[panel["title"]]]
        assert [link["url"] for link in panel.get("links", [])] == expected


def test_links_in_alerts_lead_to_dashboards_that_exist() -> None:
    uids = {path.stem for path in FILES}

    assert {alert.dashboard for alert in ALERTS} <= uids
    assert {read(path)["uid"] for path in FILES} == uids
    assert DASHBOARD.endswith("/d")


def test_a_dashboard_of_the_newest_classic_form() -> None:
    assert {read(path)["schemaVersion"] for path in FILES} == {42}
    assert all(
        len({panel["id"] for panel in panels_of(read(path))}) == len(list(panels_of(read(path)))) for path in FILES
    )


def test_grafana_puts_nothing_of_the_environment_into_queries() -> None:
    """Of a plain `$` and a name it makes the variable of that name, which is empty; of `$$` it makes `$`."""
    sources = yaml.safe_dump(yaml.safe_load(DATA_SOURCES.read_text(encoding="utf-8")), width=1000)

    assert re.findall(r"(?<!\$)\$(?!\$|__file\{|__env\{).*", sources) == []
