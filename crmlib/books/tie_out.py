"""Four tie-outs, to the cent, before anything is published.

What was read is assigned, unassigned or excluded; booked lines agree with the general ledger; pools are charged or
uncharged; charges for capital are balances times rate.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from crmlib.books.ledger import Ledger, identifier, numeric_columns, plain
from crmlib.books.stored import HALF_CENT, Frame
from crmlib.declared.periods import parse_period
from crmlib.declared.statement import Statement


def intake_amounts(ledger: Ledger) -> pd.DataFrame:
    """Per table and numeric column (and `rows`): read = assigned + unassigned + excluded, exact.

    Excluded is what lies outside the coverage; unassigned is covered and has no known owner. `read` is summed over the
    table as it was read, the other three after the look-up of customers, so that a row lost or doubled there shows.
    """
    parts = [row for name in ledger.tables for row in _amounts_of(ledger, name)]
    return pd.DataFrame(parts, columns=["table", "column", "read", "assigned", "unassigned", "excluded"])


def _amounts_of(ledger: Ledger, name: str) -> list[tuple[Any, ...]]:
    columns = numeric_columns(ledger.tables[name])
    sums = ", ".join(["count(*) AS rows", *(f"coalesce(sum({identifier(c)}), 0) AS {identifier(c)}" for c in columns)])
    read = _asked(ledger, f"SELECT {sums} FROM typed.{name}")
    split = _asked(ledger, f"SELECT _covered, _assigned, {sums} FROM books.{name} GROUP BY ALL")
    assigned = [g for g in split if g["_covered"] and g["_assigned"]]
    unassigned = [g for g in split if g["_covered"] and not g["_assigned"]]
    excluded = [g for g in split if not g["_covered"]]
    groups, nought = (read, assigned, unassigned, excluded), {"rows": 0}
    return [
        (name, c, *(sum((g[c] for g in group), nought.get(c, Decimal(0))) for group in groups))
        for c in ("rows", *columns)
    ]


def _asked(ledger: Ledger, query: str) -> list[dict[str, Any]]:
    return list(ledger.con.raw_sql(query).to_arrow_table().to_pylist())


Check = tuple[str, str, str, Decimal, Decimal]  # check, item, period, left, right


def tie_out(ledger: Ledger, statement: Statement, amounts: Frame, work: Path) -> Frame:
    """Every tie-out of the books: check, item, period, left, right, difference, tied (to the cent).

    `amounts` as `intake.intake_amounts`; `work` holds the cube and the firm's rows as Parquet.
    """
    cube = _months(work / "cube.parquet")
    firm = _months(work / "firm.parquet") if (work / "firm.parquet").exists() else cube[[]]
    rows: list[Check] = [
        *_read_and_placed(amounts), *_ledger_and_cube(statement, amounts, cube), *_control_totals(ledger, statement, cube),
        *_pools(ledger, statement, cube, work), *_capital_charges(ledger, statement, cube, firm),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["check", "item", "period", "left", "right"])
    frame["difference"] = frame["left"] - frame["right"]
    frame["tied"] = frame["difference"].map(lambda d: abs(d) < HALF_CENT).astype(bool)
    return frame


def _months(path: Path) -> Frame:
    """Every amount of a roll-up by month, all owners together."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    amounts = [c for c in table.column_names if c not in {"level", "owner", "month"}]
    summed = table.group_by("month").aggregate([(c, "sum") for c in amounts])
    return plain(summed.rename_columns({f"{c}_sum": c for c in amounts}).to_pandas()).set_index("month").sort_index()


def _read_and_placed(amounts: Frame) -> Iterator[Check]:
    for row in amounts.itertuples():
        placed = row.assigned + row.unassigned + row.excluded
        yield ("read = assigned + unassigned + excluded", f"{row.table}.{row.column}", "all", row.read, placed)


def _ledger_and_cube(statement: Statement, amounts: Frame, cube: Frame) -> Iterator[Check]:
    """What the tables hold within the coverage is what the cube holds, by line (booked lines and trade together)."""
    held = {f"{r.table}.{r.column}": r.assigned + r.unassigned for r in amounts.itertuples()}
    trade = [line for line in statement.leaves if line.cls in {"revenue", "deduction"}]
    net = sum(cube[line.id].sum() * line.sign for line in trade)
    columns = [s for line in trade for s in line.sources if s.startswith("invoice_lines.")]
    signed = dict.fromkeys(columns, -1) | {"invoice_lines.gross_sales": 1}
    booked = held.get("credits.amount", Decimal(0)) if any("credits" in line.sources for line in trade) else Decimal(0)
    yield ("ledger = cube", "net sales", "all", sum(held[s] * sign for s, sign in signed.items()) - booked, net)
    for line in statement.leaves:
        sources = set(line.sources)
        if line not in trade and sources and all(s.startswith("invoice_lines.") for s in sources):
            back = (
                held.get("credits.cost_recovered", Decimal(0))
                if "invoice_lines.cost_of_goods" in sources
                else Decimal(0)
            )
            yield ("ledger = cube", line.id, "all", sum(held[s] for s in sources) - back, cube[line.id].sum())
    only_booked = [line.id for line in statement.leaves if line.sources == ("costs",)]
    if "costs.amount" in held and all(len(li.sources) == 1 for li in statement.leaves if "costs" in li.sources):
        yield ("ledger = cube", "booked costs", "all", held["costs.amount"], sum(cube[c].sum() for c in only_booked))


def _control_totals(ledger: Ledger, statement: Statement, cube: Frame) -> Iterator[Check]:
    if not ledger.has("control_totals"):
        return
    joint = (
        ledger.covered("joint_costs").execute()
        if ledger.has("joint_costs")
        else pd.DataFrame(columns=["line", "month", "amount"])
    )
    joint = plain(joint)
    items = (
        ledger.tables["reconciliation"].execute()
        if ledger.has("reconciliation")
        else pd.DataFrame(columns=["line", "period", "amount"])
    )
    settings = ledger.engagement.settings
    for total in ledger.tables["control_totals"].order_by("line", "period").execute().itertuples():
        period = parse_period(total.period, None, settings.fiscal_year_start)
        if not period.within(ledger.engagement.coverage):
            continue  # the checks warn of it
        months = period.month_starts()
        if total.line in cube.columns:
            booked = cube.loc[cube.index.isin(months), total.line].sum()
        else:
            booked = joint.loc[(joint["line"] == total.line) & joint["month"].isin(months), "amount"].sum()
        reconciled = items.loc[(items["line"] == total.line) & (items["period"] == total.period), "amount"].sum()
        yield (
            "ledger + reconciling items = control total",
            total.line,
            total.period,
            Decimal(booked) + Decimal(reconciled),
            total.amount,
        )


def _pools(ledger: Ledger, statement: Statement, cube: Frame, work: Path) -> Iterator[Check]:
    """Lines priced by rates, and pools: charged + uncharged = booked, where charged is priced anew without customers."""
    from crmlib.books.rates import activities

    kinds, priced = activities(ledger), _priced_anew(ledger, statement)
    for line in statement.leaves:
        if line.sources == ("rates",):
            charged = sum((priced[kind.name] for kind in kinds if kind.line == line.id), Decimal(0))
            yield "quantity × rate = line", line.id, "all", charged, cube[line.id].sum()
    if not any(line.sources == ("capacity",) for line in statement.leaves):
        return
    firm = plain(pd.read_parquet(work / "firm.parquet"))
    uncharged = firm.groupby("owner")[next(li.id for li in statement.leaves if li.sources == ("capacity",))].sum()
    booked = (
        ledger.covered("capacity")
        .group_by("pool")
        .aggregate(cost=lambda t: t.cost.sum())
        .execute()
        .set_index("pool")["cost"]
    )
    for pool in sorted({kind.pool for kind in kinds} & set(booked.index)):
        charged = sum((priced[kind.name] for kind in kinds if kind.pool == pool), Decimal(0))
        yield (
            "charged + uncharged = booked pool",
            pool,
            "all",
            charged + uncharged.get(pool, Decimal(0)),
            booked[pool],
        )


def _priced_anew(ledger: Ledger, statement: Statement) -> dict[str, Decimal]:
    """Cost of each activity from daily totals of all customers together, in Python's decimals."""
    from crmlib.books.rates import activities, rate_days, rate_table

    kinds = activities(ledger)
    if not kinds:
        return {}
    spans, rates, daily = (rate_days(ledger), rate_table(ledger), _daily_quantities(ledger, statement))
    return {
        kind.name: sum(
            (quantity * rates[kind.name].get(spans[bisect.bisect_right(spans, day) - 1], Decimal(0))
             for day, quantity in daily.get(kind.driver or f"activity {kind.name}", [])), Decimal(0))
        for kind in kinds
    }  # fmt: skip


def _daily_quantities(ledger: Ledger, statement: Statement) -> dict[str, list[tuple[Any, Decimal]]]:
    """By driver, and by activity with rows of its own: each day's quantity."""
    lines = ledger.covered("invoice_lines")
    measures = [c for c in lines.columns if lines[c].type().is_decimal()]
    by_day = lines.group_by(day=lines.invoice_date).aggregate(
        invoice_lines=lines.count(), **{c: lines[c].sum() for c in measures}
    )
    found = [by_day]
    if "quantity" in measures:
        found.append(
            lines.filter(lines.quantity > 0).group_by(day="invoice_date").aggregate(units=lambda t: t.quantity.sum())
        )
    if ledger.has("invoice_lines", "order_id"):
        first = (
            lines.filter(lines.order_id.notnull())
            .group_by("customer_id", "order_id")
            .aggregate(day=lines.invoice_date.min())
        )
        found.append(first.group_by("day").aggregate(orders=first.count()))
    if ledger.has("credits"):
        notes = ledger.covered("credits")
        found.append(notes.group_by(day="date").aggregate(credits=notes.count(), credited=notes.amount.sum()))
    totals = pd.concat([plain(expr.execute()).set_index("day") for expr in found], axis=1).astype(object)
    totals = totals.where(totals.notna(), Decimal(0))
    taken = {s for line in statement.leaves if line.cls == "deduction" for s in line.sources}
    discount = totals["discount"] if "invoice_lines.discount" in taken else Decimal(0)
    totals["net_sales"] = totals["gross_sales"] - discount - (totals["credited"] if "credits" in taken else Decimal(0))
    daily = {str(name): [(day, Decimal(q)) for day, q in column.items()] for name, column in totals.items()}
    if ledger.has("activities"):
        events = ledger.covered("activities")
        rows = plain(events.group_by("activity", day="date").aggregate(quantity=events.quantity.sum()).execute())
        for activity, mine in rows.groupby("activity"):
            daily[f"activity {activity}"] = list(zip(mine["day"], mine["quantity"], strict=True))
    return daily


def _capital_charges(ledger: Ledger, statement: Statement, cube: Frame, firm: Frame) -> Iterator[Check]:
    """Charges for capital = total balance × rate, from month-end totals and in Python's decimals."""
    from crmlib.books.rates import charge_rate, monthly_rate

    held = {
        line.id: line.sources[0].split(".")[1] for line in statement.leaves if line.sources[0].startswith("balances.")
    }
    if not held:
        return
    balances = ledger.covered("balances")
    ends = balances.group_by("month").aggregate(**{b: balances[b].sum() for b in held.values()}).execute()
    ends = plain(ends).set_index("month").reindex(ledger.engagement.coverage.month_starts()).fillna(Decimal(0))
    ends = ends.loc[plain(balances.aggregate(first=balances.month.min()).execute())["first"][0] :]
    rates = ledger.engagement.settings.rates
    for line, balance in held.items():
        ending = list(ends[balance])
        mean_total = sum(((a + b) / 2 for a, b in zip([ending[0], *ending], ending, strict=False)), Decimal(0))
        charged = mean_total * monthly_rate(charge_rate(balance, rates))
        yield "charge for capital = balance × rate", line, "all", cube[line].sum(), charged


def with_untied(tied: Frame, findings: Frame) -> Frame:
    """Findings, and a rejection for every check that is not tied."""
    from crmlib.books.findings import findings_frame, rejection

    loose = [
        rejection("not-tied", f"{row.check}: {row.item} {row.period}: {row.left:,.2f} against {row.right:,.2f}",
                  "mend the ledger, or add a row with reason and owner to reconciliation", table="control_totals" if "control" in row.check else "",
                  value=f"{row.item} {row.period}", amount=row.difference)
        for row in tied[~tied["tied"]].itertuples()
    ]  # fmt: skip
    return pd.concat([findings_frame(loose), findings], ignore_index=True) if loose else findings
