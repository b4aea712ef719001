"""What is found in the books: a finding per defect, with place, amount and way out."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from typing import Any

import pandas as pd

from crmlib.declared.reading import DataRejected

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE)  # of the system, which are no fault of a file
MOST_LISTED = 100  # broken rows of one kind in one file
BROKEN_ROWS = {
    "row-too-short": ("fewer values than the header", "fill the row up to the header's columns"),
    "row-too-long": ("more values than the header", "quote values that hold the delimiter; where titles stand above the header, say its row in `header_row`"),
    "quote-open": ("a quotation mark is not closed, or text follows it; the row ends where the reader found its feet",
                   "close it, or double marks inside a value"),
    "quote-swallows": ("a quotation mark opens a text that holds line ends and what reads like further rows",
                       "take the mark away, double it, or close it where the text ends"),
    "undecodable": ("bytes that are not in the declared encoding", "set formats.encoding, or save as UTF-8"),
    "nul": ("a NUL character", "remove it"),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing found in the books: verdict (reject, warn or accept), where, what, and the way out.

    `row` counts as a spreadsheet does (the header is row 1); `count` and `amount` say how much is concerned.
    """

    verdict: str
    code: str
    message: str
    way_out: str
    table: str = ""
    file: str = ""
    row: int | None = None
    column: str = ""
    value: str = ""
    count: int = 1
    amount: Decimal | None = None


def rejection(code: str, message: str, way_out: str, **where: Any) -> Finding:
    """A finding that stops the run."""
    return Finding("reject", code, message, way_out, **where)


def findings_frame(found: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a table, one row each; `row` may be missing, `amount` is a Decimal or None."""
    frame = pd.DataFrame([asdict(f) for f in found], columns=[f.name for f in fields(Finding)])
    first = ["verdict", "code", "table", "file", "row", "column", "value", "count", "amount", "message", "way_out"]
    return frame.astype({"row": "Int64", "count": "int64", "amount": "object"})[first]


def refuse_rejected(findings: pd.DataFrame) -> None:
    """Stop where any finding is a rejection.

    Raises
    ------
    DataRejected
        Carries all findings.
    """
    rejected = findings[findings["verdict"] == "reject"]
    if rejected.empty:
        return
    first = rejected.iloc[0]
    row = f"row {first['row']}" if pd.notna(first["row"]) else ""
    place = ", ".join(str(part) for part in (first["file"] or first["table"], row, first["column"]) if part)
    count = int(rejected["count"].sum())
    raise DataRejected(
        f"the data was rejected: {count} defect(s). The first: {place}: {first['message']}; {first['way_out']}",
        findings,
    )


def refusal_in(error: BaseException) -> OSError | None:
    """What the system refused, where a library says so in words of its own: space, or more open files."""
    code = next((code for code in REFUSALS if os.strerror(code) in str(error)), None)
    return OSError(code, os.strerror(code)) if code else None


class UnreadableError(Exception):
    """A file or sheet that cannot be read; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def broken_row(code: str, row: int, text: str, **where: Any) -> Finding:
    """The rejection of a row that is no record, one of `BROKEN_ROWS`."""
    message, way_out = BROKEN_ROWS[code]
    return rejection(
        code, message, way_out, row=row, value=shortened(text.encode("utf-8", "backslashreplace").decode()), **where
    )


def tally(found: list[Finding], one: Finding) -> None:
    """List a broken row, or count it in the last of its kind when a hundred are listed."""
    same = [i for i, f in enumerate(found) if f.code == one.code]
    if len(same) < MOST_LISTED:
        found.append(one)
    else:
        found[same[-1]] = replace(found[same[-1]], count=found[same[-1]].count + 1)


def shortened(text: str, length: int = 60) -> str:
    """A value as it is shown: control and bidirectional characters as visible escapes, long ones cut with a mark."""
    visible = re.sub(
        r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", lambda m: f"\\u{ord(m[0]):04x}", text
    )
    return visible if len(visible) <= length else visible[: length - 1] + "…"
