"""DuckDB files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from crmlib.books.findings import rejection, shortened
from crmlib.books.ledger import identifier, quoted
from crmlib.books.raw import Part, Raw, Reader, Source
from crmlib.declared.reading import SettingsError

KNOWN = """SELECT table_name FROM duckdb_tables() WHERE database_name = 'client'
           UNION ALL SELECT view_name FROM duckdb_views() WHERE database_name = 'client' AND NOT internal"""


def database(reader: Reader, path: Path) -> Source:
    """The tables and views of a DuckDB file, attached as `client`; queries see them under their own names.

    Raises
    ------
    SettingsError
        The file cannot be opened.
    """
    try:
        reader.con.execute(f"ATTACH {quoted(path)} AS client (READ_ONLY); SET search_path = 'client.main,memory.main'")
    except Exception as error:  # the engine's own error says why
        raise SettingsError(f"source {path.name} cannot be opened as a DuckDB file: {reader.said(error)}") from None
    names = [name for (name,) in reader.con.execute(KNOWN).fetchall()]
    return Source({name: [Part(name, partial(_table, reader, name))] for name in names})


def _table(reader: Reader, name: str, table: str) -> Raw:
    where = {"table": table, "file": name}
    columns = f"*, {quoted(name)} AS _file, row_number() OVER () + 1 AS _row"
    try:
        return reader.raw(f"SELECT {columns} FROM client.{identifier(name)}", where)
    except Exception as error:  # a view may ask for what is not there
        message = shortened(f"the table cannot be read: {reader.said(error)}", 200)
        return Raw(findings=(rejection("table-unreadable", message, "mend the view, or map another table", **where),))
