"""The runner: parameters refused before anything starts, runs that are whole or leave no trace, nothing run twice."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import nbformat
import pandas as pd
import pytest

from crmlib import segments
from crmlib.books import stored
from crmlib.declared.reading import CrmError, DataRejected, SettingsError, safe_code
from crmlib.output import data, document, lists, site, workbook
from crmlib.run import messages, plan, report, safety
from crmlib.run.notebooks import Notebook, check_parameters, list_notebooks, select_notebooks
from crmlib.run.report import NotebookFailed, Report, Request, Step, run_report

PARAMETERS = 'engagement: str = "data/sample"  # folder of the engagement\nperiod: str = "2025"  # such as 2025Q4'
SETTINGS = "client: Toy\ncurrency: USD\ncoverage: {start: 2024-01, end: 2025-12}\n"


def write_toy(
    folder: Path, name: str, *cells: str, parameters: str = PARAMETERS, title: str = "Who earns what"
) -> Path:
    """A notebook of a heading, a parameters cell and code cells."""
    markdown = {
        "cell_type": "markdown",
        "metadata": {},
        "id": "a",
        "source": f"# {title}\n\n*Which customers earn?* Said.",
    }
    code = [
        {
            "cell_type": "code",
            "metadata": {"tags": tags},
            "id": f"c{i}",
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        for i, (tags, source) in enumerate([(["parameters"], parameters), *(([], cell) for cell in cells)])
    ]
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": [markdown, *code], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def write_small_site(folder: Path, books: Any, period: Any, pages: Any) -> None:
    """A page for each notebook, and an index."""
    for page in pages:
        (folder / page.html).write_text((folder / page.notebook).read_text())
    (folder / "index.html").write_text(repr(pages))


def fake_crmlib(package: Path, patch: Callable[[Any, str, Any], None]) -> None:
    """Replace books and exports by small ones."""
    made = SimpleNamespace(
        edition="",
        refuse_empty=lambda period: None,
        has_sales=lambda period: True,
        data_hash="data-1",
        sources={"a.csv": "hash"},
        statement_in=lambda period: SimpleNamespace(lines=()),
        findings=pd.DataFrame(),
    )
    patch(stored, "open_books", lambda engagement: made)
    patch(segments, "check_judgement", lambda books: None)
    patch(segments, "differentiate", lambda books, period: None)
    patch(segments, "with_segments", lambda books, period, decided=None: books)
    patch(document, "export_agreements", lambda books, period, decided, folder: {})
    patch(lists, "lists", lambda books, period: {})
    patch(
        workbook,
        "export_workbook",
        lambda books, period, path, parameters, lists: path.write_text(json.dumps(dict(parameters))),
    )
    patch(
        data,
        "export_data",
        lambda books, period, folder, lists: (folder.mkdir(), (folder / "customers.csv").write_text("a")),
    )
    patch(site, "write_site", write_small_site)
    patch(plan, "PACKAGE", package)


@dataclass(frozen=True)
class Place:
    """A toy workbook with braces in its path, and what was told."""

    root: Path
    told: list[Step] = field(default_factory=list)

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def report(self) -> Path:
        return self.root / "out" / "client" / "2025"

    def run(self, **asked: Any) -> Report:
        self.told.clear()
        request = Request(out=self.root / "out", notebooks=self.notebooks)
        return run_report(self.root / "client", replace(request, **asked), tell=self.told.append)

    def run_instantly(self, **asked: Any) -> Report:
        """A run in which notebooks are taken for executed, where kernels are not what is tested."""

        def executed(path: Path, *arguments: object, **named: object) -> tuple[Any, None]:
            return nbformat.read(path, 4), None

        with patch.object(report, "execute", executed):
            return self.run(**asked)

    def ran(self) -> list[str]:
        return sorted(step.name for step in self.told if step.state == "running")

    def outputs(self, name: str) -> str:
        executed = json.loads((self.report / f"{name}.ipynb").read_text())
        texts = [o.get("text", "") for c in executed["cells"] for o in c.get("outputs", [])]
        return "".join("".join(text) for text in texts)

    def files(self) -> Mapping[str, bytes]:
        return {str(p.relative_to(self.report)): p.read_bytes() for p in self.report.rglob("*") if p.is_file()}

    def left_over(self) -> list[str]:
        return [
            p.name for p in (self.root / "out" / "client").glob(".*") if not p.name.startswith((".lock", ".engagement"))
        ]


def make_place(root: Path) -> Place:
    for folder in ("notebooks", "client/ledger", "package"):
        (root / folder).mkdir(parents=True)
    (root / "client" / "engagement.yml").write_text(SETTINGS)
    (root / "package" / "code.py").write_text("one")
    return Place(root)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = make_place(tmp_path / "a {period} {0} $HOME b")
    fake_crmlib(made.root / "package", monkeypatch.setattr)
    return made


# --- notebooks and parameters ----------------------------------------------------------------------------------------


def test_a_notebook_is_read_without_being_executed(place: Place) -> None:
    write_toy(
        place.notebooks,
        "27_profitability",
        "raise SystemExit",
        parameters=PARAMETERS + "\ntop: int = 10  # rows # shown",
    )
    [notebook] = list_notebooks(place.notebooks)
    assert (notebook.number, notebook.name, notebook.title) == ("27", "27_profitability", "Who earns what")
    assert notebook.question.startswith("Which customers earn?")
    top = notebook.parameters[2]
    assert (top.name, top.type, top.default, top.help) == ("top", "int", 10, "rows # shown")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("top = 10", "form `name: type = literal"),
        ("top: int = len('x')", "not a literal"),
        ("import os", "form `name"),
        ("top: list = []", "type list is not allowed"),
        ("top: int = (", "not Python"),
    ],
)
def test_a_parameters_cell_has_one_form(place: Place, cell: str, said: str) -> None:
    write_toy(place.notebooks, "27_a", parameters=cell)
    with pytest.raises(SettingsError, match="27_a") as error:
        list_notebooks(place.notebooks)
    assert said in str(error.value)


def test_all_wrong_parameters_are_told_with_the_nearest_name_before_anything_starts(place: Place) -> None:
    write_toy(place.notebooks, "27_a", parameters=PARAMETERS + "\ntop: int = 10  # rows")
    with pytest.raises(SettingsError) as error:
        place.run(parameters={"perid": "2025", "top": "ten"})
    assert "did you mean 'period'?" in str(error.value)
    assert "top='ten' is not of type int" in str(error.value)
    assert not (place.root / "out").exists()
    assert not place.told


@pytest.mark.parametrize("period", ["2025Q5", "2023", "next year", "", 2025.5])
def test_a_bad_period_is_refused_before_anything_starts(place: Place, period: object) -> None:
    write_toy(place.notebooks, "27_a")
    with pytest.raises(SettingsError, match="period"):
        place.run(parameters={"period": period})
    assert not (place.root / "out").exists()


def test_values_get_the_type_that_the_notebook_declares(place: Place) -> None:
    names = 'code: str = "a"\nshare: float = 0.5\nfull: bool = False\ntop: int = 1'
    write_toy(place.notebooks, "27_a", parameters=names)
    given = {"code": 123, "share": "1e-2", "full": "true", "top": "7"}
    assert check_parameters(list_notebooks(place.notebooks), given) == {
        "27_a": {"code": "123", "share": 0.01, "full": True, "top": 7}
    }
    assert check_parameters(list_notebooks(place.notebooks), {"code": "00123"})["27_a"]["code"] == "00123"
    for wrong in ({"share": "nan"}, {"full": "maybe"}, {"top": "1.5"}, {"code": ("a",)}):
        with pytest.raises(SettingsError, match="is not of type"):
            check_parameters(list_notebooks(place.notebooks), wrong)


def test_a_parameter_goes_only_to_the_notebooks_that_have_it(place: Place) -> None:
    write_toy(place.notebooks, "27_a", parameters=PARAMETERS + "\ntop: int = 10")
    write_toy(place.notebooks, "31_b")
    values = check_parameters(list_notebooks(place.notebooks), {"top": "5"})
    assert values["27_a"]["top"] == 5
    assert "top" not in values["31_b"]


@pytest.mark.parametrize("given", [{"listed": 0}, {"method": "foo"}, {"horizon": -2}, {"seed": "-1"}])
def test_a_value_outside_what_a_parameter_allows_is_refused_with_what_is_allowed(given: dict[str, object]) -> None:
    with pytest.raises(
        SettingsError, match=r"is not allowed in \d\d_\w+: .*(at least -?\d|one of k-means, gaussian mixture)"
    ):
        check_parameters(list_notebooks(), given)


def test_an_unknown_notebook_is_refused_with_the_nearest(place: Place) -> None:
    write_toy(place.notebooks, "27_profitability")
    with pytest.raises(SettingsError, match="did you mean '27_profitability'"):
        select_notebooks(list_notebooks(place.notebooks), ["27_profit"])


# --- a run -----------------------------------------------------------------------------------------------------------


def test_a_report_is_whole_and_names_no_folder_of_this_machine(place: Place) -> None:
    show = "import os, sys, warnings\nprint(engagement, period, os.getcwd(), sys.executable, os.path.expanduser('~'), __name__)"
    write_toy(
        place.notebooks,
        "27_a",
        show,
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "warnings.warn(os.getcwd())",
    )
    write_toy(place.notebooks, "31_b", "import os; [os.path.abspath('.'), {'x': engagement}]")
    report = place.run(parameters={"period": 2025})
    assert [page.number for page in report.pages] == ["27", "31"]
    assert {
        "index.html",
        "manifest.json",
        "workbook.xlsx",
        "data/customers.csv",
        "27_a.html",
        "31_b.ipynb",
    } <= place.files().keys()
    assert place.outputs("27_a").startswith("client 2025 notebooks python/bin/python")
    assert "image/png" in (report.folder / "27_a.ipynb").read_text(), "the chart vanished"
    for name, content in place.files().items():
        for folder in (place.root, Path.home() / "", Path(sys.prefix), Path.cwd()):
            assert f"{folder}".encode() not in content.replace(b"\\\\", b"\\"), f"{folder} in {name}"
    assert not place.left_over()


def test_the_manifest_says_what_the_report_comes_from(place: Place) -> None:
    write_toy(place.notebooks, "27_a")
    place.run_instantly()
    manifest = json.loads((place.report / "manifest.json").read_text())
    assert list(manifest)[-1] == "status"
    assert manifest["status"] == "complete"
    assert manifest["inputs"] == {
        "data_hash": "data-1",
        "ledger": {"a.csv": "hash"},
        "settings": manifest["inputs"]["settings"],
    }
    assert manifest["settings"]["client"] == "Toy"
    assert manifest["versions"]["papermill"].startswith("2.")
    assert manifest["pages"]["27_a"]["parameters"] == {"period": "2025"}
    assert set(manifest["files"]) == set(place.files()) - {"manifest.json"}


def test_a_report_comes_with_what_nobody_has_answered(place: Place) -> None:
    write_toy(place.notebooks, "27_a")
    (place.root / "client" / "engagement.yml").write_text(
        f"{SETTINGS}open: {{currency: {{asked: Which?, taken: USD}}}}\n"
    )
    assert [(question.asked, question.taken) for question in place.run_instantly().still_open] == [("Which?", "USD")]


def test_text_in_a_parameter_stays_text(place: Place) -> None:
    write_toy(place.notebooks, "27_a", "print(repr(note))", parameters=PARAMETERS + '\nnote: str = "x"')
    note = "\"; import os; os._exit(1) #'\n{period} \\ é"
    place.run(parameters={"note": note})
    assert place.outputs("27_a").strip() == repr(note)


# --- nothing is run twice --------------------------------------------------------------------------------------------


def test_what_would_come_out_the_same_is_not_run_again(place: Place) -> None:
    write_toy(place.notebooks, "27_a")
    write_toy(place.notebooks, "31_b")
    place.run_instantly()
    before = place.files()
    assert place.run_instantly().nothing_to_do
    assert place.ran() == []
    assert place.run_instantly(parameters={"period": "last-12-months"}).nothing_to_do, "the same period by another name"
    assert place.files() == before
    write_toy(place.notebooks, "31_b", "print('new')")
    report = place.run_instantly()
    assert place.ran() == ["31_b"]
    assert [page.reused for page in report.pages] == [True, False]


@pytest.mark.parametrize("change", ["code", "settings", "judgement", "page", "data"])
def test_a_change_of_what_a_page_comes_from_runs_it_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    write_toy(place.notebooks, "27_a")
    place.run_instantly()
    (place.root / "client" / "judgement").mkdir()
    texts = {
        "code": ("package/code.py", "two"),
        "settings": ("client/engagement.yml", SETTINGS + "horizon_months: 6\n"),
        "judgement": ("client/judgement/weights.csv", "a"),
        "page": ("out/client/2025/27_a.html", "edited"),
    }
    if change == "data":
        made = SimpleNamespace(**{**vars(stored.open_books(None)), "data_hash": "data-2"})  # type: ignore[arg-type]
        monkeypatch.setattr(stored, "open_books", lambda engagement: made)
    else:
        (place.root / texts[change][0]).write_text(texts[change][1])
    place.run_instantly()
    assert place.ran() == ["27_a"]


def test_a_lost_export_is_made_again_without_running_a_notebook(place: Place) -> None:
    write_toy(place.notebooks, "27_a")
    place.run_instantly()
    (place.report / "workbook.xlsx").unlink()
    assert not place.run_instantly().nothing_to_do
    assert place.ran() == []
    assert (place.report / "workbook.xlsx").exists()


def test_running_one_keeps_the_pages_that_still_hold_and_drops_the_others(place: Place) -> None:
    for name in ("00_c", "27_a", "31_b"):
        write_toy(place.notebooks, name, parameters=PARAMETERS + "\ntop: int = 10")
    place.run_instantly(parameters={"top": "3"})
    write_toy(place.notebooks, "27_a", "print('new')")
    write_toy(place.notebooks, "31_b", "print('new')")
    report = place.run_instantly(only=("27",))
    assert place.ran() == ["27_a"]
    assert [page.notebook for page in report.pages] == ["00_c.ipynb", "27_a.ipynb"]
    assert Step("31_b", "dropped") in place.told
    assert not (place.report / "31_b.html").exists()


def test_the_pages_of_one_notebook_are_told_apart_by_the_values_in_which_they_differ(place: Place) -> None:
    write_toy(place.notebooks, "23_account")
    [notebook] = list_notebooks(place.notebooks)
    sets = [{"period": "2025", "account": account} for account in ("C1", "A/1", "A-1", 7)]
    assert [unit.name for unit in plan.units(notebook, sets[:1])] == ["23_account"]
    names = [unit.name for unit in plan.units(notebook, sets)]
    assert names[0] == "23_account-C1"
    assert len(set(names)) == 4
    assert all(name == safe_code(name) for name in names)


def test_a_notebook_may_make_many_pages_of_which_each_is_run_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_account(notebook: Notebook, sets: Sequence[Mapping[str, Any]]) -> list[plan.Unit]:
        accounts = ["C1", "C2"] if notebook.number == "23" else ["all"]
        return plan.units(notebook, [{**values, "account": account} for values in sets for account in accounts])

    monkeypatch.setattr(report, "units", by_account)
    write_toy(place.notebooks, "23_account")
    write_toy(place.notebooks, "27_a")
    pages = [page.html for page in place.run_instantly().pages]
    assert pages == ["23_account-C1.html", "23_account-C2.html", "27_a.html"]
    assert place.run_instantly().nothing_to_do
    write_toy(place.notebooks, "27_a", "print('new')")
    assert [page.html for page in place.run_instantly(only=("27",)).pages] == pages
    assert place.ran() == ["27_a"]
    (place.report / "23_account-C2.html").write_text("edited")
    place.run_instantly()
    assert place.ran() == ["23_account-C2"]


def test_a_page_whose_notebook_is_gone_leaves_the_report_though_nothing_is_to_run(place: Place) -> None:
    write_toy(place.notebooks, "27_a")
    write_toy(place.notebooks, "31_b")
    place.run_instantly()
    (place.notebooks / "31_b.ipynb").unlink()
    assert not place.run_instantly(only=("27",)).nothing_to_do
    assert place.ran() == []
    assert Step("31_b", "dropped") in place.told
    assert not (place.report / "31_b.html").exists()


# --- failures --------------------------------------------------------------------------------------------------------


def failure_of(place: Place, **asked: Any) -> str:
    """The message of a run that must fail and leave the report and nothing else."""
    before = place.files()
    with pytest.raises(NotebookFailed) as error:
        place.run(**asked)
    assert place.files() == before
    assert place.left_over() == []
    assert len(str(error.value).splitlines()) <= 10
    return str(error.value)


def test_a_failing_notebook_leaves_the_last_report_and_says_where_and_why(place: Place) -> None:
    write_toy(place.notebooks, "27_a")
    write_toy(place.notebooks, "31_b")
    place.run_instantly()
    write_toy(place.notebooks, "27_a", "x = 1", "raise ValueError('no line ' + engagement)", "print('after')")
    told = failure_of(place)
    assert told.startswith("27_a failed in cell 4, under 'Who earns what'")
    assert "ValueError: no line client" in told
    assert str(place.root) not in told.replace(os.path.relpath(place.root), "")
    kept = place.root / "out" / "client" / "failed" / "2025-27_a.ipynb"
    assert "no line client" in kept.read_text()
    assert str(place.root) not in kept.read_text()
    write_toy(place.notebooks, "27_a", "x = 2")
    place.run_instantly()
    assert not kept.exists()


@pytest.mark.parametrize("leave", ["raise SystemExit", "import sys; sys.exit(0)"])
def test_a_notebook_that_ends_early_is_a_failure(place: Place, leave: str) -> None:
    write_toy(place.notebooks, "27_a", leave, "print('never')")
    assert "27_a failed in cell" in failure_of(place)


def test_all_that_failed_is_named(place: Place) -> None:
    write_toy(place.notebooks, "27_a", "1 / 0")
    write_toy(place.notebooks, "31_b", "1 / 0")
    told = failure_of(place)
    assert told.startswith("27_a failed")
    assert "31_b failed in cell 3" in told


def test_a_dead_kernel_is_tried_once_more_and_then_told(place: Place) -> None:
    log = place.root / "log"
    write_toy(
        place.notebooks, "27_a", f"open({str(log)!r}, 'a').write('x')", "import os; os._exit(9)", "print('never')"
    )
    told = failure_of(place)
    assert "27_a failed in cell 4" in told
    assert "the kernel died" in told
    assert log.read_text() == "xx"


def test_a_kernel_that_dies_once_does_no_harm(place: Place) -> None:
    log = place.root / "log"
    once = f"import os, pathlib\nlog = pathlib.Path({str(log)!r})\nif not log.exists():\n    log.write_text('x'); os.kill(os.getpid(), 9)"
    write_toy(place.notebooks, "27_a", once, "print('alive')")
    place.run()
    assert place.outputs("27_a").strip() == "alive"


def test_one_kernel_takes_one_notebook_after_another_and_none_sees_the_names_of_another(place: Place) -> None:
    seen = (
        "import os\nprint(os.getpid(), sorted({'a', 'In', 'PERIOD'} & set(globals())), get_ipython().execution_count)"
    )
    write_toy(place.notebooks, "27_a", "a, PERIOD = 1, 2", seen)
    write_toy(place.notebooks, "31_b", "1", seen)
    place.run(jobs=1)
    first, second = (place.outputs(name).split(maxsplit=1) for name in ("27_a", "31_b"))
    assert first[0] == second[0]
    assert (first[1].strip(), second[1].strip()) == ("['In', 'PERIOD', 'a'] 5", "['In'] 5")


def test_a_notebook_that_follows_one_whose_kernel_was_ended_has_another(place: Place) -> None:
    write_toy(place.notebooks, "27_a", "while True: pass")
    write_toy(place.notebooks, "31_b", f"open({str(place.root / 'log')!r}, 'w').write('came')")
    assert "31_b" not in failure_of(place, jobs=1, cell_timeout_seconds=1)
    assert (place.root / "log").read_text() == "came"


def test_a_cell_that_takes_too_long_is_a_failure_and_nothing_else_is_said(
    place: Place, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    write_toy(place.notebooks, "27_a", "while True: print('x' * 1000)")
    begun = time.monotonic()
    assert "timeout: the cell ran longer than 1 s" in failure_of(place, cell_timeout_seconds=1)
    gc.collect()
    assert time.monotonic() - begun < 30
    assert capfd.readouterr().err == ""
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_cell_that_shows_more_than_a_page_can_hold_is_a_failure(place: Place) -> None:
    write_toy(place.notebooks, "27_a", "print('x' * 11_000_000)")
    assert "the cell shows 11 MB, more than a page can hold" in failure_of(place)


@pytest.mark.parametrize("word", ["x", "ipykernel_", "ipykernel_1/", "/tmp/ipykernel_1/2.py", "/a"])
def test_a_text_without_blanks_is_scrubbed_in_time_that_grows_with_its_length(word: str) -> None:
    begun = time.process_time()
    text = messages.scrubbed(word * (2_000_000 // len(word)), {Path("/a/b"): "b"})
    assert time.process_time() - begun < 5
    assert text.startswith("a cell" if word.endswith(".py") else word)


def test_rejected_data_leaves_findings_and_no_report(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(engagement: object) -> None:
        raise DataRejected("rejected", pd.DataFrame({"verdict": ["reject"], "code": ["date-impossible"]}))

    write_toy(place.notebooks, "27_a")
    place.run_instantly()
    before = place.files()
    monkeypatch.setattr(stored, "open_books", refuse)
    with pytest.raises(DataRejected):
        place.run_instantly()
    assert "date-impossible" in (place.root / "out" / "client" / "findings.csv").read_text()
    assert place.files() == before


def test_a_failing_export_leaves_the_last_report(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise OSError("disk full")

    write_toy(place.notebooks, "27_a", "import time; time.sleep(30)")
    monkeypatch.setattr(workbook, "export_workbook", fail)
    begun = time.monotonic()
    with pytest.raises(OSError, match="disk full"):
        place.run()
    assert time.monotonic() - begun < 20, "the notebook was not stopped"
    assert place.left_over() == []


# --- runs that meet, and runs that are stopped -----------------------------------------------------------------------


def run_toy(root: Path) -> None:
    """A run of the toy notebooks in another process, whose exit code says by which signal it was stopped."""
    tempfile.tempdir = os.environ["TMPDIR"] = str(root / "temp")
    fake_crmlib(root / "package", setattr)
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # where the tests run in the background it is ignored, and so is it by a run
    try:
        Place(root).run()
    except KeyboardInterrupt as stopped:
        sys.exit(stopped.args[0])


def is_running(process: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def gone(processes: list[int]) -> bool:
    for _ in range(50):
        if not any(is_running(process) for process in processes):
            return True
        time.sleep(0.1)
    return False


WAITING = """import os, pathlib, time
pathlib.Path({file!r} + ".part").write_text(f"{{os.getpid()}} {{os.getppid()}}")
os.rename({file!r} + ".part", {file!r})
time.sleep(120)"""


@pytest.fixture
def waiting(place: Place) -> Iterator[BaseProcess]:
    """Another process whose notebook has begun to wait; what it imports is loaded once for all."""
    write_toy(place.notebooks, "27_a")
    place.run_instantly()
    (place.root / "temp").mkdir()
    kernel = place.root / "kernel"
    write_toy(place.notebooks, "27_a", WAITING.format(file=str(kernel)))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["papermill", "pytest", "crmlib.run.report", "crmlib.output.workbook", "crmlib.segments"]
    )
    process = context.Process(target=run_toy, args=(place.root,))
    process.start()
    while process.is_alive() and not kernel.exists():
        time.sleep(0.05)
    yield process
    process.kill()
    process.join()


def test_a_second_run_says_who_holds_the_report(place: Place) -> None:
    write_toy(place.notebooks, "27_a")
    place.run_instantly()
    held, told = (safety.locked(place.report.with_name(".lock-2025")), f"process {os.getpid()} on .* since 20")
    with held, pytest.raises(CrmError, match=told):
        place.run_instantly()
    assert place.run_instantly().nothing_to_do


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_no_process_and_the_last_report(
    place: Place, waiting: BaseProcess, stop: signal.Signals
) -> None:
    before = place.files()
    processes = [int(text) for text in (place.root / "kernel").read_text().split()]
    assert all(is_running(process) for process in processes)
    os.kill(waiting.pid or 0, stop)
    waiting.join(20)
    assert gone(processes)
    assert place.files() == before
    assert list((place.root / "temp").glob("*.json")) == [], "the key of a kernel is left behind"
    if stop == signal.SIGKILL:
        assert place.left_over() == [".new-2025"]
        write_toy(place.notebooks, "27_a")
        place.run_instantly()
    else:
        assert waiting.exitcode == stop
    assert place.left_over() == []


def test_a_run_killed_between_the_renames_loses_no_report(place: Place) -> None:
    write_toy(place.notebooks, "27_a")
    place.run_instantly()
    before = place.files()
    place.report.rename(place.report.with_name(".old-2025"))
    assert place.run_instantly().nothing_to_do
    assert place.files() == before
    assert place.left_over() == []


def test_a_notebook_is_told_the_last_report_of_another_period_or_of_other_books(place: Place) -> None:
    cell = "from pathlib import Path; shown = Path(last_report).name; shown"
    write_toy(place.notebooks, "27_a", cell, parameters=f'{PARAMETERS}\nlast_report: str = ""  # an earlier report')
    names = []
    for period in ("2024", "2025", "2025"):
        place.run(parameters={"period": period})
        notebook = json.loads((place.report.parent / period / "27_a.ipynb").read_text())
        names.append("".join(notebook["cells"][-1]["outputs"][0]["data"]["text/plain"]))
    assert names == ["''", "'2024'", "'2024'"]
