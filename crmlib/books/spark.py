"""Spark as the engine of the books: its transactions are summed on a cluster, or on all cores of this machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmlib.books.ledger import rows_of
from crmlib.books.raw import Raw, Reader
from crmlib.declared.reading import CrmError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

CLUSTER = "SPARK_MASTER"  # the variable that names it, such as spark://host:7077 or local[2]
OPTIONS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",  # decimals as DuckDB has them
    "spark.sql.ansi.enabled": "true",  # what does not fit is an error, no blank
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
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
        rows = self._asked(query, "localCheckpoint" if stored else "alias", *([] if stored else [name]))
        rows.createOrReplaceTempView(name)

    def add(self, name: str, query: str) -> None:
        """Add rows to a stored view."""
        self.make(name, f"SELECT * FROM `{name}` UNION ALL {query}", stored=True)

    def put(self, name: str, rows: pa.Table, types: Mapping[str, str]) -> None:
        """Make a view of rows from here."""
        from crmlib.books.dialects import engine_type

        columns = ", ".join(f"CAST(`{c}` AS {engine_type(kind, 'spark')}) AS `{c}`" for c, kind in types.items())
        if rows.num_rows:
            with warnings.catch_warnings():  # of pandas, which is not used
                warnings.simplefilter("ignore")
                self.session.createDataFrame(rows).createOrReplaceTempView(name)
            self.make(name, f"SELECT {columns} FROM `{name}`", stored=True)
        else:
            nothing = ", ".join(f"CAST(NULL AS {engine_type(kind, 'spark')}) AS `{c}`" for c, kind in types.items())
            self.make(name, f"SELECT {nothing} WHERE false", stored=True)

    def _asked(self, query: str, action: str, *given: str) -> Any:
        from pyspark.errors import PySparkException

        try:
            return getattr(self.session.sql(query), action)(*given)
        except PySparkException as error:
            said = str(error).strip().splitlines()[0]
            raise CrmError(f"engine: spark: {said}; run again, or leave `engine` out") from None


def spark() -> Spark:
    """The session of this process, on the cluster that the environment names, else on all cores of this machine.

    Raises
    ------
    SettingsError
        Spark or Java is not installed.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession

        made = SparkSession.builder.appName("crm").master(os.environ.get(CLUSTER, "local[*]"))
        for key, value in OPTIONS.items():
            made = made.config(key, value)
        session = made.getOrCreate().newSession()  # nothing of it is seen by the next
        for key, value in OPTIONS.items():
            if key.startswith("spark.sql"):
                session.conf.set(key, value)
        return Spark(session)
    except (ImportError, PySparkException) as error:
        said = str(error).strip().splitlines()[0]
        raise SettingsError(
            f"engine: spark: {said}; install the extra `scale` and Java 17, or leave `engine` out"
        ) from None


def held_file(reader: Reader, file: Path, rows: str, where: Mapping[str, str]) -> Raw:
    """A Parquet file of transactions, which Spark reads, with the place of each row."""
    from sqlglot import exp

    assert reader.session
    engine = reader.session.engine
    assert isinstance(engine, Spark)
    types = {
        name: kind
        for name, kind in rows_of(reader.session.home, f"FROM {rows}").types.items()
        if name != "file_row_number"
    }
    name, here = reader.session.given({**types, "_file": "VARCHAR", "_row": "BIGINT"})
    called = exp.Literal.string(where["file"]).sql("spark")
    place = [f"{called} AS _file", "_metadata.row_index + 2 AS _row"]
    engine.session.read.parquet(str(file)).selectExpr(*(f"`{c}`" for c in types), *place).createOrReplaceTempView(name)
    return reader.raw(f"FROM {here}", where)
