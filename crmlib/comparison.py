"""What moved from one report to another: what they were made from, their figures, their segments, and history that was booked anew.

Both are read as they were left, from `manifest.json` and `data/`; no books are opened. Amounts are exact, in the one currency of both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from crmlib.books.stored import Books, Frame, cube_table
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError
from crmlib.profitability import customer_profitability, total

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = ["month", "level", "owner"]
HASH_DIGITS = 8  # of a file's hash, that tell one content from another
MADE_FROM = ("period", "parameters", "data", "judgement and settings files", "settings", "statement", "versions")


@dataclass(frozen=True)
class Edition:
    """A report as it was left: its manifest, the customers' report by customer_id ('' for Unassigned), the cube, the segments."""

    manifest: Mapping[str, Any]
    customers: Frame
    cube: pa.Table
    segments: Frame

    @property
    def name(self) -> str:
        """Its period and the time at which it was finished."""
        start, end = (date.fromisoformat(self.manifest["period"][side]) for side in ("start", "end"))
        return f"{Period(start, end).words}, finished {self.manifest['finished'][:16].replace('T', ' ')}"

    @property
    def lines(self) -> dict[str, str]:
        """Lines and subtotals that its customers have, in the statement's order: id → label."""
        return {i: line["label"] for i, line in self.manifest["statement"].items() if i in self.customers}

    @property
    def origin(self) -> dict[str, str]:
        """What it was made from, each part by its place: `settings.rates.tax_rate` → 0.25; of a file its hash."""
        made, inputs = self.manifest, self.manifest["inputs"]
        parts = {name: made[name] for name in ("period", "parameters", "settings", "statement", "versions")}
        parts |= {"data": inputs["ledger"], "judgement and settings files": inputs["settings"]}
        return dict(_leaves({name: parts[name] for name in MADE_FROM}))


def read_edition(folder: str | Path) -> Edition:
    """A report's folder, as `crm run` leaves it.

    Raises
    ------
    SettingsError
        It holds no whole report that this version made.
    """
    import pyarrow.parquet as pq

    place = Path(folder)
    try:
        manifest = json.loads((place / "manifest.json").read_text("utf-8"))
        kept = ("customer_profitability", "segments")
        customers, segments = (pd.read_parquet(place / "data" / f"{name}.parquet") for name in kept)
        cube = pq.read_table(place / "data" / "cube.parquet")
        edition = Edition(manifest, customers.set_index(customers["customer_id"].fillna("")), cube, segments)
        edition.name, edition.lines, edition.origin  # noqa: B018  # all that a comparison asks for
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        way_out = "name the folder that has its index.html, or make it anew by `crm run`"
        raise SettingsError(f"{folder} is no report of this version: {way_out}") from None
    return edition


def edition_of(books: Books, period: Period) -> Edition:
    """The report that these books, whose customers have their segment, would make now."""
    rows = customer_profitability(books, period).set_index("customer_id", drop=False)
    return Edition(_manifest(books, period), rows, cube_table(books, period), books.customers)


def _manifest(books: Books, period: Period) -> dict[str, Any]:
    return {
        "period": {"label": period.label, "start": str(period.start), "end": str(period.end)}, "finished": "now", "parameters": {},
        "settings": books.engagement.settings.model_dump(mode="json"), "inputs": {"ledger": dict(books.sources), "settings": {}},
        "statement": {line.id: asdict(line) for line in books.statement_in(period).lines}, "versions": {},
    }  # fmt: skip


def since(last_report: str, books: Books, period: Period) -> Comparison:
    """What moved from an earlier report's folder to these books, as `edition_of`; without one nothing did, and `before` is empty."""
    import pyarrow as pa

    if last_report:
        return compare(read_edition(last_report), edition_of(books, period))
    rows = customer_profitability(books, period).head(0).set_index("customer_id", drop=False)
    cube = pa.table({key: pa.array([], pa.string()) for key in KEYS})
    nothing = Edition(_manifest(books, period), rows, cube, books.customers)
    return replace(compare(nothing, nothing), before="")


def _leaves(tree: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(tree, Mapping):
        for key, branch in tree.items():
            yield from _leaves(branch, f"{place}.{key}" if place else str(key))
    else:
        text = ", ".join(map(str, tree)) if isinstance(tree, list) else str(tree)
        yield place, text[:HASH_DIGITS] if len(text) == 64 and text.isalnum() else text


@dataclass(frozen=True)
class Comparison:
    """What is not the same in two reports; each table is empty where everything is.

    Attributes
    ----------
    made_from
        what, before, after: parts of what they were made from ('' where one has it not).
    line, margin
        The net margin of customers: its id and its label.
    figures
        label, before, after, change: lines and subtotals of all customers together.
    customers
        customer_id, customer_name, line (its id), before, after, change: the same by customer, the largest change of the net margin first.
    segments
        customer_id, customer_name, before, after: who is in another segment, or in one report only.
    restated
        month, level, owner, line, before, after, change: months that both reports hold and whose bookings are no longer the same.
    """

    before: str
    after: str
    currency: str
    line: str
    margin: str
    made_from: Frame
    figures: Frame
    customers: Frame
    segments: Frame
    restated: Frame

    @property
    def margins(self) -> Frame:
        """Of `customers` the net margin alone, the last of their lines."""
        return self.customers[self.customers["line"] == self.line]

    @property
    def is_same(self) -> bool:
        """Whether nothing moved at all."""
        return all(t.empty for t in (self.made_from, self.figures, self.customers, self.segments, self.restated))


def compare(before: Edition, after: Edition) -> Comparison:
    """What moved from one report to another of the same currency; lines that only one of them has count as nought in the other.

    Raises
    ------
    SettingsError
        Their amounts are in two currencies.
    """
    currencies = [edition.manifest["settings"]["currency"] for edition in (before, after)]
    if currencies[0] != currencies[1]:
        raise SettingsError(f"reports in {currencies[0]} and in {currencies[1]} cannot be compared")
    lines = {**before.lines, **after.lines}
    line, names = list(after.lines)[-1], {**_names(before), **_names(after)}
    sums = (pd.Series({i: total(e.customers[i]) for i in e.lines}, dtype=object) for e in (before, after))
    figures = _changes(*sums).rename(index=lines).rename_axis("label").reset_index()
    customers = _changes(*(_long(e.customers, lines) for e in (before, after)))
    customers = customers.rename_axis(["customer_id", "line"]).reset_index()
    customers.insert(1, "customer_name", customers["customer_id"].map(names))
    moved = customers[customers["line"] == line].set_index("customer_id")["change"].astype(float).abs()
    first = customers["customer_id"].map(moved).fillna(0.0).sort_values(ascending=False, kind="stable").index
    return Comparison(
        before.name, after.name, currencies[0], line, lines[line], _differences(before.origin, after.origin, "what"), figures,
        customers.loc[first].reset_index(drop=True), _moved(before, after, names), _restated(before, after, lines),
    )  # fmt: skip


def _names(edition: Edition) -> dict[str, str]:
    return {str(i): str(name) for i, name in edition.customers["customer_name"].items()} | {"": "Unassigned"}


def _changes(before: pd.Series, after: pd.Series) -> Frame:
    """before, after and change of amounts by key, where they are not the same."""
    both = pd.concat([before.rename("before"), after.rename("after")], axis=1, sort=False).fillna(Decimal(0))
    both["change"] = both["after"] - both["before"]
    return both[both["change"] != 0]


def _long(rows: Frame, lines: Mapping[str, str]) -> pd.Series:
    """Amounts by the index and the line's id."""
    return pd.Series(rows[[i for i in lines if i in rows]].stack())


def _differences(before: Mapping[str, str], after: Mapping[str, str], name: str) -> Frame:
    unlike = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    rows = [(key, before.get(key, ""), after.get(key, "")) for key in unlike]
    return pd.DataFrame(rows, columns=[name, "before", "after"])


def _moved(before: Edition, after: Edition, names: Mapping[str, str]) -> Frame:
    was, now = (dict(zip(e.segments["customer_id"], e.segments["segment"], strict=True)) for e in (before, after))
    rows = _differences(was, now, "customer_id")
    rows.insert(1, "customer_name", rows["customer_id"].map(names))
    return rows


def _restated(before: Edition, after: Edition, lines: Mapping[str, str]) -> Frame:
    periods = [edition.manifest["period"] for edition in (before, after)]
    start, end = max(p["start"] for p in periods), min(p["end"] for p in periods)
    there = [i for i in lines if i in {*before.cube.column_names, *after.cube.column_names}]
    cells = [_cells(edition.cube, there, start, end) for edition in (before, after)]
    unlike = (one.join(other, one.column_names, join_type="left anti") for one, other in (cells, cells[::-1]))
    rows = (table.to_pandas().sort_values(KEYS[1:] + KEYS[:1]).set_index(KEYS) for table in unlike)
    moved = _changes(*(_long(each, lines) for each in rows)).rename_axis([*KEYS, "line"]).reset_index()
    return moved.assign(month=moved["month"].str[:7], line=moved["line"].map(dict(lines)))


def _cells(cube: pa.Table, lines: Sequence[str], start: str, end: str) -> pa.Table:
    """The cells of these lines in these months, nought where the cube has not the line: equal cells are equal rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = {key: pc.fill_null(cube[key].cast(pa.string()), "") for key in KEYS}
    amount = pa.decimal128(38, 8)
    noughts = pa.repeat(pa.scalar(Decimal(0), amount), len(cube))
    cells = {line: cube[line].cast(amount) if line in cube.column_names else noughts for line in lines}
    return pa.table(keys | cells).filter((pc.field("month") >= start) & (pc.field("month") < end))
