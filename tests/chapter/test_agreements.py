"""What is offered and agreed: each file's mistakes told with the way out; what options cost, to the cent."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crmlib import agreements, assignment, clauses, menu, segments
from crmlib.books.stored import Books
from crmlib.declared.agreements import Level, Option
from crmlib.declared.reading import SettingsError

Make = Callable[..., Books]
DAY = timedelta(days=1)
MENU = ",".join(Option.model_fields)
LEVELS = ",".join(Level.model_fields)


def put(books: Books, **files: str) -> Books:
    """The books with judgement files, named by their stem; menus are rows below the header."""
    folder = books.engagement.folder / "judgement"
    folder.mkdir(exist_ok=True)
    heads = {"menu": MENU, "menu_levels": LEVELS}
    for stem, text in files.items():
        end = "csv" if stem in heads else "yml"
        (folder / f"{stem}.{end}").write_text("\n".join([heads[stem], text]) if stem in heads else text, "utf-8")
    return books


def option(name: str = "visit", **given: Any) -> str:
    """A row of menu.csv."""
    plain = {"option": name, "name": name.title(), "kind": "service", "process": "order fulfilment", "line": "salaries", "per": "month",
             "unit": "visit", "unit_cost": "" if "activity" in given else "10"}  # fmt: skip
    return ",".join(str((plain | given).get(column, "")) for column in Option.model_fields)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (option(per="unit"), "row 2, per: 'unit': the ledger has no such per; there are invoice_line, net_sales, month, year"),
        (option(kind="servise"), "row 2, kind: 'servise': service or product"),
        (option(process="logistics"), "row 2, process: 'logistics': the process that delivers it: customer relationship"),
        (option(unit_cost=""), "row 2, unit_cost: '': give an activity of the ledger or a unit cost, and not both"),
        (option(unit_cost="ten"), "row 2, unit_cost: 'ten': a number of zero or more, or blank"),
        (option(line="salary"), "row 2, line: 'salary': the ledger has no such line; there are .*did you mean 'salaries'"),
        (option(activity="rush"), "row 2, activity: 'rush': the ledger has no such activity; there are none"),
        (option(uplift="0.1"), "row 2, uplift: '0.1': give uplift_on with uplift_low, uplift and uplift_high"),
        (option(uplift_on="sales", uplift_low="0.3", uplift="0.1", uplift_high="0.2"), "row 2, uplift: '0.1': give uplift_on"),
        (option(target="0.9"), "row 2, target: '0.9': a target needs its measure"),
        (option(penalty="2"), "row 2, penalty: '2': a share from 0 to 1"),
        (option() + "\n" + option(), "row 3, option: 'visit': stands here twice; keep one row"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_menu_is_told_with_row_column_value_and_way_out(make_books: Make, row: str, told: str) -> None:
    with pytest.raises(SettingsError, match=rf"judgement/menu.csv has \d mistake[\s\S]*{told}"):
        menu.read_menu(put(make_books(), menu=row))


def test_a_measure_may_be_promised_of_which_the_ledger_knows_no_service(make_books: Make) -> None:
    rows = [option(name, measure=f"{name} in time", target="0.9") for name in ("visit", "call")]
    read = menu.read_menu(put(make_books(), menu="\n".join(rows)))
    assert read["measure"].tolist() == ["visit in time", "call in time"]


def test_all_mistakes_of_the_levels_are_told_at_once(make_books: Make) -> None:
    books = put(
        make_books(),
        menu=option(),
        menu_levels="Core,visits,1,2,3\nCor,visit,1,2,3\nCore,visit,3,2,1\nCore,visit,0,-1,2",
    )
    with pytest.raises(SettingsError) as told:
        menu.read_levels(books, menu.read_menu(books))
    for line in (
        "row 2, option: 'visits': no such option; there are visit; did you mean 'visit'?", "row 3, segment: 'Cor': no such segment",
        "row 4, target: '2': must lie between floor and ceiling", "row 5, target: '-1': a number of zero or more",
    ):  # fmt: skip
        assert line in str(told.value)


AGREED = "agreements: [{{account: A, version: 1, valid_from: 2024-01-01, valid_to: 2024-12-31{}}}]"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (AGREED.format(", commitments: [{option: visits, level: 1}]"), r"agreements\[0\] \(A\).commitments\[0\].option: 'visits' is not known; did you mean 'visit'"),
        (AGREED.format(", segment: Core"), "give an account .* or a segment, and not both"),
        (AGREED.replace("account: A", "account: Z").format(""), r"agreements\[0\] \(Z\).account: 'Z' is not known"),
        (AGREED.replace("2024-12-31", "2023-12-31").format(""), "valid_to 2023-12-31 is before valid_from 2024-01-01"),
        (AGREED.replace("2024-01-01", "soon").format(""), r"agreements\[0\].valid_from"),
        (AGREED.format("").replace("}]", "}, {account: A, version: 2, valid_from: 2024-07-01, valid_to: 2025-12-31}]"), "version 2 begins on 2024-07-01, before version 1 ends on 2024-12-31; end that the day before"),
        (AGREED.format(", commitments: [{option: visit, level: 1, penalty: 2}]"), r"commitments\[0\].penalty: .*less than or equal to 1"),
        (AGREED.format("") + "\ntemplate: ours.docx", "template: there is no file 'ours.docx' in the folder judgement"),
        (AGREED.format("") + "\ntemplate: ../ours.docx", "template: must be the name of a .docx file"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_agreements_is_told_with_its_place(make_books: Make, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        menu.read_agreements(put(make_books(), menu=option(), agreements=text))


# --- what it costs ---------------------------------------------------------------------------------------------------

LINES = "customer_id, invoice_date, gross_sales, order_id, quantity\n"
ORDERS = LINES + "\n".join(
    f"{c}, 2024-{m:02}-10, {s}, {c}{m}, 1" for c, s in (("A", 100), ("B", 50)) for m in range(1, 13)
)
ACTIVITIES = {
    "activity_types": "activity, line\nrush, order_processing",
    "activities": "customer_id, date, activity, quantity\nA, 2024-02-01, rush, 5\nB, 2024-08-01, rush, 1",
    "rates": "activity, valid_from, rate\nrush, 2024-01-01, 2\nrush, 2024-07-01, 3.333333",
}
ALL_CORE = "rules: [{segment: Core, when: [], because: all are, stance: keep}]"
KEY_A = "rules: [{segment: Key, when: [sales >= 1000], because: large, stance: invest, key: true}, {segment: Core, when: [], because: rest, stance: keep}]"


def opened(make_books: Make, *options: str, levels: str, tables: Any = None, **files: str) -> tuple[Books, Any, Any]:
    """Books of two customers with a menu, their segments decided, and their period."""
    books = make_books({"invoice_lines": ORDERS, **(tables or {})})
    put(books, menu="\n".join(options), menu_levels=levels, **{"segments": ALL_CORE, **files})
    period = books.period("2024")
    decided = segments.differentiate(books, period)
    return segments.with_segments(books, period, decided), period, decided


def test_a_level_costs_level_times_volume_times_the_rate_in_force_each_customer_to_the_cent(make_books: Make) -> None:
    books, period, _ = opened(
        make_books, option(activity="rush", line="order_processing"), levels="Core,visit,0,0.25,1", tables=ACTIVITIES
    )
    rows = menu.priced(books, period).set_index("customer_id")
    assert list(rows["target_cost"]) == [Decimal("10.00")] * 2  # 0.25 × 12 months × 3.333333 = 9.999999
    assert list(rows["today"]) == [5, 1]
    assert list(rows["today_cost"]) == [Decimal("10.00"), Decimal("3.33")]  # as booked: 5 × 2 and 1 × 3.333333
    guide = menu.guidelines(books, period, menu.priced(books, period)).iloc[0]
    assert (guide["target_cost"], guide["today_cost"], guide["extra"]) == (
        Decimal("20.00"),
        Decimal("13.33"),
        Decimal("6.67"),
    )


def test_what_the_margin_does_not_bear_is_refused_with_the_amount_and_what_saves_makes_room(make_books: Make) -> None:
    plenty, dear, small = (
        option("plenty", unit_cost="60"),
        option("dear", unit_cost="50"),
        option("small", unit_cost="10"),
    )
    agreed = "agreements: [{segment: Core, version: 1, valid_from: 2024-01-01, valid_to: 2025-12-31, commitments: [{option: small, level: 2}]}]"
    books, period, _ = opened(
        make_books,
        plenty,
        dear,
        small,
        levels="Core,plenty,0,1,1\nCore,dear,0,1,1\nCore,small,0,1,2",
        agreements=agreed,
    )
    guide = menu.guidelines(books, period, menu.priced(books, period)).set_index("option")
    # sales of 1,800 are the margin; small saves 240 of the 480 it costs today; plenty takes 1,440 of 2,040, and dear's 1,200 do not fit
    assert dict(guide["room"].astype(int)) == {"small": 1800, "plenty": 2040, "dear": 600}
    assert dict(guide["offered"]) == {"small": "target", "plenty": "target", "dear": "floor"}
    assert guide.at["dear", "short"] == 600


@pytest.mark.parametrize(
    ("room", "levels"),
    [
        ("100", ["1", "1", "1"]),
        ("25", ["0.50", "1", "1"]),  # the first is cut by 5 units of 10
        ("24.99", ["0.49", "1", "1"]),  # in steps that fit
        ("18", ["0.2", "0.60", "1"]),  # the first to its floor, by 8 units; the second by 4
        ("1", ["0.2", "0.2", "0.2"]),  # not even the floors fit
    ],
)
def test_levels_are_cut_in_their_order_down_to_the_floor_until_they_fit(room: str, levels: list[str]) -> None:
    row = {"level": Decimal(1), "floor": Decimal("0.2"), "volume": Decimal(10)}
    fits = assignment.fitted(pd.DataFrame([row] * 3, dtype=object), Decimal(room))
    assert fits.tolist() == [Decimal(level) for level in levels]


def test_no_set_of_agreements_promises_more_than_can_be_delivered(make_books: Make) -> None:
    limited = option(uplift_on="sales", uplift_low="0.1", uplift="0.5", uplift_high="0.9", capacity="18")
    books, period, decided = opened(make_books, limited, option("plain", capacity="6"), segments=KEY_A,
                                    levels="Key,visit,0,1,1\nCore,visit,0.25,1,1\nKey,plain,0,0.5,1\nCore,plain,0,0.5,1")  # fmt: skip
    rows = menu.priced(books, period)
    drafts = agreements.drafts(books, period, decided, rows)
    promised = agreements.commitments(books, period, drafts, rows)
    units = (promised["level"] * promised["volume"]).groupby(promised["option"]).sum()
    # both would get 12 visits and 6 of plain; 18 and 6 can be given
    assert dict(units) == {"visit": 18, "plain": 6}
    cut = agreements.cuts(books, period, drafts, rows)
    assert cut.drop(columns="worth").to_numpy().tolist() == [
        ["Core: standard terms", "Visit", 1, Decimal("0.5"), 6],  # where a visit is worth less
        ["Core: standard terms", "Plain", Decimal("0.5"), 0, 6],
    ]
    # the uplift on B's contribution less nine visits, of which six are cut
    assert cut["worth"].fillna(-1).tolist() == [(0.5 * 600 - 9 * 10) * 6 / 9, -1]


def test_what_is_best_at_its_floor_is_not_cut_for_lack_of_capacity(make_books: Make) -> None:
    few = option(uplift_on="sales", uplift_low="0.1", uplift="0.15", uplift_high="0.9", capacity="18")
    books, period, decided = opened(make_books, few, option("plain", capacity="6"), segments=KEY_A,
                                    levels="Key,visit,0,1,1\nCore,visit,0.25,1,1\nKey,plain,0,0.5,1\nCore,plain,0,0.5,1")  # fmt: skip
    rows = menu.priced(books, period)
    drafts = agreements.drafts(books, period, decided, rows)
    visits = [c.level for draft in drafts for c in draft.agreement.commitments if c.option == "visit"]
    assert visits == [1, Decimal("0.25")]
    # nine more visits do not fit, but cost B 90 and bring 90
    assert list(agreements.cuts(books, period, drafts, rows)["name"]) == ["Plain"]


def test_nothing_is_cut_where_no_option_is_limited(make_books: Make) -> None:
    books, period, decided = opened(make_books, option(), levels="Core,visit,0,1,1")
    rows = menu.priced(books, period)
    drafts = agreements.drafts(books, period, decided, rows)
    assert agreements.cuts(books, period, drafts, rows).empty
    assert "worth" in agreements.cuts(books, period, [], rows)


def worth(gain: float, units: float, capacity: float = 10.0) -> dict[str, Any]:
    return {"option": "o", "name": "O", "capacity": capacity, "floor_worth": 0.0, "target_worth": gain, "today_worth": 0.0,
            "floor_units": 0.0, "target_units": units, "today_units": 0.0}  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_the_best_assignment_is_what_trying_all_of_them_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        [worth(float(g), float(u)) for g, u in zip(rng.integers(-3, 20, 9), rng.integers(1, 6, 9), strict=True)]
    )
    every = [pd.Series(chosen) for chosen in itertools.product([False, True], repeat=9)]
    allowed = [chosen for chosen in every if rows["target_units"][chosen].sum() <= 10]
    assert assignment.worth(rows, assignment.at_target(rows)) == max(
        assignment.worth(rows, chosen) for chosen in allowed
    )


def test_one_more_unit_is_worth_what_solving_again_finds() -> None:
    rows = pd.DataFrame(
        [worth(6, 6), worth(9, 11), worth(4, 5)]
    )  # within 10 the first; within 11 the first with the third
    limits = assignment.limits(rows).loc["O"]
    assert (limits["used"], limits["one_more"], limits["tenth_more"], limits["no_limit"]) == (6, 4, 4, 13)


def test_a_floor_that_does_not_fit_is_given_all_the_same_and_nobody_gets_more() -> None:
    rows = pd.DataFrame([worth(6, 9) | {"floor_units": 8.0}, worth(9, 9) | {"floor_units": 8.0}])
    assert not assignment.at_target(rows).any()


def test_an_uplift_in_sales_counts_at_contribution_margin_and_today_for_its_part(make_books: Make) -> None:
    given = option("visit", unit_cost="1", uplift_on="sales", uplift_low="0.1", uplift="0.5", uplift_high="0.5")
    agreed = "agreements: [{account: A, version: 1, valid_from: 2024-01-01, valid_to: 2025-12-31, commitments: [{option: visit, level: 0.5}]}]"
    books, period, _ = opened(make_books, given, levels="Core,visit,0,1,2", agreements=agreed)
    rows = assignment.choices(books, period, menu.priced(books, period)).set_index("customer_id")
    assert list(rows["target_worth"]) == [1200 * 0.5 - 12, 600 * 0.5 - 12]
    assert list(rows["today_worth"]) == [1200 * 0.25 - 6, 0]
    least = put(books, menu_levels="Core,visit,0.75,1,2")  # A is given less than the least that may be promised
    assert list(assignment.choices(least, period, menu.priced(least, period))["today_worth"]) == [-6, 0]
    put(books, menu_levels="Core,visit,0,1,2")
    priced = menu.priced(books, period)
    ends = assignment.sensitivity(books, period, priced, assignment.at_target(rows.reset_index())).set_index("uplifts")
    assert ends["as_chosen"].round(6).to_dict() == {"Lowest": 1800 * 0.1 - 24, "Expected": 876, "Highest": 876}


# --- agreements ------------------------------------------------------------------------------------------------------


def drafted(books: Books, period: Any, decided: Any) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    rows = menu.priced(books, period)
    made = agreements.drafts(books, period, decided, rows)
    promised = agreements.commitments(books, period, made, rows)
    return made, promised, agreements.economics(books, period, made, promised, rows)


SERVED = {
    "service": "customer_id, month, measure, numerator, denominator\nA, 2024-01-01, on time, 8, 10\nA, 2024-02-01, on time, 9, 10\nA, 2024-03-01, on time, 10, 10"
}


def test_a_key_account_and_a_segment_are_drafted_and_every_amount_traces_and_adds_up(make_books: Make) -> None:
    visit = option(measure="on time", target="0.9", penalty="0.01", unit_cost="3.335")
    books, period, decided = opened(
        make_books, visit, levels="Key,visit,0,1,2\nCore,visit,0,0.5,2", tables=SERVED, segments=KEY_A
    )
    made, promised, left = drafted(books, period, decided)
    assert [(d.code, d.name, d.segment, d.customers) for d in made] == [
        ("A", "Adler", "Key", ("A",)),
        ("standard-02", "", "Core", ("B",)),
    ]
    for row in promised.to_dict("records"):
        assert row["cost"] == menu.cost(row["level"], row["volume"], row["unit_cost"])
    assert list(promised["cost"]) == [Decimal("40.02"), Decimal("20.01")]
    # one of three months below 0.9; 1 % of a month's net sales of 100
    assert list(promised[["months", "months_below", "penalty_cost"]].iloc[0]) == [3, 1, Decimal("1.00")]
    assert list(left["margin_then"]) == [1200 - Decimal("41.02"), 600 - Decimal("20.01")]
    assert left["walk_away_share"].iloc[0] == (1200 - Decimal("41.02")) / 1200


def test_joint_projects_are_the_largest_that_both_sides_can_work_on_each_once(
    make_books: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = pd.DataFrame(
        [
            ("cost to serve", "Transportation"),  # no activity of the ledger: nothing that the customer does
            ("cost to serve", "Order processing"),
            ("payment terms", ""),
            ("other", ""),
            ("price", "Soap"),
            ("white space", "Care"),
            ("cost to serve", "Order processing"),
            ("cost to serve", "Returns and allowances"),
        ],
        columns=["kind", "item"],
    )
    monkeypatch.setattr(agreements, "opportunities", lambda books, period: found.assign(customer_id="A"))
    books, period, decided = opened(
        make_books, option(), levels="Key,visit,0,1,2\nCore,visit,0,1,2", tables=ACTIVITIES, segments=KEY_A
    )
    made, _, _ = drafted(books, period, decided)
    assert [draft.agreement.projects for draft in made] == [
        (
            "Less effort for both sides in order processing",
            "Payment within the agreed days",
            "A review of the range: Care",
        ),
        (),
    ]


VERSIONS = "agreements: [{account: A, version: 1, valid_from: 2023-07-01, valid_to: 2025-06-30, commitments: [{option: visit, level: 1}], payment: At once., expected: {sales: 1000, margin: 1300}}]"


def test_what_a_promise_brings_more_than_today_is_judged_by_the_part_of_the_target_that_it_reaches(
    make_books: Make,
) -> None:
    given = option("visit", unit_cost="1", uplift_on="sales", uplift_low="0.1", uplift="0.5", uplift_high="0.5")
    agreed = "agreements: [{account: A, version: 1, valid_from: 2024-01-01, valid_to: 2025-12-31, commitments: [{option: visit, level: 0.5}]}]"
    books, period, decided = opened(make_books, given, levels="Core,visit,0,1,2", agreements=agreed)
    made, promised, _ = drafted(books, period, decided)
    assert not promised[["months", "months_below", "penalty_cost"]].any(axis=None)  # nothing is measured
    gains = agreements.judged_gains(assignment.choices(books, period, menu.priced(books, period)), made)
    assert gains == {"A": 1200 * Decimal("0.5") * Decimal("0.5"), "B": 600 * Decimal("0.5")}  # A has half of it today


def test_a_draft_follows_the_version_in_force_and_keeps_its_words(make_books: Make) -> None:
    books, period, decided = opened(make_books, option(per="order"), levels="Core,visit,0,2,2", agreements=VERSIONS)
    made, promised, _ = drafted(books, period, decided)
    draft = made[0].agreement
    assert (draft.version, str(draft.valid_from), str(draft.valid_to), draft.payment) == (
        2,
        "2025-07-01",
        "2027-06-30",
        "At once.",
    )
    assert list(promised[["level", "cost", "before_level", "before_cost"]].iloc[0]) == [2, 240, 1, 120]
    changed = clauses.changes(books, made).set_index("clause")
    assert changed.at["Visit", "before"] == "with every order"
    assert "Payment" not in changed.index


def test_a_rerun_with_nothing_changed_keeps_version_and_words(make_books: Make) -> None:
    books, period, decided = opened(make_books, option(), levels="Core,visit,0,2,2", agreements=VERSIONS)
    made, again = (drafted(books, period, decided)[0] for _ in range(2))
    assert again == made
    assert clauses.documents(books, again) == clauses.documents(books, made)
    assert [draft.agreement.version for draft in again] == [2, 1]  # A's next, and the first standard terms


def test_what_was_agreed_as_drafted_is_followed_by_a_version_that_tells_only_what_changed(make_books: Make) -> None:
    options, levels = (
        (option(), option("crate")),
        "\n".join(f"{s},visit,0,{{}},2\n{s},crate,0,0.5,1" for s in ("Key", "Core")),
    )
    books, period, decided = opened(make_books, *options, levels=levels.format(2, 2), segments=KEY_A)
    first = drafted(books, period, decided)[0]
    signed = [each.agreement.model_copy(update={"valid_from": period.start, "valid_to": period.end - DAY}) for each in first]  # fmt: skip
    put(books, agreements=json.dumps({"agreements": [agreement.model_dump(mode="json") for agreement in signed]}))
    same, promised, _ = drafted(books, period, decided)
    assert [draft.agreement.version for draft in same] == [2, 2]
    assert list(promised["cost"]) == list(promised["before_cost"])
    assert set(clauses.changes(books, same)["clause"]) == {"Validity"}

    put(books, menu_levels=levels.format(1, 1))
    after, promised, _ = drafted(books, period, decided)
    assert list(clauses.changes(books, after)["clause"].unique()) == ["Visit", "Validity"]
    visits = promised[promised["option"] == "visit"]
    assert list(visits["before_cost"] - visits["cost"]) == [120, 120]  # one visit of 10 less in each of 12 months


def test_a_version_that_people_wrote_for_the_time_after_takes_the_place_of_the_draft(make_books: Make) -> None:
    written = VERSIONS.replace(
        "}}]",
        "}}, {account: A, version: 2, valid_from: 2025-07-01, valid_to: 2025-12-31, commitments: [{option: visit, level: 1.5}]}]",
    )
    books, period, decided = opened(make_books, option(), levels="Core,visit,0,2,2", agreements=written)
    made, _, _ = drafted(books, period, decided)
    assert (made[0].agreement.version, made[0].agreement.commitments[0].level, made[0].before.version) == (
        2,
        Decimal("1.5"),
        1,
    )


def test_an_agreement_in_force_is_held_against_what_it_brought(make_books: Make) -> None:
    books, period, _ = opened(make_books, option(), levels="Core,visit,0,2,2", agreements=VERSIONS)
    row = agreements.realised(books, period).iloc[0]
    assert list(row[["party", "months", "expected_sales", "sales", "expected_margin", "margin", "difference"]]) == [
        "A",
        12,
        1000,
        1200,
        1300,
        1200,
        -100,
    ]
    half = agreements.realised(books, books.period("2024-01..2024-06")).iloc[0]
    assert list(half[["months", "expected_margin", "margin"]]) == [6, 650, 600]


def test_without_a_menu_nothing_is_drafted(make_books: Make) -> None:
    books = make_books()
    decided = segments.differentiate(books, books.period("2024"))
    books = segments.with_segments(books, books.period("2024"), decided)
    made, promised, left = drafted(books, books.period("2024"), decided)
    assert made == []
    assert promised.empty
    assert left.empty


def test_hundreds_of_key_accounts_each_get_an_agreement(make_books: Make) -> None:
    ids = [f"K{i:03}" for i in range(300)]
    tables = {"customers": "customer_id, customer_name\n" + "\n".join(f"{i}, Name {i}" for i in ids),
              "invoice_lines": LINES + "\n".join(f"{i}, 2024-01-10, 2000, {i}, 1" for i in ids)}  # fmt: skip
    books, period, decided = opened(
        make_books, option(per="order"), levels="Key,visit,0,1,2", tables=tables, segments=KEY_A
    )
    made, promised, left = drafted(books, period, decided)
    assert len(made) == len({draft.code for draft in made}) == 300
    assert promised["cost"].sum() == left["committed"].sum() == 3_000


@pytest.mark.parametrize(
    ("level", "per", "words"),
    [("0.05", "order", "up to 5 for every 100 orders"), ("1", "order", "with every order"), ("0.02", "net_sales", "up to 2% of net sales"), ("2", "month", "2 a month"),
     ("0.25", "month", "3 a year"), ("0.5", "year", "1 every 2 years"), ("4", "year", "4 a year"), ("0.125", "unit", "up to 12.5 for every 100 units")],
)  # fmt: skip
def test_a_level_reads_as_a_customer_would_say_it(level: str, per: str, words: str) -> None:
    assert clauses.level_in_words(Decimal(level), per) == words
