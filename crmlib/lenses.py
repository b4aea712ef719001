"""Other lenses beside the rules: the matrices of the field, there to be disagreed with."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from crmlib import criteria, profitability
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

    def cuts(self, points: Frame) -> tuple[float, float]:
        """Where the cells meet."""
        across = points[self.across].median() if self.fixed is None else self.fixed
        return float(across), float(points[self.up].median())

    def places(self, points: Frame) -> bool:
        """Whether this lens tells one from another: both axes are known, and not all are alike on one."""
        known = points.reindex(columns=[self.across, self.up]).dropna()
        return len(points) == len(known) == 1 or bool(known.nunique().min() > 1)


LENSES = (
    # Shapiro, Rangan, Moriarty and Ross, Manage customers for profits (not just sales), Harvard Business Review, 1987
    Lens("price", "net_price_index", "cost_to_serve_share", ("Aggressive", "Carriage trade", "Bargain basement", "Passive"), ("change", "keep", "keep", "invest"), 1.0),
    # Fiocca, Account portfolio analysis for strategy development, Industrial Marketing Management, 1982
    Lens("relationship", "relationship", "attractiveness", ("Build", "Deepen", "Reduce effort", "Harvest"), ("invest", "invest", "change", "keep")),
    Lens("potential", "value_now", "potential", ("Grow", "Grow and protect", "Keep effort low", "Protect"), ("invest", "invest", "change", "keep")),
)  # fmt: skip


def axes(books: Books, period: Period, differentiated: Frame) -> Frame:
    """Where each account that bought stands in the matrices of relationship and potential, each from 0 to 1.

    Parameters
    ----------
    differentiated
        As `differentiate` gives it for the period.

    Returns
    -------
    By account: attractiveness, relationship, potential (mean points of the criteria with that axis, over what is there) and value_now
    (rank share of the net margin); an axis without criteria is not there.
    """
    measured = differentiated.drop_duplicates("account_id").set_index("account_id")
    register = criteria.read_criteria(books)
    points = account_points(books, period, measured, register, together=read_segments(books).together)
    by_axis = {
        axis: [c.id for c in register.criteria if axis in c.axes and c.id in points]
        for axis in ("attractiveness", "relationship", "potential")
    }
    means = {axis: points[ids].mean(axis=1) for axis, ids in by_axis.items() if ids}
    value_now = rank_share(measured["net_margin"], measured["sales"] > 0).reindex(points.index)
    return pd.DataFrame({**means, "value_now": value_now})


def matrices(books: Books, period: Period, differentiated: Frame) -> Frame:
    """Every lens beside the decision (as `differentiate`), for accounts that bought.

    Returns
    -------
    One row per account: customer_id, customer_name, account_id, segment, stance, reason, sales, net_margin, the values across and up, and for
    each lens that tells them apart `…_cell` and `…_stance`. A family of several has no net price of its own.
    """
    report = profitability.customer_profitability(books, period)
    priced = profitability.net_price_and_cost_to_serve(books, report, period).set_index("customer_id")
    family = differentiated["account_id"].duplicated(keep=False)
    prices = priced[~priced.index.isin(differentiated.loc[family, "customer_id"])]
    names = ["customer_id", "customer_name", "account_id", "segment", "stance", "reason", "sales", "net_margin"]
    heads = differentiated["customer_id"] == differentiated["account_id"]
    rows = differentiated.loc[heads & (differentiated["sales"] > 0), names]
    rows = rows.join(prices[["net_price_index", "cost_to_serve_share"]], on="customer_id")
    rows = rows.join(axes(books, period, differentiated), on="account_id").reset_index(drop=True)
    return rows.join([cells(rows, lens) for lens in LENSES if lens.places(rows)])


def cells(points: Frame, lens: Lens) -> Frame:
    """The cell of each customer in one lens and its stance; both blank where a value is missing."""
    across, up = lens.cuts(points)
    known = points[[lens.across, lens.up]].notna().all(axis=1)
    quadrant = 2 * (points[lens.up] < up).astype(int) + (points[lens.across] >= across).astype(int)
    texts = {f"{lens.name}_cell": lens.cells, f"{lens.name}_stance": lens.stances}
    return pd.DataFrame({name: quadrant.map(dict(enumerate(four))).where(known, "") for name, four in texts.items()})


def used(placed: Frame) -> list[str]:
    """The lenses that these books have the data of."""
    return [lens.name for lens in LENSES if f"{lens.name}_cell" in placed]


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
    parts += [_contradicted(placed, lens) for lens in LENSES if lens.name in used(placed)]
    names = ["customer_id", "customer_name", "segment", "sales", "net_margin"]
    rows = pd.concat(parts).groupby(names, sort=False)[["lenses", "why"]].agg("; ".join).reset_index()
    return rows.sort_values(["sales", "customer_id"], ascending=[False, True], ignore_index=True)


def _contradicted(placed: Frame, lens: Lens) -> Frame:
    """The customers whose decision one lens contradicts, with its cell and what it sees."""
    stances = zip(placed["stance"], placed[f"{lens.name}_stance"], strict=True)
    rows = placed[[{*pair} == {"invest", "change"} for pair in stances]]
    across, up = (_seen(rows[axis], cut) for axis, cut in zip((lens.across, lens.up), lens.cuts(placed), strict=True))
    return rows.assign(lenses=f"{lens.name}: " + rows[f"{lens.name}_cell"], why=across + ", " + up)


def _seen(values: pd.Series, cut: float) -> pd.Series:
    """'relationship 0.83 (at least 0.50)'."""
    name = str(values.name).replace("_", " ")
    sides = values.ge(cut).map({True: "at least", False: "below"})
    return name + values.map(" {:.2f} (".format).astype(object) + sides.astype(object) + f" {cut:.2f})"
