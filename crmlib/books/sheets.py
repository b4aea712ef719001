"""A client's file, sheet or table, to be asked what it holds: sums that nearly every row bears out, keys, totals among the rows."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatchcase
from itertools import permutations
from pathlib import Path
from typing import Any

from crmlib.books.headings import TOTAL, TOTAL_OF
from crmlib.books.ledger import connect, identifier, quoted
from crmlib.books.profiles import Profile, profiled
from crmlib.books.raw import WORKBOOKS
from crmlib.books.written import has_figure
from crmlib.declared.reading import SettingsError

DATABASES = {".duckdb", ".db"}
NEARLY_ALL = 0.98  # of the rows that bear a sum out
CENT = 0.011  # by which amounts may differ that were rounded
MOST_VALUES = 20  # different values of a column that may be a status


class Engine:
    """A private engine, and the folder in which text is staged for it."""

    def __init__(self, work: Path) -> None:
        self.con, self.work = connect(), work

    def new_file(self, kind: str = ".parquet") -> Path:
        """A path in the folder for staged text."""
        return self.work / f"{len(list(self.work.iterdir()))}{kind}"

    def rows(self, query: str) -> list[Any]:
        """The rows of a query about the views."""
        return list(self.con.execute(query).fetchall())


@dataclass(frozen=True)
class Sheet:
    """A file, sheet or table: where it is, how its text is written, and its columns; asked in SQL, with columns as they are `spoken`."""

    engine: Engine = field(repr=False, compare=False)
    source: tuple[str, ...]
    file: Path
    header_row: int = 1
    header_rows: int = 1
    by_place: bool = False  # whether a column without a name is called by its place
    encoding: str = "utf-8"
    delimiter: str = ","
    columns_at: tuple[int, ...] = ()  # where those of a list for a printer begin
    serial: str = ""  # how a workbook counts days
    view: str = ""
    rows: int = 0
    columns: dict[str, Profile] = field(default_factory=dict)
    headings: tuple[str, ...] = ()  # columns of what stands in headings between the rows
    carried: tuple[str, ...] = ()  # columns that are written in the first of several rows alone
    # of each source the cells of the rows above the header, the first row's first
    above: tuple[tuple[str, ...], ...] = ()
    query: str = ""  # the SELECT over the client's tables that gives it
    head: str = ""  # the table whose columns stand beside, as `head.column`

    @property
    def name(self) -> str:
        """What a mapping says of it: its name, or the pattern of several."""
        if len(self.source) == 1:
            return self.source[0]
        first, last = (os.path.commonprefix(names) for names in (self.source, [name[::-1] for name in self.source]))  # noqa: RUF071
        word = re.search(r"[\W_][^\W\d_]+$", last[::-1])  # a whole one at the end, such as Header
        return re.sub(r"[\d\W_]+$", "", first) + "*" + (word[0] if word else "")

    @property
    def files(self) -> tuple[str, ...]:
        """What `_file` says of the rows of each source."""
        kind = self.file.suffix if self.file.suffix in {".parquet", *WORKBOOKS} else ".csv"
        return tuple(f"{book}{kind}{mark}{title}" for book, mark, title in (s.partition(":") for s in self.source))

    @property
    def is_typed(self) -> bool:
        """Whether it is of a file or a database that brings types of its own."""
        return self.file.suffix.lower() in {".parquet", *DATABASES} or str(self.file).startswith("env:")

    def meets(self, source: str) -> bool:
        """Whether its name, as a pattern, is that of another sheet."""
        return source not in self.source and fnmatchcase(source, self.name)

    def spoken(self, name: str) -> str:
        """A column as it stands in an expression or condition; what is none of them is one already."""
        inner = name.removeprefix(f"{self.head}.") if self.head else name
        if name not in self.columns:
            return name
        return _bare(name) if inner == name else f"{_bare(self.head)}.{_bare(inner)}"

    def unique(self, column: str) -> bool:
        """Whether every row has another value in a column."""
        return self.rows > 0 and self.columns[column].distinct == self.rows

    # --- sheets made of it ----------------------------------------------------------------------------------------------

    def giving(self, query: str, *, staged: bool = False) -> Sheet:
        """As this one, but with the rows of a query, of what it gives now where that is `staged`, and its columns by the type that they have.

        Raises
        ------
        SettingsError
            The query cannot be answered, since the file cannot be read.
        """
        view = f"t{len(self.engine.rows('FROM duckdb_views() WHERE NOT internal'))}"
        try:
            if staged:
                file = quoted(self.engine.new_file())
                self.engine.con.execute(f"COPY ({query}) TO {file} (FORMAT parquet)")
                query = f"FROM read_parquet({file})"
            self.engine.con.execute(f"CREATE VIEW {view} AS {query}")
            described = self.engine.rows(f"SELECT column_name, column_type FROM (DESCRIBE {view})")
        except Exception as error:  # the engine's own error says why
            said = str(error).splitlines()[0].replace(str(self.file), self.file.name)
            raise SettingsError(f"{self.file.name} cannot be read: {said[:200]}") from None
        zoned = {name: frozenset({"timed"} if "TIME ZONE" in dtype else ()) for name, dtype in described}
        return replace(self, view=view, columns={n: Profile(n, _kind(t), marks=zoned[n]) for n, t in described})

    def profiled(self) -> Sheet:
        """With what its columns hold."""
        rows, columns = profiled(self.engine.con, self.view, self.columns.values(), self.serial)
        return replace(self, rows=rows, columns=columns)

    def renamed(self, names: Mapping[str, str]) -> Sheet:
        """With other names for its headings."""
        columns = ", ".join(f"{identifier(n)} AS {identifier(names.get(n, n))}" for n in self.columns)
        headings = tuple(names.get(n, n) for n in self.headings)
        return replace(self.giving(f"SELECT {columns} FROM {self.view}"), headings=headings).profiled()

    def merged(self, others: Sequence[Sheet], *, with_file: bool = False) -> Sheet:
        """Sheets of one header below this one; with the file of each row as `_file`."""
        if not others:
            return self
        sheets = [self, *others]
        first = next((sheet for sheet in sheets if sheet.encoding != "utf-8"), self)
        file = [f", {quoted(sheet.files[0])} AS _file" if with_file else "" for sheet in sheets]
        rows = " UNION ALL ".join(f"SELECT *{f} FROM {sheet.view}" for f, sheet in zip(file, sheets, strict=True))
        above = tuple(row for sheet in sheets for row in sheet.above)
        return replace(first, source=tuple(s.source[0] for s in sheets), above=above).giving(rows).profiled()

    def selected(self, text: str, sheets: Mapping[str, Sheet], name: str) -> Sheet:
        """What a SELECT over sheets gives, written like this one: they stand in it as {name}, and {place} before the first column."""
        union = " UNION ALL ".join
        names = {n: union(f"SELECT * FROM {identifier(each)}" for each in s.source) for n, s in sheets.items()}
        theirs = {n: f"({names[n]})" if len(s.source) > 1 else identifier(s.source[0]) for n, s in sheets.items()}
        ours = {n: f"(SELECT *, '' AS _file, row_number() OVER () AS _row FROM {s.view})" for n, s in sheets.items()}
        query = _filled_in(text, {"place": "l._file, l._row, "} | theirs)
        sheet = replace(self, source=(name,), query=query, headings=(), above=())
        return sheet.giving(_filled_in(text, {"place": ""} | ours)).profiled()

    def kept(self, condition: str) -> Sheet:
        """Its rows that meet a condition."""
        return replace(self.giving(f"FROM {self.view} WHERE {condition}"), columns=self.columns)

    def with_figure(self, column: str) -> Sheet:
        """Its rows in which a column has a figure, so without headings and totals, looked at anew."""
        return self.kept(has_figure(self.spoken(column), self.columns[column].kind)).profiled()

    def as_text(self) -> Sheet:
        """With all its columns as text, as the reader has them from files."""
        columns = ", ".join(f"{identifier(name)}::VARCHAR AS {identifier(name)}" for name in self.columns)
        return replace(self.giving(f"SELECT {columns} FROM {self.view}"), columns=self.columns)

    def typed(self, number: tuple[str, str], days: Sequence[str]) -> Sheet:
        """With numbers, of these marks of decimals and thousands, and days, of these forms, read."""
        columns = ", ".join(f"{c.read(number, days)} AS {identifier(name)}" for name, c in self.columns.items())
        known = {n: c if number in c.numbers else replace(c, numbers=()) for n, c in self.columns.items()}
        return replace(self.giving(f"SELECT {columns} FROM {self.view}", staged=not self.is_typed), columns=known)

    def beside(self, head: Sheet, key: tuple[str, str]) -> Sheet:
        """With another sheet's row beside each of its own: the one whose key, the second column, is the first of its own."""
        on = f"trim(l.{identifier(key[0])}::VARCHAR) = trim(h.{identifier(key[1])}::VARCHAR)"
        both = f"SELECT l.*, h AS {identifier(head.name)} FROM {self.view} l LEFT JOIN {head.view} h ON {on}"
        theirs = {f"{head.name}.{name}": column for name, column in head.columns.items()}
        return replace(self.giving(both), columns=self.columns | theirs, head=head.name)

    # --- what it holds --------------------------------------------------------------------------------------------------

    def ask(self, what: str, rest: str = "") -> list[Any]:
        """The rows of a SELECT over it."""
        return self.engine.rows(f"SELECT {what} FROM {self.view} {rest}")

    def has(self, rest: str) -> bool:
        """Whether a SELECT over it has any row."""
        return bool(self.ask("1", f"{rest} LIMIT 1"))

    def values(self, column: str) -> dict[str, int]:
        """The values of a column with few of them as they are written, and how often each is there."""
        text = rf"regexp_replace(trim(({self.spoken(column)})::VARCHAR), '\.0$', '')"  # of a number that was read
        known = f"SELECT said, count(*) FROM (SELECT {text} AS said FROM {self.view}) WHERE said <> '' GROUP BY said"
        return dict(self.engine.rows(f"{known} ORDER BY 2 DESC, 1 LIMIT {MOST_VALUES}"))

    def groups(self, expressions: Sequence[str], where: str = "true") -> list[Any]:
        """The different values of expressions as text, in rows that meet a condition, and how often each are there."""
        texts = ", ".join(f"coalesce(trim(({expression})::VARCHAR), '')" for expression in expressions)
        return self.ask(f"{texts}, count(*)", f"WHERE {where} GROUP BY ALL ORDER BY ALL")

    def months(self, column: str) -> list[tuple[date, int, int]]:
        """Each month of a date with its first and last day that has rows."""
        day = self.spoken(column)
        days = f"min(day({day})), max(day({day}))"
        return self.ask(f"date_trunc('month', {day})::DATE, {days}", f"WHERE {day} IS NOT NULL GROUP BY 1 ORDER BY 1")

    def total(self, expression: str, where: str = "true") -> float:
        """The sum of an expression, of the rows that meet a condition."""
        return float(self.ask(f"coalesce(sum({expression}), 0)", f"WHERE {where}")[0][0])

    def read_sum(self, columns: Iterable[Profile], form: tuple[str, str] = (".", "")) -> float:
        """What columns add up to, of which none has been read yet: in this form, or in the first that fits."""
        read = [c.number(form if form in c.numbers or not c.numbers else None) for c in columns]
        return self.total(" + ".join(f"coalesce({value}, 0)" for value in read) or "0")

    def read_rows(self, texts: Sequence[str], amounts: Sequence[str]) -> list[Any]:
        """Each row's texts, and amounts in the first form that fits."""
        read = [f"coalesce({self.columns[text].text}, '')" for text in texts]
        return self.ask(", ".join(read + [f"coalesce({self.columns[amount].number()}, 0)" for amount in amounts]))

    def held(self, column: str, other: Sheet, key: str, read: str = "{}") -> float:
        """The share of a column's different values that another sheet's column has, both read in one way."""
        ours, theirs = (read.format(c.text) for c in (self.columns[column], other.columns[key]))
        asked, known = f"SELECT DISTINCT {ours} AS said FROM {self.view}", f"SELECT {theirs} FROM {other.view}"
        share = f"SELECT coalesce(avg((said IN ({known}))::INT), 0) FROM ({asked}) WHERE said <> ''"
        return float(self.engine.rows(share)[0][0])

    def depends(self, expression: str, key: str) -> bool:
        """Whether an expression has one value for each key."""
        return not self.has(f"GROUP BY {key} HAVING count(DISTINCT {expression}) > 1")

    def mixed(self, expression: str, key: str) -> float:
        """The share of keys in several rows that have several values of an expression."""
        keys = f"SELECT count(DISTINCT {expression}) > 1 AS mixed FROM {self.view} GROUP BY {key} HAVING count(*) > 1"
        return float(self.engine.rows(f"SELECT coalesce(avg(mixed::INT), 0) FROM ({keys})")[0][0])

    def repeats(self, key: str) -> bool:
        """Whether a key stands in several rows."""
        return self.has(f"GROUP BY {key} HAVING count(*) > 1")

    def agree(self, left: str, right: str) -> bool:
        """Whether two expressions are equal to the cent, but for the sign, in nearly all rows that have the first."""
        equal = f"coalesce(abs(abs({left}) - abs({right})) <= {CENT}, false)"
        return float(self.ask(f"avg({equal}::INT)", f"WHERE ({left}) IS NOT NULL")[0][0] or 0) >= NEARLY_ALL

    def adds_up(self, key: str, expression: str, total: str, off: str) -> bool:
        """Whether an expression adds up, in nearly all documents that have several rows, to an amount of each, and to that before another."""
        sums = f"sum({expression}) AS parts, max({total}) + max({off}) AS whole, max({off}) AS less"
        of_each = f"SELECT {sums} FROM {self.view} GROUP BY {key}"
        share = f"SELECT avg((abs(parts - whole) <= {CENT})::INT) FROM ({of_each}) WHERE less <> 0 OR {off == '0'}"
        return float(self.engine.rows(share)[0][0] or 0) >= NEARLY_ALL

    def takes_turns(self, one: str, other: str) -> bool:
        """Whether each row has one of two columns, and none has both."""
        return not self.has(f"WHERE ({one} IS NULL) = ({other} IS NULL)")

    def is_share(self, off: str, amount: str) -> bool:
        """Whether what comes off is at most 1 everywhere, though no amount that it comes off is as small as ten."""
        return bool(self.ask(f"max(abs({off})) <= 1 AND min(abs({amount})) >= 10", f"WHERE ({off}) <> 0")[0][0])

    def whole_percents(self, amount: str, off: str) -> str:
        """Whether discounts are whole or half percents of the amount as it is, `before`, or of what it was, `after`; '' where neither or both."""
        bases = f"abs({amount})", f"(abs({amount}) + abs({off}))"
        hits = [f"avg((abs(abs({off}) - round(200 * abs({off}) / {base}) / 200 * {base}) <= {CENT})::INT) FILTER ({base} >= 50)" for base in bases]  # fmt: skip
        before, after = (float(share or 0) for share in self.ask(", ".join(hits), f"WHERE ({off}) <> 0")[0])
        return "before" if after < 0.5 < NEARLY_ALL <= before else "after" if before < 0.5 < NEARLY_ALL <= after else ""

    def differences(self, amount: str, columns: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of columns of which the first less the second, or with it where it is written negative, is an amount, and the second no steady share of the first."""
        pairs = [*permutations(columns, 2)]
        tests = [f"avg(coalesce(abs(abs({a} - {amount}) - abs({b})) <= {CENT} AND abs({a}) + {CENT} >= abs({amount}), false)::INT), "
                 f"max(round(abs({b}) / nullif(abs({a}), 0), 3)) > min(round(abs({b}) / nullif(abs({a}), 0), 3))" for a, b in pairs]  # fmt: skip
        [values] = self.ask(", ".join(tests)) if tests else [()]
        found = zip(pairs, values[::2], values[1::2], strict=True)
        return [pair for pair, share, varies in found if varies and float(share or 0) >= NEARLY_ALL]

    def lessens(self, first: str, net: str) -> bool:
        """Whether one amount is another in some rows and less in the others, whatever their signs, and never more."""
        tests = f"abs({first} - {net}) <= {CENT}", f"abs({net}) < abs({first}) - {CENT}", "true"
        [(same, less, rows)] = self.ask(", ".join(f"count_if({test})" for test in tests), f"WHERE ({first}) <> 0")
        return bool(same and less and same + less == rows)

    def not_totals(self, line: str, amount: str) -> list[Any]:
        """The rows that are no lines, and have an amount that is not the sum of those above them, nor a word such as Total."""
        read = self.columns[amount].number() if self.columns[amount].numbers else identifier(amount)
        texts = [identifier(c.name) for c in self.columns.values() if c.kind == "text"]
        named = [f"coalesce(regexp_matches({c}, {quoted(w)}), false)" for c in texts for w in (TOTAL, TOTAL_OF)]
        shown = f"concat_ws(' ', {', '.join(f'{identifier(name)}::VARCHAR' for name in self.columns)})"
        return self.engine.rows(f"""
            WITH read AS (SELECT row_number() OVER () AS place, coalesce({line}, false) AS is_line, {read} AS amount, {" OR ".join(named) or "false"} AS is_named, {shown} AS shown FROM {self.view}),
            above AS (SELECT *, coalesce(sum(amount) FILTER (is_line) OVER (ORDER BY place), 0) AS whole FROM read),
            others AS (SELECT *, whole - coalesce(lag(whole) OVER (ORDER BY place), 0) AS part FROM above WHERE NOT is_line AND amount <> 0)
            SELECT shown FROM others WHERE NOT is_named AND least(abs(amount - whole), abs(amount - part)) > {CENT} ORDER BY place""")


def _kind(dtype: str) -> str:
    if dtype in {"FLOAT", "DOUBLE"}:
        return "float"
    if re.match(r"U?(TINY|SMALL|BIG|HUGE)?INT|DECIMAL|INTEGER|UINTEGER", dtype):
        return "number"
    return "date" if dtype.startswith(("DATE", "TIMESTAMP")) else "text" if dtype == "VARCHAR" else "other"


def _filled_in(text: str, names: Mapping[str, str]) -> str:
    """A text with what stands for its {names}; other braces are a client's."""
    return re.sub(r"\{(\w+)\}", lambda mark: names.get(mark[1], mark[0]), text)


def _bare(name: str) -> str:
    """A name without quotation marks where the engine needs none."""
    plain = re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in _keywords()
    return name if plain else identifier(name)


@functools.cache
def _keywords() -> set[str]:
    known = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
    return {word for (word,) in connect().execute(known).fetchall()}
