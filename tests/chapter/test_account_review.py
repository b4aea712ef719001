"""What the fact pack of an account stands on: tiny ledgers beside the figures, and the sample's stories."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from crmlib import accounts, movement, profitability
from crmlib.books.stored import Books
from crmlib.declared.reading import PROJECT, SettingsError

Make = Callable[..., Books]
SERVICE = "customer_id, month, measure, numerator, denominator, agreed"


def test_service_given_is_held_against_what_was_agreed(make_books: Make) -> None:
    rows = ["A, 2024-01-01, on time, 8, 10, 0.90", "A, 2024-02-01, on time, 30, 30, 0.90", "B, 2024-01-01, on time, 10, 10, ",
            "A, 2024-03-01, in full, 0, 0, 0.90"]  # fmt: skip
    books = make_books({"service": "\n".join([SERVICE, *rows])})
    levels = accounts.service_levels(books, books.period("2024")).set_index(["customer_id", "measure"])
    assert list(levels.index) == [("A", "on time"), ("B", "on time")]  # nothing was asked for in full
    a, b = (levels.loc[(customer, "on time")] for customer in "AB")
    assert (a["given_share"], a["agreed_share"], a["months"], a["months_below"]) == (38 / 40, pytest.approx(0.9), 2, 1)
    assert a["all_share"] == 48 / 50
    assert (b["given_share"], b["months_below"]) == (1, 0)
    assert pd.isna(b["agreed_share"])
    assert accounts.service_levels(books, books.period("2024-06")).empty


def test_without_the_table_nothing_is_said_of_service(make_books: Make) -> None:
    books = make_books()
    assert accounts.service_levels(books, books.period("2024")).empty


REPORT = pd.DataFrame({"customer_id": ["A", "B", "C", ""], "margin": [Decimal(5), Decimal(9), Decimal(7), Decimal(99)]})


@pytest.mark.parametrize(
    ("wanted", "keys", "chosen"), [("A", ["B"], "A"), ("", ["A", "C"], "C"), ("", ["Z"], "B"), ("", [], "B")]
)
def test_the_account_is_the_one_wanted_else_the_best_key_account_else_the_best(
    wanted: str, keys: list[str], chosen: str
) -> None:
    assert accounts.chosen_account(REPORT, wanted, keys, "margin") == chosen


def test_an_account_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        SettingsError, match="'a' has nothing in this period, or is no customer of the ledger; did you mean 'A'"
    ):
        accounts.chosen_account(REPORT, "a", [], "margin")


LINES = "customer_id, invoice_date, gross_sales, product_id, quantity, cost_of_goods"


def test_price_volume_and_mix_of_one_customer_and_its_products(make_books: Make) -> None:
    rows = ["A, 2024-01-10, 100, p, 10, 60", "A, 2024-01-10, 50, q, 5, 20", "A, 2025-01-10, 240, p, 20, 120", "A, 2025-02-10, 30, r, 1, 10",
            "A, 2024-03-10, 9.50, s, 0, 0", "A, 2025-03-10, 9, s, 0, 0",
            "B, 2024-01-10, 900, p, 90, 500", "B, 2025-01-10, 10, p, 1, 5"]  # fmt: skip
    books = make_books({"invoice_lines": "\n".join([LINES, *rows])}, coverage={"start": "2024-01", "end": "2025-12"})
    now, base = books.period("2025"), books.period("2024")
    steps = movement.price_volume_mix(books, now, base, "A").set_index("label")["amount"]
    assert (steps.iloc[0], steps.iloc[-1]) == (Decimal("79.5"), 149)
    assert steps[["Volume", "Price", "Cost of goods", "New products", "Lost products"]].tolist() == [40, 40, 0, 20, -30]
    moved = movement.products_moved(books, "A", now, base).set_index("product_name")
    assert moved["change"].to_dict() == {"p": 140, "q": -50, "r": 30, "s": Decimal("-0.5")}
    assert moved["what"].to_dict() == {"p": "more", "q": "dropped", "r": "new", "s": "less"}
    assert movement.products_moved(books, "A", now, None).empty


def test_a_line_is_held_against_the_median_of_the_segment(make_books: Make) -> None:
    ids = "ABC"
    sold = "\n".join(
        [
            "customer_id, invoice_date, gross_sales, freight",
            *(f"{c}, 2024-01-10, 1000, {cost}" for c, cost in zip(ids, (10, 20, 90), strict=True)),
        ]
    )
    books = make_books(
        {"customers": "customer_id, customer_name\n" + "\n".join(f"{c}, {c}" for c in ids), "invoice_lines": sold}
    )
    period = books.period("2024")
    report = profitability.customer_profitability(books, period).assign(segment="All")
    effects = profitability.against_segment(report, books.statement_in(period), "C")
    assert effects.round(6).to_dict() == {"Transportation": -70}
    assert profitability.against_segment(report, books.statement_in(period), "B").empty


def test_days_outstanding_are_a_balance_in_days_of_net_sales(make_books: Make) -> None:
    balances = "customer_id, month, receivables\n" + "\n".join(f"A, 2024-{m:02}-01, 240" for m in range(1, 13))
    books = make_books({"invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 730\nB, 2024-01-10, 50", "balances": balances},
                       rates={"cost_of_capital": 0.09, "tax_rate": 0.25})  # fmt: skip
    period = books.period("2024")
    report = profitability.customer_profitability(books, period).set_index("customer_id")
    assert profitability.days_outstanding(books, period, report)["A"] == pytest.approx(120)


@pytest.mark.parametrize(("customer", "measure"), [("C135", "delivered on time"), ("C265", "delivered in full")])
def test_two_of_the_samples_largest_are_served_below_what_was_agreed(
    sample: Books, customer: str, measure: str
) -> None:
    levels = accounts.service_levels(sample, sample.period("2025"))
    worst = levels.assign(far=levels["agreed_share"] - levels["given_share"]).query(
        "months == 12 and measure == @measure"
    )
    row = worst[worst["customer_id"] == customer].iloc[0]
    assert row["far"] > 0.05
    assert row["months_below"] >= 7
    before = accounts.service_levels(sample, sample.period("2024")).query(
        "customer_id == @customer and measure == @measure"
    )
    assert (before["given_share"] > before["agreed_share"]).all()


def test_cells_that_run_once_for_all_packs_know_nothing_of_the_account() -> None:
    cells: list[dict[str, Any]] = json.loads((PROJECT / "notebooks" / "23_account_review.ipynb").read_text("utf-8"))[
        "cells"
    ]
    made: set[str] = {"customer_id"}
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        names = [node for node in ast.walk(ast.parse("".join(cell["source"]))) if isinstance(node, ast.Name)]
        if "once" in cell["metadata"].get("tags", []):
            assert not made & {node.id for node in names if isinstance(node.ctx, ast.Load)}, cell["id"]
        else:
            made |= {node.id for node in names if isinstance(node.ctx, ast.Store)} - {"engagement", "period"}
