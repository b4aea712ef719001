"""The workbook on Microsoft's sample company, where ADVENTUREWORKS_DATA names its tables (see examples/adventureworks)."""

import os
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import pandas as pd
import pytest

from crmlib import accounts, criteria, segments
from crmlib.books.stored import open_books, owner_totals
from crmlib.declared.reading import PROJECT
from crmlib.full_cost import verdicts
from crmlib.profitability import customer_profitability, firm_profitability, group_profitability, share, whale_curve

DATA = os.environ.get("ADVENTUREWORKS_DATA", "")
ALL_MONTHS = "2010-12..2013-11"
YEARS = {"2010-12": 2010, "2011": 2011, "2012": 2012, "2013-01..2013-11": 2013}
LINES = ["net_sales", "cost_of_goods_sold", "transportation", "sales_commissions"]

pytestmark = pytest.mark.skipif(not DATA, reason="ADVENTUREWORKS_DATA does not name the folder of the data")


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield open_books(PROJECT / "examples" / "adventureworks")


@pytest.fixture(scope="module")
def resellers(books):
    return customer_profitability(books, books.period(ALL_MONTHS))


@pytest.fixture(scope="module")
def expected():
    """By reseller and year in plain SQL: commission is summed by seller's rate first, and multiplied after."""
    import duckdb

    folder = Path(DATA)
    query = f"""
        SELECT ResellerKey::VARCHAR AS reseller, year(OrderDate) AS year, sum(SalesAmount) AS net_sales, sum(TotalProductCost) AS cost_of_goods_sold,
               sum(Freight) AS transportation, round(p.CommissionPct * 1000)::INT AS per_mille
        FROM '{folder}/FactResellerSales.parquet' f
        JOIN '{folder}/DimEmployee.parquet' d USING (EmployeeKey)
        JOIN '{folder}/oltp_Employee.parquet' e ON e.NationalIDNumber = d.EmployeeNationalIDAlternateKey
        JOIN '{folder}/oltp_SalesPerson.parquet' p USING (BusinessEntityID)
        GROUP BY ALL"""
    columns = ["reseller", "year", *LINES[:3], "per_mille"]
    sums = pd.DataFrame(duckdb.sql(query).fetchall(), columns=columns)
    sums["sales_commissions"] = sums["net_sales"] * sums["per_mille"].map(Decimal) / 1000
    return sums.groupby(["reseller", "year"])[LINES].sum().reset_index()


def cents(amount):
    return Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def after_freight(frame):
    return frame["net_sales"] - frame["cost_of_goods_sold"] - frame["transportation"]


def test_totals_are_the_known_ones_to_the_cent(books):
    firm = firm_profitability(books, books.period(ALL_MONTHS))
    known = ["80450596.98", "79980114.38", "2011265.92", "1100987.79"]
    assert [cents(firm[line]) for line in LINES] == [Decimal(k) for k in known]
    assert cents(after_freight(firm)) == Decimal("-1540783.31")


def test_every_tie_out_holds_and_nothing_is_found_but_tables_that_no_one_needs(books):
    assert books.tie_out["tied"].all()
    assert len(books.tie_out) > 10
    assert list(books.findings["code"]) == ["files-unread"]


@pytest.mark.parametrize("period", YEARS)
def test_each_year_is_what_plain_sql_says(books, expected, period):
    firm = firm_profitability(books, books.period(period))
    year = expected[expected["year"] == YEARS[period]]
    assert [firm[line] for line in LINES] == [year[line].sum() for line in LINES]


def test_each_reseller_is_what_plain_sql_says(resellers, expected):
    ours = resellers.set_index("customer_id")[LINES].sort_index()
    theirs = expected.groupby("reseller")[LINES].sum().sort_index()
    assert list(ours.index) == list(theirs.index)
    for line in LINES:
        assert (ours[line] == theirs[line]).all(), line


def test_each_reseller_and_year_is_what_plain_sql_says(books, expected):
    for period, year in YEARS.items():
        totals = owner_totals(books, books.period(period)).set_index("owner").sort_index()
        theirs = expected[expected["year"] == year].set_index("reseller").sort_index()
        assert (totals["sales"] - totals["discounts_returns_allowances"] == theirs["net_sales"]).all()
        assert all((totals[line] == theirs[line]).all() for line in LINES[1:])


def test_sixty_six_resellers_never_bought_and_are_still_customers(books, resellers):
    assert len(books.customers) == 701
    assert len(resellers) == 635
    assert set(resellers["customer_id"]) < set(books.customers["customer_id"])


def test_most_resellers_do_not_cover_product_cost_and_freight(resellers):
    assert (after_freight(resellers) < 0).sum() == 399


def test_cost_of_goods_reads_as_full_cost_and_margins_say_what_they_are_before(books):
    lines = {line.id: line for line in books.statement_in(books.period(ALL_MONTHS)).lines}
    assert lines["manufacturing_contribution"].title == "Gross margin at full cost"
    assert "full standard cost" in lines["cost_of_goods_sold"].label
    lacking = "before warehouse handling, special packaging, order processing and receivables charge"
    assert lines["contribution_margin"].title == f"Contribution margin, {lacking}"


def test_a_share_of_the_negative_total_is_no_number(books, resellers):
    margin = books.statement.net_margin.id
    total = resellers[margin].sum()
    assert total < 0
    assert share(resellers[margin].iloc[0], total) is None


def test_the_whale_curve_rises_above_zero_and_ends_below_it(books, resellers):
    curve = whale_curve(resellers, books.statement.net_margin.id)
    assert len(curve) == 635
    assert curve["cumulative"].max() > 0
    assert curve["cumulative"].iloc[-1] == resellers[books.statement.net_margin.id].sum() < 0


def test_account_types_add_up_to_the_firm(books):
    groups = group_profitability(books, books.period(ALL_MONTHS)).whole
    parts = groups.drop(index="Firm")
    assert {"Specialty Bike Shop", "Value Added Reseller", "Warehouse"} <= set(parts.index)
    assert all(parts[line].sum() == groups.at["Firm", line] for line in [*LINES, "net_segment_margin"])


def test_of_avoidable_cost_nothing_is_said_where_goods_are_at_full_cost(books):
    assert verdicts(books, books.period(ALL_MONTHS), 12).empty


def test_resellers_are_compared_by_business_type_bank_and_years_open(books):
    period = books.period(ALL_MONTHS)
    register = criteria.read_criteria(books)
    points = criteria.points(accounts.measures(books, period), pd.DataFrame(), register)
    assert len(points) == 635
    assert points[["channel", "bank", "age"]].notna().all(axis=None)
    named = books.customers.set_index("customer_id").loc[points.index]
    assert (
        points["channel"]
        == named["account_type"].map({"Warehouse": 1.0, "Value Added Reseller": 1 / 3, "Specialty Bike Shop": 0.0})
    ).all()
    oldest = named["year_opened"].astype(int).idxmin()
    assert points.at[oldest, "age"] == points["age"].max()


def test_every_reseller_is_in_one_segment_though_all_together_lose_money(books):
    made = segments.differentiate(books, books.period(ALL_MONTHS))
    assert len(made) == 701
    assert (made["segment"] != "").all()
    assert made.loc[made["segment"] == "Inactive", "sales"].eq(0).all()
    assert made["net_margin"].sum() < 0
    assert (made.loc[made["key"], "net_margin"] > 0).all()
