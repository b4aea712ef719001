"""The customer's side: told and estimated, both margins and what either adds; and the board of the process."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from crmlib import customer_view, process, segments
from crmlib.books.stored import Books, View
from crmlib.declared.reading import SettingsError

Make = Callable[..., Books]
RATES = {"cost_of_capital": 0.09, "tax_rate": 0.25}
THEIRS = {"gross_margin_share": 0.2, "cost_share": 0.1, "stock_days": 73, "cost_of_capital": 0.08, "tax_rate": 0.2}
TABLES = {  # A pays 1,000 and owes 300; B pays 800 and costs 900
    "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 1000\nB, 2024-02-10, 800",
    "balances": "customer_id, month, receivables\n" + "\n".join(f"A, 2024-{month:02}-01, 300" for month in range(1, 13)),
    "costs": "level, key, date, line, amount\ncustomer, B, 2024-03-31, salaries, 900",
}  # fmt: skip
VIEW = """customer_id, period, line, amount
B, 2024, sales, 1300
B, 2024, store handling, 150
B, 2024, support, -20
B, 2024, inventory, 100"""
AGREED = "agreements: [{account: A, version: 1, valid_from: 2024-01-01, valid_to: 2024-12-31}]"
PROJECT = """projects: [{project: Pallets, account: A, baseline: 2024, years: 2, savings: [{line: transportation, expected_share: 0.5}],
  our_investment: 0, their_investment: 0, their_gain: 100, their_cost_of_capital: 0.10, their_tax_rate: 0.25}]
policy: {our_share: 0}"""


@pytest.fixture
def sides(make_books: Make) -> Callable[..., customer_view.Sides]:
    """Both sides of the accounts of these tables in a period."""

    def make(
        view: str | None = VIEW, period: str = "2024", judgement: dict[str, str] | None = None, **settings: Any
    ) -> customer_view.Sides:
        books = make_books(TABLES | ({"customer_view": view} if view else {}), **{"rates": RATES, **settings})
        (books.engagement.folder / "judgement").mkdir()
        for name, text in (judgement or {}).items():
            (books.engagement.folder / "judgement" / name).write_text(text, encoding="utf-8")
        opened = segments.segmented(View(books, books.period(period)))
        return customer_view.both_sides(opened.books, opened.period)

    return make


def test_a_customer_that_tells_has_its_own_lines_and_both_meet_in_what_it_pays(sides: Any) -> None:
    made = sides(customer_rates=THEIRS)
    assert [line.label for line in made.lines] == [
        "What they sell our goods for", "Our goods, at what they pay us", "Store handling", "Support", "Their margin", "Charge for their capital", "Their margin after it",
        "Our net segment margin", "Both sides together", "Value that they add, after tax", "Agreement and joint projects add to it", "Value that we add, after tax"]  # fmt: skip
    # 1,300 − 800 − 150 + 20; 10 % before tax on 100 of stock, nothing owed; ours 800 − 900
    assert made.rows.loc["Birch (told)"].to_dict() == {
        "sales": 1300, "cost_of_goods": 800, "store handling": 150, "support": -20, "own_costs_estimated": 0, "their_margin": 370, "their_charge": 10, "their_net": 360,
        "our_margin": -100, "both_margins": 260, "their_value": 288, "agreement_adds": 0, "our_value": -75}  # fmt: skip


def test_an_account_with_an_agreement_is_estimated_by_the_rates_and_called_so(sides: Any) -> None:
    made = sides(None, judgement={"agreements.yml": AGREED, "gain_sharing.yml": PROJECT}, customer_rates=THEIRS)
    [row] = made.rows.to_dict("index").items()
    assert row[0] == "Adler (estimated)"
    # 1,000 / 0.8; a tenth of it; stock of a fifth of the year's 1,000 less 300 owed, at 10 % before tax
    assert {name: row[1][name] for name in ("sales", "own_costs_estimated", "their_margin", "their_charge", "their_net", "their_value")} == {
        "sales": 1250, "own_costs_estimated": 125, "their_margin": 125, "their_charge": -10, "their_net": 135, "their_value": 108}  # fmt: skip
    assert row[1]["our_margin"] == 1000 - 300 * Decimal("0.12")
    assert row[1]["agreement_adds"] == 75  # 100 a year after a quarter of tax, all of it theirs


def test_what_is_not_known_is_not_there(sides: Any) -> None:
    assert sides(None).rows.empty
    assert sides(None, judgement={"agreements.yml": AGREED}).rows.empty  # nothing to estimate it by
    lines = [line.id for line in sides().lines]  # told, without rates on customers
    assert lines == [
        "sales",
        "cost_of_goods",
        "store handling",
        "support",
        "their_margin",
        "our_margin",
        "both_margins",
        "our_value",
    ]
    assert "our_value" not in [line.id for line in sides(rates={}).lines]


@pytest.mark.parametrize(
    ("rows", "sales", "inventory"),
    [
        ("B, 2024, sales, 12\nB, 2024, inventory, 6", 12, 6),
        ("B, 2024Q1, sales, 3\nB, 2024Q1, inventory, 12\nB, 2024-04..2024-12, sales, 9\nB, 2024-04..2024-12, inventory, 4", 12, 6),
        ("B, 2024Q1, sales, 3", None, None),  # not the whole of the period
        ("B, 2024, sales, 12\nB, 2024Q1, sales, 3", None, None),  # more than the whole
    ],
)  # fmt: skip
def test_what_customers_tell_counts_where_it_covers_the_period_whole(
    make_books: Make, rows: str, sales: int | None, inventory: int | None
) -> None:
    books = make_books({**TABLES, "customer_view": f"customer_id, period, line, amount\n{rows}"})
    told = customer_view.told(books, books.period("2024"))
    assert told.to_dict("index") == ({} if sales is None else {"B": {"sales": sales, "inventory": inventory}})


def test_in_the_sample_a_customer_earns_where_we_lose(sample: Books) -> None:
    opened = segments.segmented(View(sample, sample.period("2025")))
    made = customer_view.both_sides(opened.books, opened.period)
    assert [name.rpartition(" ")[2] for name in made.rows.index] == ["(told)", "(estimated)", "(estimated)"]
    first = made.rows.iloc[0]
    assert (first["their_margin"] > 100_000, first["our_margin"] < -300_000) == (True, True)
    assert (made.rows["their_net"] + made.rows["our_margin"] == made.rows["both_margins"]).all()


# --- the board -------------------------------------------------------------------------------------------------------


def board(books: Books, text: str) -> Any:
    folder = books.engagement.folder / "judgement"
    folder.mkdir()
    (folder / "process.csv").write_text(f"sub_process,done,owner,output\n{text}", encoding="utf-8")
    return process.board(books).set_index("sub_process")


def test_the_last_run_of_each_of_the_twelve_sub_processes_counts(make_books: Make) -> None:
    steps = board(make_books(), "S1,2025-01-08,Ann,Brief\nO7,2025-02-01,Bo,Report\nS1,2024-01-09,Cy,Old brief\n")
    assert [*steps.index] == ["S1", "S2", "S3", "S4", "S5", "O1", "O2", "O3", "O4", "O5", "O6", "O7"]
    assert steps["page"].tolist() == ["11", "12", "13", "14", "15", "21", "22", "23", "24", "25", "26", "27"]
    assert steps.loc["S1", ["done", "owner", "output"]].tolist() == ["8 Jan 2025", "Ann", "Brief"]
    assert set(steps.index[steps["done"] != ""]) == {"S1", "O7"}


def test_nothing_is_run_where_nothing_is_recorded(make_books: Make) -> None:
    assert set(process.board(make_books())["done"]) == {""}


def test_all_mistakes_of_the_board_are_told_with_row_column_and_way_out(make_books: Make) -> None:
    books = make_books()
    with pytest.raises(SettingsError) as told:
        board(books, "S6,soon,,Brief\nO1,2025-01-08,Ann,\n")
    for line in (
        "row 2, sub_process: 'S6': S1 to S5 for the strategic", "row 2, done: 'soon': the day on which it was concluded", "row 2, owner: '': write who answers for it",
        "row 3, output: '': write what came out of it",
    ):  # fmt: skip
        assert line in str(told.value)
    with pytest.raises(SettingsError, match=r"judgement/process\.csv has 4 mistake"):
        segments.check_judgement(books)
