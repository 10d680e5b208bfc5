"""The chart of /stats: a bar for each day, drawn as SVG and rendered to a PNG, because Telegram shows no SVG."""

import html
import itertools
import math
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

BACKGROUND, INK, FAINT = "#17212b", "#f5f5f5", "#8596a6"
SETTLED, WAITING, HATCHED = "#4fb6a8", "#f2b84b", "url(#hatch)"
"""
The colours of the chart.

The picture has its own background, so that it is legible in light and dark chats. The colours of the bars also differ in
lightness, for people who cannot distinguish the hues.
"""

FONT = "Open Sans"
WIDTH, HEIGHT = 800, 400
LEFT, TOP, RIGHT, BOTTOM = 52, 92, 784, 364
"""
The edges of the area with the bars, in units of the SVG.

The title and the legend are above the area, the dates are below it, and the numbers of the axis are on its left.
"""

LEGEND_COLUMN = 200
PIXELS_PER_UNIT = 1.5
BAR_SHARE = 0.75
"""The width of a bar, as a share of the width of its day."""

LINES_MAX = 7
"""The maximum number of grid lines above the zero line."""

DAYS_PER_LABEL = 5
"""Only every fifth day has a label, because the labels of thirty days would overlap."""


class Day(NamedTuple):
    day: date
    settled: int
    waiting: int


class Labels(NamedTuple):
    title: str
    settled: str
    waiting: str


def draw_days(days: Sequence[Day], labels: Labels) -> bytes:
    """Draw the number of payments per day as a PNG. Call this function in a thread, because drawing takes some 50 ms."""
    # Import fontpkg and resvg_py here, because most processes never draw a chart.
    import fontpkg  # type: ignore[import-untyped]  # noqa: PLC0415 — few processes need fontpkg; fontpkg declares no types
    import resvg_py  # noqa: PLC0415 — few processes need resvg_py

    return resvg_py.svg_to_bytes(
        svg_string=compose_svg(days, labels),
        zoom=PIXELS_PER_UNIT,
        # Use only the font of the package fontpkg, so that the chart does not depend on the machine's fonts. The container
        # image has no fonts.
        skip_system_fonts=True,
        font_files=[str(fontpkg.path(FONT))],
        font_family=FONT,
    )


def compose_svg(days: Sequence[Day], labels: Labels) -> str:
    top, step = choose_axis(max((one.settled + one.waiting for one in days), default=0))
    unit = (BOTTOM - TOP) / top
    slot = (RIGHT - LEFT) / max(1, len(days))
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-size="14" fill="{FAINT}">',
            # The bars of waiting charges are hatched, for operators who cannot distinguish the two colours.
            '<pattern id="hatch" width="9" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">',
            f'<rect width="9" height="9" fill="{WAITING}"/><rect width="1.5" height="9" fill="{BACKGROUND}"/></pattern>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{BACKGROUND}"/>',
            _text(labels.title, LEFT, 34, f'font-size="18" fill="{INK}"'),
            _legend_entry(labels.settled, LEFT, SETTLED),
            _legend_entry(labels.waiting, LEFT + LEGEND_COLUMN, HATCHED),
            *(_grid_line(number, BOTTOM - number * unit) for number in range(0, top + 1, step)),
            *(_bar(one, LEFT + number * slot, slot, unit) for number, one in enumerate(days)),
            *(
                _text(f"{one.day:%d.%m}", LEFT + (number + 0.5) * slot, BOTTOM + 20, 'text-anchor="middle"')
                for number, one in enumerate(days)
                if number % DAYS_PER_LABEL == 0
            ),
            "</svg>",
        )
    )


def choose_axis(highest: int) -> tuple[int, int]:
    """
    Return the number at the top of the axis, and the distance between two grid lines: 1, 2, 5, 10, 20, 50 and so on.

    Without payments, the axis ends at 1, because an axis needs a height.
    """
    highest = max(1, highest)
    steps = (factor * 10**power for power in itertools.count() for factor in (1, 2, 5))
    step = next(step for step in steps if step * LINES_MAX >= highest)
    return math.ceil(highest / step) * step, step


def _legend_entry(label: str, x: int, fill: str) -> str:
    return _rect(x, 56, 28, 11, fill) + _text(label, x + 38, 66, f'fill="{INK}"')


def _grid_line(number: int, y: float) -> str:
    line = f'<path d="M{LEFT} {y:.2f}H{RIGHT}" stroke="{FAINT}" stroke-opacity="0.25"/>'
    return line + _text(f"{number}", LEFT - 8, y + 5, 'text-anchor="end"')


def _bar(one: Day, x: float, slot: float, unit: float) -> str:
    """
    Draw the settled charges of a day, and the waiting charges on top of them.

    *slot* is the width of a day, and *unit* is the height of one charge.
    """
    x += slot * (1 - BAR_SHARE) / 2
    y_settled = BOTTOM - one.settled * unit
    return "".join(
        (
            _rect(x, y_settled, slot * BAR_SHARE, one.settled * unit, SETTLED),
            _rect(x, y_settled - one.waiting * unit, slot * BAR_SHARE, one.waiting * unit, HATCHED),
        )
    )


def _rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{fill}"/>'


def _text(words: str, x: float, y: float, attributes: str) -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" {attributes}>{html.escape(words)}</text>'
