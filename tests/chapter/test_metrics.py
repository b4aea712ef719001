"""From measures to value: levels, effects as the derivative of the statement, and what is wrong with a framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import default_statement

from crmlib import metrics
from crmlib.books.stored import Books
from crmlib.declared.reading import SettingsError

Make = Callable[..., Books]
IDS = [f"C{n:02}" for n in range(30)]
RATES = {"cost_of_capital": 0.09, "tax_rate": 0.25}
TABLES = {  # one order of 1,000 each; n calls of 5 and n returns of 10 with customer n; freight of 20 and 2 for each call
    "customers": "customer_id, customer_name\n" + "\n".join(f"{c}, Customer {c}" for c in IDS),
    "invoice_lines": "customer_id, invoice_date, gross_sales, order_id, freight\n"
    + "\n".join(f"{c}, 2024-03-10, 1000, {c}1, {20 + 2 * n}" for n, c in enumerate(IDS)),
    "activity_types": "activity, line, driver\ncall, order_processing,\nentry, order_processing, orders",
    "activities": "customer_id, date, activity, quantity\n" + "\n".join(f"{c}, 2024-03-01, call, {n}" for n, c in enumerate(IDS) if n),
    "rates": "activity, valid_from, rate\ncall, 2024-01-01, 5\nentry, 2024-01-01, 8",
    "balances": "customer_id, month, receivables\n" + "\n".join(f"{c}, 2024-{m:02}-01, {10 * n}" for n, c in enumerate(IDS) for m in range(1, 13)),
    "service": "customer_id, month, measure, numerator, denominator\n" + "\n".join(f"{c}, 2024-03-01, on time, 9, 10" for c in IDS[:5]),
}  # fmt: skip


def metric(name: str = "M", **given: Any) -> dict[str, Any]:
    return {"metric": name, "process": "order fulfilment", "owner": "Logistics", "direction": "lower", **given}


@pytest.fixture
def measured(make_books: Make) -> Callable[..., tuple[pd.DataFrame, pd.DataFrame]]:
    """Levels and effects of some measures in the tiny ledger."""

    def make(*declared: dict[str, Any], **given: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        books = make_books(given.pop("tables", TABLES), **{"rates": RATES, **given})
        (books.engagement.folder / "judgement").mkdir()
        (books.engagement.folder / "judgement" / "metrics.yml").write_text(yaml.safe_dump({"metrics": list(declared)}))
        register, period = metrics.read_metrics(books), books.period("2024")
        return metrics.levels(books, period, register), metrics.effects(books, period, register)

    return make


@pytest.mark.parametrize(
    ("measure", "level", "customers"),
    [("activity: call", 14.5, 30), ("order_value", 1000, 30), ("orders_per_month", 1 / 12, 30), ("service: on time", 0.9, 5), ("days_outstanding", 145 / 1000 * 365, 30),
     ("", None, 0), ("service: in full", None, 0), ("lines_per_order", 1, 30)],
)  # fmt: skip
def test_a_level_is_that_of_all_customers_together(
    measured: Any, measure: str, level: float | None, customers: int
) -> None:
    [row] = measured(metric(measure=measure))[0].to_dict("records")
    assert row["customers"] == customers
    assert row["level"] == pytest.approx(level) if level is not None else pd.isna(row["level"])


@pytest.mark.parametrize(
    ("given", "on", "basis", "expected"),
    [  # one call less for each of 30 orders, at 5; orders that are larger by 1,000 halve the 30 entries at 8; a day less is 30,000 / 365, at 12 %
        ({"measure": "activity: call"}, "order_processing", "by rates", 150),
        ({"measure": "order_value", "direction": "higher", "step": 1000}, "order_processing", "by rates", 120),
        ({"measure": "order_value", "step": 1000}, "order_processing", "by rates", -120),
        ({"measure": "activity: call"}, "transportation", "compared", 60),  # 2 of freight for each call, of 30 customers
        ({"measure": "days_outstanding"}, "receivables", "compared", 30_000 / 365 * 0.12),
        ({"measure": "service: on time", "direction": "higher"}, "transportation", "too few customers", None),
        ({"measure": "service: in full", "direction": "higher"}, "transportation", "no data", None),
        ({"measure": "activity: call"}, "special_packaging", "not in these books", None),
        ({"measure": "", "by": 40}, "order_processing", "judged", 40),  # a cost that falls with the step adds
        ({"measure": "", "by": 40, "direction": "higher"}, "order_processing", "judged", -40),
        ({"measure": "", "by": 40, "direction": "higher"}, "sales", "judged", 40),
        ({"measure": "", "by": -100}, "inventory", "judged", -12),
    ],
)  # fmt: skip
def test_an_effect_is_the_derivative_of_the_statement(
    measured: Any, given: dict[str, Any], on: str, basis: str, expected: float | None
) -> None:
    by = given.pop("by", None)
    move = {"on": on} if by is None else {"on": on, "low": by - 10, "by": by, "high": by + 10}
    [row] = measured(metric(**given, moves=[move]))[1].to_dict("records")
    assert row["basis"] == basis
    if expected is None:
        assert pd.isna(row["expected"])
    else:
        assert (row["expected"], row["value_added"]) == (
            pytest.approx(expected, rel=0.001),
            pytest.approx(expected * 0.75, rel=0.001),
        )
        assert row["low"] <= row["expected"] <= row["high"]


def test_a_judged_effect_may_be_nothing_at_its_low_end(measured: Any) -> None:
    move = {"on": "order_processing", "low": 0, "by": 10, "high": 20}
    [row] = measured(metric(measure="", moves=[move]))[1].to_dict("records")
    assert [row[end] for end in ("low", "expected", "high")] == [0, 10, 20]


def test_an_effect_says_of_how_many_customers_it_is_and_how_far_it_may_lie(measured: Any) -> None:
    scattered = TABLES["invoice_lines"].splitlines()
    uneven = [f"{row.rpartition(', ')[0]}, {20 + 2 * n + n * 7 % 11 - 5}" for n, row in enumerate(scattered[1:])]
    calls = [f"{c}, 2024-09-01, call, {n}" for n, c in enumerate(IDS) if n]
    changed = {
        "invoice_lines": "\n".join([scattered[0], *uneven]), "activities": "\n".join([TABLES["activities"], *calls]),
        "rates": f"{TABLES['rates']}\ncall, 2024-07-01, 7",
    }  # fmt: skip
    moves = [{"on": "transportation"}, {"on": "order_processing"}]
    table = measured(metric(measure="activity: call", moves=moves), tables=TABLES | changed)[1]
    freight, desk = table.to_dict("records")
    assert (freight["basis"], freight["customers"]) == ("compared", 30)
    assert freight["low"] < 30 < freight["high"]  # 1 of freight for each of two calls, 30 customers, give or take
    assert freight["high"] - freight["low"] > 0.1
    # one call less of each of 30 orders: at 5 and at 7, the rates in force, and at 6, their mean
    assert (desk["basis"], desk["customers"]) == ("by rates", 30)
    assert [desk[end] for end in ("low", "expected", "high")] == pytest.approx([150, 180, 210])
    even = measured(metric(measure="activity: call", moves=moves))[1].iloc[0]
    assert even["low"] == pytest.approx(even["high"])  # all on one line: no range


def test_an_own_statement_gives_an_own_tree(measured: Any) -> None:
    lines = default_statement(transportation={"id": "haulage", "label": "Haulage"})
    table = measured(metric(measure="activity: call", moves=[{"on": "haulage"}]), statement=lines)[1]
    assert table.iloc[0][["on", "expected"]].tolist() == ["Haulage", pytest.approx(60)]
    with pytest.raises(
        SettingsError,
        match=r"metrics\[0\] \(M\)\.moves\.on: 'transportation' is no line of the statement and no balance",
    ):
        measured(metric(measure="activity: call", moves=[{"on": "transportation"}]), statement=lines)


def test_without_rates_there_is_no_value_added_and_no_tree(measured: Any) -> None:
    table = measured(metric(measure="activity: call", moves=[{"on": "order_processing"}]), rates={})[1]
    assert table["expected"].tolist() == [150]
    assert table["value_added"].isna().all()
    assert metrics.branches(table).empty


def test_the_trees_branches_add_up(measured: Any) -> None:
    table = measured(metric("Calls", measure="activity: call", moves=[{"on": "order_processing"}, {"on": "transportation"}]),
                     metric("Orders", measure="order_value", step=1000, direction="higher", moves=[{"on": "order_processing"}]))[1]  # fmt: skip
    tree = metrics.branches(table)
    assert tree.index.tolist() == [
        "Economic value added",
        "Order processing",
        "Transportation",
        "Calls → Order processing",
        "Calls → Transportation",
        "Orders",
    ]
    for node in tree.index[:3]:
        assert tree.loc[tree["parent"] == node, "amount"].sum() == pytest.approx(tree.at[node, "amount"])


def test_what_is_wrong_with_a_framework_is_pointed_out(measured: Any) -> None:
    judged = {"on": "order_processing", "low": 30, "by": 40, "high": 50}
    today, table = measured(
        metric("Calls", measure="activity: call", moves=[{"on": "order_processing"}]),
        metric("Chats", direction="higher", moves=[judged]),
        metric("Nobody's", owner="", measure="order_value"),
        metric("On time", measure="service: on time", moves=[{"on": "transportation"}]),
    )
    found = set(metrics.faults(table, today)[["metric", "fault"]].itertuples(index=False, name=None))
    assert found == {
        ("Calls", "pulls against another"), ("Chats", "takes value"), ("Chats", "no data"), ("Nobody's", "no owner"), ("Nobody's", "no line named"),
        ("On time", "effect not told yet"),
    }  # fmt: skip


def test_mistakes_are_told_at_once(make_books: Make) -> None:
    books = make_books(TABLES)
    (books.engagement.folder / "judgement").mkdir()
    (books.engagement.folder / "judgement" / "metrics.yml").write_text("""\
metrics:
  - {metric: A, measure: order_valu, process: order fulfilment, direction: higher}
  - {metric: B, process: order fullfilment, direction: up, moves: [{on: sales, low: 5, by: 3, high: 9}]}
  - {metric: C, process: order fulfilment, direction: higher, moves: [{on: sales}]}
""")
    with pytest.raises(SettingsError) as told:
        metrics.read_metrics(books)
    for words in (
        "5 mistake(s)",
        "did you mean 'order_value'?",
        "did you mean 'order fulfilment'?",
        "metrics[1].direction",
        "low, by and high must rise",
        "cannot be derived without a measure",
    ):
        assert words in str(told.value), str(told.value)
