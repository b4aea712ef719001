"""What is wrong with the books: each check is a query that returns the offending rows; nothing is mended in silence.

The checks stand in checks.yml, in SQL over the views. Those on single rows are counted together, one pass per table,
and listed only where there are any.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from crmlib.books.findings import Finding, findings_frame, shortened
from crmlib.books.headings import TOTAL, TOTAL_OF
from crmlib.books.ledger import SHOWN, Ledger, identifier, numeric_columns, quoted
from crmlib.books.views import is_whole, make_sums
from crmlib.declared.ledger import DRIVERS, ORDERED, Table, tables
from crmlib.declared.periods import parse_period
from crmlib.declared.reading import Record, SettingsError, did_you_mean, folded, read
from crmlib.declared.settings import OpenQuestion

REPEATABLE = ("invoice_lines", "credits", "activities", "costs", "joint_costs")  # equal rows may be bookings
OF_PERIODS = ("control_totals", "customer_view")  # tables whose rows name their period
SIGNED = ("control_totals", "reconciliation", "customer_view")  # tables whose total may be negative
FIRST = 20_000  # rows by which it is judged whether a check hits few rows, which are then kept at hand:
FEW = 10  # at most one in so many
NO_CURRENCIES = ("XXX", "XTS", "XAU", "XAG", "XPT", "XPD", "XBA", "XBB", "XBC", "XBD", "XSU", "XUA")
MOST_CHOICES = 1000  # allowed values among which the nearest is looked for
ALIKE = {"customers": ("customer_id", "account_type", "region", "segment"), "products": ("product_id",)}


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


@dataclass(frozen=True, eq=False)
class _Check:
    """One check of one table, its texts filled in as far as the settings go."""

    code: str
    table: Table
    spec: Check
    words: Mapping[str, Any]

    def text(self, part: str, hits: str = "") -> str:
        """A part of the record in checks.yml, with words in braces filled in; `hits` is the table with the rows that `where` means."""
        words = {**self.words, "table": self.table.name, "where": self.spec.where, "hits": hits}
        return str(getattr(self.spec, part)).format_map(words)

    def amount(self, money: Sequence[str]) -> str:
        """What of a row is the amount at stake, a column of money unless the record says otherwise."""
        own = self.text("column") if self.text("column") in money else next(iter(money), "") if self.spec.place else ""
        return self.text("amount") or own or "CAST(NULL AS DECIMAL(18, 4))"


def check_ledger(ledger: Ledger) -> pd.DataFrame:
    """All that was found in the books: first what could not be read, then every check that the tables there allow.

    Returns
    -------
    One row per finding, columns as the fields of `Finding`. Rows beyond the hundredth of one kind are counted, with
    their amount, in the hundredth: `count` and `amount` add up to the whole.
    """
    make_sums(ledger)
    settings = ledger.engagement.settings
    first = [*_no_currency(settings.currency), *_open_questions(settings.open), *ledger.defects]
    found = [f for name in ledger.tables for f in _table_findings(ledger, name)]
    return findings_frame([*first, *found, *_alike_keys(ledger), *_unknown_periods(ledger), *_tables_needed(ledger)])


def _no_currency(code: str) -> list[Finding]:
    place = {"file": "engagement.yml", "column": "currency", "value": code}
    return [_simple("currency-none", "", {"currency": code}, **place)] if code in NO_CURRENCIES else []


def _open_questions(questions: Mapping[str, OpenQuestion]) -> Iterator[Finding]:
    """What nobody has answered: a rejection where amounts hang on it."""
    for key, question in questions.items():
        words = {"asked": question.asked, "taken": question.taken}
        told = _simple("settings-open", "", words, file="engagement.yml", column=f"open.{key}", value=question.taken)
        yield replace(told, verdict="reject", amount=question.amount) if question.amount is not None else told


def _table_findings(ledger: Ledger, name: str) -> list[Finding]:
    """What is wrong with one table."""
    checks = [_check(ledger, code, name) for code, spec in check_records().items() if name in spec.tables]
    checks = [c for c in checks if all(is_whole(ledger, *need.format(table=name).split(".")) for need in c.spec.needs)]
    hits = _row_hits(ledger, name, [c for c in checks if c.spec.where])
    findings: list[Finding] = []
    for check in checks:
        if check in hits or not check.spec.where:
            rows = hits.get(check, "")
            findings += _listed(ledger, check, check.text("rows", rows) or f"FROM {rows} WHERE {check.text('where')}")
    findings += _turned_signs(ledger, name)
    findings += _unassigned_shares(ledger, name) if any(c.code == "customer-unknown" for c in hits) else []
    # rows look equal where unread
    unread = any(d.table == name and d.verdict == "reject" and d.column and d.row for d in ledger.defects)
    return findings + (_repeats(ledger, name) if name in REPEATABLE and not unread else [])


@functools.cache
def check_records() -> dict[str, Check]:
    """The records of checks.yml by code."""
    return read(Path(__file__).with_name("checks.yml"), dict[str, Check])


def _check(ledger: Ledger, code: str, name: str) -> _Check:
    settings, table, spec = ledger.engagement.settings, tables()[name], check_records()[code]
    owner = next((c for c in ("customer_id", "key", "line") if c in table.columns), "")
    words = {
        "coverage": ledger.engagement.coverage.label, "currency_wanted": settings.currency, "total": TOTAL, "total_of": TOTAL_OF,
        "ordered": ORDERED, "wash_days": settings.thresholds.wash_days, "bare": _bare(table),
        "as_written": str(ledger.engagement.table(name).sign_of(spec.column) == "as written").lower(),
        "lacks_rate": ", and exchange_rates has no rate of its date" if ledger.has("exchange_rates") else "",
        "driver_names": ", ".join(map(quoted, DRIVERS)),
        "multiple": settings.thresholds.outlier_multiple, "date": table.date,
        "amount": next(iter(_money(ledger, name)), "CAST(NULL AS DECIMAL(18, 4))"), "owner": owner, "keys": ", ".join(table.key),
        "first_key": next(iter(table.key), ""),
        "key_there": " AND ".join(f"{c} IS NOT NULL" for c in table.key),
    }  # fmt: skip
    return _Check(spec.code or code, table, spec, words)


def _bare(table: Table) -> str:
    """Condition: a row names no document, product or quantity, as a total does not."""
    keys = [f"{c} IS NULL" for c in ("order_id", "line_no", "product_id") if c in table.columns]
    return " AND ".join([*keys, *(["coalesce(quantity, 0) = 0"] if "quantity" in table.columns else [])]) or "true"


def _money(ledger: Ledger, name: str) -> list[str]:
    return [c.name for c in tables()[name].columns.values() if c.type == "money" and ledger.has(name, c.name)]


def _row_hits(ledger: Ledger, name: str, checks: list[_Check]) -> dict[_Check, str]:
    """The checks on single rows that hit anything, and where their rows are: of a long table, those that few are hit by are asked in one pass, into a table of their own."""
    rows, first = _counts(ledger, checks, f"(FROM books.{name} LIMIT {FIRST})")
    if rows < FIRST:
        return {check: f"books.{name}" for check, count in first.items() if count}
    often = {check for check, count in first.items() if FEW * count > FIRST}
    either = " OR ".join(f"({check.text('where')})" for check in checks if check not in often) or "false"
    ledger.con.execute(f"CREATE OR REPLACE TEMP TABLE hits AS FROM books.{name} WHERE {either}")
    _, few = _counts(ledger, [check for check in checks if check not in often], "hits")
    return {check: f"books.{name}" if check in often else "hits" for check in checks if check in often or few[check]}


def _counts(ledger: Ledger, checks: Sequence[_Check], rows: str) -> tuple[int, dict[_Check, int]]:
    """How many rows there are, and how many of them each check hits."""
    flags = ", ".join(["1", *(f"{check.text('where')} AS c{i}" for i, check in enumerate(checks))])
    counts = ", ".join(["count(*)", *(f"count_if(c{i})" for i, _ in enumerate(checks))])
    [(whole, *found)] = ledger.con.execute(f"SELECT {counts} FROM (SELECT {flags} FROM {rows})").fetchall()
    # of conditions that are all unknown DuckDB counts NULL
    return whole, {check: count or 0 for check, count in zip(checks, found, strict=True)}


def _listed(ledger: Ledger, check: _Check, query: str) -> list[Finding]:
    """A finding per offending row, the first hundred; the last carries count and amount of those beyond."""
    column, placed, amount = check.text("column"), check.spec.place, check.amount(_money(ledger, check.table.name))
    most = 1 if check.spec.verdict == "accept" else SHOWN
    records = _asked(ledger, f"""
        SELECT *, CAST({check.text("value") or column} AS VARCHAR) AS _value, {amount} AS _amount
        FROM ({query}) ORDER BY {"_file, _row" if placed else "ALL"} LIMIT {most + 1}""")  # fmt: skip
    if not records:
        return []
    numbers = numeric_columns(ledger.tables[check.table.name]) if "{sums}" in check.spec.message else []
    whole = _whole(ledger, query, amount, numbers, placed=placed) if numbers or len(records) > most else {}
    told = ", ".join(f"{c} {whole[c]:,.2f}" for c in numbers if whole[c] is not None)
    words, choices = {"sums": f" ({told})" if told else ""}, _choices(ledger, check)
    findings = [_row_finding(check, column, words | record, choices) for record in records[:most]]
    if len(records) > most:
        rest = whole["_count"] - most
        message = f"{findings[-1].message}; {rest:,} more rows like this"
        message += ", not listed, the last of them row {row} of {file}".format_map(whole) if placed else ""
        listed = sum((f.amount or Decimal(0) for f in findings[:-1]), Decimal(0))
        remaining = None if whole["_sum"] is None else whole["_sum"] - listed
        findings[-1] = replace(findings[-1], message=message, count=1 + rest, amount=remaining)
    return findings


def _whole(ledger: Ledger, query: str, amount: str, numbers: Sequence[str], *, placed: bool) -> dict[str, Any]:
    """How many rows a query has, what amount, the sums of its numbers, and the last place."""
    last = ["max(_file) AS file, arg_max(_row, (_file, _row)) AS row"] if placed else []
    sums = [f"sum({c}) AS {c}" for c in map(identifier, numbers)]
    columns = ", ".join(["count(*) AS _count", f"sum({amount}) AS _sum", *last, *sums])
    return _asked(ledger, f"SELECT {columns} FROM ({query})")[0]


def _asked(ledger: Ledger, query: str) -> list[dict[str, Any]]:
    return list(ledger.con.execute(query).to_arrow_table().to_pylist())


def _row_finding(check: _Check, column: str, record: Mapping[str, Any], choices: Sequence[str]) -> Finding:
    value = shortened(record["_value"] or "")
    words = {**check.words, **record, "allowed": ", ".join(choices[:20])}
    message = check.spec.message.format_map(words) + did_you_mean(value, choices)
    return Finding(check.spec.verdict, check.code, message, check.text("way_out"), table=check.table.name,
                   file=record.get("_file") or "", row=record.get("_row"), column=column, value=value,
                   amount=record["_amount"])  # fmt: skip


def _choices(ledger: Ledger, check: _Check) -> list[str]:
    """What is allowed, where it is few enough to look for the nearest."""
    if not check.spec.allowed:
        return []
    rows = ledger.con.execute(f"SELECT DISTINCT * FROM ({check.text('allowed')}) LIMIT {MOST_CHOICES + 1}").fetchall()
    return sorted(row[0] for row in rows if row[0]) if len(rows) <= MOST_CHOICES else []


def _simple(code: str, table: str, words: Mapping[str, Any] | None = None, **place: Any) -> Finding:
    spec, words = check_records()[code], {"table": table, **(words or {})}
    message, way_out = (part.format_map(words) for part in (spec.message, spec.way_out))
    return Finding(spec.verdict, code, message, way_out, table=table, **place)


def _turned_signs(ledger: Ledger, name: str) -> list[Finding]:
    """A rejection for each amount that is negative as a whole, measures of invoice lines among them."""
    numbers = numeric_columns(ledger.tables[name]) if name == "invoice_lines" else _money(ledger, name)
    kept = [c for c in numbers if c != "quantity" and ledger.engagement.table(name).sign_of(c) != "as written"]
    if name in SIGNED or not kept:
        return []
    totals = ", ".join(f"sum({c}) AS {c}" for c in map(identifier, kept))
    [sums] = _asked(ledger, f"SELECT {totals} FROM books.sums_{name} WHERE _counted")
    negative = {c: total for c, total in sums.items() if total and total < 0}
    return [_simple("sign-turned", name, {"column": c}, column=c, amount=total) for c, total in negative.items()]


def _unassigned_shares(ledger: Ledger, name: str) -> list[Finding]:
    """A rejection for each amount of which, net, too much has no known customer."""
    columns = _money(ledger, name) or numeric_columns(ledger.tables[name])
    own = ledger.engagement.table(name).unassigned_share
    limit = ledger.engagement.settings.thresholds.unassigned_share if own is None else own
    sums = ", ".join(f"coalesce(sum({c}), 0) AS {c}" for c in map(identifier, columns))
    whole, without = (
        _asked(ledger, f"SELECT {sums} FROM books.sums_{name} WHERE _covered{only}")[0]
        for only in ("", " AND NOT _assigned")
    )
    shares = {c: abs(without[c]) / whole[c] for c in columns if whole[c] > 0}
    words = {c: {"share": f"{s:.1%}", "column": c, "limit": f"{limit:.1%}"} for c, s in shares.items() if s > limit}
    return [_simple("unassigned-share", name, words[c], column=c, amount=without[c]) for c in words]


def _repeats(ledger: Ledger, name: str) -> list[Finding]:
    """Equal rows, in one file or two, and one order line with two contents.

    First the keys or rows whose hash is not alone; then, among these few, what is really equal.
    """
    content = ", ".join(identifier(c) for c in ledger.tables[name].columns if not c.startswith("_"))
    key = tables()[name].key if ledger.has(name, *tables()[name].key) else ()
    there, keys = " AND ".join(f"{c} IS NOT NULL" for c in key), ", ".join(key)
    # what is left out repeats nothing
    counts = "coalesce(kind, '') <> 'exclude'" if ledger.has(name, "kind") else "true"
    mark = f"CASE WHEN {there} THEN hash({keys}) ELSE hash({content}) END" if key else f"hash({content})"
    marks = f"SELECT {mark} AS mark FROM typed.{name}"
    if key and ledger.engagement.settings.engine == "duckdb":  # its bits are DuckDB's alone
        marks = f"{marks} WHERE NOT ({there}) UNION ALL {marks} SEMI JOIN ({_suspects(name, key)}) USING ({key[0]}) WHERE {there}"
    several = f"SELECT mark FROM ({marks}) GROUP BY mark HAVING count(*) > 1"
    ledger.con.execute(f"CREATE OR REPLACE TEMP TABLE several AS {several}")
    if not _asked(ledger, "SELECT 1 FROM several LIMIT 1"):
        return []
    ledger.con.execute(f"""
        CREATE OR REPLACE TEMP TABLE copies AS SELECT *, min(_file) OVER (PARTITION BY {content}) AS _other_file,
            row_number() OVER (PARTITION BY {content} ORDER BY _file, _row) AS _copy, count(*) OVER (PARTITION BY _file, {content}) AS _here
        FROM books.bare_{name} WHERE {mark} IN (FROM several) AND {counts}""")
    words = _check(ledger, "row-twice", name).words
    one = f"""SELECT _file, min(_row) AS _row, count(*) AS _rows, min({words["date"]}) AS _first, max({words["date"]}) AS _last,
                     sum({words["amount"]}) AS _total, min(_other_file) AS _other_file, NULL AS {words["owner"]}"""
    rows = {
        "row-twice": "FROM copies WHERE _copy > 1 AND _file = _other_file",
        "rows-overlap": f"{one} FROM copies WHERE _file <> _other_file GROUP BY _file, _other_file",
        "file-doubled": f"""{one} FROM copies WHERE _here > 1 GROUP BY _file
                            HAVING count(*) > 3 AND count(*) = (SELECT count(*) FROM typed.{name} t WHERE t._file = copies._file)""",
    }
    if key:
        again = f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY _file, _row) > 1"
        rows["line-conflict"] = f"FROM copies WHERE _copy = 1 AND {there} {again}"
    kept = ledger.engagement.table(name).twins == "kept"
    softer = {"rows-overlap": "warn", "file-doubled": "warn"} if kept else {}
    findings = [f for code, query in rows.items() for f in _listed(ledger, _check(ledger, code, name), query)]
    return [replace(f, verdict=softer.get(f.code, f.verdict)) for f in findings]


def _suspects(name: str, key: Sequence[str]) -> str:
    """Query for the orders in which a line may stand twice.

    Each line sets one of 64 bits, by its number's hash: of an order with as many bits as lines, none stands twice.
    """
    first, rest = key[0], ", ".join(key[1:])
    # one is seldom enough
    bits = [f"bit_count(bit_or(1::UBIGINT << (hash({rest}) // {64**i} % 64)))" for i in range(2)]
    twice = " AND ".join(f"count(*) > {count}" for count in bits)
    return f"SELECT {first} FROM typed.{name} WHERE {rest} IS NOT NULL GROUP BY {first} HAVING {twice}"


def _alike_keys(ledger: Ledger) -> list[Finding]:
    """Keys and owners that differ in case, blanks or look-alike letters only."""
    findings = []
    for name, column in [(n, c) for n, columns in ALIKE.items() for c in columns if ledger.has(n, c)]:
        rows = f"""SELECT {column} AS value, min(_file) AS file, min(_row) AS row FROM books.{name}
                   WHERE {column} IS NOT NULL GROUP BY {column} ORDER BY row"""
        first: dict[str, str] = {}
        for place in _asked(ledger, rows):
            other = first.setdefault(folded(place["value"]), place["value"])
            if other != place["value"]:
                place["value"] = shortened(place["value"])
                words = {"other": repr(shortened(other))}
                findings.append(_simple("key-alike", name, words, column=column, **place))
    return findings


def _unknown_periods(ledger: Ledger) -> list[Finding]:
    """Control totals, and what customers tell, whose period is no period, or is not in the books."""
    rows = """SELECT _file AS file, _row AS row, 'period' AS column, period AS value, amount
              FROM books.{} WHERE period IS NOT NULL ORDER BY _file, _row"""
    findings, coverage = [], ledger.engagement.coverage
    places = [(table, place) for table in OF_PERIODS for place in _asked(ledger, rows.format(table))]
    for name, place in places:
        text, place["value"] = place["value"], shortened(place["value"])
        try:
            period = parse_period(text, None, ledger.engagement.settings.fiscal_year_start)
        except SettingsError:
            findings.append(_simple("period-unknown", name, **place))
            continue
        if not period.within(coverage):
            words = {"coverage": coverage.label, "sums": ""}
            findings.append(_simple("outside-coverage", name, words, **place))
    return findings


def _tables_needed(ledger: Ledger) -> list[Finding]:
    needed = {"activities": "activity_types", "rates": "activity_types", "reconciliation": "control_totals"}
    blamed = {d.table for d in ledger.defects}
    pairs = [(n, o) for n, o in needed.items() if n in ledger.tables and o not in ledger.tables and o not in blamed]
    return [_simple("table-needed", name, {"other": other}) for name, other in pairs]
