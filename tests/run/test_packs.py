"""Packs of many accounts: a kernel for each worker and none for each account, an index, and no account that stops another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup

from crmlib.books.stored import Books, open_books
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import SettingsError
from crmlib.output.packs import packs_index
from crmlib.output.pdf import browser
from crmlib.run.packs import Packs, accounts_for, run_packs, told
from crmlib.run.report import Request, Step
from crmlib.run.safety import recover, scratch

PARAMETERS = (
    'engagement: str = "."  # folder\nperiod: str = "2024"  # such as 2024\ncustomer_id: str = ""  # the account'
)
CELLS = [
    (["parameters"], PARAMETERS),
    (["once"], "import os\nruns = 1\nprint('kernel', os.getpid())"),
    ([], "runs += 1\nprint('run', runs, 'of', customer_id)"),
    ([], "assert customer_id != 'B/2', 'no such thing'\nprint('engagement', bool(engagement))"),
]
NAMES = {"A": "Adler & <b>Sons</b>", "B/2": "Birch", "C": "Cedar", "D": "Dogwood"}
TABLES = {
    "customers": "customer_id, customer_name\n" + "\n".join(f"{c}, {name}" for c, name in NAMES.items()),
    "invoice_lines": "customer_id, invoice_date, gross_sales\n" + "\n".join(f"{c}, 2024-01-10, {100 + 10 * i}" for i, c in enumerate(NAMES)),
}  # fmt: skip


def write_notebook(folder: Path, name: str = "23_toy") -> None:
    folder.mkdir(exist_ok=True)
    heading = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# A pack\n\nWho are they?"}
    code = [
        {"cell_type": "code", "id": f"c{i}", "metadata": {"tags": tags}, "source": text, "outputs": [], "execution_count": None}
        for i, (tags, text) in enumerate(CELLS)
    ]  # fmt: skip
    text = json.dumps({"cells": [heading, *code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    (folder / f"{name}.ipynb").write_text(text, encoding="utf-8")


def said(packs: Packs, file: str) -> str:
    executed: dict[str, Any] = json.loads((packs.folder / f"{file}.ipynb").read_text("utf-8"))
    return "".join("".join(output.get("text", "")) for cell in executed["cells"] for output in cell.get("outputs", []))


@pytest.fixture
def engagement(make_engagement: Callable[..., Path], tmp_path: Path) -> Path:
    write_notebook(tmp_path / "notebooks")
    return make_engagement(TABLES)


def request_in(tmp_path: Path, **given: Any) -> Request:
    return Request(
        **{
            "only": ("23",),
            "parameters": {"period": "2024"},
            "jobs": 1,
            "out": tmp_path / "out",
            "notebooks": tmp_path / "notebooks",
            **given,
        }
    )


def test_one_kernel_makes_all_packs_and_an_account_that_fails_stops_no_other(engagement: Path, tmp_path: Path) -> None:
    steps: list[Step] = []
    packs = run_packs(engagement, ["all"], request_in(tmp_path), tell=steps.append)
    assert [(pack.customer_id, bool(pack.cause)) for pack in packs.packs] == [
        ("D", False),
        ("C", False),
        ("B/2", True),
        ("A", False),
    ]
    assert "AssertionError: no such thing" in packs.failed[0].cause
    texts = {pack.customer_id: said(packs, pack.file) for pack in packs.packs}
    assert len({text.splitlines()[0] for text in texts.values()}) == 1  # one kernel, and its first cell ran once
    assert [text.splitlines()[1] for text in texts.values()] == [
        "run 2 of D",
        "run 3 of C",
        "run 4 of B/2",
        "run 5 of A",
    ]
    assert {step.name: step.state for step in steps} == {"A": "done", "B/2": "failed", "C": "done", "D": "done"}
    assert "3 of 4 packs" in told(packs)
    assert "failed: B/2, cell 5" in told(packs)


def test_the_index_names_all_accounts_links_what_is_there_and_keeps_text_text(engagement: Path, tmp_path: Path) -> None:
    packs = run_packs(engagement, ["A", "B/2"], request_in(tmp_path), tell=lambda step: None)
    index = BeautifulSoup((packs.folder / "index.html").read_text("utf-8"), "html.parser")
    assert index.find("b", string="Sons") is None
    assert {link["href"] for link in index.select("a.title")} == {"A.html"}
    assert all((packs.folder / str(link["href"])).exists() for link in index.find_all("a"))
    assert "no such thing" in index.get_text()
    assert not [file.name for file in packs.folder.parent.glob(".new*")]
    assert "/" not in packs.failed[0].file


def test_packs_and_report_know_of_each_other_and_a_pdf_is_made_where_asked(engagement: Path, tmp_path: Path) -> None:
    if not browser():
        pytest.skip("no Chromium on this machine")
    request = request_in(tmp_path)
    packs = run_packs(engagement, ["A"], request, tell=lambda step: None, pdf=True)
    index = (packs.folder / "index.html").read_text("utf-8")
    assert 'href="A.pdf"' in index
    assert (packs.folder / "A.pdf").read_bytes().startswith(b"%PDF")
    assert "Summary" not in index
    assert (
        packs_index(packs.folder.with_name("2024"), open_engagement(engagement).period("2024"))
        == "../2024-accounts/index.html"
    )
    packs.folder.with_name("2024").mkdir()
    (packs.folder.with_name("2024") / "index.html").touch()
    again = run_packs(engagement, ["A"], request, tell=lambda step: None)
    assert 'href="../2024/index.html"' in (again.folder / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("who", "only", "parameters", "message"),
    [
        (["Z"], ("23",), {}, "--for 'Z': no customer of 2024, no segment, nor key or all"),
        (["A"], (), {"customer_id": "A"}, "customer_id is what --for gives"),
        (["A"], ("24",), {}, "--for needs one notebook about an account, such as --only 23"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_the_way_out(
    engagement: Path, tmp_path: Path, who: list[str], only: tuple[str, ...], parameters: dict[str, object], message: str
) -> None:
    text = (
        (tmp_path / "notebooks" / "23_toy.ipynb")
        .read_text("utf-8")
        .replace("customer_id: str", "other: str")
        .replace("customer_id", "other")
    )
    (tmp_path / "notebooks" / "24_other.ipynb").write_text(text, encoding="utf-8")
    request = request_in(tmp_path, only=only, parameters={"period": "2024", **parameters})
    with pytest.raises(SettingsError, match=message):
        run_packs(engagement, who, request, tell=lambda step: None)


def test_accounts_are_meant_by_id_segment_key_or_all(make_engagement: Callable[..., Path], sample: Books) -> None:
    books = open_books(make_engagement(TABLES))
    when = books.period("2024")
    assert accounts_for(books, when, ["A,C"])["customer_id"].tolist() == ["C", "A"]
    assert accounts_for(books, when, ["A", "D"])["customer_id"].tolist() == ["D", "A"]
    period = sample.period("2025")
    key, both = (set(accounts_for(sample, period, who)["customer_id"]) for who in (["key"], ["key", "Mend", "00123"]))
    assert 0 < len(key) < len(both)
    assert "00123" in both
    assert set(accounts_for(sample, period, ["Key account"])["customer_id"]) == key


def test_what_was_about_to_be_replaced_when_a_run_was_killed_is_put_back(tmp_path: Path) -> None:
    target = tmp_path / "2025-accounts"
    for what in ("old", "new"):
        scratch(target, what).mkdir()
        (scratch(target, what) / "index.html").write_text(what)
    recover(target)
    assert (target / "index.html").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == [target.name]
