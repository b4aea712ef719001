"""Bad ledgers get the verdict that they deserve, at the place where they are bad; good ones pass."""

from __future__ import annotations

import csv
import io
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import yaml

from crmlib.books import checks, views
from crmlib.books.checks import check_ledger
from crmlib.books.reader import read_ledger
from crmlib.books.tie_out import intake_amounts
from crmlib.books.views import make_sums
from crmlib.declared.engagement import open_engagement
from crmlib.declared.ledger import tables

CORPUS = yaml.safe_load((Path(__file__).parent / "ledgers.yml").read_text(encoding="utf-8"))
GOOD, READ = CORPUS["good"], CORPUS["header"] + CORPUS["values"]
CASES = READ + CORPUS["form"] + CORPUS["cases"]
TYPED = [case for case in READ + CORPUS["form"] if case.get("typed", True)]
SETTINGS = {"client": "Test", "currency": "USD", "coverage": {"start": "2024-01", "end": "2024-02"}}


# tables that mean something only beside others; customers and invoice_lines are always there
BESIDE = {
    "activity_types": ("activities", "rates", "capacity"), "activities": ("activity_types", "rates", "capacity"),
    "rates": ("activity_types", "activities", "capacity"), "capacity": ("activity_types", "activities", "rates"),
    "products": (), "credits": (), "balances": (), "costs": (), "joint_costs": (),
    "control_totals": ("costs", "joint_costs", "reconciliation"), "reconciliation": ("control_totals", "costs", "joint_costs"),
}  # fmt: skip
NO_LINES = {
    "credits",
    "balances",
    "costs",
    "joint_costs",
    "control_totals",
    "reconciliation",
}  # need no more of the lines than must be


def files_of(case: dict[str, Any]) -> dict[str, str]:
    """The good ledger's files that the case speaks of, and those that they need, with its changes."""
    touched = {
        Path(file).stem.split("-")[0] for part in ("files", "change", "add", "beside") for file in case.get(part, {})
    }
    wanted = {"customers", "invoice_lines", *touched, *(other for name in touched for other in BESIDE.get(name, ()))}
    good = {file: text for file, text in GOOD.items() if Path(file).stem in wanted}
    if touched and touched <= NO_LINES:
        rows = good["invoice_lines.csv"].splitlines()
        good["invoice_lines.csv"] = "".join(f"{','.join(row.split(',')[:3])}\n" for row in rows)
    return changed(good if touched else GOOD, case)


def changed(files: dict[str, str], case: dict[str, Any]) -> dict[str, str]:
    """Files with what a case changes in them."""
    files = {**files, **case.get("files", {})}
    for file, changes in case.get("change", {}).items():
        for old, new in changes.items():
            assert str(old) in files[file], f"{case}: {old!r} is not in {file}"
            files[file] = files[file].replace(str(old), str(new), 1)
    for file, lines in case.get("add", {}).items():
        files[file] += lines + "\n"
    return {file: text for file, text in files.items() if text is not None}


def told(case: dict[str, Any]) -> set[str]:
    """The codes of what a case rejects and warns of."""
    expected = case.get("expect_rows") or case.get("expect", [])
    texts = (
        [f"{expected['verdict']} {expected['code']}"]
        if isinstance(expected, dict)
        else [expected]
        if isinstance(expected, str)
        else expected
    )
    return {text.split()[1] for text in texts if text.split()[0] in {"reject", "warn"}}


def merged(settings: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Settings with more of them, key by key, without those that become null."""
    both = {k: merged(settings[k], more[k]) for k in settings.keys() & more.keys() if isinstance(more[k], dict)}
    return {k: value for k, value in {**settings, **more, **both}.items() if value is not None}


def make_engagement(folder: Path, settings: dict[str, Any] | None = None) -> Path:
    """A folder with engagement.yml and an empty ledger."""
    (folder / "ledger").mkdir(parents=True)
    (folder / "engagement.yml").write_text(yaml.safe_dump({**SETTINGS, **(settings or {})}), encoding="utf-8")
    return folder


def check(folder: Path) -> pd.DataFrame:
    """Findings of the engagement in a folder."""
    return check_ledger(read_ledger(open_engagement(folder), folder / "work"))


def as_parquet(text: str, table: str) -> pa.Table:
    """A CSV text as the types that the ledger wants."""
    header, *rows = csv.reader(io.StringIO(text))
    columns = tables()[table].columns
    return pa.table(
        {
            name: pa.array([typed(row[i], columns.get(name)) for row in rows], kind(columns.get(name)))
            for i, name in enumerate(header)
        }
    )


def kind(column: Any) -> pa.DataType:
    numeric = column is not None and column.numeric
    day = column is not None and column.type in {"date", "month"}
    return pa.decimal128(38, 8) if numeric else pa.date32() if day else pa.string()


def typed(value: str, column: Any) -> Any:
    if value == "":
        return None
    if column is not None and column.numeric:
        return Decimal(value)
    return date.fromisoformat(value) if column is not None and column.type in {"date", "month"} else value


def places(findings: pd.DataFrame) -> set[str]:
    """Each finding as the corpus writes it."""
    told = findings[["verdict", "code", "file", "row", "column"]].astype("string").fillna("")
    told.loc[told["row"] == "", ["column"]] = ""
    return {" ".join(part for part in row if part) for row in told.itertuples(index=False)}


def assert_as_expected(found: pd.DataFrame, case: dict[str, Any], name: str = "{}.csv") -> None:
    expected = [case["expect"]] if isinstance(case.get("expect"), str) else case.get("expect", [])
    if rows := case.get("expect_rows"):
        first, last = map(int, rows["rows"].split(".."))
        expected = [
            f"{rows['verdict']} {rows['code']} {rows['file']} {row} {rows['column']}" for row in range(first, last + 1)
        ]
    wanted = {re.sub(r"([\w-]+)\.csv", lambda m: name.format(m[1]), e) for e in expected if e != "accept"}
    got = {p for p in places(found) if not p.startswith("accept")} | {p for p in places(found) if p in wanted}
    assert got == wanted, case["name"]
    assert "says" not in case or found["message"].str.contains(case["says"], regex=False).any(), found[
        "message"
    ].tolist()
    assert found.loc[found["verdict"] == "reject", ["table", "file"]].ne("").any(axis=1).all()


def test_the_good_ledger_is_accepted_with_nothing_to_say(tmp_path: Path) -> None:
    folder = make_engagement(tmp_path / "e")
    for file, text in GOOD.items():
        (folder / "ledger" / file).write_text(text, encoding="utf-8")
    assert places(check(folder)) == set()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_bad_csv_ledger_is_told_with_its_place(
    case: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case in CORPUS["cases"]:  # checked as long tables are; what is wrong with values, as short ones
        monkeypatch.setattr(checks, "FIRST", 1)
        monkeypatch.setattr(views, "SHORT", 1)
    folder = make_engagement(tmp_path / "e", case.get("settings"))
    for file, text in files_of(case).items():
        path = folder / "ledger" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    assert_as_expected(check(folder), case)


@pytest.mark.parametrize("mended", CORPUS["mended"], ids=lambda mended: mended["case"])
def test_the_advice_of_a_message_is_taken_and_the_books_are_accepted(mended: dict[str, Any], tmp_path: Path) -> None:
    case = next(case for case in CASES if case["name"] == mended["case"])
    folder = make_engagement(tmp_path / "e", merged(case.get("settings", {}), mended.get("settings", {})))
    for file, text in changed(
        files_of({**case, "beside": [*case.get("beside", []), *mended.get("change", {}), *mended.get("add", {})]}),
        mended,
    ).items():
        (folder / "ledger" / file).write_text(text, encoding="utf-8", newline="")
    found = check(folder)
    assert found[found["verdict"] == "reject"]["message"].tolist() == []
    assert {*found[found["verdict"] == "warn"]["code"]} & told(case) == {*mended.get("left", "").split()}


def test_every_message_has_its_advice_taken_once() -> None:
    mended = {mended["case"] for mended in CORPUS["mended"]}
    assert {code for case in CASES for code in told(case)} == {
        code for case in CASES if case["name"] in mended for code in told(case)
    }


def test_read_is_assigned_and_unassigned_and_excluded(tmp_path: Path) -> None:
    folder = make_engagement(tmp_path / "e")
    changed = {"change": {"credits.csv": {"C2,": "C9,", "2024-02-01": "2023-02-01"}}, "name": "amounts"}
    for file, text in files_of(changed).items():
        (folder / "ledger" / file).write_text(text, encoding="utf-8")
    ledger = read_ledger(open_engagement(folder), folder / "work")
    make_sums(ledger)
    amounts = intake_amounts(ledger).set_index(["table", "column"])
    assert list(amounts.loc[("credits", "amount")]) == [Decimal(14), Decimal(0), Decimal(4), Decimal(10)]
    assert list(amounts.loc[("credits", "rows")]) == [2, 0, 1, 1]
    assert (amounts["read"] == amounts["assigned"] + amounts["unassigned"] + amounts["excluded"]).all()
