"""The roll-ups on Spark beside the same SQL written for Spark by hand (cube_spark.sql), all cells compared, and the whole way: checked, tied out.

    python benchmarks/by_spark.py --lines 1000000 --master local[2]

CPU seconds of Python and Java and wall seconds, each in a process of its own whose Spark has started before: that is not counted. What the roll-ups
read was typed before; the views that they need are counted, as with `rollup.py`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
from in_turn import Run, arguments, run_in_turn, used
from ledger import write_ledger
from whole import open_whole

from crmlib.books import reader, spark
from crmlib.books.availability import with_sources
from crmlib.books.rollups import write_cube
from crmlib.declared.engagement import Engagement, open_engagement

DEFAULTS = "spark.sql.shuffle.partitions 8\nspark.driver.memory 4g\n"  # of all ways: Spark's own 200 parts are for a cluster, 1 GB for a trial


class Clock:
    """What pieces of work took together."""

    def __init__(self) -> None:
        self.taken: Run = {"cpu": 0.0, "wall": 0.0}

    def timed(self, work: Callable[..., None]) -> Callable[..., None]:
        def run(*given: Any) -> None:
            (before, _), started = used(), time.perf_counter()
            work(*given)
            self.taken["cpu"] += used()[0] - before
            self.taken["wall"] += time.perf_counter() - started

        return run


def started(folder: Path, out: Path) -> tuple[Engagement, Any]:
    """The engagement of a ledger that Spark sums, and a session of Spark."""
    (out / "spark").mkdir()
    declared = (folder / "parquet/engagement.yml").read_text(encoding="utf-8")
    there = f"source: {folder}/parquet/ledger\nengine: spark\nspark: env:SPARK_MASTER"
    (out / "spark/engagement.yml").write_text(declared.replace("source: ledger", there), encoding="utf-8")
    engagement = open_engagement(out / "spark")
    return engagement, spark.spark(engagement).session


def by_hand(folder: Path, out: Path) -> Run:
    _, session = started(folder, out)
    for file in (folder / "parquet/ledger").glob("*.parquet"):
        session.read.parquet(str(file)).createOrReplaceTempView(file.stem)
    text = (Path(__file__).parent / "cube_spark.sql").read_text(encoding="utf-8").replace("{out}", str(out))
    clock = Clock()
    for statement in text.strip().removesuffix(";").split(";\n"):
        clock.timed(session.sql)(statement)
    return clock.taken


def rolled_up(folder: Path, out: Path) -> Run:
    (engagement, _), clock = started(folder, out), Clock()
    reader.make_views = clock.timed(reader.make_views)
    ledger = reader.read_ledger(engagement, out / "work")
    with contextlib.closing(ledger.con):
        clock.timed(write_cube)(ledger, with_sources(engagement.statement, ledger), out)
    return clock.taken


def whole(folder: Path, out: Path) -> Run:
    started(folder, out)
    clock = Clock()
    clock.timed(open_whole)(out, out / "cache", "spark")
    return clock.taken


WAYS = {
    "SQL by hand for Spark: the roll-ups alone, nothing checked": by_hand,
    "crmlib on Spark: the roll-ups alone": rolled_up,
    "crmlib on Spark: the whole way, with sales by product": whole,
}


def assert_same(by_hand: Path, ours: Path) -> None:
    """Every cell of the roll-ups by hand is ours to the 8th decimal."""
    con = duckdb.connect()
    files = [file for part in ("lines", "drivers", "") for file in sorted((by_hand / part).glob("*.parquet"))]
    assert len(files) == 13, files
    for file in files:
        here = con.read_parquet(str(ours / file.relative_to(by_hand)))
        there = con.read_parquet(f"{file}/*.parquet").select(*here.columns)
        different = [a.except_(b).count("*").fetchone()[0] for a, b in ((here, there), (there, here))]
        assert different == [0, 0], f"{file.name}: {different} rows differ"


def main() -> None:
    parser = arguments(__doc__, repeat=1)
    parser.add_argument("--master", default="local[2]", help="where Spark runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "spark-defaults.conf").write_text(DEFAULTS, encoding="utf-8")
        os.environ |= {"SPARK_MASTER": given.master, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_CONF_DIR": temporary}
        folder = (given.folder or Path(temporary)).resolve()
        if not (folder / "parquet").exists():
            write_ledger(
                folder / "parquet", lines=given.lines, customers=max(1, given.lines // 2000), seed=1, floats=False
            )
        names = {name: way.__name__ for name, way in WAYS.items()}
        runs = run_in_turn(
            {names[name]: (way, ("pandas", "duckdb")) for name, way in WAYS.items()},
            folder,
            folder / "out",
            given.repeat,
        )
        assert_same(folder / "out/by_hand", folder / "out/rolled_up")
    print("| | CPU s | wall s | peak GiB | CPU / SQL |\n|---|---:|---:|---:|---:|")
    for name, way in names.items():
        taken, base = runs[way]["made"], runs["by_hand"]["made"]
        print(
            f"| {name} | {taken['cpu']:.1f} | {taken['wall']:.1f} | {runs[way]['gib']:.2f} | {taken['cpu'] / base['cpu']:.2f} |"
        )


if __name__ == "__main__":
    main()
