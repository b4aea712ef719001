"""The command line: exit codes, messages for people, and nothing heavy before it is needed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from jupyterlab_server.config import get_page_config
from test_runner import SETTINGS, write_toy
from typer.testing import CliRunner
from xlsxwriter.exceptions import FileCreateError

from crmlib import __version__, segments
from crmlib.books import stored
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import CrmError, DataRejected, SettingsError
from crmlib.declared.settings import OpenQuestion
from crmlib.run import lab, notebooks, report
from crmlib.run.cli import app
from crmlib.run.report import NotebookFailed, Report, Request, Step

FINDINGS = pd.DataFrame(
    {
        "verdict": ["warn", "reject", "reject"], "code": ["outlier", "date-impossible", "date-impossible"],
        "table": ["invoice_lines"] * 3, "file": ["a.csv"] * 3, "row": [2, 3, 9], "column": ["gross_sales", "date", "date"],
        "value": ["9", "2025-02-30", "x"], "count": [1, 1, 1], "amount": [Decimal("12.50"), None, None],
        "message": ["far above", "no such day", "no such day"], "way_out": ["look", "mend [the] date", "mend [the] date"],
    }
)  # fmt: skip


@pytest.fixture
def client(tmp_path: Path) -> Path:
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "engagement.yml").write_text(SETTINGS)
    return tmp_path / "client"


def crm(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fake_run(monkeypatch: pytest.MonkeyPatch, outcome: object = None) -> list[Request]:
    asked: list[Request] = []

    def run_report(engagement: str, request: Request, *, tell: Any) -> Report:
        asked.append(request)
        tell(Step("27_profitability", "running"))
        tell(Step("27_profitability", "done", 4.12))
        if isinstance(outcome, BaseException):
            raise outcome
        still_open = () if outcome else (OpenQuestion(asked="Which year?", taken="2025"),)
        return Report("Toy", Path("reports/sample/2025").absolute(), (), bool(outcome), still_open)

    monkeypatch.setattr(report, "run_report", run_report)
    return asked


def test_help_is_fast_for_nothing_heavy_is_imported() -> None:
    heavy = {"pandas", "papermill", "nbconvert", "matplotlib", "pydantic", "duckdb"}
    code = f"import sys, crmlib.run.cli; print(sorted(set(sys.modules) & {heavy!r}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("command", ["run", "check", "new", "list", "lab"])
def test_each_command_has_help_with_examples(command: str) -> None:
    result = crm(command, "--help")
    assert result.exit_code == 0
    assert f"crm {command}" in result.output.split("Examples:")[1]


def test_no_arguments_show_the_help_and_version_says_the_version() -> None:
    assert "Exit codes: 0 done" in crm().output
    assert crm("--version").output == f"crm {__version__}\n"


def test_a_run_is_asked_for_what_was_given_and_says_where_the_report_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_run(monkeypatch)
    result = crm(
        "run",
        "data/sample",
        "--only",
        "27",
        "--only",
        "31",
        "-p",
        "period=2025Q4",
        "-p",
        "note=a=b",
        "--jobs",
        "3",
        "--out",
        "x",
    )
    assert result.exit_code == 0
    assert asked == [Request(("27", "31"), {"period": "2025Q4", "note": "a=b"}, 3, Path("x"))]
    assert result.stdout.splitlines() == [
        "open: Which year? Taken until it is answered: 2025",
        "done: reports/sample/2025/index.html; open it in any browser",
    ]
    assert result.stderr == "27_profitability           done         4.1 s\n"


def test_a_run_with_nothing_to_do_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_run(monkeypatch, True)
    assert crm("run").stdout.startswith("nothing to do: ")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (CrmError("held"), 1),
        (NotebookFailed("27 failed in cell 3"), 1),
        (OSError("disk full"), 1),
        (SettingsError("unknown parameter"), 2),
        (DataRejected("rejected", FINDINGS), 3),
        (KeyboardInterrupt(2), 130),
        (KeyboardInterrupt(15), 143),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_failure_has_its_exit_code_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, outcome: BaseException, code: int
) -> None:
    fake_run(monkeypatch, outcome)
    result = crm("run")
    assert result.exit_code == code
    assert "Traceback" not in result.output
    assert result.stderr.splitlines()[1].startswith("crm: ")
    assert result.stdout == ""


def test_an_error_that_nobody_expected_is_one_line_a_file_to_send_and_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_run(monkeypatch, ZeroDivisionError(f"of {Path.home()}\nand {tmp_path / 'client'}"))
    monkeypatch.setattr(sys, "argv", ["crm", "run", str(tmp_path / "client")])
    result = crm("run", tmp_path / "client", "--out", tmp_path / "out")
    assert result.exit_code == 4
    [_, line] = result.stderr.splitlines()
    assert line.startswith("crm: this was not expected: ZeroDivisionError: of ")
    [file] = (tmp_path / "out").iterdir()
    assert os.path.relpath(file) in line
    text = file.read_text()
    assert "Traceback" in text
    assert "ZeroDivisionError: of ~" in text
    assert "'pandas': '3." in text
    assert [folder for folder in (tmp_path, Path.home() / "", Path(sys.prefix)) if f"{folder}" in text] == []


def test_where_no_folder_takes_the_file_the_line_is_still_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_run(monkeypatch, ZeroDivisionError("why"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    (tmp_path / "file").write_text("no folder")
    result = crm("run", "--out", tmp_path / "file" / "out")
    assert (result.exit_code, "please send this line" in result.stderr) == (4, True)


@pytest.mark.parametrize("wrap", [lambda error: error, FileCreateError])
def test_a_full_disk_is_told_with_the_folders_that_are_written_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrap: Any
) -> None:
    fake_run(monkeypatch, wrap(OSError(errno.ENOSPC, "No space left on device")))
    result = crm("run", "--out", tmp_path / "out" / "deep")
    assert result.exit_code == 1
    assert "crm: the disk is full (No space left on device); make room" in result.stderr
    [reports] = [line for line in result.stderr.splitlines() if "--out names another folder" in line]
    assert os.path.relpath(tmp_path) in reports
    assert "MB" in reports
    assert "CRM_CACHE" in result.stderr


def test_a_cache_that_is_no_folder_is_told_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, make_engagement: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("CRM_CACHE", str(tmp_path / "cache"))
    result = crm("check", make_engagement(), "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "set CRM_CACHE to a folder" in result.stderr


def test_control_characters_reach_no_terminal(monkeypatch: pytest.MonkeyPatch, client: Path, tmp_path: Path) -> None:
    fake_run(monkeypatch, CrmError("Dis\x1b[2Jcount \u202estores\nin é"))
    assert "crm: Dis\\x1b[2Jcount \\u202estores\nin é\n" in crm("run").stderr
    findings = FINDINGS.assign(message="no\x07 day")
    monkeypatch.setattr(stored, "open_books", lambda engagement: SimpleNamespace(findings=findings))
    monkeypatch.setattr(segments, "check_judgement", lambda books: None)
    assert "no\\x07 day" in crm("check", client, "--out", tmp_path / "out").output


@pytest.mark.parametrize(
    "arguments",
    [["-p", "period"], ["-p", "=1"], ["-p", "a=1", "-p", "a=2"], ["--jobs", "0"], ["--nonsense"], ["a", "b"]],
)
def test_bad_usage_is_2_and_nothing_is_run(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    asked = fake_run(monkeypatch)
    assert crm("run", *arguments).exit_code == 2
    assert not asked


def test_a_wrong_engagement_parameter_or_period_is_2_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, client: Path, tmp_path: Path
) -> None:
    (tmp_path / "notebooks").mkdir()
    write_toy(tmp_path / "notebooks", "27_a")
    monkeypatch.setattr(Request, "__init__", _with_notebooks(tmp_path / "notebooks"))
    monkeypatch.setattr(stored, "open_books", lambda engagement: pytest.fail("opened"))
    for wrong in (
        [tmp_path],
        [client, "-p", "perid=2025"],
        [client, "-p", "period=2025Q7"],
        [client, "-p", "period=1999"],
    ):
        result = crm("run", *wrong, "--out", tmp_path / "out")
        assert result.exit_code == 2, result.output
        assert not (tmp_path / "out").exists()
    assert "did you mean 'period'?" in crm("run", client, "-p", "perid=2025").stderr


def _with_notebooks(folder: Path) -> Any:
    usual = Request.__init__

    def init(self: Request, *arguments: Any, **named: Any) -> None:
        usual(self, *arguments, notebooks=folder, **named)

    return init


@pytest.mark.parametrize(("rejected", "code"), [(True, 3), (False, 0)])
def test_check_sums_the_findings_up_and_lists_them(
    monkeypatch: pytest.MonkeyPatch, client: Path, tmp_path: Path, rejected: bool, code: int
) -> None:
    def open_books(engagement: object) -> object:
        if rejected:
            raise DataRejected("rejected", FINDINGS)
        return SimpleNamespace(findings=FINDINGS, refuse_empty=lambda period: None)

    monkeypatch.setattr(stored, "open_books", open_books)
    monkeypatch.setattr(segments, "check_judgement", lambda books: None)
    monkeypatch.setattr(segments, "texts_of_nobody", lambda books: ["no customer has region 'NO'"])
    monkeypatch.setenv("COLUMNS", "200")
    result = crm("check", client, "--out", tmp_path / "out")
    assert result.exit_code == code
    assert ("no customer has region 'NO'; its rules hold for nobody" in result.output) is not rejected
    rows = [line for line in result.output.splitlines() if "date-impossible" in line]
    assert len(rows) == 1, "one row for each kind"
    assert result.output.count("no such day → mend [the] date") == 1
    assert rows[0].split()[:2] == ["reject", "2"]
    assert "12.50" in result.output
    assert f"\n{'rejected' if rejected else 'accepted'}; 3 findings" in result.output
    assert len((tmp_path / "out" / "findings.csv").read_text().splitlines()) == 4


def test_new_writes_the_template_and_says_what_comes_next(tmp_path: Path) -> None:
    result = crm("new", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert "then: crm check" in result.output
    assert open_engagement(tmp_path / "new").settings.currency == "USD"
    again = crm("new", tmp_path / "new")
    assert (again.exit_code, "not empty" in again.output) == (2, True)


def test_list_shows_question_and_parameters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_toy(tmp_path, "27_a")
    monkeypatch.setattr(notebooks.list_notebooks, "__defaults__", (tmp_path,))
    assert crm("list").output.splitlines() == [
        "27  Who earns what",
        "    Which customers earn? Said.",
        "    -p engagement=data/sample  (str) folder of the engagement",
        "    -p period=2025  (str) such as 2025Q4",
    ]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """What JupyterLab would have been started with; copies are made in lab, of one notebook."""
    (tmp_path / "notebooks").mkdir()
    write_toy(tmp_path / "notebooks", "27_a")
    calls: list[Any] = []
    monkeypatch.setattr(subprocess, "call", lambda command, env: calls.append((command, env)) or 0)
    monkeypatch.setattr(notebooks.list_notebooks, "__defaults__", (tmp_path / "notebooks",))
    monkeypatch.setattr(lab, "LAB", tmp_path / "lab")
    return calls


def test_lab_opens_copies_so_that_an_answer_saved_touches_no_notebook_of_the_workbook(
    started: list[Any], tmp_path: Path
) -> None:
    assert crm("lab", "27").exit_code == 0
    assert crm("lab").exit_code == 0
    copy = tmp_path / "lab" / "27_a.ipynb"
    assert [command[-1] for command, _ in started] == [str(copy), str(copy.parent)]
    assert copy.read_bytes() == (tmp_path / "notebooks" / "27_a.ipynb").read_bytes()
    copy.write_text("an answer")
    assert "delete a copy to begin it anew" in crm("lab").stderr
    assert copy.read_text() == "an answer"


def test_lab_opens_a_file_itself_with_this_python_and_refuses_an_unknown_one(
    started: list[Any], tmp_path: Path
) -> None:
    file = write_toy(tmp_path, "31_b")
    assert crm("lab", file).exit_code == 0
    [(command, _)] = started
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert command[-1] == str(file)
    assert crm("lab", "99").exit_code == 2


def test_lab_asks_the_network_for_nothing(started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    crm("lab")
    [(command, environment)] = started
    assert {"--LabApp.news_url=None", "--LabApp.extension_manager=readonly"} <= set(command)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", environment["JUPYTER_CONFIG_PATH"])
    assert "@jupyterlab/apputils-extension:announcements" in get_page_config([])["disabledExtensions"]
