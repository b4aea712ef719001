"""The records of engagement.yml."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from crmlib.declared import reading
from crmlib.declared.ledger import refused_name, tables
from crmlib.declared.periods import YEAR

DATE_LETTERS = ("%d", "%m", "%b", "%B", "%Y", "%y", "%j")
SERIAL = "serial"
COUNTED = {  # forms of dates that count from a day on: the day, how many are one day, and what they look like
    SERIAL: (date(1899, 12, 30), 1, r"[2-7]\d{4}"), "serial-1904": (date(1904, 1, 1), 1, r"[1-7]\d{4}"),
    "unix": (date(1970, 1, 1), 86_400, r"\d{9,10}"), "unix-ms": (date(1970, 1, 1), 86_400_000, r"\d{12,13}"),
}  # fmt: skip
TIME_LETTERS = ("%H", "%I", "%M", "%S", "%f", "%p", "%z")  # cut to the day
MOST_YEARS = 100  # of a coverage
MonthText = Annotated[
    str, Field(pattern=rf"^{YEAR}-(0[1-9]|1[0-2])$", description="a month from 1900-01 to 2999-12, such as 2023-01")
]
Share = Annotated[Decimal, Field(ge=0, le=1)]
TableName = Literal[
    "customers", "products", "invoice_lines", "credits", "activity_types", "activities", "rates", "capacity",
    "costs", "balances", "joint_costs", "control_totals", "reconciliation", "customer_view", "service", "exchange_rates",
]  # fmt: skip


def _date_form(form: str) -> str:
    letters = re.findall("%.?", form)
    if unknown := [letter for letter in letters if letter not in DATE_LETTERS + TIME_LETTERS]:
        raise ValueError(f"{unknown[0]} is not known; letters are {', '.join(DATE_LETTERS + TIME_LETTERS)}")
    same, day = {"%b": "%m", "%B": "%m", "%y": "%Y"}, sum(letter in DATE_LETTERS for letter in letters)
    first, last = sorted(same.get(letter, letter) for letter in letters[:day]), letters[day:]
    months = first == ["%Y", "%m"] and not last
    if not (form in COUNTED or months or first in (["%Y", "%d", "%m"], ["%Y", "%j"])) or {*last} & {*DATE_LETTERS}:
        once = "must name day, month and year once each by %d, %m (or %b, %B) and %Y (or %y)"
        once += f", or year and day of the year (1%y%j), year and month (%Y%m), or be {', '.join(COUNTED)}"
        raise ValueError(f"{once}, and a time after them, such as %d.%m.%Y or %Y-%m-%d %H:%M")
    return form


def _source(text: str) -> str:
    if "://" in text or (text.startswith("env:") and not re.fullmatch(r"env:[A-Za-z_]\w*", text)):
        way_out = "write `source: env:NAME`, and give it to the variable NAME"
        raise ValueError(f"a database's URL is kept out of files: {way_out}")
    return text


class Record(reading.Record):
    """A record of engagement.yml; what stands below a key describes it, in the schema for editors too."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Coverage(Record):
    """The months that the books hold, both inclusive."""

    start: MonthText
    end: MonthText

    @model_validator(mode="after")
    def _in_order(self) -> Coverage:
        if self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        if int(self.end[:4]) - int(self.start[:4]) >= MOST_YEARS:
            raise ValueError(f"{self.start} to {self.end} is longer than the {MOST_YEARS} years that books may hold")
        return self


class Formats(Record):
    """How text is written in CSV files and Excel cells; nothing is guessed."""

    encoding: str = "utf-8"
    """encoding of CSV files; a byte-order mark is understood by itself"""
    delimiter: str = Field(",", pattern=r"^[\t !#$%&*,/:;<=>?@\\^_`{|}~]$")
    """one mark such as , ; | or a tab"""
    columns_at: list[Annotated[int, Field(ge=1)]] = Field(default_factory=list)
    """where the columns of a list for a printer begin, counted from 1, such as [1, 12, 30]: blanks and bars around values, rules and repeated headers are left out"""
    decimal: Literal[".", ","] = "."
    """mark before the decimals"""
    thousands: Literal["", ",", ".", " ", "'"] = ""
    """mark between thousands; empty: none allowed"""
    negative: Literal["leading", "trailing", "parentheses", "CR"] = "leading"
    """how a negative number looks; CR stands behind it, and DR may behind others"""
    currency_sign: str = ""
    """sign that may stand before or after an amount, such as $"""
    dates: list[Annotated[str, AfterValidator(_date_form)]] = Field(["%Y-%m-%d"], min_length=1)
    """date formats, in the letters %d, %m, %b, %B, %Y and %y; a time after them (%H, %M, %S, %z) is cut. Without a day, such as %Y%m, the first of the month; 1%y%j is a Julian date as JD Edwards writes it, serial a day as Excel counts it (45292 is 2024-01-01), serial-1904 one as workbooks that begin in 1904 do, unix and unix-ms are seconds and milliseconds since 1970 in UTC. %b and %B are the name of a month, in full or short, in English, German, French, Spanish, Italian or Dutch"""

    @model_validator(mode="after")
    def _marks_differ(self) -> Formats:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}")
        taken = f"{self.decimal}{self.thousands}-−+()"
        if wrong := [mark for mark in self.currency_sign if mark.isdigit() or mark in taken]:
            told = f"{self.currency_sign!r} holds {wrong[0]!r}, a part of numbers; such as $ or EUR"
            raise ValueError(f"currency_sign {told}")
        if self.columns_at != sorted({*self.columns_at}):
            raise ValueError("columns_at: each column begins behind the one before")
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError):
            raise ValueError(f"encoding {self.encoding!r} is unknown; such as utf-8, cp1252, utf-16") from None
        return self


def _listed(names: Any) -> Any:
    return [names] if isinstance(names, str) else names


Names = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
Sign = Literal["as written", "turned"]
Kind = Literal["return", "cancellation", "deposit", "fee", "discount", "exclude"]


def _constant(value: Any) -> Any:
    return str(value) if isinstance(value, int | float | date) and not isinstance(value, bool) else value


class ColumnSource(Record):
    """Where one column comes from, when its name alone does not say so."""

    column: Names = ()
    """the client's column, several to be summed, or an expression such as quantity * unit_price"""
    value: Annotated[str | None, BeforeValidator(_constant, json_schema_input_type=str | int | float)] = None
    """a constant for every row, such as EUR, 12.50 or 2025-01-31"""
    cast: bool = False
    """round to the column's decimals, cut a time of day, write a whole number as a key"""
    blank: Literal["refuse", "zero"] = "refuse"
    """what a blank number means"""
    sign: Sign | None = None
    """turned: written with the opposite sign; as written: right, though negative as a whole"""

    @model_validator(mode="after")
    def _one_origin(self) -> ColumnSource:
        if self.value is not None and (self.column or self.cast or self.blank == "zero"):
            raise ValueError("a value is a constant and stands alone, without column, cast or blank")
        return self


def _in_full(source: Any) -> Any:
    return {"column": source} if isinstance(source, str | list) else source


class TableSource(Record):
    """Where one table comes from: files, sheets or a .sql file, which rows of it, joined to what, other columns, other formats."""

    source: Names = ()
    """name of a file, sheet or table, a pattern such as sales_*.csv, a list, or a .sql file beside engagement.yml"""
    header_row: int = Field(1, ge=1, le=1000)
    """row of the header in files and sheets; those above are skipped; where it is written, a column without a name is called `column 3`, by its place"""
    header_rows: int = Field(1, ge=1, le=5)
    """how many rows name the columns, `header_row` the last of them, such as a year above months: a blank in an upper one is what stands left of it"""
    heading: Names = ()
    """names of new columns for what stands alone in a row as a heading of the rows below, the outermost first, such as customer; totals are compared with their rows"""
    carried: list[str] = Field(default_factory=list)
    """columns that are written in the first row of a document alone; where all are blank, those of the row above are meant"""
    join: dict[str, Annotated[dict[str, str], Field(min_length=1)]] = Field(default_factory=dict)
    """other tables of the source, each by its key, our column: theirs; each row finds at most one row there"""
    where: str | None = Field(None, min_length=1)
    """condition on the client's columns; rows that do not meet it are left out and counted"""
    columns: dict[
        str, Annotated[ColumnSource, BeforeValidator(_in_full, json_schema_input_type=str | list[str] | ColumnSource)]
    ] = Field(default_factory=dict)
    formats: Formats | None = None
    sign: Sign | None = None
    """of all amounts of the table, as beside a column"""
    kinds: dict[Kind, str] = Field(default_factory=dict)
    """what an invoice line is, each kind by a condition on the client's columns; the first that is met counts"""
    document: list[str] = Field(default_factory=list)
    """what a document is: `order_id` together with `year` (of its date) and columns of the client"""
    twins: Literal["refused", "kept"] = "refused"
    """kept: equal rows of two files, or a file with each row twice, are bookings of their own"""
    unassigned_share: Share | None = None
    """of this table, in place of thresholds.unassigned_share"""
    unread: list[str] = Field(default_factory=list)
    """columns of the client that are left out on purpose"""

    def sign_of(self, column: str) -> Sign | None:
        """What is said of the sign of a column's amounts, beside it or for the whole table."""
        return self.column(column).sign or self.sign

    @property
    def query(self) -> str:
        """The .sql file that gives the table; empty where none does."""
        return self.source[0] if len(self.source) == 1 and self.source[0].endswith(".sql") else ""

    def column(self, name: str) -> ColumnSource:
        """The source of a column, its own name where nothing else is said."""
        source = self.columns.get(name, ColumnSource.model_validate({"column": name}))
        return source if source.column or source.value is not None else source.model_copy(update={"column": (name,)})

    @model_validator(mode="after")
    def _queries_alone(self) -> TableSource:
        if any(name.endswith(".sql") for name in self.source) and len(self.source) > 1:
            raise ValueError("source: a .sql file stands alone; write one SELECT with UNION ALL")
        if self.header_rows > self.header_row:
            raise ValueError(
                f"header_rows: {self.header_rows} rows do not fit above row {self.header_row}, which `header_row` says is the last of them"
            )
        return self


class Rates(Record):
    """Rates of the engagement, each a share a year."""

    cost_of_capital: Share = Decimal(0)
    """after tax, a year"""
    tax_rate: Annotated[Decimal, Field(ge=0, lt=1)] = Decimal(0)
    """flat, losses relieved"""
    inventory_noncapital_rate: Share = Decimal(0)
    """insurance, storage that varies and obsolescence, a year"""

    @property
    def capital_charge_rate(self) -> Decimal:
        """The charge for capital in a statement before tax, a year: cost of capital / (1 − tax rate)."""
        return self.cost_of_capital / (1 - self.tax_rate)


class CustomerRates(Record):
    """What is assumed of customers: their price of capital, and where they tell nothing what they earn with our goods."""

    gross_margin_share: Annotated[Decimal, Field(ge=0, lt=1)]
    """of what they sell our goods for, left after what they pay us"""
    cost_share: Share
    """their costs of handling and selling our goods, of the same"""
    stock_days: Annotated[Decimal, Field(ge=0, le=3650)]
    """for how many days our goods lie in their stock"""
    cost_of_capital: Share
    """after tax, a year"""
    tax_rate: Annotated[Decimal, Field(ge=0, lt=1)]
    """flat, losses relieved"""


class Thresholds(Record):
    """Where a warning becomes a refusal, and what a warning looks for."""

    unassigned_share: Share = Decimal("0.05")
    """of a column's amount without a known customer"""
    outlier_multiple: Annotated[int, Field(ge=2)] = 1000
    """times the customer's median line"""
    wash_days: Annotated[int, Field(ge=0)] = 31
    """within which a line and its exact opposite are told as one booked and taken back"""


class OpenQuestion(Record):
    """What the client's files do not prove, what was taken for it, and what hangs on that."""

    asked: str
    """a question of `crm new` that nobody has answered; it is told until its entry is removed"""
    taken: str
    """what the mapping says until it is"""
    amount: Decimal | None = None
    """what hangs on the answer, if only in parts that cancel; where there is one, the books are refused until the entry is removed"""


class Settings(Record):
    """engagement.yml."""

    client: str = Field(min_length=1)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    """three letters, such as USD"""
    coverage: Coverage
    fiscal_year_start: int = Field(1, ge=1, le=12)
    """month; FY2025 ends in 2025"""
    source: Annotated[str, AfterValidator(_source)] = "ledger"
    """folder, .xlsx workbook or .duckdb file, relative to engagement.yml; env:NAME for a PostgreSQL database whose URL is the value of the variable NAME"""
    engine: Literal["duckdb", "postgres", "spark"] = "duckdb"
    """what sums the transactions: DuckDB on this machine, the database of the source, or Spark, of Parquet files; from the last two only sums, lists and rows at fault are read"""
    spark: str = Field("local[*]", pattern=r"^(local|spark://|sc://|env:).*$")
    """where `engine: spark` runs: on all cores of this machine, on two with local[2], on a cluster with spark://HOST:7077, or sc://HOST:15002 where it serves Spark Connect; env:NAME for the value of the variable NAME"""
    query_timeout_seconds: int = Field(600, ge=1, le=86400)
    """after which a database stops reading a table or query, and a large workbook is given up"""
    formats: Formats = Field(default_factory=lambda: Formats.model_validate({}))
    cost_of_goods_basis: Literal["variable", "full"] = "variable"
    tables: dict[TableName, TableSource] = Field(default_factory=dict)
    unread: list[str] = Field(default_factory=list)
    """files, sheets or tables of the source, and files of judgement, that are left out on purpose"""
    open: dict[str, OpenQuestion] = Field(default_factory=dict)
    """questions of `crm new` that nobody has answered, by the setting that they are about"""
    rates: Rates = Field(default_factory=lambda: Rates.model_validate({}))
    customer_rates: CustomerRates | None = None
    """assumptions on customers, for their side; without them nothing is estimated"""
    thresholds: Thresholds = Field(default_factory=lambda: Thresholds.model_validate({}))
    horizon_months: int = Field(12, ge=0, le=120)
    """within which dropping a customer is judged"""

    @field_validator("tables")
    @classmethod
    def _own_columns(cls, sources: dict[str, TableSource]) -> dict[str, TableSource]:
        own = [(t, c) for t in ("customers", "invoice_lines") if t in sources for c in sources[t].columns]
        wrong = [f"{t}.columns.{c} {why}" for t, c in own if c not in tables()[t].columns and (why := refused_name(c))]
        if wrong:
            raise ValueError("; ".join(wrong))
        return sources
