"""
Draw each dashboard with the values of a running stack, so that the dashboards can be checked without Grafana.

    python -m tools.contact_sheet --project coffee-ledger-demo

The picture is a preview: each panel has the position and the values that Grafana would show, but a simpler design. The preview
reveals an empty panel, a wrong unit or a crowded legend. It does not reveal a wrong Grafana option.
"""

# ruff: noqa: S603, S607, S608 -- developers run this tool with their own docker, and all SQL comes from this repository

import argparse
import html
import io
import json
import math
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image
from playwright.sync_api import sync_playwright

from monitoring.dashboards.queries import ask_now, ask_over, plain_sql
from tests.e2e.browser import CHROMIUM

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures" / "dashboards"
CELL_WIDTH, CELL_HEIGHT, GAP = 64, 38, 8
STEPS = 120
DAY_SECONDS = 86400
COLORS_MAX = 192
COLORS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#37872d", "#fade2a", "#ca95e5")
NAMED = {"green": "#73bf69", "red": "#f2495c", "text": "#ccccdc", "orange": "#ff9830"}
Json: TypeAlias = dict[str, Any]
Line: TypeAlias = tuple[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Source:
    """Reads the values of a panel from a running stack: from its Prometheus or its Postgres, for one time range."""

    prometheus: str
    project: str
    since: datetime
    until: datetime

    @property
    def step_seconds(self) -> int:
        return max(15, int((self.until - self.since).total_seconds() / STEPS))

    def now(self, target: Json) -> list[tuple[Json, float]]:
        found = ask_now(self.prometheus, target["expr"])
        return [(one["metric"], float(one["value"][1])) for one in found]

    def lines(self, target: Json) -> list[Line]:
        step = self.step_seconds
        found = ask_over(self.prometheus, target["expr"], since=self.since, until=self.until, step_seconds=step)
        return [
            (named(target, one["metric"]), [(at, float(value)) for at, value in one["values"] if value != "NaN"])
            for one in found
        ]

    def rows(self, target: Json) -> list[Json]:
        """Query Postgres with Grafana's role and password, so that the query fails if Grafana lacks a privilege."""
        statement = plain_sql(target["rawSql"], self.since, self.until)
        ask = "PGPASSWORD=$(cat /run/secrets/password_grafana_reader) psql -XAtq -h db -U grafana_reader -d ledger -f -"
        command = ["docker", "compose", "--project-name", self.project, "exec", "-T", "db", "sh", "-c", ask]
        wrapped = f"SELECT coalesce(json_agg(t), '[]') FROM ({statement}) AS t"
        done = subprocess.run(command, input=wrapped, capture_output=True, text=True, timeout=30, check=True, cwd=ROOT)
        found: list[Json] = json.loads(done.stdout)
        return found


def named(target: Json, labels: Json) -> str:
    legend: str = target["legendFormat"]
    if legend == "__auto":
        return " ".join(str(value) for key, value in labels.items() if key != "__name__") or "value"
    for key, value in labels.items():
        legend = legend.replace(f"{{{{{key}}}}}", value)
    return legend


# Values as text ---------------------------------------------------------------------------------------------------------


def shown(value: float, defaults: Json) -> str:
    for mapping in defaults.get("mappings", []):
        if f"{value:g}" in mapping["options"]:
            return str(mapping["options"][f"{value:g}"]["text"])
    decimals = int(defaults["decimals"])
    return UNITS.get(defaults["unit"], _plain)(value, decimals)


def _plain(value: float, decimals: int) -> str:
    for limit, sign in ((1e9, " B"), (1e6, " M"), (1e3, " K")):
        if abs(value) >= limit:
            return f"{value / limit:.{max(decimals, 1)}f}{sign}"
    return f"{value:.{decimals}f}"


def _seconds(value: float, decimals: int) -> str:
    if value and abs(value) < 1:
        return f"{value * 1000:.{decimals}f} ms"
    for limit, sign in ((604800, "weeks"), (86400, "days"), (3600, "hours"), (60, "mins")):
        if abs(value) >= limit:
            return f"{value / limit:.{decimals}f} {sign}"
    return f"{value:.{decimals}f} s"


def _bytes(value: float, decimals: int) -> str:
    for power, sign in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if abs(value) >= 1024**power:
            return f"{value / 1024**power:.{decimals}f} {sign}"
    return f"{value:.{decimals}f} B"


def _ago(value: float, _decimals: int) -> str:
    seconds = datetime.now(UTC).timestamp() - value / 1000
    for limit, name in ((604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute")):
        if (count := round(seconds / limit)) >= 1:
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "a few seconds ago"


UNITS: dict[str, Callable[[float, int], str]] = {
    "s": _seconds,
    "percentunit": lambda value, decimals: f"{value * 100:.{decimals}f}%",
    "none": lambda value, decimals: f"{value:.{decimals}f}",
    "bytes": _bytes,
    "Bps": lambda value, decimals: _bytes(value, decimals) + "/s",
    "ops": lambda value, decimals: _plain(value, decimals) + " ops/s",
    "opm": lambda value, decimals: _plain(value, decimals) + " ops/m",
    "dateTimeFromNow": _ago,
}


def color_of(value: float, defaults: Json) -> str:
    for mapping in defaults.get("mappings", []):
        if f"{value:g}" in mapping["options"]:
            return NAMED[mapping["options"][f"{value:g}"]["color"]]
    color = "text"
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = step["color"]
    return NAMED[color]


# Panels -----------------------------------------------------------------------------------------------------------------


def draw(panel: Json, source: Source, width: int, height: int) -> str:
    if "timeFrom" in panel:
        source = replace(source, since=source.until - timedelta(days=int(panel["timeFrom"].removesuffix("d"))))
    inside = DRAWN[panel["type"]](panel, source, width - 20, height - 40)
    return inside or f"<p class=empty>{html.escape(panel['fieldConfig']['defaults']['noValue'])}</p>"


def _values(panel: Json, source: Source) -> Iterator[tuple[str, float]]:
    for target in panel["targets"]:
        if "rawSql" in target:
            for row in source.rows(target):
                texts = [str(value) for value in row.values() if isinstance(value, str)]
                numbers = [(key, float(value)) for key, value in row.items() if isinstance(value, int | float)]
                yield from ((" ".join(texts) or key, value) for key, value in numbers)
        else:
            yield from ((named(target, labels), value) for labels, value in source.now(target) if value == value)


def draw_stat(panel: Json, source: Source, width: int, height: int) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    values = list(_values(panel, source))
    has_names = panel["options"]["textMode"] == "value_and_name"
    size = max(16, min(40, height // 3, int(width / max(1, len(values)) / 5)))
    parts = [
        f"<div><small>{html.escape(name) if has_names else ''}</small>"
        f"<b style='color:{color_of(value, defaults)};font-size:{size}px'>{html.escape(shown(value, defaults))}</b></div>"
        for name, value in values
    ]
    return f"<div class=stats>{''.join(parts)}</div>" if parts else ""


def draw_bars(panel: Json, source: Source, width: int, height: int) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    values = list(_values(panel, source))
    if not values:
        return ""
    most = defaults.get("max") or max(value for _, value in values) or 1
    each = height / len(values)
    parts = []
    for place, (name, value) in enumerate(values):
        top, long = place * each, max(0.0, min(1.0, value / most)) * (width - 220)
        color = color_of(value, defaults)
        parts.append(
            f"<text x=120 y={top + each / 2 + 4} text-anchor=end fill=#ccc>{html.escape(name)}</text>"
            f"<rect x=130 y={top + 3} width={long:.1f} height={each - 6:.1f} fill='{color}' opacity=.7 />"
            f"<text x={138 + long:.1f} y={top + each / 2 + 4} fill='{color}'>{shown(value, defaults)}</text>"
        )
    return _svg(width, height, parts)


SHARES_LEGEND_WIDTH = 190


def draw_shares(panel: Json, source: Source, width: int, height: int) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    values = list(_values(panel, source))
    whole = sum(value for _, value in values)
    if not whole:
        return ""
    # Leave room for the legend beside the ring.
    size = min(height, width - SHARES_LEGEND_WIDTH)
    radius, around = size / 2 - 14, 2 * math.pi * (size / 2 - 14)
    parts, gone = [], 0.0
    for place, (name, value) in enumerate(sorted(values, key=lambda one: -one[1])):
        color, part = COLORS[place % len(COLORS)], value / whole
        parts.append(
            f"<circle cx={size / 2} cy={height / 2} r={radius} fill=none stroke='{color}' stroke-width=22"
            f" stroke-dasharray='{part * around:.1f} {around:.1f}' stroke-dashoffset='{-gone * around:.1f}' />"
            f"<rect x={size + 8} y={14 + place * 20} width=10 height=10 fill='{color}' />"
            f"<text x={size + 24} y={23 + place * 20} fill=#ccc>{html.escape(name)}"
            f" · {shown(value, defaults)} · {part:.0%}</text>"
        )
        gone += part
    return _svg(width, height, parts)


@dataclass(frozen=True)
class Frame:
    """The axes of a chart."""

    left: int
    width: int
    height: int
    since: float
    until: float
    low: float
    high: float

    def x(self, at: float) -> float:
        return self.left + (at - self.since) / (self.until - self.since) * (self.width - self.left)

    def y(self, value: float) -> float:
        return self.height - (value - self.low) / (self.high - self.low or 1) * (self.height - 6)

    def axes(self, defaults: Json) -> Iterator[str]:
        for place in range(5):
            value = self.low + (self.high - self.low) * place / 4
            y = self.y(value)
            yield f"<line x1={self.left} x2={self.width} y1={y:.1f} y2={y:.1f} stroke=#2f3037 />"
            yield f"<text x={self.left - 6} y={y + 4:.1f} text-anchor=end>{shown_on_axis(value, self, defaults)}</text>"
        for place in range(1, 5):
            at = self.since + (self.until - self.since) * place / 5
            label = datetime.fromtimestamp(at, UTC).strftime(
                "%H:%M" if self.until - self.since < 2 * DAY_SECONDS else "%m-%d"
            )
            yield f"<text x={self.x(at):.0f} y={self.height + 15} text-anchor=middle>{label}</text>"


def shown_on_axis(value: float, frame: Frame, defaults: Json) -> str:
    """
    Format a label of the vertical axis. *defaults* are the panel's field defaults, which contain the unit and the decimals.

    If the axis covers a small range of plain numbers or rates, use at least two decimals, as Grafana does to tell labels apart.
    """
    is_fine = (frame.high - frame.low) < 4 and defaults["unit"] in ("short", "ops", "opm")
    return shown(value, defaults | {"decimals": max(int(defaults["decimals"]), 2 if is_fine else 0), "mappings": []})


def draw_lines(panel: Json, source: Source, width: int, height: int) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    lines = [line for target in panel["targets"] for line in _lines_of(target, source) if line[1]]
    if not lines:
        return ""
    custom = defaults.get("custom", {})
    is_stacked = custom.get("stacking", {}).get("mode") == "normal"
    limits = [step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None]
    legend, height = _legend([name for name, _ in lines], width, height)
    layers = list(_stack(lines)) if is_stacked else [(name, points, []) for name, points in lines]
    values = [value for _, points, _ in layers for _, value in points]
    low = defaults.get("min", min(values))
    # If all values are equal, extend the range of the axis. Otherwise the range would be empty, and all labels would be equal.
    high = max([*values, *limits])
    high = (high if high > low else low + 1) * 1.05
    frame = Frame(
        78, width, height - 20, source.since.timestamp(), source.until.timestamp(), low, defaults.get("max", high)
    )
    parts = [*frame.axes(defaults)]
    for place, (_, points, below) in enumerate(layers):
        parts += _layer(frame, points, below, COLORS[place % len(COLORS)], is_bars=custom.get("drawStyle") == "bars")
    for limit in limits:
        y = frame.y(limit)
        parts.append(f"<line x1={frame.left} x2={width} y1={y:.1f} y2={y:.1f} stroke=#f2495c stroke-dasharray='8 5' />")
    return _svg(width, height, parts) + legend


def _lines_of(target: Json, source: Source) -> list[Line]:
    if "expr" in target:
        return source.lines(target)
    found: dict[str, list[tuple[float, float]]] = {}
    for row in source.rows(target):
        at = datetime.fromisoformat(row["time"]).timestamp()
        found.setdefault(row["metric"], []).append((at, row["value"]))
    return list(found.items())


def _stack(lines: Sequence[Line]) -> Iterator[tuple[str, list[tuple[float, float]], list[tuple[float, float]]]]:
    ground: dict[float, float] = {}
    for name, points in lines:
        below = [(at, ground.get(at, 0.0)) for at, _ in points]
        ground |= {at: ground.get(at, 0.0) + value for at, value in points}
        yield name, [(at, ground[at]) for at, _ in points], below


def _layer(
    frame: Frame, points: list[tuple[float, float]], below: list[tuple[float, float]], color: str, *, is_bars: bool
) -> Iterator[str]:
    if is_bars:
        for (at, value), (_, floor) in zip(points, below or [(at, 0.0) for at, _ in points], strict=True):
            tall = frame.y(floor) - frame.y(value)
            wide = frame.x(at + DAY_SECONDS) - frame.x(at)
            yield (
                f"<rect x={frame.x(at):.1f} y={frame.y(value):.1f} width={wide * 0.8:.1f} height={tall:.1f}"
                f" fill='{color}' opacity=.8 />"
            )
        return
    path = " ".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, value in points)
    under = list(reversed(below)) or [(points[-1][0], frame.low), (points[0][0], frame.low)]
    ground = " ".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, value in under)
    yield f"<polygon points='{path} {ground}' fill='{color}' opacity={0.35 if below else 0.07} />"
    yield f"<polyline points='{path}' fill=none stroke='{color}' stroke-width=1.4 />"


def _legend(names: list[str], width: int, height: int) -> tuple[str, int]:
    """Return a legend with the names in one to three lines, and the height that remains for the chart."""
    needed = sum(len(name) * 7.4 + 30 for name in names)
    rows = min(3, max(1, math.ceil(needed / width)))
    parts = "".join(
        f"<span><i style='background:{COLORS[place % len(COLORS)]}'></i>{html.escape(name)}</span>"
        for place, name in enumerate(names)
    )
    return f"<div class=legend style='max-height:{rows * 18}px'>{parts}</div>", height - rows * 18 - 4


def draw_heat(panel: Json, source: Source, width: int, height: int) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    found = {float(name): dict(points) for name, points in source.lines(panel["targets"][0])}
    edges = sorted(found)
    moments = sorted({at for points in found.values() for at in points})
    cells = {
        (at, place): found[edge].get(at, 0) - (found[edges[place - 1]].get(at, 0) if place else 0)
        for place, edge in enumerate(edges)
        for at in moments
    }
    most = max(cells.values(), default=0)
    if most <= 0:
        return ""
    frame = Frame(78, width, height - 20, source.since.timestamp(), source.until.timestamp(), 0, len(edges))
    wide, tall = max(2.0, (width - 78) / max(1, len(moments))), (height - 26) / len(edges)
    parts = [
        f"<rect x={frame.x(at):.1f} y={frame.y(place + 1):.1f} width={wide:.1f} height={tall:.1f} fill='#ff780a'"
        f" opacity={0.15 + 0.85 * value / most:.2f} />"
        for (at, place), value in cells.items()
        if value > 1e-9
    ]
    for place, edge in enumerate(edges):
        label = "∞" if math.isinf(edge) else shown(edge, defaults)
        parts.append(f"<text x=72 y={frame.y(place + 0.5) + 4:.1f} text-anchor=end>{label}</text>")
    return _svg(width, height, parts)


def draw_states(panel: Json, source: Source, width: int, height: int) -> str:
    defaults = panel["fieldConfig"]["defaults"]
    lines = [line for target in panel["targets"] for line in source.lines(target)]
    if not lines:
        return ""
    frame = Frame(100, width, height - 20, source.since.timestamp(), source.until.timestamp(), 0, 1)
    each = (height - 24) / len(lines)
    wide = (width - 100) / ((frame.until - frame.since) / source.step_seconds) + 1
    parts = []
    for place, (name, points) in enumerate(lines):
        parts.append(f"<text x=92 y={place * each + each / 2 + 4} text-anchor=end>{html.escape(name)}</text>")
        parts += [
            f"<rect x={frame.x(at):.1f} y={place * each + each * 0.15:.1f} width={wide:.1f} height={each * 0.7:.1f}"
            f" fill='{color_of(value, defaults)}' />"
            for at, value in points
        ]
    return _svg(width, height, parts)


def draw_table(panel: Json, source: Source, width: int, height: int) -> str:
    columns: Json = next(one for one in panel["transformations"] if one["id"] == "organize")["options"]
    units = {
        one["matcher"]["options"]: {entry["id"]: entry["value"] for entry in one["properties"]}
        for one in panel["fieldConfig"]["overrides"]
    }
    rows = _table_rows(panel, source)
    if not rows:
        return ""
    names = sorted(columns["indexByName"], key=columns["indexByName"].__getitem__)
    titles = [columns["renameByName"][name] for name in names]
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr>{''.join(_td(row.get(name), units[title]) for name, title in zip(names, titles, strict=True))}</tr>"
        for row in rows
    )
    return f"<div class=table style='max-height:{height}px'><table><tr>{head}</tr>{body}</table></div>"


def _table_rows(panel: Json, source: Source) -> list[Json]:
    if "rawSql" in panel["targets"][0]:
        return source.rows(panel["targets"][0])
    merged: dict[tuple[tuple[str, str], ...], Json] = {}
    for target in panel["targets"]:
        value_name = f"Value #{target['refId']}" if len(panel["targets"]) > 1 else "Value"
        for labels, value in source.now(target):
            row = merged.setdefault(tuple(sorted(labels.items())), dict(labels))
            row[value_name] = value
    return list(merged.values())


def _td(value: object, properties: Json) -> str:
    if properties["unit"] == "dateTimeFromNow" and isinstance(value, str):
        value = datetime.fromisoformat(value).timestamp() * 1000
    if isinstance(value, int | float) and properties["unit"] != "string":
        value = shown(float(value), properties)
    return f"<td>{html.escape('' if value is None else str(value))}</td>"


DRAWN: dict[str, Callable[[Json, Source, int, int], str]] = {
    "stat": draw_stat,
    "bargauge": draw_bars,
    "piechart": draw_shares,
    "timeseries": draw_lines,
    "heatmap": draw_heat,
    "state-timeline": draw_states,
    "table": draw_table,
}


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f"<svg width={width} height={height}>{''.join(parts)}</svg>"


# The sheet --------------------------------------------------------------------------------------------------------------

STYLE = """
body{margin:0;background:#111217;color:#ccccdc;font:13px Inter,'DejaVu Sans',sans-serif;width:1536px;padding:12px}
h1{font-size:20px;margin:4px 0 2px}header p{margin:0 0 10px;color:#8e8ea0}
mark{background:#f2cc0c;color:#111;padding:2px 8px;float:right}main{position:relative}
section{position:absolute;background:#181b1f;border:1px solid #2c2f36;border-radius:3px;overflow:hidden;box-sizing:border-box}
section h2{font-size:13px;font-weight:500;margin:7px 10px 4px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
section div.in{margin:0 10px}.row{position:absolute;font-weight:600;font-size:15px}
.stats{display:flex;justify-content:space-around;align-items:center;height:100%;flex-wrap:wrap;text-align:center}
.stats small{display:block;color:#aaa}.empty{color:#8e8ea0;text-align:center;margin-top:30px}
svg text{font-size:11px;fill:#9d9dad}.legend{font-size:11px;overflow:hidden}
.legend span{margin-right:12px;display:inline-block}
.legend i{display:inline-block;width:12px;height:3px;margin-right:5px;vertical-align:middle}
.table{overflow:hidden}table{border-collapse:collapse;width:100%;font-size:12px}
td,th{text-align:left;padding:4px 8px;border-bottom:1px solid #2c2f36}
"""


def sheet(board: Json, source: Source) -> str:
    """Return a dashboard as an HTML page, with the panels placed as in Grafana and all rows unfolded."""
    parts: list[str] = []
    shift = bottom = 0
    for panel in board["panels"]:
        line = panel["gridPos"]["y"] + shift
        if panel["type"] != "row":
            parts.append(_section(panel, source, shift))
            bottom = max(bottom, line + panel["gridPos"]["h"])
            continue
        parts += [_heading(panel, line), *(_section(one, source, shift) for one in panel["panels"])]
        inside = [one["gridPos"]["y"] + one["gridPos"]["h"] + shift for one in panel["panels"]]
        bottom = max([line + 1, *inside])
        shift += bottom - line - 1
    head = f"<h1>{html.escape(board['title'])}</h1><p>{html.escape(board['description'])}</p>"
    return (
        f"<!doctype html><meta charset=utf-8><style>{STYLE}</style><header><mark>preview, not Grafana</mark>{head}</header>"
        f"<main style='height:{bottom * CELL_HEIGHT}px'>{''.join(parts)}</main>"
    )


def _heading(row: Json, line: int) -> str:
    sign = "▸ (folded in Grafana)" if row["collapsed"] else "▾"
    return f"<div class=row style='top:{line * CELL_HEIGHT + 8}px'>{sign} {html.escape(row['title'])}</div>"


def _section(panel: Json, source: Source, shift: int) -> str:
    place = panel["gridPos"]
    width, height = place["w"] * CELL_WIDTH - GAP, place["h"] * CELL_HEIGHT - GAP
    style = (
        f"left:{place['x'] * CELL_WIDTH}px;top:{(place['y'] + shift) * CELL_HEIGHT}px;width:{width}px;height:{height}px"
    )
    inside = draw(panel, source, width, height)
    return (
        f"<section style='{style}'><h2>{html.escape(panel['title'])}</h2>"
        f"<div class=in style='height:{height - 40}px'>{inside}</div></section>"
    )


def photograph(pages: dict[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1560, "height": 900})
        for name, content in pages.items():
            page.set_content(content)
            picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
            picture.convert("RGB").quantize(COLORS_MAX, dither=Image.Dither.NONE).save(
                folder / f"{name}.png", optimize=True
            )
        chromium.close()


def prometheus_of(project: str) -> str:
    """Return the URL of Prometheus with its container's internal address. The container publishes no port on the host."""
    chosen = [
        "--filter",
        f"label=com.docker.compose.project={project}",
        "--filter",
        "label=com.docker.compose.service=prometheus",
    ]
    container = _docker("ps", "--quiet", *chosen).split()[0]
    networks = json.loads(_docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container))
    return f"http://{next(iter(networks.values()))['IPAddress']}:9090"


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=30, check=True).stdout


def draw_sheets(project: str, folder: Path = PICTURES, *, minutes: int, boards: Sequence[str] = ()) -> None:
    """
    Draw the dashboards of a running stack into *folder*, with the values of the last *minutes* minutes.

    *boards* are the uids of the dashboards to draw. If *boards* is empty, draw all dashboards.
    """
    until = datetime.now(UTC)
    source = Source(prometheus_of(project), project, until - timedelta(minutes=minutes), until)
    files = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
    chosen = [path for path in files if not boards or path.stem in boards]
    pages = {path.stem: sheet(json.loads(path.read_text(encoding="utf-8")), source) for path in chosen}
    photograph(pages, folder)
    for uid in pages:
        path = folder / f"{uid}.png"
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the dashboards with the values of a running stack.")
    parser.add_argument("--project", default="coffee-ledger-demo", help="the compose project of the stack")
    parser.add_argument("--minutes", type=int, default=30, help="the length of the time range")
    parser.add_argument("boards", nargs="*", help="the uids of the dashboards; all by default")
    asked = parser.parse_args()
    draw_sheets(asked.project, minutes=asked.minutes, boards=asked.boards)


if __name__ == "__main__":
    main()
