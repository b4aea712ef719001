"""The board of the process: which of its twelve sub-processes have been run, when, by whom, and what came out."""

from __future__ import annotations

import pandas as pd

from crmlib.books.stored import Books, Frame
from crmlib.criteria import as_declared, judgement_records
from crmlib.declared.judgement import Round
from crmlib.declared.reading import refuse_mistakes
from crmlib.declared.terms import process


def read_rounds(books: Books) -> Frame:
    """The rows of judgement/process.csv, columns as `Round`, the earliest first; empty without the file.

    Raises
    ------
    SettingsError
        All mistakes, each with row, column, value and what is allowed.
    """
    rows, wrong = judgement_records(books, "process.csv", Round)
    refuse_mistakes("judgement/process.csv", wrong)
    return as_declared(rows, Round).sort_values("done", kind="stable")


def board(books: Books) -> Frame:
    """One row per sub-process (S1 to S5, O1 to O7): name, page (number of its notebook), done (the day it was last run, in words), owner, output; '' where it never was."""
    rounds = read_rounds(books)
    last = rounds.assign(done=[f"{day.day} {day:%b %Y}" for day in rounds["done"]])
    last = last.drop_duplicates("sub_process", keep="last").set_index("sub_process")
    steps = [(key, step.name, step.page) for key, step in process().items()]
    named = pd.DataFrame(steps, columns=["sub_process", "name", "page"])
    return named.join(last, on="sub_process").astype(object).fillna("")
