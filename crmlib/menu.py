"""The menu: what may be promised in product and service, what a unit of it costs, and how much of it a segment's margin bears.

Costs are Decimals, each level × volume × unit cost of one customer rounded once to the cent, so that they add up by customer, segment and agreement.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd

from crmlib.books.stored import Books, Frame, kept, services, shared
from crmlib.criteria import as_declared, judgement_records, mistakes_in
from crmlib.declared.agreements import PER, Agreements, Level, Option
from crmlib.declared.periods import Period
from crmlib.declared.reading import did_you_mean, refuse_mistakes
from crmlib.profitability import buyers, customer_profitability, group_profitability

CENT = Decimal("0.01")
LEVELS = ("floor", "target", "ceiling")
COSTS = [f"{level}_cost" for level in ("today", *LEVELS)]
PRICED = ["customer_id", "segment", "option", *LEVELS, "volume", "unit_cost", "today", *COSTS]
OFFER = ["room", "offered", "offered_level", "offered_cost", "short"]


@kept
def read_menu(books: Books) -> Frame:
    """The options of judgement/menu.csv in their order, columns as `Option`; empty without the file.

    Raises
    ------
    SettingsError
        All mistakes, each with row, column, value and what is allowed.
    """
    rows, wrong = judgement_records(books, "menu.csv", Option)
    rated, served = books.table("rates"), books.table("service_levels")
    lines = books.columns["invoice_lines"]
    known = {
        "per": [per for per in PER if {"order": "order_id", "unit": "quantity"}.get(per, "gross_sales") in lines],
        "line": [line.id for line in books.engagement.statement.lines if line.is_cost],
        "activity": [] if rated is None else sorted(set(rated["activity"])),
        "measure": [] if served is None else sorted(set(served["measure"])),
    }
    for column, names in known.items():
        given = rows.loc[rows[column] != "", column]
        # without the table of service a measure may be promised all the same
        strange = given[~given.isin(names)] if names or column != "measure" else given.iloc[:0]
        why = f"the ledger has no such {column}; there are {', '.join(names) or 'none'}"
        wrong += mistakes_in(strange, why, names)
    wrong += mistakes_in(rows.loc[rows.duplicated("option", keep=False), "option"], "stands here twice; keep one row")
    refuse_mistakes("judgement/menu.csv", wrong)
    return as_declared(rows, Option)


def read_levels(books: Books, menu: Frame) -> Frame:
    """Floor, target and ceiling of each option by segment, of judgement/menu_levels.csv (errors as `read_menu`)."""
    rows, wrong = judgement_records(books, "menu_levels.csv", Level)
    for column, names in {"segment": books.engagement.segments, "option": list(menu["option"])}.items():
        why = f"no such {column}; there are {', '.join(names) or 'none'}"
        wrong += mistakes_in(rows.loc[~rows[column].isin(names), column], why, names)
    twice = rows.loc[rows.duplicated(["segment", "option"], keep=False), "option"]
    wrong += mistakes_in(twice, "stands here twice for this segment; keep one row")
    refuse_mistakes("judgement/menu_levels.csv", wrong)
    return as_declared(rows, Level)


def read_agreements(books: Books) -> Agreements:
    """The shared words and every version that was agreed, of judgement/agreements.yml (errors as `reading.read`, and names that are not known)."""
    agreed, options = books.engagement.judgement("agreements.yml", Agreements), list(read_menu(books)["option"])
    served = books.table("service_levels")
    measures = None if served is None else sorted(set(served["measure"]))
    accounts, segments, wrong = list(books.customers["customer_id"]), books.engagement.segments, []
    for i, agreement in enumerate(agreed.agreements):
        place = f"agreements[{i}] ({agreement.account or agreement.segment})"
        named = [("account", agreement.account, accounts), ("segment", agreement.segment, segments)]
        for j, promised in enumerate(agreement.commitments):
            at = f"commitments[{j}]"
            named += [(f"{at}.option", promised.option, options)]
            named += [] if measures is None else [(f"{at}.measure", promised.measure, measures)]
        wrong += [
            f"{place}.{key}: {value!r} is not known{did_you_mean(value, names)}" for key, value, names in named if value and value not in names
        ]  # fmt: skip
    if agreed.template and not (books.engagement.folder / "judgement" / agreed.template).is_file():
        wrong.append(f"template: there is no file {agreed.template!r} in the folder judgement")
    refuse_mistakes("judgement/agreements.yml", wrong)
    return agreed


def priced_menu(books: Books, period: Period) -> Frame:
    """The menu by option (the index), with unit_cost in every row, of an activity its rate in force at the end of the period, and priced_by.

    Raises
    ------
    SettingsError
        An activity has no rate yet.
    """
    menu, rates = read_menu(books).set_index("option"), books.table("rates")
    spans = pd.DataFrame(columns=["activity", "span_start", "rate"]) if rates is None else rates
    begun = spans[spans["span_start"] < period.end].sort_values("span_start")
    last = begun.drop_duplicates("activity", keep="last").set_index("activity")["rate"]
    of = menu["activity"].where(menu["activity"] != "")
    lacking = of.dropna()[lambda activity: ~activity.isin(last.index)].items()
    refuse_mistakes("judgement/menu.csv", [f"{o}.activity: {a!r} has no rate before {period.end}" for o, a in lacking])
    priced_by = ("rate of " + of.str.replace("_", " ")).fillna("given")
    return menu.assign(unit_cost=menu["unit_cost"].where(of.isna(), of.map(last)), priced_by=priced_by)


def volumes(books: Books, period: Period) -> Frame:
    """By customer who bought (the index): its segment, and how much there is of what levels are counted by, one column each."""
    bought = buyers(customer_profitability(books, period))
    counts = {"order": "orders", "invoice_line": "invoice_lines", "unit": "units", "net_sales": "net_sales"}
    found = {per: bought[column] for per, column in counts.items() if column in bought}
    times = {"month": Decimal(period.months), "year": Decimal(period.months) / 12}
    return pd.DataFrame({"segment": bought["segment"], **found, **times}, index=bought.index)


@shared
def priced(books: Books, period: Period) -> Frame:
    """What each customer who bought would get of each option of its segment, and does get today, with what it costs in a period like this one.

    Parameters
    ----------
    books
        With the segments of the period (`segments.with_segments`).

    Returns
    -------
    One row per customer and option: customer_id, segment, option, floor, target and ceiling (levels), volume, unit_cost, today (units done by the
    ledger or, of an option without activity, promised by the agreement in force), today_cost, floor_cost, target_cost, ceiling_cost.
    """
    menu, levels, bought = priced_menu(books, period), read_levels(books, read_menu(books)), volumes(books, period)
    rows: Any = bought[["segment"]].rename_axis("customer_id").reset_index().merge(levels, on="segment")
    each, per = {per: bought[per].to_dict() for per in bought if per != "segment"}, menu["per"].to_dict()
    rows["volume"] = [each[per[o]][c] for c, o in zip(rows["customer_id"], rows["option"], strict=True)]
    rows["unit_cost"] = rows["option"].map(menu["unit_cost"]).astype(object)
    today = _today(books, period, rows, menu["activity"])
    rows["today"], rows["today_cost"] = [quantity for quantity, _ in today], [amount for _, amount in today]
    for level in LEVELS:
        rows[f"{level}_cost"] = list(map(cost, rows[level], rows["volume"], rows["unit_cost"]))
    return rows.reindex(columns=PRICED)  # type: ignore[no-any-return]


def cost(level: Decimal, volume: Decimal, unit_cost: Decimal) -> Decimal:
    """What a level costs at a volume, rounded to the cent, half away from zero."""
    return (level * volume * unit_cost).quantize(CENT, ROUND_HALF_UP)


def _today(books: Books, period: Period, rows: Any, activities: pd.Series) -> list[tuple[Decimal, Decimal]]:
    """Units and cost of today in each row; what is done costs what stands in the books, to the cent."""
    done: Any = services(books, period, ["owner", "activity"]).itertuples()
    given = {(row.owner, row.activity): (row.quantity, row.amount.quantize(CENT, ROUND_HALF_UP)) for row in done}
    promised, nothing, today = _promised(books, period), (Decimal(0), 0 * CENT), []
    for row in rows.itertuples():
        level = promised.get((row.customer_id, row.option), promised.get((row.segment, row.option), Decimal(0)))
        agreed = (level * row.volume, cost(level, row.volume, row.unit_cost))
        activity = activities[row.option]
        today.append(given.get((row.customer_id, activity), nothing) if activity else agreed)
    return today


def _promised(books: Books, period: Period) -> dict[tuple[str, str], Decimal]:
    """By account or segment, and option: the level that an agreement in force at the end of the period promises."""
    agreed = read_agreements(books).in_force(period.month_starts()[-1], period.end)
    return {(a.account or a.segment, c.option): c.level for a in agreed for c in a.commitments}


def guidelines(books: Books, period: Period, rows: Frame) -> Frame:
    """What each segment is offered: the target of an option as long as its margin bears it, in the order of the menu; else the floor.

    What a target saves beside today comes first, since it makes room.

    Parameters
    ----------
    rows
        As `priced`.

    Returns
    -------
    One row per segment and option: name, customers, floor (level), today_cost, floor_cost, target_cost, ceiling_cost, extra (target beside today), room (what the segment
    still earns before it), offered (target or floor), offered_level, offered_cost, short (what the room lacks for a refused target, else 0).
    """
    margins: Any = group_profitability(books, period, "segment").groups[books.statement_in(period).net_margin.id]
    parts, menu = [], read_menu(books).set_index("option")
    for segment in (s for s in books.engagement.segments if s in set(rows["segment"])):
        own = rows[rows["segment"] == segment]
        by = own.groupby("option", sort=False)
        table = by[COSTS].sum().join(by[list(LEVELS)].first()).assign(customers=by["customer_id"].nunique())
        table = table.reindex([o for o in menu.index if o in table.index])
        table["extra"] = table["target_cost"] - table["today_cost"]
        table = pd.concat([table[table["extra"] <= 0], table[table["extra"] > 0]])
        table = _within(table, margins[segment]).assign(segment=segment, name=menu["name"])
        parts.append(table.rename_axis("option").reset_index())
    columns = ["segment", "option", "name", "customers", "floor", *COSTS, "extra", *OFFER]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _within(table: Frame, margin: Decimal) -> Frame:
    """The options of a segment with what its margin bears, one after another."""
    found = []
    for row in table.to_dict("records"):
        borne = row["extra"] <= max(margin, Decimal(0))
        offered = "target" if borne else "floor"
        short = Decimal(0) if borne else row["extra"] - max(margin, Decimal(0))
        found.append((margin, offered, row[offered], row[f"{offered}_cost"], short))
        margin -= row[f"{offered}_cost"] - row["today_cost"]
    return table.join(pd.DataFrame(found, index=table.index, columns=OFFER))
