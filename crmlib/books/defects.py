"""Values that cannot be read, and conversions that a mapping asks for: what is told of them, by code."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from crmlib.books.findings import Finding, shortened
from crmlib.books.ledger import SHOWN
from crmlib.declared.ledger import Column

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TOLD = {
    "key-trimmed": ("a key with blanks around it; read without them", "trim it at the source"),
    "blank": ("blank where a value is needed", "fill it; for a number, `blank: zero` in the mapping means nought"),
    "number-format": ("not a number as the settings declare it", "write it like 1234.56, or declare it under formats"),
    "number-too-long": ("more digits or decimals than the column holds ({digits})", "round it at the source, or, where only decimals are too many, map it with `cast: true`"),
    "date-format": ("not a date as the settings declare it", "write it so, or declare its format under formats.dates"),
    "date-impossible": ("a date that does not exist", "mend it at the source"),
    "date-ambiguous": ("a date that fits two declared formats with two results", "declare one format for this table"),
    "date-with-time": ("a time of day where a date is needed", "map the column with `cast: true` to take the date"),
    "date-with-zone": ("a time with zone where a date is needed", "map it with `cast: true` to take the date in UTC"),
    "month-not-first": ("a month is written as its first day", "write the first day of the month"),
    "value-unknown": ("not one of {values}", "use one of these"),
    "type-floating": ("floating-point numbers, not decimals", "store decimals, or map it with `cast: true`"),
    "type-not-number": ("no number type", "store decimals, or convert in a .sql mapping"),
    "type-not-date": ("no date type", "store dates, or convert in a .sql mapping"),
    "type-not-text": ("no text type", "map the column with `cast: true`, or convert in a .sql mapping"),
    "key-not-whole": ("a floating-point number that is not whole, where a key is needed", "store the key as text"),
    "undecided": ("the condition is neither true nor false here, since a column is blank", "say what a blank means, such as coalesce(state, '') = 'posted'"),
    "blank-zero": ("blank, read as nought (`blank: zero`)", "nothing to do"),
    "cast": ("floating-point, read as decimal (`cast: true`)", "nothing to do"),
    "rounded": ("rounded to the column's decimals ({digits})", "nothing to do"),
    "time-cut": ("a time of day, cut to its date", "nothing to do"),
}  # fmt: skip
# conversions that the mapping asks for, told once with their amount
ACCEPTED = ("blank-zero", "cast", "rounded", "time-cut")


RESULT = "; the row is one of the query's result, which keeps no _file and _row"


def _odd_mark(code: str, text: str) -> str:
    """The character that a keyboard does not have, where a number or date holds one."""
    odd = next((c for c in text if not c.isascii()), "") if code in {"number-format", "date-format"} else ""
    return f"; it holds {unicodedata.name(odd, 'a character')} (U+{ord(odd):04X})" if odd else ""


def gravest(*codes: str) -> str:
    """The first code that is a rejection, else the first that there is."""
    grave = [f"CASE WHEN {code} NOT IN {ACCEPTED} THEN {code} END" for code in codes]
    return f"coalesce({', '.join([*grave, *codes])})"


def listed(con: DuckDBPyConnection, shown: str, column: Column, table: str) -> list[Finding]:
    """A finding per row of a query for places, codes, texts and amounts; the last of a hundred counts those beyond."""
    findings = []
    filled = {"values": ", ".join(column.values), "digits": column.dtype}
    kinds = con.execute(f"SELECT code, count(*), sum(amount) FROM ({shown}) GROUP BY code ORDER BY code").fetchall()
    for code, total, amount in kinds:
        accepted = code in ACCEPTED
        most, verdict = (
            1 if accepted else SHOWN,
            "accept" if accepted else "warn" if code == "key-trimmed" else "reject",
        )
        first = f"SELECT _file, _row, text FROM ({shown}) WHERE code = '{code}' ORDER BY _file, _row LIMIT {most}"
        for i, (file, row, given) in enumerate(con.execute(first).fetchall(), 1):
            left, text = total - most if i == most else 0, given or ""
            message = TOLD[code][0].format(**filled) + _odd_mark(code, text)
            message += f"; {left:,} more rows like this" if left else ""
            message += RESULT if file.endswith(".sql") else ""
            place = {"table": table, "file": file, "row": row, "column": column.name, "value": shortened(text)}
            place |= {"count": 1 + left, "amount": amount if accepted else None}
            findings.append(Finding(verdict, code, message, TOLD[code][1], **place))
    return findings
