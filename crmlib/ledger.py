"""The ledger: a company's books, typed by one table of column records (ledger.yml), without guessing.

Text is converted by what the engagement declares; types that files and databases bring are checked. What cannot be
read becomes a `Finding` with file, row, column and value, never a guess.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from crmlib.engagement import PACKAGE, ColumnSource, Engagement, Formats
from crmlib.sources import Finding, RawBooks, read_raw, rejection, shortened

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

SHOWN = 100  # defects of one kind in one column that are listed row by row; the rest is counted in the last
SCALES = {"money": 4, "quantity": 4, "rate": 8, "measure": 8, "integer": 0}
DTYPES = {
    "money": "decimal(18, 4)", "quantity": "decimal(18, 4)", "rate": "decimal(18, 8)", "measure": "decimal(18, 8)",
    "integer": "int64", "date": "date", "month": "date",
}  # fmt: skip
DATE_PARTS = {"%Y": r"\d{4}", "%m": r"\d{1,2}", "%d": r"\d{1,2}", "%b": "[A-Za-z]{3}", "%B": "[A-Za-z]{3,9}"}


@dataclass(frozen=True)
class Column:
    """One column of a ledger table, as ledger.yml records it."""

    name: str
    type: str
    meaning: str
    required: bool = False
    blank: bool = False
    values: tuple[str, ...] = ()
    unit: str = ""
    enables: str = ""

    @property
    def numeric(self) -> bool:
        """Whether it holds an amount, a quantity or a rate."""
        return self.type in SCALES

    @property
    def dtype(self) -> str:
        """Ibis type of the typed column."""
        return DTYPES.get(self.type, "string")


@dataclass(frozen=True)
class Table:
    """One table of the ledger: its grain, key, date column and columns."""

    name: str
    grain: str
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    date: str | None = None
    required: bool = False


@functools.cache
def tables() -> dict[str, Table]:
    """The ledger's tables by name, from ledger.yml."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load((PACKAGE / "ledger.yml").read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 (both are safe)
    return {name: _table(name, record) for name, record in content.items()}


def _table(name: str, record: Mapping[str, Any]) -> Table:
    columns = {
        c: Column(c, **{**spec, "values": tuple(spec.get("values", ()))}) for c, spec in record["columns"].items()
    }
    return Table(name, record["grain"], columns, tuple(record.get("key", ())), record.get("date"), "required" in record)


@dataclass(frozen=True)
class Ledger:
    """The typed tables that are there, each with `_file` and `_row` (as a spreadsheet counts), as unexecuted expressions.

    `sources` names the files read with their SHA-256; `defects` holds what could not be read.
    """

    engagement: Engagement
    con: Backend
    tables: Mapping[str, ir.Table]
    sources: Mapping[str, str]
    defects: tuple[Finding, ...]

    def has(self, table: str, *columns: str) -> bool:
        """Whether a table is there, with all these columns."""
        return table in self.tables and all(c in self.tables[table].columns for c in columns)

    def covered(self, table: str) -> ir.Table:
        """Rows of a table within the engagement's coverage (all, where the table has no date)."""
        expr, day, coverage = self.tables[table], tables()[table].date, self.engagement.coverage
        return expr if day is None else expr.filter((expr[day] >= coverage.start) & (expr[day] < coverage.end))


def connect() -> Backend:
    """A private engine in memory that fetches nothing."""
    import ibis

    con = ibis.duckdb.connect()
    con.raw_sql("SET autoinstall_known_extensions = false; SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return con


def read_ledger(engagement: Engagement, work: Path) -> Ledger:
    """Read every table that is there; text becomes typed Parquet in the folder `work`.

    Raises
    ------
    SettingsError
        The source is not there, or a mapping names a file, sheet or table that is not in it.
    """
    work.mkdir(parents=True, exist_ok=True)
    con = connect()
    raw = read_raw(engagement, tables(), con, work)
    typed, defects = {}, [*raw.defects, *_missing_tables(raw)]
    con.raw_sql("CREATE SCHEMA memory.typed")
    for name, expr in raw.tables.items():
        columns, found = _columns(engagement, tables()[name], expr)
        bad = {f"_bad_{c.name}": problem for c, _, _, problem in columns}
        checked = expr.select("_file", "_row", **{c.name: value for c, _, value, _ in columns}, **bad)
        path = (
            work / f"{name}.parquet" if name in raw.text else None
        )  # text is converted once, then as quick as what came typed
        _make_views(con, checked, name, path)
        defects += [*found, *_value_defects(con, expr, columns, name)]
        if not found:
            typed[name] = con.table(name, database=("memory", "typed"))
    return Ledger(engagement, con, typed, raw.files, tuple(defects))


def _make_views(con: Backend, checked: ir.Table, name: str, path: Path | None) -> None:
    """The view `typed.NAME`, and `typed.checked_NAME` that has the defects' codes too."""
    if path:
        con.to_parquet(checked, str(path))
        con.raw_sql(
            f"CREATE VIEW memory.typed.checked_{name} AS FROM read_parquet('{str(path).replace(chr(39), chr(39) * 2)}')"
        )
    else:
        con.create_view(f"checked_{name}", checked, database=("memory", "typed"))
    kept = ", ".join(f'"{c}"' for c in checked.columns if not c.startswith("_bad_"))
    con.raw_sql(f"CREATE VIEW memory.typed.{name} AS SELECT {kept} FROM memory.typed.checked_{name}")


def _missing_tables(raw: RawBooks) -> list[Finding]:
    blamed = {d.table for d in raw.defects}
    return [
        rejection("table-missing", f"the ledger has no table {t.name}", f"add it, or map it under tables.{t.name}", table=t.name)
        for t in tables().values()
        if t.required and t.name not in raw.tables and t.name not in blamed and "" not in blamed
    ]  # fmt: skip


# --- columns ---------------------------------------------------------------------------------------------------------

TypedColumn = tuple[Column, str, Any, Any]  # record, the client's column, typed value, code of the defect or null


def _columns(engagement: Engagement, table: Table, raw: ir.Table) -> tuple[list[TypedColumn], list[Finding]]:
    """Each record's column that is there, typed; or what is wrong with the header."""
    spec = engagement.table(table.name)
    formats = spec.formats or engagement.settings.formats
    records = {**table.columns, **_own_columns(engagement, table)}
    typed, found = [], _unknown_mappings(table, spec.columns, records)
    for column in records.values():
        source = spec.column(column.name)
        if source.column in raw.columns:
            typed.append((column, str(source.column), *_typed(raw[source.column], column, source, formats)))
        elif near := _near_column(
            str(source.column), raw.columns, mapped=column.name in spec.columns or column.required
        ):
            found.append(_header_finding(table.name, str(source.column), near, raw))
        elif column.required or column.name in spec.columns:
            found.append(_header_finding(table.name, str(source.column), "", raw))
    return typed, found


def _own_columns(engagement: Engagement, table: Table) -> dict[str, Column]:
    """Columns beyond the records: measures of invoice_lines that the statement names or the mapping adds, attributes of customers that it adds."""
    given = engagement.table(table.name).columns
    unmapped = [c for c in table.columns if c not in given]
    added = [c for c in given if c not in table.columns and not difflib.get_close_matches(c, unmapped, 1, 0.8)]
    if table.name == "customers":
        taken = {"owner", "level", "month", *(line.get("id") for line in engagement.statement)}  # columns of the cube
        named = [
            c for c in added if re.fullmatch(r"(?!driver_|charged_|now_|never_)[a-z][a-z0-9_]*", c) and c not in taken
        ]
        return {n: Column(n, "text", "attribute of this company") for n in named}
    if table.name == "invoice_lines":
        sources = [str(source) for line in engagement.statement for source in line.get("sources") or ()]
        named = [s.split(".", 1)[1] for s in sources if s.startswith("invoice_lines.")]
        return {n: Column(n, "measure", "measure of this company") for n in (*named, *added) if n not in table.columns}
    return {}


def _unknown_mappings(table: Table, mapped: Mapping[str, Any], records: Mapping[str, Column]) -> list[Finding]:
    return [
        rejection("mapping-unknown", f"tables.{table.name}.columns.{name}: the ledger has no such column",
                  f"allowed: {', '.join(records)}", table=table.name, column=name)
        for name in mapped if name not in records
    ]  # fmt: skip


def _near_column(wanted: str, present: tuple[str, ...], *, mapped: bool) -> str:
    """A column that differs in case or spaces only, or, where one is needed, the nearest."""
    same = [c for c in present if re.sub(r"[\s_-]", "", c.casefold()) == re.sub(r"[\s_-]", "", wanted.casefold())]
    close = difflib.get_close_matches(wanted, [c for c in present if not c.startswith("_")], 1) if mapped else []
    return (same or close or [""])[0]


def _header_finding(table: str, wanted: str, near: str, raw: ir.Table) -> Finding:
    hint = f"; {near!r} is near" if near else ""
    file = raw.limit(1)["_file"].execute()
    way_out = f"rename it, or map it under tables.{table}.columns"
    return rejection("column-missing", f"column {wanted!r} is not in the header{hint}", way_out, table=table,
                     file=file.iloc[0] if len(file) else "", row=1, column=wanted, value=shortened(near))  # fmt: skip


def _typed(value: Any, column: Column, source: ColumnSource, formats: Formats) -> tuple[ir.Value, ir.StringValue]:
    """A column's typed value, and the code of what is wrong with it (null where nothing is)."""
    dtype = value.type()
    if dtype.is_string():
        typed, problem = _from_text(value, column, formats)
        present = value.strip().length() > 0
    else:
        typed, problem = _from_native(value, column, cast=source.cast)
        present = value.notnull()
    present = present.fill_null(False)
    if column.numeric and source.blank == "zero":
        return _cases(typed, (~present, 0), dtype=column.dtype), _when(present, problem)
    return typed, _blank_or(problem, present, column)


def _cases(otherwise: Any, *cases: tuple[Any, Any], dtype: str) -> Any:
    import ibis

    return ibis.cases(*[(test, ibis.literal(v).cast(dtype)) for test, v in cases], else_=otherwise.cast(dtype))


def _when(test: Any, problem: Any) -> Any:
    import ibis

    return ibis.ifelse(ibis.literal(False) if test is False else test, problem, ibis.null("string"))


def _blank_or(problem: Any, present: Any, column: Column) -> Any:
    """A blank is refused where a value is needed: in a required column, and in any number."""
    import ibis

    refused = not column.blank and (column.required or column.numeric)
    return ibis.ifelse(present, problem, ibis.literal("blank") if refused else ibis.null("string"))


# --- values ----------------------------------------------------------------------------------------------------------


def _from_text(value: Any, column: Column, formats: Formats) -> tuple[Any, Any]:
    text = value.strip()
    if column.numeric:
        return _number(text, column, formats)
    if column.type in {"date", "month"}:
        return _date(text, column, formats)
    if column.values:
        known = text.isin(column.values)
        return _when(known, text), _when(~known, "value-unknown")
    return text.nullif(""), _untrimmed(value, text, column)


def _untrimmed(value: Any, text: Any, column: Column) -> Any:
    return _when((value != text) & (text != ""), "key-trimmed") if column.type == "key" else _when(False, "")


def _number(text: Any, column: Column, formats: Formats) -> tuple[Any, Any]:
    import ibis

    normal = text
    for mark in filter(None, (formats.thousands, formats.currency_sign)):
        normal = normal.replace(mark, "")
    normal = normal.strip().replace(formats.decimal, ".")
    if formats.negative == "trailing":
        normal = normal.re_replace(r"^(.*)-$", r"-\1")
    elif formats.negative == "parentheses":
        normal = normal.re_replace(r"^\((.*)\)$", r"-\1")
    fits = text.re_search(_number_pattern(formats, SCALES[column.type]))
    longer = text.re_search(_number_pattern(formats, 99))
    value = ibis.ifelse(fits, normal, ibis.null("string")).try_cast(column.dtype)
    problem = ibis.cases(
        (fits & value.notnull(), ibis.null("string")), (longer, "number-too-long"), else_="number-format"
    )
    return value, problem


def _number_pattern(formats: Formats, scale: int) -> str:
    thousands, point = re.escape(formats.thousands), re.escape(formats.decimal)
    digits = 14 if scale < 99 else 99
    whole = rf"\d{{1,{digits}}}" if not thousands else rf"(?:\d{{1,3}}(?:{thousands}\d{{3}})+|\d{{1,{digits}}})"
    number = whole + (rf"(?:{point}\d{{1,{scale}}})?" if scale else "")
    sign = re.escape(formats.currency_sign)
    number = rf"(?:{sign} ?)?{number}(?: ?{sign})?" if sign else number
    forms = {"leading": f"-?{number}", "trailing": f"{number}-?", "parentheses": rf"(?:{number}|\({number}\))"}
    return f"^{forms[formats.negative]}$"


def _date(text: Any, column: Column, formats: Formats) -> tuple[Any, Any]:
    import ibis

    shaped = [text.re_search(_date_pattern(form)) for form in formats.dates]
    read = [
        ibis.ifelse(fits, _strptime()(text, form), ibis.null("timestamp")).cast("date")
        for fits, form in zip(shaped, formats.dates, strict=True)
    ]
    value = ibis.coalesce(*read)
    several = [(ibis.greatest(*read) != ibis.least(*read), "date-ambiguous")] if len(read) > 1 else []
    wrong = ibis.ifelse(functools.reduce(lambda a, b: a | b, shaped), "date-impossible", "date-format")
    cases = [*several, (value.isnull(), wrong), *_not_first(value, column)]
    return value, ibis.cases(*cases, else_=ibis.null("string"))


@functools.cache
def _strptime() -> Any:
    import ibis

    def try_strptime(text: Any, form: Any) -> Any:
        """DuckDB's own, for the text that is read there."""

    return ibis.udf.scalar.builtin(try_strptime, signature=(("string", "string"), "timestamp"))


def _not_first(value: Any, column: Column) -> list[tuple[Any, str]]:
    return [(value.day() != 1, "month-not-first")] if column.type == "month" else []


def _date_pattern(form: str) -> str:
    return "^" + "".join(DATE_PARTS.get(part, re.escape(part)) for part in re.split(r"(%[a-zA-Z])", form)) + "$"


def _from_native(value: Any, column: Column, *, cast: bool) -> tuple[Any, Any]:
    """A value that a Parquet file or a database brings with its type."""
    import ibis

    dtype, none = value.type(), ibis.null("string")
    if column.numeric:
        return _native_number(value, column, cast=cast)
    if column.type in {"date", "month"}:
        if not (dtype.is_date() or dtype.is_timestamp()):
            return ibis.null("date"), ibis.literal("type-not-date")
        day = value.cast("date")
        timed = [] if dtype.is_date() or cast else [(value != day.cast(dtype), "date-with-time")]
        timed += (
            [(ibis.literal(True), "date-with-zone")] if dtype.is_timestamp() and dtype.timezone and not cast else []
        )
        cases = timed + _not_first(day, column)
        return day, ibis.cases(*cases, else_=none) if cases else none
    if dtype.is_floating() or not (cast or dtype.is_string()):
        return value.cast("string"), ibis.literal("type-not-text")
    given = value.cast("string")
    return given.strip().nullif(""), _untrimmed(given, given.strip(), column)


def _native_number(value: Any, column: Column, *, cast: bool) -> tuple[Any, Any]:
    import ibis

    dtype, none = value.type(), ibis.null("string")
    if dtype.is_floating() and not cast:
        return ibis.null(column.dtype), ibis.literal("type-floating")
    if not dtype.is_numeric() or dtype.is_boolean():
        return ibis.null(column.dtype), ibis.literal("type-not-number")
    typed = value.try_cast(column.dtype)
    if dtype.is_floating():
        return typed, ibis.cases((value.isnan() | value.isinf() | typed.isnull(), "number-format"), else_=none)
    exact = typed == value if not cast else ibis.literal(True)
    return typed, ibis.cases((typed.isnull() | ~exact, "number-too-long"), else_=none)


# --- defects ---------------------------------------------------------------------------------------------------------

TOLD = {
    "key-trimmed": ("a key with blanks around it; read without them", "trim it at the source"),
    "blank": ("blank where a value is needed", "fill it; for a number, `blank: zero` in the mapping means nought"),
    "number-format": ("not a number as the settings declare it", "write it like 1234.56, or declare its format under formats"),
    "number-too-long": ("more digits or decimals than the column holds ({digits})", "round it at the source"),
    "date-format": ("not a date as the settings declare it", "write it so, or declare its format under formats.dates"),
    "date-impossible": ("a date that does not exist", "mend it at the source"),
    "date-ambiguous": ("a date that fits two declared formats with two results", "declare one format for this table"),
    "date-with-time": ("a time of day where a date is needed", "map the column with `cast: true` to take the date"),
    "date-with-zone": ("a time with zone where a date is needed", "map the column with `cast: true` to take the date in UTC"),
    "month-not-first": ("a month is written as its first day", "write the first day of the month"),
    "value-unknown": ("not one of {values}", "use one of these"),
    "type-floating": ("floating-point numbers where decimals are needed", "store decimals, or map the column with `cast: true`"),
    "type-not-number": ("no number type", "store decimals, or convert in a .sql mapping"),
    "type-not-date": ("no date type", "store dates, or convert in a .sql mapping"),
    "type-not-text": ("no text type", "map the column with `cast: true`, or convert in a .sql mapping"),
}  # fmt: skip


def _value_defects(con: Backend, raw: ir.Table, columns: list[TypedColumn], table: str) -> list[Finding]:
    """One finding per row and column that cannot be read: counted in one pass, listed only where there are any."""
    counts = ", ".join(f'count("_bad_{c.name}")' for c, *_ in columns)
    counted = con.raw_sql(f"SELECT {counts} FROM memory.typed.checked_{table}").fetchall()[0] if columns else ()
    found: list[Finding] = []
    for (column, source, _, problem), count in zip(columns, counted, strict=True):
        if count:
            shown = raw.select("_file", "_row", code=problem, text=raw[source].cast("string"))
            found += _listed(shown.filter(shown.code.notnull()), column, table)
    return found


def _listed(shown: ir.Table, column: Column, table: str) -> list[Finding]:
    found = []
    filled = {"values": ", ".join(column.values), "digits": column.dtype}
    for kind in shown.group_by("code").aggregate(total=shown.count()).order_by("code").to_pyarrow().to_pylist():
        code, total = kind["code"], kind["total"]
        rows = shown.filter(shown.code == code).order_by("_file", "_row").limit(SHOWN).to_pyarrow().to_pylist()
        verdict = "warn" if code == "key-trimmed" else "reject"
        message, way_out = TOLD[code]
        for i, row in enumerate(rows, 1):
            left = total - SHOWN if i == SHOWN else 0
            more = f"; {left:,} more rows like this" if left else ""
            found.append(Finding(verdict, code, message.format(**filled) + more, way_out, table=table, file=row["_file"],
                                 row=row["_row"], column=column.name, value=shortened(row["text"] or ""), count=1 + left))  # fmt: skip
    return found
