"""States, segments and groups of a million customers, or their value over time, as notebook 21 makes them, with time and peak memory.

`python benchmarks/segments.py [--customers 1000000] [--out FOLDER] [--value]` writes a ledger of three kinds of customers and rolls it up once (not
counted), then runs the step twice, each in a process of its own, and compares the labels. Goals for a million: 15 s and 1 GB; 60 s and 2 GB for value.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ENGAGEMENT = "client: Benchmark\ncurrency: USD\ncoverage: {start: 2024-01, end: 2025-12}\nsource: ledger\n"
# i is the customer, n the order of one; kinds differ in how often and how much they buy, at which discount and margin
QUERIES = {
    "customers": "SELECT 'C' || lpad(i::VARCHAR, 7, '0') AS customer_id, 'Customer ' || i AS customer_name FROM range({customers}) t(i)",
    "products": "SELECT 'P' || i AS product_id, 'Product ' || i AS product_name FROM range(50) t(i)",
    "invoice_lines": """
        SELECT 'C' || lpad(i::VARCHAR, 7, '0') AS customer_id, DATE '2024-01-01' + (u(i, n) * 730)::INTEGER AS invoice_date, 'O' || i || '-' || n AS order_id,
               'P' || floor(u(i, n + 100) * 50)::INTEGER AS product_id, 1::DECIMAL(18, 4) AS quantity, gross::DECIMAL(18, 4) AS gross_sales,
               (gross * (0.02 + 0.04 * (i % 3)))::DECIMAL(18, 4) AS discount, (gross * (0.5 + 0.1 * u(i, 300)))::DECIMAL(18, 4) AS cost_of_goods,
               (gross * (0.05 + 0.1 * (i % 3) * u(i, 400)))::DECIMAL(18, 4) AS freight
        FROM (SELECT i, n, 50 + 900 * (2 - i % 3) + 200 * u(i, n + 200) AS gross FROM range({customers}) t(i), range(6) o(n) WHERE n < 2 + 2 * (i % 3))""",
}


def write_ledger(folder: Path, customers: int) -> None:
    """An engagement of so many customers, always the same."""
    import duckdb

    (folder / "ledger").mkdir(parents=True, exist_ok=True)
    (folder / "engagement.yml").write_text(ENGAGEMENT, encoding="utf-8")
    with duckdb.connect() as con:
        con.execute("CREATE MACRO u(i, k) AS (hash(i * 1000 + k) >> 11)::DOUBLE / 9007199254740992")
        for name, query in QUERIES.items():
            con.execute(
                f"COPY ({query.format(customers=customers)}) TO '{folder}/ledger/{name}.parquet' (FORMAT parquet)"
            )


def now() -> tuple[float, float]:
    """Wall and CPU seconds."""
    return time.perf_counter(), time.process_time()


def passed(start: tuple[float, float], end: tuple[float, float]) -> str:
    """'3.2 s (CPU 2.9)'."""
    return f"{end[0] - start[0]:.1f} s (CPU {end[1] - start[1]:.1f})"


def step(folder: Path) -> None:
    """Print wall and CPU seconds of each part, peak memory and a hash of states, segments and groups."""
    from functools import partial

    from sklearn.cluster import KMeans

    from crmlib import groups, segments
    from crmlib.books import stored

    opened = stored.open_books(folder)
    period, marks = opened.period("last-12-months"), [now()]
    everyone = segments.differentiate(opened, period)
    marks.append(now())
    profile, _, formed = groups.behaviour_groups(everyone, partial(KMeans, n_init=5, random_state=0), seed=0)
    marks.append(now())
    parts = zip(("states and segments", "groups"), marks, marks[1:], strict=False)
    told = ", ".join(f"{name} {passed(start, end)}" for name, start, end in parts)
    digest = hashed(everyone[["state", "segment"]].assign(group=formed))
    print(
        f"{len(everyone):,} customers, {len(formed):,} of whom bought, {everyone['state'].nunique()} states, {everyone['segment'].nunique()} segments, "
        f"{len(profile)} groups: {told}; {passed(marks[0], marks[-1])} in all, peak {peak():.2f} GB; labels {digest}"
    )


def value_step(folder: Path) -> None:
    """Print wall and CPU seconds of the forecast with the history that it learns from, peak memory and a hash of what is expected."""
    from crmlib import value
    from crmlib.books import stored

    opened, begun = stored.open_books(folder), now()
    worth = value.customer_value(opened)
    told = f"{len(worth.customers):,} customers, {worth.origins} origins: {passed(begun, now())}"
    print(
        f"{told}, peak {peak():.2f} GB; expected {hashed(worth.customers[['customer_id', 'expected', 'low', 'high']])}"
    )


def peak() -> float:
    """Of this process in GB; ru_maxrss would be the parent's, who rolled up."""
    high_water = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM"))
    return int(high_water.split()[1]) * 1024 / 1e9


def hashed(rows: pd.DataFrame) -> str:
    """What tells frames apart."""
    return hashlib.sha256(pd.util.hash_pandas_object(rows).to_numpy().tobytes()).hexdigest()[:12]


def main() -> None:
    """Write the ledger unless it is there, then run the step twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=None, help="keeps the ledger and its roll-up")
    parser.add_argument("--value", action="store_true", help="value over time instead of segments")
    parser.add_argument("--step", action="store_true", help="only the step, on a folder that is there")
    options = parser.parse_args()
    if options.step:
        return value_step(options.out) if options.value else step(options.out)
    folder = options.out or Path(tempfile.mkdtemp(prefix="segments-"))
    os.environ.setdefault("CRM_CACHE", str(folder / "cache"))
    if not (folder / "engagement.yml").exists():
        write_ledger(folder, options.customers)
    from crmlib.books.stored import open_books

    open_books(folder)
    told = [
        subprocess.run(
            [sys.executable, __file__, "--step", "--out", str(folder), *["--value"] * options.value],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    print("".join(told) + ("the labels agree" if told[0].split()[-1] == told[1].split()[-1] else "THE LABELS DIFFER"))
    return None


if __name__ == "__main__":
    main()
