"""Segments: rules, matrices, migration; the planted stories and the large numbers."""

from __future__ import annotations

import re
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
    assert "rules[1] (B).stance: should be 'invest', 'keep', 'change' or 'close' (found 'love')" in text
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


# --- memory, and a list that can be carried --------------------------------------------------------------------------


def held(hold: float, was_key: list[bool], **more: object) -> pd.DataFrame:
    rules = judgement.Rules.model_validate({"hold": hold, **more, "rules": [
        rule("Key", "top_group = 1", "net_margin_rank_share >= 0.50", "net_margin > 0", key=True), rule("Core", "net_margin > 0"), rule("Rest")]})  # fmt: skip
    given_ = table(
        sales=[9.0] * 5,
        net_margin=[50.0, 40, 30, 20, -1],
        score=[0.9, 0.8, 0.76, 0.70, 0.79],
        top_group=[1.0, 1, 0, 0, 0],
    )
    return segments.assigned(given_.assign(was_key=was_key), rules)


def test_who_was_key_stays_until_score_or_rank_fall_so_far() -> None:
    always = [True] * 5
    assert held(0, always)["key"].tolist() == [True, True, False, False, False]
    assert held(0.05, always)["key"].tolist() == [
        True,
        True,
        True,
        False,
        False,
    ]  # 0.76 of 0.80; at 0.79 one loses money
    assert held(0.05, [False] * 5)["key"].tolist() == [True, True, False, False, False]
    assert held(0.2, always)["key"].tolist() == [
        True,
        True,
        True,
        False,
        False,
    ]  # the fourth is below the median margin − 0.2
    assert held(0.05, always)["reason"].str.contains("was key the year before, and holds within 0.05").tolist() == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_the_list_of_key_accounts_is_as_long_as_teams_can_carry() -> None:
    limited = held(0.05, [True] * 5, most_key=2)
    assert limited["key"].tolist() == [True, True, False, False, False]
    assert limited["segment"].tolist() == ["Key", "Key", "Core", "Core", "Rest"]
    assert limited.at["K2", "flagged"].startswith("beyond the limit: a key account by the rules, and not among the 2")
    assert held(0.05, [True] * 5, most_key=0.2)["key"].tolist() == [True, False, False, False, False]


def test_equals_at_the_limit_are_all_in() -> None:
    rules = judgement.Rules.model_validate(
        {"most_key": 2, "rules": [rule("Key", "net_margin > 5", key=True), rule("Rest")]}
    )
    made = segments.assigned(table(sales=[9.0] * 8, net_margin=[9.0, 7, 7, 6, 6, 6, 6, 6], score=[0.5] * 8), rules)
    assert made["key"].tolist() == [True, True, True, *[False] * 5]


def test_memory_goes_back_over_the_years_of_the_books(make_books: Make) -> None:
    amounts = {
        "A": (9, 9, 9),
        "B": (8, 6, 6),
        "C": (1, 7, 7),
        "D": (1, 1, 1),
    }  # B falls behind C, and keeps its rank but for a third
    rows = [
        f"{c}, {2022 + y}-{m:02}-10, {a}"
        for c, years in amounts.items()
        for y, a in enumerate(years)
        for m in range(1, 13)
    ]
    names = "customer_id, customer_name\n" + "\n".join(f"{c}, {c}" for c in amounts)
    books = make_books({"customers": names, "invoice_lines": "\n".join(["customer_id, invoice_date, gross_sales", *rows])},
                       coverage={"start": "2022-01", "end": "2024-12"})  # fmt: skip
    rules = [rule("Key", "net_margin_rank_share >= 0.6", key=True), rule("Rest")]
    for hold, keys in ((0, "AC"), (0.34, "ABC")):
        put(books, {"hold": hold, "rules": rules})
        decided = segments.differentiate(books, books.period("2024"))
        assert "".join(decided.loc[decided["key"], "customer_id"]) == keys


@pytest.mark.parametrize("text", ["state is gone", "state > 3", "state is losst"])
def test_a_state_that_is_none_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(ValueError, match="write `state is` one of new, active, slowing, silent, lost, no order"):
        judgement.Rules.model_validate({"rules": [rule("A", text), rule("B")]})


def test_a_condition_without_a_value_in_these_books_is_named(make_books: Make) -> None:
    books = make_books(FAMILY)
    rules, register = segments.read_segments(books), criteria.read_criteria(books)
    compared = segments.compared(books, books.period("2024"), rules, register)
    assert segments.without_effect(compared, rules) == ["growth of sales on the year before"]


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


def test_a_key_account_by_another_rule_does_not_hang_on_the_top_group() -> None:
    rules = judgement.Rules.model_validate({"rules": [rule("Key", "top_group = 1", "net_margin > 0", key=True), rule("Key", "net_margin > 50", key=True), rule("Rest")]})  # fmt: skip
    accounts_ = table(sales=[9.0, 9, 9], net_margin=[60.0, 6, -6], score=[0.5] * 3, top_group=[1.0, 1, 1])
    assert segments.eligible(accounts_, rules).tolist() == [False, True, False]


def test_without_an_earlier_period_nobody_migrates_and_nobody_moved(sample: Books, decided: pd.DataFrame) -> None:
    before = segments.differentiate(sample, None)
    assert segments.migration(decided, before, ["Core"]).empty
    moved = segments.moved(decided, before)
    assert moved.empty
    assert "before" in moved


def test_migration_counts_every_customer_once(sample: Books, decided: pd.DataFrame) -> None:
    before = segments.differentiate(sample, sample.period("2024"))
    flow = segments.migration(decided, before, segments.read_segments(sample).segments)
    assert flow.to_numpy().sum() == len(sample.customers)
    assert flow.sum(axis=0).to_dict() == decided["segment"].value_counts().reindex(flow.columns, fill_value=0).to_dict()
    assert (
        len(segments.moved(decided, before))
        == flow.to_numpy().sum() - np.trace(flow) - flow.loc[segments.NOT_YET].sum()
    )


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
    assert segmented.customers[["segment", "state"]].to_numpy().tolist() == [
        ["Key account", "silent"],
        ["Silent", "silent"],
    ]
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
    cells = lenses.cells(rows, lenses.LENSES[0])
    assert cells["price_cell"].tolist() == ["Aggressive", "Carriage trade", "Carriage trade", "", "Bargain basement"]
    assert cells["price_stance"].tolist() == ["change", "keep", "keep", "", "keep"]


def test_a_customer_with_sales_of_nothing_stands_in_no_lens(make_books: Make) -> None:
    books = make_books({**FAMILY, "invoice_lines": f"{FAMILY['invoice_lines']}\nP, 2024-03-10, 0"})
    period = books.period("2024")
    customers = segments.differentiate(books, period)
    assert customers.set_index("customer_id").loc["P", "sales"] == 0
    assert set(lenses.matrices(books, period, customers)["customer_id"]) == {"A", "B", "C"}
    assert lenses.axes(books, period, customers)["value_now"].to_dict() == {"A": 1.0, "B": 0.5, "C": 0.0}


def test_lenses_place_every_buyer_and_disagree_with_reasons(sample: Books, decided: pd.DataFrame) -> None:
    period = sample.period("2025")
    placed = lenses.matrices(sample, period, decided)
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


def test_a_period_of_which_there_is_nothing_is_refused_with_the_months_that_have_something(make_books: Make) -> None:
    books = make_books(FAMILY)
    books.refuse_empty(books.period("2024-01"))
    with pytest.raises(
        SettingsError, match=r"nothing to report for 2024-03: no sales and no costs of a known customer; 2024-01 to"
    ):
        books.refuse_empty(books.period("2024-03"))


def test_a_condition_that_nobody_can_fulfil_is_told(make_books: Make) -> None:
    books = make_books(FAMILY)
    put(books, {"rules": [rule("A", "customer_name is Nobody"), rule("B", "cost_to_serve_share > 0"), rule("C")]})
    rules, register = segments.read_segments(books), criteria.read_criteria(books)
    table = segments.compared(books, books.period("2024"), rules, register)
    assert segments.without_effect(table, rules) == ["customer_name is Nobody", "cost to serve of sales"]


def test_what_rules_ask_of_customers_and_none_has_is_told_with_the_nearest(make_books: Make) -> None:
    books = make_books(FAMILY)
    put(
        books,
        {
            "rules": [
                rule("A", "customer_name is Cle"),
                rule("B", "customer_name is Cole"),
                rule("C", "state is lost"),
                rule("D"),
            ]
        },
    )
    assert segments.texts_of_nobody(books) == ["no customer has customer_name 'Cle'; did you mean 'Cole'?"]


def test_a_text_asked_of_a_column_of_numbers_or_days_is_told_and_never_held(make_books: Make) -> None:
    customers = "customer_id, customer_name, payment_terms_days, customer_since\nA, Adler, 30, 2020-01-01\nB, Birch, 14, 2021-01-01"
    books = make_books({"customers": customers})
    put(books, {"rules": [rule("A", "payment_terms_days is 30"), rule("B", "customer_since is 2020"), rule("C")]})
    told = ["no customer has payment_terms_days '30' as a text", "no customer has customer_since '2020' as a text"]
    assert segments.texts_of_nobody(books) == told


# --- equals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [([0.9, 0.8, 0.7, *[0.1] * 17], 2), ([0.9, *[0.8] * 3, *[0.1] * 16], 4), ([*[0.8] * 4, *[0.1] * 8], 4), ([0.9, *[0.1] * 19], 1),
     ([0.5] * 250, 0), ([0.5], 1), ([0.5, 0.5], 0), ([0.9, 0.1], 1)],
)  # fmt: skip
def test_equals_at_the_edge_of_the_top_group_are_all_in_or_where_most_would_be_all_out(
    scores: list[float], chosen: int
) -> None:
    score = pd.Series(scores, index=[f"K{i:03}" for i in range(len(scores))]).sample(frac=1, random_state=0)
    top = criteria.top_group(score, 0.10)
    assert top.sum() == chosen
    assert top.groupby(score).nunique().eq(1).all()
    assert criteria.top_group(score + 1e-15, 0.10).equals(top)


def test_who_has_no_score_is_in_no_top_group_of_equals() -> None:
    assert criteria.top_group(pd.Series([np.nan, 0.4, np.nan, np.nan]), 0.10).tolist() == [False, True, False, False]
    assert not criteria.top_group(pd.Series([np.nan, np.nan]), 0.10).any()


def test_equals_stay_in_the_top_group_by_the_same_share_of_weightings() -> None:
    points = pd.DataFrame({"a": [1.0] * 3 + [0.2] * 9, "b": [0.3] * 3 + [0.4] * 9}, index=list("ABCDEFGHIJKL"))
    weight = pd.Series({"a": 0.5, "b": 0.5})
    stays = criteria.stays_in_top(points, weight, top_share=0.1, seed=0)
    assert stays.groupby(points["a"]).nunique().eq(1).all()
    assert stays["A"] > 0.9
    changes = criteria.smallest_changes(points, weight, top_share=0.1)
    assert set(changes["leaves"]) <= {"", "A, B, C"}


def test_the_reason_of_equals_names_nobody_below_them() -> None:
    rules = judgement.Rules.model_validate({"rules": [rule("All", "net_margin_rank_share >= 0"), rule("Rest")]})
    equal = segments.assigned(table(sales=[9.0] * 3, net_margin=[5.0] * 3), rules)["reason"]
    assert equal.tolist() == ["rule All (net margin no higher than any other customer's)"] * 3
    made = segments.assigned(table(sales=[9.0] * 5, net_margin=[7.0, 7.0, 5.0, 5.0, 1.0]), rules)["reason"]
    assert [text.removeprefix("rule All (net margin ") for text in made] == [
        *["higher than 75% of customers)"] * 2, *["higher than 25% of customers)"] * 2, "no higher than any other customer's)"
    ]  # fmt: skip
    best = segments.assigned(table(sales=[9.0, 9.0], net_margin=[7.0, 5.0]), rules)["reason"]
    assert best.iloc[0] == "rule All (net margin the highest)"


def test_a_reason_speaks_of_gross_sales_where_no_cost_is_known(make_books: Make) -> None:
    rows = [f"{c}, 2024-{m:02}-10, {s}" for c, s in (("A", 100), ("B", 90)) for m in range(1, 13)]
    books = make_books({"customers": "customer_id, customer_name\nA, Adler\nB, Birch",
                        "invoice_lines": "\n".join(["customer_id, invoice_date, gross_sales", *rows])})  # fmt: skip
    reasons = " ".join(segments.differentiate(books, books.period("2024"))["reason"])
    assert "gross sales" in reasons
    assert "net margin" not in reasons


def test_a_customer_is_attractive_from_where_the_rules_say_so() -> None:
    rules = judgement.Rules.model_validate({"rules": [
        rule("Core", "score_rank_share >= 0.3"), rule("Mend", "score_rank_share >= 0.6", stance="change"), rule("Rest", stance="change")]})  # fmt: skip
    assert segments.attractive_from(rules) == 0.6
    assert segments.attractive_from(judgement.Rules.model_validate({"rules": [rule("Rest")]})) == 0.5


def test_the_matrix_is_cut_at_zero_margin_and_not_at_a_rank() -> None:
    rules = judgement.Rules.model_validate({"rules": [rule("Mend", "score_rank_share >= 0.5", stance="change"), rule("Rest")]})  # fmt: skip
    points = table(sales=[9.0, 9, 9, 9, 0], net_margin=[-2.0, 0, 5, -1, -9], score=[0.9, 0.5, 0.8, 0.1, np.nan])
    matrix = segments.score_and_margin(points.assign(customer_name=list("ABCDE")), rules)
    assert matrix["place_by_margin"].to_dict() == {"A": -1.5, "B": 0.5, "C": 1.5, "D": -0.5}
    assert matrix.index[matrix["mend"]].tolist() == ["A"]
    for sign, side in ((-1.0, 0), (1.0, 4)):
        alike = table(sales=[9.0] * 4, net_margin=[sign] * 4, score=[0.5] * 4).assign(customer_name=list("ABCD"))
        assert (segments.score_and_margin(alike, rules)["place_by_margin"] >= 0).sum() == side


def test_segments_without_customers_are_no_row_and_the_highest_margin_stands_first() -> None:
    rules = judgement.Rules.model_validate(
        {"rules": [rule("Large", "sales > 5"), rule("None", "sales > 9"), rule("Rest")]}
    )
    made = segments.assigned(table(sales=[1.0, 9.0, 2.0], net_margin=[1.0, 2.0, 3.0]), rules)
    rows = segments.segment_table(made)
    assert rows.index.tolist() == ["Rest", "Large"]
    assert rows["customers"].tolist() == [2, 1]
    assert rows["net_margin"].tolist() == [4, 2]


def test_a_list_that_many_came_to_is_unsteady_unless_the_rules_hold_those_who_were_on_it() -> None:
    now, before = (pd.DataFrame({"account_id": ["A", "B"], "key": [True, b], "state": "core"}) for b in (True, False))
    rules = judgement.Rules.model_validate({"rules": [rule("rest")]})
    steady = [segments.key_stability(now, before, r) for r in (rules, rules.model_copy(update={"hold": 0.1}))]
    assert [(each["came_share"], each["unsteady_share"]) for each in steady] == [(0.5, 0.5), (0.5, 0)]
    assert dict(steady[0][["key", "stayed", "came", "new", "went"]]) == {
        "key": 2,
        "stayed": 1,
        "came": 1,
        "new": 0,
        "went": 0,
    }
