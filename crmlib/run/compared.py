"""What moved from one report to another, told at the terminal and written as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from crmlib.comparison import Comparison, compare, read_edition
from crmlib.look.words import counted, digits_text
from crmlib.run.messages import near

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 10  # rows of a table; all of them are in the files
CENTS = 2


def told(before: Path, after: Path, csv: Path | None) -> str:
    """What moved, in words and in the first rows of each table; with `csv` the whole tables are written there.

    Raises
    ------
    SettingsError
        One is no report, or their currencies differ.
    """
    moved = compare(read_edition(before), read_edition(after))
    text = "\n".join(_lines(moved))
    if not csv:
        return text
    from crmlib.output.data import export_tables

    tables = {"made_from": moved.made_from, "figures": moved.figures, "customers": moved.customers,
              "segments": moved.segments, "restated": moved.restated}  # fmt: skip
    export_tables(tables, csv)
    return f"{text}\n\nwritten: {near(csv)}"


def _lines(moved: Comparison) -> Iterator[str]:
    yield f"before: {moved.before}\nafter:  {moved.after}; amounts in {moved.currency}"
    if moved.is_same:
        yield "\nNothing moved: they were made from the same and say the same."
        return
    yield from _table("Made from", "part changed|parts changed", moved.made_from, "the same")
    yield from _table("Figures of all customers", "line changed|lines changed", moved.figures, "as before")
    margins = moved.margins.drop(columns="line")
    yield from _table(f"{moved.margin} of customers", "customer changed|customers changed", margins, "as before")
    yield from _table("Segments", "customer moved|customers moved", moved.segments, "nobody moved")
    restated = "amount of a month in both changed|amounts of months in both changed"
    yield from _table("History", restated, moved.restated, "no month that both hold was booked anew")


def _table(title: str, noun: str, rows: pd.DataFrame, otherwise: str) -> Iterator[str]:
    yield f"\n{title}: {counted(len(rows), noun) if len(rows) else otherwise}"
    written = rows.head(SHOWN).map(lambda v: digits_text(v, CENTS) if isinstance(v, Decimal) else str(v))
    if len(rows):
        yield from (f"  {line.rstrip()}" for line in written.to_string(index=False).splitlines())
    if len(rows) > SHOWN:
        yield f"  and {len(rows) - SHOWN:,} more; --csv FOLDER writes all"
