"""What is wrong with the books: each check is a query that returns the offending rows; nothing is mended in silence.

The checks stand in checks.yml, in SQL over the views. Those on single rows are counted together, one pass per table, and
listed only where there are any.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from crmlib.books.findings import Finding, findings_frame, shortened
from crmlib.books.ledger import SHOWN, Ledger, numeric_columns
from crmlib.books.views import LEVELS, is_whole, make_views
from crmlib.declared.ledger import Table, tables
from crmlib.declared.periods import parse_period
from crmlib.declared.reading import Record, SettingsError, did_you_mean, folded, read

REPEATABLE = (
    "invoice_lines",
    "credits",
    "activities",
    "costs",
    "joint_costs",
)  # tables in which equal rows may be bookings
SIGNED = ("control_totals", "reconciliation", "customer_view")  # tables whose total may be negative
TOTAL = r"(?i)^\W*((grand|sub)[\s_-]*)?(totals?|totale|totaal|summe|gesamt|sum)\W*$"
MOST_CHOICES = 1000  # allowed values among which the nearest is looked for


class Check(Record):
    """One check as checks.yml records it; its head says what each key means."""

    verdict: Literal["reject", "warn", "accept"]
    message: str
    way_out: str
    tables: tuple[str, ...] = ()
    column: str = ""
    where: str = ""
    rows: str = ""
    place: bool = True
    value: str = ""
    amount: str = ""
    needs: tuple[str, ...] = ()
    allowed: str = ""
    code: str = ""


@dataclass(frozen=True)
class _Check:
    """One check of one table, its texts filled in as far as the settings go."""

    code: str
    table: Table
    spec: Check
    words: Mapping[str, Any]

    def text(self, part: str) -> str:
        """A part of the record in checks.yml, with words in braces filled in."""
        return str(getattr(self.spec, part)).format_map({**self.words, "table": self.table.name})


def check_ledger(ledger: Ledger) -> pd.DataFrame:
    """Everything that was found in the books: first what could not be read, then every check that the tables there allow.

    Returns
    -------
    One row per finding, columns as the fields of `Finding`. Rows beyond the hundredth of one kind are counted, with
    their amount, in the hundredth: `count` and `amount` add up to the whole.
    """
    make_views(ledger)
    found = list(ledger.defects)
    for name in ledger.tables:
        checks = [_check(ledger, code, name) for code, spec in check_records().items() if name in spec.tables]
        checks = [c for c in checks if all(is_whole(ledger, *need.split(".")) for need in c.spec.needs)]
        hits = _row_hits(ledger, name, [c for c in checks if c.spec.where])
        for check in checks:
            if check.spec.rows or check in hits:
                found += _listed(
                    ledger, check, check.text("rows") or f"SELECT * FROM books.{name} WHERE {check.text('where')}"
                )
        found += _turned_signs(ledger, name)
        found += _unassigned_shares(ledger, name) if any(c.code == "customer-unknown" for c in hits) else []
        unread = any(
            d.table == name and d.column and d.row and d.verdict == "reject" for d in ledger.defects
        )  # rows look equal where unread
        found += _repeats(ledger, name) if name in REPEATABLE and not unread else []
    return findings_frame([*found, *_alike_keys(ledger), *_unknown_periods(ledger), *_tables_needed(ledger)])


@functools.cache
def check_records() -> dict[str, Check]:
    """The checks by name."""
    return read(Path(__file__).with_name("checks.yml"), dict[str, Check])


def _check(ledger: Ledger, code: str, name: str) -> _Check:
    settings, table, spec = ledger.engagement.settings, tables()[name], check_records()[code]
    owner = next((c for c in ("customer_id", "key", "line") if c in table.columns), "")
    words = {
        "coverage": ledger.engagement.coverage.label, "currency_wanted": settings.currency, "total": TOTAL,
        "multiple": settings.thresholds.outlier_multiple, "date": table.date, "amount": next(iter(_money(ledger, name)), "NULL"),
        "owner": owner, "keys": ", ".join(table.key), "first_key": next(iter(table.key), ""),
        "key_there": " AND ".join(f"{c} IS NOT NULL" for c in table.key),
    }  # fmt: skip
    return _Check(spec.code or code, table, spec, words)


def _money(ledger: Ledger, name: str) -> list[str]:
    return [c.name for c in tables()[name].columns.values() if c.type == "money" and ledger.has(name, c.name)]


def _row_hits(ledger: Ledger, name: str, checks: list[_Check]) -> list[_Check]:
    """The checks on single rows that hit anything, all asked in one pass."""
    if not checks:
        return []
    flags = ", ".join(f"{c.text('where')} AS c{i}" for i, c in enumerate(checks))
    sums = ", ".join(f"count(*) FILTER (WHERE c{i})" for i, _ in enumerate(checks))
    counts = ledger.con.raw_sql(f"SELECT {sums} FROM (SELECT {flags} FROM books.{name})").fetchall()[0]
    return [check for check, count in zip(checks, counts, strict=True) if count]


def _listed(ledger: Ledger, check: _Check, query: str) -> list[Finding]:
    """A finding per offending row, the first hundred; the last carries count and amount of those that are not listed."""
    column, money = check.text("column"), _money(ledger, check.table.name)
    amount = check.text("amount") or (column if column in money else next(iter(money), ""))
    sums = (
        ", ".join(f"sum({c}) OVER () AS sum_{c}" for c in numeric_columns(ledger.tables[check.table.name]))
        if "{sums}" in check.spec.message
        else ""
    )
    total = amount if amount and (check.spec.place or check.spec.amount) else "CAST(NULL AS DECIMAL(18, 4))"
    value = check.text("value") or column
    listing = f"""SELECT *, CAST({value} AS VARCHAR) AS _value, {total} AS _amount, count(*) OVER () AS _count, sum({total}) OVER () AS _sum{", " + sums if sums else ""}
                  FROM ({query}) ORDER BY _file, _row LIMIT {1 if check.spec.verdict == "accept" else SHOWN}"""
    records = ledger.con.raw_sql(listing).to_arrow_table().to_pylist()
    if not records:
        return []
    choices = _choices(ledger, check)
    found = [_row_finding(check, column, record, choices) for record in records]
    rest = records[0]["_count"] - len(found)
    if rest:
        listed = sum((f.amount or Decimal(0) for f in found[:-1]), Decimal(0))
        remaining = None if records[0]["_sum"] is None else records[0]["_sum"] - listed
        found[-1] = replace(
            found[-1], message=f"{found[-1].message}; {rest:,} more rows like this", count=1 + rest, amount=remaining
        )
    return found


def _row_finding(check: _Check, column: str, record: Mapping[str, Any], choices: Sequence[str]) -> Finding:
    told = ", ".join(f"{k[4:]} {v:,.2f}" for k, v in record.items() if k.startswith("sum_") and v is not None)
    value = shortened(record["_value"] or "")
    words = {**check.words, **record, "allowed": ", ".join(choices[:20]), "sums": f" ({told})" if told else ""}
    message = check.spec.message.format_map(words) + did_you_mean(value, choices)
    return Finding(check.spec.verdict, check.code, message, check.spec.way_out, table=check.table.name, file=record["_file"] or "",
                   row=record["_row"], column=column, value=value, amount=record["_amount"])  # fmt: skip


def _choices(ledger: Ledger, check: _Check) -> list[str]:
    """What is allowed, where it is few enough to look for the nearest."""
    if not check.spec.allowed:
        return []
    rows = ledger.con.raw_sql(f"SELECT DISTINCT * FROM ({check.text('allowed')}) LIMIT {MOST_CHOICES + 1}").fetchall()
    return sorted(row[0] for row in rows if row[0]) if len(rows) <= MOST_CHOICES else []


def _simple(code: str, table: str, words: Mapping[str, Any] | None = None, **place: Any) -> Finding:
    spec, words = check_records()[code], {"table": table, **(words or {})}
    return Finding(
        spec.verdict, code, spec.message.format_map(words), spec.way_out.format_map(words), table=table, **place
    )


def _turned_signs(ledger: Ledger, name: str) -> list[Finding]:
    money = [] if name in SIGNED else _money(ledger, name)
    sums = (
        ledger.con.raw_sql(f"SELECT {', '.join(f'sum({c})' for c in money)} FROM typed.{name}").fetchall()[0]
        if money
        else ()
    )
    return [
        _simple("sign-turned", name, {"column": c}, column=c, amount=s)
        for c, s in zip(money, sums, strict=True)
        if s and s < 0
    ]


def _unassigned_shares(ledger: Ledger, name: str) -> list[Finding]:
    """A rejection for each amount of which too much has no known customer."""
    columns, limit = (numeric_columns(ledger.tables[name]), ledger.engagement.settings.thresholds.unassigned_share)
    wanted = ", ".join(f"sum(abs({c})), coalesce(sum(abs({c})) FILTER (WHERE NOT _assigned), 0)" for c in columns)
    sums = ledger.con.raw_sql(f"SELECT {wanted} FROM books.{name} WHERE _covered").fetchall()[0] if columns else ()
    parts = [
        (c, without, without / whole) for c, whole, without in zip(columns, sums[::2], sums[1::2], strict=True) if whole
    ]
    return [
        _simple(
            "unassigned-share",
            name,
            {"share": f"{share:.1%}", "column": c, "limit": f"{limit:.1%}"},
            column=c,
            amount=without,
        )
        for c, without, share in parts
        if share > limit
    ]


def _repeats(ledger: Ledger, name: str) -> list[Finding]:
    """Equal rows, in one file or two, and one order line with two contents.

    First the keys or rows whose hash is not alone, in one pass; then, among these few, what is really equal.
    """
    content = ", ".join(c for c in ledger.tables[name].columns if not c.startswith("_"))
    mark, key = f"hash({content})", tables()[name].key
    key = key if key and ledger.has(name, *key) else ()
    if key:
        mark = f"CASE WHEN {' OR '.join(f'{c} IS NULL' for c in key)} THEN {mark} ELSE hash({', '.join(key)}) END"
    ledger.con.raw_sql(
        f"CREATE OR REPLACE TEMP TABLE several AS SELECT {mark} AS mark FROM typed.{name} GROUP BY mark HAVING count(*) > 1"
    )
    if not ledger.con.raw_sql("SELECT count(*) FROM several").fetchall()[0][0]:
        return []
    ledger.con.raw_sql(f"""CREATE OR REPLACE TEMP TABLE copies AS SELECT *, min(_file) OVER (PARTITION BY {content}) AS other_file,
        row_number() OVER (PARTITION BY {content} ORDER BY _file, _row) AS copy FROM books.{name} WHERE {mark} IN (FROM several)""")
    found = _listed(
        ledger, _check(ledger, "row-twice", name), "SELECT * FROM copies WHERE copy > 1 AND _file = other_file"
    )
    found += _listed(ledger, _check(ledger, "rows-overlap", name), "SELECT * FROM copies WHERE _file <> other_file")
    if key:
        contents = f"SELECT * FROM copies WHERE copy = 1 AND {' AND '.join(f'{c} IS NOT NULL' for c in key)}"
        again = f"{contents} QUALIFY row_number() OVER (PARTITION BY {', '.join(key)} ORDER BY _file, _row) > 1"
        found += _listed(ledger, _check(ledger, "line-conflict", name), again)
    return found


def _alike_keys(ledger: Ledger) -> list[Finding]:
    """Keys and owners that differ in case, blanks or look-alike letters only."""
    named = [
        (n, c)
        for n, columns in (("customers", LEVELS.values()), ("products", ("product_id",)))
        for c in columns
        if c != "parent_id"
    ]
    found = []
    for name, column in [(n, c) for n, c in named if ledger.has(n, c)]:
        query = f"SELECT {column}, min(_file), min(_row) AS first FROM books.{name} WHERE {column} IS NOT NULL GROUP BY {column} ORDER BY first"
        seen: dict[str, str] = {}
        for value, file, row in ledger.con.raw_sql(query).fetchall():
            other = seen.setdefault(folded(value), value)
            if other != value:
                found.append(
                    _simple(
                        "key-alike",
                        name,
                        {"other": repr(shortened(other))},
                        file=file,
                        row=row,
                        column=column,
                        value=shortened(value),
                    )
                )
    return found


def _unknown_periods(ledger: Ledger) -> list[Finding]:
    """Control totals whose period is no period, or is not in the books."""
    rows = ledger.con.raw_sql(
        "SELECT _file, _row, period, amount FROM books.control_totals WHERE period IS NOT NULL ORDER BY _file, _row"
    ).fetchall()
    found, coverage = [], ledger.engagement.coverage
    for file, row, text, amount in rows:
        place = {"file": file, "row": row, "column": "period", "value": shortened(text), "amount": amount}
        try:
            period = parse_period(text, None, ledger.engagement.settings.fiscal_year_start)
        except SettingsError:
            found.append(_simple("period-unknown", "control_totals", **place))
            continue
        if not period.within(coverage):
            found.append(
                _simple("outside-coverage", "control_totals", {"coverage": coverage.label, "sums": ""}, **place)
            )
    return found


def _tables_needed(ledger: Ledger) -> list[Finding]:
    needed = {"activities": "activity_types", "rates": "activity_types", "reconciliation": "control_totals"}
    blamed = {d.table for d in ledger.defects}
    pairs = [(n, o) for n, o in needed.items() if n in ledger.tables and o not in ledger.tables and o not in blamed]
    return [_simple("table-needed", name, {"other": other}) for name, other in pairs]
