"""Economic value added: the literature's cases, each customer's part, conservation, the tree, and ranges by simulation."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crmlib import agreements, assignment, eva, menu, opportunities, segments, what_if
from crmlib.books.stored import Books, View
from crmlib.declared.capital import Capital
from crmlib.declared.reading import SettingsError
from crmlib.profitability import adds_up, total

Make = Callable[..., Books]
RATES = {"cost_of_capital": 0.09, "tax_rate": 0.25, "inventory_noncapital_rate": 0.10}
TABLES = {
    "customers": "customer_id, customer_name, account_type\nA, Adler, Shops\nB, Birch, Shops",
    "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 1000\nB, 2024-02-10, 500",
    "costs": "level, key, date, line, amount\ncustomer, B, 2024-03-31, salaries, 700\naccount_type, Shops, 2024-03-31, advertising, 60",
    "balances": "customer_id, month, receivables\n" + "\n".join(f"A, 2024-{m:02}-01, 1200" for m in range(1, 13)),
    "joint_costs": "month, line, amount\n2024-06-01, head office, 100",
}
CAPITAL = """\
assets:
  - {asset: Plant, branch: fixed assets, amount: 5000, owner: Production}
  - {asset: Accounts receivable, branch: other current assets, amount: 1500, includes: receivables, owner: Finance}
"""


@pytest.fixture
def valued(make_books: Make) -> Callable[..., Books]:
    """Books of the tiny ledger with rates and capital.yml."""

    def make(capital: str = CAPITAL, tables: dict[str, str] | None = None, **rates: Any) -> Books:
        books = make_books(TABLES | (tables or {}), rates=RATES | rates)
        folder = books.engagement.folder / "judgement"
        folder.mkdir()
        (folder / "capital.yml").write_text(capital, encoding="utf-8")
        return books

    return make


def firm_of(books: Books, period: str = "2024") -> eva.Firm:
    return eva.of_firm(books, books.period(period))


@pytest.mark.parametrize(
    ("profit", "capital", "rates", "printed"),
    [  # four-step example (exinfm), whose cost of debt is not taxed: 0.35 × 14 % + 0.65 × 9 % = 10.75 %
        ("15000", """\
cost_of_capital: {equity: {cost: 0.14, share: 0.35}, debt: {cost: 0.09, share: 0.65, after_tax: true}}
assets: [{asset: Capital, branch: fixed assets, amount: 80000, owner: Finance}]""",
         {"cost_of_capital": 0.1075, "tax_rate": 0.30}, {"nopat": 10500, "charge": 8600, "eva": 1900}),
        # XYZ exercise: assets of 900 million less current liabilities of 120 million
        ("120000000", """\
assets:
  - {asset: Assets, branch: fixed assets, amount: 900000000, owner: Finance}
  - {asset: Current liabilities, branch: other current assets, amount: -120000000, owner: Finance}""",
         {"cost_of_capital": 0.07, "tax_rate": 0.40}, {"nopat": 72_000_000, "charge": 54_600_000, "eva": 17_400_000}),
    ],
)  # fmt: skip
def test_the_firms_value_added_is_what_the_source_prints(
    valued: Callable[..., Books], profit: str, capital: str, rates: dict[str, float], printed: dict[str, int]
) -> None:
    tables = {
        "invoice_lines": f"customer_id, invoice_date, gross_sales\nA, 2024-01-10, {int(profit) + 800}",
        "costs": "level, key, date, line, amount\ncustomer, A, 2024-03-31, salaries, 700",
        "balances": "customer_id, month, receivables\nA, 2024-12-01, 0",
    }
    firm = firm_of(valued(capital, tables, **rates))
    assert firm.account["profit"] == Decimal(profit)
    assert {name: firm.account[name] for name in printed} == printed
    assert eva.forms_agree(firm)


def test_what_of_serving_varies_with_sales_is_without_goods_and_charges_for_capital(
    valued: Callable[..., Books],
) -> None:
    lines = "customer_id, invoice_date, gross_sales, discount, cost_of_goods, freight\nA, 2024-01-10, 1000, 50, 400, 30"
    assert firm_of(valued(tables={"invoice_lines": lines})).parts["varying"] == 30


def test_a_customers_part_is_its_margin_after_tax_and_all_parts_are_the_firms(valued: Callable[..., Books]) -> None:
    books = valued()
    customers = eva.of_customers(books, books.period("2024")).set_index("customer_id")
    assert customers["value_added"].to_dict() == {
        "A": 642,
        "B": -150,
    }  # (1,000 − 12 % of 1,200) × 0.75; (500 − 700) × 0.75
    assert customers["employed"].to_dict() == {"A": 1200, "B": 0}
    firm = firm_of(books)
    assert dict(zip(firm.assets["asset"], firm.assets["employed"], strict=True)) == {
        "Receivables of customers": 1200, "Plant": 5000, "Accounts receivable": 300}  # fmt: skip
    assert firm.down.map(float).to_dict() == {  # joint costs of 100 and 9 % of 5,300 are nobody's
        "Customers": 492, "Costs of whole customer groups": -45, "Joint costs": -75, "Charge for capital of nobody": -477, "Economic value added": -105}  # fmt: skip
    way = eva.way(firm).set_index("item")["amount"]
    assert way.iloc[:3].sum() == way["Operating profit"] == 640
    assert way.iloc[3:5].sum() == way["Net operating profit after tax"]
    assert way.iloc[5:7].sum() == way["Economic value added"]
    account = firm.account
    assert (account["nopat"], account["employed"], account["eva"]) == (
        480,
        6500,
        -105,
    )  # 640 × 0.75; 480 − 9 % of 6,500
    assert round(account["roic"], 6) == Decimal("0.073846")


def test_assets_are_means_of_the_periods_months_and_a_quarters_capital_costs_a_quarter(
    valued: Callable[..., Books],
) -> None:
    capital = (
        "assets: [{asset: Plant, branch: fixed assets, amount: {2024-01: 1000, 2024-03: 4000}, owner: Production}]"
    )
    assets = firm_of(valued(capital), "2024Q1").assets.set_index("asset")
    assert assets.loc["Plant", ["employed", "charge"]].tolist() == [2000, 45]
    assert firm_of(valued(capital), "2024").assets.set_index("asset").at["Plant", "employed"] == 3500


@pytest.mark.parametrize("period", ["2023", "2024", "2025", "2025Q4", "2025-03"])
def test_customers_groups_unassigned_and_what_is_nobodys_are_the_firms_to_the_cent(sample: Books, period: str) -> None:
    firm, customers = firm_of(sample, period), eva.of_customers(sample, sample.period(period))
    assert adds_up(firm.down.iloc[:-1], firm.down.iloc[-1])
    assert total(customers["value_added"]) == firm.down["Customers"] + firm.down["Unassigned"]
    groups = eva.of_groups(sample, sample.period(period), "account_type")
    assert total(groups["value_added"]) == firm.down[:3].sum()
    assert eva.forms_agree(firm)
    tied = firm.assets[firm.assets["whose"] == "customers"]
    assert abs(total(customers["employed"]) - total(tied["employed"])) < Decimal("0.01")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rates": {}}, ["the cost of capital", "the tax rate"]),
        ({"joint_costs": None}, ["a joint cost or the cost of capacity"]),
        ({"capital": "assets: []"}, ["what the firm employs (capital.yml)"]),
        ({"capital": CAPITAL.replace("5000", "{2024-07: 5000}")}, ["what it employed before (capital.yml begins after January 2024)"]),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_and_nothing_else_is(
    make_books: Make, change: dict[str, Any], words: list[str]
) -> None:
    tables = {name: table for name, table in TABLES.items() if change.get(name, "") is not None}
    books = make_books(tables, **{"rates": RATES, **({"rates": change["rates"]} if "rates" in change else {})})
    (books.engagement.folder / "judgement").mkdir()
    (books.engagement.folder / "judgement" / "capital.yml").write_text(change.get("capital", CAPITAL), encoding="utf-8")
    assert eva.lacking(books, books.period("2024")) == words
    firm = firm_of(books)
    assert (len(firm.account), len(firm.assets), len(firm.down), firm.parts) == (0, 0, 0, {})
    assert eva.of_customers(books, books.period("2024")).empty == ("rates" in change)


def test_all_mistakes_of_the_file_are_told_at_once(valued: Callable[..., Books]) -> None:
    books = valued("""\
cost_of_capital: {equity: {cost: 0.14, share: 0.5}, debt: {cost: 0.09, share: 0.6}}
assets:
  - {asset: Plant, branch: fixed asset, amount: much, owner: Production}
  - {asset: Stock, branch: inventory, amount: {2024-13: 5}, includes: stock}
ranges:
  - {driver: prise, low: 0.1, high: -0.1}
""")
    with pytest.raises(SettingsError) as told:
        eva.read_capital(books)
    text = str(told.value)
    assert text.startswith("judgement/capital.yml has 7 mistake(s)")
    for words in ("cost_of_capital: the shares of equity and debt come to 1.1, not to 1", "assets[0].branch", "did you mean 'fixed assets'?", "assets[0].amount",
                  "assets[1].owner: is missing; who answers for it", "assets[1].includes", "ranges[0].driver", "did you mean 'price'?"):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("cost_of_capital: {equity: {cost: 0.14, share: 0.5}, debt: {cost: 0.04, share: 0.5}}", r"the parts come to 0\.085 after tax, engagement\.yml says 0\.09; .*write `cost_of_capital: 0\.085`"),
        ("ranges: [{driver: price, low: 0, high: 0.1, expected: 0.2}]", r"low 0\.0, expected 0\.2 and high 0\.1 must rise"),
        ("ranges: [{driver: price, low: 0, high: 0.1, expected: 0.02, shape: normal}]", r"expected of a normal range is its middle"),
        ("ranges: [{driver: price, low: 0, high: 0.1}, {driver: price, low: 0, high: 0.2}]", "driver price stands twice"),
        ("correlations: [{between: [price, price], value: 1}]", "price is correlated with itself"),
        ("correlations: [{between: [price, volume], value: 1}, {between: [volume, inventory], value: 1}, {between: [price, inventory], value: -1}]", "contradict each other"),
        ("assets: [{asset: A, branch: inventory, amount: 1, includes: inventory, owner: X}, {asset: B, branch: inventory, amount: 1, includes: inventory, owner: X}]",
         "includes: inventory stands twice and would come off twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused(valued: Callable[..., Books], more: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        eva.read_capital(valued(more if more.startswith("assets") else f"assets: []\n{more}"))


@pytest.fixture(scope="module")
def year(sample: Books) -> tuple[Books, pd.DataFrame]:
    """The sample's books with segments, and its opportunities of 2025."""
    view = segments.segmented(View(sample, sample.period("2025")))
    return view.books, opportunities.opportunities(view.books, view.period)


def test_the_branches_of_the_tree_add_up_and_every_opportunity_hangs_on_one(year: tuple[Books, pd.DataFrame]) -> None:
    books, found = year
    firm, gains = firm_of(books, "2025"), eva.on_branches(found, books, books.period("2025"))
    tree = eva.tree(firm, gains)
    for node in tree.index[:3]:
        below = tree[tree["parent"] == node]
        assert total(below["amount"]) == tree.at[node, "amount"]
        assert below["gain"].sum() == pytest.approx(tree.at[node, "gain"])
    assert tree.iloc[0]["amount"] == firm.account["eva"]
    assert len(gains) == len(found)
    assert tree.iloc[0]["gain"] == pytest.approx(found["expected"].sum() * 0.75)  # none on two branches, none lost


def test_each_gain_of_agreements_and_opportunities_counts_once_to_the_cent(
    sample: Books, year: tuple[Books, pd.DataFrame]
) -> None:
    books, found = year
    when, firm = books.period("2025"), firm_of(books, "2025")
    rows = menu.priced(books, when)
    drafts = agreements.drafts(books, when, segments.differentiate(sample, when), rows)
    left = agreements.economics(books, when, drafts, agreements.commitments(books, when, drafts, rows), rows)
    saved = agreements.savings(books, when, drafts, rows)
    assert total(saved["saved"]) == total(left["today_cost"]) - total(left["committed"])
    uplifts = agreements.judged_gains(assignment.choices(books, when, rows), drafts)
    assert total(pd.Series(uplifts)) == total(left["judged_gain"])
    agreed, rest = agreements.together(left), opportunities.beside(found, saved, uplifts)
    assert total(pd.Series(agreed)) == total(left["beside_today"]) + total(left["judged_gain"])
    assert 0 < rest["both"].sum() < found["expected"].sum()
    assert (rest["both"] <= found["expected"]).all()
    bridge = eva.with_gains(firm, eva.tree(firm, eva.on_branches(rest, books, when)), agreed)
    names = list(bridge.index)
    assert (names[0], names[4], names[-1]) == ("Today", "With agreements", "With all opportunities")
    assert bridge["With agreements"] == bridge.iloc[:4].sum()
    assert bridge.iloc[-1] == bridge.iloc[4:-1].sum()
    before_tax = total(pd.Series(agreed)) + Decimal(found["expected"].sum() - rest["both"].sum())
    assert abs(bridge.iloc[-1] - bridge.iloc[0] - before_tax * Decimal("0.75")) < Decimal("0.04")  # seven branches


def test_what_agreements_bring_comes_off_the_same_customers_opportunity_on_the_same_line() -> None:
    found = pd.DataFrame(
        [("A", "cost to serve", "Salaries", 50, 20, 80), ("B", "cost to serve", "Salaries", 40, 30, 50), ("A", "cost to serve", "Transportation", 9, 8, 10),
         ("A", "white space", "Paper", 30, 20, 40), ("A", "white space", "Soap", 20, 10, 30), ("A", "price", "Net price", 7, 6, 8)],
        columns=["customer_id", "kind", "item", "expected", "low", "high"],
    )  # fmt: skip
    saved = pd.DataFrame(
        [("A", "Salaries", Decimal(30)), ("A", "Transportation", Decimal(-5)), ("C", "Salaries", Decimal(99))],
        columns=["customer_id", "line", "saved"],
    )
    rest = opportunities.beside(found, saved, {"A": Decimal(35), "B": Decimal(60)})
    assert rest[["both", "expected", "low", "high"]].to_numpy().tolist() == [
        [30, 20, 0, 50],
        [0, 40, 30, 50],  # C's saving is not B's, and B has no white space
        [0, 9, 8, 10],  # what costs more than today takes nothing
        [30, 0, 0, 10],
        [5, 15, 5, 25],  # what the largest left of the uplift
        [0, 7, 6, 8],
    ]


def test_without_agreements_there_is_no_value_with_them_and_without_the_firms_value_nothing(
    valued: Callable[..., Books],
) -> None:
    books = valued()
    branches = eva.tree(firm := firm_of(books), pd.DataFrame({"branch": ["sales"], "eva": [7.5]}))
    plain = eva.with_gains(firm, branches, {})
    assert plain.iloc[[0, 1, -1]].to_dict() == {
        "Today": -105,
        "sales": Decimal("7.5"),
        "With all opportunities": Decimal("-97.5"),
    }
    assert "With agreements" not in plain
    bridge = eva.with_gains(firm, branches, {"Services as agreed": Decimal(40), "Uplift as judged": Decimal(-20)})
    assert bridge.iloc[:5].to_dict() == {
        "Today": -105,
        "Services as agreed": 30,
        "Uplift as judged": -15,
        "With agreements": -90,
        "sales": Decimal("7.5"),
    }
    assert bridge.iloc[-1] == Decimal("-82.5")
    assert eva.with_gains(
        firm, eva.tree(eva.Firm(pd.Series(dtype=object), pd.DataFrame(), pd.Series(), {}), branches), {}
    ).empty


@pytest.mark.parametrize(
    ("kind", "item", "branch"),
    [
        ("white space", "Paper goods", "sales"), ("price", "Net price for the volume", "sales"), ("mix", "Products that leave more", "cost of goods"),
        ("cost to serve", "Transportation", "expenses"), ("cost to serve", "Returns and allowances", "sales"),
        ("cost to serve", "Inventory carrying cost", "inventory"), ("cost to serve", "Charge for dedicated assets", "fixed assets"),
        ("payment terms", "Charge for investment in accounts receivable", "other current assets"),
        ("other", "Second kitchen", "other, as judged"), ("other", "Transportation", "expenses"), ("cost to serve", "a habit of theirs", "expenses"),
    ],
)  # fmt: skip
def test_an_opportunity_hangs_where_it_works(sample: Books, kind: str, item: str, branch: str) -> None:
    found = pd.DataFrame({"kind": [kind], "item": [item], "expected": [100.0], "low": [50.0], "high": [200.0]})
    row = eva.on_branches(found, sample, sample.period("2025")).iloc[0]
    assert (row["branch"], row["eva"], row["eva_low"], row["eva_high"]) == (branch, 75, 37.5, 150)


# --- what if, tornado, simulation ------------------------------------------------------------------------------------

FIRM = eva.Firm(pd.Series(dtype=object), pd.DataFrame(), pd.Series(dtype=object), {
    "sales": 1000.0, "cost of goods": 500.0, "expenses": 300.0, "varying": 100.0, "inventory": 200.0, "other current assets": 150.0, "receivables": 100.0,
    "fixed assets": 400.0, "tax": 0.25, "cost": 0.10})  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "added"),
    [  # (1,000 − 500 − 300) × 0.75 − 10 % of 750 = 75
        ({}, 75), ({"price": 0.1}, 149), ({"volume": 0.1}, 104), ({"cost of goods": 0.1}, 37.5), ({"expenses": 0.1}, 52.5), ({"inventory": -0.5}, 85),
        ({"other current assets": 0.2}, 72), ({"fixed assets": 0.25}, 65), ({"cost of capital": 1}, 0), ({"price": 0.1, "volume": 0.1}, 185.4),
    ],
)  # fmt: skip
def test_a_driver_moves_what_hangs_on_it(changes: dict[str, float], added: float) -> None:
    assert what_if.eva_when(FIRM.parts, changes) == pytest.approx(added)


def judged(
    *ranges: tuple[str, float, float], correlations: tuple[tuple[str, str, float], ...] = (), **more: Any
) -> Capital:
    return Capital.model_validate({
        "ranges": [{"driver": d, "low": low, "high": high, **more} for d, low, high in ranges],
        "correlations": [{"between": [one, two], "value": value} for one, two, value in correlations],
    })  # fmt: skip


def test_the_books_figure_is_the_model_with_nothing_moved(sample: Books) -> None:
    firm = firm_of(sample, "2025")
    assert what_if.eva_when(firm.parts, {}) == pytest.approx(float(firm.account["eva"]), abs=0.005)


def test_a_tornado_is_widest_first_with_the_others_where_they_are_expected() -> None:
    swings = what_if.tornado(FIRM, judged(("inventory", -0.5, 0.5), ("price", -0.1, 0.1)))
    assert swings.index.tolist() == ["price", "inventory"]
    assert swings.loc["price"].tolist() == pytest.approx([1, 149, 75])


@pytest.mark.parametrize("shape", ["triangular", "uniform", "normal"])
def test_no_spread_gives_the_figure_itself_and_the_same_seed_the_same_bytes(shape: str) -> None:
    still = judged(("price", 0.1, 0.1), ("volume", 0.1, 0.1), shape=shape)
    assert what_if.simulated(FIRM, still, draws=100, seed=0) == pytest.approx(185.4)
    moving = judged(("price", -0.1, 0.1), ("volume", 0.0, 0.2), correlations=(("price", "volume", -0.5),), shape=shape)
    first, again, other = (what_if.simulated(FIRM, moving, draws=1000, seed=seed).tobytes() for seed in (7, 7, 8))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("shape", "quantiles"),  # of price from −0.1 to 0.1, which moves the value by 740 times itself
    [("triangular", (-0.1 + 0.2 * 0.125**0.5, 0)), ("uniform", (-0.05, 0)), ("normal", (-0.6745 / 1.6449 * 0.1, 0))],
)
def test_a_range_is_drawn_in_its_shape(shape: str, quantiles: tuple[float, float]) -> None:
    cases = what_if.simulated(FIRM, judged(("price", -0.1, 0.1), shape=shape), draws=40_000, seed=0)
    assert (np.quantile(cases, [0.25, 0.5]) - 75) / 740 == pytest.approx(quantiles, abs=0.002)


def test_a_lopsided_range_has_its_mean_where_a_triangle_has_it() -> None:
    cases = what_if.simulated(FIRM, judged(("price", -0.03, 0.12), expected=0.0), draws=40_000, seed=1)
    assert (cases.mean() - 75) / 740 == pytest.approx(0.03, abs=0.001)


def test_drivers_move_together_as_they_are_correlated() -> None:
    spans = (("price", -0.1, 0.1), ("cost of goods", -0.1, 0.1))
    alone, together = (
        what_if.simulated(FIRM, judged(*spans, correlations=pair), draws=20_000, seed=0).std()
        for pair in ((), (("price", "cost of goods", 1.0),))
    )
    assert alone == pytest.approx(0.1 / 6**0.5 * (740**2 + 375**2) ** 0.5, rel=0.03)
    assert together == pytest.approx(0.1 / 6**0.5 * (740 - 375), rel=0.03)  # what is dearer is passed on


def test_a_hundred_thousand_draws_take_less_than_two_seconds(sample: Books) -> None:
    firm, given = firm_of(sample, "2025"), eva.read_capital(sample)
    started = time.process_time()
    assert len(what_if.simulated(firm, given, draws=100_000, seed=0)) == 100_000
    assert time.process_time() - started < 2


def test_without_judged_ranges_every_driver_lies_five_percent_either_way() -> None:
    assert {(r.low, r.likeliest, r.high) for r in what_if.ranges(Capital())} == {(-0.05, 0.0, 0.05)}
    assert len(what_if.tornado(FIRM, Capital())) == 8
