"""What is planted in the sample company is found from its numbers, and is who data/README.md says."""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from crmlib import agreements, eva, implementation, menu, opportunities, teams
from crmlib.books.stored import Books, read_cube, sales_of, services
from crmlib.declared.reading import PROJECT
from crmlib.full_cost import full_cost, time_driven
from crmlib.movement import price_volume_mix
from crmlib.profitability import (
    customer_profitability,
    deciding_lines,
    firm_profitability,
    group_profitability,
    whale_curve,
)
from crmlib.segments import differentiate, read_segments, with_segments
from crmlib.states import customer_states

STORIES = {
    cells[0]: cells[1:]
    for line in (PROJECT / "data" / "README.md").read_text(encoding="utf-8").splitlines()
    if len(cells := [cell.strip() for cell in line.strip("|").split(" | ")]) == 4
}


def who(story: str) -> str:
    """The customer of a story, without its id."""
    return re.sub(r" \(\w+\)$", "", STORIES[story][0])


def amounts(story: str) -> list[Decimal]:
    """Numbers that the page gives for a story."""
    return [Decimal(text.replace(",", "")) for text in re.findall(r"-?\d[\d,]*(?:\.\d+)?", STORIES[story][2])]


@pytest.fixture(scope="module")
def year(sample: Books) -> pd.DataFrame:
    """Known customers in 2025, by name."""
    report = customer_profitability(sample, sample.period("2025"))
    return report[report["customer_id"] != ""].set_index("customer_name")


@pytest.fixture(scope="module")
def larger(year: pd.DataFrame) -> pd.DataFrame:
    """The half of the customers that buys more."""
    return year[year["sales"] > year["sales"].median()]


@pytest.fixture(scope="module")
def monthly(sample: Books) -> pd.DataFrame:
    """Sales by customer's name and month, all 36 months."""
    rows = read_cube(sample, sample.engagement.coverage).query("level == 'customer'")
    names = sample.customers.set_index("customer_id")["customer_name"]
    return rows.assign(name=rows["owner"].map(names), sales=rows["sales"].map(float)).pivot_table(
        index="name", columns="month", values="sales", aggfunc="sum", fill_value=0.0
    )


def highest(values: pd.Series) -> str:
    return str(values.map(float).idxmax())


def test_the_company_is_as_large_as_was_asked_for(sample: Books) -> None:
    lines = sample.intake.set_index(["table", "column"]).loc[("invoice_lines", "rows"), "read"]
    assert 90_000 < lines < 110_000
    assert 230 < len(sample.customers) < 270
    assert sample.customers["account_type"].nunique() == 6
    assert sample.customers["parent_id"].ne("").any()
    assert sample.engagement.coverage.months == 36


def test_the_top_fifth_of_customers_earns_about_twice_the_total(year: pd.DataFrame) -> None:
    curve = whale_curve(year.reset_index(), "net_segment_margin")
    top = curve.loc[curve["group"] == "top fifth", "cumulative"].iloc[-1]
    assert Decimal("1.8") < top / curve["cumulative"].iloc[-1] < Decimal("2.2")


def test_one_of_the_three_largest_loses_money_once_cost_to_serve_is_in(year: pd.DataFrame) -> None:
    largest = year.loc[year["sales"].map(float).nlargest(3).index]
    losing = largest[largest["net_segment_margin"] < 0]
    assert losing.index.tolist() == [who("One of the three largest loses money")]
    assert (losing["manufacturing_contribution"] > 0).all()


def test_salaries_are_spent_on_earners_and_losers_alike(sample: Books, year: pd.DataFrame) -> None:
    earns, managed = year["net_segment_margin"] > 0, year["salaries"] > 0
    decided = differentiate(sample, sample.period("2025")).set_index("customer_id")
    keys = year["customer_id"].isin(decided.index[decided["key"]])
    largest = year["sales"].map(float).nlargest(round(len(year) / 5)).index
    assert managed[largest].mean() > 0.9
    assert managed[keys].all()
    assert earns[keys].all()
    assert earns[managed].mean() > 0.5
    assert 0.2 < (~earns)[~managed].mean() < 0.5
    assert (~managed)[earns].sum() > 30


def test_fewer_than_half_lose_and_each_for_more_than_one_line(sample: Books, year: pd.DataFrame) -> None:
    losers = year[year["net_segment_margin"] < 0]
    assert 1 / 3 < len(losers) / len(year) < 0.45
    decides = deciding_lines(sample, year, sample.period("2025")).set_index("customer_id")["line"]
    shares = decides[losers["customer_id"]].value_counts(normalize=True)
    assert (shares > 0.05).sum() >= 4
    assert shares.max() < 0.6
    lines = ["discounts_returns_allowances", "transportation", "order_processing", "salaries", "promotion_and_slotting"]
    excess = losers[lines].sum() / losers["sales"].sum() - year[lines].sum() / year["sales"].sum()
    assert (excess > Decimal("0.02")).all()


def test_the_account_type_that_is_worst_at_full_cost_contributes(sample: Books, year: pd.DataFrame) -> None:
    spread = full_cost(sample, sample.period("2025")).set_index("customer_id")["full_cost_profit"]
    by_type = year.assign(full=year["customer_id"].map(spread)).groupby("account_type")[["full", "net_sales"]].sum()
    worst = str((by_type["full"] / by_type["net_sales"]).map(float).idxmin())
    margins = group_profitability(sample, sample.period("2025")).whole["net_segment_margin"]
    assert by_type.at[worst, "full"] < 0 < margins[worst]
    assert round(by_type.at[worst, "full"]) == amounts("Worst at full cost, yet contributes")[0]
    assert worst == who("Worst at full cost, yet contributes")


def test_account_types_own_costs_that_are_no_customers(sample: Books) -> None:
    groups = group_profitability(sample, sample.period("2025")).whole
    types = groups.drop(index=["Unassigned", "Other owners", "Firm"])["own_costs"]
    assert len(types) == 6
    assert (types > 0).all()
    assert [round(types.sum()), round(types.max())] == amounts("Costs of an account type and of no customer")
    assert highest(types) in STORIES["Costs of an account type and of no customer"][0]


def test_a_small_customer_grows_fast_in_both_years(monthly: pd.DataFrame) -> None:
    first, second, third = (monthly.iloc[:, 12 * i : 12 * i + 12].sum(axis=1) for i in range(3))
    bought = (first > 0) & (second > 0)
    growth = pd.concat([second / first, third / second], axis=1)[bought].min(axis=1)
    grower = highest(growth)
    assert grower == who("Small and growing fast")
    assert growth[grower] > 1.5
    assert third[grower] < third[third > 0].median()


def test_a_larger_customer_declines_slowly_and_steadily(monthly: pd.DataFrame) -> None:
    quarters = np.add.reduceat(monthly.to_numpy(), range(0, 36, 3), axis=1)
    before = monthly.iloc[:, :12].sum(axis=1)
    large = (before > before.quantile(0.75)) & (quarters > 0).all(axis=1)
    trend = pd.Series([np.corrcoef(range(12), row)[0, 1] for row in quarters[large]], index=monthly.index[large])
    decliner = str(trend.idxmin())
    assert decliner == who("In slow decline")
    first, second, third = (monthly.loc[decliner].iloc[12 * i : 12 * i + 12].sum() for i in range(3))
    assert first > second > third > first / 2


def test_a_slow_payer_is_charged_for_months_of_its_sales(larger: pd.DataFrame) -> None:
    days = (larger["receivables_charge"] / Decimal("0.12") / larger["net_sales"] * 365).map(float)
    assert highest(days) == who("Slow payer")
    assert days.max() > 120
    assert days.median() < 60


def test_a_serial_returner_has_a_credit_note_for_most_of_its_orders(larger: pd.DataFrame) -> None:
    notes = larger["credits"] / larger["orders"]
    assert highest(notes) == who("Serial returner")
    assert notes.max() > 0.5 > notes.map(float).nlargest(2).iloc[1]


def test_a_rush_orderer_rushes_most_of_its_orders(sample: Books, year: pd.DataFrame) -> None:
    done = services(sample, sample.period("2025"), ["owner", "activity"])
    rushes = done[done["activity"] == "rush_order"].set_index("owner")["quantity"]
    orders = year["orders"]
    rush = year["customer_id"].map(lambda owner: rushes.get(owner, Decimal(0))) / orders.replace(0, 1)
    assert highest(rush) == who("Rush orderer")
    assert rush.max() > Decimal("0.5")
    assert rushes.sum() / orders.sum() < Decimal("0.1")


def test_both_pools_have_capacity_that_no_customer_used(sample: Books) -> None:
    lens = time_driven(sample, sample.period("2025"))
    assert lens is not None
    unused = lens[lens["activity"] == "unused"].set_index("pool")["used"] / lens.groupby("pool")["used"].sum()
    assert unused.between(Decimal("0.05"), Decimal("0.4")).all()
    assert set(unused.index) == set(STORIES["Unused capacity"][0].split(", "))
    shares = [round(share * 100) for share in unused]
    uncharged = firm_profitability(sample, sample.period("2025"))["uncharged_capacity"]
    told = amounts("Unused capacity")
    assert told[::2] == shares
    assert abs(sum(told[1::2]) - uncharged) <= 1


def test_one_to_two_percent_of_sales_have_no_known_customer(sample: Books) -> None:
    gross = sample.intake.set_index(["table", "column"]).loc[("invoice_lines", "gross_sales")]
    assert Decimal("0.01") < gross["unassigned"] / gross["read"] < Decimal("0.02")
    assert round(gross["unassigned"]) == amounts("Sales without a known customer")[0]


def test_duplicate_bookings_are_reported_with_their_amount(sample: Books) -> None:
    twice = sample.findings.query("code == 'row-twice'").groupby("table")[["count", "amount"]].sum()
    assert twice.loc[["invoice_lines", "costs"]].to_numpy().ravel().tolist() == amounts("Duplicate bookings, kept")


def test_control_totals_tie_with_two_reconciling_items(sample: Books) -> None:
    items = sample.table("reconciliation")
    assert items is not None
    assert items["amount"].tolist() == [a for a in amounts("Two reconciling items") if abs(a) > 2025]
    totals = sample.tie_out.query("check == 'ledger + reconciling items = control total'")
    assert len(totals) > 100
    assert totals["tied"].all()


def test_products_came_and_went_and_prices_rose(sample: Books) -> None:
    now, before = (sales_of(sample, sample.period(y)) for y in ("2025", "2024"))
    steps = price_volume_mix(sample, sample.period("2025"), sample.period("2024"))
    assert now is not None
    assert before is not None
    assert steps is not None
    new, lost = (set(now["product_id"]) - set(before["product_id"]), set(before["product_id"]) - set(now["product_id"]))
    names = sample.table("products").set_index("product_id")["product_name"]
    story = STORIES["Price, volume and mix"][2]
    assert all(names[product] in story for product in {*new, *lost})
    assert (len(new), len(lost)) == (2, 1)
    amount = steps.set_index("label")["amount"]
    assert amount["New products"] > 0 > amount["Lost products"]
    assert amount["Price"] > 0


@pytest.mark.parametrize("state", ["Active", "New", "Slowing", "Silent", "Lost"])
def test_a_customer_of_each_state_is_found_with_its_date(sample: Books, state: str) -> None:
    _, _, told = STORIES[f"{state} customer"]
    ids = sample.customers.set_index("customer_name")["customer_id"]
    row = customer_states(sample, sample.period("2025"), read_segments(sample)).loc[ids[who(f"{state} customer")]]
    assert row["state"] == state.lower()
    if state == "Slowing":
        latest, before = amounts(f"{state} customer")[0], amounts(f"{state} customer")[2]
        assert 1 - latest / before == pytest.approx(Decimal(row["fall_share"]), abs=Decimal("0.05"))
    else:
        assert f"{row['first_order' if state == 'New' else 'last_order']}" in told


def test_a_key_account_manager_has_more_to_do_than_hours_and_one_account_changes_hands(sample: Books) -> None:
    period = sample.period("2025")
    decided = differentiate(sample, period)
    members, functions = teams.read_members(sample), teams.read_functions(sample)
    served = teams.teams(decided, members, read_segments(sample))
    books = with_segments(sample, period, decided)
    needed = teams.hours_needed(books, period, decided, functions, opportunities.opportunities(books, period))
    placed = teams.places(needed, served, members)
    load = teams.loads(placed, members, functions).set_index("member")
    assert load.index[0] == "D. Whitlock"
    assert {"S. Moreau", "A. Bianchi"} <= set(load.index[load["state"] == "under"])
    proposed = teams.reassigned(placed, members, functions)
    moves = proposed[(proposed["member"] != proposed["to"]) & (proposed["function"] == "sales")]
    assert moves.groupby("member").size().to_dict() == {"D. Whitlock": 1, "J. Tanaka": 1}
    assert set(moves["to"]) <= {"S. Moreau", "A. Bianchi", "R. Okafor"}
    assert "over" not in set(teams.loads(proposed.assign(member=proposed["to"]), members, functions)["state"])
    new = {"C172", "C293"}  # key accounts of this year, whom nobody of logistics has on the list
    assert new <= set(placed.loc[(placed["member"] == teams.NOBODY) & (placed["function"] == "logistics"), "unit"])
    assert "purchasing" not in set(members["function"])


def test_the_firm_earns_a_profit_and_less_than_its_capital_costs(sample: Books) -> None:
    account = eva.of_firm(sample, sample.period("2025")).account
    figures = [abs(round(account[name])) for name in ("profit", "nopat", "employed", "charge", "eva")]
    assert account["eva"] < 0 < account["profit"]
    assert list(map(abs, amounts("A profit, and less than its capital costs"))) == figures


def test_two_customers_are_served_below_what_was_agreed_and_it_shows_in_the_scorecard(sample: Books) -> None:
    period = sample.period("2025")
    held = implementation.service_held(with_segments(sample, period), period)
    months = implementation.control_limits(held).query("held")
    sums = months.groupby(["with_whom", "measure"])[["numerator", "denominator", "outside"]].sum()
    given = sums["numerator"] / sums["denominator"]
    below = given[given < months.groupby(["with_whom", "measure"])["target"].first()]
    assert set(below.index) == {(who("Delivered late"), "delivered on time"), (who("Delivered short"), "delivered in full")}  # fmt: skip
    assert {name for name, n in sums["outside"].items() if n} == set(below.index)
    assert held[held["below"].astype(bool) & held["held"].astype(bool)]["owed"].sum() > 10_000


def test_one_agreement_pays_and_one_does_not(sample: Books) -> None:
    period = sample.period("2025")
    books = with_segments(sample, period)
    realised = agreements.realised(books, period).set_index("party")["difference"]
    assert realised.idxmin() == "C235"
    assert realised["C235"] < -100_000 < 0 < realised["C135"]
    since = implementation.since(books, period).set_index("party")
    assert since.loc["C235", "margin"] < since.loc["C235", "margin_before"] < 0 < since.loc["C135", "margin"]
    assert since["before"].eq("2023").all()


def test_one_agreement_in_force_pays_and_one_does_not(sample: Books) -> None:
    period = sample.period("2025")
    found = agreements.realised(with_segments(sample, period), period)
    of_accounts = found[found["party"].isin(sample.customers["customer_id"])].set_index("with_whom")
    for story, row in (
        ("Agreement that does not pay", of_accounts.iloc[0]),
        ("Agreement that pays", of_accounts.iloc[-1]),
    ):
        assert row.name == who(story)
        assert amounts(story) == [round(row["margin"]), row["expected_margin"]]
    assert of_accounts["difference"].iloc[0] < 0 < of_accounts["difference"].iloc[-1]


def test_who_is_served_below_what_was_agreed_would_be_owed_most(sample: Books) -> None:
    period = sample.period("2025")
    decided = differentiate(sample, period)
    books = with_segments(sample, period, decided)
    rows = menu.priced(books, period)
    promised = agreements.commitments(books, period, agreements.drafts(books, period, decided, rows), rows)
    owed = {option: own.set_index("with_whom")["penalty_cost"] for option, own in promised.groupby("option")}
    assert highest(owed["booked_window"]) == who("Delivered late")
    assert highest(owed["reserved_stock"]) == who("Delivered short")


def test_what_the_rush_orderer_and_the_returner_cost_shows_on_the_menu(sample: Books) -> None:
    period = sample.period("2025")
    rows = menu.priced(with_segments(sample, period), period)
    names = sample.customers.set_index("customer_id")["customer_name"]
    for option, story in (("rush_orders", "Rush orderer"), ("collected_returns", "Serial returner")):
        own = rows[rows["option"] == option]
        beyond = (
            own[own["today"] > 3 * own["target"] * own["volume"]]
            .assign(name=own["customer_id"].map(names))
            .set_index("name")
        )
        assert who(story) in beyond.index
        assert beyond.at[who(story), "today_cost"] > own["today_cost"].map(float).quantile(0.9)
