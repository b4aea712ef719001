"""The books that reports stand on, as they are kept: all that the chapter sees of them."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd

from crmlib.books.availability import noted
from crmlib.books.keeping import kept as kept
from crmlib.books.keeping import shared as shared
from crmlib.books.ledger import engine, identifier, plain
from crmlib.declared.engagement import Engagement, open_engagement
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError, content_hash
from crmlib.declared.statement import CAPITAL_BALANCES, Line, Statement
from crmlib.declared.versions import versions

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

DIGITS = 8  # of an amount
CELL = Decimal(1).scaleb(-DIGITS)  # its smallest step
ROWS = 1_000_000  # of a roll-up that are in memory at a time
HALF_CENT = Decimal("0.005")
OWNER = ["level", "owner"]
SOLD = ("customer_id", "product_id", "month")
DISGUISED = {  # what an edition does with names and amounts
    "client": "names of customers and staff stand for others, and small groups are joined",
    "anonymous": "all names stand for others, small groups are joined, and all amounts are multiplied by one secret factor",
}
BOOKINGS = [*OWNER, "line", "avoidable", "amount"]
Frame = pd.DataFrame


@dataclass(frozen=True, eq=False)
class Books:
    """Checked, tied-out books in the cache: every frame small enough for pandas, the cube read by period.

    `customers` has one row per customer with the attributes that the ledger has, today's for all periods; `statement` the
    lines that this ledger fills; `columns` what each of its tables has; `spans` the first and last day of each line's
    sources; `sources` the files read with their SHA-256; `edition` is client or anonymous where names are not the ledger's; `added` a hash of the attributes of customers that are not the ledger's.
    """

    engagement: Engagement
    customers: Frame
    statement: Statement
    columns: Mapping[str, list[str]]
    spans: Mapping[str, tuple[date, date]]
    sources: Mapping[str, str]
    data_hash: str
    cache: Path
    edition: str = ""
    added: str = ""

    @property
    def content(self) -> str:
        """A hash of all that figures are made of: the books, what was added to them, and what is declared and judged, as it now stands."""
        return content_hash([self.data_hash, str(self.cache), self.added, self.engagement.declared])

    def table(self, name: str) -> Frame | None:
        """A small table of the ledger, or of the checks (findings, intake, tie_out); None where the ledger has none."""
        path = self.cache / f"{name}.parquet"
        return plain(pd.read_parquet(path)) if path.exists() else None

    @functools.cached_property
    def findings(self) -> Frame:
        """What the checks found (columns as `intake.findings_frame`)."""
        return self._there("findings")

    @functools.cached_property
    def intake(self) -> Frame:
        """By table and column: read, assigned, unassigned, excluded."""
        return self._there("intake")

    @functools.cached_property
    def tie_out(self) -> Frame:
        """By check, item and period: left, right, difference, tied."""
        return self._there("tie_out")

    @functools.cached_property
    def unknown_keys(self) -> Frame:
        """Keys of customers that are in no list, '' for blank, with what stands on them (columns as `tie_out.unknown_keys`)."""
        return self._there("unknown_keys")

    @property
    def control_totals(self) -> int:
        """How many totals of the general ledger the books were held against, and agree with."""
        return int(self.tie_out["check"].str.contains("control total").sum())

    def _there(self, name: str) -> Frame:
        frame = self.table(name)
        assert frame is not None, f"the cache at {self.cache} lost {name}; remove the folder"
        return frame

    def period(self, text: str | int) -> Period:
        """The period that a text names."""
        return self.engagement.period(text)

    def refuse_empty(self, period: Period) -> None:
        """Stop where there is nothing to report of a period: neither sales nor a cost of any customer.

        Raises
        ------
        SettingsError
            Names the months of which there is something.
        """
        rows = read_rollup(self.cache / "lines", ["level", "month"], self.engagement.coverage).to_pylist()
        full = [row for row in rows if any(isinstance(v, Decimal) and v for v in row.values())]
        months = sorted(row["month"] for row in full if row["level"] == "customer")
        if not any(period.start <= month < period.end for month in months):
            there = f"{months[0]:%Y-%m} to {months[-1]:%Y-%m} have something" if months else "no month has anything"
            nothing = f"nothing to report for {period.label}: no sales and no costs of a known customer"
            raise SettingsError(f"{nothing}; {there}")

    def has_sales(self, period: Period) -> bool:
        """Whether anybody bought in a period."""
        import pyarrow.compute as pc

        sold = read_rollup(self.cache / "lines", [*OWNER, "month"], period)["sales"]
        return bool(pc.any(pc.greater(sold, Decimal(0))).as_py())

    def comparable(self, period: Period) -> bool:
        """Whether the books cover a period."""
        return period.within(self.engagement.coverage)

    def statement_in(self, period: Period) -> Statement:
        """The statement with the lines whose sources reach into a period."""
        lines = [replace(li, available=li.available and any(self._months(li, period))) for li in self.statement.lines]
        return Statement(tuple(noted([replace(li, note="") for li in lines])))

    def alike(self, period: Period, other: Period) -> bool:
        """Whether each line speaks of the same months in both periods, counted from their beginning: else no margin is set beside the other's."""
        reaches = [[(line.id, self._months(line, p)) for line in self.statement_in(p).leaves] for p in (period, other)]
        return reaches[0] == reaches[1]

    def _months(self, line: Line, period: Period) -> list[bool]:
        first, last = self.spans.get(line.id, (period.start, period.end))
        return [first <= month <= last for month in period.month_starts()]


def open_books(engagement: str | Path | Engagement) -> Books:
    """Open an engagement's books: from the cache, or read, checked, rolled up and tied out once.

    Raises
    ------
    SettingsError
        Settings, statement or mapping that do not hold.
    DataRejected
        Books that may not reach a report; its findings say all of why.
    """
    from crmlib.books.cache import filled_cache

    opened = engagement if isinstance(engagement, Engagement) else open_engagement(engagement)
    cache, sources, data_hash = filled_cache(opened)
    record = json.loads((cache / "books.json").read_text(encoding="utf-8"))
    lines = tuple(Line(**{**line, "sources": tuple(line["sources"])}) for line in record["lines"])
    spans = {name: (date.fromisoformat(a), date.fromisoformat(b)) for name, (a, b) in record["spans"].items()}
    rest = (record["columns"], spans, sources, data_hash, cache, record.get("edition", ""))
    return Books(opened, plain(pd.read_parquet(cache / "customers.parquet")), Statement(lines), *rest)


@dataclass(frozen=True)
class View:
    """The books of one engagement in one period: what every notebook opens."""

    books: Books
    period: Period

    @functools.cached_property
    def statement(self) -> Statement:
        """The lines that this ledger fills in the period."""
        return self.books.statement_in(self.period)

    @property
    def margin(self) -> Line:
        """The last subtotal of a customer's column."""
        return self.statement.net_margin

    @property
    def currency(self) -> str:
        """The engagement's currency."""
        return self.books.engagement.settings.currency

    @property
    def coverage(self) -> Period:
        """The months that the books hold."""
        return self.books.engagement.coverage

    @property
    def earlier(self) -> list[Period]:
        """The period before and the same months a year before, as far as the books hold them whole."""
        before = {p.label: p for p in (self.period.previous(), self.period.year_before())}
        return [period for period in before.values() if self.books.comparable(period)]

    @property
    def base(self) -> Period | None:
        """The earlier period to compare with: the one before, else the year before; None where the books hold neither whole."""
        return next(iter(self.earlier), None)

    @property
    def year_before(self) -> Period | None:
        """The same months a year before; None where the books do not hold them whole."""
        before = self.period.year_before()
        return before if self.books.comparable(before) else None

    @property
    def provenance(self) -> Frame:
        """What a result rests on (as `provenance`)."""
        return provenance(self.books, self.period)

    @property
    def standing(self) -> str:
        """What was read, and what stands behind it, in one sentence."""
        return standing(self.books)


def open_view(engagement: str | Path, period: str | int) -> View:
    """Open an engagement's books and look at one period (errors as `open_books` and `parse_period`)."""
    books = open_books(engagement)
    return View(books, books.period(period))


def read_rollup(path: Path, by: Sequence[str], period: Period) -> pa.Table:
    """A roll-up, one file or a folder of them, summed over the months of a period.

    One row per value of `by`, some of its keys, in their order; every DECIMAL column that any file has, exactly, zero where there
    is none.
    """
    return _sums(_parquet(path), by, period)


def _parquet(path: Path) -> tuple[Path, ...]:
    """The files of a roll-up of the cache; none where the ledger has nothing of it."""
    if path.is_dir():
        return tuple(sorted(path.glob("*.parquet")))
    file = path.with_suffix(".parquet")
    return (file,) if file.exists() else ()


def _sums(files: Sequence[Path], by: Sequence[str], period: Period, owners: Frame | None = None) -> pa.Table:
    """As `read_rollup`; where `owners` are given (level, owner), of them alone, and `by` may name columns that they have beside."""
    import pyarrow as pa

    with engine() as con:
        rows = con.read_parquet([str(file) for file in files], union_by_name=True)
        types = zip(rows.columns, map(str, rows.types), strict=True)
        scales = {f'"{name}"': kind[:-1].split(",")[1] for name, kind in types if kind.startswith("DECIMAL")}
        sums = [f"coalesce(sum({c}), 0)::DECIMAL(38, {scale}) AS {c}" for c, scale in scales.items()]
        keys, some = ", ".join(map(identifier, by)), ""
        if owners is not None:
            con.register("owners", pa.Table.from_pandas(owners, preserve_index=False))
            some = f"JOIN owners USING ({', '.join(OWNER)})"
        query = f"SELECT {', '.join([keys, *sums])} FROM rows {some} WHERE {_within(period)} GROUP BY {keys} ORDER BY {keys}"
        return rows.query("rows", query).to_arrow_table()


_sums_kept = functools.lru_cache(maxsize=8)(_sums)


def _summed(books: Books, name: str, by: Sequence[str], period: Period) -> Frame:
    """A roll-up of the cache as pandas; without rows where the ledger has nothing of it."""
    files = _parquet(books.cache / name)
    return plain(_sums_kept(files, tuple(by), period).to_pandas()) if files else pd.DataFrame(columns=[*by])


def cube_table(books: Books, period: Period) -> pa.Table:
    """As `read_cube`, not in Python's objects, which take ten times the memory."""
    return _sums(_cube(books), [*OWNER, "month"], period)


def _cube(books: Books) -> tuple[Path, ...]:
    return _parquet(books.cache / "lines") + _parquet(books.cache / "drivers")


def read_cube(
    books: Books, period: Period, owners: Frame | None = None, by: Sequence[str] = (*OWNER, "month")
) -> Frame:
    """The statement's lines and the ledger's own quantities by level, owner and month, those of the firm included (level 'firm').

    Where `owners` are given (level, owner), of them alone; `by` may then name columns that they have beside.
    """
    return plain(_sums(_cube(books), by, period, owners).to_pandas())


def owner_totals(books: Books, period: Period) -> Frame:
    """As `read_cube`, summed over a period: one row per level and owner."""
    return plain(_owners(books, period).to_pandas())


def owners_of(books: Books, period: Period) -> Frame:
    """Level and owner of all who have anything in a period, in the order of `owner_totals`."""
    return plain(_owners(books, period).select(OWNER).to_pandas())


def _owners(books: Books, period: Period) -> pa.Table:
    return _sums_kept(_cube(books), tuple(OWNER), period)


def group_totals(books: Books, period: Period, group: pd.Series) -> Frame:
    """As `owner_totals`, summed by level and the group of each of them (nobody's where that is missing)."""
    import pyarrow as pa

    table = _owners(books, period)
    amounts = table.column_names[len(OWNER) :]
    table = table.append_column("group", pa.array(group, pa.string(), from_pandas=True))
    sums = table.group_by(["level", "group"], use_threads=False).aggregate([(name, "sum") for name in amounts])
    return plain(sums.rename_columns([*sums.column_names[:2], *amounts]).to_pandas())


@contextmanager
def _bounded() -> Iterator[DuckDBPyConnection]:
    """An engine of its own for sums by customer: what is beyond its memory is spilt, each thread needs some of it, and all is given back."""
    threads = str(min(os.cpu_count() or 1, 4))
    with TemporaryDirectory() as spill, engine(temp_directory=spill, memory_limit="200MB", threads=threads) as con:
        yield con


def months_of(
    books: Books, period: Period, customers: Sequence[str], kinds: Mapping[str, Mapping[str, int]]
) -> dict[str, np.ndarray]:
    """Sums of the statement's lines as floats, each a matrix: one row per customer in the order given, one column per month of the period.

    Parameters
    ----------
    kinds
        Sums to make, each of lines with their signs.
    """
    import numpy as np

    sums = {kind: np.zeros(len(customers) * period.months) for kind in kinds}
    with _bounded() as con:
        con.register("places", _places(customers))
        lines = con.read_parquet(_files(books, ("lines",), kinds), union_by_name=True)
        amounts = [f"({_signed(parts)})::DOUBLE AS {kind}" for kind, parts in kinds.items()]
        cell = f"place::BIGINT * {period.months} + datediff('month', DATE '{period.start}', month) AS cell"
        query = f"SELECT {', '.join([cell, *amounts])} FROM lines JOIN places ON owner = id WHERE level = 'customer' AND {_within(period)}"
        for batch in lines.query("lines", query).fetch_record_batch(ROWS):
            for kind, total in sums.items():
                np.add.at(total, batch["cell"].to_numpy(), batch[kind].to_numpy())
    # rows come in no fixed order: rounded, their sum is the same in every one
    return {kind: total.round(DIGITS, total).reshape(len(customers), period.months) for kind, total in sums.items()}


def _files(books: Books, folders: Sequence[str], kinds: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The files of the cube that hold anything of these sums; all where none does."""
    import pyarrow.parquet as pq

    files = [file for name in folders for file in _parquet(books.cache / name)]
    columns = set().union(*kinds.values())
    return [str(file) for file in files if columns & {*pq.read_schema(file).names}] or [str(file) for file in files]


def _by_account(rows: DuckDBPyConnection, heads: pd.Index) -> Frame:
    """What was asked, by account_id, one row for each of the heads, missing where there is none; names need not become Python's text."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    table = rows.to_arrow_table()
    place = pc.index_in(table["account_id"], pa.array(heads, pa.string())).to_numpy()
    columns = {name: np.full(len(heads), np.nan) for name in table.column_names[1:]}
    for name, values in columns.items():
        values[place] = table[name].to_numpy()
    return pd.DataFrame(columns, index=heads, copy=False)


def _places(customers: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    ids, places = pa.array(list(customers), pa.string()), pa.array(range(len(customers)), pa.int32())
    return pa.table({"id": ids, "place": places})


def _signed(parts: Mapping[str, int]) -> str:
    return " ".join(f"{'+' if sign > 0 else '-'} coalesce({column}, 0)" for column, sign in parts.items()) or "0"


def _within(period: Period) -> str:
    return f"month >= '{period.start}' AND month < '{period.end}'"


def order_days(books: Books, customers: Sequence[str], end: date) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The days before `end` on which customers ordered, by customer and day: the customer's place in the list, the day (counted from 1970), gross sales."""
    with _bounded() as con:
        con.register("places", _places(customers))
        orders = con.read_parquet(str(books.cache / "orders.parquet"))
        query = "SELECT place, (day - DATE '1970-01-01')::INTEGER AS day, gross_sales::DOUBLE AS sales FROM orders JOIN places ON customer_id = id"
        rows = orders.query("orders", f"{query} WHERE day < DATE '{end}' ORDER BY place, day").to_arrow_table()
    return tuple(rows[name].to_numpy() for name in ("place", "day", "sales"))


def services(books: Books, period: Period, by: Sequence[str] = ("activity", "pool", "month")) -> Frame:
    """What was done for customers, priced: quantity and amount (quantity × rate) by owner, activity, pool ('' for none) or month."""
    return _summed(books, "service", by, period).reindex(columns=[*by, "quantity", "amount"])


def bookings(books: Books, period: Period) -> Frame:
    """Costs booked by level, owner, line and whether the booking itself says that they are avoidable (now, never, '' for neither)."""
    return _summed(books, "bookings", [*OWNER, "line", "avoidable"], period).reindex(columns=BOOKINGS)


def capital(books: Books, period: Period) -> Frame:
    """The capital tied up with each customer ('' for what has none): mean receivables, inventory and dedicated_assets, and capital_charge, by owner."""
    sums = _summed(books, "capital", ["owner"], period).set_index("owner")
    sums = sums.reindex(columns=[*CAPITAL_BALANCES, "capital_charge"], fill_value=Decimal(0))
    balances = list(CAPITAL_BALANCES)
    sums[balances] = (sums[balances] / period.months).map(lambda mean: mean.quantize(CELL))
    return sums


def summed_by_account(
    books: Books, period: Period, account: pd.Series, kinds: Mapping[str, Mapping[str, int]]
) -> Frame:
    """What the books hold of each account in a period, summed exactly, then as floats.

    Parameters
    ----------
    account
        By customer_id: the account that it belongs to, its own id where it stands alone.
    kinds
        Sums to make, each of columns of the cube with their signs; one of which a column is not there is left out.

    Returns
    -------
    One row per account (the index): each kind, and product_concentration_share (of its largest product) where there are products.
    """
    import pyarrow as pa

    dates = {"start": period.start, "end": period.end}
    with _bounded() as con:
        member = account[account.to_numpy() != account.index.to_numpy()]
        names = {"customer_id": pa.array(member.index, pa.string()), "account_id": pa.array(member, pa.string())}
        con.register("members", pa.table(names))  # of families: nobody else need be looked up
        con.read_parquet(_files(books, ("lines", "drivers"), kinds), union_by_name=True).create_view("cube")
        columns = set(con.view("cube").columns)
        there = {kind: parts for kind, parts in kinds.items() if parts and set(parts) <= columns}
        sums = ", ".join(f"({_signed_sums(parts)})::DOUBLE AS {kind}" for kind, parts in there.items())
        heads = pd.Index(account.unique(), dtype=object, name="account_id")
        frame = _by_account(con.execute(_sql("accounts").format(kinds=sums), dates), heads).fillna(0.0)
        if sold := [str(file) for file in (books.cache / "sales").glob("*.parquet")]:
            con.read_parquet(sold).create_view("sales")
            frame = frame.join(_by_account(con.execute(_sql("account_products"), dates), heads))
    return frame


def _signed_sums(parts: Mapping[str, int]) -> str:
    return " ".join(f"{'+' if sign > 0 else '-'} coalesce(sum({column}), 0)" for column, sign in parts.items())


def _sql(name: str) -> str:
    return (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")


def sales_of(books: Books, period: Period, by: Sequence[str] = SOLD, customer_id: str | None = None) -> Frame | None:
    """The sales cube of a period by some of its keys, of one customer where that is named: quantity, gross sales, discount, cost; None without products."""
    import pyarrow.compute as pc

    table = _sales(books, period, by if customer_id is None else SOLD[:2])
    if table is not None and customer_id is not None:
        table = table.filter(pc.field("customer_id") == customer_id)
    return None if table is None else plain(table.to_pandas())


def sales_in_floats(books: Books, period: Period) -> Frame | None:
    """As `sales_of` by customer and product, amounts as floats: what many customers buy, in little memory."""
    import pyarrow as pa

    table = _sales(books, period, SOLD[:2])
    if table is None:
        return None
    fields = [field.with_type(pa.float64()) if pa.types.is_decimal(field.type) else field for field in table.schema]
    return plain(table.cast(pa.schema(fields)).to_pandas())


def _sales(books: Books, period: Period, by: Sequence[str]) -> pa.Table | None:
    files = _parquet(books.cache / "sales")
    return _sums_kept(files, tuple(by), period) if files else None


def standing(books: Books) -> str:
    """What was read, used, excluded and unassigned, and whether it ties out, in words computed from the checks."""
    amounts = books.intake.set_index(["column", "table"])
    rows, sales = amounts.loc["rows"], amounts.loc[("gross_sales", "invoice_lines")]
    used, others, lines = sales["assigned"] + sales["unassigned"], len(rows) - 1, int(rows.at["invoice_lines", "read"])
    excluded, controls, asked = int(rows["excluded"].sum()), books.control_totals, len(books.engagement.settings.open)
    parts = [
        f"{lines:,} invoice line{'s' * (lines != 1)} and {others} other table{'s' * (others != 1)} "
        f"were read; the books cover {books.engagement.coverage.words}",
        f"{excluded:,} {'rows lie outside and are' if excluded > 1 else 'row lies outside and is'} left out" if excluded else "",
        f"{sales['unassigned'] / used:.1%} of sales have no known customer" if used > 0 < sales["unassigned"] else "",
        f"{controls} {'totals of the general ledger agree' if controls > 1 else 'total of the general ledger agrees'} to the cent" if controls else "there is no general ledger to hold them against",
        asked and f"{asked} question{'s' * (asked > 1)} on how these books are to be read {'are' if asked > 1 else 'is'} not answered, and the likeliest answer was taken",
        DISGUISED.get(books.edition, ""),
    ]  # fmt: skip
    return "; ".join(part for part in parts if part) + "."


def absent(books: Books) -> Frame:
    """What this ledger does not have and what it would switch on: table, column, would_add; one row per table or column."""
    from crmlib.declared.ledger import tables

    rows = [
        (table.name, column.name, column.enables)
        for table in tables().values()
        for column in table.columns.values()
        if column.enables and column.name not in books.columns.get(table.name, [])
    ]
    return pd.DataFrame(rows, columns=["table", "column", "would_add"])


def provenance(books: Books, period: Period) -> Frame:
    """What a result rests on: client, period, data hash, and versions; one row each."""
    rows = {"Client": books.engagement.settings.client, "Period": period.label, "Data (SHA-256)": books.data_hash[:16],
            **versions()}  # fmt: skip
    return pd.DataFrame({"what": list(rows), "value": list(rows.values())})
