"""Other lenses beside the rules: the matrices of the field, there to be disagreed with."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crmlib import criteria
from crmlib.accounts import rank_share
from crmlib.books.stored import Books, Frame
from crmlib.declared.periods import Period
from crmlib.segments import account_points, read_segments


@dataclass(frozen=True)
class Lens:
    """A matrix: what is across and up, the cells (upper left, upper right, lower left, lower right) and what each means."""

    name: str
    across: str
    up: str
    cells: tuple[str, str, str, str]
    stances: tuple[str, str, str, str]
    fixed: float | None = None  # cut across; the medians otherwise

    def cuts(self, placed: Frame) -> tuple[float, float]:
        """Where the cells meet."""
        across = placed[self.across].median() if self.fixed is None else self.fixed
        return float(across), float(placed[self.up].median())


LENSES = (
    # Shapiro, Rangan, Moriarty and Ross, Manage customers for profits (not just sales), Harvard Business Review, 1987
    Lens("price", "net_price_index", "cost_to_serve_share", ("Aggressive", "Carriage trade", "Bargain basement", "Passive"), ("change", "keep", "keep", "invest"), 1.0),
    # Fiocca, Account portfolio analysis for strategy development, Industrial Marketing Management, 1982
    Lens("relationship", "relationship", "attractiveness", ("Build", "Deepen", "Reduce effort", "Harvest"), ("invest", "invest", "change", "keep")),
    Lens("potential", "value_now", "potential", ("Grow", "Grow and protect", "Keep effort low", "Protect"), ("invest", "invest", "change", "keep")),
)  # fmt: skip


def lens(name: str) -> Lens:
    """The matrix of that name: price, relationship or potential."""
    return next(one for one in LENSES if one.name == name)


def axes(books: Books, period: Period, differentiated: Frame) -> Frame:
    """Where each account that bought stands in the matrices of relationship and potential, each from 0 to 1.

    Parameters
    ----------
    differentiated
        As `differentiate` gives it for the period.

    Returns
    -------
    By account: attractiveness, relationship, potential (mean points of the criteria with that axis, over what is there) and value_now (rank share of
    the net margin); an axis without criteria is not there.
    """
    measured = differentiated.drop_duplicates("account_id").set_index("account_id")
    register = criteria.read_criteria(books)
    given = account_points(books, period, measured, register, together=read_segments(books).together)
    chosen = {
        axis: [c.id for c in register.criteria if axis in c.axes and c.id in given]
        for axis in ("attractiveness", "relationship", "potential")
    }
    means = {axis: given[ids].mean(axis=1) for axis, ids in chosen.items() if ids}
    return pd.DataFrame(
        {**means, "value_now": rank_share(measured["net_margin"], measured["sales"] > 0).reindex(given.index)}
    )


def matrices(differentiated: Frame, axis_points: Frame, priced: Frame) -> Frame:
    """Every lens beside the decision, for customers who bought.

    Parameters
    ----------
    axis_points, priced
        As `axes`, and `profitability.net_price_and_cost_to_serve` (by customer).

    Returns
    -------
    One row per customer: customer_id, segment, stance, reason, the values across and up, and for each lens `…_cell` and `…_stance`.
    """
    prices = priced.set_index("customer_id")[["net_price_index", "cost_to_serve_share"]]
    rows = differentiated[differentiated["sales"] > 0][
        ["customer_id", "customer_name", "account_id", "segment", "stance", "reason", "sales", "net_margin"]
    ]
    rows = rows.join(prices, on="customer_id").join(axis_points, on="account_id").reset_index(drop=True)
    for one in LENSES:
        if not {one.across, one.up} <= set(rows):
            continue
        if (
            len(rows) == 1 or rows[[one.across, one.up]].nunique().min() > 1
        ):  # an axis on which all are alike places nobody
            rows = rows.join(_cells(rows, one))
    return rows


def _cells(placed: Frame, one: Lens) -> Frame:
    across, up = one.cuts(placed)
    known = placed[[one.across, one.up]].notna().all(axis=1)
    place = 2 * (placed[one.up] < up).astype(int) + (placed[one.across] >= across).astype(int)
    pick = {f"{one.name}_cell": one.cells, f"{one.name}_stance": one.stances}
    return pd.DataFrame({name: place.map(dict(enumerate(texts))).where(known, "") for name, texts in pick.items()})


def disagreements(placed: Frame) -> Frame:
    """Customers for whom a lens says invest and the decision change, or the reverse, the largest first.

    Parameters
    ----------
    placed
        As `matrices`.

    Returns
    -------
    One row per customer: customer_id, customer_name, segment, sales, net_margin, lenses ('relationship: Build; …') and why (what they see).
    """
    parts = [placed.iloc[:0].assign(lenses="", why="")]
    for one in (each for each in LENSES if f"{each.name}_cell" in placed):
        pairs = zip(placed["stance"], placed[f"{one.name}_stance"], strict=True)
        odd = placed[[set(pair) == {"invest", "change"} for pair in pairs]]
        told = [
            [f"{name.replace('_', ' ')} {v:.2f} ({'at least' if v >= cut else 'below'} {cut:.2f})" for v in odd[name]]
            for name, cut in zip((one.across, one.up), one.cuts(placed), strict=True)
        ]
        parts.append(
            odd.assign(
                lenses=f"{one.name}: " + odd[f"{one.name}_cell"], why=list(map(", ".join, zip(*told, strict=True)))
            )
        )
    kept = ["customer_id", "customer_name", "segment", "sales", "net_margin"]
    rows = pd.concat(parts).groupby(kept, sort=False)[["lenses", "why"]].agg("; ".join).reset_index()
    return rows.sort_values(["sales", "customer_id"], ascending=[False, True], ignore_index=True)
