"""Tables that a .sql file maps: one SELECT over the tables of the source, run by itself and pasted into nothing."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from crmlib.books.csv_files import check_header
from crmlib.books.engines import TRANSACTIONS
from crmlib.books.findings import UnreadableError
from crmlib.books.functions import reading_functions, unread_values
from crmlib.books.ledger import identifier
from crmlib.books.raw import PLACE, Part, Raw, Reader, Source, place_in_query, together, wanted_tables
from crmlib.declared.ledger import tables
from crmlib.declared.reading import SettingsError

BATCH = 100_000  # rows of a result held in memory
MERGING = {"GROUP_BY", "DISTINCT", "UNION", "EXCEPT", "INTERSECT", "HAVING", "PIVOT", "UNPIVOT"}  # one row from several


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
    seen: dict[str, Raw] = {}
    try:
        if source.answer:
            return source.answer(table, query, text)
        if reader.session and table in TRANSACTIONS:
            raise SettingsError(
                f"{query}: engine: spark runs no query for {table}; map its columns and conditions in engagement.yml, or leave `engine` out"
            )
        _check_select(reader, text, query)
        direct = {n: t for t, names in wanted_tables(reader.engagement, source.tables) for n in names}
        named = _named(source, text)
        seen |= {n: together(parts, direct.get(n, table)) for n, parts in named.items()}  # each by its own formats
        findings = [f for raw in seen.values() for f in raw.findings]
        if any(f.verdict == "reject" for f in findings):
            return Raw(findings=tuple(findings))
        with reading_functions(reader, table):
            staged = _staged(reader, text, seen, where)
        return reader.staged(staged, where, findings)
    except UnreadableError as error:
        return Raw(findings=(error.finding,))
    except SettingsError:
        raise
    except Exception as error:  # the engine's own error says why
        if unread := unread_values(error, reader, text, seen, where):
            return Raw(findings=tuple(unread))
        there = [f"{n} ({', '.join(_columns(seen[n])[:20])})" if n in seen else n for n in [*seen, *source.queried]]
        names = f"; it sees {', '.join(list(dict.fromkeys(there))[:12])}" if there else ""
        way_out = f"a query is one SELECT over the tables of the source and reads no file{names}"
        raise SettingsError(f"{query}{place_in_query(str(error))}: {reader.said(error)}; {way_out}") from None


def _columns(raw: Raw) -> list[str]:
    return [] if raw.table is None else [c for c in raw.table.columns if c not in PLACE]


def _text(file: Path, table: str) -> str:
    if not file.is_file():
        raise SettingsError(f"tables.{table}.source: there is no {file.name} beside engagement.yml")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise SettingsError(f"{file.name}, line {line}: the file is not UTF-8; save it so") from None


def _check_select(reader: Reader, text: str, query: str) -> None:
    from duckdb import StatementType

    statements = reader.con.extract_statements(text)
    if len(statements) != 1 or statements[0].type != StatementType.SELECT:
        kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise SettingsError(f"{query}: a query is one SELECT; found {kinds}")


def _tokens(text: str) -> list[Any]:
    import sqlglot

    return sqlglot.tokenize(text, read="duckdb")


def _named(source: Source, text: str) -> dict[str, Sequence[Part]]:
    words = {token.text.casefold() for token in _tokens(text)}
    # a workbook that cannot be read says why, in place of its sheets
    words |= {word.partition(":")[0] for word in words}
    return {name: parts for name, parts in (source.queried or source.tables).items() if name.casefold() in words}


def named_in(reader: Reader, source: Source, query: str) -> list[Part]:
    """The files, sheets or tables that a query names."""
    text = (reader.engagement.folder / query).read_text(encoding="utf-8-sig")
    return [part for parts in _named(source, text).values() for part in parts]


def _make_views(reader: Reader, seen: Mapping[str, Raw], placed: Container[str]) -> None:
    """Each table that a query sees as a view under its own name, some with `_file` and `_row`."""
    for name, raw in seen.items():
        if raw.table is not None:
            columns = "*" if name in placed else "* EXCLUDE (_file, _row)"
            view = f"CREATE OR REPLACE VIEW memory.main.{identifier(name)} AS SELECT {columns} FROM"
            reader.con.execute(f"{view} ({raw.table.query})")


def _with_places(text: str, seen: Iterable[str]) -> tuple[str, str]:
    """A query that also gives file and row of its first table, and that table; as it is where it makes one row of several."""
    tokens, top, depth = _tokens(text), list[Any](), 0
    for token in tokens:
        depth += {"L_PAREN": 1, "R_PAREN": -1}.get(token.token_type.name, 0)
        top += [token] * (depth == 0)
    kinds = [token.token_type.name for token in top]
    if kinds.count("SELECT") != 1 or kinds.count("FROM") != 1 or set(kinds) & MERGING:
        return text, ""
    at = kinds.index("FROM")
    first = next(iter(top[at + 1 :]), top[at])
    table = next((name for name in seen if name.casefold() == first.text.casefold()), "")
    if [token.text.casefold() for token in tokens].count(table.casefold()) != 1:
        return text, ""
    renamed = at + 3 if "ALIAS" in kinds[at + 2 : at + 3] else at + 2
    alias = identifier((top[renamed] if {"VAR", "IDENTIFIER"} & set(kinds[renamed : renamed + 1]) else first).text)
    places = ", ".join(f"{alias}.{column} AS {column}" for column in PLACE)
    return f"{text[: top[at].start]}, {places} {text[top[at].start :]}", table


def _staged(reader: Reader, text: str, seen: Mapping[str, Raw], where: Mapping[str, str]) -> Path:
    """The rows of a query as Parquet, with the place of each in the source where the query keeps it."""
    from duckdb import BinderException, ParserException

    if set(PLACE) & {token.text.casefold() for token in _tokens(text)}:
        _make_views(reader, seen, seen)
        return _written(reader, text, where)
    placed, table = _with_places(text, seen)
    try:
        _make_views(reader, seen, {table})
        return _written(reader, placed, where)
    except (BinderException, ParserException):  # rows are merged, or the query itself is wrong
        _make_views(reader, seen, ())
        return _written(reader, text, where)


def _written(reader: Reader, query: str, where: Mapping[str, str]) -> Path:
    batches = reader.con.execute(query).to_arrow_reader(BATCH)
    check_header([name for name in batches.schema.names if name not in PLACE], where)
    kinds = {field.name: str(field.type) for field in batches.schema if field.name in PLACE}
    if not set(kinds.items()) <= {
        ("_file", "string"),
        ("_row", "int64"),
        ("_row", "int32"),
        ("_file", "null"),
        ("_row", "null"),
    }:
        raise SettingsError(
            f"{where['file']}: _file must be text and _row a whole number, as the source's tables have them"
        )
    return reader.written(batches, where)
