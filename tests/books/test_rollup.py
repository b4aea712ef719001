"""The roll-ups: against SQL by hand, slow Python on random ledgers, and by their properties."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any

import duckdb
import oracle
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import cells, costly, default_statement, write_engagement
from hypothesis import given
from hypothesis import strategies as st

from crmlib.books.availability import with_sources
from crmlib.books.ledger import engine
from crmlib.books.reader import read_ledger
from crmlib.books.rollups import write_cube, write_sales
from crmlib.books.stored import Books, read_rollup, sales_of
from crmlib.books.views import make_sums
from crmlib.declared.engagement import Engagement, open_engagement
from crmlib.declared.periods import Period
from crmlib.declared.reading import PROJECT

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


# --- rolling up ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class RolledUp:
    """The roll-ups of a ledger as `oracle` has them: amounts that are not zero, by their keys."""

    lines: oracle.Cells  # by level, owner, month and line, without the firm's
    firm: oracle.Cells
    drivers: oracle.Cells
    capital: oracle.Cells
    service: dict[tuple[str, str, str, str], tuple[Decimal, Decimal]]
    bookings: dict[tuple[str, str, str, str, str], Decimal]
    sales: dict[Any, Any]


def rolled_up(engagement: Engagement, folder: Path) -> RolledUp:
    """Read an engagement's ledger and roll it up, checked by nothing but its types."""
    ledger = read_ledger(engagement, folder / "ledger")
    assert not ledger.defects
    folder.mkdir(exist_ok=True)
    write_cube(ledger, with_sources(engagement.statement, ledger), folder)
    make_sums(ledger)
    write_sales(ledger, folder / "sales")
    sales = folder / "sales"
    keys = ["customer_id", "product_id", "month"]
    sold = _sold(read_rollup(sales, keys, engagement.coverage).to_pandas()) if sales.exists() else {}
    return RolledUp(sales=sold, **read_back(engagement, folder))


PLACE = ["level", "owner", "month"]


def read_back(engagement: Engagement, folder: Path) -> dict[str, Any]:
    def read(name: str, *more: str) -> pd.DataFrame:
        path = folder / name
        if not path.exists():
            return pd.DataFrame(columns=[*PLACE, *more])
        return read_rollup(path, [*PLACE, *more], engagement.coverage).to_pandas()

    def rows(name: str, *more: str) -> list[list[Any]]:
        """Level, owner, month, other keys and amounts, some of which are not zero."""
        records = read(name, *more).to_dict("split", index=False)["data"]
        texts = [[lv, owner, str(month)[:10], *rest] for lv, owner, month, *rest in records]
        return [row for row in texts if any(row[3 + len(more) :])]

    amounts = cells(read("lines"))
    return {
        "lines": {cell: amount for cell, amount in amounts.items() if cell[0] != "firm"},
        "firm": {cell: amount for cell, amount in amounts.items() if cell[0] == "firm"},
        "drivers": cells(read("drivers")),
        "capital": cells(read("capital.parquet")),
        "service": {tuple(row[:4]): tuple(row[4:]) for row in rows("service.parquet", "activity")},
        "bookings": {tuple(row[:5]): row[5] for row in rows("bookings.parquet", "line", "avoidable")},
    }


def _sold(frame: pd.DataFrame) -> dict[Any, Any]:
    return {(c, p, str(m)[:10]): tuple(amounts) for c, p, m, *amounts in frame.itertuples(index=False, name=None)}


# --- parity with SQL -----------------------------------------------------------------------------


def _sample_sql(name: str, books: Books, **more: object) -> list[tuple[Any, ...]]:
    coverage = books.engagement.coverage
    parameters = {
        "folder": str(PROJECT / "data" / "sample" / "ledger"),
        "start": coverage.start,
        "end": coverage.end,
        **more,
    }
    return duckdb.connect().execute((SQL / f"{name}.sql").read_text(), parameters).fetchall()


@pytest.fixture(scope="module")
def sample_by_sql(sample: Books) -> dict[str, dict[Any, Decimal]]:
    """By roll-up: amounts that are not zero by level, owner, month and item."""
    # 9 % after a tax of 25 % is 12 % before it, 1 % a month; 10 % more on inventory
    rates = {"capital_rate": Decimal("0.01"), "inventory_rate": Decimal("0.0183333333333333")}
    rollups: dict[str, dict[Any, Decimal]] = {}
    for rollup, level, owner, month, item, amount in _sample_sql("cube", sample, **rates):
        if amount:
            rollups.setdefault(rollup, {})[level, owner, str(month), item] = amount
    return rollups


@pytest.fixture(scope="module")
def sample_folder(sample: Books, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    rolled_up(sample.engagement, folder)
    return folder


@pytest.fixture(scope="module")
def sample_rolled_up(sample: Books, sample_folder: Path) -> RolledUp:
    return RolledUp(sales={}, **read_back(sample.engagement, sample_folder))


def test_the_lines_of_the_sample_are_what_hand_written_sql_gives_to_the_8th_decimal(
    sample_rolled_up: RolledUp, sample_by_sql: Mapping[str, Any]
) -> None:
    assert len(sample_rolled_up.lines) > 50_000
    assert sample_rolled_up.lines == sample_by_sql["lines"]


def test_drivers_and_records_of_the_sample_are_what_hand_written_sql_gives(
    sample_rolled_up: RolledUp, sample_by_sql: Mapping[str, Any]
) -> None:
    service, bookings = sample_rolled_up.service, sample_rolled_up.bookings
    assert len(service) > 10_000
    assert sample_rolled_up.drivers == sample_by_sql["drivers"]
    assert {key: quantity for key, (quantity, _) in service.items() if quantity} == sample_by_sql["service quantity"]
    assert {key: amount for key, (_, amount) in service.items() if amount} == sample_by_sql["service amount"]
    assert sample_rolled_up.capital == sample_by_sql["capital"]
    assert {(*key[:3], f"{key[4]} {key[3]}"): a for key, a in bookings.items()} == sample_by_sql["bookings"]


def test_the_sales_cube_of_the_sample_is_what_hand_written_sql_gives(sample: Books) -> None:
    ours = _sold(sales_of(sample, sample.engagement.coverage))
    theirs = {(c, p, str(m)): (q, g, d, k) for c, p, m, q, g, d, k in _sample_sql("sales", sample)}
    assert len(ours) > 10_000
    assert ours == theirs


@pytest.mark.parametrize(("each", "file"), [(1, "lines"), (2, "2024")])
def test_sales_are_summed_only_where_that_makes_them_fewer(
    make_books: Callable[..., Books], each: int, file: str
) -> None:
    bought = ("A, 2024-01-0{}, P, 10", "A, 2024-02-0{}, P, 20", "A, 2024-02-0{}, Q, 30")
    lines = "\n".join(line.format(day) for day in range(1, each + 1) for line in bought)
    books = make_books({"invoice_lines": f"customer_id, invoice_date, product_id, gross_sales\n{lines}"})
    assert [path.stem for path in (books.cache / "sales").iterdir()] == [file]
    sold = sales_of(books, books.engagement.coverage)
    assert sold is not None
    assert [*sold["gross_sales"]] == [10 * each, 20 * each, 30 * each]


def test_the_order_days_of_the_sample_are_what_hand_written_sql_gives(sample: Books) -> None:
    rows = pd.read_parquet(sample.cache / "orders.parquet").itertuples(index=False, name=None)
    ours = {(c, str(day)[:10]): counted for c, day, *counted in rows}
    theirs = {(c, str(day)): counted for c, day, *counted in _sample_sql("orders", sample)}
    assert len(ours) > 10_000
    assert min(day for _, day in ours) < "2023-01-01"  # ordered before the coverage, invoiced in it
    assert ours == theirs


def test_the_rows_of_the_firm_are_what_is_booked_less_what_sql_charges(
    sample_rolled_up: RolledUp, sample_by_sql: Mapping[str, Any]
) -> None:
    ledger = PROJECT / "data" / "sample" / "ledger"
    expected: dict[tuple[str, str, str, str], Decimal] = {}
    for row in pd.read_csv(ledger / "capacity.csv", dtype=str).to_dict("records"):
        expected["firm", row["pool"], row["month"], "uncharged_capacity"] = Decimal(row["cost"])
    for row in pd.read_csv(ledger / "joint_costs.csv", dtype=str).to_dict("records"):
        key = ("firm", row["line"], row["month"], "joint_costs")
        expected[key] = expected.get(key, Decimal(0)) + Decimal(row["amount"])
    kinds = pd.read_csv(ledger / "activity_types.csv", dtype=str).dropna(subset=["pool"])
    pools = dict(zip(kinds["activity"], kinds["pool"], strict=True))
    for (_, _, month, activity), amount in sample_by_sql["service amount"].items():
        if activity in pools:
            expected["firm", pools[activity], month, "uncharged_capacity"] -= amount
    for (_, _, month, item), amount in sample_by_sql["capital"].items():
        if item == "capital_charge":
            key = ("firm", "charges for capital", month, "capital_charges_reversed")
            expected[key] = expected.get(key, Decimal(0)) + amount
    assert sample_rolled_up.firm == expected


# --- parity with slow Python ---------------------------------------------------------------------


def roll_up(case: oracle.Case) -> RolledUp:
    """The roll-ups as crmlib makes them from CSV files."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "case"
        names = ("cost_of_capital", "tax_rate", "inventory_noncapital_rate")
        rates = {name: str(getattr(case, name)) for name in names}
        coverage = {"start": case.coverage[0], "end": case.coverage[1]}
        write_engagement(root, case.tables, statement=case.lines, coverage=coverage, rates=rates)
        return rolled_up(open_engagement(root), root / "rolled")


def assert_same(case: oracle.Case) -> None:
    ours = roll_up(case)
    assert ours.lines == oracle.lines(case)
    assert ours.firm == oracle.firm(case)
    assert ours.service == oracle.service(case)
    assert ours.drivers == oracle.drivers(case)
    assert ours.capital == oracle.capital(case)
    assert ours.bookings == oracle.bookings(case)
    columns = case.tables["invoice_lines"][0]
    assert ours.sales == (oracle.sales(case) if "product_id" in columns else {})


def _decimals(places: int, most: int, least: int = 0) -> st.SearchStrategy[str]:
    """Numbers of so many decimals, small ones more often: they are what rounding hangs on."""
    step = Decimal(1).scaleb(-places)
    whole = (
        st.integers(least, most * 10**places) | st.integers(least and -9, 9) | st.sampled_from([5, 15, 25, 10**places])
    )
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
def activity_tables(
    draw: st.DrawFn, coverage: tuple[str, str], columns: frozenset[str], has_credits: bool
) -> dict[str, list[dict[str, str]]]:
    drivers = ["invoice_lines", "net_sales", *(["credits"] if has_credits else [])]
    drivers += [d for d, c in (("orders", "order_id"), ("units", "quantity"), ("freight", "freight")) if c in columns]
    lines = ["warehouse_handling", "order_processing", "special_packaging"]
    types, rates = [], []
    for name in ("visit", "call", *draw(st.lists(st.sampled_from(drivers), unique=True))):
        pool = draw(st.sampled_from(["", "desk", "yard"]))
        types.append({"activity": f"do {name}", "line": draw(st.sampled_from(lines)), "pool": pool, "driver": name if name in drivers else "",
                      "unit_minutes": draw(st.sampled_from(["", "1", "0.3", "7.25"]))})  # fmt: skip
        if not pool or draw(st.booleans()):  # without a rate of its own the pool's capacity makes it
            since = [
                "2023-01-01",
                *draw(st.lists(st.sampled_from(["2024-01-16", "2024-02-01", "2024-03-16"]), unique=True)),
            ]
            rates += [{"activity": f"do {name}", "valid_from": day, "rate": draw(_decimals(8, 9))} for day in since]
    capacity = [{"pool": pool, "month": f"{month}-01", "cost": draw(POSITIVE), "practical_capacity": draw(st.sampled_from(["1", "3", "7", "0.64"]))}
                for pool in ("desk", "yard") for month in MONTHS]  # fmt: skip
    event = st.fixed_dictionaries(
        {
            "customer_id": KEYS,
            "date": days(coverage),
            "activity": st.sampled_from(["do visit", "do call"]),
            "quantity": MONEY,
        }
    )
    tables = {
        "activity_types": types,
        "rates": rates,
        "capacity": capacity,
        "activities": draw(st.lists(event, max_size=6)),
    }
    return {name: rows for name, rows in tables.items() if rows}


@st.composite
def cases(draw: st.DrawFn) -> oracle.Case:
    """Small ledgers with any of the optional tables and columns; one customer, one month and nothing optional among them."""
    coverage = draw(st.sampled_from([("2024-01", "2024-03"), ("2024-02", "2024-03"), ("2024-02", "2024-02")]))
    optional = [
        "returns",
        "order_id",
        "quantity",
        "product_id",
        "discount",
        "cost_of_goods",
        "commission",
        "freight",
        "fixed_cost_of_goods",
    ]
    columns = frozenset(c for c in optional if draw(st.integers(0, 2)))
    customer_rows = CUSTOMERS if draw(st.integers(0, 4)) else [CUSTOMERS[0]]
    tables: dict[str, Sequence[Mapping[str, str]]] = {
        "customers": customer_rows,
        "invoice_lines": draw(invoice_lines(coverage, columns)),
    }
    credit = {
        "customer_id": KEYS,
        "date": days(coverage),
        "kind": st.sampled_from(["return", "rebate"]),
        "amount": MONEY,
        "cost_recovered": MONEY,
    }
    if draw(st.booleans()):
        tables["credits"] = draw(st.lists(st.fixed_dictionaries(credit), min_size=1, max_size=4))
    if draw(st.booleans()):
        tables |= draw(activity_tables(coverage, columns, "credits" in tables))
    if draw(st.booleans()):
        owned = st.sampled_from(OWNERS) if len(customer_rows) > 1 else st.just(("account_type", "Shops"))
        booking = st.tuples(KEYS.map(lambda k: ("customer", k)) | owned, days(coverage), st.sampled_from(["salaries", "advertising"]), MONEY,
                            st.sampled_from(["", "now", "never"]))  # fmt: skip
        booked = draw(st.lists(booking, min_size=1, max_size=6))
        tables["costs"] = [
            {"level": o[0], "key": o[1], "date": d, "line": li, "amount": a, "avoidable": av}
            for o, d, li, a, av in booked
        ]
    if draw(st.booleans()):
        kinds = [b for b in oracle.BALANCES if draw(st.booleans())] or ["inventory"]
        held = draw(st.lists(st.tuples(KEYS, st.sampled_from(MONTHS)), min_size=1, max_size=8, unique=True))
        tables["balances"] = [
            {"customer_id": c, "month": f"{m}-01", **{k: draw(MONEY) for k in kinds}} for c, m in held
        ]
    if draw(st.booleans()):
        joint = st.fixed_dictionaries(
            {
                "month": st.sampled_from(MONTHS).map("{}-01".format),
                "line": st.sampled_from(["rent", "board"]),
                "amount": MONEY,
            }
        )
        tables["joint_costs"] = draw(st.lists(joint, min_size=1, max_size=3))
    capital = draw(st.sampled_from(["0", "0.09", "0.1", "0.00000012", "1"]))
    return oracle.Case(
        tables,
        STATEMENT,
        coverage,
        Decimal(capital),
        draw(st.sampled_from([Decimal("0.25"), Decimal("0.3")])),
        Decimal("0.07"),
    )


STATEMENT = default_statement(transportation={"sources": ["rates"]})


@costly(16)
@given(cases())
def test_random_ledgers_roll_up_as_slow_python_does(case: oracle.Case) -> None:
    assert_same(case)


# --- properties ----------------------------------------------------------------------------------


@costly(4)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_names_of_customers_change_nothing_but_the_names(
    case: oracle.Case, random: Any
) -> None:
    new = {"A": "z", "B": "00A", "00123": "=1", "P": "é", "X9": "1e5", "x9": "NA"}
    renamed = {
        name: [
            {c: new.get(v, v) if c in ("customer_id", "parent_id", "key") else v for c, v in row.items()}
            for row in random.sample(list(rows), len(rows))
        ]
        for name, rows in case.tables.items()
    }
    after, before = roll_up(replace(case, tables=renamed)), roll_up(case)
    for name in ("lines", "drivers", "capital", "service", "bookings"):
        expected = {(lv, new.get(o, o), *k): a for (lv, o, *k), a in getattr(before, name).items()}
        assert getattr(after, name) == expected, name
    assert after.firm == before.firm
    assert after.sales == {(new.get(c, c), p, m): a for (c, p, m), a in before.sales.items()}


@costly(4)
@given(cases())
def test_splitting_a_line_in_two_changes_no_amount(case: oracle.Case) -> None:
    kept = {
        n: rows
        for n, rows in case.tables.items()
        if n in ("customers", "invoice_lines", "costs", "joint_costs", "credits")
    }
    amounts = ("gross_sales", "discount", "cost_of_goods", "quantity", "amount", "cost_recovered")
    halved = {
        n: rows if n == "customers" else [half for row in rows for half in _halves(row, amounts)]
        for n, rows in kept.items()
    }
    whole, halves = (roll_up(replace(case, tables=tables)).lines for tables in (kept, halved))
    assert halves == whole


def _halves(row: Mapping[str, str], amounts: Sequence[str]) -> list[dict[str, str]]:
    part = {c: (Decimal(row[c]) / 2).quantize(Decimal("1e-4")) for c in amounts if c in row}
    nought = {c: "0" for c in ("commission", "freight", "fixed_cost_of_goods") if c in row}
    rest = {c: f"{Decimal(row[c]) - half:f}" for c, half in part.items()}
    return [{**row, **{c: f"{half:f}" for c, half in part.items()}}, {**row, **rest, **nought}]


SIGNS = {
    line["id"]: 1 if line["class"] == "revenue" else -1 for line in STATEMENT if line.get("class", "pool") != "pool"
}


@costly(4)
@given(cases(), _decimals(4, 1000).filter(lambda a: Decimal(a) > 0), st.sampled_from(["A", "X9"]))
def test_more_cost_never_raises_a_margin(case: oracle.Case, amount: str, key: str) -> None:
    day = f"{case.coverage[1]}-15"
    booking = {"level": "customer", "key": key, "date": day, "line": "salaries", "amount": amount, "avoidable": ""}
    before = _margins(roll_up(case).lines)
    tables = {**case.tables, "costs": [*case.tables.get("costs", ()), booking]}
    after = _margins(roll_up(replace(case, tables=tables)).lines)
    owner = case.owner(key)
    fallen = {o for o in {*before, *after} if after.get(o, Decimal(0)) < before.get(o, Decimal(0))}
    assert fallen == {owner}
    assert before.get(owner, Decimal(0)) - after[owner] == Decimal(amount)


def _margins(found: oracle.Cells) -> dict[tuple[str, str], Decimal]:
    margins: dict[tuple[str, str], Decimal] = {}
    for (level, owner, _, column), amount in found.items():
        if column in SIGNS:
            margins[level, owner] = margins.get((level, owner), Decimal(0)) + amount * SIGNS[column]
    return margins


# --- the rules one by one ------------------------------------------------------------------------

Roll = Callable[..., RolledUp]


@pytest.fixture
def roll(make_engagement: Callable[..., Path]) -> Roll:
    """The roll-ups of an engagement written from the smallest ledger on."""

    def roll_up(tables: Mapping[str, Any], **settings: Any) -> RolledUp:
        engagement = open_engagement(make_engagement(tables, **settings))
        return rolled_up(engagement, engagement.folder / "rolled")

    return roll_up


def test_an_amount_is_rounded_half_away_from_zero_at_the_8th_decimal(roll: Roll) -> None:
    lines = roll({
        "activity_types": "activity, line\nvisit, order_processing",
        "rates": "activity, valid_from, rate\nvisit, 2024-01-01, 0.00000003",
        "activities": """customer_id, date, activity, quantity
            A, 2024-01-01, visit,  0.5
            A, 2024-02-01, visit,  1.5
            A, 2024-03-01, visit,  2.5
            A, 2024-04-01, visit, -0.5
            A, 2024-05-01, visit, -2.5
            A, 2024-06-01, visit,  2.4999""",
    }).lines  # fmt: skip
    places = [("customer", "A", f"2024-0{month}-01") for month in range(1, 7)]
    amounts = [lines[*place, "order_processing"] * 10**8 for place in places]
    assert amounts == [2, 5, 8, -2, -8, 7]  # in floating point the first two are below the half


def test_an_amount_of_a_month_is_rounded_once_and_not_event_by_event(roll: Roll) -> None:
    lines = roll({
        "activity_types": "activity, line\nvisit, order_processing",
        "rates": "activity, valid_from, rate\nvisit, 2024-01-01, 0.00000001\nvisit, 2024-01-16, 0.00000003",
        "activities": "customer_id, date, activity, quantity\nA, 2024-01-01, visit, 0.3\nA, 2024-01-20, visit, 0.1",
    }).lines  # fmt: skip
    assert lines["customer", "A", "2024-01-01", "order_processing"] * 10**8 == 1  # 0.3 + 0.3; each alone would be 0


def test_activities_of_one_line_are_rounded_each_by_itself_so_that_they_add_up_to_it(roll: Roll) -> None:
    rolled = roll({
        "activity_types": "activity, line\nvisit, order_processing\ncall, order_processing",
        "rates": "activity, valid_from, rate\nvisit, 2024-01-01, 0.00000001\ncall, 2024-01-01, 0.00000001",
        "activities": "customer_id, date, activity, quantity\nA, 2024-01-01, visit, 0.5\nA, 2024-01-20, call, 0.5",
    })  # fmt: skip
    amounts = [amount for _, amount in rolled.service.values()]
    assert amounts == [CELL, CELL]
    assert rolled.lines["customer", "A", "2024-01-01", "order_processing"] == sum(amounts)


def test_a_rate_that_changes_in_mid_month_prices_each_event_on_its_own_day(roll: Roll) -> None:
    lines = roll({
        "activity_types": "activity, line, driver\nvisit, order_processing,\nship, warehouse_handling, orders",
        "rates": """activity, valid_from, rate
            visit, 2023-07-01, 10
            visit, 2024-01-16, 11
            ship,  2024-01-01,  1
            ship,  2024-01-20,  2""",
        "activities": "customer_id, date, activity, quantity\nA, 2024-01-15, visit, 1\nA, 2024-01-16, visit, 1\nA, 2024-02-01, visit, 1",
        "invoice_lines": """customer_id, invoice_date, gross_sales, order_id
            A, 2024-01-19, 1, first
            A, 2024-01-20, 1, second""",
    }).lines  # fmt: skip
    assert lines["customer", "A", "2024-01-01", "order_processing"] == 10 + 11
    assert lines["customer", "A", "2024-02-01", "order_processing"] == 11
    assert lines["customer", "A", "2024-01-01", "warehouse_handling"] == 1 + 2


def test_an_order_counts_once_in_the_month_of_its_first_line(roll: Roll) -> None:
    drivers = roll({
        "invoice_lines": """customer_id, invoice_date, gross_sales, order_id
            A, 2024-02-03, 1, long
            A, 2024-01-31, 1, long
            A, 2024-02-03, 1, short
            B, 2024-02-03, 1, long
            A, 2024-02-03, 1,""",
    }).drivers  # fmt: skip
    orders = {(owner, month[:7]): n for (_, owner, month, c), n in drivers.items() if c == "orders"}
    assert orders == {("A", "2024-01"): 1, ("A", "2024-02"): 1, ("B", "2024-02"): 1}


def test_an_order_is_of_the_day_on_which_it_was_ordered_and_a_return_is_none(make_books: Callable[..., Books]) -> None:
    lines = """customer_id, invoice_date, gross_sales, order_id, order_date, quantity
        A, 2024-02-03,   1, late, 2024-01-30,  1
        A, 2024-01-02,   2, old,  2023-12-28,  9
        A, 2024-02-04,   4, late, 2024-01-31,  1
        A, 2024-02-05,   8, more, 2024-01-30,  9
        A, 2024-02-05, -16, back, 2024-02-05, -1
        A, 2024-02-06,  32, bare, ,            9
        A, 2024-02-07,  64, ,     2024-02-06,  1
        A, 2024-02-07, 128, ,     2024-02-06,  1
        X, 2024-02-07,   8, lost, 2024-02-06,  1"""
    found = _order_days(make_books({"invoice_lines": lines}))
    assert found == {
        ("A", "2023-12-28"): (1, 2),
        ("A", "2024-01-30"): (2, 1 + 4 + 8),
        ("A", "2024-02-06"): (2, 32 + 64 + 128),
    }


def test_without_order_numbers_and_dates_a_customers_day_of_invoice_is_an_order(
    make_books: Callable[..., Books],
) -> None:
    lines = (
        "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 1\nA, 2024-01-10, 2\nA, 2024-01-11, 4\nB, 2024-01-10, 0"
    )
    assert _order_days(make_books({"invoice_lines": lines})) == {
        ("A", "2024-01-10"): (1, 3),
        ("A", "2024-01-11"): (1, 4),
    }


def _order_days(books: Books) -> dict[tuple[str, str], tuple[int, Decimal]]:
    rows = pd.read_parquet(books.cache / "orders.parquet").itertuples(index=False, name=None)
    return {(c, str(day)[:10]): (n, gross) for c, day, n, gross in rows}


def test_a_monthly_balance_is_the_mean_of_two_month_ends_and_the_first_has_only_its_own(roll: Roll) -> None:
    rolled = roll(
        {
            "balances": """customer_id, month, receivables
            A, 2024-01-01, 1200
            A, 2024-02-01, 2400
            A, 2024-04-01,  600
            B, 2024-02-01,  100"""
        },
        rates={"cost_of_capital": "0.09", "tax_rate": "0.25"},
    )
    charge = {(o, month[:7]): a for (_, o, month, c), a in rolled.lines.items() if c == "receivables_charge"}
    means = {("A", "2024-01"): 1200, ("A", "2024-02"): 1800, ("A", "2024-03"): 1200, ("A", "2024-04"): 300, ("A", "2024-05"): 300,
             ("B", "2024-02"): 50, ("B", "2024-03"): 50}  # fmt: skip
    assert charge == {key: mean * Decimal("0.01") for key, mean in means.items()}
    assert {(o, month[:7]): a for (_, o, month, c), a in rolled.capital.items() if c == "receivables"} == means


def test_the_charge_on_inventory_has_a_part_that_is_no_charge_for_capital(roll: Roll) -> None:
    rates = {"cost_of_capital": "0.09", "tax_rate": "0.25", "inventory_noncapital_rate": "0.12"}
    rolled = roll({"balances": "customer_id, month, inventory, receivables\nA, 2024-12-01, 1000, 500"}, rates=rates)
    charge = {c: a for (_, _, month, c), a in rolled.lines.items() if month == "2024-12-01"}
    assert charge == {"inventory_carrying_cost": 20, "receivables_charge": 5}
    assert {c: a for (*_, c), a in rolled.capital.items()} == {
        "inventory": 1000,
        "receivables": 500,
        "capital_charge": 10 + 5,
    }


def test_charges_for_capital_taken_out_are_those_put_in_also_where_several_keys_are_unknown(roll: Roll) -> None:
    rolled = roll(
        {"balances": "customer_id, month, receivables\nX, 2024-12-01, 0.5\nY, 2024-12-01, 0.5"},
        rates={"cost_of_capital": "0.00000012"},
    )  # a month's charge on each is half of the 8th decimal
    assert {c: a for (level, *_, c), a in rolled.lines.items() if level == "unassigned"} == {"receivables_charge": CELL}
    assert rolled.firm == {("firm", "charges for capital", "2024-12-01", "capital_charges_reversed"): CELL}


def test_negative_quantity_with_negative_gross_is_a_return_and_its_cost_is_recovered(roll: Roll) -> None:
    rolled = roll({
        "invoice_lines": """customer_id, invoice_date, gross_sales, quantity, discount, cost_of_goods
            A, 2024-01-10, 100, 10, 20, 50
            A, 2024-01-20, -30, -3, -6, -15""",
        "credits": "customer_id, date, kind, amount, cost_recovered\nA, 2024-01-25, return, 8, 5",
    })  # fmt: skip
    a = {c: amount for (_, owner, _, c), amount in {**rolled.lines, **rolled.drivers}.items() if owner == "A"}
    assert a["sales"] == 100
    assert a["discounts_returns_allowances"] == 20 - 6 + 30 + 8
    assert a["cost_of_goods_sold"] == 50 - 15 - 5
    assert a["units"] == 10


def test_a_key_that_is_blank_or_unknown_goes_to_unassigned(roll: Roll) -> None:
    lines = roll({
        "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\n, 2024-01-11, 5\nX, 2024-01-12, 7\na, 2024-01-12, 11",
        "costs": "level, key, date, line, amount\ncustomer, , 2024-01-31, salaries, 3\ncustomer, X, 2024-01-31, salaries, 4",
    }).lines  # fmt: skip
    amounts = {(level, owner, c): amount for (level, owner, _, c), amount in lines.items()}
    assert amounts["customer", "A", "sales"] == 100
    assert amounts["unassigned", "", "sales"] == 5 + 7 + 11
    assert amounts["unassigned", "", "salaries"] == 3 + 4


def test_a_cost_of_a_group_belongs_to_the_group_and_to_none_of_its_customers(roll: Roll) -> None:
    lines = roll({
        "customers": "customer_id, customer_name, account_type, region, segment, parent_id\nA, Adler, Shops, North, 1,\nB, Birch, Shops, North, 1, A",
        "costs": """level, key, date, line, amount
            account_type, Shops, 2024-01-31, advertising, 1
            region,       North, 2024-01-31, advertising, 2
            segment,      1,     2024-01-31, advertising, 4
            parent,       A,     2024-01-31, advertising, 8""",
    }).lines  # fmt: skip
    owned = {(level, owner): a for (level, owner, _, c), a in lines.items() if c == "advertising"}
    assert owned == {("account_type", "Shops"): 1, ("region", "North"): 2, ("segment", "1"): 4, ("parent", "A"): 8}


def test_duplicate_rows_are_kept_because_bookings_repeat(roll: Roll) -> None:
    rolled = roll({"invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nA, 2024-01-10, 100"})
    assert rolled.lines["customer", "A", "2024-01-01", "sales"] == 200


def test_rows_outside_the_coverage_are_left_out_of_every_figure(roll: Roll) -> None:
    lines = roll({
        "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2023-12-31, 1\nA, 2024-01-01, 2\nA, 2024-12-31, 4\nA, 2025-01-01, 8",
    }).lines  # fmt: skip
    assert sum(a for (*_, c), a in lines.items() if c == "sales") == 2 + 4


def test_a_pool_without_a_rate_of_its_own_is_priced_by_its_practical_capacity(roll: Roll) -> None:
    lines = roll({
        "activity_types": "activity, line, pool, unit_minutes\ncall, order_processing, desk, 7",
        "capacity": "pool, month, cost, practical_capacity\ndesk, 2024-01-01, 100, 300\ndesk, 2024-02-01, 100, 600",
        "activities": "customer_id, date, activity, quantity\nA, 2024-01-05, call, 3\nA, 2024-02-05, call, 3",
    }).lines  # fmt: skip
    cost = [lines["customer", "A", f"2024-0{m}-01", "order_processing"] for m in (1, 2)]
    assert cost == [3 * Decimal("2.33333333"), 3 * Decimal("1.16666667")]


def test_a_measure_of_the_lines_drives_cost_with_all_its_decimals(roll: Roll) -> None:
    lines = roll({
        "invoice_lines": "customer_id, invoice_date, gross_sales, freight\nA, 2024-01-10, 100, 0.12345678",
        "activity_types": "activity, line, driver\nhandle, order_processing, freight",
        "rates": "activity, valid_from, rate\nhandle, 2024-01-01, 100",
    }, statement=STATEMENT).lines  # fmt: skip
    assert lines["customer", "A", "2024-01-01", "order_processing"] == Decimal("12.345678")


def test_net_sales_drive_cost_after_discounts_returns_and_credits(roll: Roll) -> None:
    rolled = roll({
        "invoice_lines": "customer_id, invoice_date, gross_sales, quantity, discount\nA, 2024-01-10, 100, 1, 10\nA, 2024-01-11, -20, -1, -2",
        "credits": "customer_id, date, kind, amount\nA, 2024-01-12, rebate, 5",
        "activity_types": "activity, line, driver\nbill, order_processing, net_sales",
        "rates": "activity, valid_from, rate\nbill, 2024-01-01, 0.01",
    })  # fmt: skip
    place = ("customer", "A", "2024-01-01")
    assert rolled.lines[*place, "order_processing"] == (90 - 18 - 5) * Decimal("0.01")
    assert rolled.service == {(*place, "bill"): (67, Decimal("0.67"))}


def test_net_sales_are_priced_in_each_source_that_makes_them(roll: Roll) -> None:
    rolled = roll({
        "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 1.5",
        "credits": "customer_id, date, kind, amount\nA, 2024-01-12, rebate, 0.5",
        "activity_types": "activity, line, driver\nbill, order_processing, net_sales",
        "rates": "activity, valid_from, rate\nbill, 2024-01-01, 0.00000001",
    })  # fmt: skip
    assert rolled.lines["customer", "A", "2024-01-01", "order_processing"] == 2 * CELL - CELL  # together 1.0, also 1


@pytest.mark.parametrize("driver", ["gross_sales", "quantity", "discount", "cost_of_goods"])
def test_any_measure_of_the_lines_is_a_driver_as_it_is_booked(roll: Roll, driver: str) -> None:
    rolled = roll({
        "invoice_lines": """customer_id, invoice_date, gross_sales, quantity, discount, cost_of_goods
            A, 2024-01-10, 100, 10, 20, 50
            A, 2024-01-20, -30, -3, -6, -15""",
        "credits": "customer_id, date, kind, amount, cost_recovered\nA, 2024-01-25, return, 8, 5",
        "activity_types": f"activity, line, driver\nbill, order_processing, {driver}",
        "rates": "activity, valid_from, rate\nbill, 2024-01-01, 2",
    })  # fmt: skip
    quantity = {"gross_sales": 100 - 30, "quantity": 10 - 3, "discount": 20 - 6, "cost_of_goods": 50 - 15}[driver]
    assert rolled.service == {("customer", "A", "2024-01-01", "bill"): (quantity, 2 * quantity)}


def test_activities_that_differ_in_case_or_are_named_like_a_line_stay_apart(roll: Roll) -> None:
    rolled = roll({
        "activity_types": "activity, line\ncall, order_processing\nCall, order_processing\nsales, warehouse_handling\nmonth, warehouse_handling",
        "rates": """activity, valid_from, rate
            call,  2024-01-01, 1
            Call,  2024-01-01, 2
            sales, 2024-01-01, 3
            month, 2024-01-01, 4""",
        "activities": """customer_id, date, activity, quantity
            A, 2024-01-05, call,  10
            A, 2024-01-05, Call,  100
            A, 2024-01-05, sales, 1000
            A, 2024-01-05, month, 10000""",
    })  # fmt: skip
    place = ("customer", "A", "2024-01-01")
    assert {key[3]: pair for key, pair in rolled.service.items()} == {
        "call": (10, 10), "Call": (100, 200), "sales": (1000, 3000), "month": (10000, 40000),
    }  # fmt: skip
    assert rolled.lines[*place, "sales"] == 100
    assert rolled.lines[*place, "order_processing"] == 210
    assert rolled.lines[*place, "warehouse_handling"] == 43000


def test_what_a_booking_says_of_itself_stands_beside_its_line(roll: Roll) -> None:
    rolled = roll({
        "costs": """level, key, date, line, amount, avoidable
            customer, A, 2024-01-31, salaries, 1, now
            customer, A, 2024-01-31, salaries, 2, never
            customer, A, 2024-01-31, salaries, 4,
            customer, X, 2024-01-31, salaries, 8, now""",
    })  # fmt: skip
    assert rolled.bookings == {
        ("customer", "A", "2024-01-01", "salaries", "now"): 1,
        ("customer", "A", "2024-01-01", "salaries", "never"): 2,
        ("customer", "A", "2024-01-01", "salaries", ""): 4,
        ("unassigned", "", "2024-01-01", "salaries", "now"): 8,
    }
    assert rolled.lines["customer", "A", "2024-01-01", "salaries"] == 1 + 2 + 4


def test_a_quantity_without_a_rate_is_counted_and_costs_nothing(roll: Roll) -> None:
    rolled = roll({
        "activity_types": "activity, line\nvisit, order_processing",
        "rates": "activity, valid_from, rate\nvisit, 2024-02-01, 5",
        "activities": "customer_id, date, activity, quantity\nA, 2024-01-05, visit, 3\nA, 2024-02-05, visit, 3",
    })  # fmt: skip
    assert {key[2][:7]: pair for key, pair in rolled.service.items()} == {"2024-01": (3, 0), "2024-02": (3, 15)}


# --- files -----------------------------------------------------------------------------------------


def test_each_source_has_a_file_of_its_own_and_nothing_else_is_left(make_engagement: Callable[..., Path]) -> None:
    engagement = open_engagement(make_engagement(EVERY_SOURCE))
    folder = engagement.folder / "rolled"
    rolled_up(engagement, folder)
    shutil.rmtree(folder / "ledger")
    files = {str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.*")}
    sources = ["trade", "credits", "activities", "costs", "balances", "capacity", "joint_costs", "capital_charges"]
    assert files == {
        *(f"lines/{source}" for source in sources),
        *(f"drivers/{source}" for source in ("trade", "orders", "credits")),
        "service", "capital", "bookings", "rates",
    }  # fmt: skip
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"lines", "drivers"}


EVERY_SOURCE = {
    "invoice_lines": "customer_id, invoice_date, gross_sales, order_id\nA, 2024-01-10, 100, 1",
    "credits": "customer_id, date, kind, amount\nA, 2024-01-12, rebate, 5",
    "activity_types": "activity, line, pool\ncall, order_processing, desk",
    "rates": "activity, valid_from, rate\ncall, 2024-01-01, 4\ncall, 2024-01-16, 5",
    "activities": "customer_id, date, activity, quantity\nA, 2024-01-05, call, 3",
    "capacity": "pool, month, cost, practical_capacity\ndesk, 2024-01-01, 100, 50",
    "costs": "level, key, date, line, amount\ncustomer, A, 2024-01-31, salaries, 7",
    "balances": "customer_id, month, receivables\nA, 2024-01-01, 1200",
    "joint_costs": "month, line, amount\n2024-01-01, head office, 9",
}


def test_rates_are_written_by_activity_and_span(make_engagement: Callable[..., Path]) -> None:
    tables = {
        **EVERY_SOURCE,
        "activity_types": "activity, line, pool\ncall, order_processing, desk\nmail, order_processing, desk",
    }
    engagement = open_engagement(make_engagement(tables, coverage={"start": "2024-01", "end": "2024-02"}))
    rolled_up(engagement, engagement.folder / "rolled")
    rows = pd.read_parquet(engagement.folder / "rolled" / "rates.parquet").itertuples(index=False)
    assert [(r.activity, str(r.span_start), str(r.span_end), r.rate) for r in rows] == [
        ("call", "2024-01-01", "2024-01-16", 4),
        ("call", "2024-01-16", "2024-02-01", 5),
        ("call", "2024-02-01", "2024-03-01", 5),
        ("mail", "2024-01-01", "2024-01-16", 2),  # of the pool: 100 / 50; none in February
        ("mail", "2024-01-16", "2024-02-01", 2),
    ]


def test_the_files_of_a_roll_up_are_summed_when_read(tmp_path: Path) -> None:
    months = [date(2024, 1, 1), date(2024, 2, 1), date(2024, 3, 1)]
    for name, column, owners in (("trade", "sales", "BA"), ("costs", "salaries", "AC")):
        rows = [
            {"level": "customer", "owner": owner, "month": month, column: Decimal(place + 1).scaleb(-8)}
            for owner in owners
            for place, month in enumerate(months)
        ]
        amount = pa.field(column, pa.decimal128(38, 8))
        keys = [pa.field("level", pa.string()), pa.field("owner", pa.string()), pa.field("month", pa.date32())]
        pq.write_table(pa.Table.from_pylist(rows, pa.schema([*keys, amount])), tmp_path / f"{name}.parquet")
    read = read_rollup(tmp_path, ["owner"], Period(months[0], months[2])).to_pylist()
    assert read == [
        {"owner": "A", "salaries": 3 * CELL, "sales": 3 * CELL},
        {"owner": "B", "salaries": 0, "sales": 3 * CELL},
        {"owner": "C", "salaries": 3 * CELL, "sales": 0},
    ]
    one = read_rollup(tmp_path / "trade.parquet", ["month"], Period(months[1], months[2])).to_pylist()
    assert one == [{"month": months[1], "sales": 4 * CELL}]


# --- no amount is too great ----------------------------------------------------------------------

MONEY_MOST, RATE_MOST = "99999999999999.9999", "9999999999.99999999"  # what the columns hold


@pytest.mark.parametrize("driver", ["", "units", "net_sales", "gross_sales", "freight", "orders"])
@pytest.mark.parametrize("most", [MONEY_MOST, "1000000000000", "-99999999999999.9999"])
def test_no_quantity_is_too_great_for_its_rate(roll: Roll, driver: str, most: str) -> None:
    column = {"units": "quantity", "net_sales": "gross_sales", "orders": "order_id"}.get(driver, driver)
    quantity = {"freight": RATE_MOST, "orders": "1", "units": most.strip("-")}.get(driver, most)
    line = {"customer_id": "A", "invoice_date": "2024-01-10", "gross_sales": "1", column: quantity}
    event = {"customer_id": "A", "date": "2024-01-10", "activity": "do", "quantity": quantity}
    service = roll(
        {
            "invoice_lines": [{name: value for name, value in line.items() if name}] * 2,
            "activity_types": [{"activity": "do", "line": "order_processing", "driver": driver}],
            "rates": f"activity, valid_from, rate\ndo, 2023-01-01, 1\ndo, 2024-01-05, {RATE_MOST}",
            **({} if driver else {"activities": [event] * 2}),
        },
        statement=STATEMENT,
    ).service
    with localcontext(prec=80):  # both of a month together, but for the order, which is one
        total = Decimal(quantity) * (1 if driver == "orders" else 2)
        amount = _rounded(total * Decimal(RATE_MOST))
    assert service == {("customer", "A", "2024-01-01", "do"): (total, amount)}


def _rounded(amount: Decimal) -> Decimal:
    with localcontext(prec=80):
        return amount.quantize(CELL, ROUND_HALF_UP)


@pytest.mark.parametrize("balance", oracle.BALANCES)
@pytest.mark.parametrize("amount", ["1000000000000", MONEY_MOST, f"-{MONEY_MOST}"])
def test_no_balance_is_too_great_for_its_charge(roll: Roll, balance: str, amount: str) -> None:
    months = "\n".join(f"A, 2024-{m:02}-01, {amount}" for m in range(1, 13))
    rates = {"cost_of_capital": "1", "tax_rate": "0.5", "inventory_noncapital_rate": "1"}
    rolled = roll({"balances": f"customer_id, month, {balance}\n{months}"}, rates=rates)
    monthly = Decimal("0.1666666666666667")
    place = ("customer", "A", "2024-12-01")
    assert rolled.capital[*place, balance] == Decimal(amount)
    with localcontext(prec=80):
        charge = _rounded(Decimal(amount) * monthly)
    assert rolled.capital[*place, "capital_charge"] == charge


@st.composite
def magnitudes(draw: st.DrawFn, digits: int, places: int) -> Decimal:
    """Numbers of any size that a column of so many digits holds, ties of the 8th decimal too."""
    size = draw(st.integers(1, digits))
    return Decimal(draw(st.integers(-(10**size) + 1, 10**size - 1) | st.sampled_from([5, 25, 10**places]))).scaleb(
        -places
    )


@costly(6)
@given(st.lists(st.tuples(magnitudes(18, 4), magnitudes(18, 8).map(abs), magnitudes(18, 8)), min_size=1, max_size=25))
def test_quantities_and_rates_of_any_size_are_multiplied_exactly_and_rounded_once(
    numbers: Sequence[tuple[Decimal, ...]],
) -> None:
    kinds = [(f"{kind} {i}", kind, i) for i in range(len(numbers)) for kind in ("event", "measure")]
    line = {"customer_id": "A", "invoice_date": "2024-01-10", "gross_sales": "1"}
    line |= {f"m{i}": f"{measure:f}" for i, (_, _, measure) in enumerate(numbers)}
    event = {"customer_id": "A", "date": "2024-01-10"}
    tables: dict[str, Any] = {
        "customers": CUSTOMERS[:1],
        "invoice_lines": [line],
        "activity_types": [
            {"activity": name, "line": "order_processing", "driver": f"m{i}" if kind == "measure" else ""}
            for name, kind, i in kinds
        ],
        "rates": [{"activity": name, "valid_from": "2024-01-01", "rate": f"{numbers[i][1]:f}"} for name, _, i in kinds],
        "activities": [
            {**event, "activity": f"event {i}", "quantity": f"{quantity:f}"}
            for i, (quantity, _, _) in enumerate(numbers)
        ],
    }
    columns = {f"m{i}": {} for i in range(len(numbers))}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "case"
        write_engagement(root, tables, tables={"invoice_lines": {"columns": columns}})
        service = rolled_up(open_engagement(root), root / "rolled").service
    with localcontext(prec=80):
        expected = {f"event {i}": (q, _rounded(q * rate)) for i, (q, rate, _) in enumerate(numbers)}
        expected |= {f"measure {i}": (m, _rounded(m * rate)) for i, (_, rate, m) in enumerate(numbers)}
    assert {key[3]: pair for key, pair in service.items()} == {k: pair for k, pair in expected.items() if any(pair)}


def test_an_engine_shows_no_bar_of_progress_in_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    con = duckdb.connect()
    con.execute("SET enable_progress_bar = true")  # as it is in a notebook
    monkeypatch.setattr(duckdb, "connect", lambda **_: con)
    with engine(threads="1") as own, engine() as shared:
        for each in (own, shared):
            assert each.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [(False,)]
