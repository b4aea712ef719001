"""Tables that a .sql file maps: one SELECT over the tables of the source, run by itself and pasted into nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crmlib.books.csv_files import check_header
from crmlib.books.findings import UnreadableError
from crmlib.books.ledger import identifier
from crmlib.books.raw import Raw, Reader, Source, place_in_query, together
from crmlib.declared.ledger import tables
from crmlib.declared.reading import SettingsError

BATCH = 100_000  # rows of a result held in memory


def read_queries(reader: Reader, source: Source) -> dict[str, Raw]:
    """Each table that is mapped to a .sql file, which sees every file, sheet or table of the source under its own name.

    Raises
    ------
    SettingsError
        The file is not there, is no text, is not one SELECT, or asks for what the source does not have; says where.
    """
    mapped = {name: reader.engagement.table(name).query for name in ([] if source.findings else tables())}
    queries = {name: query for name, query in mapped.items() if query}
    return {name: _answer(reader, source, name, query) for name, query in queries.items()}


def _answer(reader: Reader, source: Source, table: str, query: str) -> Raw:
    text, where = _text(reader.engagement.folder / query, table), {"table": table, "file": query}
    try:
        if source.answer:
            return source.answer(table, query, text)
        statement = _one_select(reader, text, query)
        findings = [f for raw in _seen(reader, source, table, text) for f in raw.findings]
        if any(f.verdict == "reject" for f in findings):
            return Raw(findings=tuple(findings))
        return reader.staged(_staged(reader, statement, where), where, findings)
    except UnreadableError as error:
        return Raw(findings=(error.finding,))
    except SettingsError:
        raise
    except Exception as error:  # the engine's own error says why
        names = f"; it sees {', '.join(list(source.queried)[:12])}" if source.queried else ""
        way_out = f"a query is one SELECT over the tables of the source and reads no file{names}"
        raise SettingsError(f"{query}{place_in_query(str(error))}: {reader.said(error)}; {way_out}") from None


def _text(file: Path, table: str) -> str:
    if not file.is_file():
        raise SettingsError(f"tables.{table}.source: there is no {file.name} beside engagement.yml")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise SettingsError(f"{file.name}, line {line}: the file is not UTF-8; save it so") from None


def _one_select(reader: Reader, text: str, query: str) -> Any:
    from duckdb import StatementType

    statements = reader.con.con.extract_statements(text)
    if len(statements) != 1 or statements[0].type != StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise SettingsError(f"{query}: a query is one SELECT; found {kinds}")
    return statements[0]


def _seen(reader: Reader, source: Source, table: str, text: str) -> list[Raw]:
    """The tables that a query names, read in the formats of the table that it fills, each a view under its own name."""
    import sqlglot

    words = {token.text.casefold() for token in sqlglot.tokenize(text, read="duckdb")}
    raws = {name: together(parts, table) for name, parts in source.queried.items() if name.casefold() in words}
    for name, raw in raws.items():
        if raw.table is not None:
            view = f"CREATE OR REPLACE VIEW memory.main.{identifier(name)} AS SELECT * EXCLUDE (_file, _row) FROM"
            reader.con.raw_sql(f"{view} ({raw.table.compile()})")
    return list(raws.values())


def _staged(reader: Reader, statement: Any, where: Mapping[str, str]) -> Path:
    """The rows of a query as Parquet."""
    batches = reader.con.con.execute(statement).to_arrow_reader(BATCH)
    check_header(batches.schema.names, where)
    return reader.written(batches, where)
