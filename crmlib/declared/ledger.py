"""The ledger's dictionary: one table of column records (ledger.yml) from which types, checks and the printed dictionary come."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from crmlib.declared.reading import DECLARED

SCALES = {"money": 4, "quantity": 4, "rate": 8, "measure": 8, "integer": 0}
DTYPES = {
    "money": "decimal(18, 4)", "quantity": "decimal(18, 4)", "rate": "decimal(18, 8)", "measure": "decimal(18, 8)",
    "integer": "int64", "date": "date", "month": "date",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column of a ledger table, as ledger.yml records it."""

    name: str
    type: str
    meaning: str
    required: bool = False
    blank: bool = False
    values: tuple[str, ...] = ()
    unit: str = ""
    enables: str = ""

    @property
    def numeric(self) -> bool:
        """Whether it holds an amount, a quantity or a rate."""
        return self.type in SCALES

    @property
    def dtype(self) -> str:
        """Ibis type of the typed column."""
        return DTYPES.get(self.type, "string")


@dataclass(frozen=True)
class Table:
    """One table of the ledger: its grain, key, date column and columns."""

    name: str
    grain: str
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    date: str | None = None
    required: bool = False


@functools.cache
def tables() -> dict[str, Table]:
    """The ledger's tables by name, from ledger.yml."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load((DECLARED / "ledger.yml").read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 (both are safe)
    return {name: _table(name, record) for name, record in content.items()}


def _table(name: str, record: Mapping[str, Any]) -> Table:
    columns = {
        c: Column(c, **{**spec, "values": tuple(spec.get("values", ()))}) for c, spec in record["columns"].items()
    }
    return Table(name, record["grain"], columns, tuple(record.get("key", ())), record.get("date"), "required" in record)
