"""Draw the results of one benchmark run as bars, and the bounds of benchmarks/figures.py as lines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from benchmarks.figures import FIGURES, Figure, Results
from benchmarks.guessing import AFTER, BEFORE, GROUND, INK

ROW_INCHES = 0.36
BAR_HEIGHT = 0.56
REACH = 1.15
"""The horizontal scale ends at this multiple of the largest number, so that there is room for a label."""

LEGEND = (
    "Figures, each on its own scale: ↑ more is better, ↓ less is better.\n"
    "Dark: the bound (solid line) is reached. Dotted line: the aim."
)


def draw(results: Results, rates: Mapping[str, float], conditions: str, path: Path) -> None:
    """Draw two charts: the deliveries per second of the webhook and comparable programs, and *results* with their bounds."""
    measured = [figure for figure in FIGURES if figure.number in results]
    heights = [len(rates) + 2, len(measured) + 2]
    with mpl.rc_context({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.family": "sans-serif"}):
        canvas = Canvas(figsize=(11, ROW_INCHES * sum(heights) + 1), facecolor=GROUND, layout="constrained")
        upper, lower = canvas.subplots(2, 1, height_ratios=heights)
        _draw_rates(upper, rates)
        _draw_figures(lower, measured, results)
        canvas.suptitle(fill(conditions, 100), color=INK, fontsize=9)
        canvas.savefig(path, metadata={"Creator": None, "Date": None, "Title": "Speed of the webhook and its peers"})


def _draw_rates(axes: Axes, rates: Mapping[str, float]) -> None:
    bars = axes.barh(list(rates), list(rates.values()), height=BAR_HEIGHT, color=[_color(name) for name in rates])
    axes.bar_label(bars, [f"{rate:,.0f}/s" for rate in rates.values()], color=INK, fontsize=9, padding=3)
    axes.set_xlim(0, max(rates.values()) * REACH)
    axes.set_title("Deliveries per second. Only bare aiohttp stores nothing.", color=INK, fontsize=11, loc="left")
    _clear(axes, len(rates))


def _color(name: str) -> str:
    return AFTER if name.startswith("webhook") else BEFORE


def _draw_figures(axes: Axes, measured: Sequence[Figure], results: Results) -> None:
    """Draw each measured figure in its own row. Each row has its own scale, because the units of the figures differ."""
    for row, figure in enumerate(measured):
        value = results[figure.number].value
        bounds = [bound for bound in (figure.at_least, figure.aim) if bound is not None]
        scale = max(value, *bounds)
        axes.barh(row, value / scale, height=BAR_HEIGHT, color=AFTER if figure.is_reached(value) else BEFORE)
        for bound, style in zip(bounds, ("solid", "dotted"), strict=False):
            axes.plot([bound / scale] * 2, [row - 0.45, row + 0.45], color=INK, linestyle=style, linewidth=1.4)
        axes.text(1.02, row, figure.show(value), va="center", color=INK, fontsize=9)
    axes.set_yticks(range(len(measured)), [_label(one) for one in measured])
    axes.set_xlim(0, REACH)
    axes.set_title(LEGEND, color=INK, fontsize=11, loc="left")
    _clear(axes, len(measured))


def _label(figure: Figure) -> str:
    return f"{figure.number}   {figure.name}  {'↓' if figure.lower_is_better else '↑'}"


def _clear(axes: Axes, rows: int) -> None:
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_facecolor(GROUND)
    axes.tick_params(colors=INK, length=0, labelsize=9)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
