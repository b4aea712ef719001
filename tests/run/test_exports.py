"""Exports in forms of their own: read right, and what they do not prove is asked, with an answer by which the books are accepted."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
import yaml
from conftest import values
from test_new import mapping, set_up

from crmlib.books.checks import check_ledger
from crmlib.books.reader import read_ledger
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import SettingsError

DATED = "Invoice No,{},Customer No,Customer Name,Net Amount\nR1,{},K1,Alder,10.00\nR2,{},K2,Birch,-2.50\nR3,{},K1,Alder,5.00\n"
MONTHS = "Customer,{},{},{}\nAlder,10.00,0,5.00\nBirch,0,-2.50,0\n"
NET = {"Alder": Decimal(15), "Birch": Decimal("-2.5")}
ASKED_MONTHS = "tables.invoice_lines.source (months)"
# each: its files, and what stays open beside the currency
FORMS: dict[str, tuple[dict[str, str], set[str]]] = {
    "days as Excel counts them": ({"sales.csv": DATED.format("Invoice Date", "45296", "45322", "45340.75")}, {"tables.invoice_lines.formats.dates (1904)"}),
    "seconds since 1970": ({"sales.csv": DATED.format("created", "1704412800", "1706659200", "1708239600")}, set()),
    "milliseconds since 1970": ({"sales.csv": DATED.format("created", "1704412800000", "1706659200000", "1708239600500")}, set()),
    "days without marks": ({"sales.csv": DATED.format("Invoice Date", "05012024", "31012024", "18022024")}, set()),
    "months in German": ({"sales.csv": DATED.format("Monat", "Jänner 2024", "Januar 2024", "März 2024")}, set()),
    "days with months in French": ({"sales.csv": DATED.format("Date facture", "5 janv. 2024", "31 janvier 2024", "18 févr. 2024")}, set()),
    "days with months in Spanish": ({"sales.csv": DATED.format("Fecha", "5-ene-24", "31-ene-24", "18-feb-24")}, set()),
    "months with two digits of a year": ({"sales.csv": DATED.format("Monat", "Jan 24", "Jan 24", "Mär 24")}, {"tables.invoice_lines.formats.dates (year)"}),
    "amounts in cents": (
        {"sales.csv": "Invoice No,Created,Customer,Customer Name,amount_cents\nR1,2024-01-05,K1,Alder,1000\nR2,2024-01-31,K2,Birch,-250\nR3,2024-02-18,K1,Alder,500\n"}, set()),
    "accounts of the ledger called as customers' are": (
        {"sales.csv": "Transaction Reference,Transaction Date,Account Code,Analysis 1,Customer Name,Base Amount\n"
         "R1,2024-01-05,4000,K1,Alder,10.00\nR2,2024-01-31,4000,K2,Birch,-2.00\nR3,2024-02-18,4010,K1,Alder,5.00\nR4,2024-02-18,4010,K2,Birch,-0.50\n"},
        {"tables.invoice_lines.columns.customer_id (names)"}),
    "entries of an item ledger, purchases among them": (
        {"item ledger.csv": "Entry No.,Posting Date,Entry Type,Document No.,Item No.,Source No.,Quantity,Sales Amount (Actual),Cost Amount (Actual)\n"
         "1,2024-01-05,Purchase,P1,A-1,V900,9,0,90.00\n2,2024-01-05,Sale,R1,A-1,K1,-3,15.00,-9.00\n3,2024-01-31,Sale,R2,A-1,K2,1,-2.50,3.00\n",
         "customers.csv": "No.,Name\nK1,Alder\nK2,Birch\n"}, set()),
    "days of the year as JD Edwards writes them": ({"sales.csv": DATED.format("RPDIVJ", "124005", "124031", "124049")}, set()),
    "months as six digits": ({"sales.csv": DATED.format("Month", "202401", "202401", "202402")}, set()),
    "months as SAP's periods": ({"sales.csv": DATED.format("Periode", "001.2024", "001.2024", "002.2024")}, {"tables.invoice_lines.formats.dates (fiscal)"}),
    "a column of years and one of months": (
        {"sales.csv": "Year,Month,Customer No,Customer Name,Net Amount\n2024,January,K1,Alder,15.00\n2024,March,K2,Birch,-2.50\n"}, set()),
    "a column for each month, named by its first day": (
        {"sales.csv": MONTHS.format("2024-01-01", "2024-02-01", "2024-03-01")}, {ASKED_MONTHS}),
    "a column for each month, named by its first day as Excel counts it": (
        {"sales.csv": MONTHS.format("45292", "45323", "45352")}, {ASKED_MONTHS}),
    "months beside a column that nobody named, and totals": (
        {"sales.csv": ",2024-01,2024-02,2024-03,Total\nTotal,10.00,-2.50,5.00,12.50\nAlder,10.00,0,5.00,15.00\nBirch,0,-2.50,0,-2.50\n"}, {ASKED_MONTHS}),
    "rows numbered in a column without a name": ({"sales.csv": ",Customer,Date,Net Amount\n0,Alder,2024-01-05,10.00\n1,Birch,2024-01-31,-2.50\n2,Alder,2024-02-18,5.00\n"}, set()),
    "a column for each month and measure": (
        {"sales.csv": "Customer,Quantity Jan 2024,Sales Jan 2024,Quantity Feb 2024,Sales Feb 2024,Quantity Mar 2024,Sales Mar 2024\nAlder,4,10.00,,,1,5.00\nBirch,,,-1,-2.50,,\n"}, {ASKED_MONTHS}),
    "months above measures, rows of a pivot that nobody named": (
        {"sales.csv": "Sum of Sales,Column Labels,,,,,,\n,2024-01,,2024-02,,2024-03,,Total Sum of Sales\nRow Labels,Sum of Quantity,Sum of Sales,Sum of Quantity,Sum of Sales,Sum of Quantity,Sum of Sales,\n"
         "Alder,4,10.00,,,1,5.00,15.00\nBirch,,,-1,-2.50,,,-2.50\nGrand Total,4,10.00,-1,-2.50,1,5.00,12.50\n"}, {ASKED_MONTHS}),
    "years above months, customers above the total of their products": (
        {"sales.csv": ",,2023,,2023 Total,2024,,2024 Total\nCustomer,Item,Nov,Dec,,Jan,Feb,\nAlder,A-1,6.00,,6.00,4.00,,4.00\n,B-2,,5.00,5.00,,,\nAlder Total,,6.00,5.00,11.00,4.00,,4.00\n"
         "Birch,A-1,,,,,-2.50,-2.50\nBirch Total,,,,,,-2.50,-2.50\nGrand Total,,6.00,5.00,11.00,4.00,-2.50,1.50\n"}, {ASKED_MONTHS}),
    "keys with noughts before them in some rows, beside their customers": (
        {"sales.csv": "Document No,Date,Customer No.,Amount\nR1,2024-01-05,7,10.00\nR2,2024-01-31,12,-2.50\nR3,2024-02-18,7,4.00\nR4,2024-02-18,0007,1.00\n",
         "customers.csv": "Customer No.,Customer Name\n7,Alder\n12,Birch\n"}, {"tables.invoice_lines.columns.customer_id (noughts)"}),
    "keys with noughts before them in some rows, each with one name": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Amount\nR1,2024-01-05,0007,Alder,10.00\nR2,2024-01-31,12,Birch,-2.50\nR3,2024-02-18,7,Alder,5.00\n"}, set()),
    "what was cancelled by its status, and what cancelled it": (
        {"sales.csv": "Belegnr,Belegart,Datum,Kundennr,Kundenname,Nettobetrag,Status\nR1,Rechnung,2024-01-05,K1,Alder,15.00,bezahlt\nR2,Rechnung,2024-01-10,K2,Birch,5.50,storniert\n"
         "S2,Stornorechnung,2024-01-10,K2,Birch,-5.50,\nG3,Gutschrift,2024-01-31,K2,Birch,2.50,offen\n"}, set()),
    "types of documents as Great Plains numbers them, void ones among them": (
        {"sop.csv": "SOPTYPE,SOPNUMBE,DOCDATE,CUSTNMBR,CUSTNAME,Amount,VOIDSTTS\n3,R1,2024-01-05,K1,Alder,15.00,0\n4,T1,2024-01-31,K2,Birch,2.50,0\n3,R2,2024-02-18,K1,Alder,7.00,1\n"},
        {"tables.invoice_lines.kinds (SOPTYPE)", "tables.invoice_lines.kinds (VOIDSTTS)"}),
    "several currencies beside the amount in one, without rates": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Currency,Amount,Amount (EUR)\nR1,2024-01-05,K1,Alder,EUR,15.00,15.00\nR2,2024-01-31,K2,Birch,USD,-5.00,-2.50\n"}, set()),
    "orders of a shop whose name is their number": (
        {"orders.csv": "Name,Email,Created at,Lineitem sku,Lineitem quantity,Lineitem price\n#1,Alder,2024-01-05,A-1,2,5.00\n#2,Birch,2024-01-31,A-1,-1,2.50\n#3,Alder,2024-02-18,A-1,1,5.00\n"}, set()),
    "amounts with tax beside its rate": (
        {"sales.csv": "Order No,Date,Customer No,Customer Name,Total incl. VAT,VAT\nR1,2024-01-05,K1,Alder,12.00,20\nR2,2024-01-31,K2,Birch,-2.75,10\nR3,2024-02-18,K1,Alder,6.00,20\n"}, set()),
    "a column of yes and no that says which are credit notes": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Net,IsCreditNote\nR1,2024-01-05,K1,Alder,15.00,false\nG2,2024-01-31,K2,Birch,2.50,true\n"}, set()),
    "a total and a note below the rows": (
        {"sales.csv": "Customer,Invoice,Date,Net\nAlder,R1,2024-01-05,15.00\nBirch,R2,2024-01-31,-2.50\nTotal,,,12.50\nPrinted on 2024-04-01,,,\n"}, set()),
    "customers in a row for each of their addresses": (
        {"sales.csv": "Document No,Date,Customer No,Amount\nR1,2024-01-05,K1,15.00\nR2,2024-01-31,K2,-2.50\n",
         "customers.csv": "Customer No,Name,Address,City\nK1,Alder,Main,Bonn\nK1,Alder,Delivery,Ulm\nK2,Birch,Main,Kiel\n"}, set()),
    "entries of several customers, which no document tells apart, and debits that are blank": (
        {"123456789FEC20241231.txt": "JournalCode|EcritureNum|EcritureDate|CompteNum|CompteLib|CompAuxNum|CompAuxLib|PieceRef|Debit|Credit\n"
         + "".join(f"VE|{n}|{day}|411000|Clients|{who}|Z{n}|{debit}|\nVE|{n}|{day}|701000|Ventes|||Z{n}||{net}\nVE|{n}|{day}|445710|TVA|||Z{n}||{tax}\n"
                   for n, day, who, debit, net, tax in ((1, "20240105", "K1|Alder", "12,00", "10,00", "2,00"), (1, "20240105", "K2|Birch", "1,20", "1,00", "0,20"), (2, "20240218", "K1|Alder", "6,00", "5,00", "1,00")))
         + "VE|3|20240219|701000|Ventes|||Z3|3,50|\nVE|3|20240219|445710|TVA|||Z3|0,70|\nVE|3|20240219|411000|Clients|K2|Birch|Z3||4,20\n"},
        {"tables.invoice_lines.columns.customer_id (documents)"}),
    "a list of SAP with bars, rules and a total": (
        {"list.txt": "01.03.2024      Line items\n-----------------------------------------\n|Customer|Document|Doc. Date |   Amount|Curr|\n-----------------------------------------\n"
         "|Alder   |90000001|05.01.2024|   10,00 |EUR |\n|Birch   |90000002|31.01.2024|    2,50-|EUR |\n|Alder   |90000003|18.02.2024|    5,00 |EUR |\n"
         "-----------------------------------------\n|*       |        |          |   12,50 |EUR |\n-----------------------------------------\n"}, set()),
    "columns below each other": (
        {"list.txt": "Invoices 2024\n\nCustomer No  Customer Name   Invoice No  Date         Amount\nK1           Alder           R1          2024-01-05    10.00\n"
         "K2           Birch           R2          2024-01-31    -2.50\nK1           Alder           R3          2024-02-18     5.00\n"}, set()),
    "columns below dashes, the header on each page": (
        {"list.txt": (head := "CUSTOMER_ID CUSTOMER_NAME   INVOICE_NO INVOICE_DATE NET_AMOUNT\n----------- --------------- ---------- ------------ ----------\n")
         + "K1          Alder           R1         2024-01-05        10.00\nK2          Birch           R2         2024-01-31        -2.50\n\n"
         + head + "K1          Alder           R3         2024-02-18         5.00\n"}, set()),
    "debits and credits by two letters": ({"sales.csv": DATED.replace("-2.50", "2.50 CR").replace("10.00", "10.00 DR").format("Invoice Date", "2024-01-05", "2024-01-31", "2024-02-18")}, set()),
    "a column for each month below a title with the year": (
        {"sales.csv": "Net sales 2024,,,\n" + MONTHS.format("Jan", "Feb", "Mar")}, {ASKED_MONTHS}),
    "a journal of one signed amount": (
        {"entries.csv": "Posting Date,Document No.,G/L Account No.,G/L Account Name,Amount,Source No.,Source Name\n"
         + "".join(f"{day},{no},2310,Customers,{gross},{who}\n{day},{no},6110,Sales,{net},{who}\n{day},{no},5611,Sales VAT,{tax},{who}\n"
                   for day, no, gross, net, tax, who in (("2024-01-05", "R1", "18.00", "-15.00", "-3.00", "K1,Alder"),
                                                         ("2024-01-31", "R2", "-3.00", "2.50", "0.50", "K2,Birch")))},
        {"tables.invoice_lines.kinds (G/L Account No.)"}),
    "credit notes that only their numbers tell": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Net Amount\nINV-1,2024-01-05,K1,Alder,15.00\nINV-2,2024-01-20,K2,Birch,4.00\nCN-3,2024-01-31,K2,Birch,6.50\n"},
        {"tables.invoice_lines.kinds (Document No)"}),
    "returns by a type alone": (
        {"sales.csv": "Doc Type,Document No,Date,Customer No,Customer Name,Net Amount\nINV,1,2024-01-05,K1,Alder,10.00\nRET,2,2024-01-31,K2,Birch,2.50\nINV,3,2024-02-18,K1,Alder,5.00\n"}, set()),
    "prices of a hundred": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Item,Quantity,Unit Price,Price Unit\nR1,2024-01-05,K1,Alder,A-1,4,250.00,100\nR2,2024-01-31,K2,Birch,A-1,-1,250.00,100\nR3,2024-02-18,K1,Alder,B-2,2,2.50,1\n"}, set()),
    "rows of tax among the items": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Item,Amount\nR1,2024-01-05,K1,Alder,A-1,15.00\nR1,2024-01-05,K1,Alder,VAT 20%,3.00\nR2,2024-01-31,K2,Birch,B-2,-2.50\nR2,2024-01-31,K2,Birch,VAT 20%,-0.50\n"},
        {"tables.invoice_lines.kinds (Item)"}),
    "customers in merged cells above their total": (
        {"sales.csv": "Customer,Date,Document No,Amount\nAlder,2024-01-05,R1,10.00\n,2024-02-18,R3,5.00\nTotal Alder,,,15.00\nBirch,2024-01-31,R2,-2.50\nTotal Birch,,,-2.50\nTotal,,,12.50\n"}, set()),
    "several currencies with their rates": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Currency,Exchange Rate,Amount\nR1,2024-01-05,K1,Alder,EUR,1,15.00\nR2,2024-01-31,K2,Birch,USD,0.5,-5.00\n"},
        {"tables.invoice_lines.columns.gross_sales (currency)"}),
    "several currencies beside the amount in one": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Currency,Exchange Rate,Amount,Amount (EUR)\nR1,2024-01-05,K1,Alder,EUR,1,15.00,15.00\nR2,2024-01-31,K2,Birch,USD,2,-5.00,-2.50\n"}, set()),
    "what was invoiced and credited in two columns": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Invoiced,Credited\nR1,2024-01-05,K1,Alder,15.00,\nR2,2024-01-31,K2,Birch,,2.50\n"}, set()),
    "a last row called a total where others have their customer": (
        {"register.csv": "Date,Particulars,Voucher No.,Value\n2024-01-05,Alder,1,15.00\n2024-01-31,Birch,2,-2.50\n,Grand Total,,12.50\n"}, set()),
    "measures below each other": (
        {"cube.csv": "Customer,Month,Measure,Value\nAlder,2024-01,Net Sales,15.00\nAlder,2024-01,Quantity,3\nAlder,2024-01,COGS,9.00\nBirch,2024-01,Net Sales,-2.50\nBirch,2024-01,Quantity,-1\nBirch,2024-01,COGS,-1.00\n"},
        {"tables.invoice_lines.kinds (Measure)"}),
    "what was planned and what was sold the year before, beside what was sold": (
        {"sales.csv": "Customer,Month,Scenario,Net Sales\nAlder,2024-01,Actual,15.00\nAlder,2024-01,Budget,20.00\nBirch,2024-01,Actual,-2.50\nBirch,2024-01,Prior Year,4.00\n"}, {"tables.invoice_lines.kinds (Scenario)"}),
    "opening balances and payments among what customers owe": (
        {"konten.csv": "Konto,Name,Datum,Beleg,Buchungstext,Soll,Haben\nK1,Alder,2024-01-01,EB,Saldovortrag,100.00,\nK1,Alder,2024-01-05,R1,Rechnung,15.00,\nK1,Alder,2024-01-15,Z1,Zahlung,,5.00\nK2,Birch,2024-01-31,G2,Gutschrift,,2.50\n"}, set()),
    "a billing document that is cancelled, with what cancels it": (
        {"sales.csv": "Billing Document,Billing Document Type,Billing Document Date,Sold-to Party,Sold-to Party Name,Net Amount,Billing Document Is Cancelled,Cancelled Billing Document\n"
         "1,F2,2024-01-05,K1,Alder,15.00,,\n2,F2,2024-01-10,K2,Birch,7.00,X,\n3,S1,2024-01-11,K2,Birch,-7.00,,2\n4,G2,2024-01-31,K2,Birch,-2.50,,\n"},
        {"tables.invoice_lines.kinds (Billing Document Is Cancelled)"}),
    "an invoice that is void, and its opposite, which no word tells": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Net Amount,Void\n1,2024-01-05,K1,Alder,15.00,N\n2,2024-01-10,K2,Birch,7.00,Y\n3,2024-01-11,K2,Birch,-7.00,N\n4,2024-01-31,K2,Birch,-2.50,N\n"},
        {"tables.invoice_lines.kinds (credited)"}),
    "distributions to accounts of several kinds, a tax that its description tells": (
        {"sales.csv": "Customer ID,Customer Name,Invoice/CM #,Date,Item ID,Description,G/L Account,Amount\nK1,Alder,R1,2024-01-05,A-1,Anchor,40000,-10.00\nK1,Alder,R1,2024-01-05,B-2,Bolt,40000,-5.00\nK1,Alder,R1,2024-01-05,,Sales Tax,23100,-3.00\n"
         "K2,Birch,G2,2024-01-31,B-2,Bolt,40000,2.50\nK2,Birch,G2,2024-01-31,,Sales Tax,23100,0.50\n"},
        {"tables.invoice_lines.kinds (Description)", "tables.invoice_lines.kinds (G/L Account)"}),
    "accounts by number and name in one column": (
        {"search.csv": "Date,Document Number,Name,Main Line,Account,Amount\n2024-01-05,R1,Alder,*,Accounts Receivable,18.00\n2024-01-05,R1,Alder,,4000 Sales,15.00\n2024-01-05,R1,Alder,,5000 Cost of Goods Sold,-9.00\n2024-01-05,R1,Alder,,2200 Tax payable,3.00\n"
         "2024-01-31,G2,Birch,*,Accounts Receivable,-3.00\n2024-01-31,G2,Birch,,4000 Sales,-2.50\n2024-01-31,G2,Birch,,2200 Tax payable,-0.50\n"},
        {"tables.invoice_lines.columns.customer_id (names)", "tables.invoice_lines.kinds (Account)"}),
    "parts of a kit below it": (
        {"sales.csv": "Invoice No,Line,Parent line,Date,Customer No,Customer Name,Item,Net Amount\nR1,1,,2024-01-05,K1,Alder,A-1,15.00\nR1,2,1,2024-01-05,K1,Alder,A-2,9.00\nR1,3,1,2024-01-05,K1,Alder,A-3,6.00\nR2,1,,2024-01-31,K2,Birch,B-2,-2.50\n"},
        {"tables.invoice_lines.kinds (Parent line)"}),
    "heads with the sum of their lines among them": (
        {"sales.csv": "Rec,Invoice No,Date,Customer No,Customer Name,Item,Net Amount\nH,R1,2024-01-05,K1,Alder,,15.00\nL,R1,2024-01-05,K1,Alder,A-1,10.00\nL,R1,2024-01-05,K1,Alder,B-2,5.00\nH,R2,2024-01-31,K2,Birch,,-2.50\nL,R2,2024-01-31,K2,Birch,B-2,-2.50\n"},
        {"tables.invoice_lines.kinds (Rec)"}),
    "fields of two tables named with them": (
        {"baq.csv": "InvcHead_InvoiceNum,InvcHead_InvoiceDate,InvcHead_CreditMemo,Customer_Name,InvcDtl_InvoiceLine,InvcDtl_PartNum,InvcDtl_ExtPrice\n1,1/5/2024 12:00:00 AM,False,Alder,1,A-1,15.00\n2,1/31/2024 12:00:00 AM,True,Birch,1,A-1,-2.50\n"}, set()),
    "text with tabs that is called .xls": ({"export.XLS": DATED.replace(",", "\t").format("Invoice Date", "2024-01-05", "2024-01-31", "2024-02-18")}, set()),
    "apostrophes of a printer between thousands, a sign before the minus": (
        {"sales.csv": "Document No;Date;Customer No;Customer Name;Net Amount\nR1;2024-01-05;K1;Alder;CHF 1\u2019010.00\nR2;2024-01-31;K2;Birch;CHF -2.50\nR3;2024-02-18;K1;Alder;CHF -995.00\n"}, set()),
    "nought as a dash, and parentheses behind the sign": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Net Amount\nR1,2024-01-05,K1,Alder, $ 15.00 \nR2,2024-01-31,K2,Birch, $ (2.50)\nR3,2024-02-18,K1,Alder, $ -   \n"}, set()),
    "quantities with their unit": (
        {"sales.csv": "Document No;Date;Customer No;Customer Name;Item;Qty;Unit Price\nR1;2024-01-05;K1;Alder;A-1;4 pcs;2,50\nR2;2024-01-31;K2;Birch;B-2;-2,5 kg;1,00\nR3;2024-02-18;K1;Alder;A-1;2 pcs;2,50\n"}, set()),
    "numbers of documents with noughts before them in their heads": (
        {"invoices.csv": "Invoice No,Invoice Date,Customer No,Customer Name\n0001,2024-01-05,K1,Alder\n0002,2024-01-31,K2,Birch\n",
         "invoice_lines.csv": "Invoice No,Line No,Item,Amount\n1,1,A-1,10.00\n1,2,B-2,5.00\n2,1,B-2,-2.50\n"}, set()),
    "credit notes numbered anew, and numbers that differ by noughts": (
        {"OINV.csv": "DocEntry;DocDate;CardCode;CardName\n7;05.01.2024;K1;Alder\n007;31.01.2024;K2;Birch\n", "INV1.csv": "DocEntry;ItemCode;Quantity;LineTotal\n7;A-1;2;10.00\n7;B-2;1;5.00\n007;B-2;1;1.00\n",
         "ORIN.csv": "DocEntry;DocDate;CardCode;CardName\n7;18.02.2024;K2;Birch\n", "RIN1.csv": "DocEntry;ItemCode;Quantity;LineTotal\n7;B-2;1;3.50\n"}, {"tables.invoice_lines.columns.customer_id (documents)"}),
    "a total above the rows that are indented below it": (
        {"pivot.csv": "Customer,2024-01,2024-02,2024-03\nTotal,10.00,-2.50,5.00\n   Alder,10.00,,5.00\n   Birch,,-2.50,\n"}, {ASKED_MONTHS}),
    "a measure below each month and the total, customers in a column that nobody named": (
        {"pivot.csv": ",Total,,,\n,January 2024,February 2024,March 2024,\n,Untaxed Total,Untaxed Total,Untaxed Total,Untaxed Total\nTotal,10.00,-2.50,5.00,12.50\n     Alder,10.00,,5.00,15.00\n     Birch,,-2.50,,-2.50\n"}, {ASKED_MONTHS}),
    "sales by rates of tax, side by side": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Net Amount 19,Net Amount 7\nR1,2024-01-05,K1,Alder,10.00,5.00\nR2,2024-01-31,K2,Birch,-2.50,0.00\n"},
        {"tables.invoice_lines.columns.gross_sales (several)"}),
    "freight that is charged, by the amount that has it": (
        {"sales.csv": "Document No,Date,Customer No,Customer Name,Gross Sales,Freight,Net Sales\nR1,2024-01-05,K1,Alder,12.00,3.00,15.00\nR2,2024-01-31,K2,Birch,-3.00,0.50,-2.50\n"}, set()),
    "keys with noughts before them": (
        {"sales.csv": "Document No,Date,Customer No,Amount\nR1,2024-01-05,7,15.00\nR2,2024-01-31,12,-2.50\n",
         "customers.csv": "Customer No,Customer Name\n0007,Alder\n0012,Birch\n"}, set()),
}  # fmt: skip


def net(folder: Path, work: Path) -> dict[str, Decimal]:
    """What each customer bought, of what is in the figures."""
    ledger = read_ledger(open_engagement(folder), work)
    names = dict(values(ledger, "customers", "customer_id", "customer_name"))
    bought: dict[str, Decimal] = {}
    for customer, kind, gross in values(ledger, "invoice_lines", "customer_id", "kind", "gross_sales"):
        if kind != "exclude":
            bought[names[customer]] = bought.get(names[customer], Decimal(0)) + gross
    return bought


def confirmed(folder: Path) -> None:
    """Take what was taken for right: the questions are answered, and a currency is named where none was."""
    settings = mapping(folder)
    settings.pop("open", None)
    settings["currency"] = {"XXX": "EUR"}.get(settings["currency"], settings["currency"])
    (folder / "engagement.yml").write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_read_right_and_accepted_when_its_questions_are_answered(form: str, tmp_path: Path) -> None:
    files, still_open = FORMS[form]
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    folder, _, _ = set_up(tmp_path, [tmp_path / name for name in files])
    assert {*mapping(folder).get("open", {})} == still_open
    assert net(folder, tmp_path / "work") == NET
    confirmed(folder)
    found = check_ledger(read_ledger(open_engagement(folder), tmp_path / "again"))
    assert found[found["verdict"] == "reject"]["message"].tolist() == []


def test_a_column_for_each_month_may_be_named_by_dates_of_a_workbook(tmp_path: Path) -> None:
    from datetime import datetime

    book = openpyxl.Workbook()
    rows = [
        ["Customer", *(datetime(2024, month, 1) for month in (1, 2, 3))],
        ["Alder", 10, 0, 5],
        ["Birch", 0, -2.5, 0],
    ]
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    book.save(tmp_path / "pivot.xlsx")
    folder, _, _ = set_up(tmp_path, [tmp_path / "pivot.xlsx"])
    assert {*mapping(folder)["open"]} == {ASKED_MONTHS}
    assert net(folder, tmp_path / "work") == NET


def test_a_customer_in_the_first_of_its_rows_alone_is_carried_down_as_the_way_out_says(tmp_path: Path) -> None:
    rows = "Alder,2024-01,10.00\n,2024-03,5.00\n,Total,15.00\nBirch,2024-01,-1.00\n,2024-02,-1.50\n,Total,-2.50\nTotal,,12.50\n"
    (tmp_path / "matrix.csv").write_text(f"Customer,Month,Net sales\n{rows}", encoding="utf-8")
    folder, _, _ = set_up(tmp_path, [tmp_path / "matrix.csv"])
    confirmed(folder)
    found = check_ledger(read_ledger(open_engagement(folder), tmp_path / "first"))
    [way_out] = found.loc[found["code"] == "unassigned-share", "way_out"]
    assert "`carried: [COLUMN]` under tables.invoice_lines" in way_out
    content = mapping(folder)
    content["tables"]["invoice_lines"]["carried"] = ["Customer"]
    (folder / "engagement.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    found = check_ledger(read_ledger(open_engagement(folder), tmp_path / "second"))
    assert found[found["verdict"] == "reject"]["message"].tolist() == []
    assert net(folder, tmp_path / "work") == NET


PRODUCTS = "ProductKey,ProductAlternateKey,ProductName,StartDate,EndDate,Status\n1,A-1,Anchor,2023-01-01,2024-01-10,\n2,A-1,Anchor,2024-01-11,,Current\n3,B-2,Bolt,2023-01-01,,Current\n"
SOLD = "OrderNo,OrderDate,CustomerKey,CustomerName,ProductKey,Amount\nR1,2024-01-05,K1,Alder,1,10.00\nR2,2024-01-20,K1,Alder,2,5.00\nR3,2024-01-31,K2,Birch,3,-2.50\n"


@pytest.mark.parametrize(("answer", "products"), [(None, ["A-1", "B-2"]), ("ProductKey", ["1", "2", "3"])])
def test_a_product_with_a_key_for_each_of_its_versions_is_one_unless_people_say_otherwise(
    answer: str | None, products: list[str], tmp_path: Path
) -> None:
    for name, text in (("FactSales.csv", SOLD), ("DimProduct.csv", PRODUCTS)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    key = "tables.invoice_lines.columns.product_id (versions)"
    folder, asked, _ = set_up(
        tmp_path, [tmp_path / "FactSales.csv", tmp_path / "DimProduct.csv"], answer and {key: answer}
    )
    assert key in {question.key for question in asked}
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert sorted(values(ledger, "products", "product_id")) == products
    assert sorted({*values(ledger, "invoice_lines", "product_id")}) == products


def test_a_line_of_a_million_dashes_is_looked_at_in_one_go(tmp_path: Path) -> None:  # it took hours
    (tmp_path / "list.txt").write_text(f"Invoices\n{'-' * 1_000_000} x\nR1\nR2\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"list.txt is no table"):
        set_up(tmp_path, [tmp_path / "list.txt"])


def test_a_list_for_a_printer_is_refused_with_a_way_out(tmp_path: Path) -> None:
    text = "Invoices 2024\n-----------------\n|No |Date      |Amount|\n|R1 |2024-01-05| 10.00|\n-----------------\n"
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"list.txt is no table.*export it as CSV, as text with tabs, or as .xlsx"):
        set_up(tmp_path, [tmp_path / "list.txt"])


@pytest.mark.parametrize(("names", "one"), [("", True), (",Alder,Birch,Ash", False)])
def test_keys_that_differ_by_noughts_alone_are_asked_where_no_name_tells(names: str, one: bool, tmp_path: Path) -> None:
    _, *name = names.split(",")
    rows = zip(("R1", "R2", "R3"), ("007", "12", "7"), name or ("", "", ""), ("10.00", "-2.50", "5.00"), strict=True)
    text = f"Document No,Customer No,{'Customer Name' if names else 'Note'},Date,Amount\n"
    (tmp_path / "sales.csv").write_text(
        text + "".join(f"{no},{key},{who},2024-01-05,{amount}\n" for no, key, who, amount in rows), encoding="utf-8"
    )
    folder, _, _ = set_up(tmp_path, [tmp_path / "sales.csv"])
    assert "tables.invoice_lines.columns.customer_id (noughts)" in mapping(folder)["open"]
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert len({*values(ledger, "customers", "customer_id")}) == (2 if one else 3)


def test_what_was_refunded_of_a_document_is_asked(tmp_path: Path) -> None:
    head = "Name,Email,Financial Status,Currency,Created at,Lineitem sku,Lineitem quantity,Lineitem price,Refunded Amount\n"
    rows = "#1,Alder,paid,EUR,2024-01-05,A-1,2,5.00,0.00\n#1,Alder,,,2024-01-05,B-2,1,5.00,\n#2,Birch,paid,EUR,2024-01-31,A-1,1,5.00,2.00\n"
    (tmp_path / "orders.csv").write_text(head + rows, encoding="utf-8")
    key = "tables.invoice_lines.columns.refunded (documents)"
    folder, _, _ = set_up(tmp_path, [tmp_path / "orders.csv"], {key: "yes"})
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert values(ledger, "invoice_lines", "gross_sales", "discount") == [(10, 0), (5, 0), (5, 2)]


ASKED = {
    "gross_sales (sides)": "Customer,Date,Document,Debit,Credit\nAlder,2024-01-05,R1,10.00,\nAlder,2024-01-15,P1,,10.00\nBirch,2024-01-20,R2,9.00,\n",
    "kinds (credited)": "Document Type,No.,Date,Customer No.,Amount,Cancelled\nInvoice,R1,2024-01-05,K1,10.00,No\nInvoice,R2,2024-01-20,K2,9.00,Yes\nCredit Memo,G1,2024-01-25,K2,9.00,No\n",
    "gross_sales (documents)": "Invoice No,Date,Customer,Item,Qty,Invoice Total\nR1,2024-01-05,Alder,A-1,1,11.00\nR1,2024-01-05,Alder,B-2,1,11.00\nR2,2024-01-31,Birch,A-1,1,9.00\n",
    "kinds (Belegart)": "Debitor,Name,Belegart,Beleg,Datum,Betrag\n1,Alder,RE,R1,2024-01-05,9.00\n1,Alder,ZE,Z1,2024-01-15,-9.00\n2,Birch,RE,R2,2024-01-20,7.00\n2,Birch,GS,G3,2024-02-15,-1.00\n",
}


FEES = "Date,Customer,Amount,Fee,Net\n2024-01-05,Alder,100.00,3.20,96.80\n2024-01-31,Birch,-10.00,0.00,-10.00\n2024-02-18,Alder,50.00,1.70,48.30\n"
SHARES = "Date,Customer,Amount,Discount,Discount %\n2024-01-05,Alder,100.00,0.00,10\n2024-01-31,Birch,-10.00,0.00,0\n2024-02-18,Alder,50.00,0.00,0\n"


@pytest.mark.parametrize(("text", "net_sales"), [(FEES, [100, -10, 50]), (SHARES, [90, -10, 50])])
def test_a_fee_takes_nothing_off_sales_and_a_column_of_noughts_does_not_stand_for_a_share(
    text: str, net_sales: list[int], tmp_path: Path
) -> None:
    (tmp_path / "sales.csv").write_text(text, encoding="utf-8")
    folder, _, _ = set_up(tmp_path, [tmp_path / "sales.csv"])
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    gross = values(ledger, "invoice_lines", "gross_sales")
    there = "discount" in ledger.tables["invoice_lines"].columns
    discounts = values(ledger, "invoice_lines", "discount") if there else [0] * len(gross)
    assert [sold - (off or 0) for sold, off in zip(gross, discounts, strict=True)] == net_sales


HEADS = "Invoice No,Invoice Date,Customer No,Customer Name,Subtotal,Discount,Total\nR1,2024-01-05,K1,Alder,11.00,1.10,{}\nR2,2024-01-20,K2,Birch,9.00,0.00,9.00\n"
LINES = "Invoice No,Line No,Item No,Quantity,Unit Price,Amount\nR1,1,A-1,1,10.00,10.00\nR1,2,B-2,1,1.00,1.00\nR2,1,A-1,1,9.00,9.00\n"


@pytest.mark.parametrize(("total", "discounts"), [("9.90", [1, Decimal("0.1"), 0]), ("11.00", [])])
def test_the_discount_of_a_head_is_divided_among_its_lines_where_a_total_is_less_by_it_and_asked_where_none_is(
    total: str, discounts: list[Decimal], tmp_path: Path
) -> None:
    for name, text in (("invoices.csv", HEADS.format(total)), ("invoice_lines.csv", LINES)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    folder, asked, _ = set_up(tmp_path, [tmp_path / "invoices.csv", tmp_path / "invoice_lines.csv"])
    assert ("tables.invoice_lines.columns.discount (heads)" in {q.key for q in asked}) == (not discounts)
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    there = "discount" in ledger.tables["invoice_lines"].columns
    assert (values(ledger, "invoice_lines", "discount") if there else []) == discounts


JOBS = (
    ",,Type,Date,Num,Memo,Item,Amount\nAlder,,,,,,,\n,Job 1,,,,,,\n,,Invoice,2024-01-05,R1,,,10.00\n,Total Job 1,,,,,,10.00\n,Job 2,,,,,,\n,,Invoice,2024-02-18,R3,,,5.00\n"
    ",Total Job 2,,,,,,5.00\nTotal Alder,,,,,,,15.00\nBirch,,,,,,,\n,Job 3,,,,,,\n,,Credit Memo,2024-01-31,R2,,,-2.50\n,Total Job 3,,,,,,-2.50\nTotal Birch,,,,,,,-2.50\nTOTAL,,,,,,,12.50\n"
)


def test_columns_without_a_name_beside_headings_are_named_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "detail.csv").write_text(JOBS, encoding="utf-8")
    folder, _, _ = set_up(
        tmp_path, [tmp_path / "detail.csv"], {"tables.invoice_lines.columns.customer_id": "heading 1"}
    )
    assert net(folder, tmp_path / "work") == NET


SHARES_TWICE = "Document No;Date;Customer;Qty;Price;Rabatt 1 %;Rabatt 2 %\n1;2024-01-05;Alder;10;10.00;10;5\n2;2024-01-31;Birch;-1;50.00;0;0\n3;2024-02-18;Alder;1;40.00;20;10\n"


@pytest.mark.parametrize(
    ("answer", "off"),
    [
        ("one after the other", ["14.5", "0", "11.2"]),
        ("in sum", ["15", "0", "12"]),
        ("Rabatt 1 % alone", ["10", "0", "8"]),
    ],
)
def test_two_discounts_in_percent_come_off_as_people_say(answer: str, off: list[str], tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(SHARES_TWICE, encoding="utf-8")
    folder, _, _ = set_up(
        tmp_path, [tmp_path / "sales.csv"], {"tables.invoice_lines.columns.discount (several)": answer}
    )
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert values(ledger, "invoice_lines", "discount") == [*map(Decimal, off)]


def test_lines_of_another_year_under_other_names_refuse_the_books_until_people_leave_them_out(tmp_path: Path) -> None:
    texts = {
        "sales_2023.csv": "Invoice,Date,Customer,Sales\nR1,2023-01-05,Alder,7.00\n",
        "sales_2024.csv": "Doc No,Posting Date,Customer No,Net Amount\nR2,2024-01-05,Alder,15.00\nR3,2024-01-31,Birch,-2.50\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    folder, _, _ = set_up(tmp_path, [tmp_path / name for name in texts])
    assert mapping(folder)["open"]["unread (sales_2023)"]["amount"] == 7
    confirmed(folder)
    found = check_ledger(read_ledger(open_engagement(folder), tmp_path / "work"))
    assert found[found["verdict"] == "reject"]["message"].tolist() == []


def test_amounts_of_which_nothing_says_the_tax_are_refused_with_words_that_work(tmp_path: Path) -> None:
    text = "Rechnung,Datum,Kunde,Bruttobetrag\nR1,2024-01-05,Alder,17.85\nR2,2024-01-31,Birch,-2.975\n"
    (tmp_path / "sales.csv").write_text(text, encoding="utf-8")
    folder, _, [*told] = set_up(tmp_path, [tmp_path / "sales.csv"])
    assert any("write `gross_sales: 'Bruttobetrag / 1.19'` under tables.invoice_lines.columns" in text for text in told)
    confirmed(folder)
    settings = mapping(folder)
    settings["tables"]["invoice_lines"]["columns"]["gross_sales"] = "Bruttobetrag / 1.19"
    (folder / "engagement.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert net(folder, tmp_path / "work") == NET


OFF = {
    "two amounts": ("Document No,Date,Customer,Gross Amount,Rabatt 1,Rabatt 2\nR1,2024-01-05,Alder,100.00,10.00,1.50\nR2,2024-01-31,Birch,50.00,0.00,0.50\n", {"discount (several)", "gross_sales (discount)"}, ["11.5", "0.5"]),
    "what was credited": ("Date,Customer,Gross Sales,Credit Notes\n2024-01-05,Alder,100.00,10.00\n2024-01-31,Birch,50.00,0.00\n", {"refunded (returns)"}, ["10", "0"]),
    "a document's, in each of its lines": (
        "Order No,Date,Customer,SKU,Line Total,Order Discount,Order Total\n1,2024-01-05,Alder,A-1,30.00,4.00,36.00\n1,2024-01-05,Alder,B-2,10.00,4.00,36.00\n2,2024-01-31,Birch,A-1,50.00,0.00,50.00\n", set[str](), ["3", "1", "0"]),
}  # fmt: skip


@pytest.mark.parametrize("case", OFF)
def test_what_comes_off_is_read_whole_wherever_it_stands(case: str, tmp_path: Path) -> None:
    text, keys, off = OFF[case]
    (tmp_path / "sales.csv").write_text(text, encoding="utf-8")
    folder, _, _ = set_up(tmp_path, [tmp_path / "sales.csv"])
    still_open = mapping(folder).get("open", {})
    assert {*still_open} == {f"tables.invoice_lines.columns.{key}" for key in keys}
    ledger = read_ledger(open_engagement(folder), tmp_path / "work")
    assert values(ledger, "invoice_lines", "discount") == [*map(Decimal, off)]


ODD = {
    "gross_sales (Net Amount)": ("Document No,Date,Customer,Net Amount\nR1,2024-01-05,Alder,10.00\nR2,2024-01-31,Birch,2.50\nR3,2024-02-18,Alder,about 5\n", "about 5"),
    "discount (Rabatt)": ("Document No,Date,Customer,Net Amount,Rabatt\nR1,2024-01-05,Alder,10.00,1.00\nR2,2024-01-31,Birch,2.50,0.00\nR3,2024-02-18,Alder,5.00,zehn\n", "zehn"),
    "invoice_date (Date)": ("Document No,Date,Customer,Net Amount\nR1,2024-01-05,Alder,10.00\nR2,31.01.2024,Birch,2.50\nR3,2024-02-18,Alder,5.00\n", "31.01.2024"),
}  # fmt: skip


@pytest.mark.parametrize("key", ODD)
def test_a_column_of_which_some_values_are_written_otherwise_refuses_the_books_and_names_them(
    key: str, tmp_path: Path
) -> None:
    text, odd = ODD[key]
    (tmp_path / "sales.csv").write_text(text, encoding="utf-8")
    folder, _, still_open = set_up(tmp_path, [tmp_path / "sales.csv"])
    assert f"tables.invoice_lines.columns.{key}" in mapping(folder)["open"]
    assert any(f"such as {odd}; it is not read" in text for text in still_open)
    assert not check_ledger(read_ledger(open_engagement(folder), tmp_path / "work")).query("verdict == 'reject'").empty


@pytest.mark.parametrize("key", ASKED)
def test_what_would_be_counted_twice_or_is_a_payment_is_asked_with_its_amount(key: str, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(ASKED[key], encoding="utf-8")
    folder, _, _ = set_up(tmp_path, [tmp_path / "sales.csv"])
    told = [question for asked, question in mapping(folder)["open"].items() if asked.endswith(key)]
    assert [Decimal(str(question["amount"])) > 0 for question in told] == [True]


def test_a_column_that_may_be_a_code_is_not_taken_for_the_amount(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(
        "Date,Customer,Plant,Sold\n2024-01-05,Alder,1000,ten\n2024-01-31,Birch,1010,two\n", encoding="utf-8"
    )
    folder, asked, _ = set_up(tmp_path, [tmp_path / "sales.csv"])
    assert "tables.invoice_lines.columns.gross_sales" in {question.key for question in asked}
    assert "gross_sales" not in mapping(folder)["tables"]["invoice_lines"]["columns"]


def test_customers_above_their_products_in_one_column_are_not_read_as_customers_all(tmp_path: Path) -> None:
    text = "Row Labels,2024-01,2024-02,2024-03\nAlder,10,4,5\nAnchor,6,1,5\nBolt,4,3,\nBirch,,-2,1\nAnchor,,-2,1\nGrand Total,10,2,6\n"
    (tmp_path / "pivot.csv").write_text(text, encoding="utf-8")
    folder, _, still_open = set_up(tmp_path, [tmp_path / "pivot.csv"])
    assert "tables" in mapping(folder)
    assert not mapping(folder)["tables"]
    assert any("in tabular form with its labels repeated, without subtotals" in text for text in still_open)


def test_customers_of_whom_the_first_bought_what_the_last_did_stand_side_by_side(tmp_path: Path) -> None:
    text = "Customer,2024-01,2024-02,2024-03\nAlder,5,5,5\nBirch,3,3,3\nCedar,5,5,5\n"
    (tmp_path / "pivot.csv").write_text(text, encoding="utf-8")
    folder, _, _ = set_up(tmp_path, [tmp_path / "pivot.csv"])
    assert net(folder, tmp_path / "work") == {"Alder": 15, "Birch": 9, "Cedar": 15}


def test_a_row_of_a_list_that_a_column_cuts_is_refused_with_its_place(tmp_path: Path) -> None:
    files, _ = FORMS["columns below each other"]
    (tmp_path / "list.txt").write_text(files["list.txt"], encoding="utf-8")
    folder, _, _ = set_up(tmp_path, [tmp_path / "list.txt"])
    with (folder / "ledger/list.csv").open("a", encoding="utf-8") as ledger:
        ledger.write("Three invoices in all of this list\n")
    found = check_ledger(read_ledger(open_engagement(folder), tmp_path / "work")).query("verdict == 'reject'")
    assert {("row-too-short", 7)} <= {*zip(found["code"], found["row"], strict=True)}


def test_what_is_not_read_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "settlement.csv").write_text(
        "settlement-id,posted-date,order-id,amount\n1,2024-01-05,R1,10.00\n", encoding="utf-8"
    )
    folder, _, still_open = set_up(tmp_path, [tmp_path / "settlement.csv"])
    assert not check_ledger(read_ledger(open_engagement(folder), tmp_path / "work")).query("verdict == 'reject'").empty
    assert any("settlement has no column known as customer" in text for text in still_open)
