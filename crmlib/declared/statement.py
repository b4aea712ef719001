"""The statement: the lines of the customer profitability report as data, and what they may hold.

A cost stands in a customer's or segment's column only if it varies with what the customer buys, or is there only for this
customer or segment. All else is a joint cost and stays in the pool (Lambert's contribution approach).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.declared.ledger import tables
from crmlib.declared.reading import SettingsError, read_yaml

if TYPE_CHECKING:
    import pandas as pd


CLASSES = ("revenue", "deduction", "variable", "assignable", "asset_charge", "pool")
COSTS = ("variable", "assignable", "asset_charge")
POOL_SOURCES = ("capacity", "joint_costs", "capital_charges")
CAPITAL_BALANCES = ("receivables", "inventory", "dedicated_assets")
DRIVERS = {  # quantities that the ledger holds by itself, each with the column that it needs
    "orders": "invoice_lines.order_id", "invoice_lines": "invoice_lines.gross_sales", "units": "invoice_lines.quantity",
    "credits": "credits.amount", "net_sales": "invoice_lines.gross_sales",
}  # fmt: skip
FIELDS = ("id", "label", "short", "subtotal", "firm_only", "class", "sources", "add", "varies", "dedicated", "avoidable",
          "reason", "owner")  # fmt: skip


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
        return 1 if self.cls == "revenue" or self.sources == ("capital_charges",) else -1

    @property
    def name(self) -> str:
        """The label inside a sentence."""
        return self.short or self.label[0].lower() + self.label[1:]

    @property
    def title(self) -> str:
        """The label with its note."""
        return f"{self.label}, {self.note}" if self.note else self.label


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
        return tuple(li for li in self.lines if li.available and li.cls != "pool" and not li.firm_only)

    @property
    def firm_lines(self) -> tuple[Line, ...]:
        """Available lines and subtotals down to operating profit."""
        return tuple(line for line in self.lines if line.available)

    @property
    def has_costs(self) -> bool:
        """Whether any cost is in a customer's column."""
        return any(line.available and line.cls in COSTS for line in self.lines)

    @property
    def missing_lines(self) -> tuple[Line, ...]:
        """Lines of a customer's column that this ledger cannot fill."""
        return tuple(line for line in self.lines if not (line.subtotal or line.available or line.cls == "pool"))

    @property
    def shown_lines(self) -> tuple[Line, ...]:
        """The firm's lines as a table shows them: of subtotals that repeat each other the last."""
        lines = self.firm_lines
        return tuple(
            line
            for line, below in zip(lines, [*lines[1:], None], strict=True)
            if not (line.subtotal and below and below.subtotal)
        )

    @property
    def net_margin(self) -> Line:
        """The last subtotal of a customer's column."""
        return [line for line in self.customer_lines if line.subtotal][-1]

    def with_subtotals(self, frame: pd.DataFrame, *, firm: bool = False) -> pd.DataFrame:
        """Leaf amounts by column → the same frame with every subtotal, columns in the statement's order, other columns first.

        A subtotal is the signed sum of all leaves above it; pool lines enter only `firm` columns.
        """
        from decimal import Decimal

        lines = self.firm_lines if firm else self.customer_lines
        filled = frame[[c for c in frame.columns if c not in {line.id for line in self.lines}]].copy()
        running: Any = Decimal(0)
        for line in lines:
            if not line.subtotal:
                filled[line.id] = frame[line.id]
                running = running + frame[line.id] * line.sign
            else:
                filled[line.id] = running
        return filled


def read_statement(path: Path, *, at_full_cost: bool = False) -> Statement:
    """The statement that a file declares, every line's place justified; its cost of goods is full standard cost or variable.

    Raises
    ------
    SettingsError
        A joint cost in a customer's column, an undeclared source, a line counted twice, a line out of order, an unknown
        word: all mistakes at once, each with its line.
    """
    content = read_yaml(path).get("lines")
    if not isinstance(content, list) or not all(isinstance(line, dict) for line in content):
        raise SettingsError(f"{path.name}: 'lines' must be a list of lines, each in the form `- {{id: …, label: …}}`")
    wrong: list[str] = []
    lines = [_line(i, spec, wrong) for i, spec in enumerate(content)]
    _check_order(lines, wrong)
    _check_counted_once(lines, wrong)
    if wrong:
        raise SettingsError(f"statement has {len(wrong)} mistake(s):\n" + "\n".join(f"  {w}" for w in wrong))
    return Statement(tuple(_at_full_cost(line) if at_full_cost else line for line in lines))


def _line(index: int, spec: Mapping[str, Any], wrong: list[str]) -> Line:
    where = f"lines[{index}] {spec.get('id', '')}".strip()
    for key in spec:
        if key not in FIELDS:
            near = difflib.get_close_matches(str(key), FIELDS, 1)
            wrong.append(f"{where}: unknown key {key!r}{f', did you mean {near[0]!r}?' if near else ''}")
    line = Line(
        id=str(spec.get("id", "")), label=str(spec.get("label", spec.get("id", "?"))), cls=str(spec.get("class", "")),
        short=str(spec.get("short", "")), subtotal=spec.get("subtotal") is True, firm_only=spec.get("firm_only") is True,
        sources=tuple(map(str, spec.get("sources") or ())), add=spec.get("add") is True, varies=spec.get("varies") is True,
        dedicated=spec.get("dedicated") is True, avoidable=_months(where, spec, wrong),
        reason=str(spec.get("reason", "")), owner=str(spec.get("owner", "")),
    )  # fmt: skip
    if not line.id.isidentifier():
        wrong.append(f"{where}: id {line.id!r} must be letters, digits and underscores, such as sales_commissions")
    if not line.subtotal:
        _check_leaf(where, line, spec, wrong)
    return line


def _months(where: str, spec: Mapping[str, Any], wrong: list[str]) -> int | None:
    given = spec.get("avoidable", "now")
    if given == "never":
        return None
    if given == "now":
        return 0
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    wrong.append(f"{where}: avoidable is {given!r}; allowed: now, never, or a number of months")
    return 0


def _check_leaf(where: str, line: Line, spec: Mapping[str, Any], wrong: list[str]) -> None:
    missing = [k for k in ("class", "sources", "varies", "dedicated", "avoidable", "reason", "owner") if k not in spec]
    if missing:
        wrong.append(f"{where}: a line must say {', '.join(missing)}")
    if line.cls not in CLASSES:
        wrong.append(f"{where}: class {line.cls!r}; allowed: {', '.join(CLASSES)}")
    for source in line.sources:
        if problem := _source_problem(source, line.cls):
            wrong.append(f"{where}: {problem}")
    joint = not line.varies and not line.dedicated
    if joint and line.cls != "pool" and not missing:
        wrong.append(f"{where}: neither varies with what the customer buys nor is there only for this customer or segment: "
                     "a joint cost; give it class pool and source joint_costs")  # fmt: skip
    if line.cls == "variable" and not line.varies:
        wrong.append(
            f"{where}: class variable, but varies is false; class assignable holds what is dedicated and does not vary"
        )


def _source_problem(source: str, cls: str) -> str:
    table, _, column = source.partition(".")
    whole = {"credits", "returns", "costs", "rates", *POOL_SOURCES}
    if source in whole:
        wrong_side = (source in POOL_SOURCES) != (cls == "pool")
        return f"source {source} does not go with class {cls}" if wrong_side else ""
    if table == "balances" and column in CAPITAL_BALANCES:
        return ""
    if table == "invoice_lines" and column.isidentifier():
        record = tables()["invoice_lines"].columns.get(column)
        return "" if record is None or record.type in {"money", "measure"} else f"source {source} is no amount"
    return f"undeclared source {source!r}; allowed: {', '.join(sorted(whole))}, invoice_lines.COLUMN, balances.COLUMN"


def _check_order(lines: Sequence[Line], wrong: list[str]) -> None:
    seen: set[str] = set()
    rank = 0
    for line in lines:
        if line.id in seen:
            wrong.append(f"{line.id}: stands twice")
        seen.add(line.id)
        if line.cls in CLASSES:
            if CLASSES.index(line.cls) < rank:
                wrong.append(
                    f"{line.id}: class {line.cls} stands below class {CLASSES[rank]}; the order is {', '.join(CLASSES)}"
                )
            rank = max(rank, CLASSES.index(line.cls))
        if line.subtotal and line.firm_only != (rank == CLASSES.index("pool")):
            wrong.append(f"{line.id}: a subtotal below a pool line is `firm_only: true`, and no other is")
    if not lines or lines[0].id != "sales" or lines[0].sources != ("invoice_lines.gross_sales",):
        wrong.append("the first line must have the id sales and the source invoice_lines.gross_sales")
    if not any(line.subtotal and not line.firm_only for line in lines):
        wrong.append("no subtotal: at least the margin of a customer must stand at the end of its column")


def _check_counted_once(lines: Sequence[Line], wrong: list[str]) -> None:
    held: dict[str, str] = {}
    for line in lines:
        for source in line.sources:
            if source in held and source not in {"costs", "rates"}:
                wrong.append(f"{line.id}: {source} is already counted in {held[source]}")
            held[source] = line.id


def _at_full_cost(line: Line) -> Line:
    if "invoice_lines.cost_of_goods" in line.sources:
        return replace(line, label="Cost of goods sold, full standard cost")
    return replace(line, label="Gross margin at full cost") if line.id == "manufacturing_contribution" else line


def noted(lines: Sequence[Line]) -> list[Line]:
    """The lines; each subtotal says in its name what is not in it, and the firm's is left out where nothing of the pool is there."""
    noted = []
    for place, line in enumerate(lines):
        above = [leaf for leaf in lines[:place] if not leaf.subtotal]
        if line.firm_only and not any(leaf.cls == "pool" and leaf.available for leaf in above):
            line = replace(line, available=False)
        elif line.subtotal and not all(leaf.available for leaf in above):
            line = _before(line, above)
        noted.append(line)
    return noted


def _before(line: Line, above: Sequence[Line]) -> Line:
    """A subtotal whose name says what is missing; where no cost is in the books it is no margin, and called what it is."""
    costs = [leaf for leaf in above if leaf.cls in COSTS]
    if costs and not any(leaf.available for leaf in costs):
        less = any(leaf.available and leaf.cls == "deduction" for leaf in above)
        label = "Sales less deductions" if less else "Gross sales"
        return replace(line, label=label, short="", note="no cost is in these books")
    missing = []
    for kind, members in _kinds(above).items():
        absent = [leaf for leaf in members if not leaf.available]
        missing += [kind] if absent == members and len(members) > 1 else [leaf.name for leaf in absent]
    return replace(
        line, note=f"before {' and '.join([', '.join(missing[:-1]), missing[-1]] if missing[1:] else missing)}"
    )


def _kinds(leaves: Sequence[Line]) -> dict[str, list[Line]]:
    """Lines by what they are called together."""
    called = {
        "variable": "all variable cost to serve",
        "assignable": "all costs kept for customers",
        "asset_charge": "all charges for assets",
    }
    kinds: dict[str, list[Line]] = {}
    for leaf in leaves:
        goods = "invoice_lines.cost_of_goods" in leaf.sources
        kinds.setdefault(leaf.id if goods else called.get(leaf.cls, leaf.id), []).append(leaf)
    return kinds
