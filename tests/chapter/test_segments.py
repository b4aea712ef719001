"""Segments: rules, matrices, groups the data forms, migration; the planted stories and the large numbers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crmlib import accounts, criteria, full_cost, lenses, profitability, segments
from crmlib.books.stored import Books
from crmlib.declared import judgement
from crmlib.declared.reading import DECLARED, SettingsError

Make = Callable[..., Books]
FAMILY = {
    "customers": "customer_id, customer_name, parent_id\nP, Parent,\nA, Adler, P\nB, Birch, P\nC, Cole,",
    "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nB, 2024-02-10, 50\nC, 2024-02-10, 7",
}


def put(books: Books, content: object) -> None:
    folder = books.engagement.folder / "judgement"
    folder.mkdir(exist_ok=True)
    (folder / "segments.yml").write_text(yaml.safe_dump(content), encoding="utf-8")


def rule(segment: str, *when: str, **given_: object) -> dict[str, object]:
    return {"segment": segment, "when": list(when), "because": f"rule {segment}", "stance": "keep", **given_}


def table(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=[f"K{i}" for i in range(len(next(iter(columns.values()))))])


@pytest.fixture(scope="module")
def decided(sample: Books) -> pd.DataFrame:
    return segments.differentiate(sample, sample.period("2025"))


# --- rules -----------------------------------------------------------------------------------------------------------


def test_all_mistakes_of_the_rules_are_told_at_once(make_books: Make) -> None:
    books = make_books(FAMILY)
    wrong = [
        rule("A", "salse > 1", "sales > much"),
        rule("B", "sales ~ 3", stance="love"),
        {"segment": "C", "when": [], "because": "rest"},
    ]
    put(books, {"parents": "both", "rules": wrong})
    with pytest.raises(SettingsError) as told:
        segments.read_segments(books)
    text = str(told.value)
    assert "judgement/segments.yml has 5 mistake(s)" in text
    assert "parents: should be 'apart' or 'together' (found 'both')" in text
    assert "rules[0] (A).when: 'salse > 1': unknown measure 'salse'; allowed: sales, " in text
    assert "; did you mean 'sales'?" in text
    assert "'sales > much': 'much' is no number" in text
    assert "rules[1] (B).when: 'sales ~ 3' is no condition; write it as `sales >= 1000`" in text
    assert "rules[1] (B).stance: should be 'invest', 'keep' or 'change' (found 'love')" in text
    assert "rules[2] (C).stance: is missing" in text


@pytest.mark.parametrize("rules", [[], [rule("A", "sales > 1")], [rule("A"), rule("B")]])
def test_rules_that_leave_a_customer_without_a_segment_are_refused(
    make_books: Make, rules: list[dict[str, object]]
) -> None:
    books = make_books(FAMILY)
    put(books, {"rules": rules})
    with pytest.raises(SettingsError, match="the last rule, and no other, has `when: \\[\\]`"):
        segments.read_segments(books)


def test_a_condition_on_a_column_that_is_not_there_is_refused(make_books: Make) -> None:
    books = make_books(FAMILY)
    put(books, {"rules": [rule("A", "channel is Web"), rule("B")]})
    with pytest.raises(
        SettingsError,
        match=r"rules \(A\): 'channel is Web': customers have no column 'channel'; there are customer_name, parent_id",
    ):
        segments.read_segments(books)


def test_the_first_rule_that_holds_decides_and_says_why() -> None:
    rules = judgement.Rules.model_validate({"rules": [rule("Large", "sales >= 100"), rule("Earns", "net_margin > 0", "sales > 0"), rule("Rest")],
        "flags": [{"flag": "costly", "when": ["cost_to_serve_share > 0.5"], "because": "hard to serve"}]})  # fmt: skip
    given_ = table(
        sales=[100.0, 99.0, 50.0, 0.0],
        net_margin=[-5.0, 5.0, np.nan, 0.0],
        cost_to_serve_share=[0.2, 0.6, np.nan, np.nan],
        score=[0.5, 0.4, 0.3, np.nan],
    )
    made = segments.assigned(given_, rules)
    assert made["segment"].tolist() == ["Large", "Earns", "Rest", "Rest"]
    assert made.at["K0", "reason"] == "rule Large (gross sales 100)"
    assert made.at["K1", "reason"] == "rule Earns (net margin 5, gross sales 99)"
    assert made["flagged"].tolist() == ["", "costly: hard to serve (cost to serve of sales 60%)", "", ""]


@given(st.lists(st.tuples(st.integers(-100, 100), st.integers(-100, 100)), min_size=1, max_size=20))
def test_every_account_is_in_exactly_one_segment_whatever_its_numbers(rows: list[tuple[int, int]]) -> None:
    rules = judgement.Rules.model_validate(yaml.safe_load((DECLARED / "segments.yml").read_text(encoding="utf-8")))
    sales, margin = (np.array(part, dtype=float) for part in zip(*rows, strict=True))
    given_ = table(sales=list(sales), net_margin=list(margin)).assign(growth_share=np.nan, score=0.5, top_group=0.0)
    made = segments.assigned(given_, rules)
    assert made["segment"].isin(rules.segments).all()
    assert (made["reason"] != "").all()
    turned = segments.assigned(given_.iloc[::-1], rules)
    assert turned["segment"].reindex(made.index).equals(made["segment"])


def test_a_condition_without_a_value_in_these_books_is_named(make_books: Make) -> None:
    books = make_books(FAMILY)
    rules, register = segments.read_segments(books), criteria.read_criteria(books)
    compared = segments.compared(books, books.period("2024"), rules, register)
    assert segments.without_effect(compared, rules) == ["growth_share >= 0.25", "growth_share <= -0.15"]


def test_parents_and_subsidiaries_stand_together_or_apart(make_books: Make) -> None:
    books = make_books(FAMILY)
    rules = [rule("Large", "sales >= 120", key=True), rule("Small")]
    put(books, {"parents": "apart", "rules": rules})
    apart = segments.differentiate(books, books.period("2024")).set_index("customer_id")
    assert (apart["segment"] == "Small").all()
    put(books, {"parents": "together", "rules": rules})
    together = segments.differentiate(books, books.period("2024")).set_index("customer_id")
    assert together["segment"].to_dict() == {"P": "Large", "A": "Large", "B": "Large", "C": "Small"}
    assert together["account_id"].to_dict() == {"P": "P", "A": "P", "B": "P", "C": "C"}


# --- the sample's stories --------------------------------------------------------------------------------------------


def test_each_customer_of_the_sample_stands_once(sample: Books, decided: pd.DataFrame) -> None:
    assert sorted(decided["customer_id"]) == sorted(sample.customers["customer_id"])
    assert decided["segment"].isin(segments.read_segments(sample).segments).all()


def test_the_large_loss_maker_is_no_key_account_by_volume_alone(decided: pd.DataFrame) -> None:
    row = decided.set_index("customer_id").loc["C235"]
    assert decided["sales"].max() == row["sales"]
    assert (row["segment"], row["key"], row["stance"]) == ("Mend", False, "change")
    assert "large loss" in row["flagged"]
    assert decided.loc[decided["key"], "net_margin"].min() > 0


def test_the_small_growing_customer_is_to_be_developed_and_the_declining_one_flagged(decided: pd.DataFrame) -> None:
    rows = decided.set_index("customer_id")
    assert rows.at["C301", "segment"] == "Develop"
    assert "92%" in rows.at["C301", "reason"]
    assert "declining" in rows.at["C266", "flagged"]
    assert "−23%" in rows.at["C266", "flagged"]


def test_key_accounts_hang_on_the_top_group_or_are_key_anyway(sample: Books, decided: pd.DataFrame) -> None:
    rules, register = segments.read_segments(sample), criteria.read_criteria(sample)
    compared = segments.compared(sample, sample.period("2025"), rules, register)
    able = segments.eligible(compared, rules)
    hanging = set(compared.index[able & (compared["top_group"] == 1)])
    keys = set(decided.loc[decided["key"], "customer_id"])
    assert hanging <= keys
    assert all(compared["net_margin"].rank(ascending=False)[key] <= 6 for key in keys - hanging)
    assert segments.key_accounts(decided).at[0, "customer_id"] == compared["net_margin"].idxmax()


def test_migration_counts_every_customer_once(sample: Books, decided: pd.DataFrame) -> None:
    before = segments.differentiate(sample, sample.period("2024"))
    flow = segments.migration(decided, before, segments.read_segments(sample).segments)
    assert flow.to_numpy().sum() == len(sample.customers)
    assert flow.sum(axis=0).to_dict() == decided["segment"].value_counts().reindex(flow.columns, fill_value=0).to_dict()
    assert len(segments.moved(decided, before)) == flow.to_numpy().sum() - np.trace(flow)


def test_ratings_made_after_a_period_do_not_enter_it(sample: Books) -> None:
    rated = criteria.read_ratings(sample, criteria.read_criteria(sample))
    account = accounts.accounts(sample, together=False)
    assert criteria.judged(rated, account, sample.period("2023")).empty
    assert not criteria.judged(rated, account, sample.period("2024")).empty


# --- segments in the reports -----------------------------------------------------------------------------------------


def test_segments_partition_the_customers_and_their_report_adds_up_to_the_firm(sample: Books) -> None:
    period = sample.period("2025")
    segmented = segments.with_segments(sample, period)
    report = profitability.group_profitability(segmented, period, "segment").whole
    assert "Inactive" not in report.index
    margins = profitability.customer_profitability(sample, period).set_index("customer_id")["net_segment_margin"]
    for name, members in segments.differentiate(sample, period).groupby("segment"):
        inside = sum(margins.reindex(members["customer_id"]).dropna())
        assert inside == 0 if name == "Inactive" else inside == report.at[name, "net_segment_margin"]
    parts = report.drop(index="Firm")["net_segment_margin"]
    assert sum(parts) == report.at["Firm", "net_segment_margin"]
    assert segmented.customers["own_segment"].tolist() == sample.customers["segment"].tolist()


SEGMENT_COSTS = {
    "customers": "customer_id, customer_name, segment\nA, Adler, Gold\nB, Birch, Gold",
    "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nB, 2024-02-10, 50",
    "costs": """level, key, date, line, amount
        segment, Key account, 2024-01-31, advertising, 9
        segment, Gold, 2024-01-31, advertising, 4""",
}


def test_a_cost_belongs_to_the_segment_of_that_name_made_from_rules_or_the_companys_own(make_books: Make) -> None:
    books = make_books(SEGMENT_COSTS)
    period = books.period("2024")
    segmented = segments.with_segments(books, period)
    assert segmented.customers["segment"].tolist() == ["Key account", "Serve simply"]
    ruled = profitability.group_profitability(segmented, period, "segment").whole["own_costs"]
    own = profitability.group_profitability(segmented, period, "own_segment").whole["own_costs"]
    assert (ruled["Key account"], ruled["Other owners"]) == (9, 4)
    assert (own["Gold"], own["Other owners"]) == (4, 9)
    spread = full_cost.full_cost(segmented, period).set_index("customer_id")["group_costs"].astype(float)
    assert spread["A"] == pytest.approx(9 + 4 * 100 / 150)
    assert spread["B"] == pytest.approx(4 * 50 / 150)


def test_mistakes_of_all_judgement_files_are_told_together(make_books: Make) -> None:
    books = make_books(FAMILY)
    put(books, {"rules": []})
    folder = books.engagement.folder / "judgement"
    (folder / "ratings.csv").write_text("customer_id,rating\n")
    (folder / "strategy.yml").write_text("goals: 3\n")
    with pytest.raises(SettingsError) as told:
        segments.check_judgement(books)
    assert all(f"judgement/{file} has" in str(told.value) for file in ("segments.yml", "ratings.csv", "strategy.yml"))


# --- matrices --------------------------------------------------------------------------------------------------------


def test_a_value_on_the_line_counts_as_right_and_upper() -> None:
    rows = pd.DataFrame(
        {"net_price_index": [0.9, 1.0, 1.1, np.nan, 0.8], "cost_to_serve_share": [0.5, 0.2, 0.2, 0.1, 0.1]}
    )
    cells = lenses._cells(rows, lenses.lens("price"))
    assert cells["price_cell"].tolist() == ["Aggressive", "Carriage trade", "Carriage trade", "", "Bargain basement"]
    assert cells["price_stance"].tolist() == ["change", "keep", "keep", "", "keep"]


def test_lenses_place_every_buyer_and_disagree_with_reasons(sample: Books, decided: pd.DataFrame) -> None:
    period = sample.period("2025")
    priced = profitability.net_price_and_cost_to_serve(
        sample, profitability.customer_profitability(sample, period), period
    )
    placed = lenses.matrices(decided, lenses.axes(sample, period, decided), priced)
    assert len(placed) == (decided["sales"] > 0).sum()
    for one in lenses.LENSES:
        known = placed[[one.across, one.up]].notna().all(axis=1)
        assert known.mean() > 0.95
        assert placed.loc[known, f"{one.name}_cell"].isin(one.cells).all()
        assert (placed.loc[~known, f"{one.name}_cell"] == "").all()
    odd = lenses.disagreements(placed)
    assert "C235" in set(odd["customer_id"])  # large, bought regularly for years, and a loss
    stances = placed.set_index("customer_id")["stance"]
    assert stances[odd["customer_id"]].isin(["invest", "change"]).all()
    assert odd["customer_id"].is_unique
    large = odd.set_index("customer_id").loc["C235"]
    assert large["lenses"].startswith("relationship: Deepen")
    assert re.match(r"relationship 0\.\d\d \(at least 0\.\d\d\), attractiveness 0", large["why"])


# --- what the data says by itself ------------------------------------------------------------------------------------


def kinds(count: int, seed: int = 0) -> pd.DataFrame:
    """Accounts of three kinds, far apart in four measures."""
    rng = np.random.default_rng(seed)
    kind = np.arange(count) % 3
    columns = {
        name: (kind + 0.15 * rng.normal(size=count)) * sign + 5
        for name, sign in zip(segments.BEHAVIOUR[:4], (1, -1, 1, 1), strict=True)
    }
    return pd.DataFrame(columns, index=[f"K{i:07d}" for i in range(count)]).assign(net_margin=1.0)


def test_three_kinds_of_customers_are_found_named_and_stable() -> None:
    given_ = kinds(300)
    scaled = segments.features(given_)
    tested = segments.numbers_of_groups(scaled, seed=0)
    assert tested.index[tested["chosen"]].tolist() == [3]
    assert tested.loc[3, "stability"] > 0.95
    labels = segments.groups(scaled, 3, seed=0)
    assert pd.crosstab(labels, np.arange(300) % 3).gt(0).to_numpy().sum() == 3
    assert labels.loc[given_["sales"].idxmax()] == 1
    told = segments.described_groups(given_, scaled, labels, seed=0)
    assert told["accounts"].tolist() == [100, 100, 100]
    assert (told["of_group_share"] > 0.9).all()
    assert told["description"].str.contains("above|up to").all()


@pytest.mark.parametrize("method", ["k-means", "gaussian mixture"])
def test_both_methods_find_the_three_kinds_and_place_everyone_the_same_twice(method: segments.Method) -> None:
    scaled = segments.features(kinds(300))
    tested = segments.numbers_of_groups(scaled, seed=0, most=5, method=method)
    assert tested.index[tested["chosen"]].tolist() == [3]
    assert tested.equals(segments.numbers_of_groups(scaled, seed=0, most=5, method=method))
    labels = segments.groups(scaled, 3, seed=0, method=method)
    assert pd.crosstab(labels, np.arange(300) % 3).to_numpy().max(axis=1).tolist() == [100, 100, 100]
    assert labels.equals(segments.groups(scaled, 3, seed=0, method=method))


def test_groups_are_numbered_from_the_largest_by_mean_sales_whatever_the_method() -> None:
    given_ = kinds(300)
    scaled = segments.features(given_)
    for method in ("k-means", "gaussian mixture"):
        labels = segments.groups(scaled, 3, seed=0, method=method)
        assert given_["sales"].groupby(labels).mean().is_monotonic_decreasing


def test_missing_behaviour_stands_in_the_middle_and_buyers_only_are_grouped() -> None:
    given_ = kinds(30)
    given_.loc["K0000000", "growth_share"] = np.nan
    given_.loc["K0000001", "sales"] = 0.0
    scaled = segments.features(given_)
    assert len(scaled) == 29
    assert scaled.at["K0000000", "growth_share"] == 0.5


def test_too_few_customers_give_no_number_of_groups_and_no_error() -> None:
    assert segments.numbers_of_groups(segments.features(kinds(6)), seed=0).empty


def test_fifty_thousand_customers_are_grouped_in_five_seconds_the_same_every_time() -> None:
    given_ = kinds(50_000)
    begun = time.process_time()
    scaled = segments.features(given_)
    tested = segments.numbers_of_groups(scaled, seed=0, most=4)
    labels = segments.groups(scaled, int(tested.index[tested["chosen"]][0]), seed=0)
    assert time.process_time() - begun < 5
    assert labels.equals(segments.groups(scaled, 3, seed=0))


def test_sample_groups_come_out_the_same(sample: Books) -> None:
    scaled = segments.features(accounts.measures(sample, sample.period("2025")))
    first, second = (segments.numbers_of_groups(scaled, seed=0, most=3) for _ in range(2))
    assert first.equals(second)
    assert segments.groups(scaled, 2, seed=0).equals(segments.groups(scaled, 2, seed=0))


def test_a_period_in_which_nobody_bought_is_refused_with_what_the_books_cover(make_books: Make) -> None:
    books = make_books(FAMILY)
    books.refuse_without_sales(books.period("2024-01"))
    with pytest.raises(SettingsError, match=r"nobody bought in 2024-03: choose another period of 2024$"):
        books.refuse_without_sales(books.period("2024-03"))


def test_a_condition_that_nobody_can_fulfil_is_told(make_books: Make) -> None:
    books = make_books(FAMILY)
    put(books, {"rules": [rule("A", "customer_name is Nobody"), rule("B", "cost_to_serve_share > 0"), rule("C")]})
    rules, register = segments.read_segments(books), criteria.read_criteria(books)
    table = segments.compared(books, books.period("2024"), rules, register)
    assert segments.without_effect(table, rules) == ["customer_name is Nobody", "cost_to_serve_share > 0"]
