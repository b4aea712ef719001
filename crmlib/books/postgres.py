"""PostgreSQL as a source: one snapshot of it, read by way of Arrow into staged Parquet with its types, and nothing written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from crmlib.books.csv_files import check_header
from crmlib.books.engines import TRANSACTIONS
from crmlib.books.findings import UnreadableError, rejection
from crmlib.books.ledger import identifier, quoted
from crmlib.books.raw import Part, Raw, Reader, Source, database_url, place_in_query
from crmlib.books.server import Server, held, no_number
from crmlib.declared.engagement import Engagement
from crmlib.declared.ledger import tables
from crmlib.declared.reading import CrmError, SettingsError

PATIENCE = {"connect_timeout": 15, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}  # seconds
WITH_TYPES = {  # as DuckDB calls them; and days; all else comes as text, numeric quicker so
    "int2": "SMALLINT", "int4": "INTEGER", "int8": "BIGINT", "float4": "FLOAT", "float8": "DOUBLE", "bool": "BOOLEAN",
}  # fmt: skip
DAYS = {"date": "DATE", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMP WITH TIME ZONE"}
WIDEST = 38  # digits of a decimal
BEGIN = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ {only}",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL synchronize_seqscans = off",  # so that a row keeps its number
    "SET LOCAL statement_timeout = '{seconds}s'",
)
# equal snapshots see equal rows: any transaction of the server that writes makes another
STATE = """SELECT concat_ws(' ', current_database(), current_user, current_setting('search_path'),
                            pg_postmaster_start_time(), txid_current_snapshot())"""
KNOWN = """SELECT CASE WHEN pg_table_is_visible(c.oid) THEN relname ELSE nspname || '.' || relname END,
                  quote_ident(nspname) || '.' || quote_ident(relname)
           FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
           WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND nspname !~ '^pg_|^information_schema$'
             AND has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')
           ORDER BY 1"""
LOST = re.compile(r"FATAL:|server closed the connection|no connection|could not (?:receive|send)|SSL SYSCALL|timed out")


@dataclass(frozen=True)
class _Session:
    """A cursor in its one transaction, and the reader for which it reads."""

    reader: Reader
    cursor: Any
    url: str = field(repr=False)

    @property
    def server(self) -> Server:
        """The server as the engine of the books."""
        return Server(self.cursor, partial(_explained, self))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        self.cursor.execute(query)
        return list(self.cursor.fetchall())


def database_state(engagement: Engagement, url: str) -> str:
    """What a database holds at this moment, as a text that is another after any transaction that wrote.

    Raises
    ------
    SettingsError
        The database cannot be reached.
    """
    with _connected(engagement, url) as cursor:
        cursor.execute(STATE)
        return str(cursor.fetchone()[0])


def state_after(engagement: Engagement, before: str) -> str:
    """The state after books were summed by the server, where nothing but their temporary tables was written since; else the one before."""
    last = re.search(r"(\d+):\1:$", before)
    now = database_state(engagement, database_url(engagement))
    return now if last and now == f"{before[: last.start()]}{int(last[1]) + 1}:{int(last[1]) + 1}:" else before


@contextmanager
def postgres(reader: Reader, url: str) -> Iterator[Source]:
    """The tables and views that the user may read, those that are not on the search path by `schema.name`."""
    with _connected(reader.engagement, url) as cursor:
        session = _Session(reader, cursor, url)
        if reader.session:
            reader.session.engine = session.server
        [(state,)] = session.rows(STATE)
        known = {name: [Part(name, partial(_table, session, name, there))] for name, there in session.rows(KNOWN)}
        yield Source(known, answer=partial(_answer, session), state=str(state))


def staged_tables(engagement: Engagement, url: str, work: Path) -> Iterator[tuple[str, Path]]:
    """Every table and view that the user may read, whole, as Parquet in a folder: its name and its file."""
    import pyarrow.parquet as pq

    with _connected(engagement, url) as cursor:
        cursor.execute(KNOWN)
        for number, (name, there) in enumerate(cursor.fetchall()):
            fields = list(cursor.adbc_execute_schema(f"SELECT * FROM {there}"))
            cursor.execute(f"SELECT {', '.join(map(_asked, fields))} FROM {there}")
            batches, file = cursor.fetch_record_batch(), work / f"table-{number}.parquet"
            with pq.ParquetWriter(file, batches.schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            yield name, file


@contextmanager
def _connected(engagement: Engagement, url: str) -> Iterator[Any]:
    """A cursor in a transaction that sees one snapshot and writes nothing."""
    from adbc_driver_manager import Error
    from adbc_driver_postgresql.dbapi import connect

    given = parse_qs(urlsplit(url).query)
    patience = "&".join(f"{key}={value}" for key, value in PATIENCE.items() if key not in given)
    try:
        connection = connect(f"{url}{'&' if '?' in url else '?'}{patience}")
    except Error as error:
        raise SettingsError(f"source {engagement.settings.source}: {_refusal(str(error), url)}") from None
    only = "ONLY" if engagement.settings.engine == "duckdb" else "WRITE"  # temporary tables
    with connection, connection.cursor() as cursor:
        for command in BEGIN:
            cursor.execute(command.format(seconds=engagement.settings.query_timeout_seconds, only=only))
        yield cursor


def _refusal(said: str, url: str) -> str:
    """Why there is no connection, in the server's own words where they can hold nothing of the URL."""
    if server := re.search(r"connection to server .* failed: (?:FATAL: *)?(.*)", said):
        return f"the database cannot be reached: {_hidden(server[1], url)}"
    if "could not translate host name" in said:
        return "the server that the URL names is not known here; is the name right, and the network up?"
    return (
        "the URL is not understood; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, marks in the password as %XX"
    )


def _hidden(text: str, url: str) -> str:
    """A text without a URL and what it keeps secret."""
    parts = urlsplit(url)
    secrets = {
        url,
        parts.netloc,
        parts.password,
        unquote(parts.password or ""),
        *parse_qs(parts.query).get("password", ()),
    }
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "…")
    return " ".join(text.split())


@contextmanager
def _explained(session: _Session, name: str, way_out: str) -> Iterator[None]:
    """What the driver says while a table or query is read, as errors for people."""
    import pyarrow as pa
    from adbc_driver_manager import Error

    try:
        yield
    except (Error, OSError, pa.ArrowException) as error:
        said = str(error)
        words = re.search(r"(?:ERROR|FATAL): *(.*)", said)
        message = _hidden(words[1] if words else said.splitlines()[0], session.url)
        if LOST.search(said):
            raise CrmError(
                f"the connection to the database was lost while {name} was read ({message}); nothing of it is kept: run again"
            ) from None
        if "statement timeout" in said:
            seconds = session.reader.engagement.settings.query_timeout_seconds
            message, way_out = (
                f"stopped after {seconds} seconds",
                "raise query_timeout_seconds in engagement.yml, or read less",
            )
        raise SettingsError(f"{name}{place_in_query(said)}: {message}; {way_out}") from None


# --- tables and queries ----------------------------------------------------------------------------------------------


def _table(session: _Session, name: str, there: str, table: str) -> Raw:
    """The columns of a table that are spoken of, with their types; the others by name alone, empty."""
    with _explained(session, name, "mend the view, or map another table"):
        fields = list(session.cursor.adbc_execute_schema(f"SELECT * FROM {there}"))
        spoken = _spoken_of(session.reader.engagement, table)
        needed = [field for field in fields if json.dumps(field.name.casefold())[1:-1] in spoken] or fields
        names = {field.name for field in needed}
        others = [field.name for field in fields if field.name not in names]
        return _read(session, there, needed, {"table": table, "file": name}, others)


def _spoken_of(engagement: Engagement, table: str) -> str:
    """All that the dictionary, the mapping and the statement say of a table: every column that it needs is named in it."""
    measures = [measure for line in engagement.statement.lines for measure in line.measures]
    return json.dumps(
        [engagement.table(table).model_dump(mode="json"), [*tables()[table].columns], measures]
    ).casefold()


def _answer(session: _Session, table: str, query: str, text: str) -> Raw:
    """The rows of a query, which the server runs."""
    import sqlglot

    for token in reversed(sqlglot.tokenize(text, read="postgres")):
        if token.text != ";":
            break
        text = text[: token.start]
    where = {"table": table, "file": query}
    with _explained(session, query, "a query is one SELECT, which the database runs and which writes nothing"):
        fields = list(session.cursor.adbc_execute_schema(text))
        if not fields:
            raise SettingsError(f"{query}: a query is one SELECT; this one gives no columns")
        check_header([field.name for field in fields], where)
        return _read(session, f"({text}\n) AS query", fields, where)


def _read(session: _Session, rows: str, fields: list[Any], where: Mapping[str, str], others: Iterable[str] = ()) -> Raw:
    """Rows staged as Parquet; numbers without a declared width in the one that they need."""
    if session.reader.session and where["table"] in TRANSACTIONS:
        return held(session.reader, session.server, rows, {field.name: _type(field) for field in fields}, where, others)
    session.cursor.execute(f"SELECT {', '.join(map(_asked, fields))} FROM {rows}")
    batches = session.cursor.fetch_record_batch()
    try:
        file = session.reader.written(_typed(batches, fields, where), where)
    except UnreadableError as error:
        return Raw(findings=(error.finding,))
    free = [f.name for f in fields if _kind(f) in {"numeric", "money"} and not _width(f)]
    return _fitted(session.reader, file, free, where, others)


def _kind(field: Any) -> str:
    return str(field.metadata[b"POSTGRESQL:type"].decode())


def _width(field: Any) -> tuple[int, int] | None:
    """Digits and decimals that a column declares."""
    declared = int(field.metadata.get(b"POSTGRESQL:typmod", b"-1")) - 4
    digits, decimals = declared >> 16, declared & 0x7FF
    return (digits, decimals) if declared >= 0 and decimals <= digits <= WIDEST else None


def _type(field: Any) -> str:
    """What DuckDB calls the type of a column; nothing for numbers of undeclared width."""
    if _kind(field) in {"numeric", "money"}:
        width = _width(field) if _kind(field) == "numeric" else None
        return f"DECIMAL({width[0]}, {width[1]})" if width else ""
    return WITH_TYPES.get(_kind(field)) or DAYS.get(_kind(field), "VARCHAR")


def _asked(field: Any) -> str:
    """How a column is asked for; a day without end is none."""
    name, kind = identifier(field.name), _kind(field)
    if kind in WITH_TYPES:
        return name
    if kind in DAYS:
        return f"CASE WHEN isfinite({name}) THEN {name} END AS {name}"
    return f"{name}{'::numeric' * (kind == 'money')}::text AS {name}"


def _typed(batches: Any, fields: list[Any], where: Mapping[str, str]) -> Any:
    """Batches in which a number that declares its width has it."""
    import pyarrow as pa

    widths = [_width(f) if _kind(f) == "numeric" else None for f in fields]
    kinds = [pa.decimal128(*width) if width else kind for width, kind in zip(widths, batches.schema.types, strict=True)]
    schema = pa.schema(list(zip(batches.schema.names, kinds, strict=True)))

    def cast() -> Iterator[Any]:
        row = 2
        for batch in batches:
            for name, column, width in zip(schema.names, batch.columns, widths, strict=True):
                if width and (place := column.index("NaN").as_py()) >= 0:
                    raise UnreadableError(no_number(row + place, name, "NaN", where))
            yield batch.cast(schema)
            row += len(batch)

    return pa.RecordBatchReader.from_batches(schema, cast())


def _fitted(reader: Reader, file: Path, free: list[str], where: Mapping[str, str], others: Iterable[str]) -> Raw:
    """A staged file with the numbers of free width in as many digits as they need, and names of columns not read."""
    rows, added = f"read_parquet({quoted(file)})", "".join(f", NULL::VARCHAR AS {identifier(n)}" for n in others)
    replaced = []
    for name in free:
        column = identifier(name)
        query = (
            f"SELECT _row, {column} FROM {rows} WHERE NOT regexp_full_match({column}, '[-0-9.]+') ORDER BY _row LIMIT 1"
        )
        for row, value in reader.con.execute(query).fetchall():
            return Raw(findings=(no_number(row, name, value, where),))
        parts = f"max(length(split_part(ltrim({column}, '-'), '.', 1))), max(length(rtrim(split_part({column}, '.', 2), '0')))"
        whole, decimals = (part or 0 for part in reader.con.execute(f"SELECT {parts} FROM {rows}").fetchall()[0])
        if whole + decimals > WIDEST:
            message, way_out = (
                f"{whole} digits and {decimals} decimals, more than {WIDEST} together",
                "round it in the database",
            )
            return Raw(findings=(rejection("number-too-long", message, way_out, column=name, **where),))
        replaced.append(f"CAST({column} AS DECIMAL({max(18, whole + decimals)}, {decimals})) AS {column}")
    replace = f" REPLACE ({', '.join(replaced)})" if replaced else ""
    return reader.raw(f"SELECT *{replace}{added} FROM {rows}", where, text=bool(free))
