"""The books' SQL, which is DuckDB's, as another engine says it: by sqlglot, and here what sqlglot leaves as it is."""

from __future__ import annotations

import functools
import string
from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.optimizer.qualify import qualify

from crmlib.books.ledger import BLANKS

Tree = Any  # what sqlglot parses; its own types know no arguments
Types = Mapping[str, Mapping[str, str]]  # of columns, by relation
SCHEMAS = {"books", "typed", "source"}


@functools.lru_cache(1000)
def parsed(text: str) -> Tree:
    """A statement of DuckDB's, which is looked at more than once; nobody writes into it."""
    return parse_one(text, read="duckdb")


def flat(table: exp.Table) -> str:
    """The name of a relation where there are no schemas, as temporary relations have none."""
    return f"{table.db}__{table.name}" if table.db in SCHEMAS else table.name


def relations(tree: Tree) -> dict[str, str]:
    """The relations that a statement reads or makes: by their flat names, those that they have here."""
    local = {cte.alias for cte in tree.find_all(exp.CTE)}
    named = (t for t in tree.find_all(exp.Table) if isinstance(t.this, exp.Identifier))
    tables = [t for t in named if t.db or t.name not in local]
    return {flat(t): exp.table_(t.this.copy(), t.args.get("db"), t.args.get("catalog")).sql("duckdb") for t in tables}


def translated(query: Tree, dialect: str, types: Types) -> str:
    """A query in the words of an engine; `types` speaks of every relation in it."""
    tree = query.transform(_named_flatly).transform(_without_qualify, copy=False)
    for select in list(tree.find_all(exp.Select)):
        _without_half_joins(select)
    schema: dict[str, object] = {
        f'"{name}"': {f'"{c}"': kind for c, kind in columns.items()} for name, columns in types.items()
    }
    tree = qualify(tree, dialect="duckdb", schema=schema, validate_qualify_columns=False)
    for select in list(tree.find_all(exp.Select)):
        _without_all(select)
    return str(tree.transform(REWRITTEN[dialect], copy=False).sql(dialect, copy=False))


def engine_type(kind: str, dialect: str) -> str:
    """A type of DuckDB as an engine calls it."""
    return exp.DataType.build(kind, dialect="duckdb").sql(dialect)


def _named_flatly(node: Tree) -> Tree:
    if isinstance(node, exp.Table) and node.db in SCHEMAS:
        alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name))
        for part, value in {
            "this": exp.to_identifier(flat(node), quoted=True),
            "db": None,
            "catalog": None,
            "alias": alias,
        }.items():
            node.set(part, value)  # what is joined to it stays in it
    if isinstance(node, exp.Anonymous) and node.name.lower() == "stripped":  # the one macro that asks for transactions
        marks: list[Tree] = [exp.Chr(expressions=[exp.Literal.number(ord(mark))]) for mark in string.whitespace]
        marks.append(exp.Literal.string(BLANKS))  # Spark's chr knows none of these
        return exp.Trim(this=node.expressions[0], expression=exp.Concat(expressions=marks, safe=True, coalesce=False))
    return node


def _without_qualify(node: Tree) -> Tree:
    """QUALIFY as a condition on an inner query: sqlglot's own keeps names of tables that are not seen outside."""
    if not isinstance(node, exp.Select) or not node.args.get("qualify"):
        return node
    condition = node.args["qualify"].this.copy()
    for column in condition.find_all(exp.Column):
        if not column.find_ancestor(exp.Window):
            column.set("table", None)
    windows = {f"_window_{place}": window for place, window in enumerate(condition.find_all(exp.Window))}
    inner = node.copy()
    inner.set("qualify", None)
    for name, window in windows.items():
        inner.select(exp.alias_(window.copy(), name), copy=False)
        window.replace(exp.column(name))
    columns = parse_one(f"SELECT * EXCLUDE ({', '.join(windows)})", read="duckdb").expressions
    return exp.select(*columns).from_(inner.subquery("_ranked")).where(condition)


def _without_half_joins(select: exp.Select) -> None:
    """SEMI and ANTI JOIN as EXISTS: sqlglot gives columns of the right side to what they join."""
    joins = select.args.get("joins") or []
    for join in [j for j in joins if {"SEMI", "ANTI"} & {j.kind, j.side}]:
        left, right = select.args["from_"].this.alias_or_name, join.this
        name = right.alias or f"_beside_{len(joins)}"
        right.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
        keys = [(exp.column(k.name, table=left), exp.column(k.name, table=name)) for k in join.args["using"] or ()]
        on = [exp.EQ(this=ours, expression=theirs) for ours, theirs in keys] or [join.args["on"]]
        there = exp.Exists(this=exp.select("1").from_(right).where(*on))
        joins.remove(join)
        select.where(there if "SEMI" in {join.kind, join.side} else exp.Not(this=there), copy=False)


def _without_all(select: exp.Select) -> None:
    """GROUP BY ALL as the columns that are no sums, ORDER BY ALL as all columns in their order."""
    group, order = select.args.get("group"), select.args.get("order")
    if group and group.args.get("all"):
        columns = [each.unalias() for each in select.expressions]
        keys = [c.copy() for c in columns if c.find(exp.Column) and not c.find(exp.AggFunc)]
        select.set("group", exp.Group(expressions=keys) if keys else None)
    if order and order.expressions[0].this.sql().upper() == "ALL":
        select.set("order", None)
        select.order_by(*(str(place) for place, _ in enumerate(select.expressions, 1)), copy=False)


# --- words of one engine ---------------------------------------------------------------------------------------------


def _spark(node: Tree) -> Tree:
    if isinstance(node, exp.Window) and isinstance(node.this, exp.RowNumber) and not node.args.get("order"):
        node.set("order", exp.Order(expressions=[key.copy() for key in node.args["partition_by"]]))
    if isinstance(node, exp.RegexpLike | exp.RegexpReplace) and node.expression.name.startswith("(?i)"):
        node.set("expression", exp.Literal.string("(?iu)" + node.expression.name[4:]))  # not of ASCII alone
    if isinstance(node, exp.ArgMax | exp.ArgMin) and not isinstance(node.parent, exp.Filter):
        return exp.Filter(this=node.copy(), expression=_there(node))
    if isinstance(node, exp.CTE):
        node.set("materialized", None)
    if isinstance(node, exp.Not) and isinstance(node.this, exp.In) and node.this.args.get("query"):
        return _without(node.this)
    if _is_hash(node):
        return exp.Anonymous(this="xxhash64", expressions=node.expressions)
    return _day(node)


def _postgres(node: Tree) -> Tree:
    if _is_hash(node):
        row = exp.Anonymous(this="ROW", expressions=node.expressions)
        return exp.Anonymous(this="md5", expressions=[exp.cast(row, "text")])
    if isinstance(node, exp.DateFromParts):
        return exp.Anonymous(this="make_date", expressions=[exp.cast(p.copy(), "int") for p in node.iter_expressions()])
    if isinstance(node, exp.ArgMax | exp.ArgMin):
        return _first_of(node)
    if isinstance(node, exp.TryCast) and node.to.this == exp.DataType.Type.DECIMAL and node.to.expressions:
        digits, decimals = (int(each.name) for each in node.to.expressions)
        size = exp.Abs(this=exp.cast(node.this.copy(), "decimal"))
        fits = exp.LT(this=size, expression=exp.Literal.number(f"1{'0' * (digits - decimals)}"))
        return exp.case().when(fits, exp.cast(node.this.copy(), node.to.copy()))
    return _day(node)


def _without(node: exp.In) -> Tree:
    """NOT IN of values that are all there, as NOT EXISTS: beside other conditions Spark compares each row with each value, were one of them null."""
    value, rows = node.this, node.args["query"].unnest().transform(_spark)
    same = exp.EQ(this=exp.column(rows.named_selects[0], table="_values"), expression=value.copy())
    there = exp.Exists(this=exp.select("1").from_(rows.subquery("_values")).where(same))
    return exp.paren(exp.and_(exp.Not(this=exp.Is(this=value.copy(), expression=exp.null())), exp.Not(this=there)))


def _is_hash(node: Tree) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() == "hash"


def _day(node: Tree) -> Tree:
    """The first day of a month is a day, no time."""
    return exp.cast(node.copy(), "date") if isinstance(node, exp.DateTrunc | exp.TimestampTrunc) else node


def _first_of(node: exp.ArgMax | exp.ArgMin) -> Tree:
    """The value where others are largest or smallest, as the first of all in their order."""
    by, largest = node.expression, isinstance(node, exp.ArgMax)
    keys = [exp.Ordered(this=key.copy(), desc=largest, nulls_first=False)
            for key in (by.expressions if isinstance(by, exp.Tuple) else [by])]  # fmt: skip
    rows = exp.ArrayAgg(this=exp.Order(this=node.this.copy(), expressions=keys))
    first = exp.paren(exp.Filter(this=rows, expression=_there(node)))
    return exp.Bracket(this=first, expressions=[exp.Literal.number(1)], offset=1)


def _there(node: exp.ArgMax | exp.ArgMin) -> exp.Where:
    """That there is a value, without which a row is none of those that are compared."""
    return exp.Where(this=exp.Not(this=exp.Is(this=exp.paren(node.this.copy()), expression=exp.null())))


REWRITTEN: Mapping[str, Callable[[Tree], Tree]] = {"spark": _spark, "postgres": _postgres}
