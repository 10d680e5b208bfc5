"""Dashboards follow the lint rules, agree with the alerts, and link to the runbook."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring import thresholds
from monitoring.__main__ import written_files
from monitoring.alerts import ALERTS
from monitoring.dashboards.boards import BOARDS
from monitoring.dashboards.parts import FIRST, Board, Panel, Unit
from monitoring.dashboards.queries import panels_of
from monitoring.rules import DASHBOARD, RUNBOOK
from monitoring.slos import SLOS
from tests.files import ROOT
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


each_limit = pytest.mark.parametrize(("board", "panel"), [*limited_panels()], ids=lambda one: getattr(one, "title", ""))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_the_folder_of_dashboards_has_no_other_files() -> None:
    assert sorted({*PROVISIONED.iterdir()} - {EXCLUSIONS}) == FILES


@each_file
def test_a_dashboard_follows_the_rules(path: Path) -> None:
    excluded = {*read_excluded(EXCLUSIONS)}

    findings = [str(one) for one in lint(read(path)) if Excluded(one.rule, one.board, one.panel) not in excluded]

    assert findings == []


def test_every_exclusion_still_excludes_something() -> None:
    found = {Excluded(one.rule, one.board, one.panel) for path in FILES for one in lint(read(path))}

    assert {*read_excluded(EXCLUSIONS)} - found == set()


OURS = ("ledger_",)


def test_dashboards_use_only_exported_metrics() -> None:
    used = {metric for _, expr in expressions() for metric, _ in selectors(expr)}

    # This metric is exported only while a database pool is open, and these tests open none.
    of_a_pool = {"ledger_db_pool_connections"}
    assert {metric for metric in used if metric.startswith(OURS)} - exported() - of_a_pool == set()


def test_every_exported_metric_is_shown_on_a_dashboard() -> None:
    shown = " ".join(expr for _, expr in expressions())
    families = {re.sub("_(total|bucket|count|sum)$", "", name) for name in exported() if name.startswith(OURS)}

    assert {family for family in families if family not in shown} == NOT_SHOWN.keys()


NOT_SHOWN: dict[str, str] = {}
"""Maps each metric that is missing on the dashboards to the reason why it is left out."""


def expressions() -> Iterator[tuple[str, str]]:
    for path in FILES:
        for panel in panels_of(read(path)):
            for target in panel["targets"]:
                if "expr" in target:
                    yield panel["title"], target["expr"]


@each_limit
def test_a_limit_is_that_of_its_alert(board: Board, panel: Panel) -> None:
    assert panel.limit
    assert panel.alerts, "a limit needs an alert"
    sought = re.compile(
        rf"(?<![\w.]){re.escape(f'{panel.limit.value:g}' if panel.limit.value < 1e6 else str(panel.limit.value))}(?![\w.])"
    )
    promises = {slo.name: slo.promise for slo in SLOS}
    texts = [BY_NAME[name].expr + promises.get(BY_NAME[name].slo or "", "") for name in panel.alerts]

    is_same = any(sought.search(text) for text in texts)

    # For a whole number, an alert at `> 0` means the same as a limit of 1 in the panel.
    assert is_same or (panel.limit.value == FIRST and any("> 0" in text for text in texts))


HUNDREDS = 100
COUNTED = [
    panel
    for _, panel in limited_panels()
    if panel.limit and (panel.unit, panel.decimals) == (Unit.COUNT, 0) and panel.limit.value < HUNDREDS
]
"""
The panels that show a whole number and have a limit below 100.

The number often equals the limit. The panel is red then, but an alert with `>` instead of `>=` would not fire.
"""

each_count = pytest.mark.parametrize("panel", COUNTED, ids=lambda panel: panel.title)


@each_count
def test_a_count_turns_red_at_the_value_at_which_its_alert_fires(panel: Panel) -> None:
    """Grafana turns a value red if it equals the limit, so the alert must fire at the limit, too."""
    assert panel.limit
    alerts = [BY_NAME[name].expr for name in panel.alerts]

    fires_from = "> 0" if panel.limit.value == FIRST else f">= {panel.limit.value:g}"

    assert any(fires_from in expr for expr in alerts)


@each_count
def test_a_count_over_time_has_the_expression_of_its_alert(panel: Panel) -> None:
    assert isinstance(panel.queries, tuple)
    alerts = [BY_NAME[name].expr for name in panel.alerts]
    over_time = [query.expr for query in panel.queries if "[" in query.expr]

    shown = [re.sub(r"\{\$here,?\}?", lambda here: "" if here[0].endswith("}") else "{", expr) for expr in over_time]

    assert [one for one in shown if not any(one in expr for expr in alerts)] == []


@each_limit
def test_a_limit_is_written_as_the_threshold_of_the_colors(board: Board, panel: Panel) -> None:
    assert panel.limit
    written = next(one for one in panels_of(read(PROVISIONED / f"{board.uid}.json")) if one["title"] == panel.title)

    steps = written["fieldConfig"]["defaults"]["thresholds"]["steps"]

    below, above = ("red", "green") if panel.limit.is_floor else ("green", "red")
    assert steps == [{"value": None, "color": below}, {"value": panel.limit.value, "color": above}]


def test_the_axis_of_a_panel_reaches_its_limit() -> None:
    drawn = [panel for path in FILES for panel in panels_of(read(path)) if panel["type"] == "timeseries"]
    limits = {panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:] for panel in drawn}
    reach = {panel["title"]: panel["fieldConfig"]["defaults"]["custom"].get("axisSoftMax") for panel in drawn}

    assert reach == {title: steps[0]["value"] if steps else None for title, steps in limits.items()}


def test_daily_sums_are_shown_for_thirty_days() -> None:
    queries = [
        (panel, target.get("rawSql", ""))
        for path in FILES
        for panel in panels_of(read(path))
        for target in panel["targets"]
    ]

    by_day = [panel for panel, sql in queries if "date_trunc('day'" in sql]

    assert [panel["timeFrom"] for panel in by_day] == ["30d"]


def test_a_new_version_is_marked_and_a_return_of_the_old_one_is_not(tmp_path: Path) -> None:
    marks = {mark["name"]: mark["expr"] for mark in read(FILES[0])["annotations"]["list"]}
    minutes = {
        'ledger_build_info{job="bot",revision="a"}': "1x30 _x10 1x20",
        'ledger_build_info{job="webhook",revision="a"}': "1x30",
        'ledger_build_info{job="webhook",revision="b"}': "_x31 1x30",
    }
    updated = [{"labels": '{job="webhook",revision="b"}', "value": 1}]
    case = tmp_path / "marks.yml"
    case.write_text(
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

    promtool("test", "rules", "/marks.yml", mounts=(f"{case}:/marks.yml:ro",))


def test_limits_come_from_the_constants_of_the_alerts() -> None:
    constants = {value for value in vars(thresholds).values() if isinstance(value, int | float)}

    assert {panel.limit.value for _, panel in limited_panels() if panel.limit} <= constants | {FIRST}


def test_the_panel_of_late_tasks_has_the_slack_of_its_alert() -> None:
    (panel,) = (panel for board, panel in limited_panels() if "JanitorTaskNotSucceeding" in panel.alerts)
    assert isinstance(panel.queries, tuple)

    assert f"- {thresholds.JANITOR_SLACK_SECONDS}, 0)" in panel.queries[0].expr
    assert BY_NAME["JanitorTaskNotSucceeding"].expr.endswith(f" + {thresholds.JANITOR_SLACK_SECONDS}")


def test_every_alert_has_a_panel_on_the_dashboard_it_links_to() -> None:
    targets = {(alert.dashboard, alert.name) for alert in ALERTS}
    linked = {(board.uid, name) for board in BOARDS for panel in board.panels for name in panel.alerts}

    assert targets - linked == set()
    assert {name for _, name in linked} <= BY_NAME.keys()


@each_file
def test_a_panel_links_to_the_runbook_for_each_of_its_alerts(path: Path) -> None:
    (board,) = (one for one in BOARDS if one.uid == path.stem)
    alerts = {panel.title: panel.alerts for panel in board.panels}

    for panel in panels_of(read(path)):
        expected = [f"{RUNBOOK}#{name.lower()}" for name in alerts[panel["title"]]]
        assert [link["url"] for link in panel.get("links", [])] == expected


def test_alerts_link_to_existing_dashboards() -> None:
    uids = {path.stem for path in FILES}

    assert {alert.dashboard for alert in ALERTS} <= uids
    assert {read(path)["uid"] for path in FILES} == uids
    assert DASHBOARD.endswith("/d")


def test_dashboards_have_schema_42_and_unique_panel_ids() -> None:
    assert {read(path)["schemaVersion"] for path in FILES} == {42}
    assert all(
        len({panel["id"] for panel in panels_of(read(path))}) == len(list(panels_of(read(path)))) for path in FILES
    )


def test_grafana_substitutes_no_environment_variable_in_queries() -> None:
    """
    When Grafana reads its provisioning file, it replaces `$name` by an environment variable and `$$` by `$`.

    So each `$` of a query must be written as `$$`.
    """
    sources = yaml.safe_dump(yaml.safe_load(DATA_SOURCES.read_text(encoding="utf-8")), width=1000)

    assert re.findall(r"(?<!\$)\$(?!\$|__file\{|__env\{).*", sources) == []
