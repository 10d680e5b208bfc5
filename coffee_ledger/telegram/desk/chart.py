"""Draw how many payments came each day, legible in light chats and dark ones."""

import io
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

BACKGROUND, INK, FAINT = "#17212b", "#f5f5f5", "#8596a6"
SETTLED, WAITING = "#4fb6a8", "#f2b84b"
"""A ground of its own, so that the picture does not depend on the chat's; the two differ in lightness, too."""


class Day(NamedTuple):
    day: date
    settled: int
    waiting: int


class Labels(NamedTuple):
    title: str
    settled: str
    waiting: str


def draw_days(days: Sequence[Day], labels: Labels) -> bytes:
    """Draw the chart as a PNG. Takes half a second and belongs into a thread."""
    # Imported here: it takes long, and most who start the bot never ask for a picture.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 — see above
    from matplotlib.figure import Figure  # noqa: PLC0415 — see above
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 — see above

    figure = Figure(figsize=(8, 4), dpi=150, facecolor=BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=BACKGROUND)
    names = [f"{one.day:%d.%m}" for one in days]
    settled = [one.settled for one in days]
    waiting = [one.waiting for one in days]
    axes.bar(names, settled, color=SETTLED, label=labels.settled, width=0.75)
    # Hatched, for whoever tells the two colours badly apart.
    axes.bar(names, waiting, bottom=settled, color=WAITING, label=labels.waiting, width=0.75, hatch="//")
    axes.set_title(labels.title, color=INK, fontsize=13, loc="left", pad=12)
    axes.set_xticks(range(0, len(names), 5), names[::5])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, max(1, *(one.settled + one.waiting for one in days)) * 1.15)
    axes.grid(visible=True, axis="y", color=FAINT, alpha=0.25)
    axes.set_axisbelow(True)
    axes.tick_params(colors=FAINT, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(loc="upper left", frameon=False, labelcolor=INK, ncols=2)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
