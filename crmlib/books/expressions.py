"""Conditions and expressions on the client's columns: what stands for a number or a day is read as the formats declare, in decimals."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from crmlib.books.defects import gravest
from crmlib.books.ledger import identifier
from crmlib.books.typing import typed_value
from crmlib.declared.ledger import SCALES, Column
from crmlib.declared.settings import ColumnSource, Formats

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from sqlglot import exp

HELPERS = {"NUMBER": "number", "MONEY": "money", "DAY": "date"}  # what reads by the declared formats: as which type
EXACT = "DECIMAL(38, 8)"  # of what is divided


def parsed(text: str) -> exp.Expression | None:
    """The one condition or expression on the columns of a row that a text is; None where it is none."""
    import sqlglot
    from sqlglot import exp

    try:
        tree, *more = sqlglot.parse(text, read="duckdb")
    except (sqlglot.ParseError, sqlglot.TokenError):
        return None
    merged = (exp.Query, exp.AggFunc, exp.Window, exp.UDTF, exp.Explode)  # more than one row
    refused = (*merged, exp.Alias, exp.Star, exp.Command, exp.DDL, exp.DML, exp.Placeholder)
    if more or tree is None or tree.find(*refused) or isinstance(tree, exp.Literal):
        return None
    return tree if isinstance(tree, exp.Expression) else None


def summed(names: tuple[str, ...]) -> exp.Expression:
    """The sum of columns."""
    from sqlglot import exp

    columns: list[exp.Expression] = [exp.column(exp.to_identifier(name, quoted=True)) for name in names]
    return functools.reduce(lambda tree, column: exp.Add(this=tree, expression=column), columns)


def names_in(tree: exp.Expression) -> list[str]:
    """The client's columns that an expression speaks of, `table.column` where it says the table."""
    from sqlglot import exp

    return list(dict.fromkeys(_name(column) for column in tree.find_all(exp.Column)))


def _name(column: exp.Column) -> str:
    return ".".join(part.name for part in column.parts)


def with_computed(
    raw: ir.Table, name: str, tree: exp.Expression, source: ColumnSource, formats: Formats, *, number: bool
) -> ir.Table:
    """The table with a condition or expression as NAME, with the text it was read from and the code of what is wrong.

    Raises
    ------
    ValueError
        Text is compared by its letters.
    Exception
        The engine's own, where functions or types do not fit.
    """
    import ibis

    tree, operands = _read(tree.copy(), raw, name, number=number)
    for operand, (sql, kind) in operands.items():
        raw = _with(raw, f"{operand}_text", sql)
        column = Column.model_validate({"name": operand, "type": kind, "meaning": "", "blank": True})
        value, problem = typed_value(raw[f"{operand}_text"], column, source, formats)
        wide = value.cast(f"decimal(38, {SCALES[kind]})") if kind in SCALES else value
        raw = raw.mutate(**{operand: wide, f"{operand}_bad": problem})
    raw = _with(raw, name, tree.sql("duckdb", identify=True))
    texts = [ibis.coalesce(raw[f"{operand}_text"].cast("string"), "") for operand in operands]
    blank = ibis.ifelse(raw[name].isnull(), "blank", ibis.null("string"))
    problem = gravest(*(raw[f"{operand}_bad"] for operand in operands), blank)
    return raw.mutate(
        **{f"{name}_text": ibis.literal(" | ").join(texts or [raw[name].cast("string")]), f"{name}_bad": problem}
    )


def _with(raw: ir.Table, name: str, sql: str) -> ir.Table:
    """A table with one more column."""
    return raw.get_backend().sql(f"SELECT *, {sql} AS {identifier(name)} FROM ({raw.compile()})")


Operands = dict[str, tuple[str, str]]  # new name: SQL of what is read, and the type as which it is


def _read(tree: exp.Expression, raw: ir.Table, prefix: str, *, number: bool) -> tuple[exp.Expression, Operands]:
    """The tree with what stands for a number or a day replaced by its value, and what that is read from."""
    from sqlglot import exp

    operands: Operands = {}

    def as_read(node: exp.Expression, kind: str) -> exp.Expression:
        name = f"{prefix}_{len(operands)}"
        operands[name] = (node.sql("duckdb", identify=True), kind)
        return exp.column(name)

    def visit(node: exp.Expression, wanted: bool) -> exp.Expression:
        if isinstance(node, exp.Column):
            dtype = raw[_name(node)].type()
            node = exp.column(exp.to_identifier(_name(node), quoted=True))
            return (
                as_read(node, "number") if wanted and (dtype.is_string() or (number and dtype.is_numeric())) else node
            )
        if kind := HELPERS.get(node.name.upper() if isinstance(node, exp.Anonymous) else node.key.upper()):
            arguments = list(node.iter_expressions())
            if len(arguments) != 1:
                raise ValueError(f"{node.sql('duckdb').lower()}: number, money and day each take one value")
            return as_read(visit(arguments[0], False), kind)
        ordered = isinstance(node, exp.GT | exp.GTE | exp.LT | exp.LTE | exp.Between)
        for key, child, inner in _children(node, wanted):
            if ordered and not inner and isinstance(child, exp.Column) and raw[_name(child)].type().is_string():
                raise ValueError(
                    f"{_name(child)} is text and would be compared by its letters; write number({_name(child)}) or day({_name(child)})"
                )
            node.set(key[0], visit(child, inner), key[1], overwrite=True)
        return _divided(node) if isinstance(node, exp.Div) else node

    return visit(tree, number), operands


def _children(node: exp.Expression, wanted: bool) -> Iterator[tuple[tuple[str, int | None], exp.Expression, bool]]:
    """Each part of a node, and whether it stands for a number."""
    from sqlglot import exp

    counted = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Abs, exp.Round)
    passed = (exp.Paren, exp.Case, exp.If, exp.Coalesce, exp.Greatest, exp.Least)
    compared = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)
    parts = [((key, i), child) for key, value in node.args.items()
             for i, child in (enumerate(value) if isinstance(value, list) else [(None, value)])
             if isinstance(child, exp.Expression)]  # fmt: skip
    numbers = isinstance(node, compared) and any(_is_number(child) for _, child in parts)
    for key, child in parts:
        condition = isinstance(node, exp.If | exp.Case) and key[0] == "this"
        inner = isinstance(node, counted) or (wanted and isinstance(node, passed) and not condition) or numbers
        yield key, child, inner


def _is_number(node: exp.Expression) -> bool:
    from sqlglot import exp

    inner = node.unnest()
    return inner.is_number or isinstance(inner, exp.Add | exp.Sub | exp.Mul | exp.Div | exp.Neg | exp.Abs | exp.Round)


def _divided(node: exp.Div) -> exp.Expression:
    """A division in decimals: exact by a power of ten, else to eight."""
    from sqlglot import exp

    by = node.expression.name
    if node.expression.is_number and by.strip("0") == "1" and by[0] == "1":
        return exp.Mul(
            this=node.this, expression=exp.Literal.number(f"0.{'0' * (len(by) - 2)}1" if len(by) > 1 else "1")
        )
    return exp.TryCast(this=node, to=exp.DataType.build(EXACT, dialect="duckdb"))
