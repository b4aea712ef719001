"""The books that reports stand on: read, checked, rolled up and tied out once, then opened from the cache.

Four tie-outs, to the cent, before anything is published: what was read is assigned, unassigned or excluded; booked
lines agree with the general ledger; pools are charged or uncharged; charges for capital are balances times rate.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from crmlib.engagement import (
    PACKAGE,
    PROJECT,
    DataRejected,
    Engagement,
    Period,
    SettingsError,
    open_engagement,
    parse_period,
)
from crmlib.statement import Line, Statement, noted

if TYPE_CHECKING:
    from crmlib.ledger import Ledger

HALF_CENT = Decimal("0.005")
KEPT_TABLES = ("customers", "products", "activity_types", "capacity", "joint_costs", "control_totals", "reconciliation")
CODE = ("engagement.py", "sources.py", "ledger.py", "ledger.yml", "statement.py", "statement.yml", "intake.py", "checks.yml",
        "rollup.py", "books.py")  # fmt: skip
Frame = pd.DataFrame


@dataclass(frozen=True, eq=False)
class Books:
    """Checked, tied-out books in the cache: every frame small enough for pandas, the cube read by period.

    `customers` has one row per customer with the attributes that the ledger has, today's for all periods; `statement` the
    lines that this ledger fills; `columns` what each of its tables has; `spans` the first and last day of each line's
    sources; `sources` the files read with their SHA-256.
    """

    engagement: Engagement
    customers: Frame
    statement: Statement
    columns: Mapping[str, list[str]]
    spans: Mapping[str, tuple[date, date]]
    sources: Mapping[str, str]
    data_hash: str
    cache: Path

    def table(self, name: str) -> Frame | None:
        """A small table of the ledger, or of the checks (findings, intake, tie_out); None where the ledger has none."""
        path = self.cache / f"{name}.parquet"
        return plain(pd.read_parquet(path)) if path.exists() else None

    @functools.cached_property
    def findings(self) -> Frame:
        """What the checks found (columns as `intake.findings_frame`)."""
        return self._there("findings")

    @functools.cached_property
    def intake(self) -> Frame:
        """By table and column: read, assigned, unassigned, excluded."""
        return self._there("intake")

    @functools.cached_property
    def tie_out(self) -> Frame:
        """By check, item and period: left, right, difference, tied."""
        return self._there("tie_out")

    def _there(self, name: str) -> Frame:
        frame = self.table(name)
        assert frame is not None, f"the cache at {self.cache} lost {name}; remove the folder"
        return frame

    def period(self, text: str | int) -> Period:
        """The period that a text names."""
        return self.engagement.period(text)

    def refuse_without_sales(self, period: Period) -> None:
        """Stop where nobody bought in a period.

        Raises
        ------
        SettingsError
            Names what the books cover.
        """
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        months = [("month", ">=", period.start), ("month", "<", period.end)]
        sold = pq.read_table(self.cache / "cube.parquet", columns=["month", "sales"], filters=months)
        if not pc.any(pc.greater(sold["sales"], 0)).as_py():
            raise SettingsError(
                f"nobody bought in {period.label}: choose another period of {self.engagement.coverage.label}"
            )

    def comparable(self, period: Period) -> bool:
        """Whether the books cover a period."""
        return period.within(self.engagement.coverage)

    def statement_in(self, period: Period) -> Statement:
        """The statement with the lines whose sources reach into a period."""
        lines = [replace(li, available=li.available and self._reaches(li, period)) for li in self.statement.lines]
        return Statement(tuple(noted([replace(li, note="") for li in lines])))

    def _reaches(self, line: Line, period: Period) -> bool:
        first, last = self.spans.get(line.id, (period.start, period.start))
        return first < period.end and last >= period.start


def plain(frame: Frame) -> Frame:
    """Text as Python text, missing text as ''; dates as dates."""
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.StringDtype):
            frame[name] = frame[name].fillna("").astype(object)
        elif dtype.kind == "M":
            frame[name] = frame[name].dt.date
    return frame


def standing(books: Books) -> str:
    """What was read, used, excluded and unassigned, and whether it ties out, in words computed from the checks."""
    rows = books.intake[books.intake["column"] == "rows"].set_index("table")
    sales = books.intake.query("table == 'invoice_lines' and column == 'gross_sales'").iloc[0]
    found = books.findings.groupby("verdict")["count"].sum()
    used = sales["assigned"] + sales["unassigned"]
    loose = f"{sales['unassigned'] / used:.1%}" if used > 0 else "no share"
    return (
        f"{books.engagement.settings.client}: {int(rows.at['invoice_lines', 'read']):,} invoice lines and {len(rows) - 1} other tables read, "
        f"covering {books.engagement.coverage.label}; {int(rows['excluded'].sum()):,} rows excluded, "
        f"{loose} of sales without a known customer, {int(found.get('warn', 0)):,} warnings; "
        f"{int(books.tie_out['tied'].sum())} of {len(books.tie_out)} checks tied out to the cent."
    )


def absent(books: Books) -> Frame:
    """What this ledger does not have and what it would switch on: table, column, would_add; one row per table or column."""
    from crmlib.ledger import tables

    rows = [
        (table.name, column.name, column.enables)
        for table in tables().values()
        for column in table.columns.values()
        if column.enables and column.name not in books.columns.get(table.name, [])
    ]
    return pd.DataFrame(rows, columns=["table", "column", "would_add"])


def provenance(books: Books, period: Period) -> Frame:
    """What a result rests on: client, period, data hash, and versions; one row each."""
    from crmlib import __version__

    rows = {"Client": books.engagement.settings.client, "Period": period.label, "Data (SHA-256)": books.data_hash[:16],
            "crmlib": __version__, **_versions()}  # fmt: skip
    return pd.DataFrame({"what": list(rows), "value": list(rows.values())})


# --- opening ---------------------------------------------------------------------------------------------------------


def open_books(engagement: str | Path | Engagement) -> Books:
    """Open an engagement's books: from the cache, or read, checked, rolled up and tied out once.

    Raises
    ------
    SettingsError
        Settings, statement or mapping that do not hold.
    DataRejected
        Books that may not reach a report; its findings say all of why.
    """
    opened = engagement if isinstance(engagement, Engagement) else open_engagement(engagement)
    hashes = _source_hashes(opened)
    data_hash = _digest(hashes)
    key = _digest({"data": data_hash, "settings": opened.settings.model_dump_json(), "statement": list(opened.statement),
                   "segments": opened.segments,
                   "code": {n: _file_digest(PACKAGE / n) for n in CODE}, "versions": _versions()})  # fmt: skip
    home = Path(os.environ.get("CRM_CACHE") or PROJECT / "reports" / ".cache")
    cache = home / f"{opened.name}-{key[:16]}"
    if not (cache / "books.json").exists():
        _fill(opened, cache)
    record = json.loads((cache / "books.json").read_text(encoding="utf-8"))
    lines = tuple(Line(**{**line, "sources": tuple(line["sources"])}) for line in record["lines"])
    spans = {k: (date.fromisoformat(a), date.fromisoformat(b)) for k, (a, b) in record["spans"].items()}
    customers = plain(pd.read_parquet(cache / "customers.parquet"))
    return Books(opened, customers, Statement(lines), record["columns"], spans, hashes, data_hash, cache)


def _source_hashes(engagement: Engagement) -> dict[str, str]:
    """SHA-256 of every file that the ledger may be read from, by name."""
    from crmlib.sources import sha256, source_path

    path = source_path(engagement)
    files = [f for f in sorted(path.iterdir()) if f.suffix.lower() in {".csv", ".parquet"}] if path.is_dir() else [path]
    files += [
        engagement.folder / t.source
        for t in engagement.settings.tables.values()
        if t.source and t.source.endswith(".sql")
    ]
    return {file.name: sha256(file) for file in files if file.is_file()}


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("duckdb", "ibis-framework", "sqlglot", "pandas", "pyarrow")}


def _fill(engagement: Engagement, cache: Path) -> None:
    """Compute the books in a private folder and rename it into place; older books of the engagement are removed."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".filling-", dir=cache.parent))
    try:
        _compute(engagement, work)
        shutil.rmtree(work / "ledger")
        try:
            work.rename(cache)
        except OSError:
            if not (cache / "books.json").exists():
                raise
        kept = sorted(cache.parent.glob(f"{engagement.name}-{'?' * 16}"), key=lambda folder: folder.stat().st_mtime)
        for old in kept[:-3]:  # a run in progress may still read the last ones
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _compute(engagement: Engagement, work: Path) -> None:
    from crmlib import intake, ledger, rollup, statement

    rules = statement.read_statement(engagement)
    books = ledger.read_ledger(engagement, work / "ledger")
    findings = intake.check_ledger(books)
    refuse(findings)
    rules = statement.with_sources(rules, books)
    books.con.to_parquet(rollup.cube(books, rules, work / "ledger"), work / "cube.parquet")
    owners = books.con.read_parquet(str(work / "cube.parquet"))
    rolled = {
        "firm": rollup.firm_rows(books, rules, owners),
        "sales": rollup.sales_cube(books),
        "orders": rollup.order_days(books),
    }
    for name, expr in rolled.items():
        if expr is not None:
            books.con.to_parquet(expr, work / f"{name}.parquet")
    for name in KEPT_TABLES:
        if books.has(name):
            kept = books.covered(name).drop("_file", "_row").execute()
            kept.to_parquet(work / f"{name}.parquet")
    amounts = intake.intake_amounts(books)
    tied = tie_out(books, rules, amounts, work)
    refuse(_not_tied(tied, findings))
    for name, frame in (("findings", findings), ("intake", amounts), ("tie_out", tied)):
        frame.to_parquet(work / f"{name}.parquet")
    spans = {k: [str(a), str(b)] for k, (a, b) in line_spans(books, rules).items()}
    columns = {name: [c for c in expr.columns if not c.startswith("_")] for name, expr in books.tables.items()}
    record = {"lines": [asdict(line) for line in rules.lines], "columns": columns, "spans": spans}
    (work / "books.json").write_text(json.dumps(record, indent=1), encoding="utf-8")


def refuse(findings: Frame) -> None:
    """Stop where any finding is a rejection.

    Raises
    ------
    DataRejected
        Carries all findings.
    """
    rejected = findings[findings["verdict"] == "reject"]
    if rejected.empty:
        return
    first = rejected.iloc[0]
    place = ", ".join(str(part) for part in (first["file"] or first["table"], f"row {first['row']}" if pd.notna(first["row"]) else "",
                      first["column"]) if part)  # fmt: skip
    count = int(rejected["count"].sum())
    raise DataRejected(
        f"the data was rejected: {count} defect(s). The first: {place}: {first['message']}; {first['way_out']}",
        findings,
    )


# --- tie-out ---------------------------------------------------------------------------------------------------------

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
        yield "read = assigned + unassigned + excluded", f"{row.table}.{row.column}", "all", row.read, placed


def _ledger_and_cube(statement: Statement, amounts: Frame, cube: Frame) -> Iterator[Check]:
    """What the tables hold within the coverage is what the cube holds, by line (booked lines and trade together)."""
    held = {f"{r.table}.{r.column}": r.assigned + r.unassigned for r in amounts.itertuples()}
    trade = [line for line in statement.leaves if line.cls in {"revenue", "deduction"}]
    net = sum(cube[line.id].sum() * line.sign for line in trade)
    columns = [s for line in trade for s in line.sources if s.startswith("invoice_lines.")]
    signed = dict.fromkeys(columns, -1) | {"invoice_lines.gross_sales": 1}
    booked = held.get("credits.amount", Decimal(0)) if any("credits" in line.sources for line in trade) else Decimal(0)
    yield "ledger = cube", "net sales", "all", sum(held[s] * sign for s, sign in signed.items()) - booked, net
    for line in statement.leaves:
        sources = set(line.sources)
        if line not in trade and sources and all(s.startswith("invoice_lines.") for s in sources):
            back = (
                held.get("credits.cost_recovered", Decimal(0))
                if "invoice_lines.cost_of_goods" in sources
                else Decimal(0)
            )
            yield "ledger = cube", line.id, "all", sum(held[s] for s in sources) - back, cube[line.id].sum()
    only_booked = [line.id for line in statement.leaves if line.sources == ("costs",)]
    if "costs.amount" in held and all(len(li.sources) == 1 for li in statement.leaves if "costs" in li.sources):
        yield "ledger = cube", "booked costs", "all", held["costs.amount"], sum(cube[c].sum() for c in only_booked)


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
    from crmlib.rollup import activities

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
        yield "charged + uncharged = booked pool", pool, "all", charged + uncharged.get(pool, Decimal(0)), booked[pool]


def _priced_anew(ledger: Ledger, statement: Statement) -> dict[str, Decimal]:
    """Cost of each activity from daily totals of all customers together, in Python's decimals."""
    from crmlib.rollup import activities, rate_days, rate_table

    kinds = activities(ledger)
    if not kinds:
        return {}
    spans, rates, daily = rate_days(ledger), rate_table(ledger), _daily_quantities(ledger, statement)
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
    from crmlib.rollup import charge_rate, monthly_rate

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


def _not_tied(tied: Frame, findings: Frame) -> Frame:
    """Findings, and a rejection for every check that is not tied."""
    from crmlib.intake import findings_frame
    from crmlib.sources import rejection

    loose = [
        rejection("not-tied", f"{row.check}: {row.item} {row.period}: {row.left:,.2f} against {row.right:,.2f}",
                  "mend the ledger, or add a row with reason and owner to reconciliation", table="control_totals" if "control" in row.check else "",
                  value=f"{row.item} {row.period}", amount=row.difference)
        for row in tied[~tied["tied"]].itertuples()
    ]  # fmt: skip
    return pd.concat([findings_frame(loose), findings], ignore_index=True) if loose else findings


def line_spans(ledger: Ledger, statement: Statement) -> dict[str, tuple[date, date]]:
    """The days from which to which each line's sources speak.

    Where a table of events begins, a later month without a row is zero; a table of states (balances, capacity) speaks only
    of the months that it has.
    """
    coverage, table_of = ledger.engagement.coverage, {"rates": "activities", "capital_charges": "balances"}
    spans: dict[str, tuple[date, date]] = {}
    dated = {
        name: _span(ledger, name)
        for name in ("credits", "activities", "costs", "balances", "capacity", "joint_costs")
        if ledger.has(name)
    }
    for line in statement.leaves:
        names = [table_of.get(source, source.split(".")[0]) for source in line.sources]
        found = [dated.get(name, (coverage.start, coverage.end)) for name in names]
        spans[line.id] = (min(s[0] for s in found), max(s[1] for s in found))
    return spans


def _span(ledger: Ledger, name: str) -> tuple[date, date]:
    from crmlib.ledger import tables

    covered, day = ledger.covered(name), str(tables()[name].date)
    found = plain(covered.aggregate(first=covered[day].min(), last=covered[day].max()).execute()).iloc[0]
    whole = ledger.engagement.coverage
    if pd.isna(found["first"]):
        return whole.start, whole.end
    return found["first"], found["last"] if name in {"balances", "capacity"} else whole.end
