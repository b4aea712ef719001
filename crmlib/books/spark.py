"""Spark as the engine of the books: its transactions are summed by a cluster, or by all cores of this machine."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from crmlib.books.ledger import Rows
from crmlib.books.raw import Reader
from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import CrmError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

OPTIONS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",  # decimals as DuckDB has them
    "spark.sql.ansi.enabled": "true",  # what does not fit is an error, no blank
}


@dataclass(frozen=True)
class Spark:
    """A session of Spark; views and tables are temporary."""

    session: Any
    dialect = "spark"

    def fetch(self, query: str) -> pa.Table:
        """The rows of a query."""
        return self._asked(query, "toArrow")

    def make(self, name: str, query: str, *, stored: bool) -> None:
        """Make a view anew, its rows kept by the executors if it is to be stored."""
        rows = self._asked(query, "localCheckpoint") if stored else self._asked(query, "alias", name)
        rows.createOrReplaceTempView(name)

    def add(self, name: str, query: str) -> None:
        """Add rows to a stored view."""
        self.make(name, f"SELECT * FROM `{name}` UNION ALL ({query})", stored=True)

    def put(self, name: str, rows: pa.Table, types: Mapping[str, str]) -> None:
        """Make a view of rows from here."""
        from crmlib.books.dialects import engine_type

        given = f"FROM `{name}`" if rows.num_rows else "WHERE false"  # of no rows Spark Connect makes nothing
        if rows.num_rows:
            with warnings.catch_warnings(action="ignore"):  # of pandas, which is not used
                self.session.createDataFrame(rows).createOrReplaceTempView(name)
        values = {f"`{c}`": engine_type(kind, "spark") for c, kind in types.items()}
        columns = ", ".join(f"CAST({c if rows.num_rows else 'NULL'} AS {kind}) AS {c}" for c, kind in values.items())
        self.make(name, f"SELECT {columns} {given}", stored=False)

    def leave(self) -> None:
        """End a session of Spark Connect, whose server would keep what was made for it."""
        if "connect" in type(self.session).__module__:  # another's would stop Spark itself
            self.session.stop()

    def _asked(self, query: str, action: str, *given: str) -> Any:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            return getattr(self.session.sql(query), action)(*given)
        except (PySparkException, Py4JError) as error:
            raise CrmError(f"engine: spark: {_first_line(error)}; run again, or leave `engine` out") from None


def spark(engagement: Engagement) -> Spark:
    """A session of its own, within the one Spark of this process, on the cluster or machine that the settings name.

    Raises
    ------
    SettingsError
        The variable is not set, Spark or Java is not installed, or the cluster cannot be reached.
    """
    named = engagement.settings.spark
    master = os.environ.get(named[4:], "") if named.startswith("env:") else named
    if not master:
        raise SettingsError(f"spark is {named}, but the environment variable {named[4:]} is not set")
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession

        with warnings.catch_warnings(action="ignore"):  # of pandas, which is not used
            if remote := master.startswith("sc://"):
                from pyspark.sql.connect.session import SparkSession as Remote
    except ImportError:
        way_out = 'install it, `pip install "pyspark[connect]>=4,<5"`, or leave `engine` out'
        raise SettingsError(f"engine: spark: pyspark is not installed; {way_out}") from None
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # which writes what is told here anyway
    try:
        with warnings.catch_warnings(action="ignore"):  # of pandas, which is not used
            if remote:  # which would be sought for ten minutes
                socket.create_connection((urlsplit(master).hostname or "", urlsplit(master).port or 15002), 10).close()
                session = Remote.builder.remote(master).create()
            else:
                here = SparkSession.builder.appName("crm").master(master).config(map={**OPTIONS})
                session = here.getOrCreate().newSession()
        for key in (key for key in OPTIONS if key.startswith("spark.sql.")):
            session.conf.set(key, OPTIONS[key])  # also where Spark was running before
    except (PySparkException, Py4JError, OSError, ValueError) as error:
        way_out = "Spark needs Java 17 or 21 on this machine, and a cluster that can be reached; or leave `engine` out"
        raise SettingsError(f"engine: spark: none at {named}: {_first_line(error)}; {way_out}") from None
    return Spark(session)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def held_files(reader: Reader, path: Path, given: Rows) -> str:
    """The table of a Parquet file or folder of transactions, which Spark reads, with the place of each row: its name here."""
    from sqlglot import exp

    from crmlib.books.dialects import engine_type

    assert reader.session
    engine = reader.session.engine
    assert isinstance(engine, Spark)
    file, root = (
        "url_decode(replace(_metadata.file_path, '+', '%2B'))",
        exp.Literal.string(f"{path.parent}/").sql("spark"),
    )
    place = {"_file": f"substring_index({file}, {root}, -1)", "_row": "_metadata.row_index + 2"}
    columns = []
    for name, kind in given.types.items():
        named = exp.to_identifier(name, quoted=True).sql("spark")
        columns.append(f"{place.get(name, f'CAST({named} AS {engine_type(kind, engine.dialect)})')} AS {named}")
    rows = engine.session.read.options(recursiveFileLookup=True, pathGlobFilter="*.parquet").parquet(str(path))
    name, here = reader.session.given(given.types)
    rows.selectExpr(*columns).createOrReplaceTempView(name)
    return here
