"""The command line: exit codes, messages for people, and nothing heavy before it is needed."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from test_runner import SETTINGS, write_toy
from typer.testing import CliRunner

from crmlib import __version__, segments
from crmlib.books import stored
from crmlib.declared.reading import CrmError, DataRejected, SettingsError
from crmlib.run import kernels, new, notebooks, report
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
        return Report(Path("reports/sample/2025").absolute(), (), bool(outcome))

    monkeypatch.setattr(report, "run_report", run_report)
    return asked


def test_help_is_fast_for_nothing_heavy_is_imported() -> None:
    heavy = {"pandas", "papermill", "nbconvert", "matplotlib", "pydantic", "ibis", "duckdb"}
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
    assert result.stdout == "done: reports/sample/2025/index.html; open it in any browser\n"
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
    monkeypatch.setattr(kernels, "_start_server", lambda sources: pytest.fail("started"))
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

    def init(self: Request, *arguments: Any) -> None:
        usual(self, *arguments, notebooks=folder)

    return init


@pytest.mark.parametrize(("rejected", "code"), [(True, 3), (False, 0)])
def test_check_sums_the_findings_up_and_lists_them(
    monkeypatch: pytest.MonkeyPatch, client: Path, tmp_path: Path, rejected: bool, code: int
) -> None:
    def open_books(engagement: object) -> object:
        if rejected:
            raise DataRejected("rejected", FINDINGS)
        return SimpleNamespace(findings=FINDINGS)

    monkeypatch.setattr(stored, "open_books", open_books)
    monkeypatch.setattr(segments, "check_judgement", lambda books: None)
    monkeypatch.setenv("COLUMNS", "200")
    result = crm("check", client, "--out", tmp_path / "out")
    assert result.exit_code == code
    rows = [line for line in result.output.splitlines() if "date-impossible" in line]
    assert len(rows) == 1, "one row for each kind"
    assert result.output.count("no such day → mend [the] date") == 1
    assert rows[0].split()[:2] == ["reject", "2"]
    assert "12.50" in result.output
    assert result.output.splitlines()[-1].startswith("rejected; 3 findings" if rejected else "accepted; 3 findings")
    assert len((tmp_path / "out" / "findings.csv").read_text().splitlines()) == 4


def test_new_writes_the_template_and_says_what_comes_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[object] = []
    monkeypatch.setattr(new, "write_template", lambda *arguments: seen.append(arguments), raising=False)
    (tmp_path / "a.csv").write_text("x")
    result = crm("new", tmp_path / "new", "--from", tmp_path / "a.csv")
    assert result.exit_code == 0, result.output
    assert seen == [(tmp_path / "new", [tmp_path / "a.csv"])]
    assert "then: crm check" in result.output


def test_list_shows_question_and_parameters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_toy(tmp_path, "27_a")
    monkeypatch.setattr(notebooks.list_notebooks, "__defaults__", (tmp_path,))
    assert crm("list").output.splitlines() == [
        "27  Who earns what",
        "    Which customers earn? Said.",
        "    -p engagement=data/sample  (str) folder of the engagement",
        "    -p period=2025  (str) such as 2025Q4",
    ]


def test_lab_opens_a_file_with_this_python_and_refuses_an_unknown_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[Any] = []
    monkeypatch.setattr(subprocess, "call", lambda command, cwd: called.append((command, cwd)) or 0)
    file = write_toy(tmp_path, "27_a")
    assert crm("lab", file).exit_code == 0
    assert called == [([sys.executable, "-m", "jupyterlab", "27_a.ipynb"], tmp_path)]
    assert crm("lab", "99").exit_code == 2
