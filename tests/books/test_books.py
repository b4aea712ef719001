"""The books that reports stand on: what ties out, what is refused, what is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from crmlib.books import cache, rollups, tie_out
from crmlib.books.stored import Books, absent, open_books, standing
from crmlib.declared.ledger import tables
from crmlib.declared.reading import DataRejected, SettingsError
from crmlib.profitability import firm_profitability

Make, MakeBooks = Callable[..., Path], Callable[..., Books]
DESK = {
    "activity_types": "activity, line, pool, unit_minutes\ncall, order_processing, desk, 2",
    "capacity": "pool, month, cost, practical_capacity\ndesk, 2024-01-01, 100, 50\ndesk, 2024-02-01, 100, 50",
    "activities": "customer_id, date, activity, quantity\nA, 2024-01-05, call, 10\nB, 2024-02-05, call, 40",
}  # a call costs 100 / 50 × 2 = 4: 40 of 100 charged in January, 160 of 100 in February
BALANCES = {"balances": "customer_id, month, receivables\nA, 2024-01-01, 1000\nX, 2024-01-01, 500\nA, 2024-02-01, 3000"}


def rejection(make: Callable[[], Any]) -> pd.DataFrame:
    """The findings that stop the books."""
    with pytest.raises(DataRejected) as caught:
        make()
    return caught.value.findings.query("verdict == 'reject'")


def tied(books: Books, check: str) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    """Left and right of a tie-out by item and period."""
    rows = books.tie_out[books.tie_out["check"] == check]
    assert rows["tied"].all()
    return {(row.item, row.period): (row.left, row.right) for row in rows.itertuples()}


LARGEST = "99999999999999"


@pytest.mark.parametrize(
    ("table", "rows", "line", "amount"),
    [
        ("invoice_lines", f"customer_id, invoice_date, gross_sales, quantity, cost_of_goods\nA, 2024-01-10, {LARGEST}, 1, 1\nA, 2024-01-11, {LARGEST}, 1, 1", "sales", 2 * 99999999999999),
        ("costs", f"level, key, date, line, amount\ncustomer, A, 2024-01-31, salaries, {LARGEST}\ncustomer, B, 2024-01-31, salaries, {LARGEST}", "salaries", 2 * 99999999999999),
        ("credits", f"customer_id, date, kind, amount\nA, 2024-01-31, rebate, {LARGEST}", "discounts_returns_allowances", 99999999999999),
        ("balances", "customer_id, month, receivables\n" + "\n".join(f"A, 2024-{month:02}-01, {LARGEST}" for month in range(1, 13)), "receivables_charge", 9999999999999.86),
    ],
)  # fmt: skip
def test_the_largest_amount_that_a_column_holds_passes_every_check(
    make_books: Callable[..., Books], table: str, rows: str, line: str, amount: float
) -> None:
    books = make_books({table: rows}, rates={"cost_of_capital": 0.1})
    assert abs(firm_profitability(books, books.period("2024"))[line] - Decimal(str(amount))) < Decimal("0.01")


def test_amounts_of_unknown_customers_that_are_negative_on_the_whole_are_too_much_too(make_books: MakeBooks) -> None:
    rows = "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nA, 2024-02-10, 60\nX, 2024-03-10, -60"
    found = rejection(lambda: make_books({"invoice_lines": rows}))
    assert "unassigned-share" in {*found["code"]}


def test_a_product_of_more_than_38_digits_is_told(make_books: Callable[..., Books]) -> None:
    tables = {
        "activity_types": "activity, line, pool, unit, unit_minutes\npack, special_packaging, p, x, 1000000",
        "capacity": "pool, month, cost, practical_capacity\np, 2024-02-01, 10000000000000, 1",
        "activities": "customer_id, date, activity, quantity\nA, 2024-02-01, pack, 1000000000000",
    }
    with pytest.raises(SettingsError, match=r"more than 38 digits.*look for a quantity, rate, cost or capacity"):
        make_books(tables)


# --- the four tie-outs -----------------------------------------------------------------------------------------------


def test_the_sample_ties_out_in_all_four_ways(sample: Books) -> None:
    checks = sample.tie_out.groupby("check").size()
    assert {"read = assigned + unassigned + excluded", "ledger + reconciling items = control total", "charged + uncharged = booked pool",
            "charge for capital = balance × rate"} <= set(checks.index)  # fmt: skip
    assert sample.tie_out["tied"].all()
    assert (sample.tie_out["difference"] == sample.tie_out["left"] - sample.tie_out["right"]).all()


def test_tie_out_a_what_is_read_is_assigned_or_unassigned_or_excluded(make_books: MakeBooks) -> None:
    books = make_books({
        "invoice_lines": """customer_id, invoice_date, gross_sales
            A, 2024-01-10, 100
            X, 2024-01-11,   1
            ,  2024-01-12,   2
            A, 2023-12-31,   4""",
    })  # fmt: skip
    rows = books.intake.set_index(["table", "column"])
    assert rows.loc[("invoice_lines", "gross_sales"), ["read", "assigned", "unassigned", "excluded"]].tolist() == [
        107,
        100,
        3,
        4,
    ]
    assert rows.loc[("invoice_lines", "rows"), ["read", "assigned", "unassigned", "excluded"]].tolist() == [4, 1, 2, 1]
    assert tied(books, "ledger = cube")["net sales", "all"] == (103, 103)


@pytest.mark.parametrize(
    ("period", "total"), [("2024-01", 100), ("2024Q1", 150), ("2024", 157), ("FY2024", 157), ("2024-01..2024-04", 157)]
)
def test_tie_out_b_booked_lines_agree_with_the_general_ledger_by_line_and_period(
    make_books: MakeBooks, period: str, total: int
) -> None:
    costs = "level, key, date, line, amount\ncustomer, A, 2024-01-31, salaries, 100\ncustomer, X, 2024-02-29, salaries, 50\ncustomer, A, 2024-04-30, salaries, 7"
    books = make_books(
        {"costs": costs, "control_totals": f"line, period, amount\nsalaries, {period}, {total}"},
        thresholds={"unassigned_share": 1},
    )
    assert tied(books, "ledger + reconciling items = control total") == {("salaries", period): (total, total)}


def test_an_untied_control_total_is_refused_with_the_difference_by_line_and_period_and_leaves_no_books(
    make_engagement: Make, tmp_path: Path
) -> None:
    totals = "line, period, amount\nsales, 2024Q1, 150\nsales, 2024-01, 120.25\nsales, 2024-02, 49"
    found = rejection(lambda: open_books(make_engagement({"control_totals": totals})))
    assert dict(zip(found["value"], found["amount"], strict=True)) == {
        "sales 2024-01": Decimal("-20.25"),
        "sales 2024-02": 1,
    }
    assert set(found["code"]) == {"not-tied"}
    assert "100.00 against 120.25" in " ".join(found["message"])
    assert not [p for p in (tmp_path / "crm-cache").iterdir() if p.name != "lock"]


def test_a_reconciling_item_closes_the_difference_and_its_reason_is_kept(make_books: MakeBooks) -> None:
    books = make_books({
        "control_totals": "line, period, amount\nsales, 2024-01, 120",
        "reconciliation": "line, period, amount, reason, owner\nsales, 2024-01, 20, entered by hand, Finance",
    })  # fmt: skip
    assert tied(books, "ledger + reconciling items = control total") == {("sales", "2024-01"): (120, 120)}
    items = books.table("reconciliation")
    assert items is not None
    assert items["reason"].tolist() == ["entered by hand"]


def test_a_joint_cost_ties_to_its_control_total_by_name(make_engagement: Make) -> None:
    joint = {"joint_costs": "month, line, amount\n2024-01-01, rent, 10\n2024-02-01, rent, 12\n2024-02-01, board, 5"}
    totals = "line, period, amount\nrent, 2024Q1, 22\nboard, 2024Q1, 5"
    assert open_books(make_engagement({**joint, "control_totals": totals})).tie_out["tied"].all()
    found = rejection(lambda: open_books(make_engagement({**joint, "control_totals": totals.replace("22", "23")})))
    assert found["value"].tolist() == ["rent 2024Q1"]


@pytest.mark.parametrize(("total", "ties"), [("100.00", True), ("100.0049", True), ("100.01", False), ("99.99", False)])
def test_it_ties_to_the_cent(make_engagement: Make, total: str, ties: bool) -> None:
    folder = make_engagement({"control_totals": f"line, period, amount\nsales, 2024-01, {total}"})
    if ties:
        assert open_books(folder).tie_out["tied"].all()
    else:
        rejection(lambda: open_books(folder))


def test_tie_out_c_a_pool_is_charged_or_uncharged_and_more_charged_than_booked_is_shown_negative(
    make_books: MakeBooks,
) -> None:
    books = make_books(DESK)
    assert tied(books, "charged + uncharged = booked pool") == {("desk", "all"): (200, 200)}
    months = [firm_profitability(books, books.period(m)) for m in ("2024-01", "2024-02")]
    assert [m["order_processing"] for m in months] == [40, 160]
    assert [m["uncharged_capacity"] for m in months] == [60, -60]


def test_a_month_in_which_a_pool_is_charged_and_not_booked_is_uncharged_below_zero(make_books: MakeBooks) -> None:
    january = {**DESK, "capacity": "pool, month, cost, practical_capacity\ndesk, 2024-01-01, 100, 50"}
    books = make_books({**january, "rates": "activity, valid_from, rate\ncall, 2024-01-01, 4"})
    assert [firm_profitability(books, books.period(m)).get("uncharged_capacity") for m in ("2024-01", "2024")] == [
        60,
        -100,
    ]


def test_a_rate_of_a_pool_is_rounded_at_the_eighth_decimal_in_both_ways(make_books: MakeBooks) -> None:
    books = make_books({
        "activity_types": "activity, line, pool\ncall, order_processing, desk",
        "capacity": "pool, month, cost, practical_capacity\ndesk, 2024-01-01, 2, 3",
        "activities": "customer_id, date, activity, quantity\nA, 2024-01-05, call, 1000000",
    })  # fmt: skip
    charged = Decimal("666666.67")  # 2 / 3, to 0.66666667, a million times
    assert tied(books, "quantity × rate = line") == {("order_processing", "all"): (charged, charged)}


def test_a_pool_that_no_one_used_is_wholly_uncharged(make_books: MakeBooks) -> None:
    books = make_books({name: DESK[name] for name in ("activity_types", "capacity")})
    assert firm_profitability(books, books.period("2024"))["uncharged_capacity"] == 200


def test_a_pool_that_has_no_capacity_is_warned_of_and_shows_nothing_uncharged(make_books: MakeBooks) -> None:
    kinds = "activity, line, pool\ncall, order_processing, desk\nlift, warehouse_handling, yard"
    rates = "activity, valid_from, rate\ncall, 2024-01-01, 4\nlift, 2024-01-01, 5"
    events = "customer_id, date, activity, quantity\nA, 2024-01-05, call, 10\nA, 2024-01-05, lift, 10"
    books = make_books({**DESK, "activity_types": kinds, "rates": rates, "activities": events})
    assert books.findings.query("code == 'pool-unknown'")["value"].tolist() == ["yard"]
    assert firm_profitability(books, books.period("2024"))["uncharged_capacity"] == 200 - 40


def test_tie_out_d_charges_for_capital_are_the_balances_times_the_rate(make_books: MakeBooks) -> None:
    books = make_books(
        BALANCES, rates={"cost_of_capital": "0.09", "tax_rate": "0.25"}, thresholds={"unassigned_share": 1}
    )
    charge = (1500 + 2250 + 1500) * Decimal("0.01")  # January its own, February and March the means
    assert tied(books, "charge for capital = balance × rate") == {("receivables_charge", "all"): (charge, charge)}


@pytest.mark.parametrize(
    ("tables", "column", "check"),
    [
        ({}, "sales", "ledger = cube: net sales"),
        ({"costs": "level, key, date, line, amount\ncustomer, A, 2024-01-31, salaries, 7"}, "salaries", "ledger = cube: booked costs"),
        ({"control_totals": "line, period, amount\nsales, 2024-01, 100"}, "sales", "ledger + reconciling items = control total: sales"),
        (BALANCES, "receivables_charge", "charge for capital = balance × rate: receivables_charge"),
        (DESK, "amount", "charged + uncharged = booked pool: desk"),
        (DESK, "order_processing", "quantity × rate = line: order_processing"),
    ],
)  # fmt: skip
def test_a_roll_up_that_counts_an_amount_twice_is_refused(
    make_engagement: Make, monkeypatch: pytest.MonkeyPatch, tables: Mapping[str, str], column: str, check: str
) -> None:
    step = "records" if column == "amount" else "lines"
    sound = getattr(rollups, step)

    def twice(query: str) -> str:
        there = f'AS "{column}"' in query or f"AS {column}" in query
        return f'SELECT * REPLACE ("{column}" + "{column}" AS "{column}") FROM ({query})' if there else query

    monkeypatch.setattr(rollups, step, lambda *given: {name: twice(query) for name, query in sound(*given).items()})
    folder = make_engagement(tables, rates={"cost_of_capital": "0.12"}, thresholds={"unassigned_share": 1})
    assert any(check in message for message in rejection(lambda: open_books(folder))["message"])


# --- what is refused, what is shown ----------------------------------------------------------------------------------


def test_unassigned_above_the_engagements_share_is_refused_and_below_it_is_a_visible_row(make_engagement: Make) -> None:
    lines = {"invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 96\n, 2024-01-11, 4"}
    books = open_books(make_engagement(lines))
    assert books.findings.query("code == 'customer-unknown'")["amount"].tolist() == [4]
    found = rejection(lambda: open_books(make_engagement(lines, thresholds={"unassigned_share": "0.03"})))
    assert found["code"].tolist() == ["unassigned-share"]


def test_duplicates_are_reported_with_their_amount_and_kept(make_books: MakeBooks) -> None:
    books = make_books(
        {
            "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nA, 2024-01-10, 100\nA, 2024-01-10, 100"
        }
    )
    twice = books.findings.query("code == 'row-twice'")
    assert (twice["amount"].sum(), twice["count"].sum(), set(twice["verdict"])) == (200, 2, {"warn"})
    assert firm_profitability(books, books.period("2024"))["sales"] == 300


def test_an_activity_before_its_first_rate_is_refused(make_engagement: Make) -> None:
    tables = {
        "activity_types": "activity, line\nvisit, order_processing",
        "rates": "activity, valid_from, rate\nvisit, 2024-02-01, 10",
        "activities": "customer_id, date, activity, quantity\nA, 2024-01-31, visit, 1",
    }
    assert rejection(lambda: open_books(make_engagement(tables)))["code"].tolist() == ["rate-missing"]


def test_rejected_books_say_the_first_defect_and_how_many(make_engagement: Make) -> None:
    folder = make_engagement(
        {"invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-02-30, x\nA, 2024-01-01, 5"}
    )
    with pytest.raises(DataRejected, match=r"2 defect\(s\).*invoice_lines\.csv, row 2, invoice_date"):
        open_books(folder)


# --- the cache -------------------------------------------------------------------------------------------------------


def test_books_are_computed_once_and_then_opened_from_the_cache(
    make_engagement: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_engagement()
    first = open_books(folder)
    monkeypatch.setattr(cache, "_fill", lambda *_: pytest.fail("computed again"))
    again = open_books(folder)
    assert (again.cache, again.data_hash, again.statement) == (first.cache, first.data_hash, first.statement)
    pd.testing.assert_frame_equal(again.tie_out, first.tie_out)


@pytest.mark.usefixtures("compute_once")
@pytest.mark.parametrize(("file", "old"), [("ledger/invoice_lines.csv", "100"), ("engagement.yml", "client: Test")])
def test_other_data_or_settings_are_other_books_and_the_last_three_are_kept(
    make_engagement: Make, file: str, old: str
) -> None:
    folder = make_engagement()
    path, opened = folder / file, [open_books(folder)]
    text = path.read_text()
    for i in range(1, 4):
        path.write_text(text.replace(old, f"{old}{i}"))
        opened.append(open_books(folder))
    assert len({books.cache for books in opened}) == 4
    assert [books.cache.exists() for books in opened] == [False, True, True, True]


def test_books_that_fail_midway_leave_nothing_in_the_cache(
    make_engagement: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(tie_out, "tie_out", broken)
    with pytest.raises(RuntimeError):
        open_books(make_engagement())
    assert not list((tmp_path / "crm-cache").iterdir())


def test_what_is_not_listed_is_told_beside_the_last_that_is(make_engagement: Make) -> None:
    days = "\n".join(f"A, {day:%Y-%m-%d}, call, 1" for day in pd.date_range("2024-01-01", periods=102))
    rates = {"rates": "activity, valid_from, rate\ncall, 2024-12-01, 4"}
    kinds = {
        "activity_types": "activity, line\ncall, order_processing",
        "activities": f"customer_id, date, activity, quantity\n{days}",
    }
    found = rejection(lambda: open_books(make_engagement(rates | kinds)))
    assert (
        found["message"]
        .iloc[-1]
        .startswith("no rate holds on 2024-04-09, and its pool has no capacity in that month; 2 more rows like this")
    )


def test_what_these_books_lack_is_named_with_what_it_would_add(make_books: MakeBooks) -> None:
    lacks = absent(
        make_books({"invoice_lines": "customer_id, invoice_date, gross_sales, discount\nA, 2024-01-10, 100, 5"})
    )
    rows = lacks[lacks["table"].isin(["invoice_lines", "customers"])].set_index("column")
    assert "discount" not in rows.index
    assert rows.loc[["cost_of_goods", "region"], ["table", "would_add"]].to_numpy().tolist() == [
        ["invoice_lines", tables()["invoice_lines"].columns["cost_of_goods"].enables],
        ["customers", tables()["customers"].columns["region"].enables],
    ]
    assert lacks["would_add"].ne("").all()


def test_what_was_read_is_said_of_one_as_of_several(make_books: MakeBooks) -> None:
    one = {
        "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100",
        "costs": "level, key, date, line, amount\ncustomer, A, 2023-01-10, bad_debts, 7",
        "control_totals": "line, period, amount\nsales, 2024, 100",
    }
    several = {
        "costs": f"{one['costs']}\ncustomer, A, 2023-01-11, bad_debts, 8",
        "control_totals": "line, period, amount\nsales, 2024, 150\nsales, 2024-01, 100",
    }
    said = [standing(make_books(tables)).split("; ") for tables in (one, several)]
    assert said[0][0] == "1 invoice line and 3 other tables were read"
    assert said[0][2:] == ["1 row lies outside and is left out", "1 total of the general ledger agrees to the cent."]
    assert said[1][0] == "2 invoice lines and 3 other tables were read"
    assert said[1][2:] == ["2 rows lie outside and are left out", "2 totals of the general ledger agree to the cent."]
