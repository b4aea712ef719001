"""The menu: what may be promised in product and service, what a unit of it costs, and how much of it a segment's margin bears.

Costs are Decimals, each level × volume × unit cost of one customer rounded once to the cent, so that they add up by customer, segment and agreement.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd
from pydantic import BaseModel

from crmlib.books.stored import Books, Frame, services
from crmlib.criteria import judgement_records
from crmlib.declared.agreements import PER, Agreements, Level, Option
from crmlib.declared.periods import Period
from crmlib.declared.reading import did_you_mean, refuse_mistakes
from crmlib.profitability import customer_profitability, group_profitability

CENT = Decimal("0.01")
LEVELS = ("floor", "target", "ceiling")
PRICED = [
    "customer_id",
    "segment",
    "option",
    *LEVELS,
    "volume",
    "unit_cost",
    "today",
    "today_cost",
    *(f"{level}_cost" for level in LEVELS),
]


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
        there = ", ".join(names) or "none"
        wrong += [f"row {i + 2}, {column}: {v!r}: the ledger has no such {column}; there are {there}{did_you_mean(v, names)}" for i, v in zip(strange.index, strange, strict=True)]  # fmt: skip
    twice = rows.loc[rows.duplicated("option", keep=False), "option"]
    wrong += [
        f"row {i + 2}, option: {v!r}: stands here twice; keep one row" for i, v in zip(twice.index, twice, strict=True)
    ]
    refuse_mistakes("judgement/menu.csv", wrong)
    return _values(rows, Option)


def read_levels(books: Books, menu: Frame) -> Frame:
    """Floor, target and ceiling of each option by segment, of judgement/menu_levels.csv (errors as `read_menu`)."""
    rows, wrong = judgement_records(books, "menu_levels.csv", Level)
    for column, names in {"segment": books.engagement.segments, "option": list(menu["option"])}.items():
        strange = rows.loc[~rows[column].isin(names), column]
        there = ", ".join(names) or "none"
        wrong += [f"row {i + 2}, {column}: {v!r}: no such {column}; there are {there}{did_you_mean(v, names)}" for i, v in zip(strange.index, strange, strict=True)]  # fmt: skip
    twice = rows.loc[rows.duplicated(["segment", "option"], keep=False), "option"]
    wrong += [
        f"row {i + 2}, option: {v!r}: stands here twice for this segment; keep one row"
        for i, v in zip(twice.index, twice, strict=True)
    ]
    refuse_mistakes("judgement/menu_levels.csv", wrong)
    return _values(rows, Level)


def _values(rows: Frame, record: type[BaseModel]) -> Frame:
    """Rows that hold as what their record makes of them: numbers, and None for what is blank."""
    values = [record.model_validate(row).model_dump() for row in rows.to_dict("records")]
    return pd.DataFrame(values, columns=list(record.model_fields), dtype=object)


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
    last = (
        spans[spans["span_start"] < period.end]
        .sort_values("span_start")
        .groupby("activity")
        .tail(1)
        .set_index("activity")
    )
    of = menu["activity"].where(menu["activity"] != "")
    missing = [
        f"{o}.activity: {a!r} has no rate before {period.end}" for o, a in of.dropna().items() if a not in last.index
    ]
    refuse_mistakes("judgement/menu.csv", missing)
    told = "rate of " + of.str.replace("_", " ")
    return menu.assign(
        unit_cost=menu["unit_cost"].where(of.isna(), of.map(last["rate"])), priced_by=told.where(of.notna(), "given")
    )


def volumes(books: Books, period: Period) -> Frame:
    """By customer who bought (the index): its segment, and how much there is of what levels are counted by, one column each."""
    report = customer_profitability(books, period)
    buyers = report[(report["customer_id"] != "") & (report["sales"] > 0)].set_index("customer_id")
    counts = {"order": "orders", "invoice_line": "invoice_lines", "unit": "units", "net_sales": "net_sales"}
    found = {per: buyers[column] for per, column in counts.items() if column in buyers}
    times = {"month": Decimal(period.months), "year": Decimal(period.months) / 12}
    return pd.DataFrame({"segment": buyers["segment"], **found, **times}, index=buyers.index)


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
    done: Any = (
        services(books, period, ["owner", "activity"])
        .set_index(["owner", "activity"])[["quantity", "amount"]]
        .to_dict("index")
    )
    promised, nothing, today = _promised(books, period), {"quantity": Decimal(0), "amount": Decimal(0)}, []
    for row in rows.itertuples():
        level = promised.get((row.customer_id, row.option), promised.get((row.segment, row.option), Decimal(0)))
        own = done.get((row.customer_id, activities[row.option]), nothing)
        is_done = (own["quantity"], own["amount"].quantize(CENT, ROUND_HALF_UP))
        agreed = (level * row.volume, cost(level, row.volume, row.unit_cost))
        today.append(is_done if activities[row.option] else agreed)
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
    sums = [f"{level}_cost" for level in ("today", *LEVELS)]
    for segment in (s for s in books.engagement.segments if s in set(rows["segment"])):
        own = rows[rows["segment"] == segment]
        by = own.groupby("option", sort=False)
        table = by[sums].sum().join(by[list(LEVELS)].first()).assign(customers=by["customer_id"].nunique())
        table = table.reindex([o for o in menu.index if o in table.index])
        table["extra"] = table["target_cost"] - table["today_cost"]
        table = pd.concat([table[table["extra"] <= 0], table[table["extra"] > 0]])
        table = _within(table, margins[segment]).assign(segment=segment, name=menu["name"])
        parts.append(table.rename_axis("option").reset_index())
    offer = ["extra", "room", "offered", "offered_level", "offered_cost", "short"]
    columns = ["segment", "option", "name", "customers", "floor", *sums, *offer]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _within(table: Frame, margin: Decimal) -> Frame:
    """The options of a segment with what its margin bears, one after another."""
    found: list[dict[str, Any]] = []
    for row in table.to_dict("records"):
        borne = row["extra"] <= max(margin, Decimal(0))
        offered = "target" if borne else "floor"
        short = Decimal(0) if borne else row["extra"] - max(margin, Decimal(0))
        found.append(
            {
                "room": margin,
                "offered": offered,
                "offered_level": row[offered],
                "offered_cost": row[f"{offered}_cost"],
                "short": short,
            }
        )
        margin -= row[f"{offered}_cost"] - row["today_cost"]
    return table.join(pd.DataFrame(found, index=table.index))
