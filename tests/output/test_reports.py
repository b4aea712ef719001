"""What comes out: pages that stand alone, a workbook that recalculates, data that says what the books say."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import zipfile
from base64 import b64decode
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest
from bs4 import BeautifulSoup
from nbformat import v4

from crmlib.actions import COLUMNS, WIN_BACK
from crmlib.books.stored import Books, open_books
from crmlib.declared.reading import CrmError
from crmlib.look.tables import plain_table
from crmlib.look.words import FINDINGS, Sentence
from crmlib.output.data import export_data
from crmlib.output.index import chosen_findings, write_index
from crmlib.output.lists import lists
from crmlib.output.page import Finding, Page, write_page
from crmlib.output.site import write_site
from crmlib.output.workbook import export_workbook
from crmlib.segments import with_segments

# --- pages -----------------------------------------------------------------------------------------------------------

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
EVIL = "<script>alert(1)</script>"


def code(source: str, *outputs: Any, tags: tuple[str, ...] = ()) -> Any:
    return v4.new_code_cell(source, outputs=list(outputs), execution_count=1, metadata={"tags": list(tags)})


def shown(data: dict[str, str], **metadata: Any) -> Any:
    return v4.new_output("display_data", data=data, metadata=metadata)


def page(folder: Path, *cells: Any) -> BeautifulSoup:
    html = folder / "27_profitability.html"
    write_page(v4.new_notebook(cells=list(cells)), html)
    return BeautifulSoup(html.read_text(encoding="utf-8"), "html.parser")


def test_a_page_loads_and_links_nothing_outside_itself(tmp_path: Path) -> None:
    made = page(tmp_path, v4.new_markdown_cell("# Who earns what\n\n$x^2$"), code("1", shown({"image/svg+xml": SVG})))
    assert not made.find_all(["script", "link", "iframe"])
    for tag in made.find_all(True):
        for name in ("src", "href"):
            assert re.match(r"data:image/|#|[\w.-]+$", str(tag.get(name, "#")))
    styles = "".join(str(style.string) for style in made.find_all("style"))
    assert "http" not in styles
    assert "@import" not in styles
    assert "url(" not in styles


@pytest.mark.parametrize(
    "html",
    [
        '<img src="https://example.org/a.png">',
        '<a href="//example.org">x</a>',
        "<script>1</script>",
        "<style>@import 'x.css';</style>",
        '<p style="background: url(http://example.org/a.png)">x</p>',
        '<a href="file:///etc/hosts">x</a>',
    ],
)
def test_a_page_that_would_refer_outside_is_refused_by_name(tmp_path: Path, html: str) -> None:
    with pytest.raises(CrmError, match=r"27_profitability\.html"):
        page(tmp_path, code("show()", shown({"text/html": html})))
    assert not (tmp_path / "27_profitability.html").exists()


@pytest.mark.parametrize(("kind", "content"), [("image/svg+xml", SVG), ("image/png", PNG)])
def test_a_figure_is_embedded_with_its_alternative_text(tmp_path: Path, kind: str, content: str) -> None:
    alt = '11 of 248 lose; worst "Élan & Co" <-1.4 M>'
    made = page(tmp_path, code("plot()", shown({kind: content, "text/plain": "fig"}, **{kind: {"alt": alt}})))
    image = made.select_one("figure img")
    assert image is not None
    assert image["alt"] == alt
    assert str(image["src"]).startswith(f"data:{kind};base64,")
    assert "fig" not in made.get_text().split()


def test_the_headline_of_a_chart_stands_as_text_above_the_picture_which_has_it_no_more(tmp_path: Path) -> None:
    svg = '<svg width="648pt" height="200pt" viewBox="0 0 648 200"><rect width="9" height="9"/></svg>'
    told = {"alt": "All of it", "finding": "Fir & <b> lose", "what": "Margin, USD", "plot": 0.75}
    made = page(
        tmp_path, v4.new_markdown_cell("# T"), code("1", shown({"image/svg+xml": svg}, **{"image/svg+xml": told}))
    )
    caption = made.select_one(".caption")
    assert caption is not None
    assert [line.get_text() for line in caption.select("p")] == ["Fir & <b> lose", "Margin, USD"]
    image = caption.find_next_sibling("figure").img
    drawn = b64decode(str(image["src"]).partition(",")[2]).decode()
    assert 'height="150.00pt"' in drawn
    assert 'viewBox="0 50.00 648 150.00"' in drawn


def lacking(text: str) -> Any:
    return code("1", shown({"text/html": Sentence(text, absent=True)._repr_html_()}))


def test_questions_with_nothing_to_show_stand_at_the_end_with_one_sentence(tmp_path: Path) -> None:
    def some() -> Any:
        return code("1", shown({"text/html": Sentence("Fir loses.")._repr_html_()}))

    def none() -> Any:
        return lacking("No menu & no price.")

    head = v4.new_markdown_cell
    made = page(
        tmp_path, head("# T"), code("1"), head("## What is promised?\n\nBy option."), code("1"), none(), none(),
        head("## Who loses?"), some(), head("### What of it?"), none(), head("## Who came?"), lacking("Nobody came."),
        head("## What binds?"), head("### Units"), none(), head("## Who went?"), lacking("Nobody."), some(),
    )  # fmt: skip
    assert [part.get_text() for part in made.select("h2, h3")] == [
        "Who loses?",
        "Who went?",
        "Questions with nothing to show",
    ]
    assert [part.get_text() for part in made.select(".missing li")] == [
        "What is promised? · What of it? · UnitsNo menu & no price.", "Who came?Nobody came."]  # fmt: skip
    assert made.get_text().count("No menu") == 1
    assert [link.get_text() for link in made.select(".contents a")] == ["Who loses?", "Who went?"]
    alone = page(tmp_path, head("# T"), code("1"), head("## Who came?"), none())
    assert [part.get_text() for part in alone.select("h1, h2")] == ["T", "Questions with nothing to show"]


def test_text_from_data_stays_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"customer": [EVIL, "=1+1", "{{ 7*7 }}", "Re\x01tail \u202egnp"]})
    made = page(
        tmp_path,
        code("a", v4.new_output("execute_result", data={"text/plain": EVIL}, execution_count=1)),
        code("b", shown({"text/html": frame.to_html(), "text/plain": repr(frame)})),
        code(f"name = '{EVIL}'", v4.new_output("stream", name="stdout", text=EVIL)),
    )
    assert not made.find_all("script")
    assert made.get_text().count(EVIL) == 4
    assert "{{ 7*7 }}" in made.get_text()
    assert "Re\\u0001tail \\u202egnp" in made.get_text()


@pytest.mark.parametrize("tag", ["study", "author", "about"])
def test_what_is_for_students_and_authors_is_left_out_of_a_report_and_that_alone(tmp_path: Path, tag: str) -> None:
    cells = [
        v4.new_markdown_cell("# Title"),
        *(v4.new_markdown_cell("## Study", metadata={"tags": tags}) for tags in ([tag], ["kept"])),
        *(code("answer", shown({"text/plain": f"not {tags[0]}"}), tags=tags) for tags in ((tag,), ("kept",))),
    ]
    made = page(tmp_path, *cells)
    assert [head.get_text() for head in made.select("h2")] == ["Study"]
    assert [text.get_text() for text in made.select(".out pre")] == ["not kept"]


def test_what_went_to_stderr_is_not_shown_to_a_client(tmp_path: Path) -> None:
    cell = code("warn()", v4.new_output("stream", name="stderr", text="DeprecationWarning"))
    assert "Deprecation" not in page(tmp_path, cell).get_text()


def test_the_title_of_a_table_stands_before_the_part_that_scrolls_and_names_it(tmp_path: Path) -> None:
    table = plain_table(pd.DataFrame({"customer": ["Fir"], "orders": [3]}), title='Fir & "Co" <b>', what="Orders, 2025")
    made = page(tmp_path, v4.new_markdown_cell("# T"), code("1", shown({"text/html": table.as_raw_html()})))  # type: ignore[union-attr]
    [scroller] = made.select(".out div[tabindex]")
    title, what = made.select(".out > .caption p")
    assert (title.get_text(), what.get_text()) == ('Fir & "Co" <b>', "Orders, 2025")
    assert scroller["aria-labelledby"] == title["id"] == scroller.select("table")[0]["aria-labelledby"]
    assert "Fir & " not in scroller.get_text()
    assert [cell.get_text() for cell in scroller.select("th")] == ["Customer", "Orders"]


def test_parameters_are_shown_as_they_ran_without_the_machine_s_paths(tmp_path: Path) -> None:
    declared = (
        'engagement: str = "data/sample"  # folder\nperiod: str = "2025"  # such as 2025Q4\ntop: int = 10  # customers'
    )
    given = code(f'# Parameters\nengagement = "{tmp_path}/client"\nperiod = "2025Q4"\n', tags=("injected-parameters",))
    made = page(tmp_path, v4.new_markdown_cell("# T"), code(declared, tags=("parameters",)), given)
    rows = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in made.select("details.parameters tr")]
    assert rows == [
        ["engagement", "client", "folder"],
        ["period", "2025Q4", "such as 2025Q4"],
        ["top", "10", "customers"],
    ]
    assert str(tmp_path) not in made.decode()


def test_a_page_is_headed_by_client_period_and_title(tmp_path: Path) -> None:
    notebook = v4.new_notebook(
        cells=[v4.new_markdown_cell("# Who earns what")], metadata={"crm": {"client": CLIENT, "period": "2025Q1"}}
    )
    write_page(notebook, tmp_path / "27_a.html")
    made = BeautifulSoup((tmp_path / "27_a.html").read_text(encoding="utf-8"), "html.parser")
    assert made.title is not None
    assert made.title.string == f"{CLIENT} · 2025Q1 · Who earns what"
    assert made.select_one('.bar a[href="index.html"]') is not None


# --- a small company, whose texts try everything ---------------------------------------------------------------------

CLIENT = 'Tallow "& Reed" </style>'
LEDGER = {
    "customers": """customer_id,customer_name,account_type
        00123,=1+1,Grocery chains
        B,<script>alert(1)</script>,Grocery chains
        C,@Élan {{ 7*7 }},-2+3
        R,+Returner,""",
    "invoice_lines": """customer_id,invoice_date,gross_sales,quantity,discount,cost_of_goods
        00123,2025-01-10,1000.10,10,50.05,400.03
        B,2025-02-10,333.33,3,0,111.11
        B,2025-03-31,666.67,6,0.01,222.22
        C,2025-03-10,100,1,0,150.55
        R,2025-01-10,20,2,0,10
        R,2025-04-10,-20,-2,0,-10
        ,2025-01-10,7.77,1,0,1.11""",
    "costs": """level,key,date,line,amount
        customer,00123,2025-01-31,salaries,99.99
        account_type,Grocery chains,2025-02-28,advertising,10.01
        account_type,-2+3,2025-02-28,advertising,3""",
    "joint_costs": """month,line,amount
        2025-01-01,head office,77.07""",
}


def small_books(folder: Path, ledger: dict[str, str]) -> Books:
    (folder / "ledger").mkdir()
    settings = {"client": CLIENT, "currency": "EUR", "coverage": {"start": "2025-01", "end": "2025-06"}}
    settings["thresholds"] = {"unassigned_share": "0.5"}
    (folder / "engagement.yml").write_text(str(settings), encoding="utf-8")
    for name, text in ledger.items():
        lines = "\n".join(line.strip() for line in text.splitlines())
        (folder / "ledger" / f"{name}.csv").write_text(lines + "\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRM_CACHE", str(folder / "cache"))
        return open_books(folder)


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    return small_books(tmp_path_factory.mktemp("small"), LEDGER)


@pytest.fixture(scope="module")
def workbook(books: Books, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("out") / "workbook.xlsx"
    export_workbook(
        books,
        books.period("2025-01..2025-06"),
        path,
        parameters={"period": "=2025"},
        lists=lists(books, books.period("2025-01..2025-06")),
    )
    return path


# --- workbook --------------------------------------------------------------------------------------------------------


def cells(path: Path, *, values: bool = False) -> dict[tuple[str, str], Any]:
    book = openpyxl.load_workbook(path, data_only=values)
    return {(sheet.title, cell.coordinate): cell.value for sheet in book for row in sheet.iter_rows() for cell in row}


def formulas(path: Path) -> list[tuple[str, str]]:
    book = openpyxl.load_workbook(path)
    return [
        (sheet.title, cell.coordinate)
        for sheet in book
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "f"
    ]


ALWAYS_RECALCULATE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry"><item oor:path="/org.openoffice.Office.Calc/Formula/Load">
<prop oor:name="OOXMLRecalcMode" oor:op="fuse"><value>0</value></prop></item></oor:items>"""


def recalculated(path: Path, folder: Path) -> Path:
    """The workbook as LibreOffice calculates it, whatever values it was written with."""
    if not shutil.which("soffice"):
        pytest.skip("LibreOffice is not here")
    (folder / "profile" / "user").mkdir(parents=True)
    (folder / "profile" / "user" / "registrymodifications.xcu").write_text(ALWAYS_RECALCULATE, encoding="utf-8")
    command = [
        "soffice",
        f"-env:UserInstallation={(folder / 'profile').as_uri()}",
        "--headless",
        "--convert-to",
        "xlsx",
    ]
    subprocess.run([*command, "--outdir", str(folder / "out"), str(path)], check=True, capture_output=True, timeout=180)
    return folder / "out" / path.name


def differing(path: Path, folder: Path) -> list[tuple[str, str]]:
    """Formula cells whose cached value is not what LibreOffice gets, to half a cent."""
    cached, again = cells(path, values=True), cells(recalculated(path, folder), values=True)

    def differs(at: tuple[str, str]) -> bool:
        left, right = cached[at], again[at]
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        return abs(left - right) >= 0.005 if numbers else left != right

    return [at for at in formulas(path) if differs(at)]


def test_libreoffice_recalculates_every_formula_to_the_same_cents(workbook: Path, tmp_path: Path) -> None:
    assert len(formulas(workbook)) > 150
    assert differing(workbook, tmp_path) == []


def test_a_wrong_cached_value_would_be_seen(workbook: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.xlsx"
    with zipfile.ZipFile(workbook) as source, zipfile.ZipFile(spoiled, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.startswith("xl/worksheets/"):
                content = re.sub(rb"(</f><v>)-?[\d.e-]+(?=</v>)", rb"\g<1>12345", content)
            target.writestr(name, content)
    assert len(differing(spoiled, tmp_path)) > 100


def test_text_from_data_is_never_a_formula(workbook: Path) -> None:
    book = openpyxl.load_workbook(workbook)
    for text in ("=1+1", "@Élan {{ 7*7 }}", "+Returner", EVIL, "-2+3", "00123", "=2025"):
        found = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value == text]
        assert {cell.data_type for cell in found} == {"s"}, text


def test_control_characters_are_visible_in_every_part_of_the_workbook(
    make_books: Callable[..., Books], tmp_path: Path
) -> None:
    hidden = "\x01\x1a\x7f\u202e"
    books = make_books({"customers": f"customer_id, customer_name\nA, Ad{hidden}ler\nB, Birch"})
    export_workbook(books, books.period("2024"), tmp_path / "w.xlsx", parameters={"p": hidden}, lists={})
    with zipfile.ZipFile(tmp_path / "w.xlsx") as file:
        parts = [ElementTree.fromstring(file.read(name)) for name in file.namelist() if name.endswith(".xml")]
    text = "".join(part.text or "" for tree in parts for part in tree.iter())
    assert "Ad\\u0001\\u001a\\u007f\\u202eler" in text
    assert not {*hidden} & {*text}
    assert "_x0001_" not in text


def column(path: Path, heading: str) -> dict[str, Any]:
    """Customer → value under the first such heading of the sheet of customers; the total under 'All'."""
    rows = list(openpyxl.load_workbook(path, data_only=True)["P&L by customer"].iter_rows(values_only=True))
    at = next(i for i, row in enumerate(rows) if row[0] == "Customer")
    place = next(i for i, name in enumerate(rows[at]) if str(name).startswith(heading))
    return {str(row[0] or row[1]): row[place] for row in rows[at + 1 :]}


def test_amounts_are_those_of_the_ledger_and_costs_are_negative(workbook: Path) -> None:
    assert column(workbook, "Sales") == {
        "00123": 1000.10,
        "B": 1000,
        "Unassigned": 7.77,
        "R": 20,
        "C": 100,
        "All": 2127.87,
    }
    assert column(workbook, "Salaries")["00123"] == -99.99
    margins = column(workbook, "Net segment margin, before")
    assert {k: round(v, 2) for k, v in margins.items()} == {
        "B": 666.66, "00123": 450.03, "Unassigned": 6.66, "R": 0, "C": -50.55, "All": 1072.80,
    }  # fmt: skip
    assert list(margins) == ["B", "00123", "R", "C", "Unassigned", "All"]


def test_a_line_without_a_source_is_not_available_and_not_zero(workbook: Path) -> None:
    assert set(column(workbook, "Bad debts").values()) == {"not available"}


def test_a_share_of_sales_that_are_not_positive_is_no_number(books: Books, tmp_path: Path) -> None:
    export_workbook(books, books.period("2025-04"), tmp_path / "w.xlsx", parameters={}, lists={})
    shares = column(tmp_path / "w.xlsx", "Net sales, % of gross sales")
    assert shares == {"R": "n/a", "All": "n/a"}
    assert differing(tmp_path / "w.xlsx", tmp_path) == []


def test_books_without_account_types_give_the_firm_alone(tmp_path: Path) -> None:
    customers = "customer_id,customer_name\nA,Alone"
    sales = "customer_id,invoice_date,gross_sales\nA,2025-01-10,5.25\nA,2025-02-10,4"
    plain = small_books(tmp_path, {"customers": customers, "invoice_lines": sales})
    export_workbook(plain, plain.period("2025Q1"), tmp_path / "w.xlsx", parameters={}, lists={})
    export_data(plain, plain.period("2025Q1"), tmp_path / "data", {})
    rows = list(
        openpyxl.load_workbook(tmp_path / "w.xlsx", data_only=True)["P&L of the firm"].iter_rows(values_only=True)
    )
    assert ("Line", "Firm", "% of gross sales") in rows
    assert ("Sales", 9.25, 1) in rows
    assert differing(tmp_path / "w.xlsx", tmp_path) == []


def test_groups_that_differ_in_case_alone_are_summed_apart(make_books: Callable[..., Books], tmp_path: Path) -> None:
    books = make_books({"customers": "customer_id, customer_name, account_type\nA, Adler, shop\nB, Birch, Shop"})
    export_workbook(books, books.period("2024"), tmp_path / "w.xlsx", parameters={}, lists={})
    assert differing(tmp_path / "w.xlsx", tmp_path) == []


def test_a_period_in_which_nothing_happened_has_no_figures_and_no_error(books: Books, tmp_path: Path) -> None:
    export_workbook(books, books.period("2025-05"), tmp_path / "w.xlsx", parameters={}, lists={})
    export_data(books, books.period("2025-05"), tmp_path / "data", lists(books, books.period("2025-05")))
    write_index(tmp_path, books, books.period("2025-05"), [], [], pd.DataFrame(columns=COLUMNS))
    assert differing(tmp_path / "w.xlsx", tmp_path) == []


def test_the_firm_goes_down_to_operating_profit_and_groups_own_their_costs(workbook: Path) -> None:
    rows = list(openpyxl.load_workbook(workbook, data_only=True)["P&L by account type"].iter_rows(values_only=True))
    head = next(row for row in rows if row[0] == "Line")
    lines = {str(row[0]).split(",")[0]: row for row in rows if row[0]}
    firm, grocery, odd = (head.index(name) for name in ("Firm", "Grocery chains", "-2+3"))
    assert round(lines["Operating profit"][firm], 2) == 982.72
    assert lines["Operating profit"][grocery] == "–"
    assert round(lines["Net segment margin"][grocery], 2) == 1106.68
    assert lines["Advertising"][odd] == -3
    assert round(lines["Net margin of its customers"][grocery], 2) == 1116.69
    assert round(lines["Net margin of its customers"][firm], 2) == 1072.80


def test_every_check_is_ok_and_a_changed_amount_turns_it(workbook: Path, tmp_path: Path) -> None:
    verdicts = {
        row[5]
        for row in openpyxl.load_workbook(workbook, data_only=True)["Checks"].iter_rows(min_row=6, values_only=True)
    }
    assert verdicts == {"ok"}
    changed = openpyxl.load_workbook(workbook)
    changed["P&L by customer"]["F5"] = 1
    changed.save(tmp_path / "changed.xlsx")
    again = cells(recalculated(tmp_path / "changed.xlsx", tmp_path), values=True)
    assert again["Checks", "F4"] == "differs"
    before = cells(workbook, values=True)
    assert again["P&L by account type", "B5"] == pytest.approx(
        before["P&L by account type", "B5"] - 999
    )  # goes through to groups
    assert again["Summary", "B5"] == pytest.approx(before["Summary", "B5"] - 999)


def test_the_workbook_opens_with_a_summary_and_holds_the_complete_lists(workbook: Path) -> None:
    book = openpyxl.load_workbook(workbook, data_only=True)
    assert book.sheetnames[0] == "Summary"
    assert len(book["Summary"]._charts) == 1
    assert {"Segments", "Key accounts", "At risk", "Actions", "Contradictions", "Teams"} <= set(book.sheetnames)
    rows = list(book["Actions"].iter_rows(min_row=4, values_only=True))
    assert rows[0][:3] == ("Customer id", "Customer name", "Segment")
    assert [row[0] for row in rows[1:]] == ["00123", "C", "R"]  # two silent, one with a loss
    assert len(list(book["Segments"].iter_rows(min_row=5))) == 4


def test_the_workbook_says_what_it_was_made_from(workbook: Path, books: Books) -> None:
    texts = {value for (sheet, _), value in cells(workbook).items() if sheet in {"Read me", "Parameters"}}
    assert {books.data_hash, CLIENT, "2025-01..2025-06: 2025-01-01 to 2025-06-30, by invoice date"} <= texts


# --- data ------------------------------------------------------------------------------------------------------------


def test_csv_holds_text_as_it_is_and_every_digit(books: Books, tmp_path: Path) -> None:
    export_data(books, books.period("2025Q1"), tmp_path, {})
    raw = (tmp_path / "customer_profitability.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    assert '"@Élan {{ 7*7 }}"'.encode() in raw
    with (tmp_path / "customer_profitability.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    first = next(row for row in rows if row["customer_id"] == "00123")
    assert (first["customer_name"], first["sales"], first["discounts_returns_allowances"]) == (
        "=1+1",
        "1000.10000000",
        "50.05000000",
    )
    assert not re.search(rb"\dE[-+]?\d", raw)


def test_a_column_has_the_same_type_whatever_it_holds(books: Books, tmp_path: Path) -> None:
    types: dict[tuple[str, str], set[str]] = {}
    for text in ("2025Q1", "2025-02", "2025-05"):  # nothing happened in the last
        period = books.period(text)
        export_data(books, period, tmp_path / text, lists(books, period))
        for file in (tmp_path / text).glob("*.parquet"):
            for field in pq.read_schema(file):
                types.setdefault((file.stem, field.name), set()).add(str(field.type))
    assert len(types) > 100
    assert {column: found for column, found in types.items() if len(found) > 1 or "null" in found} == {}


def test_parquet_holds_the_same_decimals_as_the_books(books: Books, tmp_path: Path) -> None:
    from crmlib.profitability import customer_profitability

    export_data(books, books.period("2025Q1"), tmp_path, {})
    kept = pd.read_parquet(tmp_path / "customer_profitability.parquet")
    expected = customer_profitability(books, books.period("2025Q1"))
    assert list(kept["sales"]) == list(expected["sales"])
    assert isinstance(kept["sales"][0], Decimal)
    assert set(pd.read_parquet(tmp_path / "cube.parquet")["month"].astype(str)) == {
        "2025-01-01",
        "2025-02-01",
        "2025-03-01",
    }
    names = {"customer_profitability", "account_type_profitability", "cube", "findings", "tie_out", "intake"}
    assert {file.name for file in tmp_path.iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("csv", "parquet")
    }


# --- index -----------------------------------------------------------------------------------------------------------


def made(number: str, title: str) -> Page:
    return Page(number, title, f"{title}?", f"{number}.html", f"{number}.ipynb", 3.4, False)


def executed(path: Path, title: str, *findings: tuple[str, float]) -> None:
    """An executed notebook: a title, an exhibit, what it has found, and what is about it."""
    records = [{"text": text, "amount": amount, "cell": "exhibit"} for text, amount in findings]
    cells = [
        v4.new_markdown_cell(f"# {title}\n\n**{title}?**", id="title"),
        code("open", shown({"text/plain": "All was read"}), tags=("rests-on",)),
        v4.new_markdown_cell("## Who earns?\n\nSee *Second*.", id="question"),
        code("plot()", shown({"text/html": "<p>exhibit</p>"})),
        v4.new_markdown_cell("## Findings", metadata={"tags": ["findings"]}),
        code("say.findings()", shown({FINDINGS: records, "text/plain": "found"}), tags=("findings",)),
        code("check()", shown({"text/html": f"<p>checked of {title}</p>"}), tags=("about",)),
    ]
    cells[3].id = "exhibit"
    nbformat.write(v4.new_notebook(cells=cells, metadata={"crm": {"client": CLIENT, "period": "2025"}}), path)


@pytest.fixture(scope="module")
def site(books: Books, workbook: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of two notebooks, what is about them, and the index."""
    folder, period = tmp_path_factory.mktemp("site"), books.period("2025-01..2025-06")
    shutil.copy(workbook, folder / "workbook.xlsx")
    export_data(with_segments(books, period), period, folder / "data", lists(books, period))
    executed(folder / "27.ipynb", "Who <b>earns</b> what", ("Adler loses EUR 12 k.", 12e4), ("All <b>is</b> well.", 0))
    executed(folder / "28.ipynb", "Second", ("Birch earns EUR 1 M.", 1e6))
    write_site(folder, books, period, [made("27", "Who <b>earns</b> what"), made("28", "Second")])
    return folder


def parsed(file: Path) -> BeautifulSoup:
    return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")


def test_the_index_is_a_summary_figures_findings_actions_pages_and_files(site: Path) -> None:
    index = parsed(site / "index.html")
    text = " ".join(index.get_text(" ").split())
    assert CLIENT in text
    assert "Confidential" in text
    assert "books as of 30 June 2025" in text
    assert [value.get_text() for value in index.select(".value")] == ["EUR 2,058", "EUR 1,173", "EUR 1,066", "EUR 983"]
    assert [item.get_text(" ", strip=True) for item in index.select(".findings li")] == [
        "Birch earns EUR 1 M. Second", "Adler loses EUR 12 k. Who <b>earns</b> what",
    ]  # fmt: skip
    assert index.select_one('.findings a[href="28.html#exhibit"]') is not None
    row = index.select_one("table.actions tbody tr")
    assert row is not None
    assert (
        row.get_text("|", strip=True)
        == "=1+1|Silent|450|Silent since January 2025|Win back: visit, and find out why|not known"
    )
    assert [p.get_text() for p in index.select("p.worth")] == [
        "What belongs to no customer takes EUR 83.42 from the EUR 1.07 k of customers: the firm's operating profit is EUR 982.72."
    ]
    assert "Silent: has not ordered for long, by its own rhythm" in text  # what a segment means that is named here
    assert "thousand" not in text
    assert "the others stand" not in text
    assert index.select_one("figure img[alt^='Whale curve']") is not None
    assert "Made in" not in text
    links = [str(link["href"]).partition("#")[0] for link in index.find_all("a")]
    assert all((site / link).exists() for link in links)
    assert {"27.html", "about.html", "workbook.xlsx", "data/cube.csv", "data/actions.parquet"} <= set(links)


def test_the_summary_has_the_board_of_the_process_where_one_is_kept(
    books: Books, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parsed(site / "index.html").select(".board") == []
    steps = [
        {
            "sub_process": "S1",
            "name": "Review",
            "page": "27",
            "done": "8 Jan 2025",
            "owner": "Ann <b>",
            "output": "Brief",
        },
        {"sub_process": "S2", "name": "Criteria", "page": "12", "done": "", "owner": "", "output": ""},
    ]
    monkeypatch.setattr("crmlib.output.index.board", lambda books: pd.DataFrame(steps))
    write_index(tmp_path, books, books.period("2025-05"), [made("27", "Report")], [], pd.DataFrame(columns=COLUMNS))
    board = parsed(tmp_path / "index.html").select_one("details:has(.board)")
    assert board is not None
    assert [part.get_text(" ", strip=True) for part in board.select("summary, li")] == [
        "The process: a run is recorded of 1 of its 2 sub-processes", "S1 Review 8 Jan 2025, Ann <b>: Brief",
        "S2 Criteria no run recorded",
    ]  # fmt: skip
    assert [link["href"] for link in board.select("a")] == ["27.html"]


def test_a_page_has_its_findings_under_the_title_and_links_to_what_shows_them_and_to_the_pages_beside_it(
    site: Path,
) -> None:
    first, second = parsed(site / "27.html"), parsed(site / "28.html")
    heading, found = first.find("h1"), first.select_one("section.findings")
    assert heading is not None
    assert found is not None
    assert heading.find_next("section") is found
    assert [a["href"] for a in found.find_all("a")] == ["#exhibit", "#exhibit"]
    assert first.select_one("#exhibit") is not None
    assert [a["href"] for a in first.select(".beside a")] == ["28.html"]
    assert [a["href"] for a in second.select(".beside a")] == ["27.html"]
    assert first.select_one('main a[href="28.html"]') is not None  # a page that is named is linked
    assert "All was read" in first.select("footer p")[0].get_text()
    assert [a.get_text() for a in second.select(".contents a")] == []


def test_what_is_about_the_figures_stands_on_a_page_of_its_own(site: Path, books: Books) -> None:
    text = " ".join(parsed(site / "about.html").get_text(" ").split())
    assert "checked of Second" in text
    assert books.data_hash in text
    assert "tied out to the cent" in text
    assert "checked of" not in parsed(site / "27.html").get_text()


def test_the_summary_says_what_to_do_in_the_words_of_the_report(books: Books, tmp_path: Path) -> None:
    row = dict.fromkeys(COLUMNS, "Adler") | {"aim": WIN_BACK, "worth": None, "at_stake": Decimal(40)}
    told = Finding("1 customer has stopped ordering.", 40.0, "27_b.html", "actions")
    write_index(tmp_path, books, books.period("2025-05"), [made("27_b", "Report")], [told], pd.DataFrame([row]))
    index = parsed(tmp_path / "index.html")
    assert [p.get_text() for p in index.select("#to-do + p")] == [f"{told.text} Whom to talk to"]
    assert index.select_one(".findings a") is None


def test_the_summary_begins_with_the_report_then_takes_the_first_finding_of_each_page_and_then_the_largest() -> None:
    pages = ("11_a", "27_b", "31_c")
    findings = [Finding(f"{page} {n}", 1000.0 * n * n, page, "") for page in pages for n in range(2, 7)]
    small = [Finding("32_d", 1.0, "32_d", ""), Finding("27_b small", 1.0, "27_b", "")]
    chosen = chosen_findings([small[1], *findings, small[0]])
    assert [f.text for f in chosen] == ["27_b 2", "27_b 3", "27_b 4", "27_b 5", "11_a 2", "31_c 2", "11_a 6"]
