"""Charts of a plan and of what was promised: milestones over time, and a share by month within its control limits."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from crmlib.look import drawing, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NARROW = 0.8  # days: a milestone of one day is seen


@drawing.in_look
def plot_gantt(frame: pd.DataFrame, *, today: date, most: int = 30, ax: Axes | None = None) -> Axes:
    """Milestones as bars over time: done solid, planned an outline, what goes beyond the plan hatched; a line for today.

    Parameters
    ----------
    frame
        One row per milestone, by name, in the order to be drawn: start and end (as planned), begins and ends (expected, or done), state (done, late,
        will be late, on plan) and critical, whose names are bold.
    most
        Rows drawn; of more the alternative text says how many are left out.
    """
    import matplotlib.dates

    dates: Any = matplotlib.dates  # has no types
    rows = frame.head(most)
    ax = drawing.new_axes(ax, 0.8 + 0.27 * len(rows))
    columns = ("start", "end", "begins", "ends")
    start, end, begins, ends = (dates.date2num(pd.to_datetime(rows[c]).to_numpy()) for c in columns)
    done, places = (rows["state"] == "done").to_numpy(), range(len(rows))
    whole: Any = {"height": 0.6, "linewidth": 1.0}
    ax.barh(places, (end - start).clip(NARROW), left=start, color="white", edgecolor=drawing.ACTUAL, **whole)
    spent = (ends - begins).clip(NARROW)[done]
    ax.barh(np.flatnonzero(done), spent, left=begins[done], color=drawing.ACTUAL, height=0.6)
    late = ends > end
    ax.barh(np.flatnonzero(late), (ends - end)[late], left=end[late], color="white", edgecolor=drawing.WORSE, hatch="////", **whole)  # fmt: skip
    ax.margins(x=0.02)
    ax.axvline(dates.date2num(today), color=drawing.ACCENT, linewidth=1.2)
    style: Any = {"color": drawing.ACCENT, "ha": "center", "va": "bottom", "fontsize": 8.5}
    ax.text(dates.date2num(today), -0.62, f"{today:%d %b %Y}", **style)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_yticks(places, [words.wrapped(name, 44) for name in rows.index], linespacing=0.9)
    for critical, tick in zip(rows["critical"], ax.get_yticklabels(), strict=True):
        tick.set_fontweight("bold" if critical else "normal")
    ax.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=8))
    ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(ax.xaxis.get_major_locator()))
    ax.set_xlabel("outline: planned; solid: done; hatched: beyond the plan; bold: critical path", loc="left")
    behind = [f"{name} ({state})" for name, state in rows["state"].items() if str(state).endswith("late")]
    left = f"{len(frame) - most} more are not drawn." if len(frame) > most else ""
    return drawing.describe(ax, f"Plan of {words.counted(len(frame), 'milestone')}. Behind: {'; '.join(behind) or 'none'}.", left)  # fmt: skip


@drawing.in_look
def plot_control(frame: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """A share by month with its mean and control limits, which hang on each month's number of cases, and what was agreed; months outside are marked.

    Parameters
    ----------
    frame
        One row per month, in order: month, share, mean, lower, upper, target and outside.
    """
    ax = drawing.new_axes(ax, 2.4)
    places, values = range(len(frame)), frame[["share", "lower", "upper"]].astype(float)
    ax.fill_between(places, values["lower"], values["upper"], step="mid", color=drawing.BAND, linewidth=0)
    ax.plot(places, values["share"], color=drawing.ACTUAL, linewidth=1.4, marker="o", markersize=3.5)
    out = np.flatnonzero(frame["outside"].to_numpy(bool))
    ax.plot(out, values["share"].to_numpy()[out], "s", color=drawing.WORSE, markersize=8)
    for column, style in (("mean", "-"), ("target", (0, (4, 3)))):
        level, color = float(frame[column].iloc[-1]), drawing.ACCENT if column == "target" else drawing.MANY
        ax.axhline(level, color=color, linewidth=1, linestyle=cast(Any, style))
    ends = {"mean": float(frame["mean"].iloc[-1]), "agreed": float(frame["target"].iloc[-1])}
    low, high = ax.get_ylim()
    apart = 0.09 * (high - low) if abs(ends["mean"] - ends["agreed"]) < 0.09 * (high - low) else 0.0
    for name, level in ends.items():
        up = apart if level == max(ends.values()) else 0.0
        ax.annotate(f"{name} {words.percent(level)}", (1.01, level + up), xycoords=("axes fraction", "data"), va="center", fontsize=8.5, annotation_clip=False)  # fmt: skip
    shown = [*range(0, len(frame), max(1, len(frame) // 6))]
    ax.set_xticks(shown, [f"{frame['month'].iloc[place]:%b %Y}" for place in shown])
    ax.yaxis.set_major_formatter(lambda value, _: words.percent(value, digits=0))
    ax.set_xlabel("band: between the control limits of the month's number of cases; square: outside", loc="left")
    lowest = int(values["share"].to_numpy().argmin())
    told = f"Share in {words.counted(len(frame), 'month')}, mean {words.percent(ends['mean'])}, agreed {words.percent(ends['agreed'])}."
    return drawing.describe(ax, told, f"Lowest: {words.percent(values['share'][lowest])} in {frame['month'][lowest]:%B %Y}; outside the limits: {len(out)}.")  # fmt: skip
