"""Sharing what a joint improvement gains: measured against the baseline, worth to either side, split, and what if it falls short.

What would have moved anyway is taken out: volume at the baseline's rate, and the change of rates in force. Investments are written off
evenly over the years that count, so that the present value of each side's economic value added is its net present value. Amounts are Decimals;
the parts of a split are the joint gain to the cent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import pandas as pd

from crmlib.books.stored import Books, Frame, services
from crmlib.declared.gain_sharing import GainSharing, Project, Saving
from crmlib.declared.periods import Period
from crmlib.declared.reading import SettingsError, did_you_mean, refuse_mistakes
from crmlib.profitability import customer_profitability, share, total

CENT, ZERO = Decimal("0.01"), Decimal(0)
MEASURED = ["line", "baseline", "volume", "price", "would_be", "actual", "gain"]
SIDES = ["side", "year", "gain", "written_off", "tax", "capital", "value_added", "cash"]
SHORT = (Decimal(1), Decimal("0.75"), Decimal("0.5"), Decimal("0.25"), ZERO)  # of the gain that comes


def read_gain_sharing(books: Books) -> GainSharing:
    """What judgement/gain_sharing.yml says.

    Raises
    ------
    SettingsError
        All mistakes, also an account, line or period that these books do not have.
    """
    read = books.engagement.judgement("gain_sharing.yml", GainSharing)
    rates, wrong = books.engagement.settings.rates, list[str]()
    if read.projects and not {"cost_of_capital", "tax_rate"} <= rates.model_fields_set:
        needed = "our cost of capital and tax rate; write both under rates in engagement.yml"
        wrong.append(f"projects: what they are worth needs {needed}")
    wrong += [mistake for project in read.projects for mistake in _mistakes(books, project)]
    refuse_mistakes("judgement/gain_sharing.yml", wrong)
    return read


def _mistakes(books: Books, project: Project) -> list[str]:
    costs = [line.id for line in books.engagement.statement.lines if line.is_cost]
    wrong, months = [], []
    if project.account not in set(books.customers["customer_id"]):
        wrong.append(f"account: {project.account!r} is no customer; write a customer_id of the ledger")
    strange = [saving.line for saving in project.savings if saving.line not in costs]
    wrong += [f"savings.line: {n!r} is no cost line of the statement{did_you_mean(n, costs)}" for n in strange]
    for key, text in (("baseline", project.baseline), ("measured", project.measured)):
        try:
            months += [books.period(text).months] if text else []
        except SettingsError as error:
            wrong.append(f"{key}: {error}")
    if len(set(months)) > 1:
        uneven = f"{project.measured!r} is not as long as the baseline {project.baseline!r}"
        wrong.append(f"measured: {uneven}; write periods of one length")
    return [f"projects ({project.project}).{mistake}" for mistake in wrong]


def measured(books: Books, project: Project) -> Frame:
    """Each line that the project lowers, from the baseline to what it came to; empty where nothing is measured yet.

    One row per line that these books have: line, baseline, volume and price (which would have moved it anyway), would_be, actual, gain.
    """
    if not project.measured:
        return pd.DataFrame(columns=MEASURED)
    before, now = books.period(project.baseline), books.period(project.measured)
    rows = [_line(books, project.account, saving, before, now) for saving in project.savings]
    return pd.DataFrame([row for row in rows if row], columns=MEASURED, dtype=object)


def _line(books: Books, account: str, saving: Saving, before: Period, now: Period) -> tuple[object, ...] | None:
    old, driven = (_amount(books, account, before, column) for column in (saving.line, saving.driver))
    new, drives = (_amount(books, account, now, column) for column in (saving.line, saving.driver))
    if old is None or new is None:
        return None
    grown = drives / driven if driven and drives is not None else Decimal(1)
    volume = old * (grown - 1)
    price = old * grown * (_price(books, account, saving.line, before, now) - 1)
    would_be = old + volume + price
    label = books.engagement.statement[saving.line].label
    return label, *(amount.quantize(CENT) for amount in (old, volume, price, would_be, new, would_be - new))


def _amount(books: Books, account: str, period: Period, column: str) -> Decimal | None:
    """A line or driver of an account in a period; nothing is zero, None where the books do not have it."""
    report = customer_profitability(books, period)
    if column not in report:
        return None
    return total(report.loc[report["customer_id"] == account, column])


def _price(books: Books, account: str, line: str, before: Period, now: Period) -> Decimal:
    """How much dearer the activities on a line are than in the baseline, by what the account uses of each now; 1 where no activity makes it."""
    types = books.table("activity_types")
    if types is None:
        return Decimal(1)
    kinds = set(types.loc[types["line"] == line, "activity"])
    rates = [_rates(services(books, period, ["activity"])) for period in (before, now)]
    used = services(books, now, ["owner", "activity"])
    used = used[(used["owner"] == account) & used["activity"].isin(kinds & set(rates[0]) & set(rates[1]))]
    at_old, at_new = (sum((row.quantity * rate[row.activity] for row in used.itertuples()), ZERO) for rate in rates)
    return at_new / at_old if at_old else Decimal(1)


def _rates(done: Frame) -> dict[str, Decimal]:
    return {row.activity: row.amount / row.quantity for row in done.itertuples() if row.quantity}


def our_gain(books: Books, project: Project) -> tuple[Decimal, str]:
    """Our gain of a year before tax, and what it stands on: measured, or else expected of the baseline."""
    base, lines = books.period(project.baseline), measured(books, project)
    if len(lines):
        return (total(lines["gain"]) * 12 / base.months).quantize(CENT), "measured"
    amounts = [(_amount(books, project.account, base, s.line) or ZERO) * s.expected_share for s in project.savings]
    return (sum(amounts, ZERO) * 12 / base.months).quantize(CENT), "expected"


def sides(books: Books, project: Project, part: Decimal = Decimal(1)) -> Frame:
    """Both sides' accounts over the years, year 0 being the investment, where a `part` of the gains comes.

    One row per side and year: gain, written_off (of the investment), tax, capital (at the year's start), value_added (after tax and the price of that
    capital) and cash.
    """
    rates = books.engagement.settings.rates
    both = {
        "ours": (our_gain(books, project)[0], project.our_investment, rates.cost_of_capital, rates.tax_rate),
        "theirs": (project.their_gain, project.their_investment, project.their_cost_of_capital, project.their_tax_rate),
    }
    rows: list[tuple[object, ...]] = []
    for side, (whole, invested, cost, tax_rate) in both.items():
        gain, written = whole * part, invested / project.years
        rows.append((side, 0, ZERO, ZERO, ZERO, ZERO, ZERO, -invested))
        for year in range(1, project.years + 1):
            tax, capital = (gain - written) * tax_rate, invested - written * (year - 1)
            rows.append((side, year, gain, written, tax, capital, gain - written - tax - cost * capital, gain - tax))
    return pd.DataFrame(rows, columns=SIDES, dtype=object)


def worth(books: Books, project: Project, part: Decimal = Decimal(1)) -> Frame:
    """What the project is worth to either side (the index).

    Columns: invested, npv, value_added (its present value, the same to the cent), payback_years (missing where it never pays back).
    """
    costs = {"ours": books.engagement.settings.rates.cost_of_capital, "theirs": project.their_cost_of_capital}
    accounts = sides(books, project, part)
    rows = {}
    for side, cost in costs.items():
        years = accounts[accounts["side"] == side]
        discount = years["year"].map(lambda year, cost=cost: (1 + cost) ** year)
        npv, added = (total(years[column] / discount).quantize(CENT) for column in ("cash", "value_added"))
        rows[side] = [-years["cash"].iloc[0], npv, added, _payback(list(years["cash"]))]
    columns = ["invested", "npv", "value_added", "payback_years"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("side")


def _payback(cash: Sequence[Decimal]) -> float:
    """After how many years what was invested has come back, within a year in proportion."""
    if cash[0] == 0:
        return 0.0
    left, yearly = -cash[0], cash[1]
    years = float(left / yearly) if yearly > 0 else float("nan")
    return years if years <= len(cash) - 1 else float("nan")


def splits(books: Books, sharing: GainSharing, project: Project) -> Frame:
    """The joint gain (sum of both net present values) by three rules: by the agreed share, by what each invested, and equal gain, which for two is Shapley's.

    Returns
    -------
    One row per rule: rule, ours, theirs (which come to the joint gain, to the cent), we_pay (present value that goes from us to them; negative: they
    pay us), our_share. Empty where the joint gain is below the policy's least, or none.
    """
    own = worth(books, project)["npv"]
    joint, invested = total(own), project.our_investment + project.their_investment
    by_investment = {"by investment": project.our_investment / invested} if invested else {}
    rules = {"agreed share": sharing.policy.our_share, **by_investment, "equal gain": Decimal("0.5")}
    rows = [
        (rule, ours := (joint * part).quantize(CENT), joint - ours, own["ours"] - ours, share(ours, joint))
        for rule, part in rules.items() if joint > max(ZERO, sharing.policy.least_gain)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["rule", "ours", "theirs", "we_pay", "our_share"], dtype=object)


def their_part(books: Books, sharing: GainSharing, project: Project) -> Decimal:
    """The net present value that the customer keeps: by the agreed share, or its own where nothing is shared."""
    agreed = splits(books, sharing, project)
    return Decimal(agreed["theirs"].iloc[0] if len(agreed) else worth(books, project)["npv"]["theirs"])


def better_off(books: Books, project: Project) -> tuple[Decimal, Decimal] | None:
    """From what least to what most we may pay them (present value; negative: they pay us) so that both are better off; None where there is no joint gain."""
    own = worth(books, project)["npv"]
    return (-own["theirs"], own["ours"]) if total(own) > 0 else None


def falling_short(books: Books, sharing: GainSharing, project: Project) -> Frame:
    """What either side has where only a part of the gain comes, by the policy: part_share, joint, ours, theirs (net present values)."""
    agreed = splits(books, sharing, project)
    payment, shared = agreed["we_pay"].iloc[0] if len(agreed) else ZERO, sharing.policy.shortfall == "shared"
    rows = []
    for part in SHORT:
        own = worth(books, project, part)["npv"]
        joint, ours = total(own), own["ours"] - payment
        ours = (joint * sharing.policy.our_share).quantize(CENT) if shared and len(agreed) else ours
        rows.append((float(part), joint, ours, joint - ours))
    return pd.DataFrame(rows, columns=["part_share", "joint", "ours", "theirs"])


def overview(books: Books, sharing: GainSharing) -> Frame:
    """All projects: project, account (its name), our_gain and their_gain (a year, before tax), basis of ours, ours and theirs (net present values) and joint."""
    names = books.customers.set_index("customer_id")["customer_name"]
    rows = []
    for project in sharing.projects:
        (gain, basis), own = our_gain(books, project), worth(books, project)["npv"]
        rows.append((project.project, names[project.account], gain, basis, project.their_gain, *own, total(own)))
    columns = ["project", "account", "our_gain", "basis", "their_gain", "ours", "theirs", "joint"]
    return pd.DataFrame(rows, columns=columns, dtype=object)


@dataclass(frozen=True)
class Chosen:
    """One project in detail; all of it empty without a project.

    Name and periods in words, its measured lines and their bridge (as they move our margin), worth and accounts of both sides, splits, the range of payments
    in which both are better off (missing without a joint gain), and what happens when it falls short.
    """

    name: str
    periods: str
    years: int
    lines: Frame
    bridge: pd.Series
    worth: Frame
    accounts: Frame
    splits: Frame
    better_off: tuple[Decimal | None, Decimal | None]
    short: Frame


def chosen(books: Books, sharing: GainSharing, place: int) -> Chosen:
    """The project at a place of the file, 1 for the first; the last where there are fewer."""
    lines, none = pd.DataFrame(columns=MEASURED), pd.Series(dtype=object)
    if not sharing.projects:
        empty = pd.DataFrame(columns=["side", "npv", "joint", "part_share", "ours", "theirs", "we_pay"])
        return Chosen("", "", 0, lines, none, empty, empty, empty, (None, None), empty)
    project = sharing.projects[max(1, min(place, len(sharing.projects))) - 1]
    lines = measured(books, project)
    sums = {column: total(lines[column]) for column in MEASURED[1:]}
    names = {"Baseline": "baseline", "Volume": "volume", "Rates": "price", "Gain": "gain", "Actual": "actual"}
    steps = {name: sums[column] if name == "Gain" else -sums[column] for name, column in names.items()}
    bridge = pd.Series(steps, dtype=object) if len(lines) else none
    accounts = sides(books, project)
    return Chosen(
        project.project, f"{project.baseline} and {project.measured}", project.years, lines, bridge, worth(books, project), accounts,
        splits(books, sharing, project), better_off(books, project) or (None, None), falling_short(books, sharing, project),
    )  # fmt: skip
