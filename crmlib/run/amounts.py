"""Which of a client's amounts is which: by the sums that nearly every row bears out, asked where none does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from crmlib.books.sheets import CENT, Sheet
from crmlib.declared.vocabulary import KNOWN, LIKELY, likeness, parts, scale_of, vocabulary
from crmlib.run.drafts import MOST_RETURNED, Ask, Draft, Question
from crmlib.run.proposal import of_documents
from crmlib.run.several import come_off, join_several

AMOUNTS = ("quantity", "gross_sales", "discount", "cost_of_goods", "freight", "commission")
FEW_RATES = 5  # different values of a column of tax, up to which it holds rates and no amounts
WHOLE = ("quantity", "gross_sales")  # what may be written in two columns, one of them filled in each row


class Known(NamedTuple):
    """Amounts of a line as they stand in expressions, each blank where it is not there."""

    named: str  # as sales, without tax
    product: str  # quantity times price, or list price
    selling: str  # quantity times price, where there is a list price too
    off: str  # a discount
    along: str  # the discount with the sign of its amount
    share: str  # a discount in percent


def find_amounts(lines: Draft, whole: Sheet, ask: Ask) -> None:
    """Gross sales before discount, the discount and the cost, by the sums that nearly every row bears out."""
    c = lines.columns
    _complete(lines, whole)
    join_several(lines, whole, ask)
    x = {role: whole.spoken(name) for role, name in c.items()}
    others = [whole.spoken(n) for n, p in whole.columns.items() if p.is_number and not p.dates and n not in c.values()]
    for sign in "+-" if {"fee", "gross_sales"} <= {*x} else "":
        before = _found(whole, f"{x['gross_sales']} {sign} {x['fee']}", others)
        if before and whole.total(f"abs({before}) - abs({x['gross_sales']})") > 0:
            x["gross_sales"] = before  # of a payment's fee, which is a cost
    if "discount_share" in x and "discount" in x and not whole.total(f"abs({x['discount']})"):
        del x["discount"], c["discount"]
    of_document = x.pop("discount") if _is_of_each(whole, x) else ""
    if of_document:
        del c["discount"]
    named, off = _without_tax(whole, x, others, ask), x.get("discount", "")
    product, selling = _products(whole, x)
    along = _along(whole, off, named)
    if product and named and "order_id" in x and _is_of_document(whole, named, product, x["order_id"]):
        named = ""
    elif named and not product and "order_id" in x and whole.repeats(x["order_id"]) and whole.depends(named, x["order_id"]):  # fmt: skip
        text = f"{named} is the same in all lines of each document. Is it each line's, or the document's, which may count once alone? Then select it once for each document in a .sql file."
        key, rows = ("tables.invoice_lines.columns.gross_sales (documents)", _rows(whole, [x["order_id"], named], "1"))
        ask(Question(key, text, rows, ["line", "document"], "line", amount=whole.total(named)))
    known = Known(named, product, selling, off, along, x.get("discount_share", ""))
    gross, net = _gross_and_net(whole, known, x, others)
    gross, discount = _with_discount(whole, known, gross, net, others, ask)
    for role in ("discount", "refunded"):
        if of_first := _of_documents(lines, whole, role, (gross, discount), ask):
            discount = f"{discount or 0} + coalesce({of_first}, 0)"
    if of_head := _of_head(lines, whole, (gross, discount), of_document, ask):
        discount = f"{discount} + {of_head}" if discount else of_head
    if "freight" in x and gross and _found(whole, f"{gross} - ({discount or 0}) + {x['freight']}", others):
        gross = f"{gross} + {x['freight']}"  # charged to the customer, no cost
        del c["freight"]
    if "refunded" in x and whole.total(f"abs({x['refunded']})") and come_off(lines, whole, (gross, discount), ask):  # fmt: skip
        discount = f"{discount} + {x['refunded']}" if discount else x["refunded"]
    spoken = {whole.spoken(n): n for n in whole.columns}
    c |= {role: spoken.get(text, text) for role, text in (("gross_sales", gross), ("discount", discount)) if text}
    _find_cost(whole, c, x)


def _of_documents(lines: Draft, whole: Sheet, role: str, amounts: tuple[str, str], ask: Ask) -> str:
    """The discount of a document, or what was refunded, that stands in its first row alone, where the document's total is what its lines leave after it, or people say so."""
    words, (gross, discount) = tuple(vocabulary().tables["invoice_lines"].columns[role]), amounts
    names = {n: whole.spoken(n) for n in of_documents(lines.sheet)}
    off = next((text for name, text in names.items() if likeness(name, words) >= KNOWN), "")
    if not (off and gross and "order_id" in lines.columns and whole.total(f"abs({off})")):
        return ""
    left, order = f"{gross} - coalesce({discount or 0}, 0)", whole.spoken(lines.columns["order_id"])
    if role == "discount" and any(whole.adds_up(order, left, total, "0") for total in names.values()):
        return ""
    fits = not whole.has(f"WHERE abs({off}) > abs({left})")
    if fits and any(whole.adds_up(order, left, total, off) for total in names.values()):
        return off
    text = f"Does {off}, in the first row of each document, come off what its lines say?"
    text += (
        "" if fits else " It is more than some of these rows are worth: a .sql mapping can spread it over the lines."
    )
    key, rows = f"tables.invoice_lines.columns.{role} (documents)", _rows(whole, [gross, off], off)
    return off if ask(Question(key, text, rows, ["yes", "no"], "yes", "no", whole.total(off))) == "yes" else ""


def _is_of_each(whole: Sheet, x: dict[str, str]) -> bool:
    """Whether a discount is the same in all lines of each document, of which some have several: the document's, which each repeats."""
    off, order = x.get("discount", ""), x.get("order_id", "")
    several = f"GROUP BY {order} HAVING count(*) > 1 AND max(abs({off})) > 0"
    return bool(off and order) and whole.depends(off, order) and whole.has(several)


def _of_head(lines: Draft, whole: Sheet, amounts: tuple[str, str], off: str, ask: Ask) -> str:
    """The discount of a document that stands in its head, or in each of its lines, each line's part of it, where the head's total is what its lines leave after it, or people say so."""
    words, (gross, discount) = tuple(vocabulary().tables["invoice_lines"].columns["discount"]), amounts
    heads = {n.removeprefix(f"{whole.head}."): whole.spoken(n) for n, c in whole.columns.items() if whole.head and n.startswith(f"{whole.head}.") and c.is_number and not c.dates}  # fmt: skip
    if off:
        order = whole.spoken(lines.columns["order_id"])
        heads |= {n: whole.spoken(n) for n, c in whole.columns.items() if c.is_number and not c.dates and n not in lines.columns.values() and whole.depends(whole.spoken(n), order)}  # fmt: skip
    off = off or next((text for name, text in heads.items() if likeness(name, words) >= KNOWN), "")
    if not (off and gross and "order_id" in lines.columns and whole.total(f"abs({off})")):
        return ""
    left = f"({gross} - coalesce({discount}, 0))" if discount else gross
    order = whole.spoken(lines.columns["order_id"])
    wholes = ({n: f"({n} - {off})" for n in heads.values()}, {n: n for n in heads.values()})  # before it, and after
    before, after = (
        next((n for n, total in each.items() if whole.adds_up(order, left, total, off)), "") for each in wholes
    )
    if not after:
        text = f"Does {off}, in the head of each document, come off what its lines say?"
        text += "" if before else " No total of the head is what they say: a .sql mapping can divide it among them."
        key, rows = "tables.invoice_lines.columns.discount (heads)", _rows(whole, [order, off], off)
        choices, amount = ["yes", "no"] if before else ["no"], whole.total(off)
        if ask(Question(key, text, rows, choices, choices[0], "no", amount)) != "yes":
            return ""
    base = before or f"({after} + {off})"
    return f"case when {base} <> 0 then {off} * {left} / {base} else 0 end"


def _found(whole: Sheet, expression: str, candidates: Iterable[str]) -> str:
    return next((n for n in candidates if n and whole.agree(expression, n)), "")


def _gross_and_net(whole: Sheet, k: Known, x: dict[str, str], others: Sequence[str]) -> tuple[str, str]:
    """What is sold before a discount, and the amount after it where there is one."""
    gross = _found(whole, k.product, [k.named, *others]) if k.product else ""
    if not k.product and k.named and k.off:
        gross = _found(whole, f"{k.named} + {k.along}", others)
    before = gross or k.product or k.named
    shares = [part for each in (k.share, k.off) if each for part in (f"{each} / 100", each)]
    cuts = [f"({before}) - {k.along}"] * bool(k.off) + [f"({before}) * (1 - {part})" for part in shares]
    able = [k.named if k.named != before else "", *others]
    net = next((n for cut in filter(None, (*cuts, k.selling)) if before and (n := _found(whole, cut, able))), "")
    if not (net or gross) and k.product and k.named and whole.lessens(k.product, k.named):
        net = k.named
    net = net or (k.selling if not (k.named or k.off or k.share) else "")
    with_tax = f"{k.product} + {x.get('tax', '0')}"
    if not gross and k.product and (net or not k.named or _found(whole, with_tax, [k.named])):
        gross = k.product
    if not gross and not k.named and {"with_tax", "tax"} <= set(x):
        gross = _bare(whole, x["with_tax"], x["tax"])
    return gross or k.named, net


def _bare(whole: Sheet, with_tax: str, tax: str) -> str:
    """An amount without the tax in it: less the tax, or divided by its rate where every value is one and it is no whole percents of what is left."""
    bare, rates = f"{with_tax} - {tax}", ", ".join(map(str, vocabulary().tax_rates))
    is_rate = not whole.has(f"WHERE {tax} NOT IN (0, {rates})") and whole.has(f"WHERE {tax} > 0")
    return f"{with_tax} / (1 + {tax} / 100)" if is_rate and not whole.whole_percents(f"({bare})", tax) else bare


def _with_discount(whole: Sheet, k: Known, gross: str, net: str, others: Sequence[str], ask: Ask) -> tuple[str, str]:
    """Gross sales and the discount: the one that is named, or what lies between two amounts."""
    exact = {whole.spoken(n) for n, p in whole.columns.items() if p.kind != "float"}
    if net and not (k.off in exact and whole.agree(f"{gross} - {net}", k.off)):
        return gross, f"{gross} - {net}"
    if k.share and not k.off and gross:
        part = k.share if _is_fraction(whole, gross, k.share, ask) else f"{k.share} / 100"
        if gross == k.named and not (net or k.product) and _asked_after(whole, gross, k.share, f"({gross}) * {part}", ask):  # fmt: skip
            return gross, ""
        return gross, f"({gross}) * {part}"
    if k.off and gross and not net and whole.is_share(k.off, gross):
        return gross, f"({gross}) * {k.off}"
    if k.off and not net and gross in {k.named, k.product} - {"", "gross_sales"}:
        is_after = _is_after(whole, gross, k.along, ask if k.named else None)
        return (f"{gross} + {k.along}" if is_after else gross), k.along
    if not k.off and gross == k.named != "":
        before, after = _before_discount(whole, gross, others, ask)
        return (before, f"{before} - {after}") if before else (gross, "")
    return gross, k.along


def _complete(lines: Draft, whole: Sheet) -> None:
    """Take what is written in two columns, such as quantity invoiced and quantity credited, from the one that is filled."""
    for role in (role for role in WHOLE if lines.columns.get(role) in whole.columns):
        name, words = lines.columns[role], tuple(vocabulary().tables["invoice_lines"].columns[role])
        able = [
            n
            for n, p in whole.columns.items()
            if p.is_number and not p.dates and n not in lines.columns.values() and likeness(n, words) >= KNOWN
        ]
        if other := next((n for n in able if whole.takes_turns(whole.spoken(name), whole.spoken(n))), ""):
            lines.columns[role] = f"coalesce({whole.spoken(name)}, {whole.spoken(other)})"


def _without_tax(whole: Sheet, x: dict[str, str], others: Sequence[str], ask: Ask) -> str:
    """The amount that is named, or what it is without the tax that it holds: another column, or less the tax, which is whole percents of one of the two."""
    named, tax = _signed(whole, x, ask), x.get("tax", "")
    if not (named and tax and whole.total(f"abs({tax})")):
        return named
    sums = ((n, f"{n} + {tax}") for n in others), ((n, f"{n} * (1 + {tax} / 100)") for n in others)
    if bare := next((n for n, with_tax in chain(*sums) if whole.agree(with_tax, named)), ""):
        return bare
    is_rate = any(whole.spoken(n) == tax and c.distinct <= FEW_RATES for n, c in whole.columns.items())
    if is_rate or "with_tax" in x or {"quantity", "unit_price"} <= {*x}:
        return named
    proven = whole.whole_percents(f"({named} - {tax})", tax)
    if not proven and not {*parts(named)} & {*vocabulary().net}:
        text = f"Does the amount in {named} hold the tax in {tax}? No other column says:"
        rows = _rows(whole, [named, tax], tax)
        key, amount = "tables.invoice_lines.columns.gross_sales (tax)", whole.total(tax)
        answer = ask(Question(key, text, rows, ["no", "yes"], "no", amount=amount))
        proven = "before" if answer == "yes" else ""
    return f"({named} - {tax})" if proven == "before" else named


def _along(whole: Sheet, off: str, named: str) -> str:
    """A discount with the sign of its amount, where it is positive beside negative ones."""
    against = off and named and whole.total(off, f"{named} < 0") > 0
    return f"case when {named} < 0 then -({off}) else {off} end" if against else off


def _products(whole: Sheet, x: dict[str, str]) -> tuple[str, str]:
    """Quantity times price, and where there is a list price beside the price, times the price too: the difference is a discount."""
    if "quantity" not in x or not {"unit_price", "list_price"} & {*x}:
        return "", ""
    price, listed = x.get("unit_price", ""), x.get("list_price", "")
    if (per := x.get("price_unit", "")) and price and not whole.has(f"WHERE {per} NOT IN (1, 10, 100, 1000)"):
        price = f"{price} / {per}"
    lower = bool(price and listed) and whole.agree(f"greatest(abs({price}), abs({listed}))", listed)
    first = listed if lower or not price else price
    return f"{x['quantity']} * {first}", f"{x['quantity']} * {price}" if lower else ""


def _find_cost(whole: Sheet, c: dict[str, str], x: dict[str, str]) -> None:
    """The cost of a line: as it is named, or of one unit."""
    if {"product_id", "quantity"} <= set(x):
        named = next((role for role in ("cost_of_goods", "unit_cost") if role in x), "")
        if named == "cost_of_goods" and _is_of_one_unit(whole, x, x[named], _each(x, named)):
            c["unit_cost"] = c.pop("cost_of_goods")
        if named == "unit_cost" and _is_of_one_unit(whole, x, _each(x, named), x[named]):
            c["cost_of_goods"] = c.pop("unit_cost")
    if "unit_cost" in c and "cost_of_goods" not in c and "quantity" in c:
        c["cost_of_goods"] = f"{x['quantity']} * {whole.spoken(c['unit_cost'])}"


def _signed(whole: Sheet, x: dict[str, str], ask: Ask) -> str:
    """The amount that is named, with the sign that a mark of debit and credit or two columns give it."""
    named = x.get("gross_sales", "")
    if not named and {"debit", "credit"} <= set(x) and abs(whole.total(x["debit"]) - whole.total(x["credit"])) > CENT:
        less, more = sorted(abs(whole.total(x[side])) for side in ("debit", "credit"))
        if less > MOST_RETURNED * more:
            text = f"{x['debit']} and {x['credit']} are of a size. Are payments or balances among them, to be left out by kinds or `where`?"
            key, rows = (
                "tables.invoice_lines.columns.gross_sales (sides)",
                _rows(whole, [x["debit"], x["credit"]], "1"),
            )
            ask(Question(key, text, rows, ["no", "yes"], "no", amount=less))
        sides = [
            x[s] if whole.total(f"({x[s]} IS NULL)::INT") == 0 else f"coalesce({x[s]}, 0)" for s in ("credit", "debit")
        ]
        return " - ".join(sides)
    if named and "mark" in x:
        name = next(n for n in whole.columns if whole.spoken(n) == x["mark"])
        marks = [mark for mark in whole.values(name) if mark.upper() in {"S", "H", "D", "C"}]
        if len(marks) == 2:
            test = f"{x['mark']} = '{marks[0]}'"
            more = whole.total(named, test) >= whole.total(named, f"NOT {test}")
            return f"case when {x['mark']} = '{marks[not more]}' then {named} else -{named} end"
    return named


def _is_of_document(whole: Sheet, amount: str, product: str, order: str) -> bool:
    """Whether an amount is the same in all lines of a document, where quantity times price is not: the document's, which each line repeats."""
    return whole.depends(amount, order) and not whole.depends(product, order)


def _is_after(whole: Sheet, amount: str, off: str, ask: Ask | None) -> bool:
    """Whether an amount is what is left after a discount: where discounts are whole or half percents of it with them, else as people say."""
    proven = whole.whole_percents(amount, off)
    if proven or not ask:
        return proven == "after"
    return _asked_after(whole, amount, off, off, ask)


def _is_fraction(whole: Sheet, gross: str, share: str, ask: Ask) -> bool:
    """Whether shares that are all at most 1 are parts of one, as people say, and no percents."""
    if not whole.is_share(share, "10"):
        return False
    text = f"No {share} is more than 1. Are they parts of one, so that 0.1 takes off a tenth, or percents?"
    rows, key = _rows(whole, [gross, share], share), "tables.invoice_lines.columns.discount (share)"
    at_stake = whole.total(f"({gross}) * {share}")
    return ask(Question(key, text, rows, ["parts of one", "percents"], "parts of one", amount=at_stake)) != "percents"


def _asked_after(whole: Sheet, amount: str, off: str, at_stake: str, ask: Ask) -> bool:
    """Whether people say that an amount is what is left after a discount."""
    text = f"Is {amount} the amount before or after the discount in {off}? No other column says:"
    rows, key = _rows(whole, [amount, off], off), "tables.invoice_lines.columns.gross_sales (discount)"
    return ask(Question(key, text, rows, ["before", "after"], "before", amount=whole.total(at_stake))) == "after"


def _before_discount(whole: Sheet, amount: str, others: Sequence[str], ask: Ask) -> tuple[str, str]:
    """The amounts before and after discount, where columns beside the one that is named say so, and people do; blanks where none does."""
    key, choices = "tables.invoice_lines.columns.discount", ["before discount", "with tax", "neither"]
    for first, off in whole.differences(amount, others)[:1]:
        text = f"In nearly every row {amount} is {first} less {off}. Is {first} the amount before a discount, or with a tax?"
        rows = _rows(whole, [first, off, amount], off)
        # what is left is the amount in any case
        answer = ask(Question(key, text, rows, choices, choices[0], "neither"))
        return (first, amount) if answer == choices[0] else ("", "")
    words = tuple(vocabulary().tables["invoice_lines"].columns["gross_sales"])
    named = {whole.spoken(n): n for n in whole.columns}
    able = [n for n in others if n in named and n not in amount and likeness(named[n], words) >= LIKELY]
    pairs = [pair for n in able for pair in ((amount, n), (n, amount)) if whole.lessens(*pair)]
    for first, net in pairs[:1]:
        one, other = ("".join(parts(named.get(name, name))) for name in (first, net))
        if one != other == one.replace("subtotal", "total"):
            return first, net
        text = f"{net} is {first} in some rows, and less in the others. Is {first} the amount before a discount, and {net} the one after it?"
        rows = _rows(whole, [first, net], f"{first} - {net}")
        more = whole.total(f"{first} - {net}")
        if ask(Question(key, text, rows, ["yes", "no"], "yes", "no", more)) == "yes":
            return first, net
    return "", ""


def _rows(whole: Sheet, amounts: Sequence[str], off: str) -> list[str]:
    """Three rows as evidence, of those that have a discount."""
    rows = whole.groups(amounts, f"({off}) <> 0")[:3]
    return [", ".join(f"{n} {text.removesuffix('.0')}" for n, text in zip(amounts, row, strict=False)) for row in rows]


def _each(x: dict[str, str], role: str) -> str:
    """A cost for each unit, were it one of the line."""
    return f"round({x[role]} / nullif({x['quantity']}, 0), 2)"


def _is_of_one_unit(whole: Sheet, x: dict[str, str], cost: str, other: str) -> bool:
    """Whether a cost is the same for each product however many were sold, and the other, read as if it were one, is not."""
    return whole.depends(cost, x["product_id"]) and not whole.depends(other, x["product_id"])


def scale_amounts(lines: Draft, whole: Sheet) -> None:
    """Multiply amounts that the names of their columns, or a title above, say are in thousands or millions."""
    titles = [cell for cells in lines.sheet.above for cell in cells]
    for role in (role for role in AMOUNTS[1:] if role in lines.columns):
        text = whole.spoken(lines.columns[role])
        names = [c.name for c in lines.mapped(lines.columns[role])]
        is_named = not {lines.columns.get("quantity"), lines.columns.get("unit_price")} & {*names}
        if (scale := scale_of(*names, *(titles if is_named else ()))) != 1:
            lines.columns[role] = f"({text}) * {scale:g}"


def turn_signs(lines: Draft, whole: Sheet) -> None:
    """Turn amounts that are negative in sum where their name promises positive ones, and those of returns that are written positive."""
    returns = lines.kinds.get("return", "false")
    for role in (role for role in AMOUNTS if role in lines.columns):
        amount = whole.spoken(lines.columns[role])
        turned = whole.total(amount, f"NOT coalesce({returns}, false)") < 0
        if not turned and whole.total(amount, returns) > 0:
            amount = lines.columns[role] = f"case when {returns} then -({amount}) else {amount} end"
        if turned and role == "quantity":
            lines.columns[role] = f"-({amount})"
        elif turned:
            lines.turned.add(role)
