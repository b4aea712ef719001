"""Criteria: the judgement files, measures, points, scores, and how far the ranking hangs on the weights."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crmlib import accounts, criteria, profitability, segments
from crmlib.books.stored import Books
from crmlib.declared import judgement
from crmlib.declared.reading import DECLARED, PROJECT, DataRejected, SettingsError
from crmlib.run.new import judgement_templates, write_template

Make = Callable[..., Books]
JUDGED = [
    {"id": "volume", "label": "Volume", "weight": 3, "source": "sales"},
    {"id": "fit", "label": "Fit", "weight": 1, "source": "judged"},
]
FOUR = {
    "customers": "customer_id, customer_name\nA, Adler\nB, Birch\nC, Cole\nD, Dorn",
    "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nB, 2024-02-10, 50\nC, 2024-03-01, 9000",
}


def put(books: Books, file: str, content: object) -> None:
    folder = books.engagement.folder / "judgement"
    folder.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (folder / file).write_text(text, encoding="utf-8")


def register(*records: dict[str, object], **given_: object) -> judgement.Register:
    return judgement.Register.model_validate({"criteria": list(records), **given_})


# --- judgement files -------------------------------------------------------------------------------------------------


def test_all_mistakes_of_the_ratings_are_told_at_once_with_row_column_and_way_out(make_books: Make) -> None:
    books = make_books(FOUR)
    put(books, "criteria.yml", {"criteria": JUDGED})
    put(books, "ratings.csv", "customer_id,criterion,rater,date,rating\nA,fit,Ann,2024-01-31,4\nZ,fit,Ann,2024-01-31,4\nA,volume,Ann,31.01.2024,3\n"
        "B,fit,,2024-01-31,9\nC,fit,Bob,2024-01-31,\nA,fit,Ann,2024-01-31,5\n")  # fmt: skip
    with pytest.raises(SettingsError) as told:
        criteria.read_ratings(books, criteria.read_criteria(books))
    text = str(told.value)
    assert "judgement/ratings.csv has 7 mistake(s)" in text
    assert "row 3, customer_id: 'Z': no such customer; write a customer_id of the ledger" in text
    assert "row 4, criterion: 'volume': allowed: fit" in text
    assert "row 4, date: '31.01.2024': write the date as 2025-11-30" in text
    assert "row 5, rater: ''" in text
    assert "row 5, rating: '9': a number on the criterion's scale" in text
    assert text.count("rated the same twice on one day") == 2


def test_ratings_without_a_column_or_with_uneven_rows_are_refused(make_books: Make) -> None:
    books = make_books(FOUR)
    put(books, "ratings.csv", "customer_id,criterion,rater,date\n")
    with pytest.raises(SettingsError, match="row 1: column rating is missing"):
        criteria.read_ratings(books, criteria.read_criteria(books))
    put(books, "ratings.csv", "customer_id,criterion,rater,date,rating\nA,growth_potential,Smith, J.,2024-01-01,3\n")
    with pytest.raises(SettingsError, match="row 2: 6 values under 5 columns"):
        criteria.read_ratings(books, criteria.read_criteria(books))


def test_all_mistakes_of_the_register_are_told_at_once(make_books: Make) -> None:
    books = make_books(FOUR)
    wrong = [
        {"id": "volume", "label": "Volume", "weight": -1, "source": "sales"},
        {"id": "pull", "label": "Pull", "weight": 1, "source": "net_margn"},
        {"id": "fit", "label": "Fit", "weight": 1, "source": "judged", "direction": "up", "wieght": 2},
        {"id": "tech", "label": "Tech", "weight": 1, "source": "judged", "scale": [5, 1]},
    ]
    put(books, "criteria.yml", {"criteria": wrong})
    with pytest.raises(SettingsError) as told:
        criteria.read_criteria(books)
    text = str(told.value)
    assert "has 5 mistake(s)" in text
    assert "criteria[0] (volume).weight: should be greater than or equal to 0 (found -1)" in text
    assert (
        "criteria[1] (pull): source 'net_margn' is no measure and no column of customers; allowed: judged, sales"
        in text
    )
    assert "; did you mean 'net_margin'?" in text
    assert "criteria[2] (fit).direction: should be 'higher' or 'lower' (found 'up')" in text
    assert "criteria[2] (fit).wieght: unknown key; allowed: id, label, weight, " in text
    assert "; did you mean 'weight'?" in text
    assert "criteria[3] (tech): scale [5.0, 1.0] must rise" in text


def test_a_register_names_known_things_only(make_books: Make) -> None:
    books = make_books(FOUR)
    put(books, "criteria.yml", {"criteria": [{**JUDGED[0], "source": "customer_name"}], "other_axis": "profit"})
    with pytest.raises(
        SettingsError,
        match=r"(?s)2 mistake.*customer_name holds '.*', no number.*'profit' is no criterion; allowed: volume",
    ):
        criteria.read_criteria(books)
    put(books, "criteria.yml", {"criteria": [JUDGED[0], JUDGED[0]]})
    with pytest.raises(SettingsError, match="id volume stands twice"):
        criteria.read_criteria(books)


def test_the_strategy_names_groups_that_there_are(make_books: Make) -> None:
    books = make_books({"customers": "customer_id, customer_name, region\nA, Adler, North\nB, Birch, South"})
    put(
        books,
        "strategy.yml",
        {
            "goals": [
                {"text": "The East earns", "measure": "net_margin", "target": 0, "by": "region", "group": "East"}
            ],
            "markets": [{"by": "region", "group": "East", "stance": "grow"}, {"group": "Shops", "stance": "hold"}],
        },
    )
    with pytest.raises(
        SettingsError,
        match=r"(?s)3 mistake.*goals\[0\].group: no customer.*markets\[0\].group: no customer has region 'East'; there are North, South.*no column 'account_type'",
    ):
        criteria.read_strategy(books)


def test_without_files_the_workbooks_own_register_holds_and_nobody_has_rated(make_books: Make) -> None:
    books = make_books(FOUR)
    read = criteria.read_criteria(books)
    assert len(read.criteria) >= 12
    assert criteria.read_ratings(books, read).empty
    assert criteria.read_strategy(books).markets == ()


def test_templates_are_read_without_a_mistake(make_books: Make) -> None:
    books = make_books(FOUR)
    for name, text in judgement_templates().items():
        put(books, name, text)
    read = criteria.read_criteria(books)
    assert criteria.read_ratings(books, read).empty
    assert criteria.read_strategy(books).goals == ()
    assert set(judgement_templates()) == {
        "strategy.yml",
        "ratings.csv",
        "criteria.yml",
        "segments.yml",
        "opportunities.csv",
        "functions.yml",
        "teams.csv",
        "plan.csv",
        "process.csv",
        "menu.csv",
        "menu_levels.csv",
        "agreements.yml",
        "capital.yml",
        "metrics.yml",
        "gain_sharing.yml",
    }


def test_a_goal_is_measured_by_what_the_books_can_tell(make_books: Make) -> None:
    books = make_books(FOUR)
    put(books, "strategy.yml", {"goals": [{"text": "More", "measure": "market_share", "target": 0.3}]})
    with pytest.raises(SettingsError, match=r"goals\[0\].measure: .*'net_margin_share'.*market_share"):
        criteria.read_strategy(books)


def test_crm_new_writes_the_judgement_files(tmp_path: Path) -> None:
    write_template(tmp_path / "new")
    for name, text in judgement_templates().items():
        assert (tmp_path / "new" / "judgement" / name).read_text(encoding="utf-8") == text


def test_the_samples_files_are_what_the_generator_writes(
    sample: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "data"))
    import judgement

    ledger = PROJECT / "data" / "sample" / "ledger"
    tables = [
        pd.read_csv(ledger / f"{name}.csv", dtype=str, keep_default_na=False) for name in ("customers", "invoice_lines")
    ]
    judgement.write_judgement(tmp_path, *tables, seed=0)
    for file in sorted(tmp_path.iterdir()):
        assert file.read_bytes() == (PROJECT / "data" / "sample" / "judgement" / file.name).read_bytes(), file.name
    ratings = criteria.read_ratings(sample, criteria.read_criteria(sample))
    assert ratings["rater"].nunique() >= 4
    assert ratings["rating"].isna().sum() > 100
    assert criteria.read_strategy(sample).markets


# --- measures --------------------------------------------------------------------------------------------------------


def test_measures_agree_with_the_profitability_report_to_the_cent(sample: Books) -> None:
    period = sample.period("2025")
    measured = accounts.measures(sample, period)
    report = profitability.customer_profitability(sample, period).set_index("customer_id")
    margin = report[sample.statement_in(period).net_margin.id].drop("")
    assert len(measured) == len(sample.customers)
    assert (measured["net_margin"].reindex(margin.index) - margin.astype(float)).abs().max() < 0.005
    assert measured["sales"].sum() == pytest.approx(float(report["sales"].drop("").sum()), abs=0.005)
    placed = profitability.net_price_and_cost_to_serve(sample, report.reset_index(), period).set_index("customer_id")
    assert (
        measured["cost_to_serve_share"].reindex(placed.index) - placed["cost_to_serve_share"].astype(float)
    ).abs().max() < 1e-9
    assert measured.at["C301", "growth_share"] == pytest.approx(0.92, abs=0.005)  # data/README.md: +92 %
    assert measured.at["C266", "growth_share"] == pytest.approx(-0.23, abs=0.005)


def test_growth_of_a_newcomer_counts_comparable_months_or_is_missing(make_books: Make) -> None:
    lines = [{"customer_id": c, "invoice_date": f"{y}-{m:02d}-05", "gross_sales": a} for c, first, a in (("OLD", 1, 10), ("MID", 5, 10), ("NEW", 11, 10))
             for y in (2023, 2024) for m in range(1, 13) if y == 2024 or m >= first]  # fmt: skip
    customers = "customer_id, customer_name\nOLD, Old\nMID, Mid\nNEW, New"
    books = make_books(
        {"customers": customers, "invoice_lines": lines}, coverage={"start": "2023-01", "end": "2024-12"}
    )
    growth = accounts.measures(books, books.period("2024"))["growth_share"]
    assert growth["OLD"] == growth["MID"] == 0  # not +50 %: MID began in May
    assert np.isnan(growth["NEW"])
    assert "growth_share" not in accounts.measures(books, books.period("2023"))


def test_a_family_kept_together_is_the_sum_of_its_members(make_books: Make) -> None:
    books = make_books({
        "customers": "customer_id, customer_name, parent_id\nP, Parent,\nA, Adler, P\nB, Birch, A\nC, Cole,",
        "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nB, 2024-02-10, 50\nC, 2024-02-10, 7",
    })  # fmt: skip
    period = books.period("2024")
    apart, together = (accounts.measures(books, period, together=t) for t in (False, True))
    assert list(together.index) == ["C", "P"]
    assert together.at["P", "sales"] == 150
    assert together.at["P", "active_months_share"] == pytest.approx(2 / 12)
    assert apart.at["P", "sales"] == 0
    assert np.isnan(apart.at["P", "net_margin_share"])


def test_an_account_that_stopped_buying_has_lost_all_its_sales_and_one_that_never_bought_has_no_growth(
    make_books: Make,
) -> None:
    lines = "customer_id, invoice_date, gross_sales\nGONE, 2023-03-05, 10\nLESS, 2023-03-05, 10\nLESS, 2024-03-05, 4"
    books = make_books(
        {"customers": "customer_id, customer_name\nGONE, Gone\nLESS, Less\nNONE, None", "invoice_lines": lines},
        coverage={"start": "2023-01", "end": "2024-12"},
    )
    measured = accounts.measures(books, books.period("2024"))
    assert measured["growth_share"].iloc[:2].tolist() == [-1, -0.6]  # the year before begins with the relationship
    assert measured["sales"].tolist() == [0, 4, 0]
    assert measured["active_months_share"].tolist() == [0, 1 / 12, 0]
    assert np.isnan(measured.at["NONE", "growth_share"])


# --- points and scores -----------------------------------------------------------------------------------------------


def test_four_customers_scored_by_hand(make_books: Make) -> None:
    books = make_books(FOUR)
    put(books, "criteria.yml", {"criteria": JUDGED})
    put(books, "ratings.csv", "customer_id,criterion,rater,date,rating\nA,fit,Ann,2024-01-31,4\nA,fit,Ann,2024-06-30,5\nA,fit,Bob,2024-06-30,4\nB,fit,Ann,2024-06-30,\n"
        "C,fit,Ann,2024-06-30,1\nC,fit,Bob,2026-06-30,5\n")  # fmt: skip
    read = criteria.read_criteria(books)
    period, ratings = books.period("2024"), criteria.read_ratings(books, read)
    points = criteria.points(
        accounts.measures(books, period),
        criteria.judged(ratings, accounts.accounts(books, together=False), period),
        read,
    )
    # sales 100, 50, 9000 → ranks 0.5, 0, 1; A's latest ratings 5 and 4 → 4.5 on 1 to 5 is 0.875; B's is blank; Bob's of C comes after the period
    assert points.to_dict("index")["A"] == {"volume": 0.5, "fit": 0.875}
    assert list(points.index) == ["A", "B", "C"]  # D bought nothing
    weight = criteria.weights(read, points)
    assert weight.to_dict() == {"volume": 0.75, "fit": 0.25}
    assert criteria.scores(points, weight).to_dict() == {"A": 0.59375, "B": 0.0, "C": 0.75}
    assert criteria.register_table(read, points, weight).loc["fit", ["with_value", "missing"]].tolist() == [2, 1]


def test_what_is_missing_is_left_out_of_the_weights_and_never_zero() -> None:
    points = pd.DataFrame({"a": [0.8, 0.8, np.nan], "b": [0.4, np.nan, np.nan]}, index=["X", "Y", "Z"])
    weight = pd.Series({"a": 0.5, "b": 0.5})
    score = criteria.scores(points, weight)
    assert score["X"] == pytest.approx(0.6)
    assert score["Y"] == 0.8
    assert np.isnan(score["Z"])
    assert criteria.contributions(points, weight).loc["X"].tolist() == pytest.approx([0.4, 0.2])


def test_a_score_without_the_other_axis_does_not_hang_on_profitability(sample: Books) -> None:
    read = criteria.read_criteria(sample)
    points = criteria.points(accounts.measures(sample, sample.period("2025")), pd.DataFrame(), read)
    weight = criteria.weights(read, points, without=[read.other_axis])
    assert "profitability" not in weight
    assert weight.sum() == pytest.approx(1)
    shuffled = points.assign(profitability=points["profitability"].to_numpy()[::-1])
    assert criteria.scores(shuffled, weight).equals(criteria.scores(points, weight))


@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=30))
def test_ranks_do_not_change_when_a_measure_is_stretched(values: list[int]) -> None:
    series = pd.Series(values, dtype=float)
    every = pd.Series(True, index=series.index)
    ranks = accounts.rank_share(series, every)
    assert ranks.equals(accounts.rank_share(np.sign(series) * series.abs() ** 3, every))
    assert ranks.between(0, 1).all()


def test_points_of_a_column_of_customers_lie_on_its_own_scale(make_books: Make) -> None:
    books = make_books({"customers": "customer_id, customer_name, channel\nA, Adler, Shop\nB, Birch, Web"})
    read = register(
        {
            "id": "channel",
            "label": "Channel",
            "weight": 1,
            "source": "channel",
            "values": {"Shop": 2, "Web": 6, "Fair": 4},
        }
    )
    measured = accounts.measures(books, books.period("2024")).assign(channel=["Shop", "Fair"])
    assert criteria.points(measured, pd.DataFrame(), read)["channel"].tolist() == [0, 0.5]


def test_krippendorffs_alpha_as_published() -> None:
    """Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), data of example D: interval 0.849."""
    said = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."]
    cells = [(float(v), unit) for line in said for unit, v in enumerate(line.split()) if v != "."]
    values, units = pd.Series([c[0] for c in cells]), pd.Series([c[1] for c in cells])
    assert criteria.krippendorff_alpha(values, units) == pytest.approx(0.849, abs=0.0005)


def test_agreement_of_two_raters_by_hand() -> None:
    rows = [
        ("A", "Ann", 4.0),
        ("A", "Bob", 2.0),
        ("B", "Ann", 3.0),
        ("B", "Bob", 3.0),
        ("C", "Ann", 5.0),
        ("C", "Bob", None),
    ]
    ratings = pd.DataFrame(
        [{"customer_id": c, "criterion": "fit", "rater": r, "date": date(2024, 1, 1), "rating": v} for c, r, v in rows]
    )
    told = criteria.agreement(ratings).loc["fit"]
    assert (told["ratings"], told["blank"], told["mean_difference"], told["within_one_share"]) == (5, 1, 1.0, 0.5)
    assert np.isnan(told["alpha"])  # two pairs do not tell agreement from chance
    many = pd.concat(
        [ratings.assign(customer_id=ratings["customer_id"] + str(place)) for place in range(3)], ignore_index=True
    )
    assert np.isfinite(criteria.agreement(many).at["fit", "alpha"])


def test_without_ratings_agreement_is_an_empty_table() -> None:
    nothing = pd.DataFrame(columns=["customer_id", "criterion", "rater", "date", "rating"])
    told = criteria.agreement(nothing[nothing["date"] < date(2024, 1, 1)])
    assert told.empty
    assert list(told)[-1] == "alpha"


def test_the_register_stands_heaviest_first_and_says_why_a_criterion_does_not_count() -> None:
    sources = {"a": "sales", "b": "net_margin", "c": "orders", "d": "judged", "e": "growth_share"}
    records = [{"id": i, "label": i.upper(), "weight": w, "source": s} for (i, s), w in zip(sources.items(), (1, 3, 1, 1, 0), strict=True)]  # fmt: skip
    read = register(*records, other_axis="c")
    known = pd.DataFrame({i: [0.5, 1.0] for i in "abce"})
    table = criteria.register_table(read, known, criteria.weights(read, known, without=["c"]))
    assert table.index.tolist()[:2] == ["b", "a"]
    assert table["outside_the_score"].to_dict() == {"b": "", "a": "", "c": "stands on the other axis", "d": "no value in these books",
                                                    "e": "no weight"}  # fmt: skip


def test_only_pairs_that_could_be_compared_are_pairs() -> None:
    points = pd.DataFrame(
        {"a": range(10), "b": [*range(9), np.nan], "c": [1] * 10, "d": [3, 0, 9, 2, 5, 1, 8, 4, 7, 6]}
    )
    assert criteria.correlated_pairs(points)[["first", "second"]].to_dict("records") == [{"first": "a", "second": "d"}]
    assert criteria.correlated_pairs(points.head(9)).empty


def test_names_stand_for_the_accounts_that_enter_and_leave() -> None:
    listed = pd.DataFrame({"enters": ["A, B", ""], "leaves": ["", "C"]})
    names = pd.Series({"A": "Adler", "B": "Birch", "C": "Cole"})
    assert criteria.names_of(listed, names).to_numpy().tolist() == [["Adler, Birch", "nobody"], ["nobody", "Cole"]]


def test_collinear_criteria_are_pointed_out() -> None:
    points = pd.DataFrame({"a": range(10), "b": range(10, 0, -1), "c": [3, 0, 9, 2, 5, 1, 8, 4, 7, 6]})
    assert criteria.collinear(points).to_dict("records") == [{"first": "a", "second": "b", "rho": -1.0}]
    assert criteria.collinear(points.head(9)).empty, "nine customers are too few to tell"


def test_ratings_that_excel_saved_otherwise_say_how_to_save_them(make_books: Make) -> None:
    books = make_books(FOUR)
    put(books, "ratings.csv", "customer_id;criterion;rater;date;rating\nA;fit;Ann;2024-01-31;4\n")
    with pytest.raises(SettingsError, match="set apart by semicolons; save it with commas"):
        criteria.read_ratings(books, criteria.read_criteria(books))
    text = "customer_id,criterion,rater,date,rating\nA,fit,J\u00f6rg,2024-01-31,4\n"
    (books.engagement.folder / "judgement" / "ratings.csv").write_bytes(text.encode("cp1252"))
    with pytest.raises(SettingsError, match="row 2: not UTF-8; save it as"):
        criteria.read_ratings(books, criteria.read_criteria(books))


def test_what_the_books_do_not_hold_is_no_measure(make_books: Make) -> None:
    books = make_books(FOUR)
    measured = accounts.measures(books, books.period("2024"))
    assert {"sales", "net_margin"} <= set(measured)
    assert not {"cost_to_serve_share", "margin_level_share", "discount_share"} & set(measured)


def test_without_any_source_the_weights_say_what_to_do() -> None:
    read = register({"id": "fit", "label": "Fit", "weight": 1, "source": "judged"})
    with pytest.raises(SettingsError, match="give one a weight"):
        criteria.weights(read, pd.DataFrame({"volume": [1.0]}))


BANKS = {
    "customers": "customer_id, customer_name, bank, opened\nA, Adler, Iron, 1990\nB, Birch, Brass, 2010\nC, Cole, Iron, ",
    "invoice_lines": FOUR["invoice_lines"],
}
OWN = {"customers": {"columns": {"bank": "bank", "opened": "opened"}}}
BY_BANK = [
    {"id": "bank", "label": "Bank", "weight": 3, "source": "bank", "values": {"Iron": 1, "Brass": 5}},
    {"id": "age", "label": "Years open", "weight": 1, "source": "opened", "direction": "lower"},
]


def test_a_mapped_column_of_customers_is_an_attribute_with_points_or_ranked_as_a_number(make_books: Make) -> None:
    books = make_books(BANKS, tables=OWN)
    put(books, "criteria.yml", {"criteria": BY_BANK})
    read = criteria.read_criteria(books)
    points = criteria.points(accounts.measures(books, books.period("2024")), pd.DataFrame(), read)
    assert points.loc["A"].to_dict() == {"bank": 0.0, "age": 1.0}
    assert points.loc["B"].to_dict() == {"bank": 1.0, "age": 0.0}
    assert np.isnan(points.at["C", "age"])


def test_an_attribute_may_not_have_the_name_of_a_measure_or_a_result(make_books: Make) -> None:
    odd = dict.fromkeys(("tenure_years", "score"), "bank")
    books = make_books(BANKS, tables={"customers": {"columns": odd}})
    with pytest.raises(SettingsError, match=r"customers.tenure_years: has the name of a measure; map it under another"):
        criteria.read_criteria(books)
    with pytest.raises(SettingsError, match=r"customers.score: has the name of a result; map it under another"):
        segments.read_segments(books)


@pytest.mark.parametrize("name", ["owner", "month", "orders", "Bank"])
def test_an_attribute_may_not_have_the_name_of_a_column_of_the_roll_up(make_books: Make, name: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"tables: customers\.columns\.{name} (is a word of|must be small letters)"
    ):
        make_books(BANKS, tables={"customers": {"columns": {name: "bank"}}})


def test_an_attribute_may_not_have_the_name_of_a_line(make_books: Make) -> None:
    with pytest.raises(DataRejected) as told:
        make_books(BANKS, tables={"customers": {"columns": {"salaries": "bank"}}})
    assert told.value.findings.query("verdict == 'reject'")["code"].tolist() == ["mapping-unknown"]


def test_who_is_known_too_little_has_no_score_and_is_in_no_top_group(make_books: Make) -> None:
    books = make_books(FOUR)
    put(books, "criteria.yml", {"criteria": [JUDGED[0], {**JUDGED[1], "weight": 4}], "top_share": 0.5})
    put(
        books,
        "ratings.csv",
        "customer_id,criterion,rater,date,rating\nA,fit,Ann,2024-01-31,2\nB,fit,Ann,2024-01-31,1\n",
    )
    table = segments.compared(books, books.period("2024"), segments.read_segments(books), criteria.read_criteria(books))
    assert table["score"].notna().to_dict() == {"A": True, "B": True, "C": False, "D": False}
    assert table["top_group"].to_dict() == {"A": 1.0, "B": 0.0, "C": 0.0, "D": 0.0}
    weight = pd.Series({"fit": 1.0})
    with pytest.raises(SettingsError, match="of no customer is 50% of the weight known; rate more, or lower"):
        criteria.scorable_accounts(pd.DataFrame({"fit": [np.nan]}), weight, 0.5)


def test_who_has_no_value_of_any_criterion_has_no_score_where_others_have_the_one_of_what_is_there() -> None:
    points = pd.DataFrame({"fit": [0.5, np.nan, np.nan], "size": [np.nan, 1.0, np.nan]}, index=list("ABC"))
    score = criteria.scores(points, pd.Series({"fit": 0.75, "size": 0.25}))
    assert score[["A", "B"]].tolist() == [0.5, 1.0]
    assert np.isnan(score["C"])


# --- how far it hangs on the weights ---------------------------------------------------------------------------------


def random_points(seed: int, rows: int = 40) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    points = pd.DataFrame(rng.random((rows, 4)), columns=list("abcd"), index=[f"K{i:03d}" for i in range(rows)])
    points = points.mask(rng.random(points.shape) < 0.2)
    return points, pd.Series(rng.dirichlet([5, 5, 5, 5]), index=list("abcd"))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("filtered", [False, True])
def test_the_smallest_change_of_a_weight_is_what_a_fine_grid_finds(seed: int, filtered: bool) -> None:
    points, weight = random_points(seed)
    eligible = (
        pd.Series(np.arange(len(points)) % 3 > 0, index=points.index)
        if filtered
        else pd.Series(True, index=points.index)
    )
    found = criteria.smallest_changes(points, weight, top_share=0.1, eligible=eligible)

    def listed(criterion: str, t: float) -> set[str]:
        moved = weight.drop(criterion) * (1 - t) / (1 - weight[criterion])
        top = criteria.top_group(
            criteria.scores(points, pd.concat([moved, pd.Series({criterion: t})])[weight.index]), 0.1
        )
        return set(points.index[top & eligible])

    for name, row in found.iterrows():
        now = listed(name, weight[name])
        steps = [t for t in np.arange(0.0005, 1, 0.01) if listed(name, t) != now]
        if row["changed_weight"] is None or np.isnan(row["changed_weight"]):
            assert not steps
            continue
        assert min(abs(t - weight[name]) for t in steps) >= abs(row["change"]) - 1e-6
        beyond = listed(name, row["changed_weight"] + np.sign(row["change"]) * 1e-6)
        assert beyond != now
        assert listed(name, row["changed_weight"] - np.sign(row["change"]) * 1e-6) == now
        assert set(filter(None, row["enters"].split(", "))) == beyond - now
        assert set(filter(None, row["leaves"].split(", "))) == now - beyond


def test_random_weightings_hold_the_same_number_and_come_out_the_same() -> None:
    points, weight = random_points(1)
    held = criteria.stays_in_top(points, weight, top_share=0.1, seed=0)
    assert held.sum() == pytest.approx(4)
    assert held.between(0, 1).all()
    assert held.equals(criteria.stays_in_top(points, weight, top_share=0.1, seed=0))
    assert not held.equals(criteria.stays_in_top(points, weight, top_share=0.1, seed=1))
    best = points.assign(a=1.0, b=1.0, c=1.0, d=1.0).iloc[:1].rename(index={"K000": "BEST"})
    assert criteria.stays_in_top(pd.concat([points, best]), weight, top_share=0.1, seed=0)["BEST"] == 1


def test_the_order_of_customers_does_not_matter() -> None:
    points, weight = random_points(2)
    turned = points.iloc[::-1]
    assert (
        criteria.top_group(criteria.scores(turned, weight), 0.1)
        .sort_index()
        .equals(criteria.top_group(criteria.scores(points, weight), 0.1).sort_index())
    )
    assert criteria.smallest_changes(turned, weight, top_share=0.1).equals(
        criteria.smallest_changes(points, weight, top_share=0.1)
    )
    assert (
        criteria.stays_in_top(turned, weight, top_share=0.1, seed=0)
        .sort_index()
        .equals(criteria.stays_in_top(points, weight, top_share=0.1, seed=0).sort_index())
    )


def test_the_packaged_register_has_lamberts_twelve_criteria() -> None:
    labels = {c["id"] for c in yaml.safe_load((DECLARED / "criteria.yml").read_text(encoding="utf-8"))["criteria"]}
    assert labels >= {"profitability", "growth_potential", "volume", "competitive_position", "market_knowledge", "market_share_goals", "margin_level",
                      "technology", "resources", "strategy_fit", "channel", "buying_behaviour"}  # fmt: skip
