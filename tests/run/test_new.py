"""`crm new --from`: whatever the form of an export, the books come out the same, and nothing is written that the data contradict."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import exports
import pytest
import yaml
from conftest import values

from crmlib.books.reader import read_ledger
from crmlib.books.sheets import Engine
from crmlib.books.sniff import sheets
from crmlib.books.stored import open_books, standing
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import PROJECT, DataRejected, SettingsError
from crmlib.run.drafts import Question
from crmlib.run.new import write_template

FLAT = "Customer,Date,Amount"
LACKING = dict.fromkeys(("quickbooks", "under_headings", "general_ledger"), ("discount", "cost"))
LACKING |= dict.fromkeys(("first_rows", "repeated_totals", "audited"), ("cost",))


def set_up(
    tmp_path: Path, files: Sequence[Path], answers: dict[str, str] | None = None
) -> tuple[Path, list[Question], list[str]]:
    """An engagement of these files, the questions that were asked, and what stayed open; without answers nobody is there."""
    asked: list[Question] = []

    def ask(question: Question) -> str:
        asked.append(question)
        return "" if answers is None else answers.get(question.key, question.default)

    still_open = write_template(tmp_path / "acme", [*map(str, files)], ask)
    return tmp_path / "acme", asked, still_open


def mapping(folder: Path) -> dict[str, Any]:
    content = yaml.safe_load((folder / "engagement.yml").read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def csv_file(tmp_path: Path, *rows: str, name: str = "sales.csv") -> Path:
    file = tmp_path / name
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return file


@pytest.mark.parametrize("export", exports.EXPORTS)
def test_all_exports_of_the_same_lines_give_the_same_books(export: str, tmp_path: Path) -> None:
    folder, _, still_open = set_up(tmp_path, exports.EXPORTS[export](tmp_path))
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert [f for f in ledger.defects if f.verdict == "reject"] == []
    columns = {"gross": "gross_sales", "discount": "discount", "cost": "cost_of_goods"}
    for absent in LACKING.get(export, ()):
        del columns[absent]
    rows = [row for row in values(ledger, "invoice_lines", *columns.values(), "kind") if row[-1] != "exclude"]
    read = dict(zip(columns, zip(*rows, strict=True), strict=False))
    assert {name: sum(amounts) for name, amounts in read.items()} == {n: exports.amounts()[n] for n in columns}
    assert len(rows) == len(exports.lines())
    assert sorted(values(ledger, "customers", "customer_name")) == sorted(exports.CUSTOMERS.values())
    said = (
        {"heads_and_lines": "USD", "list_prices": "USD", "swiss": "CHF"}
        | dict.fromkeys(("german", "workbook", "french", "sap", "credit_memos_apart", "numbered_anew"), "EUR")
        | {"accounting": "GBP", "repeated_totals": "GBP"}
    )
    currency = said.get(export, "XXX")
    assert mapping(folder)["currency"] == currency
    assert any("currency" in text for text in still_open) == (currency == "XXX")
    assert mapping(folder)["coverage"] == {"start": "2024-01", "end": "2024-12"}


@pytest.mark.parametrize("export", exports.NET)
def test_what_each_customer_bought_net_comes_out_of_what_holds_more_than_invoices(export: str, tmp_path: Path) -> None:
    folder, _, _ = set_up(tmp_path, exports.NET[export](tmp_path))
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert [f for f in ledger.defects if f.verdict == "reject"] == []
    discount = ["discount"] * ("discount" in ledger.tables["invoice_lines"].columns)
    names = dict(values(ledger, "customers", "customer_id", "customer_name"))
    bought = dict.fromkeys(exports.CUSTOMERS.values(), Decimal(0))
    for customer, kind, gross, *off in values(ledger, "invoice_lines", "customer_id", "kind", "gross_sales", *discount):
        bought[names[customer]] += 0 if kind == "exclude" else gross - sum(off)
    net = {(r["name"], r["document"], r["line"]): r["net"] for r in exports.lines()}
    assert bought == {
        name: sum(amount for (who, *_), amount in net.items() if who == name) for name in exports.CUSTOMERS.values()
    }


BY_MONTH = ["Anna,10.50,20.25,31.00", "Bert,1.10,2.20,4.40"]


@pytest.mark.parametrize(
    ("more", "net"),
    [
        (["Total,11.60,22.45,35.40"], "69.45"),
        ([",11.60,22.45,35.40"], "69.45"),
        (
            [
                "Total North,11.60,22.45,35.40",
                "Cleo,5.00,6.00,7.70",
                "Total South,5.00,6.00,7.70",
                "Total,16.60,28.45,43.10",
            ],
            "88.15",
        ),
        (["Total Energies,9.00,9.00,9.00", "Total,20.60,31.45,44.40"], "96.45"),
        (["Total Energies,9.00,9.00,9.00"], "96.45"),
        (["Total,9.00,9.00,9.00"], ""),
    ],
    ids=[
        "a total",
        "a total of nobody",
        "totals of parts and of all",
        "a customer named like a total, and a total",
        "a customer named like a total",
        "a total of something else",
    ],
)
def test_rows_to_which_others_add_up_are_totals_among_months_side_by_side_and_a_name_alone_makes_none(
    more: list[str], net: str, tmp_path: Path
) -> None:
    folder, _, _ = set_up(tmp_path, [csv_file(tmp_path, "Customer,Jan 2024,Feb 2024,Mar 2024", *BY_MONTH, *more)])
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    if not net:
        assert "invoice_lines" not in ledger.tables
    else:
        assert sum(values(ledger, "invoice_lines", "gross_sales")) == Decimal(net)


@pytest.mark.parametrize("example", ["datev", "dolibarr", "erpnext", "odoo", "quickbooks", "sap_copa"])
def test_the_mapping_of_an_example_comes_out_of_its_files_alone(example: str, tmp_path: Path) -> None:
    theirs = PROJECT / "examples" / example
    folder, _, _ = set_up(tmp_path, sorted((theirs / "ledger").iterdir()), {"currency": "EUR"})
    columns = ("customer_id", "invoice_date", "kind", "gross_sales")
    made, declared = (
        [
            row
            for row in values(read_ledger(open_engagement(each), tmp_path / each.name), "invoice_lines", *columns)
            if row[2] != "exclude"
        ]
        for each in (folder, theirs)
    )
    assert len(declared) >= 4
    assert sorted(made) == sorted(declared)


def test_heads_and_lines_of_several_months_are_joined_by_pattern_so_that_new_months_are_read_too(
    tmp_path: Path,
) -> None:
    files = []
    for month in (1, 2):
        files.append(
            csv_file(
                tmp_path,
                "Id,Date,Customer",
                f"{month}7,2025-0{month}-03,A",
                f"{month}8,2025-0{month}-20,B",
                name=f"invoices_2025-0{month}.csv",
            )
        )
        rows = [f"{month}{order},{line},10.50" for order in (7, 8) for line in (1, 2)]
        files.append(csv_file(tmp_path, "Invoice Id,Line,Amount", *rows, name=f"invoice_lines_2025-0{month}.csv"))
    folder, _, _ = set_up(tmp_path, files)
    table = mapping(folder)["tables"]["invoice_lines"]
    assert (table["source"], table["join"]) == ("invoice_lines*", {"invoices*": {"Invoice Id": "Id"}})
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert [f for f in ledger.defects if f.verdict == "reject"] == []
    assert sum(values(ledger, "invoice_lines", "gross_sales")) == 84
    assert sorted(values(ledger, "customers", "customer_id")) == ["A", "B"]


def test_a_line_without_a_date_is_no_total(tmp_path: Path) -> None:
    file = csv_file(tmp_path, FLAT, "A,2025-01-01,1.00", "B,,2.00", "A,2025-01-03,3.00", "Total,,6.00")
    folder, _, _ = set_up(tmp_path, [file])
    assert "where" not in mapping(folder)["tables"]["invoice_lines"], "the check says it, with the row"


UNDATED = {
    "a line": (",R7,,999.00", True),
    "a total by its word": ("Total,,,999.00", False),
    "the sum of the rows above": (",,,8.00", False),
    "sums of parts and of all": (",,,8.00\n2025-01-05,R5,A,2.00\n,,,2.00\n,,,10.00", False),
}


@pytest.mark.parametrize("case", UNDATED)
def test_rows_without_date_and_customer_are_left_out_where_they_are_totals_and_asked_where_they_are_none(
    case: str, tmp_path: Path
) -> None:
    row, is_asked = UNDATED[case]
    rows = [f"2025-01-0{n},R{n},{'AB'[n % 2]},{n}.00" for n in (1, 3, 4)]
    folder, asked, _ = set_up(tmp_path, [csv_file(tmp_path, "Date,Invoice,Customer No,Amount", *rows, row)])
    assert [q.evidence for q in asked if q.key == "tables.invoice_lines.where"] == ([["R7 999.00"]] if is_asked else [])
    assert ("where" in mapping(folder)["tables"]["invoice_lines"]) is not is_asked
    rejected = {
        f.code for f in read_ledger(open_engagement(folder), tmp_path / "work").defects if f.verdict == "reject"
    }
    assert rejected == ({"blank"} if is_asked else set())


DIFFERENCES = {"before discount": ("List - Net", "List"), "with tax": (None, "Net"), "": (None, "Net")}


@pytest.mark.parametrize("answer", DIFFERENCES)
def test_a_column_that_lies_between_two_amounts_is_asked_for_a_discount(answer: str, tmp_path: Path) -> None:
    rows = [
        f"{'AB'[n % 2]},2025-01-1{n},{100 * n},{10 * n * (n % 2)},{100 * n - 10 * n * (n % 2)}" for n in range(1, 7)
    ]
    file = csv_file(tmp_path, "Customer,Date,List,K2,Net", *rows)
    folder, asked, _ = set_up(
        tmp_path,
        [file],
        {"tables.invoice_lines.columns.discount": answer, "tables.invoice_lines.columns.gross_sales": "Net"},
    )
    columns = mapping(folder)["tables"]["invoice_lines"]["columns"]
    assert (columns.get("discount"), columns["gross_sales"]) == DIFFERENCES[answer]
    assert next(q for q in asked if q.key.endswith("discount")).evidence[0] == "List 100, K2 10, Net 90"


def test_a_date_that_fits_two_ways_is_asked_with_three_rows_and_left_marked_where_nobody_answers(
    tmp_path: Path,
) -> None:
    rows = [FLAT, "A,03/04/2025,10.50", "B,05/06/2025,20.00", "A,07/08/2025,5.00"]
    folder, asked, still_open = set_up(tmp_path, [csv_file(tmp_path, *rows)])
    question = next(q for q in asked if q.key == "tables.invoice_lines.formats.dates")
    assert (question.choices, question.evidence) == (
        ["%d/%m/%Y", "%m/%d/%Y"],
        ("03/04/2025", "05/06/2025", "07/08/2025"),
    )
    assert any("form" in text and "03/04/2025" in text for text in still_open)
    assert "formats" not in mapping(folder)["tables"]["invoice_lines"]
    assert mapping(folder)["open"]["tables.invoice_lines.formats.dates"]["taken"] == "none"


OPEN = {
    "what a status of a shop means": ("Order Status", ["wc-completed", "wc-failed", "wc-on-hold"], "tables.invoice_lines.kinds (Order Status)", "sales", Decimal("3.00")),
    "a share taken off, or not yet": ("Discount %", ["10", "0", "10"], "tables.invoice_lines.columns.gross_sales (discount)", "before", Decimal("0.40")),
    "what codes of a type mean": ("Document Type", ["2", "3", "2"], "tables.invoice_lines.kinds (Document Type)", "sales", Decimal("6.00")),
    "what one type beside others means": ("Type", ["INV", "Journal", "Credit Memo"], "tables.invoice_lines.kinds (Type)", "sales", Decimal("2.00")),
    "parts of one, or percents": ("Discount %", ["0.1", "0", "0.1"], "tables.invoice_lines.columns.discount (share)", "parts of one", Decimal("0.40")),
    "what a status means": ("Status", ["paid", "void", "on-hold"], "tables.invoice_lines.kinds (Status)", "sales", Decimal("3.00")),
    "whether tax is in an amount": ("VAT", ["0.10", "0.13", "0.11", "0.12", "0.14", "0.15"], "tables.invoice_lines.columns.gross_sales (tax)", "no", Decimal("0.75")),
    "before or after discount": ("Discount", ["0.10", "0.00", "0.13"], "tables.invoice_lines.columns.gross_sales (discount)", "before", Decimal("0.23")),
    "what was paid": ("Sales Amount Paid", ["1.00", "2.00", "0.00"], "tables.invoice_lines.columns.discount", "no", Decimal("3.00")),
}  # fmt: skip


@pytest.mark.parametrize("case", OPEN)
def test_what_nobody_has_answered_refuses_the_books_with_its_amount_until_its_entry_is_removed(
    case: str, tmp_path: Path
) -> None:
    header, cells, key, taken, amount = OPEN[case]
    rows = [f"{'AB'[n % 2]},2025-01-0{n},R{n},{n}.00,{cell}" for n, cell in enumerate(cells, 1)]
    file = csv_file(tmp_path, f"Customer,Date,Invoice No,Sales Amount,{header}", *rows)
    folder, *_ = set_up(tmp_path, [file], {key: ""})
    with pytest.raises(DataRejected) as refused:
        open_books(folder)
    [finding] = refused.value.findings.query("code == 'settings-open'").to_dict("records")
    assert (finding["verdict"], finding["column"], finding["value"], finding["amount"]) == (
        "reject",
        f"open.{key}",
        taken,
        amount,
    )
    settings = mapping(folder)
    del settings["open"]
    (folder / "engagement.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert "settings-open" not in {*open_books(folder).findings["code"]}


def test_an_open_question_refuses_the_books_also_where_what_hangs_on_it_cancels(tmp_path: Path) -> None:
    rows = ["A,10.50,20.25,31.00", "B,-10.50,-20.25,-31.00"]
    file = csv_file(tmp_path, "Customer,Jan 2024,Feb 2024,Mar 2024", *rows)
    folder, *_ = set_up(tmp_path, [file], {"tables.invoice_lines.source (months)": ""})
    with pytest.raises(DataRejected) as refused:
        open_books(folder)
    assert "settings-open" in {*refused.value.findings.query("verdict == 'reject'")["code"]}


def test_an_open_question_on_which_no_amount_hangs_is_a_warning(tmp_path: Path) -> None:
    days = [
        f"{'AB'[day % 3]},2025-{month:02}-{day:02},1.00"
        for month in range(1, 5)
        for day in (3, 28)
        if (month, day) != (4, 28)
    ]
    folder, *_ = set_up(tmp_path, [csv_file(tmp_path, FLAT, *days)], {"coverage (last month)": ""})
    books = open_books(folder)
    found = books.findings.query("code == 'settings-open'")
    assert "1 question on how these books are to be read is not answered" in standing(books)
    assert found[["verdict", "column", "value"]].values.tolist() == [
        ["warn", "open.coverage (last month)", "leave out"]
    ]


def test_a_number_that_fits_two_ways_is_refused_with_the_difference(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "Customer;Date;Amount", "A;2025-01-01;1.500", "B;2025-01-02;2.250")
    folder, *_ = set_up(tmp_path, [file], {"tables.invoice_lines.formats.decimal": ""})
    assert mapping(folder)["open"]["tables.invoice_lines.formats.decimal"]["amount"] == 3746.25


def test_one_value_in_ten_thousand_proves_the_form_of_a_date(tmp_path: Path) -> None:
    rows = [FLAT, *(f"A,{n % 12 + 1:02}/{n % 9 + 1:02}/2025,1.00" for n in range(30_000)), "A,01/13/2025,1.00"]
    folder, asked, _ = set_up(tmp_path, [csv_file(tmp_path, *rows)])
    assert mapping(folder)["tables"]["invoice_lines"]["formats"] == {"dates": ["%m/%d/%Y"]}
    assert [q.key for q in asked] == ["currency"]


def test_an_answer_is_what_is_written(tmp_path: Path) -> None:
    file = csv_file(tmp_path, "Customer;Date;Amount", "A;03/04/2025;1.500", "B;05/06/2025;2.250", "A;07/08/2025;5.125")
    answers = {
        "tables.invoice_lines.formats.dates": "%m/%d/%Y",
        "tables.invoice_lines.formats.decimal": "comma",
        "currency": "chf",
    }
    folder, asked, still_open = set_up(tmp_path, [file], answers)
    assert still_open == []
    assert {q.key for q in asked} == set(answers)
    assert mapping(folder)["currency"] == "CHF"
    assert mapping(folder)["tables"]["invoice_lines"]["formats"] == {
        "delimiter": ";",
        "decimal": ",",
        "thousands": ".",
        "dates": ["%m/%d/%Y"],
    }
    total = sum(values(read_ledger(open_engagement(folder), tmp_path / "work"), "invoice_lines", "gross_sales"))
    assert total == Decimal(8875)


AMOUNTS = {
    "before discount by the price": ("Qty,Price,Net,Discount", ["2,10.00,18.00,2.00", "3,5.00,15.00,0.00"], {"gross_sales": "Qty * Price", "discount": "Discount"}),
    "discount in percent": ("Qty,Price,Net,Discount %", ["2,10.00,18.00,10", "3,5.00,15.00,0"], {"gross_sales": "Qty * Price", "discount": "Qty * Price - Net"}),
    "an amount with tax": ("Qty,Price,Tax,Amount", ["2,10.00,3.80,23.80", "3,5.00,2.85,17.85"], {"gross_sales": "Qty * Price"}),
    "only tax and the total with it": ("Tax,Total incl VAT", ["3.80,23.80", "2.85,17.85"], {"gross_sales": '"Total incl VAT" - Tax'}),
    "a cost of one unit": ("Item,Qty,Amount,Cost", ["P,2,20.00,4.00", "P,3,30.00,4.00", "Q,1,9.00,2.00"], {"gross_sales": "Amount", "cost_of_goods": "Qty * Cost"}),
    "a cost of the line": ("Item,Qty,Amount,Cost", ["P,2,20.00,8.00", "P,3,30.00,12.00", "Q,1,9.00,2.00"], {"gross_sales": "Amount", "cost_of_goods": "Cost"}),
    "amounts with the opposite sign": ("Amount", ["-20.00", "-30.00", "5.00"], {"gross_sales": {"column": "Amount", "sign": "turned"}}),
    "credit notes written positive": ("Type,Qty,Amount", ["INV,2,20.00", "CN,1,10.00", "INV,1,10.00"], {
        "gross_sales": "case when Type in ('CN') then -(Amount) else Amount end", "quantity": "case when Type in ('CN') then -(Qty) else Qty end"}),
    "an amount in thousands": ("Umsatz TEUR,Rabatt T€", ["1.25,0.00", "2.50,0.25"], {"gross_sales": '("Umsatz TEUR") * 1000', "discount": '("Rabatt T€") * 1000'}),
    "a total below the subtotal": ("Line Subtotal,Line Total", ["20.00,18.00", "30.00,30.00"], {"gross_sales": "Line Subtotal", "discount": '"Line Subtotal" - "Line Total"'}),
    "what was paid of an amount": ("Net Amount,Net Amount Paid", ["20.00,18.00", "30.00,30.00"], {"gross_sales": "Net Amount", "discount": None}),
    "a part that was refunded": ("Amount,Amount Refunded", ["20.00,5.00", "30.00,0.00"], {"gross_sales": "Amount", "discount": "Amount Refunded"}),
    "an amount after discounts of ten percent": ("Amount,Discount", ["900.00,100.00", "300.00,0.00"], {"gross_sales": "Amount + Discount", "discount": "Discount"}),
    "quantities in two columns": ("Qty Invoiced,Quantity Credited,Price,Amount", ["2,,10.00,20.00", ",-1,10.00,-10.00"], {"quantity": 'coalesce("Qty Invoiced", "Quantity Credited")', "gross_sales": "Amount"}),
    "an amount that holds a tax": ("VAT,Amount", [f"{19 * n}.00,{119 * n}.00" for n in (1, 2, 3, 4, 5, 6)], {"gross_sales": "(Amount - VAT)"}),
    "an amount beside its tax": ("VAT,Amount", [f"{19 * n}.00,{100 * n}.00" for n in (1, 2, 3, 4, 5, 6)], {"gross_sales": "Amount"}),
    "marks of debit and credit": ("S/H,Betrag", ["S,20.00", "H,5.00", "S,10.00"], {"gross_sales": """case when "S/H" = 'S' then Betrag else -Betrag end"""}),
}  # fmt: skip


@pytest.mark.parametrize("case", AMOUNTS)
def test_the_sums_of_the_columns_say_what_an_amount_is(case: str, tmp_path: Path) -> None:
    header, rows, columns = AMOUNTS[case]
    dated = [f"{'AB'[n % 2]},2025-01-{n + 10},R{n},{row}" for n, row in enumerate([*rows, *rows])]
    folder, _, _ = set_up(tmp_path, [csv_file(tmp_path, f"Customer,Date,Invoice No,{header}", *dated)])
    written = mapping(folder)["tables"]["invoice_lines"]["columns"]
    assert {name: written.get(name) for name in columns} == columns
    assert [f for f in read_ledger(open_engagement(folder), tmp_path / "work").defects if f.verdict == "reject"] == []


def test_a_time_of_day_is_cut_and_keys_that_are_numbers_are_text(tmp_path: Path) -> None:
    file = csv_file(tmp_path, FLAT, "7,2025-01-01 10:30:00,10.50", "8,2025-01-02,20.00", "7,2025-01-03T08:00:00,5.00")
    folder, _, _ = set_up(tmp_path, [file])
    assert mapping(folder)["tables"]["invoice_lines"]["columns"]["invoice_date"] == {"column": "Date", "cast": True}
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert [f.code for f in ledger.defects if f.verdict == "reject"] == []
    assert sorted(values(ledger, "customers", "customer_id")) == ["7", "8"]


def test_whole_months_are_proposed_and_the_rest_is_asked(tmp_path: Path) -> None:
    days = [f"A,2025-{month:02}-{day:02},1.00" for month in range(1, 5) for day in (2, 28) if (month, day) != (4, 28)]
    file = csv_file(tmp_path, FLAT, *days)
    folder, asked, _ = set_up(tmp_path, [file], {"currency": "EUR"})
    assert mapping(folder)["coverage"] == {"start": "2025-01", "end": "2025-03"}
    assert "2025-04" in next(q.text for q in asked if q.key.startswith("coverage"))


def test_numbers_that_restart_name_the_document_by_what_tells_them_apart(tmp_path: Path) -> None:
    rows = [f"{'AB'[year % 2]}{n},{year}-03-0{n},{n},10.00" for year in (2024, 2025) for n in range(1, 4)]
    folder, _, _ = set_up(tmp_path, [csv_file(tmp_path, "Customer,Date,Invoice No,Amount", *rows)])
    assert mapping(folder)["tables"]["invoice_lines"]["document"] == ["year", "order_id"]


def test_status_and_type_say_what_is_no_sale(tmp_path: Path) -> None:
    rows = [
        "A,2025-01-01,10.00,posted,Invoice",
        "A,2025-01-02,10.00,Draft,Invoice",
        "B,2025-01-03,10.00,posted,Anzahlung",
    ]
    folder, _, _ = set_up(tmp_path, [csv_file(tmp_path, f"{FLAT},Status,Type", *rows)])
    assert mapping(folder)["tables"]["invoice_lines"]["kinds"] == {
        "exclude": "Status in ('Draft')",
        "deposit": "Type in ('Anzahlung')",
    }


@pytest.mark.parametrize("answer", ["sales", "exclude", ""])
def test_a_status_that_says_nothing_beside_others_that_do_is_asked(answer: str, tmp_path: Path) -> None:
    rows = [
        f"{'AB'[n % 2]},2025-01-0{n},10.00,{status}"
        for n, status in enumerate(("completed", "failed", "on-hold", "partially refunded"), 1)
    ]
    key = "tables.invoice_lines.kinds (Status)"
    folder, asked, still_open = set_up(tmp_path, [csv_file(tmp_path, f"{FLAT},Status", *rows)], {key: answer})
    [question] = [q for q in asked if q.key == key]
    assert "on-hold or partially refunded" in question.text
    out = "Status in ('failed', 'on-hold', 'partially refunded')" if answer == "exclude" else "Status in ('failed')"
    assert mapping(folder)["tables"]["invoice_lines"]["kinds"] == {"exclude": out}
    assert any(question.text in text for text in still_open) is (answer == "")


@pytest.mark.parametrize("mark", ["*", "Main Line"])
def test_the_line_of_a_document_s_total_and_lines_of_tax_are_left_out(mark: str, tmp_path: Path) -> None:
    rows = [
        f"R{n},2025-01-0{n},{'AB'[n % 2]},{line}"
        for n in (1, 2, 3)
        for line in ("*,,,,54.00", ",T,,,4.00", ",,P,2,20.00", ",,Q,3,30.00")
    ]
    header = f"Document Number,Date,Name,{mark},Tax Line,Item,Quantity,Amount"
    folder, _, _ = set_up(tmp_path, [csv_file(tmp_path, header, *rows)])
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert [f for f in ledger.defects if f.verdict == "reject"] == []
    assert (
        sum(amount for amount, kind in values(ledger, "invoice_lines", "gross_sales", "kind") if kind != "exclude")
        == 150
    )


def test_a_yes_with_an_accent_says_what_is_void(tmp_path: Path) -> None:
    rows = ["A,2025-01-01,10.00,No", "A,2025-01-02,10.00,Sí", "B,2025-01-03,10.00,No"]
    folder, _, _ = set_up(tmp_path, [csv_file(tmp_path, f"{FLAT},Anulada", *rows)])
    assert mapping(folder)["tables"]["invoice_lines"]["kinds"] == {"exclude": "Anulada in ('Sí')"}


def test_a_minus_before_the_number_beside_others_behind_it_is_read_though_a_total_has_a_blank_there(
    tmp_path: Path,
) -> None:
    rows = ["A,2025-01-01,10.00,2", "A,2025-01-02,5.50-,-1", "B,2025-01-03,1.00,1", ",,5.50,"]
    folder, _, _ = set_up(tmp_path, [csv_file(tmp_path, f"{FLAT},Qty", *rows)])
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert [f for f in ledger.defects if f.verdict == "reject"] == []
    assert [*map(sum, zip(*values(ledger, "invoice_lines", "gross_sales", "quantity"), strict=True))] == [
        Decimal("5.5"),
        2,
    ]


def test_names_that_say_nothing_are_asked_and_contents_that_leave_one_choice_are_not(tmp_path: Path) -> None:
    rows = ["alpha,x1,2025-01-01,10.50", "beta,x2,2025-01-02,20.50", "alpha,x1,2025-02-02,1.50"]
    file = csv_file(tmp_path, "f1,f2,f3,f4", *rows, name="table.csv")
    folder, asked, _ = set_up(tmp_path, [file], {"currency": "EUR", "tables.invoice_lines.columns.customer_id": "f2"})
    columns = mapping(folder)["tables"]["invoice_lines"]["columns"]
    assert columns == {"customer_id": "f2", "invoice_date": "f3", "gross_sales": "f4"}
    question = next(q for q in asked if q.key.endswith("customer_id"))
    assert (question.choices, question.evidence[0]) == (["f1", "f2", "none"], "f1: alpha, beta")


def test_what_cannot_be_set_up_is_said(tmp_path: Path) -> None:
    sales = csv_file(tmp_path, FLAT, "A,2025-01-01,1.00")
    for sources, said in [
        ([tmp_path / "gone.csv"], "no such file"), ([csv_file(tmp_path, "%PDF\0", name="a.pdf")], "expected .csv"),
        ([sales, csv_file(tmp_path, "x", name="sales.txt")], "two files are named sales.csv"), ([sales, tmp_path / "a.duckdb"], "stands alone"),
    ]:  # fmt: skip
        (tmp_path / "a.duckdb").touch()
        with pytest.raises(SettingsError, match=said):
            write_template(tmp_path / "new", [*map(str, sources)])
        assert not (tmp_path / "new").exists()
    with pytest.raises(SettingsError, match="must hold a URL"):
        write_template(tmp_path / "new", ["env:NOT_SET_ANYWHERE"])


def test_at_a_terminal_it_asks_one_question_at_a_time_and_ends_with_the_check(tmp_path: Path) -> None:
    file = csv_file(tmp_path, FLAT, "A,03/04/2025,10.50", "B,05/06/2025,20.00", "A,07/08/2025,5.00")
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-c",
        "from crmlib.run.cli import app; app()",
        "new",
        str(tmp_path / "acme"),
        "--from",
        str(file),
        "--out",
        str(tmp_path / "out"),
    ]
    environment = os.environ | {"CRM_CACHE": str(tmp_path / "cache"), "TERM": "dumb", "COLUMNS": "200"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True
    )
    os.write(ours, b"nonsense\n2\nUSD\n")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert (
        said.index(f"looking at {file.name}")
        < said.index("Which form have the dates")
        < said.index("03/04/2025")
        < said.index("Which currency")
        < said.index("accepted")
    )
    assert said.rstrip().splitlines()[-1].startswith("next: crm run ")
    assert mapping(tmp_path / "acme")["coverage"] == {"start": "2025-03", "end": "2025-07"}


@pytest.mark.parametrize(("below", "carried"), [("1", [("Customer", "Day")]), ("7", [()])])
def test_what_stands_in_first_rows_alone_is_not_carried_below_the_number_of_another_document(
    below: str, carried: list[tuple[str, ...]], tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    head, *rows = (
        "Customer,Day,Invoice no,Item,Amount",
        "Alder,2024-01-05,1,Soap,10",
        f",,{below},Wax,20",
        "Birch,2024-02-05,2,Soap,30",
        ",,2,Wax,40",
    )
    (tmp_path / "lines.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    assert [sheet.carried for sheet in sheets(Engine(tmp_path / "work"), [str(tmp_path / "lines.csv")])] == carried
