"""Conditions and expressions on the client's columns: what stands for a number or a day is read as the formats declare, in decimals."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from crmlib.books.defects import gravest
from crmlib.books.ledger import Rows, identifier, rows_of
from crmlib.books.typing import step, stepped, typed_value
from crmlib.declared.ledger import SCALES, Column
from crmlib.declared.settings import ColumnSource, Formats

if TYPE_CHECKING:
    from sqlglot import exp

HELPERS = {"NUMBER": "number", "MONEY": "money", "DAY": "date"}  # what reads by the declared formats: as which type
EXACT = "DECIMAL(38, 8)"  # of what is divided
NUMERIC = re.compile("DECIMAL|DOUBLE|FLOAT|U?[A-Z]*INT")  # types of numbers


def parsed(text: str) -> exp.Expression | None:
    """The one condition or expression on the columns of a row that a text is; None where it is none."""
    import sqlglot
    from sqlglot import exp

    try:
        tree, *more = sqlglot.parse(text, read="duckdb")
    except (sqlglot.ParseError, sqlglot.TokenError, RecursionError):
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
    raw: Rows, name: str, tree: exp.Expression, source: ColumnSource, formats: Formats, *, number: bool
) -> Rows:
    """The table with a condition or expression as NAME, with the text it was read from and the code of what is wrong.

    Raises
    ------
    ValueError
        Text is compared by its letters.
    Exception
        The engine's own, where functions or types do not fit.
    """
    tree, operands = _read(tree.copy(), raw, name, number=number)
    raw, steps, wide = raw.adding({f"{operand}_text": sql for operand, (sql, _) in operands.items()}), {}, {}
    for operand, (_, kind) in operands.items():
        column = Column.model_validate({"name": operand, "type": kind, "meaning": "", "blank": True})
        text = f"{operand}_text"
        steps[operand] = typed_value(identifier(text), raw.types[text], column, source, formats)
        value = step("value", operand)
        wide[operand] = f"{value}::DECIMAL(38, {SCALES[kind]})" if kind in SCALES else value
        wide[f"{operand}_bad"] = step("code", operand)
    raw = rows_of(raw.con, stepped(raw.query, steps)).adding(wide).adding({name: tree.sql("duckdb", identify=True)})
    own = identifier(name)
    texts = ", ".join(f"coalesce({identifier(f'{operand}_text')}::VARCHAR, '')" for operand in operands)
    text = f"concat_ws(' | ', {texts})" if texts else f"{own}::VARCHAR"
    blank = f"CASE WHEN {own} IS NULL THEN 'blank' END"
    code = gravest(*(identifier(f"{operand}_bad") for operand in operands), blank)
    return raw.adding({f"{name}_text": text, f"{name}_bad": code})


Operands = dict[str, tuple[str, str]]  # new name: SQL of what is read, and the type as which it is


def _read(tree: exp.Expression, raw: Rows, prefix: str, *, number: bool) -> tuple[exp.Expression, Operands]:
    """The tree with what stands for a number or a day replaced by its value, and what that is read from."""
    from sqlglot import exp

    operands: Operands = {}

    def as_read(node: exp.Expression, kind: str) -> exp.Expression:
        name = f"{prefix}_{len(operands)}"
        operands[name] = (node.sql("duckdb", identify=True), kind)
        return exp.column(name)

    def visit(node: exp.Expression, wanted: bool) -> exp.Expression:
        if isinstance(node, exp.Column):
            read = wanted and (raw.is_text(_name(node)) or (number and NUMERIC.match(raw.types[_name(node)])))
            node = exp.column(exp.to_identifier(_name(node), quoted=True))
            return as_read(node, "number") if read else node
        if kind := HELPERS.get(node.name.upper() if isinstance(node, exp.Anonymous) else node.key.upper()):
            arguments = list(node.iter_expressions())
            if len(arguments) != 1:
                raise ValueError(f"{node.sql('duckdb').lower()}: number, money and day each take one value")
            return as_read(visit(arguments[0], False), kind)
        ordered = isinstance(node, exp.GT | exp.GTE | exp.LT | exp.LTE | exp.Between)
        for key, child, inner in _children(node, wanted):
            if ordered and not inner and isinstance(child, exp.Column) and raw.is_text(_name(child)):
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
