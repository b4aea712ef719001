"""What moved from one report to another: what they were made from, their figures, their segments, and history that was booked anew.

Both are read as they were left, from `manifest.json` and `data/`; no books are opened. Amounts are exact, in the one currency of both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from crmlib.books.stored import Books, read_cube
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError
from crmlib.profitability import customer_profitability, total

Frame = pd.DataFrame
HASH_DIGITS = 8  # of a file's hash, that tell one content from another
MADE_FROM = ("period", "parameters", "data", "judgement and settings files", "settings", "statement", "versions")


@dataclass(frozen=True)
class Edition:
    """A report as it was left: its manifest, the customers' report by customer_id ('' for Unassigned), the cube, the segments."""

    manifest: Mapping[str, Any]
    customers: Frame
    cube: Frame
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
        m, inputs = self.manifest, self.manifest["inputs"]
        parts = (
            m["period"],
            m["parameters"],
            inputs["ledger"],
            inputs["settings"],
            m["settings"],
            m["statement"],
            m["versions"],
        )
        return dict(_leaves(dict(zip(MADE_FROM, parts, strict=True))))


def read_edition(folder: str | Path) -> Edition:
    """A report's folder, as `crm run` leaves it.

    Raises
    ------
    SettingsError
        It holds no whole report that this version made.
    """
    place = Path(folder)
    try:
        manifest = json.loads((place / "manifest.json").read_text("utf-8"))
        names = ("customer_profitability", "cube", "segments")
        customers, cube, segments = (pd.read_parquet(place / "data" / f"{name}.parquet") for name in names)
        edition = Edition(manifest, customers.set_index(customers["customer_id"].fillna("")), cube, segments)
        edition.name, edition.lines, edition.origin  # noqa: B018  # all that a comparison asks for
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise SettingsError(
            f"{folder} is no report of this version: name the folder that has its index.html, or make it anew by `crm run`"
        ) from None
    return edition


def edition_of(books: Books, period: Period) -> Edition:
    """The report that these books, whose customers have their segment, would make now."""
    manifest = {
        "period": {"label": period.label, "start": str(period.start), "end": str(period.end)}, "finished": "now", "parameters": {},
        "settings": books.engagement.settings.model_dump(mode="json"), "inputs": {"ledger": dict(books.sources), "settings": {}},
        "statement": {line.id: asdict(line) for line in books.statement_in(period).lines}, "versions": {},
    }  # fmt: skip
    rows = customer_profitability(books, period).set_index("customer_id", drop=False)
    return Edition(manifest, rows, read_cube(books, period), books.customers)


def since(last_report: str, books: Books, period: Period) -> Comparison:
    """What moved from an earlier report's folder to these books, as `edition_of`; without one nothing did, and `before` is empty."""
    now = edition_of(books, period)
    return compare(read_edition(last_report), now) if last_report else replace(compare(now, now), before="")


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
    rows = [
        (key, before.get(key, ""), after.get(key, ""))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]
    return pd.DataFrame(rows, columns=[name, "before", "after"])


def _moved(before: Edition, after: Edition, names: Mapping[str, str]) -> Frame:
    was, now = (dict(zip(e.segments["customer_id"], e.segments["segment"], strict=True)) for e in (before, after))
    rows = _differences(was, now, "customer_id")
    return rows.assign(customer_name=rows["customer_id"].map(names))[
        ["customer_id", "customer_name", "before", "after"]
    ]


def _restated(before: Edition, after: Edition, lines: Mapping[str, str]) -> Frame:
    keys = ["month", "level", "owner"]
    starts, ends = zip(
        *((e.manifest["period"]["start"], e.manifest["period"]["end"]) for e in (before, after)), strict=True
    )
    months = (e.cube.assign(month=e.cube["month"].astype(str)) for e in (before, after))
    both = (rows[(rows["month"] >= max(starts)) & (rows["month"] < min(ends))] for rows in months)
    moved = _changes(*(_long(rows.set_index(keys), lines) for rows in both)).rename_axis([*keys, "line"]).reset_index()
    return moved.assign(month=moved["month"].str[:7], line=moved["line"].map(dict(lines)))
