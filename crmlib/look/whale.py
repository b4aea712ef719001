"""The whale curve: what customers earn together, from best to worst."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlib.look import drawing, words
from crmlib.look.labels import place_names, write_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Point = tuple[float, float]


@drawing.in_look
def plot_whale_curve(frame: pd.DataFrame, *, unit: str, ax: Axes | None = None) -> Axes:
    """Cumulative profit over customers from best to worst, its peak, end and break-even marked.

    Break-even is where the best customers have earned what all earn together or, where the total is a loss, where
    the losses have used up the gains.

    Parameters
    ----------
    frame
        One row per customer, best first: `rank_share` (0 to 1, this customer included), `cumulative` and, where
        groups are to be named with what they add, `group`.
    """
    shares, heights = ([0.0, *words.floats(frame["rank_share"])], [0.0, *words.floats(frame["cumulative"])])
    points, texts = _whale_marks(shares, heights, unit)
    ax = drawing.new_axes(ax, 2.7)
    ax.plot(shares, heights, color=drawing.ACTUAL, linewidth=2.2, marker="o" if len(frame) < 13 else "", markersize=4)
    ax.axhline(0, color=drawing.INK, linewidth=0.8)
    ax.axhline(max(heights[-1], 0), color=drawing.ACCENT, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.plot(*zip(*points, strict=True), "o", color=drawing.ACCENT, markersize=7, clip_on=False)
    groups = _name_groups(ax, frame, heights, unit) if "group" in frame else ""
    ax.set_xlim(0, 1)
    ax.margins(y=0.14)
    write_ticks(ax.xaxis, "%", 0, 1)
    write_ticks(ax.yaxis, unit, min(heights), max(heights))
    ax.set(xlabel="Share of customers, most profitable first", ylabel=f"Cumulative, {unit}")
    along = np.linspace(0, 1, 120)
    drawn = [(at, y) for at in along for y in (np.interp(at, shares, heights), max(heights[-1], 0), 0)]
    place_names(ax, points, texts, drawn)
    told = "; ".join(" ".join(text.split()) for text in texts)
    return drawing.describe(ax, f"Whale curve of {words.counted(len(frame), 'customer')}. {told}.", groups)


def _whale_marks(shares: Sequence[float], heights: Sequence[float], unit: str) -> tuple[list[Point], list[str]]:
    end, peak = heights[-1], max(range(len(heights)), key=heights.__getitem__)
    last, text = (shares[-1], end), words.one_unit([end, heights[peak]])
    if not peak or heights[peak] <= end:
        return [last], [f"End: {unit} {text(end)}; no customer {'loses' if end > 0 else 'earns'}"]
    even = next(row for row, y in enumerate(heights) if (y >= end if end > 0 else row > peak and y <= 0))
    told = "earn as much as all together" if end > 0 else "and the gains are used up"
    best, part = words.percent(shares[peak], digits=0), words.percent(shares[even], digits=0)
    return [last, (shares[peak], heights[peak]), (shares[even], heights[even])], [
        f"End: {unit} {text(end)}", f"Peak: {unit} {text(heights[peak])} from the best {best}",
        f"Break-even: {'the best ' if end > 0 else ''}{part} of customers\n{told}",
    ]  # fmt: skip


def _name_groups(ax: Axes, frame: pd.DataFrame, heights: Sequence[float], unit: str) -> str:
    names = list(dict.fromkeys(frame["group"]))
    ends = [int((frame["group"].isin(names[: place + 1])).sum()) for place in range(len(names))]
    added = [heights[last] - heights[first] for first, last in zip([0, *ends], ends, strict=False)]
    text, told = words.one_unit([*added, max(heights)], signed=True), []
    style: Any = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 9}
    for place, (name, first, last) in enumerate(zip(names, [0, *ends], ends, strict=False)):
        edge, share = first / len(frame), last / len(frame)
        ax.axvspan(edge, share, color="white" if place % 2 else drawing.BAND, linewidth=0, zorder=-1)
        label = f"{textwrap.fill(str(name), max(8, int((share - edge) * 95)))}\n{text(added[place])}"
        ax.annotate(label, ((edge + share) / 2, 1), (0, 4), xycoords=("data", "axes fraction"), **style)
        told.append(f"{name} ({last - first}): {words.amount(added[place], unit)}")
    return "; ".join(told) + "."
