"""Four tie-outs, to the cent, before anything is published.

What was read is assigned, unassigned or excluded; booked lines agree with the general ledger; pools are charged or
uncharged; charges for capital are balances times rate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from crmlib.books.ledger import Ledger, identifier, numeric_columns, quoted
from crmlib.books.stored import HALF_CENT, Frame, read_rollup
from crmlib.declared.ledger import DRIVERS, ORDERED
from crmlib.declared.periods import Period, parse_period
from crmlib.declared.statement import POOL_SOURCES, Statement


def intake_amounts(ledger: Ledger) -> pd.DataFrame:
    """Per table and numeric column (and `rows`): read = assigned + unassigned + excluded, exact.

    Excluded is what lies outside the coverage; unassigned is covered and has no known owner. `read` is summed over the
    table as it was read, the other three after the look-up of customers, so that a row lost or doubled there shows.
    """
    parts = [row for name in ledger.tables for row in _amounts_of(ledger, name)]
    return pd.DataFrame(parts, columns=["table", "column", "read", "assigned", "unassigned", "excluded"])


def _amounts_of(ledger: Ledger, name: str) -> list[tuple[Any, ...]]:
    columns = numeric_columns(ledger.tables[name])
    sums = [f"coalesce(sum({c}), 0)" for c in map(identifier, columns)]
    [read] = _rows(ledger, f"SELECT {', '.join(['count(*)', *sums])} FROM typed.{name}")
    where = ("_covered AND _assigned", "_covered AND NOT _assigned", "NOT _covered")
    split = [f"coalesce(sum({c}) FILTER ({each}), 0)" for c in ("_rows", *map(identifier, columns)) for each in where]
    [placed] = _rows(ledger, f"SELECT {', '.join(split)} FROM books.sums_{name}")
    whole = zip(["rows", *columns], read, *(placed[each :: len(where)] for each in range(len(where))), strict=True)
    return [(name, column, *map(Decimal, amounts)) for column, *amounts in whole]


UNKNOWN = {  # by table: the key of the customer, and amounts by what they are called
    "invoice_lines": ("customer_id", {"gross_sales": "gross_sales", "cost_of_goods": "cost_of_goods"}),
    "credits": ("customer_id", {"credited": "amount"}),
    "costs": ("key", {"booked_costs": "amount"}),
    "activities": ("customer_id", {}),
    "balances": ("customer_id", {}),
}


def unknown_keys(ledger: Ledger) -> pd.DataFrame:
    """Keys of customers that are in no list of customers, blank ones as '', with what stands on them within the coverage.

    Columns: key, rows, gross_sales, cost_of_goods, credited, booked_costs; the largest amount first.
    """
    names = [name for _, amounts in UNKNOWN.values() for name in amounts]
    parts = [
        f"SELECT {key} AS key, "
        + ", ".join(f"{amounts.get(n, 'NULL::DECIMAL(18, 4)')} AS {n}" for n in names)
        + f" FROM books.{table} WHERE _covered AND NOT _assigned"
        for table, (key, amounts) in UNKNOWN.items()
    ]
    sums = ", ".join(f"coalesce(sum({n}), 0)::DECIMAL(38, 4) AS {n}" for n in names)
    largest = ", ".join(f"abs({n})" for n in names)
    query = f"SELECT coalesce(key, '') AS key, count(*) AS rows, {sums} FROM ({' UNION ALL '.join(parts)}) GROUP BY ALL"
    return pd.DataFrame(
        _asked(ledger, f"FROM ({query}) ORDER BY greatest({largest}) DESC, key"), columns=["key", "rows", *names]
    )


def _rows(ledger: Ledger, query: str) -> list[tuple[Any, ...]]:
    return list(ledger.con.execute(query).fetchall())


def _asked(ledger: Ledger, query: str) -> list[dict[str, Any]]:
    return list(ledger.con.execute(query).to_arrow_table().to_pylist())


Check = tuple[str, str, str, Decimal, Decimal]  # check, item, period, left, right


def tie_out(ledger: Ledger, statement: Statement, amounts: Frame, work: Path) -> Frame:
    """Every tie-out of the books: check, item, period, left, right, difference, tied (to the cent).

    `amounts` as `intake_amounts`; `work` holds the roll-ups.
    """
    rolled = _months(work / "lines", ledger.engagement.coverage)
    whole = defaultdict(Decimal, rolled.groupby("line")["amount"].sum().to_dict())  # of lines with nothing: nought
    rows: list[Check] = [
        *_read_and_placed(amounts), *_ledger_and_cube(statement, amounts, whole),
        *_priced_anew(ledger, statement, rolled), *_capital_charges(ledger, statement, whole),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["check", "item", "period", "left", "right"])
    frame["difference"] = frame["left"] - frame["right"]
    frame["tied"] = frame["difference"].map(lambda d: abs(d) < HALF_CENT).astype(bool)
    return frame


def _months(lines: Path, coverage: Period) -> Frame:
    """What was rolled up, by line and month: line, owner ('' for customers and groups together), month, amount."""
    rows: list[tuple[Any, ...]] = []
    for file in sorted(lines.glob("*.parquet")):
        keys = ["owner", "month"] if file.stem in POOL_SOURCES else ["month"]
        for sums in read_rollup(file, keys, coverage).to_pylist():
            owner, month = sums.pop("owner", ""), sums.pop("month")
            rows += [(line, owner, month, amount) for line, amount in sums.items()]
    return pd.DataFrame(rows, columns=["line", "owner", "month", "amount"])


def _read_and_placed(amounts: Frame) -> Iterator[Check]:
    for row in amounts.itertuples():
        placed = row.assigned + row.unassigned + row.excluded
        yield ("read = assigned + unassigned + excluded", f"{row.table}.{row.column}", "all", row.read, placed)


def _ledger_and_cube(statement: Statement, amounts: Frame, whole: Mapping[str, Decimal]) -> Iterator[Check]:
    """What the tables hold within the coverage is what the cube holds, by line (booked lines and trade together)."""
    held = {f"{r.table}.{r.column}": r.assigned + r.unassigned for r in amounts.itertuples()}
    trade = [line for line in statement.leaves if line.is_trade]
    net = sum(whole[line.id] * line.sign for line in trade)
    columns = [s for line in trade for s in line.sources if s.startswith("invoice_lines.")]
    signed = dict.fromkeys(columns, -1) | {"invoice_lines.gross_sales": 1}
    booked = held.get("credits.amount", Decimal(0)) if any("credits" in line.sources for line in trade) else Decimal(0)
    yield ("ledger = cube", "net sales", "all", sum(held[s] * sign for s, sign in signed.items()) - booked, net)
    for line in statement.leaves:
        sources = set(line.sources)
        if line not in trade and sources and all(s.startswith("invoice_lines.") for s in sources):
            back = held.get("credits.cost_recovered", Decimal(0)) if line.is_goods else Decimal(0)
            yield ("ledger = cube", line.id, "all", sum(held[s] for s in sources) - back, whole[line.id])
    only_booked = [line.id for line in statement.leaves if line.sources == ("costs",)]
    if "costs.amount" in held and all(len(li.sources) == 1 for li in statement.leaves if "costs" in li.sources):
        booked = sum((whole[c] for c in only_booked), Decimal(0))
        yield ("ledger = cube", "booked costs", "all", held["costs.amount"], booked)


def _priced_anew(ledger: Ledger, statement: Statement, rolled: Frame) -> list[Check]:
    """Control totals, lines priced by rates, and pools, each a second time from the ledger's tables (tie_out.sql)."""
    import pyarrow as pa

    months = pa.schema(
        [("line", pa.string()), ("owner", pa.string()), ("month", pa.date32()), ("amount", pa.decimal128(38, 8))]
    )
    periods = pa.schema([("period", pa.string()), ("month", pa.date32())])
    ledger.con.register("rolled", pa.Table.from_pandas(rolled, months, preserve_index=False))
    ledger.con.register("periods", pa.table(list(zip(*_periods(ledger), strict=True)) or [[], []], schema=periods))
    taken = {source for line in statement.leaves if line.is_trade for source in line.sources}
    kinds = ledger.con.execute("SELECT DISTINCT driver FROM books.activity_types WHERE driver IS NOT NULL").fetchall()
    measures = sorted({driver for (driver,) in kinds} - set(DRIVERS))
    text = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    return [tuple(row.values())[:5] for row in _asked(ledger, text.format(
        sources=", ".join(
            f"({number}, {quoted(line.id)}, {quoted(source)})"
            for number, line in enumerate(statement.leaves, 1) for source in line.sources),
        ordered=ORDERED,
        discount="discount" if "invoice_lines.discount" in taken else "0", credited="credits" in taken,
        measures="".join(
            f"""UNION ALL SELECT {quoted(measure)}, invoice_date, sum({identifier(measure)})
            FROM books.sums_invoice_lines WHERE _covered GROUP BY ALL """ for measure in measures),
    ))]  # fmt: skip


def _periods(ledger: Ledger) -> list[tuple[str, date]]:
    """The months of every period that has a control total and that the books cover (the checks warn of others)."""
    settings, rows = ledger.engagement.settings, _asked(ledger, "SELECT DISTINCT period FROM books.control_totals")
    periods = {r["period"]: parse_period(r["period"], None, settings.fiscal_year_start) for r in rows}
    covered = {text: period for text, period in periods.items() if period.within(ledger.engagement.coverage)}
    return [(text, month) for text, period in covered.items() for month in period.month_starts()]


def _capital_charges(ledger: Ledger, statement: Statement, whole: Mapping[str, Decimal]) -> Iterator[Check]:
    """Charges for capital = balance × rate; a month end counts half in its month (the first: all) and in the next."""
    from crmlib.books.rates import charge_rate, monthly_rate

    rates, last = ledger.engagement.settings.rates, ledger.engagement.coverage.month_starts()[-1]
    for line in statement.leaves:
        if line.balance:
            halves = _asked(ledger, f"""
                SELECT coalesce(sum({line.balance}::DECIMAL(38, 4) * (1 + (month = first)::INT + (month < DATE '{last}')::INT)), 0) AS total
                FROM books.balances, (SELECT min(month) AS first FROM books.balances WHERE _covered)
                WHERE _covered""")  # fmt: skip
            charged = Decimal(halves[0]["total"]) / 2 * monthly_rate(charge_rate(line.balance, rates))
            yield "charge for capital = balance × rate", line.id, "all", whole[line.id], charged


def with_untied(tied: Frame, findings: Frame) -> Frame:
    """Findings, and a rejection for every check that is not tied."""
    from crmlib.books.findings import findings_frame, rejection

    loose = [
        rejection("not-tied", f"{row.check}: {row.item} {row.period}: {row.left:,.2f} against {row.right:,.2f}",
                  "mend the ledger, or add a row with reason and owner to reconciliation",
                  table="control_totals" if "control" in row.check else "",
                  value=f"{row.item} {row.period}", amount=row.difference)
        for row in tied[~tied["tied"]].itertuples()
    ]  # fmt: skip
    return pd.concat([findings_frame(loose), findings], ignore_index=True) if loose else findings
