"""The complete lists of a report: what pages show the first rows of."""

from __future__ import annotations

import pandas as pd

from crmlib.books.stored import Books
from crmlib.declared.periods import Period

TITLES = {
    "segments": "Segments", "key_accounts": "Key accounts", "at_risk": "At risk", "actions": "Actions",
    "contradictions": "Contradictions", "opportunities": "Opportunities",
    "teams": "Teams", "priced_agreements": "Priced agreements",
}  # fmt: skip


def lists(books: Books, period: Period) -> dict[str, pd.DataFrame]:
    """By name the complete lists of a period, of books as they were opened.

    segments: every customer with segment, reason, score, what was compared and the matrices; key_accounts; at_risk: who is slowing,
    silent or lost; actions: what to do first; contradictions: on whom a lens contradicts the decision; opportunities: all, the largest first; teams: the charter of each.
    """
    from crmlib import actions, lenses, opportunities, segments, states, teams

    everyone = segments.differentiate(books, period)
    placed = lenses.matrices(books, period, everyone)
    rules, members = segments.read_segments(books), teams.read_members(books)
    signals = states.at_risk(books, period, rules).rename(columns={"account_id": "customer_id"})
    segmented = segments.with_segments(books, period, everyone)
    found, served = opportunities.opportunities(segmented, period), teams.teams(everyone, members, rules)
    needed = teams.hours_needed(segmented, period, everyone, teams.read_functions(books), found)
    places = teams.places(needed, served, members)
    names = everyone[["customer_id", "customer_name", "segment"]]
    beyond = placed.columns.difference(everyone.columns, sort=False).insert(0, "customer_id")
    return {
        "segments": everyone.merge(placed[beyond], on="customer_id", how="left"),
        "key_accounts": segments.key_accounts(everyone),
        "at_risk": names.merge(signals, on="customer_id", how="right"),
        "actions": actions.actions(segmented, period),
        "contradictions": lenses.disagreements(placed),
        "opportunities": found,
        "teams": teams.charters(everyone, served, needed, places, members, found).reset_index(),
    }
