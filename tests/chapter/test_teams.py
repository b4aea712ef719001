"""Account teams: tiny ledgers beside the hours that they take, who has them, and the fewest accounts that change hands."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crmlib import opportunities, segments, teams
from crmlib.books.stored import Books
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError
from crmlib.declared.teams import DRIVERS, FUNCTIONS, Functions, Member

Make = Callable[..., Books]
CUSTOMERS = "customer_id, customer_name\n" + "\n".join(f"{c}, Customer {c}" for c in "ABCDE")
LINES = "customer_id, invoice_date, order_id, gross_sales, product_id, quantity, cost_of_goods"
ORDERS = "\n".join([LINES, *(f"{c}, 2024-0{m}-10, {c}{m}, {size}, p, 1, 10" for c, size in zip("ABCDE", (500, 400, 300, 200, 100), strict=True) for m in (1, 2))])  # fmt: skip
RULES = """
rules:
  - {segment: Key, when: [sales >= 800], because: large, key: true, stance: invest}
  - {segment: Middle, when: [sales >= 400], because: middle, stance: keep}
  - {segment: Small, when: [], because: small, stance: keep}
"""  # A and B are key; C and D are in the middle; E is small


def task(**given: object) -> dict[str, object]:
    return {"task": "serve", "driver": "account", "hours_key": 0, **given}


def write(books: Books, *rows: str, **tasks: Sequence[dict[str, object]]) -> Books:
    """The books with rules, members and, where given, tasks by function."""
    folder = books.engagement.folder / "judgement"
    folder.mkdir(exist_ok=True)
    (folder / "segments.yml").write_text(RULES, encoding="utf-8")
    every = {f: {"brings": "work", "tasks": list(tasks.get(f.split()[0], ()))} for f in FUNCTIONS}
    (folder / "functions.yml").write_text(yaml.safe_dump({"functions": every}), encoding="utf-8")
    (folder / "teams.csv").write_text("\n".join([",".join(Member.model_fields), *rows]), encoding="utf-8")
    return books


def needed(books: Books, when: Period, decided: pd.DataFrame) -> pd.DataFrame:
    """As `teams.hours_needed`."""
    segmented = segments.with_segments(books, when, decided)
    found = opportunities.opportunities(segmented, when)
    return teams.hours_needed(segmented, when, decided, teams.read_functions(books), found)


def placed(books: Books) -> tuple[pd.DataFrame, pd.DataFrame, Functions]:
    """Places, members and functions of 2024."""
    when = books.period("2024")
    decided, rules = segments.differentiate(books, when), segments.read_segments(books)
    members, functions = teams.read_members(books), teams.read_functions(books)
    return teams.places(needed(books, when, decided), teams.teams(decided, members, rules), members), members, functions


@pytest.mark.parametrize(
    ("driver", "per", "key", "others", "expected"),
    [("account", 1, 3, 1, {"A": 3, "B": 3, "Middle": 2, "Small": 1}), ("sales", 1000, 2, 0.5, {"A": 2, "B": 1.6, "Middle": 0.5, "Small": 0.1}),
     ("orders", 4, 1, 1, {"A": 0.5, "B": 0.5, "Middle": 1, "Small": 0.5}), ("products", 1, 2, 0, {"A": 2, "B": 2})],
)  # fmt: skip
def test_hours_are_units_of_the_driver_times_the_hours_declared(
    make_books: Make, driver: str, per: float, key: float, others: float, expected: dict[str, float]
) -> None:
    books = make_books({"customers": CUSTOMERS, "invoice_lines": ORDERS})
    rows, *_ = placed(write(books, sales=[task(driver=driver, per=per, hours_key=key, hours_others=others)]))
    assert rows.set_index("unit")["hours"].to_dict() == pytest.approx(expected)
    assert set(rows["member"]) == {teams.NOBODY}


def test_flows_of_half_a_year_count_twice(make_books: Make) -> None:
    books = write(
        make_books({"customers": CUSTOMERS, "invoice_lines": ORDERS}), sales=[task(driver="orders", hours_key=1)]
    )
    when = books.period("2024-01..2024-06")
    decided = segments.differentiate(books, when)
    hours = needed(books, when, decided)
    assert hours.set_index("account_id")["hours"].to_dict() == {"A": 4, "B": 4, "C": 0, "D": 0, "E": 0}


def test_what_these_books_do_not_hold_is_missing_and_not_nought(make_books: Make) -> None:
    lines = "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 900\nB, 2024-01-10, 100"
    books = write(make_books({"invoice_lines": lines}), logistics=[task(driver="below agreed", hours_key=1)])
    when = books.period("2024")
    decided = segments.differentiate(books, when)
    hours = needed(books, when, decided)
    assert hours["hours"].isna().all()
    assert set(hours["driver"]) == {DRIVERS["below agreed"]}


def test_a_key_account_has_a_team_and_segments_of_one_stance_share_one(make_books: Make) -> None:
    books = make_books({"customers": CUSTOMERS, "invoice_lines": ORDERS})
    decided = segments.differentiate(write(books), books.period("2024"))
    served = teams.teams(decided, teams.read_members(books), segments.read_segments(books))
    assert served["team"].to_dict() == {"A": "Customer A", "B": "Customer B", **dict.fromkeys("CDE", "Middle + Small")}
    assert served["unit"].to_dict() == {"A": "A", "B": "B", "C": "Middle", "D": "Middle", "E": "Small"}


def test_who_serves_an_account_by_name_takes_it_out_of_its_segment_and_equals_share(make_books: Make) -> None:
    books = make_books({"customers": CUSTOMERS, "invoice_lines": ORDERS})
    hours = task(hours_key=4, hours_others=2)
    rows = ["sales,Ann,10,Key;C,lead", "sales,Bob,10,Key;Middle,", "finance,Cy,0,B,"]
    rows_, members, functions = placed(write(books, *rows, sales=[hours]))
    by = rows_.set_index(["unit", "member"])["hours"].to_dict()
    assert by == {("A", "Ann"): 2, ("A", "Bob"): 2, ("B", "Ann"): 2, ("B", "Bob"): 2, ("C", "Ann"): 2, ("Middle", "Bob"): 2, ("Small", "nobody"): 2}  # fmt: skip
    load = teams.loads(rows_, members, functions).set_index("member")
    assert load["hours_needed"].to_dict() == {"Ann": 6, "Bob": 6, "Cy": 0}
    assert load.loc["Ann", ["load_share", "state"]].tolist() == [0.6, ""]


def few(hours: Sequence[int], now: Sequence[int], own: Sequence[int]) -> tuple[pd.DataFrame, pd.DataFrame, Functions]:
    """Places of one account each, by the number of who has them, and members with so many hours."""
    places = pd.DataFrame({
        "function": "sales", "unit": [f"A{i}" for i in range(len(hours))], "hours": [float(h) for h in hours], "accounts": 1,
        "member": [f"M{i}" if i < len(own) else teams.NOBODY for i in now],
    })  # fmt: skip
    members = pd.DataFrame({"function": "sales", "member": [f"M{i}" for i in range(len(own))], "hours_month": [float(h) for h in own]})  # fmt: skip
    return places, members, Functions(functions={f: {"brings": "work", "tasks": []} for f in FUNCTIONS})


def outcome(hours: Sequence[int], who: Sequence[int], now: Sequence[int], own: Sequence[int]) -> tuple[int, int]:
    """Hours beyond what members have (all of them where nobody serves), and accounts that moved."""
    room = [*own, 0]
    sums = [sum(h for h, w in zip(hours, who, strict=True) if w == m) for m in range(len(room))]
    return sum(max(0, s - r) for s, r in zip(sums, room, strict=True)), sum(
        a != b for a, b in zip(who, now, strict=True)
    )


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2)), min_size=1, max_size=6),
    st.lists(st.integers(0, 20), min_size=2, max_size=2),
)
def test_the_proposal_is_the_best_of_all_that_there_are(each: list[tuple[int, int]], own: list[int]) -> None:
    hours, now = zip(*each, strict=True)
    proposal = teams.reassigned(*few(hours, now, own))["to"]
    who = [len(own) if name == teams.NOBODY else int(name[1:]) for name in proposal]
    best = min(outcome(hours, other, now, own) for other in itertools.product(range(len(own) + 1), repeat=len(hours)))
    assert outcome(hours, who, now, own) == best


def test_two_places_at_one_account_stay_with_two_people() -> None:
    places, members, functions = few([5, 5], [0, 1], [0, 20])
    proposal = teams.reassigned(places.assign(unit="A"), members, functions)
    assert proposal["to"].nunique() == 2


def test_without_members_nothing_moves(make_books: Make) -> None:
    books = make_books({"customers": CUSTOMERS, "invoice_lines": ORDERS})
    rows, members, functions = placed(write(books, sales=[task(hours_key=1)]))
    assert teams.loads(rows, members, functions).empty
    assert (teams.reassigned(rows, members, functions)["to"] == teams.NOBODY).all()


def test_hundreds_of_key_accounts_are_reassigned() -> None:
    hours = [1 + i % 7 for i in range(300)]
    proposal = teams.reassigned(*few(hours, [i % 3 for i in range(300)], [200, 380, 420, 250]))
    sums = proposal.groupby("to")["hours"].sum()
    assert (sums <= pd.Series({"M0": 200, "M1": 380, "M2": 420, "M3": 250})).all()
    assert (proposal["member"] != proposal["to"]).sum() < 60


def test_all_mistakes_are_told_at_once_with_row_column_and_way_out(make_books: Make) -> None:
    books = write(make_books({"customers": CUSTOMERS, "invoice_lines": ORDERS}),
                  "sale,Ann,10,A,lead", "sales,,ten,A;Z;Midle,", "sales,Bob,5,A,", "sales,Bob,5,B,")  # fmt: skip
    with pytest.raises(SettingsError) as told:
        segments.check_judgement(books)
    text = str(told.value)
    assert "judgement/teams.csv has 7 mistake(s)" in text
    for line in (
        f"row 2, function: 'sale': one of {', '.join(FUNCTIONS)}", "row 3, member: '': write who it is",
        "row 3, hours_month: 'ten': an amount of zero or more", "row 3, accounts: 'Z': no customer_id and no segment; set them apart by ;",
        "row 3, accounts: 'Midle': no customer_id and no segment; set them apart by ;; did you mean 'Middle'?",
        "row 4, member: 'Bob': stands twice in this function", "row 5, member: 'Bob': stands twice in this function",
    ):  # fmt: skip
        assert line in text


@pytest.mark.parametrize(
    ("changed", "message"),
    [("low_share: 2", "low_share 2 must be below full_share 1"), ("functions: {sales: {brings: x, tasks: []}}", "functions: marketing, research and development"),
     ("full_share: 0", "full_share: should be greater than 0")],
)  # fmt: skip
def test_mistakes_in_functions_are_told(make_books: Make, changed: str, message: str) -> None:
    books = write(make_books())
    path = books.engagement.folder / "judgement" / "functions.yml"
    text = changed if changed.startswith("functions") else path.read_text(encoding="utf-8") + changed
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        teams.read_functions(books)


def test_a_family_that_stands_together_is_one_account(make_books: Make) -> None:
    family = "customer_id, customer_name, parent_id\nA, Adler,\nB, Birch, A"
    books = write(make_books({"customers": family, "invoice_lines": ORDERS.replace("C,", "A,").replace("D,", "A,").replace("E,", "B,")}),
                  "sales,Ann,10,B,lead", sales=[task(hours_key=2)])  # fmt: skip
    path = books.engagement.folder / "judgement" / "segments.yml"
    path.write_text("parents: together" + RULES, encoding="utf-8")
    [row] = placed(books)[0].to_dict("records")
    assert (row["unit"], row["member"], row["hours"], row["team"]) == ("A", "Ann", 2, "Adler")
