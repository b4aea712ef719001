"""Gains of joint improvements: measured without volume and price, worth to both sides, splits, shortfall."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import yaml

from crmlib import gain_sharing
from crmlib.books.stored import Books
from crmlib.declared.gain_sharing import GainSharing
from crmlib.declared.reading import SettingsError

Make = Callable[..., Books]
TABLES = {  # 100 cases packed at 2 before; 150 of 150 sold, then 60 packed at 3 of 120 sold
    "customers": "customer_id, customer_name\nA, Adler\nB, Birch",
    "invoice_lines": "customer_id, invoice_date, gross_sales, quantity, product_id\nA, 2023-05-10, 1000, 100, p\nA, 2024-05-10, 1200, 120, p\nB, 2024-05-10, 90, 9, p",
    "products": "product_id, product_name\np, Soap",
    "activity_types": "activity, line\npack, special_packaging",
    "activities": "customer_id, date, activity, quantity\nA, 2023-05-01, pack, 100\nA, 2024-05-01, pack, 60",
    "rates": "activity, valid_from, rate\npack, 2023-01-01, 2\npack, 2024-01-01, 3",
}  # fmt: skip
PROJECT = {
    "project": "Pallets", "account": "A", "baseline": 2023, "measured": 2024, "years": 2, "savings": [{"line": "special_packaging", "driver": "units", "expected_share": 0.25}],
    "our_investment": 100, "their_investment": 40, "their_gain": 60, "their_cost_of_capital": 0.10, "their_tax_rate": 0.25,
}  # fmt: skip


@pytest.fixture
def shared(make_books: Make) -> Callable[..., tuple[Books, GainSharing]]:
    """Books with a policy and one project, some of its keys changed."""

    def make(policy: dict[str, Any] | None = None, **changed: Any) -> tuple[Books, GainSharing]:
        books = make_books(
            TABLES, coverage={"start": "2023-01", "end": "2024-12"}, rates={"cost_of_capital": 0.08, "tax_rate": 0.25}
        )
        (books.engagement.folder / "judgement").mkdir()
        declared = {"policy": policy or {}, "projects": [PROJECT | changed]}
        (books.engagement.folder / "judgement" / "gain_sharing.yml").write_text(yaml.safe_dump(declared))
        return books, gain_sharing.read_gain_sharing(books)

    return make


def test_volume_and_price_are_taken_out_of_a_measured_gain(shared: Any) -> None:
    books, sharing = shared()
    [line] = gain_sharing.measured(books, sharing.projects[0]).to_dict("records")
    # 200 at 100 cases; 40 more for 120; half as dear again: 120; would be 360, came to 180
    assert line == {
        "line": "Special packaging",
        "baseline": 200,
        "volume": 40,
        "price": 120,
        "would_be": 360,
        "actual": 180,
        "gain": 180,
    }
    assert gain_sharing.our_gain(books, sharing.projects[0]) == (180, "measured")


def test_without_a_driver_or_a_measurement_less_is_known(shared: Any) -> None:
    books, sharing = shared(savings=[{"line": "special_packaging", "expected_share": 0.25}])
    assert gain_sharing.measured(books, sharing.projects[0])[["volume", "would_be", "gain"]].iloc[0].tolist() == [
        0,
        300,
        120,
    ]
    books, sharing = shared(measured="")
    assert gain_sharing.measured(books, sharing.projects[0]).empty
    assert gain_sharing.our_gain(books, sharing.projects[0]) == (50, "expected")  # a quarter of 200


def test_the_present_value_of_value_added_is_the_net_present_value(shared: Any) -> None:
    books, sharing = shared()
    own = gain_sharing.worth(books, sharing.projects[0])
    # ours: −100 + 147.50 / 1.08 + 147.50 / 1.08²; theirs: −40 + 50 / 1.1 + 50 / 1.1²; tax on the gain less half the investment
    assert own["npv"].to_dict() == {"ours": Decimal("163.03"), "theirs": Decimal("46.78")}
    assert (own["npv"] == own["value_added"]).all()
    assert own["payback_years"].tolist() == pytest.approx([100 / 147.5, 0.8])
    first = gain_sharing.sides(books, sharing.projects[0]).query("side == 'ours' and year == 1").iloc[0]
    assert first[["gain", "written_off", "tax", "capital", "value_added", "cash"]].tolist() == [
        180,
        50,
        Decimal("32.5"),
        100,
        Decimal("89.5"),
        Decimal("147.5"),
    ]


@pytest.mark.parametrize("our_share", [0, 0.333, 0.5, 1])
def test_the_parts_of_a_split_are_the_joint_gain_to_the_cent(shared: Any, our_share: float) -> None:
    books, sharing = shared({"our_share": our_share})
    split = gain_sharing.splits(books, sharing, sharing.projects[0]).set_index("rule")
    assert (split["ours"] + split["theirs"]).tolist() == [Decimal("209.81")] * 3
    assert split.at["equal gain", "ours"] in (
        Decimal("104.90"),
        Decimal("104.91"),
    )  # Shapley: alone neither gains anything
    assert split.at["by investment", "ours"] == Decimal("149.86")  # 100 of 140
    least, greatest = gain_sharing.better_off(books, sharing.projects[0])
    assert (least, greatest) == (Decimal("-46.78"), Decimal("163.03"))
    assert all(least <= paid <= greatest for paid in split["we_pay"])


def test_no_joint_gain_is_not_split(shared: Any) -> None:
    books, sharing = shared(our_investment=5000)
    assert gain_sharing.splits(books, sharing, sharing.projects[0]).empty
    assert gain_sharing.better_off(books, sharing.projects[0]) is None
    assert gain_sharing.worth(books, sharing.projects[0])["payback_years"].isna().tolist() == [True, False]
    books, sharing = shared({"least_gain": 1000})
    assert gain_sharing.splits(books, sharing, sharing.projects[0]).empty


@pytest.mark.parametrize("shortfall", ["shared", "each its own"])
def test_a_shortfall_falls_by_the_policy(shared: Any, shortfall: str) -> None:
    books, sharing = shared({"shortfall": shortfall})
    short = gain_sharing.falling_short(books, sharing, sharing.projects[0])
    assert (short["ours"] + short["theirs"] == short["joint"]).all()
    nothing = short.set_index("part_share").loc[0.0]  # only the tax on what is written off comes back
    own = gain_sharing.worth(books, sharing.projects[0], Decimal(0))["npv"]
    assert nothing["joint"] == own.sum()
    paid = gain_sharing.splits(books, sharing, sharing.projects[0])["we_pay"].iloc[0]
    assert nothing["ours"] == (
        (own.sum() / 2).quantize(Decimal("0.01")) if shortfall == "shared" else own["ours"] - paid
    )


def test_all_mistakes_are_told_at_once(shared: Any) -> None:
    with pytest.raises(SettingsError) as told:
        shared(account="Z", measured="2024Q1", savings=[{"line": "special_packing", "expected_share": 0.1}])
    for words in (
        "has 3 mistake(s)",
        "projects (Pallets).account: 'Z' is no customer",
        "did you mean 'special_packaging'?",
        "measured: '2024Q1' is not as long as the baseline '2023'",
    ):
        assert words in str(told.value), str(told.value)
