"""What a client's files look like: how their text is written and what their columns hold, proven from every value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import permutations
from typing import Any

from crmlib.books.headings import TOTAL, TOTAL_OF, below_headings, carried_down, each_has_its_total, outline
from crmlib.books.ledger import identifier, quoted, rows_of
from crmlib.books.sheets import Opener, Profile, Sheet, is_typed
from crmlib.books.typing import day_of
from crmlib.books.written import NUMBERS, TIME, days_of, has_figure, is_of_day, may_be, number_pattern, sign_of_currency
from crmlib.declared.vocabulary import KNOWN, likeness, vocabulary

FIRST = 20_000  # first rows of a table, by which forms are proposed; every row must then bear them out
ALL_BUT_FEW = 0.98  # of the rows of a report that stand below a heading
NEARLY_ALL = 0.98  # of the rows that bear a sum out
CENT = 0.011  # by which amounts may differ that were rounded
ALWAYS = 3  # columns that are filled in every row, from which on no row is a total
MOST_VALUES = 20  # different values of a column that may be a status


Forms = tuple[tuple[str, str], Sequence[str]]  # marks of decimals and thousands, formats of dates


class Sniffer(Opener):
    """Views of a client's files, to be asked what they hold."""

    def sheets(self, sources: Iterable[str]) -> list[Sheet]:
        """Every file, sheet or table that has rows, each with its columns; `env:NAME` is the variable of a database's URL.

        Raises
        ------
        SettingsError
            A file is of no kind that is read, or cannot be opened.
        """
        opened = (sheet for source in sources for sheet in self.opened(source) if sheet.columns)
        return [self._grouped(self._carried(self._profiled(self._below_headings(sheet)))) for sheet in opened]

    def _grouped(self, sheet: Sheet) -> Sheet:
        """A list that writes whose its rows are in the first of them alone, as merged cells do, and in the total below them, as if it did in all."""
        first = next(iter(sheet.columns.values()))
        cell = f"coalesce(trim({identifier(first.name)}::VARCHAR), '')"
        if is_typed(sheet.file) or sheet.carried or first.kind != "text" or not 0 < first.filled < sheet.rows:
            return sheet
        if not self.rows(f"SELECT 1 FROM {sheet.view} WHERE regexp_matches({cell}, {quoted(TOTAL_OF)}) LIMIT 1"):
            return sheet
        said = [text for (text,) in self.rows(f"SELECT {cell} FROM {sheet.view}")]
        return self._as_carried(sheet, (first.name,)) if each_has_its_total(said) else sheet

    def _as_carried(self, sheet: Sheet, names: tuple[str, ...]) -> Sheet:
        rows = rows_of(self.con, f"SELECT *, '' AS _file, row_number() OVER () AS _row FROM {sheet.view}")
        query = f"SELECT * EXCLUDE (_file, _row) FROM ({carried_down(rows, names).query}) ORDER BY _row"
        return replace(self._profiled(self.view(sheet, query)), carried=names)

    def _carried(self, sheet: Sheet) -> Sheet:
        """A sheet that writes what its documents have in common in the first row of each alone, as if it did in all."""
        part = [c for c in sheet.columns.values() if 0 < c.filled < sheet.rows]
        full = [c for c in sheet.columns.values() if c.filled == sheet.rows]
        texts = [c for c in full if c.kind == "text" and not c.numbers and not c.dates and c.distinct > 1]
        if is_typed(sheet.file) or len(part) < 2 or len(full) < ALWAYS or not texts:
            return sheet
        is_there = {c.name: f"(coalesce(trim({identifier(c.name)}::VARCHAR), '') <> '')" for c in part}
        first = max(part, key=lambda c: sum(self._same(sheet, is_there[c.name], is_there[o.name]) for o in part))
        begins = self.rows(f"SELECT {is_there[first.name]} FROM (SELECT * FROM {sheet.view} LIMIT 1)")
        below = f"SELECT 1 FROM {sheet.view} WHERE NOT {is_there[first.name]} AND "
        alike = [c for c in part if not self.rows(f"{below}{is_there[c.name]} LIMIT 1")]
        names = tuple(c.name for c in alike if not (c.is_number and not c.dates))
        called = " OR ".join(
            f"regexp_matches({identifier(c.name)}, {quoted(w)})" for c in texts for w in (TOTAL, TOTAL_OF)
        )
        totals = self.rows(f"{below}({called}) LIMIT 1")
        if (
            begins != [(True,)]
            or len(names) < 2
            or totals
            or not self._is_of_documents(sheet, full, alike, is_there[first.name])
        ):
            return sheet
        return self._as_carried(sheet, names)

    def _is_of_documents(self, sheet: Sheet, full: Sequence[Profile], alike: Sequence[Profile], first: str) -> bool:
        """Whether number or date of a document stand in its first row alone, or every row has a number, and one that is no first the same as the row above."""
        words = tuple(vocabulary().tables["invoice_lines"].columns["order_id"])
        numbers = [identifier(c.name) for c in full if likeness(c.name, words) >= KNOWN and c.distinct < sheet.rows]
        for number in numbers:
            above = f"SELECT {first} AS is_first, {number} <> lag({number}) OVER (ORDER BY place) AS is_other FROM (SELECT *, row_number() OVER () AS place FROM {sheet.view})"
            if self.rows(f"SELECT 1 FROM ({above}) WHERE is_other AND NOT is_first LIMIT 1"):
                return False
        return bool(numbers) or any(c.dates or likeness(c.name, words) >= KNOWN for c in alike)

    def not_totals(self, sheet: Sheet, line: str, amount: str) -> list[Any]:
        """The rows that are no lines, and have an amount that is not the sum of those above them, nor a word such as Total."""
        column = sheet.columns[amount]
        read = self._number(column, column.numbers[0]) if column.numbers else identifier(amount)
        texts = [identifier(c.name) for c in sheet.columns.values() if c.kind == "text"]
        named = " OR ".join(
            f"coalesce(regexp_matches({c}, {quoted(w)}), false)" for c in texts for w in (TOTAL, TOTAL_OF)
        )
        shown = f"concat_ws(' ', {', '.join(f'{identifier(name)}::VARCHAR' for name in sheet.columns)})"
        return self.rows(f"""
            WITH read AS (SELECT row_number() OVER () AS place, coalesce({line}, false) AS is_line, {read} AS amount, {named or "false"} AS is_named, {shown} AS shown FROM {sheet.view}),
            above AS (SELECT *, coalesce(sum(amount) FILTER (is_line) OVER (ORDER BY place), 0) AS whole FROM read),
            others AS (SELECT *, whole - coalesce(lag(whole) OVER (ORDER BY place), 0) AS part FROM above WHERE NOT is_line AND amount <> 0)
            SELECT shown FROM others WHERE NOT is_named AND least(abs(amount - whole), abs(amount - part)) > {CENT} ORDER BY place""")

    def _same(self, sheet: Sheet, one: str, other: str) -> bool:
        return not self.rows(f"SELECT 1 FROM {sheet.view} WHERE {one} <> {other} LIMIT 1")

    def renamed(self, sheet: Sheet, names: Mapping[str, str]) -> Sheet:
        """A sheet with other names for its headings."""
        columns = ", ".join(f"{identifier(n)} AS {identifier(names.get(n, n))}" for n in sheet.columns)
        named = self.view(sheet, f"SELECT {columns} FROM {sheet.view}")
        return self._profiled(replace(named, headings=tuple(names.get(n, n) for n in sheet.headings)))

    def _below_headings(self, sheet: Sheet) -> Sheet:
        """A report whose rows stand below headings as its lines alone, with a column for each heading above them."""
        if is_typed(sheet.file):
            return sheet
        filled = " OR ".join(f"trim({identifier(name)}::VARCHAR) <> ''" for name in sheet.columns)
        numbered = f"SELECT *, '' AS _file, row_number() OVER () AS _row FROM {sheet.view}"
        rows = rows_of(self.con, f"SELECT * FROM ({numbered}) WHERE {filled}")
        found = outline(self.con, rows)
        names = [f"heading {n}" for n in range(1, found.depth + 1)] if found.depth > 1 else ["heading"][: found.depth]
        if not names or {*names} & {*sheet.columns}:
            return sheet
        lines = below_headings(self.con, rows, found, names, self.new_file())
        below = f"SELECT count(*), count(*) FILTER ({identifier(names[0])} <> '') FROM ({lines.query})"
        [(all_lines, headed)] = self.rows(below)
        if headed < ALL_BUT_FEW * max(all_lines, 1):
            return sheet
        query = f"SELECT * EXCLUDE (_file, _row) FROM ({lines.query} ORDER BY _row)"
        return replace(self.view(sheet, query), headings=tuple(names))

    def merged(self, sheets: Sequence[Sheet], *, with_file: bool = False) -> Sheet:
        """Sheets of one header as one, one below the other; with the file of each row as `_file`."""
        if len(sheets) == 1:
            return sheets[0]
        first = next((sheet for sheet in sheets if sheet.encoding != "utf-8"), sheets[0])
        file = [f", {quoted(sheet.files[0])} AS _file" if with_file else "" for sheet in sheets]
        rows = " UNION ALL ".join(f"SELECT *{f} FROM {sheet.view}" for f, sheet in zip(file, sheets, strict=True))
        above = tuple(row for sheet in sheets for row in sheet.above)
        return self._profiled(self.view(replace(first, source=tuple(s.source[0] for s in sheets), above=above), rows))

    def selected(self, like: Sheet, text: str, sheets: Mapping[str, Sheet], name: str) -> Sheet:
        """What a SELECT over sheets gives, written like one of them: they stand in it as {name}, and {place} before the first column."""
        union = " UNION ALL ".join
        names = {n: union(f"SELECT * FROM {identifier(each)}" for each in s.source) for n, s in sheets.items()}
        theirs = {n: f"({names[n]})" if len(s.source) > 1 else identifier(s.source[0]) for n, s in sheets.items()}
        ours = {n: f"(SELECT *, '' AS _file, row_number() OVER () AS _row FROM {s.view})" for n, s in sheets.items()}
        query = _filled_in(text, {"place": "l._file, l._row, "} | theirs)
        sheet = replace(like, source=(name,), query=query, headings=(), above=())
        return self._profiled(self.view(sheet, _filled_in(text, {"place": ""} | ours)))

    def kept(self, sheet: Sheet, condition: str) -> Sheet:
        """The rows of a sheet that meet a condition."""
        return replace(self.view(sheet, f"FROM {sheet.view} WHERE {condition}"), columns=sheet.columns)

    def as_text(self, sheet: Sheet) -> Sheet:
        """A sheet with all its columns as text, as the reader has them from files."""
        columns = ", ".join(f"{identifier(name)}::VARCHAR AS {identifier(name)}" for name in sheet.columns)
        return replace(self.view(sheet, f"SELECT {columns} FROM {sheet.view}"), columns=sheet.columns)

    def filled(self, sheet: Sheet, column: str) -> Sheet:
        """The rows of a sheet in which a column has a figure, so without headings and totals, looked at anew."""
        return self._profiled(self.kept(sheet, has_figure(sheet.spoken(column), sheet.columns[column].kind)))

    def whole(self, sheet: Sheet, head: Sheet | None, key: tuple[str, str], forms: Forms) -> Sheet:
        """A sheet, and its head beside each row, with numbers and days read in these forms, to be asked with expressions."""
        own = self._typed(sheet, forms)
        if not head:
            return own
        heads, alias = self._typed(head, forms), head.name
        on = f"trim(l.{identifier(key[0])}::VARCHAR) = trim(h.{identifier(key[1])}::VARCHAR)"
        both = f"SELECT l.*, h AS {identifier(alias)} FROM {own.view} l LEFT JOIN {heads.view} h ON {on}"
        beside = {f"{alias}.{name}": column for name, column in head.columns.items()}
        return replace(self.view(own, both), columns=own.columns | beside, head=alias)

    def _typed(self, sheet: Sheet, forms: Forms) -> Sheet:
        number, days = forms
        read = [
            (self._read(c, number, [day for day in days if day in c.dates]), c.name) for c in sheet.columns.values()
        ]
        columns = ", ".join(f"{value} AS {identifier(name)}" for value, name in read)
        known = {n: c if number in c.numbers else replace(c, numbers=()) for n, c in sheet.columns.items()}
        query, staged = f"SELECT {columns} FROM {sheet.view}", not is_typed(sheet.file)
        return replace(self.view(sheet, query, staged=staged), columns=known)

    def values(self, sheet: Sheet, column: str) -> dict[str, int]:
        """The values of a column with few of them as they are written, and how often each is there."""
        text = rf"regexp_replace(trim(({sheet.spoken(column)})::VARCHAR), '\.0$', '')"  # of a number that was read
        known = f"SELECT said, count(*) FROM (SELECT {text} AS said FROM {sheet.view}) WHERE said <> '' GROUP BY said ORDER BY 2 DESC, 1"
        return dict(self.rows(f"{known} LIMIT {MOST_VALUES}"))

    def groups(self, sheet: Sheet, expressions: Sequence[str], where: str = "true") -> list[Any]:
        """The different values of expressions as text, in rows that meet a condition, and how often each are there."""
        texts = ", ".join(f"coalesce(trim(({expression})::VARCHAR), '')" for expression in expressions)
        return self.rows(f"SELECT {texts}, count(*) FROM {sheet.view} WHERE {where} GROUP BY ALL ORDER BY ALL")

    def held(self, sheet: Sheet, column: str, other: Sheet, key: str, read: str = "{}") -> float:
        """The share of a column's different values that another table's column has, both read in one way."""
        ours, theirs = (read.format(f"trim({identifier(name)}::VARCHAR)") for name in (column, key))
        asked, known = f"SELECT DISTINCT {ours} AS said FROM {sheet.view}", f"SELECT {theirs} FROM {other.view}"
        return float(
            self.rows(f"SELECT coalesce(avg((said IN ({known}))::INT), 0) FROM ({asked}) WHERE said <> ''")[0][0]
        )

    def depends(self, sheet: Sheet, expression: str, key: str) -> bool:
        """Whether an expression has one value for each key."""
        several = f"SELECT 1 FROM {sheet.view} GROUP BY {key} HAVING count(DISTINCT {expression}) > 1 LIMIT 1"
        return not self.rows(several)

    def mixed(self, sheet: Sheet, expression: str, key: str) -> float:
        """The share of keys in several rows that have several values of an expression."""
        keys = f"SELECT count(DISTINCT {expression}) > 1 AS mixed FROM {sheet.view} GROUP BY {key} HAVING count(*) > 1"
        return float(self.rows(f"SELECT coalesce(avg(mixed::INT), 0) FROM ({keys})")[0][0])

    def is_share(self, sheet: Sheet, off: str, amount: str) -> bool:
        """Whether what comes off is at most 1 everywhere, though no amount that it comes off is as small as ten."""
        asked = f"SELECT max(abs({off})) <= 1 AND min(abs({amount})) >= 10 FROM {sheet.view} WHERE ({off}) <> 0"
        return bool(self.rows(asked)[0][0])

    def repeats(self, sheet: Sheet, key: str) -> bool:
        """Whether a key stands in several rows."""
        return bool(self.rows(f"SELECT 1 FROM {sheet.view} GROUP BY {key} HAVING count(*) > 1 LIMIT 1"))

    def agree(self, sheet: Sheet, left: str, right: str) -> bool:
        """Whether two expressions are equal to the cent, but for the sign, in nearly all rows that have the first."""
        equal = f"coalesce(abs(abs({left}) - abs({right})) <= {CENT}, false)"
        share = f"SELECT avg({equal}::INT) FILTER (({left}) IS NOT NULL) FROM {sheet.view}"
        return float(self.rows(share)[0][0] or 0) >= NEARLY_ALL

    def adds_up(self, sheet: Sheet, key: str, expression: str, total: str, off: str) -> bool:
        """Whether an expression adds up, in nearly all documents that have several rows, to an amount of each, and to that before another."""
        sums = f"SELECT sum({expression}) AS parts, max({total}) + max({off}) AS whole, max({off}) AS less FROM {sheet.view} GROUP BY {key}"
        share = f"SELECT avg((abs(parts - whole) <= {CENT})::INT) FROM ({sums}) WHERE less <> 0 OR {off == '0'}"
        return float(self.rows(share)[0][0] or 0) >= NEARLY_ALL

    def takes_turns(self, sheet: Sheet, one: str, other: str) -> bool:
        """Whether each row has one of two columns, and none has both."""
        return not self.rows(f"SELECT 1 FROM {sheet.view} WHERE ({one} IS NULL) = ({other} IS NULL) LIMIT 1")

    def whole_percents(self, sheet: Sheet, amount: str, off: str) -> str:
        """Whether discounts are whole or half percents of the amount as it is, `before`, or of what it was, `after`; '' where neither or both."""
        bases = (f"abs({amount})", f"(abs({amount}) + abs({off}))")
        hits = [
            f"avg((abs(abs({off}) - round(200 * abs({off}) / {base}) / 200 * {base}) <= {CENT})::INT) FILTER ({base} >= 50)"
            for base in bases
        ]
        [shares] = self.rows(f"SELECT {', '.join(hits)} FROM {sheet.view} WHERE ({off}) <> 0")
        before, after = (float(share or 0) for share in shares)
        return "before" if after < 0.5 < NEARLY_ALL <= before else "after" if before < 0.5 < NEARLY_ALL <= after else ""

    def differences(self, sheet: Sheet, amount: str, columns: Sequence[str]) -> list[tuple[str, str]]:
        """Pairs of columns of which the first less the second, or with it where it is written negative, is an amount, and the second no steady share of the first."""
        pairs = [*permutations(columns, 2)]
        tests = [f"avg(coalesce(abs(abs({a} - {amount}) - abs({b})) <= {CENT} AND abs({a}) + {CENT} >= abs({amount}), false)::INT), "
                 f"max(round(abs({b}) / nullif(abs({a}), 0), 3)) > min(round(abs({b}) / nullif(abs({a}), 0), 3))" for a, b in pairs]  # fmt: skip
        [values] = self.rows(f"SELECT {', '.join(tests)} FROM {sheet.view}") if tests else [()]
        return [
            pair
            for pair, share, varies in zip(pairs, values[::2], values[1::2], strict=True)
            if varies and float(share or 0) >= NEARLY_ALL
        ]

    def lessens(self, sheet: Sheet, first: str, net: str) -> bool:
        """Whether one amount is another in some rows and less in the others, whatever their signs, and never more."""
        equal, less = (
            f"count(*) FILTER (abs({first} - {net}) <= {CENT})",
            f"count(*) FILTER (abs({net}) < abs({first}) - {CENT})",
        )
        [(same, lower, rows)] = self.rows(f"SELECT {equal}, {less}, count(*) FROM {sheet.view} WHERE ({first}) <> 0")
        return bool(same and lower and same + lower == rows)

    def total(self, sheet: Sheet, expression: str, where: str = "") -> float:
        """The sum of an expression, of the rows that meet a condition."""
        rows = f"FROM {sheet.view}" + (f" WHERE {where}" if where else "")
        return float(self.rows(f"SELECT coalesce(sum({expression}), 0) {rows}")[0][0])

    def read_sum(self, sheet: Sheet, columns: Iterable[Profile], form: tuple[str, str] = (".", "")) -> float:
        """What columns add up to, of which none has been read yet: in this form, or in the first that fits."""
        read = [self._number(c, form if form in c.numbers else next(iter(c.numbers), form)) for c in columns]
        return self.total(sheet, " + ".join(f"coalesce({value}, 0)" for value in read) or "0")

    def read_rows(self, sheet: Sheet, texts: Sequence[str], amounts: Sequence[str]) -> list[Any]:
        """Each row's texts, and amounts in the first form that fits."""
        columns = [f"coalesce(trim({identifier(name)}::VARCHAR), '')" for name in texts]
        read = [self._number(c, next(iter(c.numbers), (".", ""))) for c in map(sheet.columns.get, amounts) if c]
        return self.rows(
            f"SELECT {', '.join([*columns, *(f'coalesce({each}, 0)' for each in read)])} FROM {sheet.view}"
        )

    def months(self, sheet: Sheet, column: str) -> list[tuple[date, int, int]]:
        """Each month of a date with its first and last day that has rows."""
        days = f"SELECT {sheet.spoken(column)} AS d FROM {sheet.view}"
        known = f"SELECT date_trunc('month', d)::DATE AS m, min(day(d)), max(day(d)) FROM ({days}) WHERE d IS NOT NULL"
        return self.rows(f"{known} GROUP BY m ORDER BY m")

    def _read(self, column: Profile, number: tuple[str, str], days: Sequence[str]) -> str:
        if days:
            return self._day(column, days[0])
        return self._number(column, number) if number in column.numbers else identifier(column.name)

    def _number(self, column: Profile, form: tuple[str, str]) -> str:
        decimal, thousands = form
        plain = (
            f"regexp_replace(regexp_replace({identifier(column.name)}::VARCHAR, '(?i)CR', '-'), '[^0-9,.()-]', '', 'g')"
        )
        plain = f"replace({plain}, {quoted(thousands)}, '')" if thousands in {",", "."} else plain
        plain = f"regexp_replace(replace({plain}, {quoted(decimal)}, '.'), '^-$', '0')"
        return f"TRY_CAST(regexp_replace({plain}, '[()-]', '', 'g') AS DOUBLE) * if(regexp_matches({plain}, '[(-]'), -1, 1)"

    def _day(self, column: Profile, form: str) -> str:
        text = f"trim(regexp_replace({identifier(column.name)}::VARCHAR, {quoted(TIME + '$')}, ''))"
        return day_of(text, form)

    def _profiled(self, sheet: Sheet) -> Sheet:
        """A sheet with what its columns hold: forms are proposed by the first rows and borne out by every one."""
        rows = self.rows(f"SELECT count(*) FROM {sheet.view}")[0][0]
        sheet, columns = replace(sheet, rows=rows), {}
        for column in sheet.columns.values():
            name = identifier(column.name)
            filled, distinct = self.rows(
                f"SELECT count(nullif(trim({name}::VARCHAR), '')), approx_count_distinct({name}) FROM {sheet.view}"
            )[0]
            if distinct > 0.8 * rows or distinct <= 5 * MOST_VALUES:  # a key is one only if it is exact
                distinct = self.rows(f"SELECT count(DISTINCT {name}) FROM {sheet.view}")[0][0]
            some = self.rows(f"SELECT {name}::VARCHAR FROM {sheet.view} WHERE trim({name}::VARCHAR) <> '' LIMIT 1000")
            first = list(dict.fromkeys(value for (value,) in some))
            known = replace(column, filled=filled, distinct=distinct, samples=tuple(first[:3]))
            if column.kind == "date" and self.rows(f"SELECT 1 FROM {sheet.view} WHERE {name} <> {name}::DATE LIMIT 1"):
                known = replace(known, marks=column.marks | {"timed"})
            if column.kind == "text" and filled:
                known = self._forms(sheet, known, first)
            elif filled and column.is_number and is_of_day(column.name):
                known = replace(known, dates=self._forms(sheet, known, first).dates)
            columns[column.name] = known
        return replace(sheet, columns=columns)

    def _forms(self, sheet: Sheet, column: Profile, first: Sequence[str]) -> Profile:
        """A column with the forms that all of its values have; what its `first` do not have is not asked, since each form costs milliseconds."""
        text, first = f"trim({identifier(column.name)}::VARCHAR)", [value.strip(" ") for value in first]
        days = {form: rf"^{shape}{TIME}$" for form, shape in days_of(column.name, sheet.serial).items()}
        tests: dict[Any, str] = {form: number_pattern(form) for form in NUMBERS} | days
        some = [f"(SELECT * FROM {sheet.view} LIMIT {FIRST})"] if sheet.rows > FIRST else []
        for rows in (*some, sheet.view):
            [(filled, dated)] = self.rows(f"SELECT count(nullif({text}, '')), count_if({has_figure(text)}) FROM {rows}")
            words = {*days} if 2 * dated > filled else set()  # forms beside which words such as Total may stand
            tests = {f: test for f, test in tests.items() if all(may_be(v, test, words=f in words) for v in first)}
            counts = [f"count(*) FILTER ({self._fits(column, form, test)})" for form, test in tests.items()]
            [fits] = self.rows(f"SELECT {', '.join(counts)} FROM {rows}") if tests else [()]
            needed = {form: dated if form in words else filled for form in tests}
            tests = {f: test for (f, test), count in zip(tests.items(), fits, strict=True) if count == needed[f] > 0}
        numbers, dates = tuple(f for f in NUMBERS if f in tests), tuple(f for f in tests if isinstance(f, str))
        marks = self._marks(sheet, text) if numbers or dates else frozenset[str]()
        return replace(column, numbers=numbers, dates=dates, marks=marks, filled=dated if dates else filled)

    def _fits(self, column: Profile, form: Any, test: str) -> str:
        shaped = f"regexp_matches(trim({identifier(column.name)}::VARCHAR), {quoted(test)})"
        return shaped if isinstance(form, tuple) else f"{shaped} AND {self._day(column, form)} IS NOT NULL"

    def _marks(self, sheet: Sheet, text: str) -> frozenset[str]:
        """How negative numbers look, currency signs, and whether a mark could be one of thousands or of decimals."""
        marks = {
            "trailing": "[0-9][^0-9]*-$",
            "parentheses": r"\(",
            "CR": "(?i)CR$",
            "leading": r"^[^0-9(]*-",
            "marked": "[,.]",
            "timed": "[0-9]:[0-9]",
        }
        counts = ", ".join(f"bool_or(regexp_matches({text}, {quoted(test)}))" for test in marks.values())
        signs = f"list(DISTINCT regexp_extract({text}, {quoted(sign_of_currency())}))"
        *found, signs = self.rows(f"SELECT {counts}, {signs} FROM {sheet.view} WHERE {text} <> ''")[0]
        return frozenset(
            {*(mark for mark, is_there in zip(marks, found, strict=True) if is_there), *filter(None, signs)}
        )


def _filled_in(text: str, names: Mapping[str, str]) -> str:
    """A text with what stands for its {names}; other braces are a client's."""
    return re.sub(r"\{(\w+)\}", lambda mark: names.get(mark[1], mark[0]), text)
