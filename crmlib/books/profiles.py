"""What the columns of a client's table hold: forms of numbers and days, proposed by the first rows and borne out by every one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from crmlib.books.ledger import identifier, quoted
from crmlib.books.typing import day_of
from crmlib.books.written import NUMBERS, TIME, days_of, has_figure, is_of_day, may_be, number_pattern, sign_of_currency

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FIRST = 20_000  # first rows of a table, by which forms are proposed
TRIED = 1000  # values, by which forms are ruled out before any is asked for: each costs milliseconds
FEW = 100  # different values of a column, up to which they are counted exactly
MARKS = {"trailing": "[0-9][^0-9]*-$", "parentheses": r"\(", "CR": "(?i)CR$", "leading": r"^[^0-9(]*-", "marked": "[,.]", "timed": "[0-9]:[0-9]"}  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """What one column holds: `numbers` and `dates` are the forms that fit every value, `kind` the type of a typed one."""

    name: str
    kind: str
    filled: int = 0
    distinct: int = 0
    samples: tuple[str, ...] = ()
    numbers: tuple[tuple[str, str], ...] = ()  # marks of decimals and thousands
    dates: tuple[str, ...] = ()
    marks: frozenset[str] = frozenset()  # trailing, parentheses, leading, marked; a currency's sign; timed

    @property
    def is_number(self) -> bool:
        """Whether every value is a number, in one form at least."""
        return bool(self.numbers) or self.kind in {"number", "float"}

    @property
    def is_date(self) -> bool:
        """Whether every value is a date, in one form at least."""
        return bool(self.dates) or self.kind == "date"

    @property
    def text(self) -> str:
        """The column's values as text without blanks around them, in SQL."""
        return f"trim({identifier(self.name)}::VARCHAR)"

    def number(self, form: tuple[str, str] | None = None) -> str:
        """The column's values as numbers in this form, or in the first that fits, in SQL."""
        decimal, thousands = form or next(iter(self.numbers), (".", ""))
        plain = f"regexp_replace(regexp_replace({identifier(self.name)}::VARCHAR, '(?i)CR', '-'), '[^0-9,.()-]', '', 'g')"  # fmt: skip
        plain = f"replace({plain}, {quoted(thousands)}, '')" if thousands in {",", "."} else plain
        plain = f"regexp_replace(replace({plain}, {quoted(decimal)}, '.'), '^-$', '0')"
        return f"TRY_CAST(regexp_replace({plain}, '[()-]', '', 'g') AS DOUBLE) * if(regexp_matches({plain}, '[(-]'), -1, 1)"

    def day(self, form: str) -> str:
        """The column's values as days in this form, in SQL."""
        return day_of(f"trim(regexp_replace({identifier(self.name)}::VARCHAR, {quoted(TIME + '$')}, ''))", form)

    def read(self, number: tuple[str, str], days: Iterable[str]) -> str:
        """The column's values as what they are, in the first of these forms that fit, in SQL."""
        if form := next((day for day in days if day in self.dates), ""):
            return self.day(form)
        return self.number(number) if number in self.numbers else identifier(self.name)


def profiled(con: DuckDBPyConnection, view: str, columns: Iterable[Profile], serial: str) -> tuple[int, dict[str, Profile]]:  # fmt: skip
    """How many rows a view has, and what its columns hold; `serial` is how its workbook counts days."""
    given = [*columns]
    counts = [f"count(nullif({c.text}, '')), approx_count_distinct({identifier(c.name)})" for c in given]
    samples = [f"(SELECT list(v) FROM (SELECT {identifier(c.name)}::VARCHAR AS v FROM {view} WHERE {c.text} <> '' LIMIT {TRIED}))" for c in given]  # fmt: skip
    [(rows, *known)] = con.execute(f"SELECT {', '.join(['count(*)', *counts, *samples])} FROM {view}").fetchall()
    several = {c.name: n for c, n in zip(given, known[1 : 2 * len(given) : 2], strict=True)}
    exact = [name for name, n in several.items() if n > 0.8 * rows or n <= FEW]  # a key is one only if it is exact
    if exact:
        asked = ", ".join(f"count(DISTINCT {identifier(name)})" for name in exact)
        several |= zip(exact, con.execute(f"SELECT {asked} FROM {view}").fetchall()[0], strict=True)
    filled, values = known[: 2 * len(given) : 2], known[2 * len(given) :]
    found = {}
    for column, some, first in zip(given, filled, values, strict=True):
        first = [*dict.fromkeys(first or ())]
        c = replace(column, filled=some, distinct=several[column.name], samples=tuple(first[:3]))
        if c.kind == "date" and con.execute(f"SELECT 1 FROM {view} WHERE {identifier(c.name)} <> {identifier(c.name)}::DATE LIMIT 1").fetchall():  # fmt: skip
            c = replace(c, marks=c.marks | {"timed"})
        if c.kind == "text" and some:
            c = _forms(con, view, rows, c, first, serial)
        elif some and c.is_number and is_of_day(c.name):
            c = replace(c, dates=_forms(con, view, rows, c, first, serial).dates)
        found[c.name] = c
    return rows, found


def _forms(
    con: DuckDBPyConnection, view: str, rows: int, column: Profile, first: Sequence[str], serial: str
) -> Profile:
    """A column with the forms that all of its values have; what its `first` do not have is not asked."""
    text, first = column.text, [value.strip(" ") for value in first]
    days = {form: rf"^{shape}{TIME}$" for form, shape in days_of(column.name, serial).items()}
    tests: dict[Any, str] = {form: number_pattern(form) for form in NUMBERS} | days
    some = [f"(SELECT * FROM {view} LIMIT {FIRST})"] if rows > FIRST else []
    for asked in (*some, view):
        [(filled, dated)] = con.execute(f"SELECT count(nullif({text}, '')), count_if({has_figure(text)}) FROM {asked}").fetchall()  # fmt: skip
        words = {*days} if 2 * dated > filled else set()  # forms beside which words such as Total may stand
        tests = {f: test for f, test in tests.items() if all(may_be(v, test, words=f in words) for v in first)}
        counts = [f"count(*) FILTER ({_fits(column, form, test)})" for form, test in tests.items()]
        [fits] = con.execute(f"SELECT {', '.join(counts)} FROM {asked}").fetchall() if tests else [()]
        needed = {form: dated if form in words else filled for form in tests}
        tests = {f: test for (f, test), count in zip(tests.items(), fits, strict=True) if count == needed[f] > 0}
    numbers, dates = tuple(f for f in NUMBERS if f in tests), tuple(f for f in tests if isinstance(f, str))
    marks = _marks(con, view, text) if numbers or dates else frozenset[str]()
    return replace(column, numbers=numbers, dates=dates, marks=marks, filled=dated if dates else filled)


def _fits(column: Profile, form: Any, test: str) -> str:
    shaped = f"regexp_matches({column.text}, {quoted(test)})"
    return shaped if isinstance(form, tuple) else f"{shaped} AND {column.day(form)} IS NOT NULL"


def _marks(con: DuckDBPyConnection, view: str, text: str) -> frozenset[str]:
    """How negative numbers look, currency signs, and whether a mark could be one of thousands or of decimals."""
    counts = ", ".join(f"bool_or(regexp_matches({text}, {quoted(test)}))" for test in MARKS.values())
    signs = f"list(DISTINCT regexp_extract({text}, {quoted(sign_of_currency())}))"
    [(*found, signs)] = con.execute(f"SELECT {counts}, {signs} FROM {view} WHERE {text} <> ''").fetchall()
    return frozenset({*(mark for mark, there in zip(MARKS, found, strict=True) if there), *filter(None, signs)})
