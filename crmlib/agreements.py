"""What is promised to accounts and segments, what it costs, and what is left: the menu and the product and service agreements."""

from __future__ import annotations

import pandas as pd
from pydantic import BaseModel

from crmlib.books.stored import Books, Frame
from crmlib.criteria import judgement_records
from crmlib.declared.agreements import Agreements, Level, Option
from crmlib.declared.reading import did_you_mean, refuse_mistakes


def read_menu(books: Books) -> Frame:
    """The options of judgement/menu.csv in their order, columns as `Option`; empty without the file.

    Raises
    ------
    SettingsError
        All mistakes, each with row, column, value and what is allowed.
    """
    rows, wrong = judgement_records(books, "menu.csv", Option)
    rated, served = books.table("rates"), books.table("service_levels")
    known = {
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
