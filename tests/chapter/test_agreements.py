"""What is offered and agreed: each file's mistakes told with the way out; what options cost, to the cent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crmlib import menu
from crmlib.books.stored import Books
from crmlib.declared.agreements import Level, Option
from crmlib.declared.reading import SettingsError

Make = Callable[..., Books]
MENU = ",".join(Option.model_fields)
LEVELS = ",".join(Level.model_fields)


def put(books: Books, **files: str) -> Books:
    """The books with judgement files, named by their stem; menus are rows below the header."""
    folder = books.engagement.folder / "judgement"
    folder.mkdir(exist_ok=True)
    heads = {"menu": MENU, "menu_levels": LEVELS}
    for stem, text in files.items():
        end = "csv" if stem in heads else "yml"
        (folder / f"{stem}.{end}").write_text("\n".join([heads[stem], text]) if stem in heads else text, "utf-8")
    return books


def option(name: str = "visit", **given: Any) -> str:
    """A row of menu.csv."""
    plain = {"option": name, "name": name.title(), "kind": "service", "process": "order fulfilment", "line": "salaries", "per": "order",
             "unit": "visit", "unit_cost": "" if "activity" in given else "10"}  # fmt: skip
    return ",".join(str((plain | given).get(column, "")) for column in Option.model_fields)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (option(kind="servise"), "row 2, kind: 'servise': service or product"),
        (option(process="logistics"), "row 2, process: 'logistics': the process that delivers it: customer relationship"),
        (option(unit_cost=""), "row 2, unit_cost: '': give an activity of the ledger or a unit cost, and not both"),
        (option(unit_cost="ten"), "row 2, unit_cost: 'ten': a number of zero or more, or blank"),
        (option(line="salary"), "row 2, line: 'salary': the ledger has no such line; there are .*did you mean 'salaries'"),
        (option(activity="rush"), "row 2, activity: 'rush': the ledger has no such activity; there are none"),
        (option(uplift="0.1"), "row 2, uplift: '0.1': give uplift_on with uplift_low, uplift and uplift_high"),
        (option(uplift_on="sales", uplift_low="0.3", uplift="0.1", uplift_high="0.2"), "row 2, uplift: '0.1': give uplift_on"),
        (option(target="0.9"), "row 2, target: '0.9': a target needs its measure"),
        (option(penalty="2"), "row 2, penalty: '2': a share from 0 to 1"),
        (option() + "\n" + option(), "row 3, option: 'visit': stands here twice; keep one row"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_menu_is_told_with_row_column_value_and_way_out(make_books: Make, row: str, told: str) -> None:
    with pytest.raises(SettingsError, match=rf"judgement/menu.csv has \d mistake[\s\S]*{told}"):
        menu.read_menu(put(make_books(), menu=row))


def test_all_mistakes_of_the_levels_are_told_at_once(make_books: Make) -> None:
    books = put(
        make_books(),
        menu=option(),
        menu_levels="Core,visits,1,2,3\nCor,visit,1,2,3\nCore,visit,3,2,1\nCore,visit,0,-1,2",
    )
    with pytest.raises(SettingsError) as told:
        menu.read_levels(books, menu.read_menu(books))
    for line in (
        "row 2, option: 'visits': no such option; there are visit; did you mean 'visit'?", "row 3, segment: 'Cor': no such segment",
        "row 4, target: '2': must lie between floor and ceiling", "row 5, target: '-1': a number of zero or more",
    ):  # fmt: skip
        assert line in str(told.value)


AGREED = "agreements: [{{account: A, version: 1, valid_from: 2024-01-01, valid_to: 2024-12-31{}}}]"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (AGREED.format(", commitments: [{option: visits, level: 1}]"), r"agreements\[0\] \(A\).commitments\[0\].option: 'visits' is not known; did you mean 'visit'"),
        (AGREED.format(", segment: Core"), "give an account .* or a segment, and not both"),
        (AGREED.replace("account: A", "account: Z").format(""), r"agreements\[0\] \(Z\).account: 'Z' is not known"),
        (AGREED.replace("2024-12-31", "2023-12-31").format(""), "valid_to 2023-12-31 is before valid_from 2024-01-01"),
        (AGREED.replace("2024-01-01", "soon").format(""), r"agreements\[0\].valid_from"),
        (AGREED.format("").replace("}]", "}, {account: A, version: 2, valid_from: 2024-07-01, valid_to: 2025-12-31}]"), "version 2 begins on 2024-07-01, before version 1 ends on 2024-12-31; end that the day before"),
        (AGREED.format(", commitments: [{option: visit, level: 1, penalty: 2}]"), r"commitments\[0\].penalty: .*less than or equal to 1"),
        (AGREED.format("") + "\ntemplate: ours.docx", "template: there is no file 'ours.docx' in the folder judgement"),
        (AGREED.format("") + "\ntemplate: ../ours.docx", "template: must be the name of a .docx file"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_agreements_is_told_with_its_place(make_books: Make, text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        menu.read_agreements(put(make_books(), menu=option(), agreements=text))
