"""The command line: `crm run`, `check`, `new`, `list` and `lab`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from crmlib.run.report import Step


EXIT_CODES = "Exit codes: 0 done, 1 a notebook failed, 2 bad usage or settings, 3 the data was rejected."


app = typer.Typer(
    name="crm", no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False,
    help="From a company's books to the profitability of each customer and segment.", epilog=EXIT_CODES,
)  # fmt: skip


Engagement = Annotated[str, typer.Argument(help="Folder of the engagement, or its engagement.yml.", show_default=True)]


Out = Annotated[Path | None, typer.Option(help="Folder to write to instead of reports/.", file_okay=False)]


def _version(wanted: bool) -> None:
    if wanted:
        from crmlib import __version__

        typer.echo(f"crm {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """From a company's books to the profitability of each customer and segment."""


@app.command(
    epilog="Examples: `crm run` · `crm run data/sample --only 27 -p period=2025Q4` · `crm run ~/client --out /tmp/reports --jobs 1`"
)
def run(
    engagement: Engagement = "data/sample",
    only: Annotated[list[str] | None, typer.Option(help="Notebook to run, by number or name; may be repeated.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="As `crm list` shows; may be repeated."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks at a time.")] = 2,
    out: Out = None,
) -> None:
    """Check the books, run the notebooks and put the report into place; what would come out the same is not run again."""
    with _told():
        from crmlib.run.report import Request, run_report
        from crmlib.run.safety import near

        request = Request(tuple(only or ()), _parameters(parameter or []), jobs, out)
        with _progress() as tell:
            report = run_report(engagement, request, tell=tell)
    done = "nothing to do: the report is as it would come out" if report.nothing_to_do else "done"
    index = near(report.folder / "index.html")
    typer.echo(f"{done}: {index}; open it in any browser")


@app.command(epilog="Examples: `crm check data/sample` · `crm check ~/client --out /tmp/reports`")
def check(engagement: Engagement, out: Out = None) -> None:
    """Check the books and the judgement files and say all that was found; findings.csv lists it row by row. Nothing is run."""
    with _told():
        from crmlib.books.stored import open_books
        from crmlib.declared.engagement import open_engagement
        from crmlib.declared.reading import DataRejected
        from crmlib.output.data import export_findings
        from crmlib.run.report import REPORTS
        from crmlib.run.safety import claim, near
        from crmlib.segments import check_judgement

        opened = open_engagement(engagement)
        folder = out or claim(REPORTS / opened.name, opened)
        books = None
        try:
            books = open_books(opened)
            findings = books.findings
        except DataRejected as error:
            findings = error.findings
        file = folder / "findings.csv"
        export_findings(findings, file)
        _summarise(findings)
        typer.echo(f"{'accepted' if books else 'rejected'}; {len(findings)} findings, row by row: {near(file)}")
        if books:
            check_judgement(books)
    raise typer.Exit(0 if books else 3)


@app.command(epilog="Examples: `crm new ~/client` · `crm new ~/client --from sales.csv --from customers.xlsx`")
def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make; it must be new or empty.")],
    from_: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            exists=True,
            dir_okay=False,
            help="Books to look at, may be repeated; settings are proposed from them.",
        ),
    ] = None,
) -> None:
    """Make an engagement: a commented template of everything."""
    with _told():
        from crmlib.run.new import write_template
        from crmlib.run.safety import near

        write_template(folder, from_ or [])
    typer.echo(f"done: {near(folder)}; fill in {near(folder / 'engagement.yml')}, then: crm check {near(folder)}")


@app.command("list", epilog="Examples: `crm list`")
def list_() -> None:
    """List the notebooks: what each asks, and its parameters."""
    with _told():
        from crmlib.run.notebooks import list_notebooks

        notebooks = list_notebooks()
    for notebook in notebooks:
        typer.echo(f"{notebook.number}  {notebook.title}\n    {notebook.question}")
        for p in notebook.parameters:
            typer.echo(f"    -p {p.name}={p.default}  ({p.type}) {p.help}")


@app.command(epilog="Examples: `crm lab` · `crm lab 27` · `crm lab reports/sample/failed/2025-27_profitability.ipynb`")
def lab(notebook: Annotated[str | None, typer.Argument(help="Number, name or file.")] = None) -> None:
    """Open the notebooks in JupyterLab, with this Python."""
    import subprocess

    with _told():
        from crmlib.run.notebooks import NOTEBOOKS, list_notebooks, select_notebooks

        file = Path(notebook).resolve() if notebook and Path(notebook).is_file() else None
        if notebook and not file:
            file = select_notebooks(list_notebooks(), [notebook])[0].path
    folder = file.parent if file else NOTEBOOKS
    raise typer.Exit(subprocess.call([sys.executable, "-m", "jupyterlab", *([file.name] if file else [])], cwd=folder))


def _parameters(texts: list[str]) -> dict[str, object]:
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not equals or not name or [n for n, _, _ in pairs].count(name) > 1:
            raise typer.BadParameter(f"{name!r}: give each parameter once, as -p name=value")
    return {name: value for name, _, value in pairs}


@contextmanager
def _told() -> Iterator[None]:
    """Errors for people, and their exit codes."""
    from crmlib.declared.reading import CrmError, DataRejected, SettingsError

    try:
        yield
    except (CrmError, OSError) as error:
        typer.echo(f"crm: {error}", err=True)
        if isinstance(error, DataRejected):
            typer.echo("crm: all findings are in findings.csv; `crm check` sums them up", err=True)
        code = 3 if isinstance(error, DataRejected) else 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt as stopped:
        typer.echo("crm: stopped; nothing is left running and the last report was not touched", err=True)
        code = 128 + (stopped.args[0] if stopped.args else 2)
    else:
        return
    raise typer.Exit(code)


@contextmanager
def _progress() -> Iterator[Callable[[Step], None]]:
    """A line for each step, and on a terminal what is running now; all on stderr."""
    from rich.console import Console

    console, running = Console(stderr=True, highlight=False), dict[str, None]()
    if not console.is_terminal:
        yield lambda step: typer.echo(_line(step), err=True) if step.state != "running" else None
        return
    with console.status("opening the books") as status:

        def tell(step: Step) -> None:
            running.pop(step.name, None)
            if step.state == "running":
                running[step.name] = None
            else:
                console.print(_line(step), markup=False)
            status.update(f"running {', '.join(running)}" if running else "writing the report")

        yield tell


def _line(step: Step) -> str:
    return f"{step.name:<26} {step.state:<10}" + (f"{step.seconds:6.1f} s" if step.seconds else "").rstrip()


def _summarise(findings: pd.DataFrame) -> None:
    """What was found, a paragraph for each kind of finding, the worst first: count, amount, an example, the way out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid("verdict", "count", "finding", padding=(0, 2))
    for verdict in ("reject", "warn", "accept"):
        kinds = findings[findings["verdict"] == verdict].groupby(["code", "table", "column"], dropna=False, sort=False)
        for (code, name, column), rows in kinds:
            first, amount = rows.iloc[0], sum(rows["amount"].dropna())
            where = ".".join(str(part) for part in (name, column) if part)
            what = f"{code}: {where}" + (f", {amount:,.2f}" if amount else "")
            told = f"{what}\n{first['message']} → {first['way_out']}"
            table.add_row(Text(verdict), Text(f"{rows['count'].sum()}", justify="right"), Text(told))
    if len(findings):
        Console().print(table)
