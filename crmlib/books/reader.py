"""The ledger read: headers held against the dictionary, values typed, every defect of every file told at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from crmlib.books.columns import COMPUTED, WHERE, TypedColumn, typed_columns
from crmlib.books.currencies import convert
from crmlib.books.defects import listed
from crmlib.books.findings import Finding, rejection, shortened
from crmlib.books.forms import settle_lines
from crmlib.books.ledger import Ledger, close, connect, identifier, quoted
from crmlib.books.raw import Raw, Reader, source_files
from crmlib.books.sources import read_raw
from crmlib.books.views import make_views
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import tables

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend


def read_ledger(engagement: Engagement, work: Path) -> Ledger:
    """Read every table that is there; text becomes typed Parquet in the folder `work`.

    The engine of the ledger reads the source and the folder in which `work` lies, and nothing else.

    Raises
    ------
    SettingsError
        The source is not there, or a mapping names a file, sheet or table that is not in it.
    """
    work.mkdir(parents=True, exist_ok=True)
    reader = Reader(engagement, connect(), work)
    native = [file for file in source_files(engagement).values() if file.suffix.lower() not in {".csv", ".sql"}]
    native += [file.with_name(f"{file.name}.wal") for file in native]  # which a database looks for, there or not
    close(reader.con, work.parent, native)
    raws = read_raw(reader)
    reader.con.raw_sql("CREATE SCHEMA memory.typed")
    defects = list(dict.fromkeys(finding for raw in raws.values() for finding in raw.findings))
    defects += _missing_tables(raws, defects)
    typed: dict[str, ir.Table] = {}
    for name, raw in raws.items():
        if raw.table is not None:
            table, findings = _typed_table(reader, name, raw, raw.table)
            typed |= table
            defects += findings
    if "exchange_rates" in typed:
        for name in typed:
            defects += convert(reader.con, engagement, name, typed[name].columns)
            typed[name] = reader.con.table(name, database=("memory", "typed"))
    ledger = Ledger(engagement, reader.con, typed, tuple(defects), raws[""].state)
    make_views(ledger)
    return ledger


def _missing_tables(raws: Mapping[str, Raw], defects: list[Finding]) -> list[Finding]:
    blamed = {finding.table for finding in defects if finding.verdict == "reject"}
    return [
        rejection("table-missing", f"the ledger has no table {t.name}", f"add it, or map it under tables.{t.name}",
                  table=t.name)
        for t in tables().values()
        if t.required and t.name not in raws and t.name not in blamed and "" not in blamed
    ]  # fmt: skip


def _typed_table(reader: Reader, name: str, raw: Raw, expr: ir.Table) -> tuple[dict[str, ir.Table], list[Finding]]:
    """A table with its columns typed, if its header is right, and what is wrong with it."""
    expr, columns, header = typed_columns(reader, tables()[name], expr)
    values = {c.record.name: c.value for c in columns}
    costly = raw.text or any(name.startswith(COMPUTED) for name in expr.columns)
    texts = {} if costly else {c.record.name: c.text for c in columns if c.value.type() == c.text.type()}
    same = {f"_same_{c}": values[c].identical_to(text) for c, text in texts.items()}
    checked = expr.select("_file", "_row", **values, **{f"_bad_{c.record.name}": c.problem for c in columns}, **same)
    try:
        # text is converted once, then as quick as what came typed
        _make_typed(reader.con, checked, name, reader.work / f"{name}.parquet" if costly else None)
        counts = _counted(reader.con, checked, name)
        findings = header + _value_defects(expr, columns, counts, name) + _left_out(reader, columns, name)
        if as_given := {c: text for c, text in texts.items() if counts[f"_same_{c}"] == counts["rows"]}:
            plain = expr.select("_file", "_row", **{**values, **as_given})  # none of it is trimmed again and again
            reader.con.create_view(_plain(name), plain, database=("memory", "typed"), overwrite=True)
        if name == "invoice_lines":
            settle_lines(reader.con, list(values))
    except Exception as error:  # a damaged file or a client's view may fail where its rows are read
        message = shortened(f"the table cannot be read: {reader.said(error)}", 200)
        return {}, [rejection("table-unreadable", message, "export it anew, or mend the view", table=name)]
    unusable = any(f.verdict == "reject" and f.code != "column-misnamed" for f in header)
    return ({} if unusable else {name: reader.con.table(name, database=("memory", "typed"))}), findings


def _plain(name: str) -> str:
    """The view of a table as it is typed: of invoice lines, whose kinds are still to be settled, another than of its own name."""
    return "plain_lines" if name == "invoice_lines" else name


def _make_typed(con: Backend, checked: ir.Table, name: str, path: Path | None) -> None:
    """The view `typed.NAME` of the rows that are kept, and `typed.checked_NAME` of all, with the defects' codes."""
    if path:
        con.to_parquet(checked, str(path))
        con.raw_sql(f"CREATE VIEW memory.typed.checked_{name} AS FROM read_parquet({quoted(path)})")
    else:
        con.create_view(f"checked_{name}", checked, database=("memory", "typed"))
    columns = [identifier(c) for c in checked.columns if not c.startswith(("_bad_", "_same_")) and c != WHERE]
    kept = f" WHERE {identifier(WHERE)}" if WHERE in checked.columns else ""
    query = f"SELECT {', '.join(columns)} FROM memory.typed.checked_{name}{kept}"
    con.raw_sql(f"CREATE VIEW memory.typed.{_plain(name)} AS {query}")


def _counted(con: Backend, checked: ir.Table, name: str) -> dict[str, int]:
    """How many rows there are, have each defect, and hold each text as it was given: one pass."""
    marks = [c for c in checked.columns if c.startswith(("_bad_", "_same_"))]
    parts = [
        f"count({c}) AS {c}" if c.startswith('"_bad_') else f"count_if({c}) AS {c}" for c in map(identifier, marks)
    ]
    query = f"SELECT {', '.join(['count(*) AS rows', *parts])} FROM memory.typed.checked_{name}"
    return dict(con.raw_sql(query).to_arrow_table().to_pylist()[0])


def _left_out(reader: Reader, columns: list[TypedColumn], table: str) -> list[Finding]:
    """The rows that do not meet the mapping's condition, with their amount."""
    names = [c.record.name for c in columns]
    if WHERE not in names:
        return []
    amount = next((identifier(c.record.name) for c in columns if c.record.type == "money"), "NULL::DECIMAL(18, 4)")
    query = f"""SELECT count(*), sum({amount}), min(_file), min_by(_row, (_file, _row))
                FROM memory.typed.checked_{table} WHERE NOT {identifier(WHERE)}"""
    count, total, file, row = reader.con.raw_sql(query).fetchall()[0]
    message, text = (
        "rows that do not meet the mapping's `where` are left out",
        reader.engagement.table(table).where or "",
    )
    place = {"table": table, "file": file, "row": row, "column": WHERE, "value": shortened(text)}
    return (
        [Finding("accept", "left-out", message, "nothing to do", count=count, amount=total, **place)] if count else []
    )


def _value_defects(raw: ir.Table, columns: list[TypedColumn], counts: Mapping[str, int], table: str) -> list[Finding]:
    """One finding per row and column that cannot be read, listed only where there are any."""
    import ibis

    found: list[Finding] = []
    for column in columns:
        if counts[f"_bad_{column.record.name}"]:
            amount = column.value if column.record.type in {"money", "measure"} else ibis.null("decimal(18, 4)")
            shown = raw.select("_file", "_row", code=column.problem, text=column.text, amount=amount)
            found += listed(shown.filter(shown.code.notnull()), column.record, table)
    return found
