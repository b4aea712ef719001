"""What is wrong with the books: each check is a query that returns the offending rows; nothing is mended in silence.

The checks stand in checks.yml, in SQL over typed views of the ledger. Those on single rows are counted together, one
pass per table, and listed only where there are any.
"""

from __future__ import annotations

import csv
import difflib
import functools
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from crmlib.engagement import PACKAGE, SettingsError, parse_period, read_yaml
from crmlib.ledger import SHOWN, Ledger, Table, tables
from crmlib.sources import BROKEN_ROWS, Finding, shortened

if TYPE_CHECKING:
    import ibis.expr.types as ir

VERDICTS = ("reject", "warn", "accept")
LEVELS = {
    "customer": "customer_id",
    "parent": "parent_id",
    "account_type": "account_type",
    "region": "region",
    "segment": "segment",
}
DRIVERS = {"orders": "invoice_lines.order_id", "invoice_lines": "invoice_lines.gross_sales", "net_sales": "invoice_lines.gross_sales",
           "units": "invoice_lines.quantity", "credits": "credits.amount"}  # fmt: skip
SQL_TYPES = {"money": "DECIMAL(18, 4)", "quantity": "DECIMAL(18, 4)", "rate": "DECIMAL(18, 8)", "measure": "DECIMAL(18, 8)", "integer": "BIGINT",
             "date": "DATE", "month": "DATE"}  # fmt: skip
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
LOOK_ALIKE = str.maketrans(
    "аеорсхукмтвніοαερτκν0l", "aeopcxykmtbhioaeptkvoi"
)  # after case folding: Cyrillic, Greek, 0 and l


@dataclass(frozen=True)
class _Check:
    """One check of one table, its texts filled in as far as the settings go."""

    code: str
    table: Table
    spec: Mapping[str, Any]
    words: Mapping[str, Any]

    def text(self, part: str) -> str:
        """A part of the record in checks.yml, with words in braces filled in."""
        return str(self.spec.get(part, "")).format_map({**self.words, "table": self.table.name})


def check_ledger(ledger: Ledger) -> pd.DataFrame:
    """Everything that was found in the books: first what could not be read, then every check that the tables there allow.

    Returns
    -------
    One row per finding, columns as the fields of `Finding`. Rows beyond the hundredth of one kind are counted, with
    their amount, in the hundredth: `count` and `amount` add up to the whole.
    """
    _make_books(ledger)
    found = list(ledger.defects)
    for name in ledger.tables:
        checks = [_check(ledger, code, name) for code, spec in _specs().items() if name in spec.get("tables", ())]
        checks = [c for c in checks if all(_whole(ledger, *need.split(".")) for need in c.spec.get("needs", ()))]
        hits = _row_hits(ledger, name, [c for c in checks if "where" in c.spec])
        for check in checks:
            if "rows" in check.spec or check in hits:
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


def _whole(ledger: Ledger, table: str, *columns: str) -> bool:
    """Whether a table is there with these columns and all its rows, so that what is not in it is unknown."""
    return ledger.has(table, *columns) and not any(d.table == table and d.code in BROKEN_ROWS for d in ledger.defects)


def findings_frame(found: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a table, one row each; `row` may be missing, `amount` is a Decimal or None."""
    frame = pd.DataFrame([asdict(f) for f in found], columns=[f.name for f in fields(Finding)])
    first = ["verdict", "code", "table", "file", "row", "column", "value", "count", "amount", "message", "way_out"]
    return frame.astype({"row": "Int64", "count": "int64", "amount": "object"})[first]


def describe(findings: pd.DataFrame) -> pd.DataFrame:
    """Findings by verdict, code, table, file and column: count, amount and the first place, rejections first."""
    ordered = findings.assign(_rank=findings["verdict"].map(VERDICTS.index))
    groups = ordered.groupby(["_rank", "verdict", "code", "table", "file", "column"], sort=True, dropna=False)
    summary = groups.agg(
        count=("count", "sum"), amount=("amount", _sum), row=("row", "first"), value=("value", "first"),
        message=("message", "first"), way_out=("way_out", "first"),
    )  # fmt: skip
    return summary.reset_index().drop(columns="_rank")


def _sum(amounts: pd.Series[Any]) -> Decimal | None:
    known = [a for a in amounts if isinstance(a, Decimal)]
    return sum(known, Decimal(0)) if known else None


# --- tie-out (a) -----------------------------------------------------------------------------------------------------


def intake_amounts(ledger: Ledger) -> pd.DataFrame:
    """Per table and numeric column (and `rows`): read = assigned + unassigned + excluded, exact.

    Excluded is what lies outside the coverage; unassigned is covered and has no known owner. `read` is summed over the
    table as it was read, the other three after the look-up of customers, so that a row lost or doubled there shows.
    """
    _make_books(ledger)
    parts = [row for name in ledger.tables for row in _amounts_of(ledger, name)]
    return pd.DataFrame(parts, columns=["table", "column", "read", "assigned", "unassigned", "excluded"])


def _amounts_of(ledger: Ledger, name: str) -> list[tuple[Any, ...]]:
    columns = numeric_columns(ledger.tables[name])
    sums = ", ".join(["count(*) AS rows", *(f'coalesce(sum("{c}"), 0) AS "{c}"' for c in columns)])
    read = _asked(ledger, f"SELECT {sums} FROM typed.{name}")
    split = _asked(ledger, f"SELECT _covered, _assigned, {sums} FROM books.{name} GROUP BY ALL")
    assigned = [g for g in split if g["_covered"] and g["_assigned"]]
    unassigned = [g for g in split if g["_covered"] and not g["_assigned"]]
    excluded = [g for g in split if not g["_covered"]]
    groups, nought = (read, assigned, unassigned, excluded), {"rows": 0}
    return [
        (name, c, *(sum((g[c] for g in group), nought.get(c, Decimal(0))) for group in groups))
        for c in ("rows", *columns)
    ]


def _asked(ledger: Ledger, query: str) -> list[dict[str, Any]]:
    return list(ledger.con.raw_sql(query).to_arrow_table().to_pylist())


def numeric_columns(expr: ir.Table) -> list[str]:
    """Money, quantity, rate and measure columns of a typed table."""
    return [c for c, dtype in expr.schema().items() if dtype.is_decimal()]


# --- books that the checks query -------------------------------------------------------------------------------------


def _make_books(ledger: Ledger) -> None:
    """Views in the schema `books`: every table with every column, and what the statement and the settings allow."""
    con = ledger.con
    con.raw_sql("CREATE SCHEMA IF NOT EXISTS memory.books")
    _make_view(ledger, "owners", _owners(ledger))
    for name in tables():
        _make_view(ledger, name, _placed(ledger, name))
    leaves = [line for line in ledger.engagement.statement if "id" in line and not line.get("subtotal")]
    lines = [(line["id"], line.get("class") != "pool", "rates" in (line.get("sources") or ())) for line in leaves]
    measures = numeric_columns(ledger.tables["invoice_lines"]) if ledger.has("invoice_lines") else []
    drivers = {d: source.split(".")[0] for d, source in DRIVERS.items() if ledger.has(*source.split("."))}
    _make_view(ledger, "lines", _values("lines(line, booked, rated)", lines))
    _make_view(
        ledger,
        "drivers",
        _values("drivers(driver, source)", [*drivers.items(), *((c, "invoice_lines") for c in measures), ("", "")]),
    )
    _make_view(
        ledger,
        "months",
        "SELECT CAST(month AS DATE) AS month FROM ("
        + _values("m(month)", [(m,) for m in ledger.engagement.coverage.month_starts()])
        + ")",
    )
    days = (f"SELECT '{n}' AS source, min({d}) AS day FROM books.{n} WHERE _covered GROUP BY date_trunc('month', {d})"
            for n, d in (("invoice_lines", "invoice_date"), ("credits", "date")))  # fmt: skip
    _make_view(ledger, "driver_days", " UNION ALL ".join(days))
    _make_view(
        ledger, "first_rates", "SELECT activity, min(valid_from) AS first_day FROM books.rates GROUP BY activity"
    )
    _make_view(ledger, "pool_months", "SELECT DISTINCT pool, month FROM books.capacity WHERE pool IS NOT NULL")


def _make_view(ledger: Ledger, name: str, query: str) -> None:
    ledger.con.raw_sql(f"CREATE OR REPLACE VIEW memory.books.{name} AS {query}")


def _values(name: str, rows: Sequence[tuple[Any, ...]]) -> str:
    told = ", ".join("(" + ", ".join(str(v) if isinstance(v, bool) else _quoted(v) for v in row) + ")" for row in rows)
    return f"SELECT * FROM (VALUES {told}) AS {name}"


def _quoted(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _owners(ledger: Ledger) -> str:
    """Query for level and key of everyone who can own a cost."""
    there = {level: c for level, c in LEVELS.items() if ledger.has("customers", c)}
    ruled = [("segment", name) for name in ledger.engagement.segments] or [("", "")]
    named = (f"SELECT '{level}' AS level, {c} AS key FROM typed.customers" for level, c in there.items())
    return " UNION ".join([*named, _values("segments(level, key)", ruled)])


def _placed(ledger: Ledger, name: str) -> str:
    """Query for a table with all its columns, `_covered` (or without a date) and `_assigned` (to a known customer or owner)."""
    table, coverage = tables()[name], ledger.engagement.coverage
    missing = "".join(
        f", CAST(NULL AS {SQL_TYPES.get(c.type, 'VARCHAR')}) AS {c.name}"
        for c in table.columns.values()
        if not ledger.has(name, c.name)
    )
    if name not in ledger.tables:
        return f"SELECT '' AS _file, 0 AS _row, false AS _covered, false AS _assigned{missing} WHERE false"
    covered = (
        f"coalesce({table.date} >= DATE '{coverage.start}' AND {table.date} < DATE '{coverage.end}', false)"
        if table.date
        else "true"
    )
    on = "USING (level, key)" if name == "costs" else "USING (customer_id)"
    owned = name == "costs" or (name != "customers" and "customer_id" in table.columns)
    if not (owned and _whole(ledger, "customers", "customer_id")):
        return f"SELECT *, {covered} AS _covered, true AS _assigned{missing} FROM typed.{name}"
    known = "books.owners" if name == "costs" else "(SELECT DISTINCT customer_id FROM typed.customers)"
    return f"SELECT * EXCLUDE (_known), {covered} AS _covered, _known IS NOT NULL AS _assigned{missing} FROM typed.{name} LEFT JOIN (SELECT *, true AS _known FROM {known}) {on}"


# --- checks ----------------------------------------------------------------------------------------------------------


@functools.cache
def _specs() -> dict[str, Any]:
    return read_yaml(PACKAGE / "checks.yml")


def _check(ledger: Ledger, code: str, name: str) -> _Check:
    settings, table, spec = ledger.engagement.settings, tables()[name], _specs()[code]
    owner = next((c for c in ("customer_id", "key", "line") if c in table.columns), "")
    words = {
        "coverage": ledger.engagement.coverage.label, "currency_wanted": settings.currency, "total": TOTAL,
        "multiple": settings.thresholds.outlier_multiple, "date": table.date, "amount": next(iter(_money(ledger, name)), "NULL"),
        "owner": owner, "keys": ", ".join(table.key), "first_key": next(iter(table.key), ""),
        "key_there": " AND ".join(f"{c} IS NOT NULL" for c in table.key),
    }  # fmt: skip
    return _Check(spec.get("code", code), table, spec, words)


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
    has_row = "'' AS _file" not in query and "EXCEPT" not in query
    sums = (
        ", ".join(f"sum({c}) OVER () AS sum_{c}" for c in numeric_columns(ledger.tables[check.table.name]))
        if "{sums}" in str(check.spec.get("message"))
        else ""
    )
    total = amount if amount and (has_row or "amount" in check.spec) else "CAST(NULL AS DECIMAL(18, 4))"
    value = check.text("value") or column
    listing = f"""SELECT *, CAST({value} AS VARCHAR) AS _value, {total} AS _amount, count(*) OVER () AS _count, sum({total}) OVER () AS _sum{", " + sums if sums else ""}
                  FROM ({query}) ORDER BY _file, _row LIMIT {1 if check.spec["verdict"] == "accept" else SHOWN}"""
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
    message = str(check.spec["message"]).format_map(words) + _near(value, choices)
    return Finding(check.spec["verdict"], check.code, message, check.spec["way_out"], table=check.table.name, file=record["_file"] or "",
                   row=record["_row"], column=column, value=value, amount=record["_amount"])  # fmt: skip


def _choices(ledger: Ledger, check: _Check) -> list[str]:
    """What is allowed, where it is few enough to look for the nearest."""
    if "allowed" not in check.spec:
        return []
    rows = ledger.con.raw_sql(f"SELECT DISTINCT * FROM ({check.text('allowed')}) LIMIT {MOST_CHOICES + 1}").fetchall()
    return sorted(row[0] for row in rows if row[0]) if len(rows) <= MOST_CHOICES else []


def _near(value: str, choices: Sequence[str]) -> str:
    same = [c for c in choices if _folded(c) == _folded(value)] if value else []
    near = same or (difflib.get_close_matches(value, choices, 1) if value else [])
    return f"; did you mean {shortened(near[0])!r}?" if near else ""


def _simple(code: str, table: str, words: Mapping[str, Any] | None = None, **place: Any) -> Finding:
    spec, words = _specs()[code], {"table": table, **(words or {})}
    return Finding(
        spec["verdict"],
        code,
        spec["message"].format_map(words),
        spec["way_out"].format_map(words),
        table=table,
        **place,
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
    columns, limit = numeric_columns(ledger.tables[name]), ledger.engagement.settings.thresholds.unassigned_share
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


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().translate(LOOK_ALIKE).split())


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
            other = seen.setdefault(_folded(value), value)
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


# --- a new engagement ------------------------------------------------------------------------------------------------


def write_template(folder: Path, files: Sequence[Path] = ()) -> None:
    """A new engagement: commented engagement.yml, an example statement, headers of every table, and a place for judgement.

    From the client's files, delimiter, encoding, date formats and columns are proposed as comments, for a person to confirm.

    Raises
    ------
    SettingsError
        The folder is there and not empty, or a file is not there.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} is there and not empty; name a new folder")
    if gone := [str(f) for f in files if not f.is_file()]:
        raise SettingsError(f"no such file: {', '.join(gone)}")
    proposals = "".join(_proposal(file) for file in files)
    for place in ("ledger", "judgement", "headers"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    settings = (PACKAGE / "templates" / "engagement.yml").read_text(encoding="utf-8")
    (folder / "engagement.yml").write_text(settings + proposals, encoding="utf-8")
    statement = (PACKAGE / "statement.yml").read_text(encoding="utf-8")
    (folder / "statement.example.yml").write_text(
        "# Rename to statement.yml to use a statement of your own.\n" + statement, encoding="utf-8"
    )
    from crmlib import criteria  # it needs the books, which need this module

    (folder / "judgement" / "README.md").write_text(
        "What people decide in workshops; each notebook that reads one says how.\n", encoding="utf-8"
    )
    for name, text in criteria.templates().items():
        (folder / "judgement" / name).write_text(text, encoding="utf-8")
    for table in tables().values():
        (folder / "headers" / f"{table.name}.csv").write_text(",".join(table.columns) + "\n", encoding="utf-8")


def _proposal(file: Path) -> str:
    """What the first thousand rows of a file suggest, as commented lines of engagement.yml."""
    if file.suffix.lower() != ".csv":
        return f"\n# {file.name}: only CSV files are looked at; see the comments above\n"
    raw = file.read_bytes()[:1_000_000]
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else _first_that_decodes(raw)
    lines = raw.decode(encoding, errors="ignore").splitlines()[:1001]
    delimiter = max(",;\t|", key=lambda mark: min((line.count(mark) for line in lines[:20]), default=0))
    header, *rows = list(csv.reader(lines, delimiter=delimiter)) or [[]]
    table = max(
        tables().values(),
        key=lambda t: (t.name == file.stem.casefold(), sum(1 for c in t.columns if _nearest(c, header))),
    )
    free = [name for name in header if name not in table.columns]
    columns = [f"#       {c}: {near!r}" for c in table.columns if c not in header and (near := _nearest(c, free))]
    cells = [cell for row in rows for cell in row]
    commas = sum(bool(re.fullmatch(r"-?[\d.]+,\d{1,2}", c)) for c in cells)
    points = sum(bool(re.fullmatch(r"-?[\d,]+\.\d{1,2}", c)) for c in cells)
    return "\n".join([
        f"\n# {file.name} looks like this; confirm each line, then take away the marks",
        "# tables:", f"#   {table.name}:", f"#     source: {file.stem}", *(["#     columns:", *columns] if columns else []), "#     formats:",
        f"#       encoding: {encoding}", f"#       delimiter: {json.dumps(delimiter)}",
        f"#       decimal: {json.dumps(',' if commas > points else '.')}", f"#       {_dates_proposed(cells)}", "",
    ])  # fmt: skip


def _first_that_decodes(raw: bytes) -> str:
    try:
        raw[: raw.rfind(b"\n")].decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _nearest(column: str, header: Sequence[str]) -> str:
    plain = {re.sub(r"\W|_", "", h).casefold(): h for h in header}
    near = difflib.get_close_matches(column.replace("_", ""), plain, 1, cutoff=0.72)
    return plain[near[0]] if near else ""


def _dates_proposed(cells: Sequence[str]) -> str:
    """A date format, or why none is proposed: where day and month could change places, people must say."""
    forms = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d-%m-%Y", "%m-%d-%Y")
    dated = [c for c in cells if re.fullmatch(r"\d{4}-\d\d-\d\d|\d{1,2}[./-]\d{1,2}[./-]\d{4}", c)]
    fit = [form for form in forms if dated and all(_is_date(c, form) for c in dated)]
    if not dated:
        return "(no dates seen)"
    if len(fit) == 1:
        return f"dates: {json.dumps(fit)}"
    return f"dates: not clear ({'could be ' + ' or '.join(fit) if fit else 'none or several formats'}; such as {', '.join(dated[:3])})"


def _is_date(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True
