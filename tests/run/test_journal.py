"""Bookings of debtors to accounts of revenue, in the layouts that DATEV and programs beside it write, give the same invoice lines."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from conftest import values
from test_new import mapping, set_up

from crmlib.books.reader import read_ledger
from crmlib.declared.engagement import open_engagement

META = '"EXTF";700;21;"Buchungsstapel";13;20260105091500000;;"RE";"";"";1001;1;{start};{length};{first};{last};"Made up";"";1;0;0;"EUR";;"";;;"{chart}";;;"";""'
HEADER = "Umsatz (ohne Soll/Haben-Kz);Soll/Haben-Kennzeichen;WKZ Umsatz;Kurs;Basis-Umsatz;WKZ Basis-Umsatz;Konto;Gegenkonto (ohne BU-Schlüssel);BU-Schlüssel;Belegdatum;Belegfeld 1;Buchungstext"
# gross amount, side of the debtor, debtor, account, tax key, day, document; and the net amount
SALES = [
    ("1190,00", "S", "10001", "8400", "", "0501", "R1", 1000),
    ("428,00", "S", "10002", "8300", "", "1102", "R2", 400),
    ("500,00", "S", "10002", "8125", "", "1202", "R3", 500),
    ("119,00", "H", "10001", "8400", "", "2002", "G1", -100),
    ("238,00", "S", "10003", "8200", "3", "2703", "R4", 200),
    ("50,00", "S", "10003", "8200", "", "2803", "R5", 50),
    ("11,90", "H", "10001", "8736", "", "3103", "R1", -10),
]
OTHERS = [("1071,00", "S", "1200", "10001", "", "2503", "R1"), ("357,00", "S", "4120", "1200", "", "3103", "L3"), ("119,00", "H", "70001", "3400", "9", "1501", "E1")]  # fmt: skip
NET = {"10001": Decimal(890), "10002": Decimal(900), "10003": Decimal(250)}


def _rows(swapped: Callable[[int], bool] = lambda n: False) -> list[list[str]]:
    """The bookings, of some account and contra account changed, and so the side."""
    rows = [list(row[:7]) for row in SALES]
    for n, row in enumerate(rows):
        if swapped(n):
            row[1:4] = ["H" if row[1] == "S" else "S", row[3], row[2]]
    return [*rows, *map(list, OTHERS)]


def _line(amount: str, side: str, account: str, contra: str, key: str, day: str, document: str) -> str:
    return (
        f'{amount};"{side}";"EUR";;;"";{account};{contra};"{key}";{day.lstrip("0")};"{document}";"Text, für {document}"'
    )


def _file(
    folder: Path, rows: list[list[str]], name: str = "EXTF_Buchungsstapel.csv", header: str = HEADER, **meta: str
) -> Path:
    said = {"start": "20250101", "length": "4", "first": "20250101", "last": "20251231", "chart": "03", **meta}
    top = [META.format(**said)] if said["chart"] else []
    (folder / name).write_text("\r\n".join([*top, header, *(_line(*row) for row in rows)]) + "\r\n", encoding="cp1252")
    return folder / name


def debtor_first(folder: Path) -> Path:
    """As DATEV writes invoices: the debtor is the account."""
    return _file(folder, _rows())


def revenue_first(folder: Path) -> Path:
    """The account of revenue is the account, and its side stands there."""
    return _file(folder, _rows(lambda n: True))


def mixed(folder: Path) -> Path:
    """One and the other."""
    return _file(folder, _rows(lambda n: n % 2 == 0))


def longer_accounts(folder: Path) -> Path:
    """Accounts of five digits, and of six for debtors."""
    rows = [
        [a, side, *(f"{each}0" for each in (account, contra)), *more] for a, side, account, contra, *more in _rows()
    ]
    return _file(folder, rows, length="5")


def other_chart(folder: Path) -> Path:
    """The chart SKR04."""
    to = {
        "8400": "4400",
        "8300": "4300",
        "8125": "4125",
        "8200": "4200",
        "8736": "4736",
        "4120": "6020",
        "1200": "1800",
        "3400": "5400",
    }
    return _file(folder, [[to.get(cell, cell) for cell in row] for row in _rows()], chart="04")


def year_within(folder: Path) -> Path:
    """Books whose year begins in July: January to March are of the next calendar year."""
    return _file(folder, _rows(), start="20240701", first="20240701", last="20250630")


def reversed_by_key(folder: Path) -> Path:
    """A credit booked as a charge that is turned round by its key."""
    rows = _rows()
    rows[3][1], rows[3][4] = "S", "20"
    return _file(folder, rows)


def debit_and_credit(folder: Path) -> Path:
    """Two columns of amounts, whole dates, no metadata, in a workbook."""
    book = openpyxl.Workbook()
    book.active.append(["Datum", "Beleg", "Konto", "Gegenkonto", "BU", "Soll", "Haben", "Text"])  # type: ignore[union-attr]
    for amount, side, account, contra, key, day, document in _rows():
        number = float(amount.replace(",", "."))
        both = [number, None] if side == "S" else [None, number]
        book.active.append(
            [f"{day[:2]}.{day[2:]}.2025", document, int(account), int(contra), key or None, *both, "Text"]
        )  # type: ignore[union-attr]
    book.save(folder / "Journal.xlsx")
    return folder / "Journal.xlsx"


LAYOUTS = [
    debtor_first,
    revenue_first,
    mixed,
    longer_accounts,
    other_chart,
    year_within,
    reversed_by_key,
    debit_and_credit,
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_what_debtors_are_charged_is_read_without_tax_in_every_layout(
    layout: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder, _, _ = set_up(tmp_path, [layout(tmp_path)])
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert [f for f in ledger.defects if f.verdict == "reject" and f.code != "currency-none"] == []
    rows = values(ledger, "invoice_lines", "customer_id", "gross_sales", "discount", "kind")
    net: dict[str, Decimal] = {}
    for customer, gross, discount, _ in rows:
        net[customer[:5]] = net.get(customer[:5], Decimal(0)) + gross - (discount or 0)
    assert net == NET
    assert sorted(values(ledger, "customers", "customer_id")) == sorted({customer for customer, *_ in rows})
    assert [kind for *_, kind in rows if kind == "discount"] == ["discount"]
    assert mapping(folder)["coverage"] == {"start": "2025-01", "end": "2025-03"}
    assert mapping(folder)["currency"] == ("XXX" if layout is debit_and_credit else "EUR")


def test_several_years_have_the_year_of_their_own_metadata(tmp_path: Path) -> None:
    files = [
        _file(tmp_path, _rows(), f"EXTF_{year}.csv", start=f"{year}0101", first=f"{year}0101", last=f"{year}1231")
        for year in (2024, 2025)
    ]
    folder, _, _ = set_up(tmp_path, files)
    days = values(read_ledger(open_engagement(folder), tmp_path / "work"), "invoice_lines", "invoice_date")
    assert sorted({day.year for day in days}) == [2024, 2025]
    assert mapping(folder)["coverage"] == {"start": "2024-01", "end": "2025-12"}


def test_a_year_that_nothing_says_and_an_account_that_no_chart_has_are_asked(tmp_path: Path) -> None:
    rows = [[*row[:3], row[3].replace("8400", "8450"), *row[4:]] for row in _rows()]
    answers = {"tables.invoice_lines.columns.invoice_date": "2023"}
    folder, asked, still_open = set_up(tmp_path, [_file(tmp_path, rows, chart="")], answers)
    assert [q.key for q in asked][:2] == [
        "tables.invoice_lines.columns.gross_sales (8450)",
        "tables.invoice_lines.columns.invoice_date",
    ]
    assert "119,00 10001 8450" in asked[0].evidence
    assert still_open == []
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert sum(values(ledger, "invoice_lines", "gross_sales")) == sum(NET.values()) + 10
    assert {day.year for day in values(ledger, "invoice_lines", "invoice_date")} == {2023}


def test_debtors_have_their_names_from_the_list_and_creditors_are_no_customers(tmp_path: Path) -> None:
    names = tmp_path / "EXTF_Debitoren.csv"
    header = "Konto;Name (Adressattyp Unternehmen);Unternehmensgegenstand;Name (Adressattyp natürl. Person);Vorname (Adressattyp natürl. Person)"
    people = ["10001;Erle;;;", "10002;;;Söhne;Ida", "10003;Buche;;;", "70001;Lieferant;;;"]
    names.write_text(
        "\n".join([META.format(start="20250101", length="4", first="", last="", chart="03"), header, *people]),
        encoding="cp1252",
    )
    folder, _, _ = set_up(tmp_path, [debtor_first(tmp_path), names])
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert [f for f in ledger.defects if f.verdict == "reject"] == []
    assert values(ledger, "customers", "customer_id", "customer_name") == [
        ("10001", "Erle"),
        ("10002", "Söhne"),
        ("10003", "Buche"),
    ]
