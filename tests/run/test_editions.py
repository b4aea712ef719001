"""Editions: nobody is named in anything that a notebook, an export or a reader sees, and the figures are the same."""

from __future__ import annotations

import csv
import getpass
import json
import shutil
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat
import pytest
from leaks import found

from crmlib.books.stored import Books, open_books, owner_totals, sales_of, services
from crmlib.declared.editions import Disguise
from crmlib.declared.reading import PROJECT, CrmError
from crmlib.profitability import customer_profitability, firm_profitability
from crmlib.run import editions, report
from crmlib.run.report import Request, run_report
from crmlib.segments import check_judgement, differentiate

STATEMENT_STAFF = {"Q. Zwicky", "Ferdinand Quux"}


@dataclass(frozen=True)
class Made:
    """The sample with names that stand nowhere else, its books, and an edition of it."""

    source: Path
    books: Books
    ready: editions.Prepared
    edition: Books
    secrets: set[str]


def written(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def secrets_of(folder: Path, books: Books) -> set[str]:
    """Every identifier and name of customers and people, this machine's folders and user."""
    customers, judgement = books.customers, folder / "judgement"
    people = (
        {row["rater"] for row in rows(judgement / "ratings.csv")} | {*customers["account_manager"]} | STATEMENT_STAFF
    )
    people |= {row["member"] for row in rows(judgement / "teams.csv")} | {
        row["owner"] for row in rows(judgement / "plan.csv")
    }
    keys = {*customers["customer_id"], *customers["customer_name"], "C999", "X901", "F. O'Malley"} - {
        "00123"
    }  # an example in our texts
    people -= {"Logistics", "Marketing", "Dispatch", "Quality", "Customer service"}  # functions, and words of our texts
    return (
        keys
        | people
        | {str(folder), str(PROJECT), str(Path.home()), socket.gethostname()}
        | {f"/home/{getpass.getuser()}"}
    ) - {""}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engagement") / "sample"
    shutil.copytree(PROJECT / "data/sample", folder, ignore=shutil.ignore_patterns("keys"))
    judgement = folder / "judgement"
    name = rows(folder / "ledger/customers.csv")[4]["customer_name"]
    written(judgement / "opportunities.csv", "store-ready pallets", f"{name.upper()} said that store-ready pallets")
    written(judgement / "opportunities.csv", "Second kitchen", f"Second kitchen of {name.upper()}")
    written(
        judgement / "gain_sharing.yml",
        "Pallets ready for the store",
        f"'Pallets for {name}, by C235 and Ferdinand Quux'",
    )
    written(judgement / "metrics.yml", "owner: Finance", "owner: Ferdinand Quux")
    written(
        judgement / "segments.yml",
        "rules:",
        "rules:\n  - {segment: Chosen, when: [customer_name is CHOSEN], because: Q. Zwicky wants it, stance: keep}".replace(
            "CHOSEN", name
        ),
    )
    (judgement / "notes.txt").write_text(name)
    statement = (PROJECT / "crmlib/declared/statement.yml").read_text("utf-8")
    (folder / "statement.yml").write_text(statement.replace("owner: Production", "owner: Q. Zwicky"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=["client", "anonymous"])
def made(request: Any, source: Path, session_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    asked = Request(("27",), {"period": "2025"}, out=tmp_path_factory.mktemp("out"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRM_CACHE", str(session_cache))
        with editions.prepared(source, request.param, 5, asked) as ready:
            books = open_books(source)
            yield Made(source, books, ready, open_books(ready.folder), secrets_of(source, books))


def test_nothing_that_a_notebook_can_read_names_anybody(made: Made) -> None:
    assert len(made.secrets) > 500
    assert found(made.ready.folder, made.secrets) == {}


def test_the_search_finds_what_is_there(made: Made) -> None:
    hits = found(made.source / "judgement", made.secrets)
    assert {"ratings.csv", "agreements.yml", "segments.yml", "notes.txt", "gain_sharing.yml"} <= hits.keys()
    assert "customers.parquet" in found(made.books.cache, made.secrets)


def test_the_figures_are_the_same_or_all_times_one_factor(made: Made) -> None:
    period = made.books.period("2025")
    own, shown = (firm_profitability(books, period) for books in (made.books, made.edition))
    factors = {round(shown[line] / own[line], 6) for line in own.index if own[line]}
    assert len(factors) == 1
    assert (factors == {1}) == (made.edition.edition == "client")
    margins = [sorted(customer_profitability(b, period)["net_segment_margin"]) for b in (made.books, made.edition)]
    [factor] = factors
    for mine, theirs in zip(*margins, strict=True):
        assert abs(mine * factor - theirs) < abs(mine) / 10**5 + Decimal("0.01")


def test_quantities_times_rates_are_amounts_still(made: Made) -> None:
    period = made.edition.period("2025-06")
    rates = made.edition.table("rates").set_index("activity")  # type: ignore[union-attr]
    done = services(made.edition, period, ["activity"]).set_index("activity")
    for activity, row in done.iterrows():
        spans = rates.loc[[activity]]
        [rate] = spans.loc[(spans["span_start"] < period.end) & (spans["span_end"] > period.start), "rate"]
        assert abs(row["quantity"] * rate - row["amount"]) < row["amount"] / 1000
    own, shown = (sales_of(b, period) for b in (made.books, made.edition))
    assert own["quantity"].sum() == shown["quantity"].sum()  # type: ignore[index]
    assert (own["gross_sales"].sum() == shown["gross_sales"].sum()) == (made.edition.edition == "client")  # type: ignore[index]


def test_everybody_is_in_the_segment_that_he_was_in(made: Made) -> None:
    check_judgement(made.edition)
    period = made.books.period("2025")
    sizes = [differentiate(b, period)["segment"].value_counts().to_dict() for b in (made.books, made.edition)]
    assert sizes[0] == sizes[1]
    assert sizes[1]["Chosen"] == 1


def test_groups_that_are_too_small_are_joined(
    source: Path, session_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_CACHE", str(session_cache))
    with editions.prepared(source, "client", 40, Request(out=tmp_path)) as ready:
        books, own = open_books(ready.folder), open_books(source)
        assert "Department stores" in ready.told[1]
    assert min(books.customers["account_type"].value_counts()) >= 40
    period = books.period("2025")
    total = [owner_totals(b, period).query("level == 'account_type'")["salaries"].sum() for b in (own, books)]
    assert total[0] == total[1]
    assert "Other" in {*owner_totals(books, period)["owner"]}


@pytest.mark.parametrize("edition", ["client", "anonymous"])
def test_blanks_are_a_group_and_own_segments_are_hidden_though_they_own_costs(
    edition: Any, make_engagement: Any, tmp_path: Path
) -> None:
    customers = "customer_id, customer_name, region, segment\nA, Ada, , Alpha\nB, Bo, North, Beta\nC, Cy, North, Beta\nD, Di, North, Beta"
    customers += "\nE, Ed, North, Zeta\nF, Fay, North, Zeta\nsegment, advertising, North, Zeta"
    costs = "level, key, date, line, amount" + "".join(
        f"\nsegment, {key}, 2024-03-01, advertising, 1" for key in ("Alpha", "Beta", "Key account")
    )
    folder = make_engagement({"customers": customers, "costs": costs})
    with editions.prepared(folder, edition, 3, Request(out=tmp_path / "out")) as ready:
        books = open_books(ready.folder)
    assert {*books.customers["region"]} == {"Other"}
    shown = {"Other", "Zeta"} if edition == "client" else {"Other", "Segment 1"}
    assert {*books.customers["segment"]} == shown
    owners = owner_totals(books, books.period("2024")).query("level == 'segment'")
    assert {*owners["owner"]} == {"Other", "Key account"}


@pytest.mark.parametrize(
    ("counts", "least", "small"),
    [
        ({"a": 9, "b": 8}, 5, ""), ({"a": 9, "b": 4, "c": 3}, 5, "bc"), ({"a": 9, "b": 7, "c": 1}, 5, "bc"),
        ({"a": 1}, 5, "a"), ({"a": 3, "b": 0}, 3, "ab"), ({}, 5, ""),
    ],
)  # fmt: skip
def test_what_is_joined_is_large_enough_together(counts: dict[str, int], least: int, small: str) -> None:
    assert editions.small_groups(counts, least) == {*small}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Adler & Sons grows", "Customer 7 grows"), ("ADLER & SONS", "Customer 7"), ("for adler and sons", "for adler and sons"),
        ("K12-B, again", "X9, again"), ("12 months", "12 months"), ("in 2024", "in 2024"), ("00012", "00012"), ("of 00012.", "of X1."),
        ("Core business", "X3 business"), ("the core", "the core"), ("", ""), ("k12-b", "X9"), ("as 10-4567 has", "as X5 has"), ("in 2024-06, 12.50", "in 2024-06, 12.50"),
        ("Cafe\u0301 Re\u0301gal", "Customer 8"), ("at the cafe\u0301", "at the cafe\u0301"),
    ],
)  # fmt: skip
def test_names_within_a_text_are_replaced(text: str, shown: str) -> None:
    ids = {
        "K12-B": "X9",
        "12": "X2",
        "2024": "X4",
        "00012": "X1",
        "Core": "X3",
        "10-4567": "X5",
        "2024-06": "X6",
        "12.50": "X7",
    }
    names = {"Adler & Sons": "Customer 7", "Core": "X3", "Caf\u00e9 R\u00e9gal": "Customer 8"}
    disguise = Disguise("client", {"customer_name": names, "customer_id": ids})
    assert disguise.text(text) == shown


def test_the_key_is_for_its_owner_alone_and_names_stay(make_engagement: Any, tmp_path: Path) -> None:
    folder = make_engagement()
    ledger = folder / "ledger/customers.csv"
    with editions.prepared(folder, "client", 1, Request(out=tmp_path / "out")) as ready:
        first = {row["name"]: row["shown"] for row in rows(folder / "keys/client.csv")}
        assert str(folder / "keys/client.csv").endswith(ready.told[0].split(";")[0].removeprefix("key: ").lstrip("./"))
    assert stat.S_IMODE((folder / "keys/client.csv").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "keys").stat().st_mode) == 0o700
    ledger.write_text(f"{ledger.read_text()}C,Cedar\n")
    with editions.prepared(folder, "client", 1, Request(out=tmp_path / "out")):
        later = {row["name"]: row["shown"] for row in rows(folder / "keys/client.csv")}
    assert later.items() > first.items()
    assert len({*later.values()}) == len(later)
    (folder / "keys/client.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CrmError, match="no key"), editions.prepared(folder, "client", 1, Request(out=tmp_path / "out")):
        pass


def test_an_anonymous_edition_has_other_names_and_amounts_each_time(make_engagement: Any, tmp_path: Path) -> None:
    folder, sales = make_engagement(), set()
    for _ in range(2):
        with editions.prepared(folder, "anonymous", 1, Request(out=tmp_path / "out")) as ready:
            books = open_books(ready.folder)
            sales.add(firm_profitability(books, books.period("2024"))["sales"])
    assert len(sales | {Decimal(150)}) == 3
    assert not (folder / "keys").exists()


def test_an_anonymous_report_is_compared_with_no_other(made: Made) -> None:
    job = report._job(made.ready.folder, made.ready.request, lambda step: None)
    earlier = {
        "finished": "2025-01-01", "statement": {}, "period": {"label": "2024"}, "inputs": {"data_hash": "other"},
        "settings": {"currency": "USD"},
    }  # fmt: skip
    (job.folder / "2024").mkdir(parents=True)
    (job.folder / "2024" / "manifest.json").write_text(json.dumps(earlier))
    assert (report._last_report(job, made.edition) == "") == (made.edition.edition == "anonymous")
    shutil.rmtree(job.folder / "2024")


def test_a_report_of_an_edition_names_nobody_and_no_machine(made: Made) -> None:
    if made.edition.edition == "anonymous":
        pytest.skip("one is enough: both come from a folder that was searched")
    made_report = run_report(made.ready.folder, made.ready.request)
    assert made_report.folder.parent.name == made.edition.edition
    assert found(made_report.folder.parent, made.secrets) == {}
    assert {"data", "agreements", "workbook.xlsx", "27_profitability.html"} <= {
        file.name for file in made_report.folder.iterdir()
    }
    notebook: Any = nbformat.read(made_report.folder / "27_profitability.ipynb", 4)  # type: ignore[no-untyped-call]
    tags = {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])}
    assert "findings" in tags
    assert not tags & {"author", "study"}
    manifest = json.loads((made_report.folder / "manifest.json").read_text("utf-8"))
    assert manifest["inputs"]["ledger"].keys() == {"books"}
