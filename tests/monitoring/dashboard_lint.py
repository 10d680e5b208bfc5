"""
Check dashboards against lint rules.

The prefix `our-` marks the project's own rules. All other rules reimplement grafana/dashboard-linter (v0.2.0, read November 2026)
under the same names, because that linter is not always available. The file `.lint` beside the dashboards lists exceptions.

The linter's rule `target-promql` needs a running Prometheus, so test_dashboards_running.py checks the queries instead.
"""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from grafana_foundation_sdk.models import units

from monitoring.dashboards.grafana import TAG
from monitoring.dashboards.queries import panels_of

Json: TypeAlias = dict[str, Any]
PANELS_UNFOLDED_MAX = 12
COLUMNS = 24
UNITS = {value for name, value in inspect.getmembers(units) if isinstance(value, str) and not name.startswith("__")}

STATE_GAUGES = (
    "ledger_payments",
    "ledger_payments_oldest_age_seconds",
    "ledger_payment_matches",
    "ledger_outbox_messages",
    "ledger_outbox_oldest_age_seconds",
    "ledger_outbox_undelivered_age_seconds",
    "ledger_claims_open",
    "ledger_claims_oldest_age_seconds",
    "ledger_events_unsettled",
    "ledger_balance_drift_credits",
    "ledger_balances_overdrawn",
    "ledger_backup_last_success_timestamp_seconds",
    "ledger_backup_size_bytes",
    "ledger_reconciliation_missing_rows",
    "ledger_reconciliation_list_healthy",
    "ledger_reconciliation_requests_left",
)
"""
Gauges that every replica of the janitor exports with the same value.

A query must not add them up, because the sum would count the value once for each replica.
"""


@dataclass(frozen=True)
class Finding:
    rule: str
    board: str
    panel: str
    fault: str

    def __str__(self) -> str:
        return f"{self.board}, {self.panel or 'the whole dashboard'}: {self.rule}: {self.fault}"


@dataclass(frozen=True)
class Excluded:
    """A deliberate exception to a rule."""

    rule: str
    board: str
    panel: str


def read_excluded(path: Path) -> Iterator[Excluded]:
    """
    Read the exceptions in a file `.lint`, which refers to dashboards and panels by their titles.

    Source: https://github.com/grafana/dashboard-linter/blob/main/docs/index.md, read November 2026.
    """
    for rule, excluded in yaml.safe_load(path.read_text(encoding="utf-8"))["exclusions"].items():
        for entry in excluded["entries"]:
            if not (entry.get("reason") or excluded.get("reason")):
                raise ValueError(f"{entry['panel']}: {rule} is excluded without a reason")
            yield Excluded(rule, entry["dashboard"], entry["panel"])


def lint(dashboard: Json) -> Iterator[Finding]:
    board = dashboard["title"]
    for rule, check in OF_BOARDS.items():
        yield from (Finding(rule, board, "", fault) for fault in check(dashboard))
    for panel in panels_of(dashboard):
        for rule, check in OF_PANELS.items():
            yield from (Finding(rule, board, panel["title"], fault) for fault in check(panel))
        for target in panel.get("targets", []):
            if "expr" not in target:
                continue
            for rule, judge in OF_QUERIES.items():
                yield from (Finding(rule, board, panel["title"], fault) for fault in judge(target["expr"]))


# Boards -----------------------------------------------------------------------------------------------------------------


def template_datasource(dashboard: Json) -> Iterator[str]:
    found = variable(dashboard, "datasource")
    if (found.get("type"), found.get("query"), found.get("label")) != ("datasource", "prometheus", "Data source"):
        yield "needs a variable `datasource` that chooses a Prometheus"


def template_job(dashboard: Json) -> Iterator[str]:
    yield from _target_variable(dashboard, "job")


def template_instance(dashboard: Json) -> Iterator[str]:
    yield from _target_variable(dashboard, "instance")


def _target_variable(dashboard: Json, name: str) -> Iterator[str]:
    found = variable(dashboard, name)
    expected = {"type": "query", "label": name.capitalize(), "multi": True, "includeAll": True, "allValue": ".+"}
    wrong = {key for key, value in expected.items() if found.get(key) != value}
    if wrong:
        yield f"the variable `{name}` has another {', '.join(sorted(wrong))}"
    if found.get("datasource", {}).get("uid") != "${datasource}":
        yield f"the variable `{name}` queries another data source"


def template_label_promql(dashboard: Json) -> Iterator[str]:
    for found in dashboard["templating"]["list"]:
        if found["type"] == "query" and not re.fullmatch(r"label_values\(\w+(\{[^{}]*\})?, \w+\)", found["definition"]):
            yield f"the variable `{found['name']}` is not a plain label_values(…)"


def template_on_time_change_reload(dashboard: Json) -> Iterator[str]:
    for found in dashboard["templating"]["list"]:
        if found["type"] == "query" and found.get("refresh") != 2:
            yield f"the variable `{found['name']}` does not refresh with the time range"


def uneditable_dashboard(dashboard: Json) -> Iterator[str]:
    if dashboard.get("editable") is not False:
        yield "can be edited in Grafana, where the change would be lost"


def variable(dashboard: Json, name: str) -> Json:
    found: Iterator[Json] = (one for one in dashboard["templating"]["list"] if one["name"] == name)
    return next(found, {})


def our_titles(dashboard: Json) -> Iterator[str]:
    for title, count in Counter(panel["title"] for panel in panels_of(dashboard)).items():
        if count > 1:
            yield f"{count} panels are called {title!r}"


def our_grid(dashboard: Json) -> Iterator[str]:
    for panels in (dashboard["panels"], *(row["panels"] for row in dashboard["panels"] if row["type"] == "row")):
        taken = Counter(cell for panel in panels for cell in _cells(panel["gridPos"]))
        if any(count > 1 for count in taken.values()):
            yield "panels overlap"
        if any(column >= COLUMNS for column, _ in taken):
            yield "a panel is wider than the grid"


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for column in range(place["x"], place["x"] + place["w"]):
        for line in range(place["y"], place["y"] + place["h"]):
            yield column, line


def our_length(dashboard: Json) -> Iterator[str]:
    unfolded = sum(panel["type"] != "row" for panel in dashboard["panels"])
    if unfolded > PANELS_UNFOLDED_MAX:
        yield f"shows {unfolded} panels, too many at once: fold a row"


def our_first_row(dashboard: Json) -> Iterator[str]:
    first = dashboard["panels"][0]
    if (first["type"], first["title"]) != ("row", "Is it fine?"):
        yield "does not begin with the row `Is it fine?`"


def our_way_to_others(dashboard: Json) -> Iterator[str]:
    ways = [link for link in dashboard.get("links", []) if link.get("tags") == [TAG]]
    if not any(way.get("asDropdown") and way.get("keepTime") and way.get("includeVars") for way in ways):
        yield "has no list of the other dashboards that keeps the time range and the variables"


def our_marks(dashboard: Json) -> Iterator[str]:
    marked = {one["name"] for one in dashboard["annotations"]["list"]}
    if not {"Deployments", "Restarts", "Alerts"} <= marked:
        yield "does not mark deployments, restarts and alerts"


# Panels -----------------------------------------------------------------------------------------------------------------


def panel_datasource(panel: Json) -> Iterator[str]:
    if panel.get("datasource", {}).get("uid") != "${datasource}":
        yield "queries another data source than the chosen one"


def our_datasource(panel: Json) -> Iterator[str]:
    asked = panel.get("datasource", {})
    if any(target.get("datasource") != asked for target in panel.get("targets", [])):
        yield "has a query to another data source than the panel"


def panel_title_description(panel: Json) -> Iterator[str]:
    if not panel.get("title") or not panel.get("description"):
        yield "has no title or no description"


def panel_units(panel: Json) -> Iterator[str]:
    unit = defaults(panel).get("unit")
    if unit not in UNITS and not defaults(panel).get("mappings"):
        yield f"has a unit unknown to Grafana: {unit}"


def panel_no_targets(panel: Json) -> Iterator[str]:
    if not panel.get("targets"):
        yield "has no query"


def target_logql(panel: Json) -> Iterator[str]:
    if any(target.get("datasource", {}).get("type") == "loki" for target in panel.get("targets", [])):
        yield "queries logs, for which there is no data source"


def defaults(panel: Json) -> Json:
    found: Json = panel["fieldConfig"]["defaults"]
    return found


def our_description(panel: Json) -> Iterator[str]:
    text = panel.get("description", "")
    if not re.search(r"\bGood: |must be 0", text) or not text.endswith("."):
        yield "does not say which values are good"


def our_empty_text(panel: Json) -> Iterator[str]:
    if len(defaults(panel).get("noValue", "")) < len("None"):
        yield "has no text for missing values"


def our_decimals(panel: Json) -> Iterator[str]:
    if "decimals" not in defaults(panel):
        yield "does not set the decimals"


def our_exemplars(panel: Json) -> Iterator[str]:
    if panel["type"] not in ("timeseries", "heatmap"):
        return
    queries = [one for one in panel["targets"] if re.search(r"ledger_\w+_bucket", one.get("expr", ""))]
    if (
        queries
        and "ledger_event_loop_lag" not in queries[0]["expr"]
        and not any(one.get("exemplar") for one in queries)
    ):
        yield "shows a latency without exemplars, which link to traces"


def our_scale(panel: Json) -> Iterator[str]:
    """Require a fixed minimum or maximum of a scale. If Grafana chose both limits, small changes would look large."""
    if panel["type"] == "timeseries" and not {"min", "max"} & defaults(panel).keys():
        yield "does not fix either end of the scale"


# Queries ----------------------------------------------------------------------------------------------------------------


def target_job(expr: str) -> Iterator[str]:
    yield from _selects(expr, 'job=~"$job"')


def target_instance(expr: str) -> Iterator[str]:
    yield from _selects(expr, 'instance=~"$instance"')


def _selects(expr: str, matcher: str) -> Iterator[str]:
    for metric, matchers in selectors(expr):
        if matcher not in matchers:
            yield f"queries {metric} without {matcher}"


def target_rate_interval(expr: str) -> Iterator[str]:
    for window in re.findall(r"\[([^\]]+)\]", expr):
        if window not in ("$__rate_interval", "$__range"):
            yield f"has the fixed window {window}"


def target_counter_agg(expr: str) -> Iterator[str]:
    counted = r"\b\w+_(?:total|bucket|count|sum)\{[^}]*\}"
    rated = r"(?:rate|increase|irate|resets|changes)\(" + counted + r"\["
    if len(re.findall(counted, expr)) != len(re.findall(rated, expr)):
        yield "shows the value of a counter, not its growth"


def our_quantiles(expr: str) -> Iterator[str]:
    groups = re.findall(r"histogram_quantile\([\d.]+, sum by \(([^)]*)\) \(rate\(", expr)
    good = sum("le" in group.split(", ") for group in groups)
    if good != expr.count("histogram_quantile("):
        yield "computes a quantile of something other than sums by `le`"


def our_states(expr: str) -> Iterator[str]:
    for gauge in STATE_GAUGES:
        if re.search(rf"(sum|avg|count)( by \([^)]*\))? ?\({gauge}\{{", expr):
            yield f"adds up {gauge}, although every replica exports the same"


def our_zeros(expr: str) -> Iterator[str]:
    if "or vector(0)" in expr:
        yield "shows 0 if no value is known"


KEYWORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}


def selectors(expr: str) -> list[tuple[str, str]]:
    """Return the name and the label matchers of each metric in a PromQL expression."""
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right) ?\([^)]*\)", " ", expr)
    bare = re.sub(r"\[[^\]]*\]", " ", bare)
    found = re.findall(r"([a-zA-Z_:][\w:]*)(\{[^}]*\})?(?!\s*[\w(:])", bare)
    return [(name, matchers) for name, matchers in found if name not in KEYWORDS]


OF_BOARDS: dict[str, Callable[[Json], Iterator[str]]] = {
    "template-datasource-rule": template_datasource,
    "template-job-rule": template_job,
    "template-instance-rule": template_instance,
    "template-label-promql-rule": template_label_promql,
    "template-on-time-change-reload-rule": template_on_time_change_reload,
    "uneditable-dashboard": uneditable_dashboard,
    "our-titles": our_titles,
    "our-grid": our_grid,
    "our-length": our_length,
    "our-first-row": our_first_row,
    "our-way-to-others": our_way_to_others,
    "our-marks": our_marks,
}

OF_PANELS: dict[str, Callable[[Json], Iterator[str]]] = {
    "panel-datasource-rule": panel_datasource,
    "panel-title-description-rule": panel_title_description,
    "panel-units-rule": panel_units,
    "panel-no-targets-rule": panel_no_targets,
    "target-logql-rule": target_logql,
    "target-logql-auto-rule": target_logql,
    "our-datasource": our_datasource,
    "our-description": our_description,
    "our-empty-text": our_empty_text,
    "our-decimals": our_decimals,
    "our-exemplars": our_exemplars,
    "our-scale": our_scale,
}

OF_QUERIES: dict[str, Callable[[str], Iterator[str]]] = {
    "target-job-rule": target_job,
    "target-instance-rule": target_instance,
    "target-rate-interval-rule": target_rate_interval,
    "target-counter-agg-rule": target_counter_agg,
    "our-quantiles": our_quantiles,
    "our-states": our_states,
    "our-zeros": our_zeros,
}
