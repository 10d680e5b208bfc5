"""Convert a board to the JSON of a Grafana dashboard, in the classic format with schema version 42."""

# ruff: noqa: FBT003 -- the SDK's builders take booleans as positional arguments

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, assert_never

from grafana_foundation_sdk.builders import (
    bargauge,
    dashboard,
    heatmap,
    piechart,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import (
    common as shapes,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heat_models
from grafana_foundation_sdk.models import piechart as pie_models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.dashboards.parts import BAD, COLUMNS, GOOD, NOTHING, Board, Column, Kind, Limit, Panel, Query, Row, Sql
from monitoring.rules import RUNBOOK

METRICS = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
POSTGRES = common.DataSourceRef(type_val="grafana-postgresql-datasource", uid="postgres")
TAG = "coffee-ledger"
HERE = 'job=~"$job",instance=~"$instance"'
SCHEMA_VERSION = 42
STACKED_FILL, LINE_FILL = 40, 8
EVERY_ROW_MAX = 50


def write_board(board: Board) -> str:
    """Return the JSON of the board. The same board always gives the same text, so that diffs show only real changes."""
    written = json.loads(JSONEncoder().encode(_dashboard(board).build()))
    for number, panel in enumerate(_all_panels(written["panels"]), start=1):
        panel["id"] = number
    return json.dumps(written | {"schemaVersion": SCHEMA_VERSION}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _all_panels(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from panel.get("panels", [])


def _dashboard(board: Board) -> dashboard.Dashboard:
    written = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time(board.since, "now")
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .variables([_datasource_variable(), *_target_variables()])
        .annotations([*_annotations()])
        .links([_other_boards()])
    )
    line = 0
    for row in board.rows:
        line = _add_row(written, row, line)
    return written


def _add_row(written: dashboard.Dashboard, row: Row, line: int) -> int:
    """Add the row to the dashboard at *line* of the grid. Return the first line below the row."""
    heading = dashboard.Row(row.title).collapsed(row.folded).grid_pos(models.GridPos(x=0, y=line, w=COLUMNS, h=1))
    placed, after = _place(row.panels, line + 1)
    if row.folded:
        for panel, place in placed:
            heading.with_panel(_panel(panel, place))
        written.with_row(heading)
        return line + 1
    written.with_row(heading)
    for panel, place in placed:
        written.with_panel(_panel(panel, place))
    return after


def _place(panels: tuple[Panel, ...], line: int) -> tuple[list[tuple[Panel, models.GridPos]], int]:
    """
    Place the panels from left to right.

    Begin a new line if a panel does not fit. Return each panel with its place, and the first line below the panels.
    """
    placed = []
    column = height = 0
    for panel in panels:
        if column + panel.width > COLUMNS:
            line, column, height = line + height, 0, 0
        placed.append((panel, models.GridPos(x=column, y=line, w=panel.width, h=panel.height)))
        column, height = column + panel.width, max(height, panel.height)
    return placed, line + height


# Variables, annotations, links ------------------------------------------------------------------------------------------


def _datasource_variable() -> dashboard.DatasourceVariable:
    chosen = models.VariableOption(selected=True, text="Prometheus", value="prometheus")
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus").current(chosen)


def _target_variables() -> Iterator[dashboard.QueryVariable]:
    for name, query in (("job", "label_values(up, job)"), ("instance", 'label_values(up{job=~"$job"}, instance)')):
        yield (
            dashboard.QueryVariable(name)
            .label(name.capitalize())
            .datasource(METRICS)
            .query({"query": query, "refId": f"variable-{name}"})
            .definition(query)
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".+")
            .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
        )


def _annotations() -> Iterator[dashboard.AnnotationQuery]:
    """Mark the times of deployments, restarts and alerts, because they may explain a change in the panels."""
    # Mark a version as a deployment only if it did not run in the last hour. If this time were much shorter, a version that
    # runs all the time would look like a new deployment after each missed scrape.
    before = "max by (job, revision) (max_over_time(ledger_build_info[1h] offset 1m))"
    marks = (
        ("Deployments", f"max by (job, revision) (ledger_build_info) unless {before}", "{{job}} {{revision}}", "blue"),
        ("Restarts", "changes(process_start_time_seconds[1m]) > 0", "{{job}} restarted", "orange"),
        ("Alerts", 'ALERTS{alertstate="firing",alertname!="Watchdog"}', "{{alertname}}", "red"),
    )
    for name, expr, title, color in marks:
        yield (
            dashboard.AnnotationQuery()
            .name(name)
            .datasource(METRICS)
            .enable(True)
            .expr(expr)
            .title_format(title)
            .step("60s")
            .icon_color(color)
        )


def _other_boards() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Coffee Ledger")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .tooltip("The other dashboards, with the same time range, job and instance")
        .as_dropdown(True)
        .keep_time(True)
        .include_vars(True)
    )


# Panels -----------------------------------------------------------------------------------------------------------------


def _panel(panel: Panel, place: models.GridPos) -> Builder[models.Panel]:
    drawn: Any = _DRAWN[panel.kind](panel)
    drawn = (
        drawn.title(panel.title)
        .description(panel.about)
        .datasource(POSTGRES if isinstance(panel.queries, Sql) else METRICS)
        .grid_pos(place)
        .unit(str(panel.unit))
        .decimals(panel.decimals)
        .no_value(panel.empty)
        .mappings(_mappings(panel))
        .targets([*_targets(panel)])
        .links([_runbook(alert) for alert in panel.alerts])
        .thresholds(_thresholds(panel.limit))
    )
    return _scaled(drawn, panel)


def _scaled(drawn: Any, panel: Panel) -> Builder[models.Panel]:
    if panel.least is not None and panel.kind not in (Kind.TABLE, Kind.STATES):
        drawn.min(panel.least)
    if panel.most is not None:
        drawn.max(panel.most)
    if panel.span:
        drawn.time_from(panel.span)
    if panel.limit:
        drawn.color_scheme(dashboard.FieldColor().mode(_limit_colors(panel)))
    scaled: Builder[models.Panel] = drawn
    return scaled


def _limit_colors(panel: Panel) -> models.FieldColorModeId:
    """Return the color mode of a panel with a limit. Lines keep their own colors. Other panels are green or red, by their value."""
    return models.FieldColorModeId.PALETTE_CLASSIC if panel.kind is Kind.LINES else models.FieldColorModeId.THRESHOLDS


def _thresholds(limit: Limit | None) -> dashboard.ThresholdsConfig:
    below, above = (NOTHING, NOTHING) if limit is None else (BAD, GOOD) if limit.is_floor else (GOOD, BAD)
    steps = [models.Threshold(value=None, color=below)]
    if limit:
        steps.append(models.Threshold(value=float(limit.value), color=above))
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _mappings(panel: Panel) -> list[models.ValueMapping]:
    if not panel.words:
        return []
    options = {
        value: models.ValueMappingResult(text=word.text, color=word.color, index=place)
        for place, (value, word) in enumerate(panel.words.items())
    }
    return [models.ValueMap(options)]


def _runbook(alert: str) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(f"Runbook: {alert}")
        .type(models.DashboardLinkType.LINK)
        .url(f"{RUNBOOK}#{alert.lower()}")
        .target_blank(True)
    )


@dataclass
class _SqlTarget(Builder[Dataquery], Dataquery):
    """Builds a panel's query to Postgres, because the SDK has no builder for queries to Postgres."""

    sql: Sql

    def build(self) -> Dataquery:
        return self

    def to_json(self) -> dict[str, Any]:
        return {
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": "time_series" if self.sql.is_series else "table",
            "rawQuery": True,
            "rawSql": self.sql.statement,
            "refId": "A",
        }


def _targets(panel: Panel) -> Iterator[Builder[Dataquery]]:
    if isinstance(panel.queries, Sql):
        yield _SqlTarget(panel.queries)
        return
    for place, query in enumerate(panel.queries):
        yield _target(panel, query, chr(ord("A") + place))


def _target(panel: Panel, query: Query, ref_id: str) -> prometheus.Dataquery:
    target = (
        prometheus.Dataquery()
        .datasource(METRICS)
        .ref_id(ref_id)
        .expr(query.expr.replace("$here", HERE))
        .legend_format(query.legend or "__auto")
        .exemplar(query.exemplars)
    )
    match panel.kind:
        case Kind.TABLE:
            return target.instant().format(PromQueryFormat.TABLE)
        case Kind.STAT | Kind.BARS | Kind.SHARES:
            return target.instant().format(PromQueryFormat.TIME_SERIES)
        case Kind.HEAT:
            return target.range().format(PromQueryFormat.HEATMAP)
        case Kind.LINES | Kind.STATES:
            return target.range().format(PromQueryFormat.TIME_SERIES)
        case never:
            assert_never(never)


def _reduction(panel: Panel) -> shapes.ReduceDataOptions:
    chosen = shapes.ReduceDataOptions().calcs(["lastNotNull"]).fields("")
    if panel.all_rows:
        return chosen.values(True).limit(EVERY_ROW_MAX)
    return chosen.values(False)


def _stat(panel: Panel) -> stat.Panel:
    is_colored = panel.limit is not None or bool(panel.words)
    return (
        stat.Panel()
        .reduce_options(_reduction(panel))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE if is_colored else common.BigValueColorMode.NONE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME if _has_names(panel) else common.BigValueTextMode.VALUE)
        .justify_mode(common.BigValueJustifyMode.CENTER)
    )


def _has_names(panel: Panel) -> bool:
    return isinstance(panel.queries, Sql) or any(query.legend for query in panel.queries)


def _lines(panel: Panel) -> timeseries.Panel:
    drawn = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(STACKED_FILL if panel.stacked else LINE_FILL)
        .show_points(common.VisibilityMode.AUTO)
        .legend(
            shapes.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
        .tooltip(shapes.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    )
    if panel.stacked:
        drawn.stacking(shapes.StackingConfig().mode(common.StackingMode.NORMAL))
    if isinstance(panel.queries, Sql):
        drawn.draw_style(common.GraphDrawStyle.BARS).fill_opacity(80)
    if panel.limit:
        drawn.thresholds_style(shapes.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
        # Extend the axis, so that the limit is visible even if it is above all values.
        drawn.axis_soft_max(float(panel.limit.value))
    return drawn


def _bars(panel: Panel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .reduce_options(_reduction(panel))
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .value_mode(common.BarGaugeValueMode.TEXT if panel.limit is None else common.BarGaugeValueMode.COLOR)
    )


def _shares(panel: Panel) -> piechart.Panel:
    return (
        piechart.Panel()
        .pie_type(pie_models.PieChartType.DONUT)
        .reduce_options(_reduction(panel))
        .legend(
            piechart.PieChartLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.RIGHT)
            .show_legend(True)
            .values([pie_models.PieChartLegendValues.VALUE, pie_models.PieChartLegendValues.PERCENT])
        )
    )


def _heat(panel: Panel) -> heatmap.Panel:
    return (
        heatmap.Panel()
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions().mode(heat_models.HeatmapColorMode.SCHEME).scheme("Oranges").steps(32).min(0)
        )
        .y_axis(heatmap.YAxisConfig().unit(str(panel.unit)).decimals(panel.decimals))
        .filter_values(heatmap.FilterValueRange().le(1e-9))
    )


def _states(panel: Panel) -> statetimeline.Panel:
    return statetimeline.Panel().show_value(common.VisibilityMode.NEVER).merge_values(True).row_height(0.7)


def _table(panel: Panel) -> table.Panel:
    drawn = table.Panel().cell_height(common.TableCellHeight.SM).transformations([_merged(), _named(panel.columns)])
    for column in panel.columns:
        drawn.override_by_name(column.title, _column(column))
    return drawn


def _merged() -> models.DataTransformerConfig:
    return models.DataTransformerConfig("merge", options={})


def _named(columns: tuple[Column, ...]) -> models.DataTransformerConfig:
    """Return a transformation that shows only *columns*, in this order and with their titles."""
    options = {
        "includeByName": {column.name: True for column in columns},
        "indexByName": {column.name: place for place, column in enumerate(columns)},
        "renameByName": {column.name: column.title for column in columns},
    }
    return models.DataTransformerConfig("organize", options=options)


def _column(column: Column) -> list[models.DynamicConfigValue]:
    properties = [
        models.DynamicConfigValue("unit", str(column.unit)),
        models.DynamicConfigValue("decimals", column.decimals),
    ]
    if column.width:
        properties.append(models.DynamicConfigValue("custom.width", column.width))
    return properties


_DRAWN: dict[Kind, Callable[[Panel], Any]] = {
    Kind.STAT: _stat,
    Kind.LINES: _lines,
    Kind.BARS: _bars,
    Kind.SHARES: _shares,
    Kind.HEAT: _heat,
    Kind.STATES: _states,
    Kind.TABLE: _table,
}
