"""The ledger's dictionary: one table of column records (ledger.yml) from which types, checks and the printed dictionary come."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from crmlib.declared.reading import DECLARED, Record, read

SCALES = {"money": 4, "quantity": 4, "rate": 8, "measure": 8, "integer": 0, "number": 8}
DTYPES = {
    "money": "decimal(18, 4)", "quantity": "decimal(18, 4)", "rate": "decimal(18, 8)", "measure": "decimal(18, 8)",
    "integer": "int64", "date": "date", "month": "date", "number": "decimal(38, 8)",  # number: inside an expression
}  # fmt: skip
DRIVERS = {  # quantities that the ledger holds by itself, each with the column that it needs
    "orders": "invoice_lines.order_id", "invoice_lines": "invoice_lines.gross_sales", "units": "invoice_lines.quantity",
    "credits": "credits.amount", "net_sales": "invoice_lines.gross_sales",
}  # fmt: skip
COUNTED = ("sale", "return", "fee", "discount")  # kinds of invoice lines that are in the figures
ORDERED = ("sale", "fee")  # kinds that order something: an order, an invoice line


def _named(content: Any) -> Any:
    """Each record of a mapping with its key as its name."""
    if not isinstance(content, dict):
        return content
    return {key: {"name": key, **record} if isinstance(record, dict) else record for key, record in content.items()}


class Column(Record):
    """One column of a ledger table, as ledger.yml records it; `also` are names by which it is easily missed."""

    name: str
    type: Literal["key", "text", "choice", "date", "month", "money", "quantity", "rate", "measure", "integer", "number"]
    meaning: str
    required: bool = False
    blank: bool = False
    values: tuple[str, ...] = ()
    unit: str = ""
    enables: str = ""
    also: tuple[str, ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether it holds an amount, a quantity or a rate."""
        return self.type in SCALES

    @property
    def dtype(self) -> str:
        """Type of the typed column."""
        return DTYPES.get(self.type, "string")


class Table(Record):
    """One table of the ledger: its grain, key, date column and columns."""

    name: str
    grain: str
    columns: Annotated[dict[str, Column], BeforeValidator(_named)]
    key: tuple[str, ...] = ()
    date: str | None = None
    required: bool = False


@functools.cache
def tables() -> dict[str, Table]:
    """The ledger's tables by name, from ledger.yml."""
    return read(DECLARED / "ledger.yml", Annotated[dict[str, Table], BeforeValidator(_named)])  # type: ignore[arg-type]


@functools.cache
def _reserved() -> list[str]:
    return [word for words in read(DECLARED / "reserved.yml", dict[str, str]).values() for word in words.split()]


def refused_name(name: str) -> str:
    """Why a company may not give this name to a line or to a column of its own, with the way out; empty where it may."""
    if not name.isidentifier() or name != name.lower() or name.startswith("_"):
        return "must be small letters, digits and underscores, such as sales_commissions"
    if name in {*_reserved(), *DRIVERS, "fixed_cost_of_goods"} - {"net_sales"}:
        return f"is a word of the engine or the roll-ups; choose another, such as own_{name}"
    return ""
