"""DuckDB files, and tables that a .sql file maps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from crmlib.books.ledger import quoted, sha256
from crmlib.books.raw import RawBooks, files_by_table, wanted_tables
from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import SettingsError

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


def read_database(engagement: Engagement, path: Path, names: Iterable[str], con: Backend, books: RawBooks) -> None:
    books.files[path.name] = sha256(path)
    try:
        con.raw_sql(f"ATTACH {quoted(path)} AS client (READ_ONLY)")
    except Exception as error:  # the engine's own error says why
        raise SettingsError(
            f"source {path.name} cannot be opened as a DuckDB file: {str(error).splitlines()[0]}"
        ) from None
    known = [
        row[0]
        for row in con.raw_sql("SELECT table_name FROM duckdb_tables() WHERE database_name = 'client'").fetchall()
    ]
    known += [
        row[0]
        for row in con.raw_sql(
            "SELECT view_name FROM duckdb_views() WHERE database_name = 'client' AND NOT internal"
        ).fetchall()
    ]
    for name, source in wanted_tables(engagement, names, known):
        books.tables[name] = con.sql(
            f'SELECT *, {quoted(source)} AS _file, row_number() OVER () + 1 AS _row FROM client."{source}"'
        )


def read_queries(
    engagement: Engagement, path: Path, names: Iterable[str], con: Backend, work: Path, books: RawBooks
) -> None:
    """Tables mapped to a .sql file, which sees every file of the folder, or table of the database, under its own name."""
    queries = {n: s for n in names if (s := engagement.table(n).source) and s.endswith(".sql")}
    if not queries:
        return
    if path.is_dir():
        for file in [f for group in files_by_table(path).values() for f in group]:
            reader = "read_parquet" if file.suffix.lower() == ".parquet" else "read_csv"
            options = "" if reader == "read_parquet" else ", all_varchar = true, header = true"
            con.raw_sql(f'CREATE OR REPLACE VIEW "{file.stem}" AS SELECT * FROM {reader}({quoted(file)}{options})')
            books.files[file.name] = sha256(file)
    elif path.suffix.lower() in {".duckdb", ".db"}:
        con.raw_sql("SET search_path = 'client.main,memory.main'")
    for name, query in queries.items():
        file = engagement.folder / query
        if not file.is_file():
            raise SettingsError(f"tables.{name}.source: there is no {query} beside engagement.yml")
        books.files[query] = sha256(file)
        text = file.read_text(encoding="utf-8").strip().rstrip(";")
        staged = work / f"query-{name}.parquet"  # kept, so that its rows have one order
        rows = f"SELECT *, {quoted(query)} AS _file, row_number() OVER () + 1 AS _row FROM ({text}\n)"
        try:
            con.raw_sql(f"COPY ({rows}) TO {quoted(staged)} (FORMAT parquet)")
            books.tables[name] = con.read_parquet(str(staged))
        except Exception as error:  # the engine's own error says why
            raise SettingsError(f"{query}: {error}") from None
    con.raw_sql("SET search_path = 'memory.main'")
