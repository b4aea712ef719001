"""Which of a client's amounts is which: by the sums that nearly every row bears out, asked where none does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from crmlib.books.sheets import Sheet
from crmlib.books.sniff import Sniffer
from crmlib.declared.vocabulary import KNOWN, likeness, vocabulary
from crmlib.run.drafts import Ask, Draft, Question

AMOUNTS = ("quantity", "gross_sales", "discount", "cost_of_goods", "freight", "commission")
WHOLE = ("quantity", "gross_sales")  # what may be written in two columns, one of them filled in each row


def find_amounts(look: Sniffer, lines: Draft, whole: Sheet, ask: Ask) -> None:
    """Gross sales before discount, the discount and the cost, by the sums that nearly every row bears out."""
    c = lines.columns
    _complete(look, lines, whole)
    x = {role: whole.spoken(name) for role, name in c.items()}
    others = [whole.spoken(n) for n, p in whole.columns.items() if p.is_number and not p.dates and n not in c.values()]

    def found(expression: str, candidates: Iterable[str]) -> str:
        return next((n for n in candidates if n and look.agree(whole, expression, n)), "")

    named, share = _without_tax(look, whole, x, others), x.get("discount_share", "")
    off, along = x.get("discount", ""), _along(look, whole, x.get("discount", ""), named)
    product, selling = _products(look, whole, x)
    if product and named and "order_id" in x and _is_of_document(look, whole, named, product, x["order_id"]):
        named = ""
    gross = (
        found(product, [named, *others]) if product else found(f"{named} + {along}", others) if named and off else ""
    )
    before = gross or product or named
    shares = [part for each in (share, off) if each for part in (f"{each} / 100", each)]
    cuts = (
        [f"({before}) - {along}"] * bool(off)
        + [f"({before}) * (1 - {part})" for part in shares]
        + [selling] * bool(selling)
    )
    net = next((n for cut in cuts if before and (n := found(cut, [named if named != before else "", *others]))), "")
    net = net or (selling if not (named or off or share) else "")
    if not gross and product and (net or not named or found(f"{product} + {x.get('tax', '0')}", [named])):
        gross = product
    if not gross and not named and {"with_tax", "tax"} <= set(x):
        gross = f"{x['with_tax']} - {x['tax']}"
    gross = gross or named
    if net and not (off and found(f"{gross} - {net}", [off]) and whole.columns[c["discount"]].kind != "float"):
        discount = f"{gross} - {net}"
    elif share and not off and gross:
        discount = f"({gross}) * {share} / 100"
    elif (
        off
        and not net
        and gross in {named, product} - {"", "gross_sales"}
        and _is_after(look, whole, gross, along, ask if named else None)
    ):
        gross, discount = f"{gross} + {along}", along
    elif not off and gross and gross == named and (first := _before_discount(look, whole, gross, others, ask)):
        gross, discount = first, f"{first} - {gross}"
    else:
        discount = along
    spoken = {whole.spoken(n): n for n in whole.columns}
    c |= {role: spoken.get(text, text) for role, text in (("gross_sales", gross), ("discount", discount)) if text}
    _find_cost(look, whole, c, x)


def _complete(look: Sniffer, lines: Draft, whole: Sheet) -> None:
    """Take what is written in two columns, such as quantity invoiced and quantity credited, from the one that is filled."""
    for role in (role for role in WHOLE if lines.columns.get(role) in whole.columns):
        name, words = lines.columns[role], tuple(vocabulary().tables["invoice_lines"].columns[role])
        able = [
            n
            for n, p in whole.columns.items()
            if p.is_number and not p.dates and n not in lines.columns.values() and likeness(n, words) >= KNOWN
        ]
        if other := next((n for n in able if look.takes_turns(whole, whole.spoken(name), whole.spoken(n))), ""):
            lines.columns[role] = f"coalesce({whole.spoken(name)}, {whole.spoken(other)})"


def _without_tax(look: Sniffer, whole: Sheet, x: dict[str, str], others: Sequence[str]) -> str:
    """The amount that is named, or the one that it is with the tax."""
    named, tax = _signed(look, whole, x), x.get("tax", "")
    if not (named and tax and look.total(whole, f"abs({tax})")):
        return named
    sums = ((n, f"{n} + {tax}") for n in others), ((n, f"{n} * (1 + {tax} / 100)") for n in others)
    return next((n for n, with_tax in chain(*sums) if look.agree(whole, with_tax, named)), named)


def _along(look: Sniffer, whole: Sheet, off: str, named: str) -> str:
    """A discount with the sign of its amount, where it is positive beside negative ones."""
    against = off and named and look.total(whole, off, f"{named} < 0") > 0
    return f"case when {named} < 0 then -({off}) else {off} end" if against else off


def _products(look: Sniffer, whole: Sheet, x: dict[str, str]) -> tuple[str, str]:
    """Quantity times price, and where there is a list price beside the price, times the price too: the difference is a discount."""
    if "quantity" not in x or not {"unit_price", "list_price"} & {*x}:
        return "", ""
    price, listed = x.get("unit_price", ""), x.get("list_price", "")
    lower = bool(price and listed) and look.agree(whole, f"greatest(abs({price}), abs({listed}))", listed)
    first = listed if lower or not price else price
    return f"{x['quantity']} * {first}", f"{x['quantity']} * {price}" if lower else ""


def _find_cost(look: Sniffer, whole: Sheet, c: dict[str, str], x: dict[str, str]) -> None:
    """The cost of a line: as it is named, or of one unit."""
    if {"cost_of_goods", "product_id", "quantity"} <= set(x) and _is_of_one_unit(look, whole, x):
        c["unit_cost"] = c.pop("cost_of_goods")
    if "unit_cost" in c and "cost_of_goods" not in c and "quantity" in c:
        c["cost_of_goods"] = f"{x['quantity']} * {whole.spoken(c['unit_cost'])}"


def _signed(look: Sniffer, whole: Sheet, x: dict[str, str]) -> str:
    """The amount that is named, with the sign that a mark of debit and credit or two columns give it."""
    named = x.get("gross_sales", "")
    if not named and {"debit", "credit"} <= set(x):
        sides = [
            x[s] if look.total(whole, f"({x[s]} IS NULL)::INT") == 0 else f"coalesce({x[s]}, 0)"
            for s in ("credit", "debit")
        ]
        return " - ".join(sides)
    if named and "mark" in x:
        name = next(n for n in whole.columns if whole.spoken(n) == x["mark"])
        marks = [mark for mark in look.values(whole, name) if mark.upper() in {"S", "H", "D", "C"}]
        if len(marks) == 2:
            test = f"{x['mark']} = '{marks[0]}'"
            more = look.total(whole, named, test) >= look.total(whole, named, f"NOT {test}")
            return f"case when {x['mark']} = '{marks[not more]}' then {named} else -{named} end"
    return named


def _is_of_document(look: Sniffer, whole: Sheet, amount: str, product: str, order: str) -> bool:
    """Whether an amount is the same in all lines of a document, where quantity times price is not: the document's, which each line repeats."""
    return look.depends(whole, amount, order) and not look.depends(whole, product, order)


def _is_after(look: Sniffer, whole: Sheet, amount: str, off: str, ask: Ask | None) -> bool:
    """Whether an amount is what is left after a discount: where discounts are whole or half percents of it with them, else as people say."""
    proven = look.whole_percents(whole, amount, off)
    if proven or not ask:
        return proven == "after"
    text = f"Is {amount} the amount before or after the discount in {off}? No other column says:"
    rows = [f"{a} and {b}" for a, b in _rows(look, whole, [amount, off], off)]
    return (
        ask(Question("tables.invoice_lines.columns.gross_sales", text, rows, ["before", "after"], "before")) == "after"
    )


def _before_discount(look: Sniffer, whole: Sheet, amount: str, others: Sequence[str], ask: Ask) -> str:
    """The amount before discount, where another column has what lies between it and the amount that is named, and people say that it is one."""
    for first, off in look.differences(whole, amount, others):
        text = f"In nearly every row {amount} is {first} less {off}. Is {first} the amount before a discount, or with a tax?"
        names = [first, off, amount]
        rows = [", ".join(map(" ".join, zip(names, row, strict=True))) for row in _rows(look, whole, names, off)]
        choices = ["before discount", "with tax", "neither"]
        if ask(Question("tables.invoice_lines.columns.discount", text, rows, choices, choices[0])) == choices[0]:
            return first
    return ""


def _rows(look: Sniffer, whole: Sheet, amounts: Sequence[str], off: str) -> list[list[str]]:
    """Three rows as evidence, of those that have a discount."""
    return [[text.removesuffix(".0") for text in row[:-1]] for row in look.groups(whole, amounts, f"({off}) <> 0")[:3]]


def _is_of_one_unit(look: Sniffer, whole: Sheet, x: dict[str, str]) -> bool:
    """Whether a cost is the same for each product however many were sold, and so no cost of the line."""
    cost, each = x["cost_of_goods"], f"round({x['cost_of_goods']} / nullif({x['quantity']}, 0), 2)"
    return look.depends(whole, cost, x["product_id"]) and not look.depends(whole, each, x["product_id"])


def turn_signs(look: Sniffer, lines: Draft, whole: Sheet) -> None:
    """Turn amounts that are negative in sum where their name promises positive ones, and those of returns that are written positive."""
    returns = lines.kinds.get("return", "false")
    for role in (role for role in AMOUNTS if role in lines.columns):
        amount = whole.spoken(lines.columns[role])
        turned = look.total(whole, amount, f"NOT coalesce({returns}, false)") < 0
        if not turned and look.total(whole, amount, returns) > 0:
            amount = lines.columns[role] = f"case when {returns} then -({amount}) else {amount} end"
        if turned and role == "quantity":
            lines.columns[role] = f"-({amount})"
        elif turned:
            lines.turned.add(role)
