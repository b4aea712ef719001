"""The roll-up beside hand-written SQL, beside what an analyst would write in pandas, and beside the bare scan.

Each in a process of its own, in turn, several rounds: CPU seconds (user and system) and wall time of the work, imports not
counted, and the peak memory of the process. The results are compared before a figure is printed.
"""

import itertools
import tempfile
from decimal import ROUND_HALF_UP, Decimal, localcontext
from functools import partial
from pathlib import Path

from in_turn import Run, arguments, run_in_turn
from ledger import write_ledger

WAYS = {
    "cube": "crmlib: roll-ups of the typed ledger",
    "whole": "crmlib: the same, and reading and checking the types of all values before",
    "sql": "DuckDB SQL by hand, the same files with the same exact decimals",
    "pandas": "pandas, in floating point",
    "scan": "bare scan of the same columns",
}
SCANNED = {
    "invoice_lines": "customer_id, invoice_date, order_id, quantity, gross_sales, discount, cost_of_goods, freight",
    "credits": "customer_id, date, amount, cost_recovered",
    "activities": "customer_id, date, activity, quantity",
    "costs": "level, key, date, line, amount",
    "balances": "customer_id, month, receivables, inventory",
    "customers": "customer_id",
}


KEYS = {"level", "owner", "month"}


# --- the ways --------------------------------------------------------------------------------------------------------


def roll_up_cube(folder: Path, out: Path, *, whole: bool = False) -> None:
    from crmlib.books.availability import with_sources
    from crmlib.books.forms import settle_lines
    from crmlib.books.ledger import Ledger, connect, rows_of
    from crmlib.books.reader import read_ledger
    from crmlib.books.rollups import write_cube
    from crmlib.books.views import make_views
    from crmlib.declared.engagement import open_engagement

    engagement = open_engagement(folder)
    if whole:
        ledger = read_ledger(engagement, out / "ledger")
        assert not ledger.defects
    else:
        con = connect()
        files = sorted((folder / "ledger").glob("*.parquet"))
        ledger = Ledger(engagement, con, {f.stem: rows_of(con, f"FROM '{f}'") for f in files}, ())
        con.execute("CREATE SCHEMA memory.typed")
        for file in files:
            name = "plain_lines" if file.stem == "invoice_lines" else file.stem
            place = f"*, '{file.name}' AS _file, file_row_number + 2 AS _row"
            con.execute(
                f"CREATE VIEW memory.typed.{name} AS SELECT {place} FROM read_parquet('{file}', file_row_number = true)"
            )
        settle_lines(con, ledger.tables["invoice_lines"].columns)
        make_views(ledger)
    statement = with_sources(engagement.statement, ledger)
    write_cube(ledger, statement, out)


def roll_up_sql(folder: Path, out: Path) -> None:
    import duckdb

    con = duckdb.connect()
    con.execute("SET enable_progress_bar = false")
    for file in sorted((folder / "ledger").glob("*.parquet")):
        con.execute(f"CREATE VIEW {file.stem} AS FROM '{file}'")
    # a decimal quotient is floating point in DuckDB: the 36 rates of the pool are divided outside
    pools = con.sql("SELECT month, cost, practical_capacity FROM capacity WHERE pool = 'office'").fetchall()
    rates = [(month, _rounded(cost * Decimal("1.5") / minutes)) for month, cost, minutes in pools]
    con.execute("CREATE TABLE office_rates (month DATE, rate_per_line DECIMAL(18, 8))")
    con.executemany("INSERT INTO office_rates VALUES (?, ?)", rates)
    for rollup in ("lines", "drivers"):
        (out / rollup).mkdir(exist_ok=True)
    sql = (Path(__file__).parent / "cube.sql").read_text(encoding="utf-8")
    con.execute(sql.replace("{out}", str(out)))


def _rounded(value: Decimal) -> Decimal:
    with localcontext(prec=60):
        return value.quantize(Decimal("1e-8"), ROUND_HALF_UP)


def roll_up_pandas(folder: Path, out: Path) -> None:
    """Money as floats, one groupby per table, outer merges: what most analysts would write."""
    import pandas as pd

    def read(name: str, columns: str | None = None) -> pd.DataFrame:
        return pd.read_parquet(folder / "floats" / f"{name}.parquet", columns=columns and columns.split(", "))

    def month(days: pd.Series) -> pd.Series:
        return pd.to_datetime(days).dt.to_period("M").dt.to_timestamp()

    known = set(read("customers")["customer_id"])

    def owned(frame: pd.DataFrame, day: str, key: str = "customer_id") -> pd.DataFrame:
        return frame.assign(owner=frame[key].where(frame[key].isin(known), ""), month=month(frame[day]))

    by = ["owner", "month"]
    lines = owned(read("invoice_lines", SCANNED["invoice_lines"]), "invoice_date")
    lines["returns"] = -lines["gross_sales"].clip(upper=0)
    lines["sales"] = lines["gross_sales"].clip(lower=0)
    lines["units"] = lines["quantity"].clip(lower=0)
    cube = lines.groupby(by)[["sales", "returns", "discount", "cost_of_goods", "freight", "units"]].sum()
    cube["lines"] = lines[lines["gross_sales"] >= 0].groupby(by).size()
    cube["returned"] = lines[lines["gross_sales"] < 0].groupby(by).size()
    orders = (
        lines[lines["gross_sales"] >= 0]
        .groupby(["customer_id", "order_id"], dropna=False)
        .agg(owner=("owner", "first"), month=("month", "min"))
    )
    cube["orders"] = orders.groupby(by).size()
    notes = owned(read("credits"), "date").groupby(by).agg(
        credits=("amount", "size"), credited=("amount", "sum"), recovered=("cost_recovered", "sum")
    )  # fmt: skip
    events = owned(read("activities"), "date").pivot_table(
        index=by, columns="activity", values="quantity", aggfunc="sum"
    )
    costs = read("costs")
    own = owned(costs[costs["level"] == "customer"], "date", "key")
    booked = own.pivot_table(index=by, columns="line", values="amount", aggfunc="sum")
    balances = owned(read("balances"), "month").sort_values(["customer_id", "month"])
    held = balances[["receivables", "inventory"]]
    mean = (held + held.groupby(balances["customer_id"]).shift().fillna(held)) / 2
    held = balances[by].join(mean).groupby(by).sum()
    for part in (notes, events, booked, held):
        cube = cube.merge(part, how="outer", left_index=True, right_index=True)
    cube = cube.fillna(0).reset_index()

    cube["credits"] += cube["returned"]
    rates = read("rates").pivot_table(index="valid_from", columns="activity", values="rate")
    rates.index = pd.to_datetime(rates.index)
    rates = rates.reindex(sorted(cube["month"].unique()), method="ffill")
    office = read("capacity").query("pool == 'office'").set_index("month")
    rates["order lines"] = (office["cost"] / office["practical_capacity"] * 1.5).round(8).to_numpy()
    rate = rates.loc[cube["month"]].reset_index(drop=True)
    cube["discounts_returns_allowances"] = cube["discount"] + cube["returns"] + cube["credited"]
    cube["cost_of_goods_sold"] = cube["cost_of_goods"] - cube["recovered"]
    cube["sales_commissions"] = (cube["sales"] - cube["discounts_returns_allowances"]) * rate["commission"]
    cube["transportation"] = cube["freight"]
    cube["warehouse_handling"] = cube["pallets"] * rate["pallets"] + cube["cases"] * rate["cases"]
    cube["special_packaging"] = cube["special packs"] * rate["special packs"]
    cube["order_processing"] = cube["orders"] * rate["sales orders"] + cube["lines"] * rate["order lines"]
    cube["receivables_charge"] = cube["receivables"] * 0.01
    cube["inventory_carrying_cost"] = cube["inventory"] * (0.12 + 0.10) / 12
    cube["capital_charge"] = (cube["receivables"] + cube["inventory"]) * 0.01
    cube["level"] = "customer"
    cube.loc[cube["owner"] == "", "level"] = "unassigned"
    groups = costs[costs["level"] != "customer"]
    groups = groups.assign(month=month(groups["date"])).pivot_table(
        index=["level", "key", "month"], columns="line", values="amount", aggfunc="sum"
    )  # fmt: skip
    cube = pd.concat([cube, groups.reset_index().rename(columns={"key": "owner"})], ignore_index=True).fillna(0)
    cube.rename(columns={"lines": "invoice_lines"}).to_parquet(out / "cube.parquet")


def roll_up_scan(folder: Path, _: Path) -> None:
    import duckdb

    con = duckdb.connect()
    con.execute("SET enable_progress_bar = false")
    for table, columns in SCANNED.items():
        con.execute(
            f"SELECT {', '.join(f'max({c})' for c in columns.split(', '))} FROM '{folder}/ledger/{table}.parquet'"
        ).fetchall()


# --- measuring -------------------------------------------------------------------------------------------------------


def assert_same(folder: Path) -> None:
    """Every file of SQL is ours exactly, and pandas gives its totals to a millionth (floats do no better)."""
    import duckdb

    con = duckdb.connect()
    names = [str(file.relative_to(folder / "sql")) for file in (folder / "sql").rglob("*.parquet")]
    for name, other in itertools.product(sorted(names), ("sql", "whole")):
        ours, theirs = (con.read_parquet(str(folder / way / name)) for way in ("cube", other))
        theirs = theirs.select(*ours.columns)
        different = [a.except_(b).count("*").fetchone()[0] for a, b in ((ours, theirs), (theirs, ours))]
        assert different == [0, 0], f"{name} of cube and {other} differ in {different} rows"
    floats = con.read_parquet(str(folder / "pandas" / "cube.parquet"))
    for rollup in ("lines/*", "drivers/*", "capital"):
        ours = con.read_parquet(f"{folder}/cube/{rollup}.parquet", union_by_name=True)
        columns = sorted({*ours.columns} & {*floats.columns} - KEYS)
        assert columns, rollup
        for column in columns:
            exact, near = (t.sum(f'"{column}"').fetchone()[0] for t in (ours, floats))
            off = abs(float(exact) - float(near))
            assert off <= 1e-6 * abs(float(exact)), f"{column}: {exact} and {near} in pandas"
    lines = f"read_parquet('{folder}/cube/lines/*.parquet', union_by_name = true)"
    owners = f"SELECT DISTINCT level, owner, month FROM {lines} WHERE level <> 'firm'"
    rows = con.sql(f"SELECT count(*) FROM ({owners})").fetchone()
    assert rows == floats.count("*").fetchone(), rows


def table(median: dict[str, Run]) -> str:
    """What each way took, its CPU beside SQL, and its CPU and memory beside pandas."""
    rows = [
        "| | CPU s | wall s | peak GiB | CPU / SQL | CPU / pandas | memory / pandas |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for way, m in median.items():
        ratios = [m["cpu"] / median[other]["cpu"] for other in ("sql", "pandas")] + [m["gib"] / median["pandas"]["gib"]]
        amounts = " | ".join(f"{amount:.2f}" for amount in (m["cpu"], m["wall"], m["gib"], *ratios))
        rows.append(f"| {WAYS[way]} | {amounts} |")
    return "\n".join(rows)


CRMLIB = ("pandas", "pyarrow.parquet", "duckdb", "sqlglot", "crmlib.books.rollups")
WORK = {
    "cube": (roll_up_cube, CRMLIB),
    "whole": (partial(roll_up_cube, whole=True), CRMLIB),
    "sql": (roll_up_sql, ("duckdb", "pyarrow")),
    "pandas": (roll_up_pandas, ("pandas", "pyarrow.parquet")),
    "scan": (roll_up_scan, ("duckdb", "pyarrow")),
}


def main() -> None:
    parser = arguments(__doc__, repeat=3)
    parser.add_argument("--customers", type=int, help="default: one for every 2,000 lines")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        if not (folder / "engagement.yml").exists():
            customers = given.customers or max(1, given.lines // 2000)
            write_ledger(folder, lines=given.lines, customers=customers, seed=given.seed)
        median = run_in_turn(WORK, folder, folder, given.repeat)
        assert_same(folder)
    print(f"{given.lines:,} invoice lines, median of {given.repeat} rounds; results compared and equal\n")
    print(table(median))


if __name__ == "__main__":
    main()
