"""What moved from one report to another, in two tiny ones as `crm run` leaves them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from crmlib.comparison import compare, read_edition
from crmlib.declared.reading import SettingsError
from crmlib.run.cli import app

STATEMENT = {
    "sales": {"label": "Sales"},
    "contribution": {"label": "Net margin"},
    "salaries": {"label": "Salaries"},
    "net": {"label": "Net margin"},
}


def report(folder: Path, cells: dict[tuple[str, str], tuple[int, int]], **other: object) -> Path:
    """A report of (customer, month) → sales and salaries; customers A and so on, in segment Core unless `segments` says."""
    (folder / "data").mkdir(parents=True)
    segments = other.pop("segments", {})
    assert isinstance(segments, dict)
    manifest = {
        "period": {"label": "2024", "start": "2024-01-01", "end": "2025-01-01"}, "parameters": {}, "finished": "2025-01-07T06:00:00+01:00",
        "inputs": {"ledger": {"costs.csv": "a" * 64}, "settings": {}}, "settings": {"currency": "EUR"}, "statement": STATEMENT, "versions": {},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest | other))
    rows = [("customer", owner, month, *map(Decimal, amounts)) for (owner, month), amounts in cells.items()]
    cube = pd.DataFrame(rows, columns=["level", "owner", "month", "sales", "salaries"])
    customers = cube.groupby("owner")[["sales", "salaries"]].sum().rename_axis("customer_id").reset_index()
    customers = customers.assign(
        contribution=customers["sales"],
        net=customers["sales"] - customers["salaries"],
        customer_name="Mr " + customers["customer_id"],
    )
    named = pd.DataFrame(
        {
            "customer_id": customers["customer_id"],
            "segment": [segments.get(i, "Core") for i in customers["customer_id"]],
        }
    )
    for name, frame in {"cube": cube, "customer_profitability": customers, "segments": named}.items():
        frame.to_parquet(folder / "data" / f"{name}.parquet")
    return folder


BEFORE = {("A", "2024-01-01"): (100, 10), ("A", "2024-02-01"): (50, 10), ("B", "2024-02-01"): (70, 0)}


def test_two_reports_that_say_the_same_have_nothing_to_tell(tmp_path: Path) -> None:
    first, second = (report(tmp_path / name, {key: (sales, 0) for key, (sales, _) in BEFORE.items()}) for name in "ab")
    cube = second / "data" / "cube.parquet"
    pd.read_parquet(cube).drop(columns="salaries").to_parquet(cube)  # a line without a source is no other than nought
    assert compare(read_edition(first), read_edition(second)).is_same
    assert "Nothing moved" in CliRunner().invoke(app, ["compare", str(first), str(second)]).output


def test_a_month_booked_anew_is_found_with_customer_line_and_amount(tmp_path: Path) -> None:
    after = BEFORE | {("A", "2024-02-01"): (50, 15), ("C", "2024-03-01"): (5, 0)}
    inputs = {"ledger": {"costs.csv": "b" * 64}, "settings": {}}
    moved = compare(
        read_edition(report(tmp_path / "a", BEFORE)),
        read_edition(report(tmp_path / "b", after, segments={"A": "Key"}, inputs=inputs)),
    )
    assert moved.restated[["month", "owner", "line", "change"]].to_numpy().tolist() == [
        ["2024-02", "A", "Salaries", 5], ["2024-03", "C", "Sales", 5],
    ]  # fmt: skip
    assert moved.margins[["customer_id", "before", "after"]].to_numpy().tolist() == [["A", 130, 125], ["C", 0, 5]]
    assert moved.segments.to_numpy().tolist() == [["A", "Mr A", "Core", "Key"], ["C", "Mr C", "", "Core"]]
    assert moved.made_from.to_numpy().tolist() == [["data.costs.csv", "aaaaaaaa", "bbbbbbbb"]]
    by_customer = moved.customers.groupby("line", sort=False)["change"].sum()
    assert sorted(moved.figures["change"]) == sorted(change for change in by_customer if change)


def test_a_month_that_one_report_does_not_hold_is_not_restated(tmp_path: Path) -> None:
    later = {"label": "2024-02 to 2025-01", "start": "2024-02-01", "end": "2025-02-01"}
    cells = {key: amounts for key, amounts in BEFORE.items() if key[1] > "2024-01-01"} | {("A", "2025-01-01"): (30, 0)}
    moved = compare(
        read_edition(report(tmp_path / "a", BEFORE)), read_edition(report(tmp_path / "b", cells, period=later))
    )
    assert moved.restated.empty
    assert moved.figures.set_index("label")["change"].to_dict() == {"Sales": -70, "Salaries": -10, "Net margin": -60}


@pytest.mark.parametrize("broken", ["{", "{}", '{"period": 1}'])
def test_what_is_no_report_is_refused_with_the_way_out(broken: str, tmp_path: Path) -> None:
    (report(tmp_path / "a", BEFORE) / "manifest.json").write_text(broken)
    with pytest.raises(SettingsError, match="no report of this version"):
        read_edition(tmp_path / "a")
    assert CliRunner().invoke(app, ["compare", str(tmp_path), str(tmp_path / "a")]).exit_code == 2


def test_reports_in_two_currencies_are_not_compared(tmp_path: Path) -> None:
    other = report(tmp_path / "b", BEFORE, settings={"currency": "USD"})
    with pytest.raises(SettingsError, match="in EUR and in USD"):
        compare(read_edition(report(tmp_path / "a", BEFORE)), read_edition(other))


def test_the_whole_tables_are_written_where_asked(tmp_path: Path) -> None:
    more = {(f"K{i}", "2024-05-01"): (i, 0) for i in range(1, 30)}
    folders = [report(tmp_path / "a", BEFORE), report(tmp_path / "b", BEFORE | more), tmp_path / "csv"]
    said = CliRunner().invoke(app, ["compare", str(folders[0]), str(folders[1]), "--csv", str(folders[2])]).output
    assert "Net margin of customers: 29 customers changed" in said
    assert "and 19 more" in said
    assert len(pd.read_csv(folders[2] / "restated.csv")) == 29
