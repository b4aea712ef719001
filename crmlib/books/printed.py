"""Lists for a printer, whose columns begin at the same place in every row: between bars, as SAP writes them, or below each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

RULE = re.compile(r"(?=.*[=_-]{3})[\s|+=_-]*")  # a line of dashes
FEWEST = 3  # columns, and rows, below which it is no list
TITLES = 20  # rows at most above a list


def starts_of(lines: Iterable[str]) -> list[int]:
    """Where the columns of a list begin, counted from 1: behind bars, below dashes, or where two blanks stand above each other in all of its rows; none where it is no list."""
    given = [line.rstrip() for line in lines]
    rows = [row for row in given if row and not RULE.fullmatch(row)]
    able = [starts for starts in (*_barred(rows), *_ruled(given), *_apart(rows)) if len(starts) >= FEWEST <= len(rows)]
    return next((starts for starts in able if _divides(starts, rows)), [])


def _barred(rows: Sequence[str]) -> Iterator[list[int]]:
    yield from (
        [n + 2 for n, mark in enumerate(row[:-1]) if mark == "|"] for row in rows if row.lstrip().startswith("|")
    )


def _ruled(rows: Sequence[str]) -> Iterator[list[int]]:
    yield from (
        [n.start() + 1 for n in re.finditer("[=_-]+", row)] for row in rows if RULE.fullmatch(row) and "|" not in row
    )


def _apart(rows: Sequence[str]) -> list[list[int]]:
    """The places behind two blanks that all rows have, and those that all but the first have, and so on."""
    found, used = list[list[int]](), set[int]()
    for number, row in reversed([*enumerate(rows)]):
        used |= {n for n, mark in enumerate(row, 1) if mark != " "}
        if number < TITLES:
            found.insert(0, [n for n in sorted(used) if not {n - 1, n - 2} & used])
    return found


def _divides(starts: Sequence[int], rows: Sequence[str]) -> bool:
    """Whether columns that begin there cut no value, and leave none that looks like two, from a row on that is among the first."""
    bad = [n for n, row in enumerate(rows) if not (cells := cells_of(row, starts)) or any("  " in c for c in cells)]
    return len(rows) - FEWEST >= max(bad, default=-1) + 1 <= TITLES


def cells_of(row: str, starts: Sequence[int]) -> list[str]:
    """The values of a row without blanks and bars around them; none where a column begins within one."""
    is_cut = row[: starts[0] - 1].strip(" |") or any(row[n - 2 : n - 1] not in ("", " ", "|") for n in starts if n > 1)
    return (
        []
        if is_cut
        else [row[a - 1 : b].strip(" |") for a, b in zip(starts, (*(n - 1 for n in starts[1:]), None), strict=True)]
    )


def as_csv(lines: Iterable[str], starts: Sequence[int], header_row: int = 0) -> Iterator[str]:
    """A list as CSV with tabs, row by row: one that a column cuts is one cell; rules, and a header that is repeated, are blank."""
    header = ""
    for number, row in enumerate(map(str.rstrip, lines), 1):
        header = row if number == header_row else header
        is_blank = not row or RULE.fullmatch(row) or (row == header and number != header_row)
        cells = ['"' + cell.replace('"', '""') + '"' for cell in cells_of(row, starts) or [row]]
        yield "\n" if is_blank else "\t".join(cells) + "\n"
