"""Product and service agreements (PSA): drafted for each key account and segment, priced, and held against what came of those in force.

What a customer reads is in `clauses`, which sees none of these amounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd

from crmlib.assignment import choices, fitted
from crmlib.books.stored import Books, Frame
from crmlib.declared.agreements import Agreement, Agreements, Commitment, Contacts, Terms
from crmlib.declared.periods import Period, add_months
from crmlib.declared.reading import file_part
from crmlib.menu import CENT, cost, guidelines, priced_menu, read_agreements, read_menu, volumes
from crmlib.opportunities import opportunities
from crmlib.profitability import customer_profitability

MONTHS_AGREED = 24  # that a draft is valid
NONE = Decimal(0)
PROJECTS = {
    "white space": "A review of the range: {item}", "cost to serve": "Less effort for both sides in {item}",
    "payment terms": "Payment within the agreed days", "other": "{item}",
}  # fmt: skip
MOST_PROJECTS = 3
NO_SERVICE = pd.DataFrame(columns=["customer_id", "measure", "numerator", "denominator"])
RETURNS = "Returns and allowances"  # as opportunities call it
TERMS = ["code", "with_whom", "option", "name", "process", "line", "level", "volume", "unit_cost", "cost", "today_cost", "before_level", "before_cost",
         "months", "months_below", "penalty_cost"]  # fmt: skip


@dataclass(frozen=True)
class Draft:
    """The next version of an agreement, with whom, and the version before it; a draft of the menu, or as people wrote it.

    `code` names its files and says nothing of the segment; `name` is what a customer reads, '' of a segment's.
    """

    code: str
    name: str
    segment: str
    customers: tuple[str, ...]
    agreement: Agreement
    before: Agreement | None

    @property
    def with_whom(self) -> str:
        """The account's name or the segment's standard terms, for our own eyes."""
        return self.name or standard(self.segment)


def standard(segment: str) -> str:
    """What we call the agreement of a segment, which is with those of its customers who have none of their own."""
    return f"{segment}: standard terms"


@dataclass(frozen=True)
class _Ground:
    """What all drafts stand on: the books, every version agreed, the menu, what segments are offered, who gets a floor all the same, joint projects."""

    books: Books
    period: Period
    agreed: Agreements
    menu: Any
    guide: Frame
    at_floor: set[tuple[str, str]]
    projects: dict[str, tuple[str, ...]]


def drafts(books: Books, period: Period, decided: Frame, rows: Frame) -> list[Draft]:
    """The next agreement of each key account, of each other account that has had one, and of each segment, in this order; none without a menu.

    It offers what the guidelines offer the segment; of an option with a judged uplift the floor, where that is best for the account, or for most
    customers of the segment. Where all together would promise more of an option than can be delivered, its level is cut (`assignment.fitted`): first
    where a unit is worth least, of equals in standard terms, and never in what people wrote.

    Parameters
    ----------
    books
        With the segments of the period (`segments.with_segments`).
    decided, rows
        As `segments.differentiate` and `menu.priced`.
    """
    agreed, menu = read_agreements(books), read_menu(books).set_index("option").to_dict("index")
    if not menu:
        return []
    guide, choice = guidelines(books, period, rows), choices(books, period, rows)
    back = choice[choice["target_worth"] <= choice["floor_worth"]]
    at_floor = set(zip(back["customer_id"], back["option"], strict=True))
    ground = _Ground(books, period, agreed, menu, guide, at_floor, _projects(books, period))
    buyers = decided[decided["customer_id"].isin(volumes(books, period).index)]
    named = buyers[buyers["key"] | buyers["customer_id"].isin({a.account for a in agreed.agreements})]
    party = named["account_id"].where(named["key"], named["customer_id"])
    first = [str(account) for account in pd.concat([party[named["key"]], party]).drop_duplicates()]
    others = buyers[~buyers["customer_id"].isin(named["customer_id"])]
    offered = {*others["segment"]} & {*guide["segment"], *(a.segment for a in agreed.agreements)}
    groups = [others[others["segment"] == s] for s in books.engagement.segments if s in offered]
    made = [
        *(_draft(ground, account, named[party == account]) for account in first),
        *(_draft(ground, "", own) for own in groups),
    ]
    for option, row in menu.items():
        made = made if row["capacity"] is None else _within(ground, made, str(option), choice)
    return made


def _within(ground: _Ground, made: Sequence[Draft], option: str, choice: Frame) -> list[Draft]:
    """The drafts with a level of one option at which all together can be delivered."""
    own, bought = choice[choice["option"] == option].set_index("customer_id"), volumes(ground.books, ground.period)
    floors = ground.guide[ground.guide["option"] == option].set_index("segment")["floor"].to_dict()
    rows = []
    for place, draft in enumerate(made):
        level = next((c.level for c in draft.agreement.commitments if c.option == option), NONE)
        volume = bought.loc[list(draft.customers), ground.menu[option]["per"]].sum()
        gains = own.reindex(list(draft.customers)).sum()
        units = gains["target_units"] - gains["floor_units"]
        each = (gains["target_worth"] - gains["floor_worth"]) / units if units > 0 else 0.0
        floor = level if draft.agreement in ground.agreed.agreements else floors.get(draft.segment, NONE)
        rows.append((draft.agreement.account != "", each, -place, level, floor, volume))
    terms = pd.DataFrame(rows, columns=["alone", "worth", "order", "level", "floor", "volume"], dtype=object)
    terms = terms.sort_values(["worth", "alone", "order"])
    levels = fitted(terms, ground.menu[option]["capacity"] * ground.period.months / 12)
    cut = levels < terms["level"]
    return [_at_level(draft, option, levels[place]) if cut[place] else draft for place, draft in enumerate(made)]


def _at_level(draft: Draft, option: str, level: Decimal) -> Draft:
    """The draft with another level of one option that it promises."""
    terms = [c if c.option != option else c.model_copy(update={"level": level}) for c in draft.agreement.commitments]
    promised = {"commitments": tuple(c for c in terms if c.level > 0)}
    return replace(draft, agreement=draft.agreement.model_copy(update=promised))


def cuts(books: Books, period: Period, made: Sequence[Draft], rows: Frame) -> Frame:
    """What drafts promise less of than they would, were there more of it to deliver (`rows` as `menu.priced`).

    Returns
    -------
    One row per draft and option, what is worth most first: with_whom, name (of the option), offered and promised (levels), units (by how many fewer, in a
    period like this one), worth (judged uplift less cost of what is cut; missing where no uplift is judged). What is worth less than it costs is not in it.
    """
    menu: Any = priced_menu(books, period)
    bought, written = volumes(books, period), read_agreements(books).agreements
    guide, choice = guidelines(books, period, rows), choices(books, period, rows)
    gains = (choice["target_worth"] - choice["floor_worth"]).groupby([choice["customer_id"], choice["option"]]).sum()
    found = []
    for draft in (draft for draft in made if draft.agreement not in written):
        levels, customers = {c.option: c.level for c in draft.agreement.commitments}, list(draft.customers)
        options: Any = guide[guide["segment"] == draft.segment].set_index("option").iterrows()
        for option, own in options:
            offered, level = own["offered_level"], levels.get(option, NONE)
            parts = gains.reindex([(c, option) for c in customers])
            if level == offered or 2 * (parts <= 0).sum() > len(customers):
                continue  # all that is offered, or its floor, which is best
            part = float((offered - level) / (offered - own["floor"])) if offered > own["floor"] else 0.0
            worth = parts.sum() * part if parts.notna().any() else None
            if worth is None or worth > 0:
                units = (offered - level) * bought.loc[customers, menu.at[option, "per"]].sum()
                found.append((draft.with_whom, own["name"], offered, level, units, worth))
    table = pd.DataFrame(found, columns=["with_whom", "name", "offered", "promised", "units", "worth"])
    return table.astype({"worth": float}).sort_values("worth", ascending=False, kind="stable", ignore_index=True)


def _draft(ground: _Ground, account: str, own: Frame) -> Draft:
    """With an account, or '' for the customers of a segment: the version that people wrote for the time after the period, else one of the menu."""
    names = ground.books.customers.set_index("customer_id")["customer_name"]
    segment, customers = str(own["segment"].iloc[0]), tuple(own["customer_id"])
    versions = ground.agreed.of(account, "" if account else segment)
    before = next((a for a in reversed(versions) if a.valid_from < ground.period.end), None)
    written = next((a for a in reversed(versions) if a.valid_from >= ground.period.end), None)
    code = file_part(account) if account else f"standard-{ground.books.engagement.segments.index(segment) + 1:02}"
    return Draft(code, str(names.get(account, "")), segment, customers, written or Agreement(
        account=account, segment="" if account else segment, version=before.version + 1 if before else 1, **_validity(ground.period, before),
        contacts=before.contacts if before else Contacts(ours=_managers(ground.books, customers) if account else ()),
        commitments=_offered(ground, segment, customers), projects=ground.projects.get(account, ()), **(before.model_dump(include={*Terms.model_fields}) if before else {}),
    ), before)  # fmt: skip


def _validity(period: Period, before: Agreement | None) -> dict[str, Any]:
    start = max(period.end, before.valid_to + timedelta(days=1)) if before else period.end
    end = add_months(start, MONTHS_AGREED).replace(day=min(start.day, 28)) - timedelta(days=1)
    return {"valid_from": start, "valid_to": end}


def _managers(books: Books, customers: Sequence[str]) -> tuple[str, ...]:
    own = books.customers[books.customers["customer_id"].isin(customers)]
    return tuple(dict.fromkeys(m for m in own.get("account_manager", ()) if m))


def _offered(ground: _Ground, segment: str, customers: Sequence[str]) -> tuple[Commitment, ...]:
    """What customers of a segment are offered, as commitments in the order of the menu."""
    own = ground.guide[ground.guide["segment"] == segment].set_index("option").to_dict("index")
    how = ("measure", "target", "method", "penalty", "bonus")
    found = []
    for option, row in ((option, row) for option, row in ground.menu.items() if option in own):
        held = sum((customer, option) in ground.at_floor for customer in customers)
        level = own[option]["floor" if 2 * held > len(customers) else "offered_level"]
        found.append({"option": option, "level": level, **{k: row[k] for k in how if row[k] is not None}})
    return tuple(Commitment.model_validate(each) for each in found if each["level"] > 0)


def _projects(books: Books, period: Period) -> dict[str, tuple[str, ...]]:
    """Joint projects by customer: its largest opportunities that both sides can work on, named without a figure or another customer."""
    found, types = opportunities(books, period), books.table("activity_types")
    done = set() if types is None else {books.statement[line].label for line in set(types["line"])}
    joint = found["item"].isin({*done, RETURNS}) | (found["kind"] != "cost to serve")
    said = (found["item"] != "") | (found["kind"] == "payment terms")
    found = found[joint & said & found["kind"].isin(list(PROJECTS))]
    pairs = zip(found["kind"], found["item"], strict=True)
    texts = [PROJECTS[kind].format(item=item.lower() if kind == "cost to serve" else item) for kind, item in pairs]
    found = found.assign(text=texts).drop_duplicates(["customer_id", "text"]).groupby("customer_id").head(MOST_PROJECTS)
    return {str(customer): tuple(own["text"]) for customer, own in found.groupby("customer_id")}


def commitments(books: Books, period: Period, made: Sequence[Draft], rows: Frame) -> Frame:
    """What each draft promises and what it costs in a period like this one, each amount to the cent.

    Parameters
    ----------
    rows
        As `menu.priced`.

    Returns
    -------
    One row per draft and option that it or the version before promises: code, with_whom, option, name, process, line, level, volume (of what levels are
    counted by), unit_cost, cost (the sum over its customers of level × volume × unit cost), today_cost, before_level and before_cost (of the version
    before, at today's volumes), months (in which the measure is known) and months_below (its target), penalty_cost (what that would cost, less
    bonuses; 0 where nothing is known).
    """
    menu: Any = priced_menu(books, period).to_dict("index")
    bought: Any = volumes(books, period).to_dict("index")
    today: Any = rows.set_index(["customer_id", "option"])["today_cost"].to_dict()
    found = list[tuple[Any, ...]]()
    held = _months_held(books, period)
    for draft in made:
        new, old = ({c.option: c for c in a.commitments} if a else {} for a in (draft.agreement, draft.before))
        for o, row in ((o, row) for o, row in menu.items() if o in new or o in old):
            volume = {c: bought[c][row["per"]] for c in draft.customers}
            levels = [side[o].level if o in side else NONE for side in (new, old)]
            costs = [sum((cost(level, v, row["unit_cost"]) for v in volume.values()), NONE) for level in levels]
            now = sum((today.get((c, o), NONE) for c in draft.customers), NONE)
            missed = _missed(held, new.get(o), {c: bought[c]["net_sales"] / period.months for c in draft.customers})
            found.append((draft.code, draft.with_whom, o, row["name"], row["process"], row["line"], levels[0], sum(volume.values(), NONE), row["unit_cost"], costs[0], now,
                          levels[1], costs[1], *missed))  # fmt: skip
    return pd.DataFrame(found, columns=TERMS)


def _months_held(books: Books, period: Period) -> dict[tuple[str, str], list[tuple[Decimal, Decimal]]]:
    """By customer and measure of service: numerator and denominator of each month in which there was something to measure."""
    table = books.table("service_levels")
    known = period.rows(table).query("denominator > 0") if table is not None else NO_SERVICE
    rows: Any = known.groupby(["customer_id", "measure"])
    return {key: list(zip(own["numerator"], own["denominator"], strict=True)) for key, own in rows}


def _missed(held: Any, promised: Commitment | None, month: dict[str, Decimal]) -> tuple[int, int, Decimal]:
    """Months of a measure, those below the promised target, and the penalty less the bonus at each customer's net sales of a month, to the cent."""
    if promised is None or promised.target is None:
        return 0, 0, NONE
    below = [
        (each, numerator < promised.target * denominator)
        for c, each in month.items()
        for numerator, denominator in held.get((c, promised.measure), ())
    ]
    owed = sum((each * (promised.penalty if missed else -promised.bonus) for each, missed in below), NONE)
    return len(below), sum(missed for _, missed in below), owed.quantize(CENT, ROUND_HALF_UP)


def economics(books: Books, period: Period, made: Sequence[Draft], promised: Frame, rows: Frame) -> Frame:
    """What each draft leaves in a period like this one, if what is not promised is not given.

    Parameters
    ----------
    promised, rows
        As `commitments` and `menu.priced`.

    Returns
    -------
    One row per draft: code, with_whom, segment, version, customers, sales, margin (net, today), today_cost (of all options on the menu), committed,
    penalty_cost, margin_then (margin + today_cost − committed − penalty_cost), beside_today (margin_then − margin), judged_gain (what the judged uplifts
    of what is promised would bring beside today, in none of the others) and walk_away_share (margin_then / sales: a lower price by so much leaves
    nothing; missing where nothing is left).
    """
    report = customer_profitability(books, period).set_index("customer_id")
    measures = report[["sales", books.statement_in(period).net_margin.id]]
    today = rows.groupby("customer_id")["today_cost"].sum()
    sums = promised.groupby("code")[["cost", "penalty_cost"]].sum()
    found = []
    for draft in made:
        given = sum((today.get(c, NONE) for c in draft.customers), NONE)
        costs = sums.loc[draft.code] if draft.code in sums.index else (NONE, NONE)
        amounts, version = (*measures.loc[list(draft.customers)].sum(), given, *costs), draft.agreement.version
        found.append((draft.code, draft.with_whom, draft.segment, version, len(draft.customers), *amounts))
    names = ["code", "with_whom", "segment", "version", "customers", "sales", "margin", "today_cost", "committed", "penalty_cost"]  # fmt: skip
    table = pd.DataFrame(found, columns=names).astype(dict.fromkeys(names[5:], object))
    table["margin_then"] = table["margin"] + table["today_cost"] - table["committed"] - table["penalty_cost"]
    table["beside_today"] = table["margin_then"] - table["margin"]
    share = [e / s if e > 0 else None for e, s in zip(table["margin_then"], table["sales"], strict=True)]
    gains = judged_gains(choices(books, period, rows), made)
    gain = [sum((gains.get(c, NONE) for c in draft.customers), NONE) for draft in made]
    added = pd.DataFrame({"judged_gain": gain, "walk_away_share": share}, table.index, dtype=object)
    return table.join(added)


def together(left: Frame) -> dict[str, Decimal]:
    """What all drafts (`left` as `economics`) bring beside today, by its three parts; nothing without drafts."""
    sums = left[["today_cost", "committed", "penalty_cost", "judged_gain"]].sum()
    parts = {"Services as agreed": sums["today_cost"] - sums["committed"], "Penalties as they were": -sums["penalty_cost"], "Uplift as judged": sums["judged_gain"]}  # fmt: skip
    return parts if len(left) else {}


def judged_gains(choice: Frame, made: Sequence[Draft]) -> dict[str, Decimal]:
    """By customer: the uplift of each level promised, less that of what is given today (`choice` as `assignment.choices`), to the cent."""
    levels, gain = promised_levels(made), dict[str, float]()
    for row in choice[choice["customer_id"].isin([c for draft in made for c in draft.customers])].to_dict("records"):
        level = float(levels.get((row["customer_id"], row["option"]), 0))
        part = (level - row["floor"]) / (row["target"] - row["floor"]) if row["target"] > row["floor"] else 0.0
        more = row["uplift"] * (min(max(part, 0.0), 1.0) - row["today_part"])
        gain[row["customer_id"]] = gain.get(row["customer_id"], 0.0) + more
    return {customer: Decimal(amount).quantize(CENT) for customer, amount in gain.items()}


def promised_levels(made: Sequence[Draft]) -> dict[tuple[str, str], Decimal]:
    """The level that each customer is promised of an option, by both."""
    return {(c, o.option): o.level for draft in made for c in draft.customers for o in draft.agreement.commitments}


def savings(books: Books, period: Period, made: Sequence[Draft], rows: Frame) -> Frame:
    """What drafts save with each customer on each line, if what is not promised is not given (`rows` as `menu.priced`): customer_id, line (its label), saved.

    Together they are what `economics` says of all drafts: today_cost − committed.
    """
    menu, bought, levels = priced_menu(books, period), volumes(books, period).to_dict("index"), promised_levels(made)
    today: Any = rows.set_index(["customer_id", "option"])["today_cost"].to_dict()
    parties = {c for draft in made for c in draft.customers}
    found = []
    for customer, option in dict.fromkeys([*(key for key in today if key[0] in parties), *levels]):
        row = menu.loc[option]
        then = cost(levels.get((customer, option), NONE), bought[customer][row["per"]], row["unit_cost"])
        label = books.engagement.statement[row["line"]].label
        found.append((customer, label, today.get((customer, option), NONE) - then))
    saved: Frame = pd.DataFrame(found, columns=["customer_id", "line", "saved"])
    return saved.groupby(["customer_id", "line"]).sum().reset_index()


def parties(books: Books, period: Period) -> Iterator[tuple[Agreement, str, list[str]]]:
    """Each agreement in force in a period, with whom, and its customers: of a segment those without an agreement of their own."""
    agreed, rows = read_agreements(books), books.customers.set_index("customer_id")
    alone = {a.account for a in agreed.agreements}
    for agreement in agreed.in_force(period.start, period.end):
        others = [str(c) for c in rows.index[rows["segment"] == agreement.segment] if c not in alone]
        name = str(rows["customer_name"].get(agreement.account, standard(agreement.segment)))
        yield agreement, name, [agreement.account] if agreement.account else others


def realised(books: Books, period: Period) -> Frame:
    """What the agreements in force in a period were expected to bring, beside what they brought in those of its months in which they held.

    Returns
    -------
    One row per agreement with an expectation: party (customer_id or segment), with_whom, version, months, expected_sales, sales, expected_margin, margin
    (net), difference (of margins). A segment's are those of today's customers without an agreement of their own.
    """
    found = []
    for a, name, customers in parties(books, period):
        if a.expected is None:
            continue
        months = Period(max(period.start, a.valid_from.replace(day=1)), min(period.end, add_months(a.valid_to, 1)))
        report: Any = customer_profitability(books, months)
        own = report[report["customer_id"].isin(customers)]
        amounts = []
        for yearly, line in (
            (a.expected.sales, "sales"),
            (a.expected.margin, books.statement_in(months).net_margin.id),
        ):
            amounts += [(yearly * months.months / 12).quantize(CENT, ROUND_HALF_UP), NONE + own[line].sum()]
        found.append((a.account or a.segment, name, a.version, months.months, *amounts))
    columns = ["party", "with_whom", "version", "months", "expected_sales", "sales", "expected_margin", "margin"]
    table = pd.DataFrame(found, columns=columns)
    table["difference"] = table["margin"] - table["expected_margin"]
    return table.sort_values("difference", ignore_index=True)
