"""Amounts of one kind in several columns: discounts one after the other, sales by rates of tax, what was credited beside what was sold."""

from __future__ import annotations

import functools
import re

from crmlib.books.sheets import Sheet
from crmlib.declared.vocabulary import KNOWN, kind_of, likeness, vocabulary
from crmlib.run.drafts import Ask, Draft, Question


def join_several(lines: Draft, whole: Sheet, ask: Ask) -> None:
    """Take amounts of one name but for its number for one, and discounts in percent as people say they come off."""
    for role in ("discount_share", "discount", "gross_sales"):
        first, words = lines.columns.get(role, ""), tuple(vocabulary().tables["invoice_lines"].columns[role])
        taken = {c for r, c in lines.columns.items() if c == first or r != "discount_share"}
        able = [
            n for n, p in whole.columns.items() if p.is_number and not p.dates and p.distinct > 1 and n not in taken
        ]
        more = [
            n for n in able if _bare(n) == _bare(first) or (role == "discount_share" and likeness(n, words) >= KNOWN)
        ]
        if first not in whole.columns or not more:
            continue
        names, alone = [whole.spoken(n) for n in (first, *more)], f"{first} alone"
        after = functools.reduce(lambda x, y: f"try_cast({x} + {y} - {x} * {y} / 100 as decimal(18, 4))", names)
        ways = ({"one after the other": after} if role == "discount_share" else {}) | {"in sum": f"({' + '.join(names)})", alone: first}  # fmt: skip
        if role != "discount_share" and lines.columns.get("discount_share") in more:
            del lines.columns["discount_share"]
        what = "come off" if "discount" in role else "count as sales"
        text = f"Do {', '.join(names[:-1])} and {names[-1]} {what} {', or '.join([*ways][:-1])}? Or is it {alone}?"
        key, amount = f"tables.invoice_lines.columns.{role.removesuffix('_share')} (several)", sum(whole.total(f"abs({n})") for n in names[1:])  # fmt: skip
        lines.columns[role] = ways[ask(Question(key, text, [], [*ways], next(iter(ways)), amount=amount)) or next(iter(ways))]  # fmt: skip


def _bare(name: str) -> str:
    return re.sub(r"[\d\W_]+", "", name).casefold()


def come_off(lines: Draft, whole: Sheet, amounts: tuple[str, str], ask: Ask) -> bool:
    """Whether a column of what was refunded comes off sales: where it is named for returns, as people say, and not where it is in the discount."""
    name = lines.columns["refunded"]
    if kind_of(name) != "return":
        return True
    less = f"{amounts[0]}, and of {amounts[1]}" if amounts[1] else amounts[0]
    text = f"Does {name} come off what is sold, {less}?"
    key, amount = "tables.invoice_lines.columns.refunded (returns)", whole.total(f"abs({whole.spoken(name)})")
    return ask(Question(key, text, [], ["yes", "no"], "yes", amount=amount)) != "no"
