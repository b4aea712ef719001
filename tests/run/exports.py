"""The same forty-eight invoice lines as twenty companies would send them, each in a form of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

CUSTOMERS = {"K100": "Müller Bau", "K200": "Señor Foods", "K300": "Dupont & Fils"}
PRODUCTS = {"A-1": "Anchor", "B-2": "Bolt"}
PRICES, COSTS = {"A-1": Decimal("12.50"), "B-2": Decimal("1250.00")}, {"A-1": Decimal("7.25"), "B-2": Decimal("800.10")}
Line = dict[str, Any]


def lines() -> list[Line]:
    """Two documents a month of two lines each, in 2024; every ninth line is a return, every fourth has ten percent off."""
    made = []
    for n in range(48):
        month, document = n // 4 + 1, n // 2
        customer, product = list(CUSTOMERS)[document % 3], list(PRODUCTS)[n % 2]
        quantity = (n % 5 + 1) * (-1 if n % 9 == 8 else 1)
        gross = quantity * PRICES[product]
        discount = gross / 10 if n % 4 == 3 else Decimal(0)
        made.append({
            "document": f"R{1000 + document}", "line": n % 2 + 1, "day": date(2024, month, 5 + 15 * (document % 2)), "customer": customer,
            "name": CUSTOMERS[customer], "product": product, "quantity": quantity, "price": PRICES[product], "gross": gross,
            "discount": discount, "net": gross - discount, "cost": quantity * COSTS[product],
        })  # fmt: skip
    return made


def amounts() -> dict[str, Decimal]:
    """What any reading of them must give."""
    return {name: sum((line[name] for line in lines()), Decimal(0)) for name in ("gross", "discount", "cost")}


def _money(value: Decimal, decimal: str = ",", thousands: str = ".", *, trailing: bool = False) -> str:
    text = f"{abs(value):,.2f}".replace(",", "_").replace(".", decimal).replace("_", thousands)
    return text if value >= 0 else f"{text}-" if trailing else f"-{text}"


def _csv(file: Path, header: str, rows: Sequence[Sequence[Any]], mark: str = ";", encoding: str = "utf-8") -> Path:
    file.write_text("\n".join([header, *(mark.join(map(str, row)) for row in rows)]) + "\n", encoding=encoding)
    return file


def german(folder: Path) -> list[Path]:
    """Flat, semicolons, decimal comma, points between thousands, d.m.Y, Windows' encoding."""
    rows = [(r["document"], r["line"], f"{r['day']:%d.%m.%Y}", r["customer"], r["name"], r["product"], r["quantity"], _money(r["price"]),
             _money(r["gross"]), _money(r["discount"]), _money(r["cost"])) for r in lines()]  # fmt: skip
    header = "Rechnungsnr.;Pos.;Rechnungsdatum;Kunden-Nr.;Kundenname;Artikelnr.;Menge;Einzelpreis;Umsatz (EUR);Rabatt;Wareneinsatz"
    return [_csv(folder / "Umsätze 2024.csv", header, rows, encoding="cp1252")]


def heads_and_lines(folder: Path) -> list[Path]:
    """Invoices in one file, their lines in another, customers in a third; month before day."""
    heads = {r["document"]: (r["document"], f"{r['day']:%m/%d/%Y}", r["customer"], "USD") for r in lines()}
    rows = [
        (r["document"], r["line"], r["product"], r["quantity"], r["price"], r["discount"], r["cost"]) for r in lines()
    ]
    return [
        _csv(folder / "invoices.csv", "Id,InvoiceDate,CustomerNo,Currency", list(heads.values()), ","),
        _csv(folder / "invoice_details.csv", "InvoiceId,LineNo,Sku,Qty,UnitPrice,Discount,LineCost", rows, ","),
        _csv(folder / "customer_list.csv", "No,Name,Country", [(k, v, "DE") for k, v in CUSTOMERS.items()], ","),
    ]


def workbook(folder: Path) -> list[Path]:
    """Four sheets with rows of title above the header, and a sheet of notes."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "Read me"  # type: ignore[union-attr]
    book["Read me"].append(["Exported for the project"])
    tables = {
        "Sales": (["Invoice No", "Invoice Date", "Customer No", "Item No", "Quantity", "Amount EUR", "Discount Amount", "Cost Amount"],
                  [[r["document"], r["day"], r["customer"], r["product"], r["quantity"], float(r["gross"]), float(r["discount"]), float(r["cost"])]
                   for r in lines()]),
        "Customers": (["Customer No", "Customer Name", "Sales Region"], [[k, v, "North"] for k, v in CUSTOMERS.items()]),
        "Items": (["Item No", "Description", "Item Group"], [[k, v, "Hardware"] for k, v in PRODUCTS.items()]),
    }  # fmt: skip
    for title, (header, rows) in tables.items():
        sheet = book.create_sheet(title)
        for row in ([f"{title}, 2024"], [], header, *rows):
            sheet.append(row)
    book.save(folder / "export.xlsx")
    return [folder / "export.xlsx"]


def duckdb_file(folder: Path) -> list[Path]:
    """A warehouse: keys that are integers, timestamps, decimals, one column in floating point."""
    import duckdb

    con = duckdb.connect(str(folder / "warehouse.duckdb"))
    con.execute("CREATE TABLE DimCustomer (CustomerKey INT, CustomerFullName TEXT)")
    con.execute(
        "CREATE TABLE FactSales (SalesOrderNumber TEXT, CustomerKey INT, OrderDate TIMESTAMP, OrderQuantity INT, "
        "UnitPrice DECIMAL(18,4), ExtendedAmount DECIMAL(18,4), SalesAmount DECIMAL(18,4), DiscountAmount DOUBLE, TotalProductCost DECIMAL(18,4))"
    )
    keys = {key: number for number, key in enumerate(CUSTOMERS, 1)}
    con.executemany("INSERT INTO DimCustomer VALUES (?, ?)", [(keys[k], v) for k, v in CUSTOMERS.items()])
    con.executemany("INSERT INTO FactSales VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", [
        (r["document"], keys[r["customer"]], r["day"], r["quantity"], r["price"], r["gross"], r["net"], float(r["discount"]), r["cost"]) for r in lines()
    ])  # fmt: skip
    con.close()
    return [folder / "warehouse.duckdb"]


def parquet(folder: Path) -> list[Path]:
    """One flat Parquet file with types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = {"document": "order_no", "day": "posting_date", "customer": "cust_no", "name": "cust_name", "quantity": "qty", "gross": "net_amount",
             "discount": "disc_amount", "cost": "cogs"}  # fmt: skip
    table = pa.table({theirs: [r[ours] for r in lines()] for ours, theirs in names.items()})
    pq.write_table(table, folder / "sales.parquet")
    return [folder / "sales.parquet"]


def quickbooks(folder: Path) -> list[Path]:
    """A report saved as a list: rows of title, a blank first heading, customers with totals among the rows, a grand total."""
    rows: list[str] = [
        "Acme Ltd",
        "Sales by Customer Detail",
        "January - December 2024",
        "",
        ",Type,Date,Num,Name,Item,Qty,Sales Price,Amount",
    ]
    for customer, name in CUSTOMERS.items():
        own = [r for r in lines() if r["customer"] == customer]
        rows.append(f"{name},,,,,,,,")
        rows += [
            f",Invoice,{r['day']:%m/%d/%Y},{r['document']},{name},{r['product']},{r['quantity']},{r['price']},{r['gross']}"
            for r in own
        ]
        rows.append(f"Total for {name},,,,,,{sum(r['quantity'] for r in own)},,{sum(r['gross'] for r in own)}")
    rows.append(f"TOTAL,,,,,,{sum(r['quantity'] for r in lines())},,{amounts()['gross']}")
    (folder / "sales by customer detail.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [folder / "sales by customer detail.csv"]


def under_headings(folder: Path) -> list[Path]:
    """The same report without a column of names: the customer stands above its rows alone, totals have a sign of dollars, a line at the end says when it was run."""
    header = ",Date,Transaction Type,Num,Product/Service,Memo/Description,Qty,Sales Price,Amount"
    rows = [
        "Acme Ltd,,,,,,,,",
        "Sales by Customer Detail,,,,,,,,",
        "January - December 2024,,,,,,,,",
        ",,,,,,,,",
        header,
    ]
    for customer, name in CUSTOMERS.items():
        own = [r for r in lines() if r["customer"] == customer]
        rows.append(f"{name},,,,,,,,")
        rows += [f",{r['day']:%m/%d/%Y},{'Invoice' if r['quantity'] > 0 else 'Credit Memo'},{r['document']},{r['product']},,{r['quantity']},{r['price']},{r['gross']}" for r in own]  # fmt: skip
        rows.append(f'Total for {name},,,,,,{sum(r["quantity"] for r in own)},,"${sum(r["gross"] for r in own):,.2f}"')
    rows += [f'TOTAL,,,,,,{sum(r["quantity"] for r in lines())},,"${amounts()["gross"]:,.2f}"', ",,,,,,,,", '"Friday, Jan 10, 2025 10:05 AM GMT-7 - Accrual Basis",,,,,,,,']  # fmt: skip
    (folder / "report.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [folder / "report.csv"]


def french(folder: Path) -> list[Path]:
    """Two half-years in two files, blanks between thousands, the euro sign beside amounts."""
    header = "N° facture;Date facture;Code client;Raison sociale;Référence article;Quantité;Montant HT;Remise;Coût de revient"
    halves = [[r for r in lines() if (r["day"].month > 6) is late] for late in (False, True)]
    return [
        _csv(folder / f"ventes_2024_{half}.csv", header, [
            (r["document"], f"{r['day']:%d/%m/%Y}", r["customer"], r["name"], r["product"], r["quantity"], f"{_money(r['gross'], ',', ' ')} €",
             f"{_money(r['discount'], ',', ' ')} €", f"{_money(r['cost'], ',', ' ')} €") for r in rows])
        for half, rows in enumerate(halves, 1)
    ]  # fmt: skip


def sap(folder: Path) -> list[Path]:
    """Line items with the sign behind the number, and dates without marks."""
    rows = [(r["document"], f"{r['line']:06}", f"{r['day']:%Y%m%d}", r["customer"], r["name"], r["product"], f"{_money(Decimal(r['quantity']), trailing=True)}",
             _money(r["gross"], trailing=True), _money(r["discount"], trailing=True), _money(r["cost"], trailing=True), "EUR") for r in lines()]  # fmt: skip
    header = "Belegnr.;Position;Fakturadatum;Kunde;Name 1;Artikel;Fakturamenge;Erlöse;Rabatt;Herstellkosten;Währung"
    return [_csv(folder / "CE1_2024.txt", header, rows, encoding="utf-16")]


def monthly_sheets(folder: Path) -> list[Path]:
    """A workbook with a sheet for each month, and the customers in a workbook of their own with one sheet."""
    import openpyxl

    book, customers = openpyxl.Workbook(), openpyxl.Workbook()
    for month in range(1, 13):
        sheet = book.create_sheet(f"{lines()[4 * month - 1]['day']:%b}")
        sheet.append(["Invoice", "Date", "Customer", "Item", "Qty", "Price", "Amount", "Discount", "Cost of sales"])
        for r in (r for r in lines() if r["day"].month == month):
            sheet.append(
                [
                    r["document"],
                    r["day"],
                    r["customer"],
                    r["product"],
                    r["quantity"],
                    *(float(r[n]) for n in ("price", "gross", "discount", "cost")),
                ]
            )
    del book["Sheet"]
    customers.active.append(["Customer", "Name", "Country"])  # type: ignore[union-attr]
    for key, name in CUSTOMERS.items():
        customers.active.append([key, name, "DE"])  # type: ignore[union-attr]
    book.save(folder / "sales.xlsx")
    customers.save(folder / "customers.xlsx")
    return [folder / "sales.xlsx", folder / "customers.xlsx"]


def spanish(folder: Path) -> list[Path]:
    """A discount in percent, and an amount after it."""
    rows = [(f"{r['day']:%d/%m/%Y}", r["document"], r["customer"], r["name"], r["product"], r["quantity"], _money(r["price"]),
             10 if r["discount"] else 0, _money(r["net"]), _money(r["cost"])) for r in lines()]  # fmt: skip
    header = "Fecha;Nº factura;Código cliente;Nombre cliente;Artículo;Cantidad;Precio;Dto. %;Importe;Coste"
    return [_csv(folder / "ventas.csv", header, rows, encoding="latin-1")]


def keyed_by_name(folder: Path) -> list[Path]:
    """Customers have a number, and the sales know them by name alone."""
    keys = [(number, name) for number, name in enumerate(CUSTOMERS.values(), 1)]
    rows = [(r["day"], r["name"], r["product"], r["quantity"], r["gross"], r["discount"], r["cost"]) for r in lines()]
    return [_csv(folder / "clients.csv", "id,company", keys, ","),
            _csv(folder / "revenue.csv", "date,company,product,units,revenue,rebate,cost", rows, ",")]  # fmt: skip


def swiss(folder: Path) -> list[Path]:
    """Years of two digits, apostrophes between thousands, the currency in the headings, a total where the date stands."""
    rows = [
        (
            f"{r['day']:%d.%m.%y}",
            r["document"],
            r["customer"],
            r["name"],
            r["quantity"],
            *(_money(r[n], ".", "'") for n in amounts()),
        )
        for r in lines()
    ]
    total = ("Total", "", "", "", "", *(_money(amount, ".", "'") for amount in amounts().values()))
    header = "Datum|Rechnung|Kunde|Name|Menge|Betrag CHF|Rabatt CHF|Wareneinsatz CHF"
    return [_csv(folder / "umsatz.csv", header, [*rows, total], "|")]


def american(folder: Path) -> list[Path]:
    """Dollars with negative amounts in parentheses and quantities with a minus, and months as words."""

    def dollars(value: Decimal) -> str:
        return f'"${value:,.2f}"' if value >= 0 else f'"(${-value:,.2f})"'

    rows = [
        (
            f'"{r["day"]:%b %d, %Y}"',
            r["document"],
            r["customer"],
            r["name"],
            r["quantity"],
            *(dollars(r[n]) for n in amounts()),
        )
        for r in lines()
    ]
    header = "Invoice Date,Invoice #,Customer ID,Customer Name,Qty,Extended Price,Discount Amt,COGS"
    return [_csv(folder / "Invoice Register.csv", header, rows, ",")]


def accounting(folder: Path) -> list[Path]:
    """Customers by name alone, a type in words of its own, credit notes with positive quantities, percent where there is a discount, and an account that is everywhere the same."""
    rows = [
        (r["name"], r["document"], f"{r['day']:%d/%m/%Y}", f"{r['day']:%d/%m/%Y}", r["product"], abs(r["quantity"]),
         r["price"] if r["quantity"] > 0 else -r["price"], 10 if r["discount"] else "", f"{r['net']:.2f}", 200, f"{r['net'] / 5:.2f}",
         r["cost"], "GBP", "Sales invoice" if r["quantity"] > 0 else "Sales credit note", "Paid")
        for r in lines()
    ]  # fmt: skip
    header = "ContactName,InvoiceNumber,InvoiceDate,DueDate,InventoryItemCode,Quantity,UnitAmount,Discount,LineAmount,AccountCode,TaxAmount,CostOfSales,Currency,Type,Status"
    return [_csv(folder / "SalesInvoices.csv", header, rows, ",")]


def piece(folder: Path) -> list[Path]:
    """French, with protected blanks between thousands, in Windows' encoding, and a key called number of a piece."""
    rows = [
        (r["document"], f"{r['day']:%d/%m/%Y}", r["customer"], r["name"], r["product"], PRODUCTS[r["product"]], r["quantity"], 10 if r["discount"] else 0,
         *(_money(r[n], ",", "\N{NO-BREAK SPACE}") for n in ("price", "net", "cost")), "Facture" if r["quantity"] > 0 else "Avoir")
        for r in lines()
    ]  # fmt: skip
    header = "N° pièce;Date;Code client;Intitulé client;Référence article;Désignation;Qté;Remise %;P.U. HT;Montant HT;Prix de revient;Domaine"
    return [_csv(folder / "ventes.csv", header, rows, encoding="cp1252")]


def short_names(folder: Path) -> list[Path]:
    """A workbook with heads, lines, customers and products under short names, a discount and prices, and heads that were cancelled."""
    from openpyxl import Workbook

    book, sheets = Workbook(), {}
    for title, header in {"Kunden": "Kd-Nr,Firma,Branche", "Rechnungen": "RechNr,RechDatum,KdNr,Storno", "Artikel": "ArtNr,Bezeichnung,Warengruppe",
                          "Positionen": "RechNr,Pos,ArtNr,Menge,VK-Preis,Rabatt in %,EK-Preis"}.items():  # fmt: skip
        sheets[title] = book.create_sheet(title)
        sheets[title].append(header.split(","))
    for key, name in CUSTOMERS.items():
        sheets["Kunden"].append([key, name, "Handel"])
    for key, name in PRODUCTS.items():
        sheets["Artikel"].append([key, name, "Teile"])
    for r in lines():
        if r["line"] == 1:
            sheets["Rechnungen"].append([r["document"], r["day"], r["customer"], "N"])
        sheets["Positionen"].append(
            [
                r["document"],
                r["line"],
                r["product"],
                r["quantity"],
                float(r["price"]),
                10 if r["discount"] else 0,
                float(COSTS[r["product"]]),
            ]
        )
    sheets["Rechnungen"].append(["R9", date(2024, 6, 6), "K100", "J"])
    sheets["Positionen"].append(["R9", 1, "A-1", 4, 12.5, 0, 7.25])
    book.save(folder / "Faktura.xlsx")
    return [folder / "Faktura.xlsx"]


def dutch(folder: Path) -> list[Path]:
    """Flat, with a discount in percent, an amount after it, and tax beside it."""
    rows = [(r["document"], f"{r['day']:%d-%m-%Y}", r["customer"], r["name"], r["product"], PRODUCTS[r["product"]], _money(Decimal(r["quantity"])), _money(r["price"]),
             "10,00" if r["discount"] else "0,00", _money(r["net"]), _money(r["net"] * Decimal("0.21")), _money(r["cost"])) for r in lines()]  # fmt: skip
    header = "Factuurnummer;Factuurdatum;Relatiecode;Relatienaam;Artikelcode;Omschrijving;Aantal;Verkoopprijs;Korting %;Nettobedrag;BTW-bedrag;Kostprijs"
    return [_csv(folder / "Verkoopfacturen.csv", header, rows)]


def first_rows(folder: Path) -> list[Path]:
    """What belongs to the invoice stands in its first row alone, and columns of its lines share a way to them."""
    rows, last = list[Sequence[Any]](), ""
    for r in lines():
        head = (r["document"], r["name"], r["day"], "Gebucht") if r["document"] != last else ("", "", "", "")
        last = r["document"]
        product = f"[{r['product']}] {PRODUCTS[r['product']]}"
        rows.append((*head, product, f"{r['quantity']}.0", r["price"], "10.0" if r["discount"] else "0.0", r["net"]))
    header = "Nummer,Partner,Rechnungs-/Belegdatum,Status,Rechnungszeilen/Produkt,Rechnungszeilen/Menge,Rechnungszeilen/Einzelpreis,Rechnungszeilen/Rabatt (%),Rechnungszeilen/Zwischensumme"
    return [_csv(folder / "Buchungssatz (account.move).csv", header, rows, ",")]


def repeated_totals(folder: Path) -> list[Path]:
    """Each line repeats the totals of its invoice; a draft and a void invoice are among them."""
    rows = []
    for r in lines():
        whole = sum(other["net"] for other in lines() if other["document"] == r["document"])
        rows.append((r["day"], r["document"], "Closed", f"C{r['customer']}", r["name"], "GBP", whole, whole * Decimal("1.2"), r["product"], r["quantity"], r["price"],
                     r["discount"], r["net"], r["net"] * Decimal("0.2")))  # fmt: skip
    rows += [("2024-04-09", f"X{s}", s, "CK100", "Müller Bau", "GBP", "12.50", "15.00", "A-1", 1, "12.50", 0, "12.50", "2.50") for s in ("Draft", "Void")]  # fmt: skip
    header = "Invoice Date,Invoice Number,Invoice Status,Customer ID,Customer Name,Currency Code,SubTotal,Total,SKU,Quantity,Item Price,Discount Amount,Item Total,Item Tax Amount"
    return [_csv(folder / "Invoice.csv", header, rows, ",")]


def credit_memos_apart(folder: Path) -> list[Path]:
    """Posted invoices and posted credit memos in sheets of their own, both positive, heads and lines apart."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "Customer"  # type: ignore[union-attr]
    book["Customer"].append(["No.", "Name", "City"])
    for key, name in CUSTOMERS.items():
        book["Customer"].append([key, name, "Hamburg"])
    for kind in ("Invoice", "Cr.Memo"):
        book.create_sheet(f"Sales {kind} Header").append(
            ["No.", "Sell-to Customer No.", "Posting Date", "Currency Code"]
        )
        book.create_sheet(f"Sales {kind} Line").append(
            ["Document No.", "Line No.", "No.", "Quantity", "Unit Price", "Line Discount Amount", "Amount", "Unit Cost"])  # fmt: skip
    seen = set[str]()
    for r in lines():
        kind, sign = ("Cr.Memo", -1) if r["quantity"] < 0 else ("Invoice", 1)
        document = f"{kind[0]}{r['document']}"
        if document not in seen:
            book[f"Sales {kind} Header"].append([document, r["customer"], r["day"], "EUR"])
        seen.add(document)
        amounts = (float(sign * r[name]) for name in ("discount", "net"))
        book[f"Sales {kind} Line"].append(
            [document, 10_000 * r["line"], r["product"], sign * r["quantity"], float(r["price"]), *amounts, float(COSTS[r["product"]])])  # fmt: skip
    book.save(folder / "BC export.xlsx")
    return [folder / "BC export.xlsx"]


def credits_in_a_file(folder: Path) -> list[Path]:
    """Invoices and returns in files of their own, both positive."""
    header = "Invoice No,Date,Customer No,Customer Name,Product,Quantity,Gross Amount,Discount,Cost"
    files = []
    for name, sign in (("sales_2024.csv", 1), ("returns_2024.csv", -1)):
        rows = [(r["document"], r["day"], r["customer"], r["name"], r["product"], *(sign * r[n] for n in ("quantity", "gross", "discount", "cost")))
                for r in lines() if sign * r["quantity"] > 0]  # fmt: skip
        files.append(_csv(folder / name, header, rows, ","))
    return files


def audited(folder: Path) -> list[Path]:
    """Portuguese, debit and credit in columns of their own, prices after a discount that stands beside, annulled invoices, credit notes positive."""
    rows = []
    for r in lines():
        credit, net = r["quantity"] < 0, abs(r["net"])
        sides = (f"{net:.2f}", "") if credit else ("", f"{net:.2f}")
        rows.append((f"{'NC' if credit else 'FT'} A/{r['document']}", "NC" if credit else "FT", "N", r["day"], r["customer"], r["name"], r["line"], r["product"],
                     abs(r["quantity"]), f"{net / abs(r['quantity']):.4f}", *sides, "23.00", abs(r["discount"])))  # fmt: skip
    rows.append(
        ("FT A/9", "FT", "A", "2024-03-03", "K100", "Müller Bau", 1, "A-1", 2, "12.5000", "", "25.00", "23.00", "0")
    )
    header = "InvoiceNo;InvoiceType;InvoiceStatus;InvoiceDate;CustomerID;CompanyName;LineNumber;ProductCode;Quantity;UnitPrice;DebitAmount;CreditAmount;TaxPercentage;SettlementAmount"
    return [_csv(folder / "linhas.csv", header, rows)]


def total_with_tax(folder: Path) -> list[Path]:
    """Spanish, a subtotal, its tax, and a total with it; customers by name."""
    rows = [(f"{r['day']:%d/%m/%Y}", r["document"], r["name"], r["product"], r["quantity"], *(_money(r[n]) for n in ("price", "discount", "net")),
             _money(r["net"] * Decimal("0.21")), _money(r["net"] * Decimal("1.21")), _money(r["cost"])) for r in lines()]  # fmt: skip
    return [
        _csv(
            folder / "libro.csv", "Fecha;Num;Cliente;SKU;Uds.;Precio;Descuento;Subtotal;IVA;Total;Coste de venta", rows
        )
    ]


def italian(folder: Path) -> list[Path]:
    """Credit notes positive, told by their type, a discount in percent."""
    rows = [("Nota di credito" if r["quantity"] < 0 else "Fattura", r["document"], f"{r['day']:%d/%m/%Y}", r["customer"], r["name"], r["product"],
             abs(r["quantity"]), _money(r["price"]), 10 if r["discount"] else 0, *(_money(abs(r[n])) for n in ("net", "cost"))) for r in lines()]  # fmt: skip
    return [
        _csv(
            folder / "Vendite.csv",
            "Tipo documento;Numero;Data;Cod. cliente;Cliente;Articolo;Q.tà;Prezzo;Sconto;Imponibile;Costo del venduto",
            rows,
        )
    ]


def list_prices(folder: Path) -> list[Path]:
    """Heads and lines with types, lines of tax among those of goods, quantities invoiced and credited apart, a list price beside the price."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers, heads, rows = {key: 5000 + n for n, key in enumerate(CUSTOMERS)}, dict[int, Line](), list[Line]()
    for r in lines():
        trx = int(r["document"][1:])
        heads[trx] = {
            "CUSTOMER_TRX_ID": trx,
            "TRX_DATE": r["day"],
            "BILL_TO_CUSTOMER_ID": numbers[r["customer"]],
            "INVOICE_CURRENCY_CODE": "USD",
        }
        line = {"CUSTOMER_TRX_ID": trx, "LINE_NUMBER": r["line"], "LINE_TYPE": "LINE", "INVENTORY_ITEM_ID": r["product"], "QUANTITY_INVOICED": r["quantity"],
                "QUANTITY_CREDITED": None, "UNIT_STANDARD_PRICE": r["price"], "UNIT_SELLING_PRICE": r["net"] / r["quantity"], "EXTENDED_AMOUNT": r["net"], "COST_AMOUNT": r["cost"]}  # fmt: skip
        if r["quantity"] < 0:
            line |= {"QUANTITY_INVOICED": None, "QUANTITY_CREDITED": r["quantity"]}
        tax = {
            "CUSTOMER_TRX_ID": trx,
            "LINE_NUMBER": 1,
            "LINE_TYPE": "TAX",
            "EXTENDED_AMOUNT": round(r["net"] * Decimal("0.08"), 2),
        }
        rows += [line, dict.fromkeys(line) | tax]
    customers = [{"CUST_ACCOUNT_ID": numbers[key], "ACCOUNT_NAME": name} for key, name in CUSTOMERS.items()]
    tables = {
        "RA_CUSTOMER_TRX_ALL": [*heads.values()],
        "RA_CUSTOMER_TRX_LINES_ALL": rows,
        "HZ_CUST_ACCOUNTS": customers,
    }
    for name, table in tables.items():
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
    return [folder / f"{name}.parquet" for name in tables]


def numbered_anew(folder: Path) -> list[Path]:
    """Credit notes and their lines in tables of their own, whose keys begin at one as those of invoices do."""
    heads: dict[str, dict[str, Line]] = {"OINV": {}, "ORIN": {}}
    rows: dict[str, list[Sequence[Any]]] = {"INV1": [], "RIN1": []}
    for r in lines():
        sign, head, line = (-1, "ORIN", "RIN1") if r["quantity"] < 0 else (1, "OINV", "INV1")
        entry = heads[head].setdefault(r["document"], {"entry": len(heads[head]) + 1, **r})["entry"]
        rows[line].append((entry, r["product"], sign * r["quantity"], _money(r["price"]), _money(sign * r["net"]), _money(COSTS[r["product"]])))  # fmt: skip
    files = []
    for name, head in heads.items():
        documents = [(r["entry"], f"{r['day']:%d.%m.%Y}", r["customer"], r["name"], "EUR") for r in head.values()]
        files.append(_csv(folder / f"{name}.csv", "DocEntry;DocDate;CardCode;CardName;DocCur", documents))
    return files + [
        _csv(folder / f"{n}.csv", "DocEntry;ItemCode;Quantity;PriceBefDi;LineTotal;StockPrice", r)
        for n, r in rows.items()
    ]


def general_ledger(folder: Path) -> list[Path]:
    """A French general ledger: the customer is charged with the tax in one row of an entry, revenue and tax are in others, and payments among them."""
    rows = list[Sequence[Any]]()

    def book(entry: int, r: Line, account: str, amount: Decimal, *customer: str) -> None:
        sides = (_money(max(amount, Decimal(0)), ",", ""), _money(max(-amount, Decimal(0)), ",", ""))
        rows.append(
            (
                "BQ" if entry % 2 else "VE",
                entry,
                f"{r['day']:%Y%m%d}",
                account,
                *(customer or ("", "")),
                r["document"],
                *sides,
            )
        )

    for n, r in enumerate(lines()):
        tax = round(r["gross"] / 5, 2)
        book(2 * n, r, "411000", r["gross"] + tax, r["customer"], r["name"])
        book(2 * n, r, "707000", -r["gross"])
        book(2 * n, r, "445710", -tax)
        book(2 * n + 1, r, "512000", r["gross"] + tax)
        book(2 * n + 1, r, "411000", -r["gross"] - tax, r["customer"], r["name"])
    header = "JournalCode\tEcritureNum\tEcritureDate\tCompteNum\tCompAuxNum\tCompAuxLib\tPieceRef\tDebit\tCredit"
    return [_csv(folder / "123456789FEC20241231.txt", header, rows, "\t")]


def _signed(r: Line) -> int:
    return -1 if r["quantity"] < 0 else 1


def quotes_among_documents(folder: Path) -> list[Path]:
    """French lines of documents of all natures: invoices, credit notes written positive, quotes and delivery notes."""
    rows = [("AVC" if _signed(r) < 0 else "FAC", f"P{n}", f"{r['day']:%d/%m/%Y}", r["customer"], r["name"], r["product"], abs(r["quantity"]), _money(abs(r["net"]), ",", " "))
            for n, r in enumerate(lines())]  # fmt: skip
    rows += [(kind, f"{kind}1", "04/03/2024", "K100", CUSTOMERS["K100"], "A-1", 2, "25,00") for kind in ("DEV", "BLC")]
    header = "Nature;Numéro;Date pièce;Code tiers;Raison sociale;Article;Qté;Montant HT"
    return [_csv(folder / "lignes de documents.csv", header, rows, encoding="cp1252")]


def references(folder: Path) -> list[Path]:
    """A list of transactions whose Ref is the customer's order and no product; credits are told by their type alone."""
    rows = [(n, "SC" if _signed(r) < 0 else "SI", r["customer"], r["name"], f"{r['day']:%d/%m/%Y}", f"PO{n // 5}", PRODUCTS[r["product"]],
             f"{abs(r['net']):.2f}", f"{abs(r['net']) / 5:.2f}", "T1") for n, r in enumerate(lines(), 1)]  # fmt: skip
    return [_csv(folder / "transactions.csv", "No,Type,A/C,Name,Date,Ref,Details,Net,Tax,T/C", rows, ",")]


def monthly_entries(folder: Path) -> list[Path]:
    """A French general ledger with one entry a month, in which only the reference of the document tells customers apart."""
    rows = list[Sequence[Any]]()
    for document in dict.fromkeys(r["document"] for r in lines()):
        parts = [r for r in lines() if r["document"] == document]
        first, net = parts[0], sum(r["net"] for r in parts)
        tax = round(net / 5, 2)
        booked = [
            ("411000", first["customer"], first["name"], net + tax),
            ("701000", "", "", -net),
            ("445710", "", "", -tax),
        ]
        rows += [("VE", first["day"].month, f"{first['day']:%Y%m%d}", account, *who, document, _money(max(amount, Decimal(0)), ",", ""), _money(max(-amount, Decimal(0)), ",", ""))
                 for account, *who, amount in booked]  # fmt: skip
    header = "JournalCode|EcritureNum|EcritureDate|CompteNum|CompAuxNum|CompAuxLib|PieceRef|Debit|Credit"
    return [_csv(folder / "123456789FEC20241231.txt", header, rows, "|")]


def discounts_as_shares(folder: Path) -> list[Path]:
    """Orders, their lines with the discount as a share, customers, products."""
    orders = {r["document"]: (r["document"], r["customer"], r["day"]) for r in lines()}
    rows = [(r["document"], r["product"], f"{r['price']:.2f}", r["quantity"], "0.1" if r["discount"] else "0") for r in lines()]  # fmt: skip
    return [
        _csv(folder / "Orders.csv", "OrderID,CustomerID,OrderDate", list(orders.values()), ","),
        _csv(folder / "Order Details.csv", "OrderID,ProductID,UnitPrice,Quantity,Discount", rows, ","),
        _csv(folder / "Customers.csv", "CustomerID,CompanyName", list(CUSTOMERS.items()), ","),
        _csv(folder / "Products.csv", "ProductID,ProductName", list(PRODUCTS.items()), ","),
    ]


def noughts_before_keys(folder: Path) -> list[Path]:
    """Customers are numbered 00100 in their list and 100 on invoices."""
    rows = [(r["document"], r["day"], r["customer"].removeprefix("K"), r["product"], r["quantity"], r["gross"], r["discount"]) for r in lines()]  # fmt: skip
    header = "Invoice No,Invoice Date,Customer No,Item No,Quantity,Gross Sales,Discount"
    names = [(f"00{key.removeprefix('K')}", name) for key, name in CUSTOMERS.items()]
    return [
        _csv(folder / "sales.csv", header, rows, ","),
        _csv(folder / "customers.csv", "Customer No,Name", names, ","),
    ]


def months_side_by_side(folder: Path) -> list[Path]:
    """Net sales of customers, a column a month, with totals below and at the right."""

    def row(*head: str) -> list[Any]:
        mine = [r for r in lines() if head[0] in {"Total", r["customer"]}]
        months = [sum((r["net"] for r in mine if r["day"].month == m), Decimal(0)) for m in range(1, 13)]
        return [*head, *map(_money, [*months, sum(months)])]

    rows = [*(row(*one) for one in CUSTOMERS.items()), row("Total", "")]
    header = ";".join(["Kunden-Nr.", "Kunde", *(f"{m}/2024" for m in range(1, 13)), "Gesamt"])
    return [_csv(folder / "Umsatz nach Monaten.csv", header, rows)]


NET: dict[str, Callable[[Path], list[Path]]] = {
    "quotes_among_documents": quotes_among_documents, "references": references, "monthly_entries": monthly_entries,
    "discounts_as_shares": discounts_as_shares, "months_side_by_side": months_side_by_side, "noughts_before_keys": noughts_before_keys,
}  # fmt: skip


EXPORTS: dict[str, Callable[[Path], list[Path]]] = {
    "german": german, "heads_and_lines": heads_and_lines, "workbook": workbook, "duckdb_file": duckdb_file, "parquet": parquet,
    "quickbooks": quickbooks, "french": french, "sap": sap, "monthly_sheets": monthly_sheets, "spanish": spanish, "keyed_by_name": keyed_by_name, "swiss": swiss, "american": american,
    "accounting": accounting, "piece": piece, "short_names": short_names, "under_headings": under_headings, "dutch": dutch, "first_rows": first_rows, "repeated_totals": repeated_totals,
    "credit_memos_apart": credit_memos_apart, "credits_in_a_file": credits_in_a_file, "audited": audited, "total_with_tax": total_with_tax, "italian": italian, "list_prices": list_prices, "numbered_anew": numbered_anew, "general_ledger": general_ledger,
}  # fmt: skip
