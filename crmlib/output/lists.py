"""The complete lists of a report: what pages show the first rows of."""

from __future__ import annotations

import pandas as pd

from crmlib.books.stored import Books
from crmlib.declared.periods import Period

TITLES = {
    "segments": "Segments", "key_accounts": "Key accounts", "at_risk": "At risk", "actions": "Actions",
    "contradictions": "Contradictions", "opportunities": "Opportunities",
}  # fmt: skip


def lists(books: Books, period: Period) -> dict[str, pd.DataFrame]:
    """By name the complete lists of a period, of books as they were opened.

    segments: every customer with segment, reason, score, what was compared and the matrices; key_accounts; at_risk: who is slowing,
    silent or lost; actions: what to do first; contradictions: on whom a lens contradicts the decision; opportunities: all, the largest first.
    """
    from crmlib import actions, lenses, opportunities, segments, states

    everyone = segments.differentiate(books, period)
    placed = lenses.matrices(books, period, everyone)
    signals = states.at_risk(books, period, segments.read_segments(books)).rename(columns={"account_id": "customer_id"})
    segmented = segments.with_segments(books, period, everyone)
    names = everyone[["customer_id", "customer_name", "segment"]]
    beyond = placed.columns.difference(everyone.columns, sort=False).insert(0, "customer_id")
    return {
        "segments": everyone.merge(placed[beyond], on="customer_id", how="left"),
        "key_accounts": segments.key_accounts(everyone),
        "at_risk": names.merge(signals, on="customer_id", how="right"),
        "actions": actions.actions(segmented, period),
        "contradictions": lenses.disagreements(placed),
        "opportunities": opportunities.opportunities(segmented, period),
    }
