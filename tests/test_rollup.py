"""The two roll-ups: against hand-written SQL on the sample, against slow Python on random ledgers, and by their properties."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import duckdb
import oracle
import pandas as pd
import pytest
from conftest import cells, default_statement, write_engagement
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crmlib.books import Books
from crmlib.engagement import PROJECT, open_engagement
from crmlib.ledger import read_ledger
from crmlib.rollup import cube, firm_rows, sales_cube
from crmlib.statement import read_statement, with_sources

CELL = Decimal("1e-8")
SQL = Path(__file__).parent / "sql"
MONTHS = ["2024-01", "2024-02", "2024-03", "2024-04"]
CUSTOMERS = [
    {"customer_id": "A", "customer_name": "Adler", "account_type": "Shops", "region": "North", "segment": "1", "parent_id": ""},
    {"customer_id": "B", "customer_name": "Birch", "account_type": "Shops", "region": "South", "segment": "1", "parent_id": "P"},
    {"customer_id": "00123", "customer_name": "Cole", "account_type": "Clubs", "region": "", "segment": "2", "parent_id": "P"},
    {"customer_id": "P", "customer_name": "Parent", "account_type": "", "region": "", "segment": "", "parent_id": ""},
]  # fmt: skip
OWNERS = [("parent", "P"), ("account_type", "Shops"), ("account_type", "Clubs"), ("region", "South"), ("segment", "2")]


# --- parity with SQL -------------------------------------------------------------------------------------------------


def _sample_sql(name: str, books: Books, **more: object) -> list[tuple[Any, ...]]:
    coverage = books.engagement.coverage
    given = {"folder": str(PROJECT / "data" / "sample" / "ledger"), "start": coverage.start, "end": coverage.end}
    return duckdb.connect().execute((SQL / f"{name}.sql").read_text(), {**given, **more}).fetchall()


@pytest.fixture(scope="module")
def sample_cube_by_sql(sample: Books) -> dict[tuple[str, str, str, str], Decimal]:
    # 9 % after a tax of 25 % is 12 % before it, 1 % a month; 10 % more on inventory
    rates = {"capital_rate": Decimal("0.01"), "inventory_rate": Decimal("0.0183333333333333")}
    rows = _sample_sql("cube", sample, **rates)
    rounded = {(lv, owner, str(m), c): a.quantize(CELL, ROUND_HALF_EVEN) for lv, owner, m, c, a in rows}
    return {cell: amount for cell, amount in rounded.items() if amount}


def test_the_cube_of_the_sample_is_what_hand_written_sql_gives_to_the_8th_decimal(
    sample: Books, sample_cube_by_sql: Mapping[Any, Decimal]
) -> None:
    ours = cells(pd.read_parquet(sample.cache / "cube.parquet"))
    assert len(ours) > 100_000
    differ = {k: (ours.get(k), sample_cube_by_sql.get(k)) for k in {*ours, *sample_cube_by_sql} if ours.get(k) != sample_cube_by_sql.get(k)}
    assert not differ


def test_the_sales_cube_of_the_sample_is_what_hand_written_sql_gives(sample: Books) -> None:
    rows = pd.read_parquet(sample.cache / "sales.parquet").itertuples(index=False, name=None)
    ours = {(c, p, str(m)[:10]): (q, g, d, k) for c, p, m, q, g, d, k in rows}
    theirs = {(c, p, str(m)): (q, g, d, k) for c, p, m, q, g, d, k in _sample_sql("sales", sample)}
    assert len(ours) > 10_000
    assert ours == theirs


def test_the_rows_of_the_firm_are_what_is_booked_less_what_sql_charges(
    sample: Books, sample_cube_by_sql: Mapping[Any, Decimal]
) -> None:
    ledger = PROJECT / "data" / "sample" / "ledger"
    expected: dict[tuple[str, str, str, str], Decimal] = {}
    for row in pd.read_csv(ledger / "capacity.csv", dtype=str).to_dict("records"):
        expected["firm", row["pool"], row["month"], "uncharged_capacity"] = Decimal(row["cost"])
    for row in pd.read_csv(ledger / "joint_costs.csv", dtype=str).to_dict("records"):
        key = ("firm", row["line"], row["month"], "joint_costs")
        expected[key] = expected.get(key, Decimal(0)) + Decimal(row["amount"])
    for (_, _, month, column), amount in sample_cube_by_sql.items():
        if column.startswith("charged_"):
            expected["firm", column.removeprefix("charged_"), month, "uncharged_capacity"] -= amount
        elif column == "capital_charge":
            key = ("firm", "charges for capital", month, "capital_charges_reversed")
            expected[key] = expected.get(key, Decimal(0)) + amount
    assert cells(pd.read_parquet(sample.cache / "firm.parquet")) == expected


# --- parity with slow Python -----------------------------------------------------------------------------------------


def roll_up(case: oracle.Case, folder: Path | None = None) -> tuple[oracle.Cells, oracle.Cells, dict[Any, Any]]:
    """The cube, the firm's rows and the sales cube as crmlib makes them from CSV files, as `oracle` has them."""
    with tempfile.TemporaryDirectory() as temporary:
        root = folder or Path(temporary) / "case"
        rates = {k: str(getattr(case, k)) for k in ("cost_of_capital", "tax_rate", "inventory_noncapital_rate")}
        coverage = {"start": case.coverage[0], "end": case.coverage[1]}
        engagement = open_engagement(write_engagement(root, case.tables, statement=case.lines, coverage=coverage, rates=rates))
        ledger = read_ledger(engagement, root / "work")
        assert not ledger.defects
        rules = with_sources(read_statement(engagement), ledger)
        ledger.con.to_parquet(cube(ledger, rules, root / "work"), str(root / "cube.parquet"))
        owners = ledger.con.read_parquet(str(root / "cube.parquet"))
        firm, sold = firm_rows(ledger, rules, owners), sales_cube(ledger)
        found_firm = cells(firm.to_pandas()) if firm is not None else {}
        return cells(owners.to_pandas()), found_firm, _sold(sold.to_pandas()) if sold is not None else {}


def _sold(frame: pd.DataFrame) -> dict[Any, Any]:
    return {(c, p, str(m)[:10]): tuple(amounts) for c, p, m, *amounts in frame.itertuples(index=False, name=None)}


def assert_same(case: oracle.Case) -> None:
    ours, ours_firm, ours_sales = roll_up(case)
    assert ours == oracle.cube(case)
    assert ours_firm == oracle.firm(case)
    sold = "product_id" in case.tables["invoice_lines"][0] and "quantity" in case.tables["invoice_lines"][0]
    assert ours_sales == (oracle.sales(case) if sold else {})


def _decimals(places: int, most: int, least: int = 0) -> st.SearchStrategy[str]:
    """Numbers of so many decimals, small ones more often: they are what rounding hangs on."""
    step = Decimal(1).scaleb(-places)
    whole = st.integers(least, most * 10**places) | st.integers(least and -9, 9) | st.sampled_from([5, 15, 25, 10**places])
    return whole.map(lambda n: f"{n * step:f}")


KEYS = st.sampled_from(["A", "A", "B", "00123", "P", "", "X9", "x9"])  # X9 and x9 are two customers nobody knows
MONEY = _decimals(4, 1000, -(10**6))
POSITIVE = _decimals(4, 1000)


@st.composite
def days(draw: st.DrawFn, coverage: tuple[str, str]) -> str:
    """Mostly days of the coverage; 15 and 16 on both sides of a change of rates."""
    within = [m for m in MONTHS if coverage[0] <= m <= coverage[1]]
    return f"{draw(st.sampled_from([*within * 3, *MONTHS]))}-{draw(st.sampled_from(['01', '15', '16', '29']))}"


@st.composite
def invoice_lines(draw: st.DrawFn, coverage: tuple[str, str], columns: frozenset[str]) -> list[dict[str, str]]:
    def line() -> dict[str, str]:
        back = -1 if "returns" in columns and draw(st.integers(0, 3)) == 0 else 1
        gross, quantity = Decimal(draw(POSITIVE)) * back, Decimal(draw(POSITIVE)) * back
        row = {"customer_id": draw(KEYS), "invoice_date": draw(days(coverage)), "gross_sales": f"{gross:f}"}
        more = {
            "order_id": draw(st.sampled_from(["", "1", "2", "3"])), "quantity": f"{quantity:f}", "product_id": draw(st.sampled_from(["", "p", "q"])),
            "discount": f"{gross / 2:.4f}", "cost_of_goods": f"{Decimal(draw(POSITIVE)) * back:f}", "commission": draw(_decimals(8, 9)),
            "freight": draw(_decimals(8, 9)), "fixed_cost_of_goods": draw(POSITIVE),
        }  # fmt: skip
        return {**row, **{k: v for k, v in more.items() if k in columns}}

    rows = [line() for _ in range(draw(st.integers(1, 8)))]
    return rows + rows[: draw(st.integers(0, 1))]  # bookings repeat


@st.composite
def activity_tables(draw: st.DrawFn, coverage: tuple[str, str], columns: frozenset[str], has_credits: bool) -> dict[str, list[dict[str, str]]]:
    drivers = ["invoice_lines", "net_sales", *(["credits"] if has_credits else [])]
    drivers += [d for d, c in (("orders", "order_id"), ("units", "quantity"), ("freight", "freight")) if c in columns]
    lines = ["warehouse_handling", "order_processing", "special_packaging"]
    types, rates = [], []
    for name in ("visit", "call", *draw(st.lists(st.sampled_from(drivers), unique=True))):
        pool = draw(st.sampled_from(["", "desk", "yard"]))
        types.append({"activity": f"do {name}", "line": draw(st.sampled_from(lines)), "pool": pool, "driver": name if name in drivers else "",
                      "unit_minutes": draw(st.sampled_from(["", "1", "0.3", "7.25"]))})  # fmt: skip
        if not pool or draw(st.booleans()):  # without a rate of its own the pool's capacity makes it
            since = ["2023-01-01", *draw(st.lists(st.sampled_from(["2024-01-16", "2024-02-01", "2024-03-16"]), unique=True))]
            rates += [{"activity": f"do {name}", "valid_from": day, "rate": draw(_decimals(8, 9))} for day in since]
    capacity = [{"pool": pool, "month": f"{month}-01", "cost": draw(POSITIVE), "practical_capacity": draw(st.sampled_from(["1", "3", "7", "0.64"]))}
                for pool in ("desk", "yard") for month in MONTHS]  # fmt: skip
    event = st.fixed_dictionaries({"customer_id": KEYS, "date": days(coverage), "activity": st.sampled_from(["do visit", "do call"]), "quantity": MONEY})
    tables = {"activity_types": types, "rates": rates, "capacity": capacity, "activities": draw(st.lists(event, max_size=6))}
    return {name: rows for name, rows in tables.items() if rows}


@st.composite
def cases(draw: st.DrawFn) -> oracle.Case:
    """Small ledgers with any of the optional tables and columns; one customer, one month and nothing optional among them."""
    coverage = draw(st.sampled_from([("2024-01", "2024-03"), ("2024-02", "2024-03"), ("2024-02", "2024-02")]))
    optional = ["returns", "order_id", "quantity", "product_id", "discount", "cost_of_goods", "commission", "freight", "fixed_cost_of_goods"]
    columns = frozenset(c for c in optional if draw(st.integers(0, 2)))
    customer_rows = CUSTOMERS if draw(st.integers(0, 4)) else [CUSTOMERS[0]]
    tables: dict[str, Sequence[Mapping[str, str]]] = {"customers": customer_rows, "invoice_lines": draw(invoice_lines(coverage, columns))}
    credit = {"customer_id": KEYS, "date": days(coverage), "kind": st.sampled_from(["return", "rebate"]), "amount": MONEY, "cost_recovered": MONEY}
    if draw(st.booleans()):
        tables["credits"] = draw(st.lists(st.fixed_dictionaries(credit), min_size=1, max_size=4))
    if draw(st.booleans()):
        tables |= draw(activity_tables(coverage, columns, "credits" in tables))
    if draw(st.booleans()):
        owned = st.sampled_from(OWNERS) if len(customer_rows) > 1 else st.just(("account_type", "Shops"))
        booking = st.tuples(KEYS.map(lambda k: ("customer", k)) | owned, days(coverage), st.sampled_from(["salaries", "advertising"]), MONEY,
                            st.sampled_from(["", "now", "never"]))  # fmt: skip
        booked = draw(st.lists(booking, min_size=1, max_size=6))
        tables["costs"] = [{"level": o[0], "key": o[1], "date": d, "line": li, "amount": a, "avoidable": av} for o, d, li, a, av in booked]
    if draw(st.booleans()):
        kinds = [b for b in oracle.BALANCES if draw(st.booleans())] or ["inventory"]
        held = draw(st.lists(st.tuples(KEYS, st.sampled_from(MONTHS)), min_size=1, max_size=8, unique=True))
        tables["balances"] = [{"customer_id": c, "month": f"{m}-01", **{k: draw(MONEY) for k in kinds}} for c, m in held]
    if draw(st.booleans()):
        joint = st.fixed_dictionaries({"month": st.sampled_from(MONTHS).map("{}-01".format), "line": st.sampled_from(["rent", "board"]), "amount": MONEY})
        tables["joint_costs"] = draw(st.lists(joint, min_size=1, max_size=3))
    capital = draw(st.sampled_from(["0", "0.09", "0.1", "0.00000012", "1"]))
    return oracle.Case(tables, STATEMENT, coverage, Decimal(capital), draw(st.sampled_from([Decimal("0.25"), Decimal("0.3")])), Decimal("0.07"))


STATEMENT = default_statement(transportation={"sources": ["rates"]})


@settings(max_examples=40)
@given(cases())
def test_random_ledgers_roll_up_as_slow_python_does(case: oracle.Case) -> None:
    assert_same(case)
