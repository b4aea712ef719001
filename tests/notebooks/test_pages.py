"""All notebooks on ugly books: every sentence that a client would read, held against rules.

Cells are run one after another in this process, without a kernel: what a cell ends with is what its page shows.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from matplotlib.text import Text

from crmlib import study
from crmlib.declared.agreements import Level, Option
from crmlib.declared.reading import HIDDEN, PROJECT
from crmlib.declared.teams import Member, Milestone
from crmlib.look.drawing import picture

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SALES = "customer_id, invoice_date, gross_sales, discount, product_id, quantity, cost_of_goods, order_id"


def sales(*customers: str, months: range, each: int = 100, goods: int = 60, year: int = 2024) -> str:
    """One order a month and customer, by product p, each customer's a little larger than the one's before."""
    rows = [
        f"{customer}, {year + (month - 1) // 12}-{(month - 1) % 12 + 1:02}-1{place % 9}, {each + place}, 1, p, 2, {goods}, {customer}{month}"
        for place, customer in enumerate(customers) for month in months
    ]  # fmt: skip
    return "\n".join([SALES, *rows])


def customers(*ids: str, names: Mapping[str, str] | None = None) -> str:
    rows = [
        f"{i}, {(names or {}).get(i, f'Customer {i}')}, {'Shops' if place % 2 else 'Clubs'}"
        for place, i in enumerate(ids)
    ]
    return "\n".join(["customer_id, customer_name, account_type", *rows])


TEN = [f"C{number:02}" for number in range(10)]
LONG = 'Société Générale "Nord & <script>alert(1)</script>\x1a\u202e" of sixty letters'
LOSS = "level, key, date, line, amount\n" + "\n".join(
    f"customer, {c}, 2024-0{m}-28, salaries, 90" for c in TEN for m in (1, 2)
)
BALANCES = "customer_id, month, receivables\n" + "\n".join(f"{c}, 2024-0{m}-01, 500" for c in TEN for m in range(1, 10))
MENU = f"""{",".join(Option.model_fields)}
visit,Visit,service,order fulfilment,salaries,month,visit,,30,12,on time,0.9,all orders,0.01,,sales,0.1,0.2,0.3
crate,Crate,product,demand management,salaries,order,crate,,1,,,,,,,,,,"""
LEVELS = f"{','.join(Level.model_fields)}\nCore,visit,0,1,2\nCore,crate,0,1,1"
ONE_SEGMENT = "rules: [{segment: Core, when: [], because: all are, stance: keep}]"
AGREED = """agreements: [{account: A, version: 1, valid_from: 2024-01-01, valid_to: 2024-12-31, commitments: [{option: crate, level: 0.5},
  {option: visit, level: 1, measure: on time, target: 0.9, penalty: 0.01}], expected: {sales: 1000, margin: 100}}]"""
SERVED = (
    "customer_id, month, measure, numerator, denominator\nA, 2024-03-01, on time, 1, 2\nA, 2024-04-01, on time, 2, 2"
)
MEMBERS = f"{','.join(Member.model_fields)}\nsales,Ann,0.1,A;Core,lead\nsales,Bo,0,,"
PLAN = f"{','.join(Milestone.model_fields)}\na,A,,order fulfilment,Visits \x01begin,Ann,2024-11-01,2024-11-30,,\nb,,,returns management,Trial,Bo,2024-12-01,2024-12-31,a,"
STRAINED = {"activity_types": "activity, line, pool, unit_minutes, driver\nentry, order_processing, desk, 1, orders",
            "rates": "activity, valid_from, rate\nentry, 2024-01-01, 2",
            "capacity": "pool, month, cost, practical_capacity\n" + "\n".join(f"desk, 2024-0{m}-01, 10, 8" for m in range(1, 7))}  # fmt: skip
UGLY: dict[str, dict[str, Any]] = {
    "one customer": {"tables": {"customers": customers("A"), "invoice_lines": sales("A", months=range(1, 13))}},
    "one month": {"tables": {"customers": customers(*TEN), "invoice_lines": sales(*TEN, months=range(3, 4))}, "period": "2024-03",
                  "coverage": {"start": "2024-03", "end": "2024-03"}},
    "all lose": {"tables": {"customers": customers(*TEN), "invoice_lines": sales(*TEN, months=range(1, 3)), "costs": LOSS}, "period": "2024-01..2024-02",
                 "coverage": {"start": "2024-01", "end": "2024-02"}},
    "all alike": {"tables": {"customers": customers(*TEN),
                             "invoice_lines": "\n".join([SALES, *(f"{c}, 2024-{m:02}-10, 100, 1, p, 2, 60, {c}{m}" for c in TEN for m in range(1, 13))])},
                  "judgement": {"menu.csv": MENU, "menu_levels.csv": LEVELS.splitlines()[0] + "\nCore,crate,0,0,1", "segments.yml": ONE_SEGMENT}},
    "no cost": {"tables": {"customers": customers(*TEN), "invoice_lines": "customer_id, invoice_date, gross_sales\n" + "\n".join(
        f"{c}, 2024-{m:02}-10, {100 + place}" for place, c in enumerate(TEN) for m in range(1, 13))}},
    "no group": {"tables": {"customers": "customer_id, customer_name\nA, Adler\nB, Birch", "invoice_lines": sales("A", "B", months=range(1, 13))}},
    "half a year": {"tables": {"customers": customers(*TEN), "invoice_lines": sales(*TEN, months=range(1, 7)), **STRAINED}, "period": "2024-01..2024-06",
                    "coverage": {"start": "2024-01", "end": "2024-06"}},
    "a month and a year": {"tables": {"customers": customers(*TEN), "invoice_lines": sales(*TEN, months=range(13))},
                           "coverage": {"start": "2023-12", "end": "2024-12"}},
    "negative total": {"tables": {"customers": customers("A", "B"), "invoice_lines":
                                  "customer_id, invoice_date, gross_sales, quantity\nA, 2024-01-10, 100, 1\nB, 2024-02-11, -250, -3"},
                       "settings": {"invoice_lines": {"sign": "as written"}}},
    "long names": {"tables": {"customers": customers(*TEN, names=dict.fromkeys(TEN, LONG)), "invoice_lines": sales(*TEN, months=range(1, 13)),
                              "balances": BALANCES}},
    "a menu for one": {"tables": {"customers": customers("A", "B", names={"A": LONG}), "invoice_lines": sales("A", "B", months=range(1, 13)), "service": SERVED},
                       "judgement": {"menu.csv": MENU, "menu_levels.csv": LEVELS, "segments.yml": ONE_SEGMENT, "agreements.yml": AGREED,
                                     "teams.csv": MEMBERS, "plan.csv": PLAN}},
    "a menu beyond means": {"tables": {"customers": customers(*TEN), "invoice_lines": sales(*TEN, months=range(1, 3)), "costs": LOSS},
                            "period": "2024-01..2024-02", "coverage": {"start": "2024-01", "end": "2024-02"},
                            "judgement": {"menu.csv": MENU, "menu_levels.csv": LEVELS, "segments.yml": ONE_SEGMENT}},
    "one loses what all earn": {"tables": {
        "customers": "customer_id, customer_name, region\n" + "\n".join(f"{c}, Customer {c}, {'North' * (c != 'C03')}" for c in TEN),
        "invoice_lines": "\n".join([
            SALES, *sales(*TEN[:7], months=range(1, 25), each=10, goods=4).splitlines()[1:], *sales("C07", months=range(5, 25), each=10, goods=4).splitlines()[1:],
            *sales("C08", months=range(1, 17), each=10, goods=4).splitlines()[1:], *sales("C09", months=range(1, 25), each=1000, goods=1050).splitlines()[1:]])},
        "period": "2025", "coverage": {"start": "2024-01", "end": "2025-12"}},
    "a new and a lost one": {"tables": {"customers": customers("A", "B", "C"), "invoice_lines": "\n".join(
        [sales("A", months=range(1, 25)), *sales("B", months=range(1, 8)).splitlines()[1:], *sales("C", months=range(20, 25)).splitlines()[1:]])},
        "period": "2025", "coverage": {"start": "2024-01", "end": "2025-12"}},
}  # fmt: skip

textbook = functools.cache(study.textbook_cases)  # the same whatever the books

NOUNS = "customers|groups|orders|months|years|kinds|lines|panels|warnings|checks|accounts|products|rows|tables|criteria|families|markets|goals|findings|pools|items|segments|totals"
RULES = {
    "a plural of one": rf"(?<![\d.,−-])\b1 (?:[a-z]+ )?(?:{NOUNS})\b",
    "nought of nought": r"\b0 of 0\b|\bof 0 |\bthe 0 |\ball 0\b|\bthe 1 |\ball 1\b",
    "a value that is none": r"\b(?:nan|None|NaN|NaT|inf)\b|[A-Z]{3} not available",
    "a sentence without its name": r"(?:^|[.;:] )[,.;:]|\(\)|\b(?:of|by|and|first) [.,;]",
    "a bracket of plurals": r"\w\(s\)",
    "an identifier": r"\b[a-z]+_[a-z_]+\b",
    "a chart of one mark": r"\b1 by 1 cells|\b1 bar, largest|Matrix of 1\b",
    "a column's own name": r"not available:[^\n]* (?:share\b|judged by)",
    "an instruction to leave": r"\bleaves? (?:the firm )?[A-Z]{3} [−\d]",
    "nobody, where there is somebody": r"^Nobody bought or cost|^There is no customer to judge",
    "a verb for one": r"^(?:[2-9]|\d{2,}) customers(?: in [^.,]*)? \w+s [A-Z]{3} ",
    "a gain that is a loss": r"\b(?:brings?|worth|gained) [A-Z]{3} −[^;]* more",
    "a sentence that leans on one that is not there": r"^(?:It would be|That of|The rest)\b|\bit loses [A-Z]{3}",
    "a superlative of one": r"\b[Ll]argest 1 |causes are \w+$",
    "a share of what cancels out": r"corrected[^.]*\d{3,}\.\d%",
    "what has no name as a name": r"\(none given\)|Other owners (?:adds|rose|fell)",
    "a bridge from nothing to nothing": r"Bridge from [^,]+, [A-Z]{3} 0, to [^,]+, [A-Z]{3} 0\b",
    "a discount by no rate": r"discounted to today",
    "an exhibit without a title": r"^an exhibit without a title$",
    "a change of nothing": r"^Moving the weight.*\n.*not available: change",
    "a year named twice": r"[a-z] (\d{4}) to [A-Z][a-z]+ \1\b",
    "an amount below nought that belongs to somebody": r"^[A-Z]{3} −",
    "a telegram": r"^(?:Late|Short|Refused|Ours|Overloaded|Owed|Below what was agreed|Beyond their hours|To change hands): ",
}


def outcome(cell: dict[str, Any], names: dict[str, Any]) -> Any:
    """Run a cell and give what it ends with."""
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, cell["id"], "exec"), names)
    return eval(compile(ast.Expression(last.value), cell["id"], "eval"), names) if isinstance(last, ast.Expr) else None


def shown(value: Any) -> str:
    """What a page shows of a cell's outcome, as text."""
    if hasattr(value, "as_raw_html"):
        table = BeautifulSoup(value.as_raw_html(), "html.parser")
        heads = [row.get_text(" ", strip=True) for row in table.select(".gt_title, .gt_subtitle, .gt_col_heading")]
        return "\n".join(head for head in heads if head) if heads[0] else "an exhibit without a title"
    if hasattr(value, "get_figure"):
        figure = value.get_figure(root=True)
        if any(HIDDEN.search(text.get_text()) for text in figure.findobj(Text)):
            ElementTree.fromstring(picture(figure)[0])
        return str(figure.get_label())
    return "" if value is None else str(value)


def page(notebook: Path, engagement: Path, period: str, **values: str) -> dict[str, Any]:
    """By cell what a client sees of it, with these values of other parameters."""
    names: dict[str, Any] = {"__name__": notebook.stem}
    outcomes = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        tags = cell["metadata"].get("tags", [])
        if cell["cell_type"] == "code" and "study" not in tags:
            value = outcome(cell, names)
            outcomes |= {cell["id"]: value} if "author" not in tags else {}
            if "parameters" in tags:
                names.update(engagement=str(engagement), period=period, **values)
    return outcomes


@pytest.fixture(scope="module")
def pages(
    session_cache: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, dict[str, str]]:
    """Every notebook's page on one of the ugly books."""
    from conftest import write_engagement

    books = dict(UGLY[request.param])
    tables, period, mapping = books.pop("tables"), books.pop("period", "2024"), books.pop("settings", {})
    judgement = books.pop("judgement", {})
    folder = tmp_path_factory.mktemp("ugly") / request.param
    engagement = write_engagement(folder, tables, **books, **({"tables": mapping} if mapping else {}))
    (folder / "judgement").mkdir()
    for file, text in judgement.items():
        (folder / "judgement" / file).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRM_CACHE", str(session_cache))
        patch.setattr(study, "textbook_cases", textbook)
        return {
            notebook.stem: {cell: shown(value) for cell, value in page(notebook, engagement, period).items()}
            for notebook in NOTEBOOKS
        }


@pytest.mark.parametrize("pages", UGLY, indirect=True, ids=str)
def test_every_sentence_is_true_and_whole(pages: dict[str, dict[str, str]]) -> None:
    wrong = [
        f"{notebook} {cell}: {rule}: {text}"
        for notebook, cells in pages.items()
        for cell, text in cells.items()
        for rule, pattern in RULES.items()
        if re.search(pattern, text, re.MULTILINE)
    ]
    assert wrong == []


@pytest.mark.parametrize("pages", ["no cost"], indirect=True)
def test_books_without_cost_have_no_margin(pages: dict[str, dict[str, str]]) -> None:
    said = [f"{notebook} {cell}: {text}" for notebook, cells in pages.items() for cell, text in cells.items()
            if re.search(r"^Net (?:segment )?margin|^The margin of", text, re.MULTILINE)]  # fmt: skip
    assert said == []


@pytest.mark.parametrize("pages", ["all alike"], indirect=True)
def test_a_menu_that_is_there_is_not_said_to_be_missing(pages: dict[str, dict[str, str]]) -> None:
    said = [text for cells in pages.values() for text in cells.values() if "no menu of options" in text]
    assert said == []


@pytest.mark.parametrize("pages", ["one loses what all earn", "a new and a lost one"], indirect=True)
def test_a_cause_that_is_named_moved_the_sum_its_way(pages: dict[str, dict[str, str]]) -> None:
    telling = re.compile(r"contribution (rose|fell) by [^,]*, above all by ([^.]*)\..*Steps: (.*)")
    told = [match.groups() for cells in pages.values() for text in cells.values() for match in telling.finditer(text)]
    assert told
    for way, causes, steps in told:
        signs = dict(re.findall(r"(?:^|; )([A-Z][a-z ]*) ([+−])", steps))
        moved = {signs[cause.capitalize()] for cause in re.split(", | and ", causes)}
        assert moved == {{"rose": "+", "fell": "−"}[way]}


def test_groups_that_were_asked_for_stand_in_rows(tmp_path: Path) -> None:
    from conftest import write_engagement

    customers = "customer_id, customer_name, parent_id, account_type\nP, Poplar Group, , Head\nS, Spruce, P, Branch\nX, Xylo, , Other"
    lines = "customer_id, invoice_date, gross_sales\nP, 2024-01-31, 1000\nS, 2024-02-15, 500\nX, 2024-02-01, 900"
    folder = write_engagement(tmp_path / "books", {"customers": customers, "invoice_lines": lines})
    notebook = next(path for path in NOTEBOOKS if path.stem.startswith("27"))
    table = page(notebook, folder, "2024", group_by="parent_id")["groups-segments"].as_raw_html()
    rows = [row.get_text(" ", strip=True) for row in BeautifulSoup(table, "html.parser").select("tbody tr")]
    assert rows == ["Poplar Group 1,500", "Customers without parent 900", "Firm 2,400"]
