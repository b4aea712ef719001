"""The statement: the lines of the customer profitability report as data, and what they may hold.

A cost stands in a customer's or segment's column only if it varies with what the customer buys, or is there only for this
customer or segment. All else is a joint cost and stays in the pool (Lambert's contribution approach).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from crmlib.declared.ledger import refused_name, tables
from crmlib.declared.reading import Record, did_you_mean, read

if TYPE_CHECKING:
    import pandas as pd


Class = Literal["revenue", "deduction", "variable", "assignable", "asset_charge", "pool"]
CLASSES: tuple[str, ...] = get_args(Class)
JOINT = """neither varies with what the customer buys nor is there only for this customer or segment: a joint cost; \
give it class pool and source joint_costs"""
POOL_SOURCES = ("capacity", "joint_costs", "capital_charges")
CAPITAL_BALANCES = ("receivables", "inventory", "dedicated_assets")
WHOLE_SOURCES = (*POOL_SOURCES, "costs", "credits", "fees", "rates", "returns")


@dataclass(frozen=True)
class Line:
    """One line of the report; amounts are positive for what the label says, and `sign` takes them into the margin.

    `avoidable` is the number of months after which the money stops if the customer leaves: 0 is now, None is never.
    `available` tells whether this ledger has a source for it; `note` says of a subtotal what it is still before.
    """

    id: str
    label: str
    cls: str = ""
    short: str = ""
    subtotal: bool = False
    firm_only: bool = False
    sources: tuple[str, ...] = ()
    add: bool = False
    varies: bool = False
    dedicated: bool = False
    avoidable: int | None = 0
    reason: str = ""
    owner: str = ""
    available: bool = True
    note: str = ""

    @property
    def sign(self) -> int:
        """+1 for revenue, −1 for what is taken from it."""
        return 1 if self.is_revenue or self.sources == ("capital_charges",) else -1

    @property
    def is_revenue(self) -> bool:
        """Whether it is what the customer pays before anything is taken from it."""
        return self.cls == "revenue"

    @property
    def is_trade(self) -> bool:
        """Whether it makes net sales: revenue and what is deducted from it."""
        return self.cls in {"revenue", "deduction"}

    @property
    def is_goods(self) -> bool:
        """Whether it is the cost of what was sold."""
        return "invoice_lines.cost_of_goods" in self.sources

    @property
    def is_cost(self) -> bool:
        """Whether it is a cost that a customer or group causes, that of the goods too."""
        return self.cls in {"variable", "assignable", "asset_charge"}

    @property
    def is_served(self) -> bool:
        """Whether it is cost to serve: what a customer or group causes beside the goods."""
        return self.is_cost and not self.is_goods

    @property
    def is_assignable(self) -> bool:
        """Whether it is there only for this customer or group and does not vary with what they buy."""
        return self.cls in {"assignable", "asset_charge"}

    @property
    def is_pool(self) -> bool:
        """Whether it belongs to no customer and no group."""
        return self.cls == "pool"

    @property
    def is_firms(self) -> bool:
        """Whether only the firm's column has it: a pool, or a subtotal below one."""
        return self.is_pool or self.firm_only

    @property
    def balance(self) -> str:
        """The balance that it charges for, '' where it is no such line."""
        return next((s.partition(".")[2] for s in self.sources[:1] if s.startswith("balances.")), "")

    @property
    def measures(self) -> tuple[str, ...]:
        """The columns of invoice_lines that it sums."""
        return tuple(s.partition(".")[2] for s in self.sources if s.startswith("invoice_lines."))

    @property
    def name(self) -> str:
        """The label inside a sentence."""
        return self.short or self.label[0].lower() + self.label[1:]

    @property
    def title(self) -> str:
        """The label with its note."""
        return f"{self.label}, {self.note}" if self.note else self.label

    @property
    def head(self) -> str:
        """The label where a note below says the rest."""
        return f"{self.label} *" if self.note else self.label


@dataclass(frozen=True)
class Statement:
    """The lines in order, top to bottom."""

    lines: tuple[Line, ...]

    def __getitem__(self, line_id: str) -> Line:
        return next(line for line in self.lines if line.id == line_id)

    @property
    def leaves(self) -> tuple[Line, ...]:
        """Lines with an amount of their own that this ledger can fill."""
        return tuple(line for line in self.lines if not line.subtotal and line.available)

    @property
    def customer_lines(self) -> tuple[Line, ...]:
        """Available lines and subtotals of a customer's, segment's or account type's column."""
        return tuple(line for line in self.lines if line.available and not line.is_firms)

    @property
    def firm_lines(self) -> tuple[Line, ...]:
        """Available lines and subtotals down to operating profit."""
        return tuple(line for line in self.lines if line.available)

    @property
    def has_costs(self) -> bool:
        """Whether any cost is in a customer's column."""
        return any(line.available and line.is_cost for line in self.lines)

    @property
    def missing_lines(self) -> tuple[Line, ...]:
        """Lines of a customer's column that this ledger cannot fill."""
        return tuple(line for line in self.lines if not (line.subtotal or line.available or line.is_pool))

    @property
    def net_margin(self) -> Line:
        """The last subtotal of a customer's column."""
        return [line for line in self.customer_lines if line.subtotal][-1]

    def with_subtotals(self, frame: pd.DataFrame, *, firm: bool = False) -> pd.DataFrame:
        """Leaf amounts by column → the same frame with every subtotal, columns in the statement's order, other columns first.

        A subtotal is the signed sum of all leaves above it; pool lines enter only `firm` columns.
        """
        filled = frame.drop(columns=[line.id for line in self.lines], errors="ignore").copy()
        running: Any = Decimal(0)
        for line in self.firm_lines if firm else self.customer_lines:
            filled[line.id] = running if line.subtotal else frame[line.id]
            running = running if line.subtotal else running + frame[line.id] * line.sign
        return filled


def _months(avoidable: Any) -> Any:
    if avoidable in ("now", "never"):
        return 0 if avoidable == "now" else None
    if isinstance(avoidable, bool) or not isinstance(avoidable, int) or not 0 <= avoidable <= 1200:
        raise ValueError("allowed: now, never, or a number of months")
    return avoidable


def _id(name: str) -> str:
    if why := refused_name(name):
        raise ValueError(why)
    return name


class _Declared(Record):
    id: Annotated[str, AfterValidator(_id)]
    label: str = Field(min_length=1)
    short: str = ""


class _Subtotal(_Declared):
    subtotal: Literal[True]
    firm_only: bool = False


class _Leaf(_Declared):
    cls: Class = Field(alias="class")
    sources: tuple[str, ...]
    add: bool = False
    varies: bool
    dedicated: bool
    avoidable: Annotated[int | None, BeforeValidator(_months)]
    reason: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    subtotal: Literal[False] = False
    firm_only: Literal[False] = False

    @model_validator(mode="after")
    def _in_its_place(self) -> _Leaf:
        wrong = [problem for source in self.sources if (problem := _source_problem(source, self.cls))]
        if self.cls == "variable" and not self.varies:
            way_out = "give what is dedicated and does not vary class assignable"
            wrong.append(f"class variable, but varies is false; {way_out}")
        if self.cls != "pool" and not self.varies and not self.dedicated:
            wrong.append(JOINT)
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def _kind(record: Any) -> str:
    return "subtotal" if isinstance(record, dict) and record.get("subtotal") else "line"


def _in_order(lines: tuple[_Leaf | _Subtotal, ...]) -> tuple[_Leaf | _Subtotal, ...]:
    """Lines that each stand once, in the order of their classes, with no amount counted twice."""
    wrong, rank, ids, counted = list[str](), 0, set[str](), dict[str, str]()
    for line in lines:
        wrong += [f"{line.id} stands twice"] if line.id in ids else []
        ids.add(line.id)
        if isinstance(line, _Subtotal):
            if line.firm_only != (rank == CLASSES.index("pool")):
                wrong.append(f"{line.id}: a subtotal below a pool line is `firm_only: true`, and no other is")
            continue
        if CLASSES.index(line.cls) < rank:
            order = ", ".join(CLASSES)
            wrong.append(f"{line.id}: class {line.cls} stands below class {CLASSES[rank]}; in order: {order}")
        rank = max(rank, CLASSES.index(line.cls))
        for source in line.sources:
            if source in counted and source not in {"costs", "rates"}:
                wrong.append(f"{line.id}: {source} is already counted in {counted[source]}")
            counted[source] = line.id
    first = lines[0] if lines else None
    if not isinstance(first, _Leaf) or (first.id, first.sources) != ("sales", ("invoice_lines.gross_sales",)):
        wrong.append("the first line must have the id sales and the source invoice_lines.gross_sales")
    if not any(isinstance(line, _Subtotal) and not line.firm_only for line in lines):
        wrong.append("no subtotal: at least the margin of a customer must stand at the end of its column")
    if wrong:
        raise ValueError("; ".join(wrong))
    return lines


_Line = Annotated[Annotated[_Leaf, Tag("line")] | Annotated[_Subtotal, Tag("subtotal")], Discriminator(_kind)]


class _File(Record):
    lines: Annotated[tuple[_Line, ...], AfterValidator(_in_order)]


def read_statement(path: Path, *, at_full_cost: bool = False) -> Statement:
    """The statement that a file declares, every line's place justified; its cost of goods is full standard cost or variable.

    Raises
    ------
    SettingsError
        A joint cost in a customer's column, an undeclared source, a line counted twice, a line out of order, an unknown
        word: all mistakes at once, each with its line.
    """
    lines = tuple(Line(**record.model_dump()) for record in read(path, _File).lines)
    return Statement(tuple(_at_full_cost(line) if at_full_cost else line for line in lines))


def _source_problem(source: str, cls: str) -> str:
    table, _, column = source.partition(".")
    if source in WHOLE_SOURCES:
        wrong_side = (source in POOL_SOURCES) != (cls == "pool")
        return f"source {source} does not go with class {cls}" if wrong_side else ""
    if table == "balances" and column in CAPITAL_BALANCES:
        return ""
    known = tables()["invoice_lines"].columns
    if table == "invoice_lines" and column in known:
        return "" if known[column].type in {"money", "measure"} else f"source {source} is no amount"
    if table == "invoice_lines":
        return (why := refused_name(column)) and f"the column of source {source} {why}"
    columns = [f"balances.{b}" for b in CAPITAL_BALANCES] + [f"invoice_lines.{c}" for c in known]
    allowed = f"{', '.join(WHOLE_SOURCES)}, invoice_lines.COLUMN, balances.COLUMN"
    return f"undeclared source {source!r}; allowed: {allowed}{did_you_mean(source, [*WHOLE_SOURCES, *columns])}"


def _at_full_cost(line: Line) -> Line:
    if line.is_goods:
        return replace(line, label="Cost of goods sold, full standard cost")
    return replace(line, label="Gross margin at full cost") if line.id == "manufacturing_contribution" else line
