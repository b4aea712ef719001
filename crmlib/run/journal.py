"""A journal of bookings, each with an account, a contra account and a side, as DATEV has it: what debtors are charged to accounts of revenue are invoice lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crmlib.books.ledger import quoted
from crmlib.books.sheets import Sheet
from crmlib.declared.vocabulary import LIKELY, Chart, vocabulary
from crmlib.run.drafts import Ask, Draft, Question, column_named

MARKS = {"EXTF", "DTVF"}  # begin the row of metadata above a DATEV header
YEAR_START, LENGTH, FIRST_DAY, LAST_DAY, CURRENCY, CHART = 12, 13, 14, 15, 21, 26  # places in that row, from nought
REVERSED = "28"  # first digits of a tax key of two that book the other way round (Generalumkehr)

Rates = Mapping[tuple[str, str], int]  # account and tax key → percent of value added tax that amounts hold


@dataclass(frozen=True)
class Journal:
    """The columns of a journal by what they are, what a debtor's account looks like, and the chart of accounts."""

    sheet: Sheet
    names: Mapping[str, str]
    debtor: str
    chart: Chart

    def at(self, role: str) -> str:
        """A column as it stands in an expression."""
        return self.sheet.spoken(self.names[role])

    def is_debtor(self, role: str) -> str:
        """The condition that an account is a debtor's."""
        return f"regexp_matches({self.at(role)}, '{self.debtor}')"

    def turned(self, here: bool, there: bool, account: str, contra: str) -> str:
        """One expression where debtors are the account, another where they are the contra account, by a condition where they are both."""
        return f"case when {self.is_debtor('account')} then {account} else {contra} end" if here and there else account if here else contra  # fmt: skip


def journal(sheets: Sequence[Sheet], ask: Ask) -> Draft | None:
    """The invoice lines of a journal; None where no sheet is one that charges debtors."""
    for sheet in sheets:
        names = {
            role: name for role, words in vocabulary().journal.items() if (name := column_named(sheet, words, LIKELY))
        }
        if not {"account", "contra", "day"} <= {*names} or not (
            {"side", "amount"} <= {*names} or {"debit", "credit"} <= {*names}
        ):
            continue
        sheet = sheet.as_text()
        charts = [c for c in vocabulary().charts if c.code == _said(sheet, CHART)] or vocabulary().charts
        able = [Journal(sheet, names, _debtor(sheet, names), chart) for chart in charts]
        booked = [(j, _booked(j)) for j in able]
        j, rows = max(booked, key=lambda each: sum(count for *_, count in each[1]))
        if rows:
            return _draft(j, rows, ask)
    return None


def _said(sheet: Sheet, place: int, source: int = 0) -> str:
    """What the metadata of a source say; '' without."""
    above = sheet.above[source] if len(sheet.above) > source else ()
    return above[place].strip() if len(above) > place and above[0] in MARKS else ""


def _debtor(sheet: Sheet, names: Mapping[str, str]) -> str:
    """What debtors' accounts look like: one digit more than those of the general ledger; 7 to 9 begin those of creditors."""
    accounts = [a for role in ("account", "contra") for a, _ in sheet.groups([sheet.spoken(names[role])])]
    longest = max((len(account) for account in accounts if account.isdigit()), default=5)
    said = _said(sheet, LENGTH)
    return f"^[1-6][0-9]{{{said if said.isdigit() else longest - 1}}}$"


def _booked(j: Journal) -> list[tuple[str, str, str, int]]:
    """The accounts of revenue that debtors are charged to: on which side the debtor stands, the other account, the tax key, how often."""
    key = f"coalesce({j.at('tax_key')}, '')" if "tax_key" in j.names else "''"
    rows = [
        (ours, *row)
        for ours, other in (("account", "contra"), ("contra", "account"))
        for row in j.sheet.groups([j.at(other), key], f"{j.is_debtor(ours)} AND NOT {j.is_debtor(other)}")
    ]
    return [row for row in rows if any(low <= row[1][:4] <= high for low, high in j.chart.revenue)]


def _draft(j: Journal, rows: Sequence[tuple[str, str, str, int]], ask: Ask) -> Draft:
    here, there = (any(side == ours for side, *_ in rows) for ours in ("account", "contra"))
    other = j.turned(here, there, j.at("contra"), j.at("account"))
    tests = {ours: f"{j.is_debtor(ours)} and {j.at(theirs)} in {_list(a for side, a, *_ in rows if side == ours)}"
             for ours, theirs in (("account", "contra"), ("contra", "account"))}  # fmt: skip
    where = [tests[ours] for ours, is_there in (("account", here), ("contra", there)) if is_there]
    rates = {(account, key): _rate(j, account, key, ask) for _, account, key, _ in rows}
    columns = {
        "customer_id": j.turned(here, there, j.at("account"), j.at("contra")),
        "invoice_date": _day(j, ask),
        "gross_sales": f"{_signed(j, here, there, {k for _, _, k, _ in rows})}{_without_tax(j, other, rates)}",
    }
    columns |= {"order_id": j.names["document"]} if "document" in j.names else {}
    columns |= _currency(j, " or ".join(where))
    reductions = _list(a for _, a, *_ in rows if any(low <= a[:4] <= high for low, high in j.chart.reductions))
    kinds = {"discount": f"{other} in {reductions}"} if reductions != "()" else {}
    return Draft(j.sheet, columns, where=" or ".join(f"({w})" for w in where) if len(where) > 1 else where[0], kinds=kinds,
                 days=["%d%m%Y"] if columns["invoice_date"].startswith("day(") else [], settled=True, period=_period(j.sheet), currency=_said(j.sheet, CURRENCY), debtor=j.debtor)  # fmt: skip


def _period(sheet: Sheet) -> tuple[str, str]:
    """The first and the last month of which the metadata speak."""
    first, last = ([_said(sheet, place, n) for n in range(len(sheet.source))] for place in (FIRST_DAY, LAST_DAY))
    return (
        (f"{min(first)[:4]}-{min(first)[4:6]}", f"{max(last)[:4]}-{max(last)[4:6]}") if all(first + last) else ("", "")
    )


def _list(texts: Iterable[str]) -> str:
    return f"({', '.join(quoted(text) for text in dict.fromkeys(texts))})"


def _currency(j: Journal, where: str) -> dict[str, str]:
    """The currency of amounts that stand in several, where no other column has them in the books' own; a blank is the books'."""
    home, name = _said(j.sheet, CURRENCY), j.names.get("currency", "")
    said = {code for code, _ in j.sheet.groups([j.at("currency")], where)} if name else set()
    if "base" in j.names or said <= {"", home}:
        return {}
    return {"currency": f"coalesce(nullif({j.at('currency')}, ''), '{home}')" if "" in said and home else name}


def _day(j: Journal, ask: Ask) -> str:
    """The date: as it stands, or the day and month that stand there with the year of the metadata, or as people say."""
    name = j.names["day"]
    if j.sheet.columns[name].is_date:
        return name
    years = [_year(j.sheet, j.at("day"), source) for source in range(len(j.sheet.source))]
    if not all(years):
        text = f"{name!r} has no year. In which year were these booked, such as 2025?"
        said = ask(
            Question("tables.invoice_lines.columns.invoice_date", text, j.sheet.columns[name].samples, [], "", "none")
        )
        years = [quoted(said)] if said.isdigit() else []
    if not years:
        return name
    several = " ".join(f"when {quoted(file)} then {year}" for file, year in zip(j.sheet.files, years, strict=False))
    year = years[0] if len({*years}) == 1 else f"case _file {several} end"
    return f"day(lpad({j.at('day')}, 4, '0') || {year})"


def _year(sheet: Sheet, name: str, source: int) -> str:
    """The year of a day by the metadata of its source; where the books' year begins within a calendar year, by the month."""
    first, last, start = (_said(sheet, place, source) for place in (FIRST_DAY, LAST_DAY, YEAR_START))
    if first[:4] and first[:4] == last[:4]:
        return quoted(first[:4])
    if not start[:6].isdigit():
        return ""
    year, month = int(start[:4]), start[4:6]
    late = f"substr(lpad({name}, 4, '0'), 3) >= '{month}'"
    return f"'{year}'" if month == "01" else f"case when {late} then '{year}' else '{year + 1}' end"


def _signed(j: Journal, here: bool, there: bool, keys: set[str]) -> str:
    """The amount, positive where the debtor is charged."""
    reversals = [key for key in sorted(keys) if len(key) == 2 and key[0] in REVERSED]
    turn = f"case when {j.at('tax_key')} in {_list(reversals)} then -1 else 1 end * " if reversals else ""
    if "side" not in j.names:
        debit, credit = (f"coalesce(number(nullif({j.at(side)}, '')), 0)" for side in ("debit", "credit"))
        return turn + j.turned(here, there, f"({debit} - {credit})", f"({credit} - {debit})")
    marks = [mark for mark in j.sheet.values(j.names["side"]) if mark[:1].upper() in "SD"] or ["S"]
    test = f"{j.at('side')} in {_list(marks)}"
    test = f"{j.is_debtor('account')} = ({test})" if here and there else test if here else f"not ({test})"
    amount = j.at("amount")
    if "base" in j.names:  # of a booking in another currency
        amount = f"coalesce(number(nullif({j.at('base')}, '')), number({amount}))"
    return f"{turn}case when {test} then 1 else -1 end * {amount}"


def _without_tax(j: Journal, account: str, rates: Rates) -> str:
    """The divisor that takes value added tax out of an amount; '' where none is in."""
    cases = []
    for rate in sorted({*rates.values()} - {0}, reverse=True):
        whole = [
            a
            for a in dict.fromkeys(a for a, _ in rates)
            if {r for (other, _), r in rates.items() if other == a} == {rate}
        ]
        keyed = [
            f"({account} = '{a}' and {j.at('tax_key')} = '{k}')"
            for (a, k), r in rates.items()
            if r == rate and a not in whole
        ]
        tests = [f"{account} in {_list(whole)}"] * bool(whole) + keyed
        cases.append(f"when {' or '.join(tests)} then {1 + rate / 100:.2f}")
    return f" / case {' '.join(cases)} else 1 end" if cases else ""


def _rate(j: Journal, account: str, key: str, ask: Ask) -> int:
    """The percent of value added tax in amounts of an account: by its tax key, by the chart, or as people say."""
    if len(key) == 2 and key[0] in "48" and key[1] == "0":  # which takes the account's own tax away
        return 0
    if key and key[-1] != "0":
        return j.chart.keys.get(key[-1], 0)
    known = [rate for rate, ranges in j.chart.rates.items() if any(low <= account[:4] <= high for low, high in ranges)]
    if known:
        return known[0]
    columns = [j.at(role) for role in ("amount", "debit", "account", "contra") if role in j.names]
    booked = j.sheet.kept(f"{quoted(account)} IN ({j.at('account')}, {j.at('contra')})")
    rows = booked.groups(columns)
    text = f"How much value added tax, in percent, do amounts booked to account {account} hold? The chart of accounts does not say:"
    place = f"tables.invoice_lines.columns.gross_sales ({account})"
    amount = booked.read_sum([j.sheet.columns[n] for r, n in j.names.items() if r in {"amount", "debit", "credit"}])
    evidence = [" ".join(row[:-1]) for row in rows[:3]]
    said = ask(Question(place, text, evidence, ["19", "7", "0"], "19", "0", amount))
    return int(said) if said.isdigit() else 0
