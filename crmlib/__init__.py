"""The CRM workbook's helper: from a company's books to the profitability of each customer and segment.

What a notebook calls are the flat files, the nouns of the chapter: `profitability`, `movement` and `full_cost` (the report, what
moved, which costs do not belong); `accounts`, `criteria`, `segments` and `lenses` (who is compared on what, and who is in which
segment); `value`, `forecasts` and `purchases` (what customers are worth over time); `opportunities` (what could be gained with them);
`menu`, `assignment`, `agreements` and `clauses` (what is promised, to whom, what it costs, what the customer reads); `teams` and
`implementation` (who serves whom; what is on plan, and as agreed); `study` (exercises). All take pandas and give pandas. Behind them the
engine, in folders: `declared` (what people declare), `books` (what the books hold, read, checked, rolled up,
tied out), `look` (words, tables, charts), `output` (what leaves the house), `run` (how it runs). Arrows go down only: see
CONTRIBUTING.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from crmlib.books.stored import View

__version__ = "0.1.0"


def open_view(engagement: str | Path, period: str | int) -> View:
    """Open an engagement's books and look at one period: the first line of every notebook (see `books.stored.open_view`)."""
    from crmlib.books.stored import open_view

    return open_view(engagement, period)
