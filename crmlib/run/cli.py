"""The command line: `crm run`, `check`, `compare`, `new`, `list` and `lab`."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from crmlib.run.messages import near, os_error, os_error_message, visible, write_crash

if TYPE_CHECKING:
    import pandas as pd

    from crmlib.run.drafts import Question
    from crmlib.run.report import Request, Step


EXIT_CODES = (
    "Exit codes: 0 done, 1 a notebook failed or the system refused, 2 bad usage or settings, 3 the data was rejected, "
    "4 an error that nobody expected; its message names a file to send."
)


app = typer.Typer(
    name="crm", no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False,
    help="From a company's books to the profitability of each customer and segment.", epilog=EXIT_CODES,
)  # fmt: skip


Engagement = Annotated[str, typer.Argument(help="Folder of the engagement, or its engagement.yml.", show_default=True)]


Out = Annotated[Path | None, typer.Option(help="Folder to write to instead of reports/.", file_okay=False)]


For = Annotated[
    list[str] | None,
    typer.Option(
        "--for",
        help="Accounts for each of which the notebook is run: key, all, a segment, or customer_ids; may be repeated.",
    ),
]


Books = Annotated[
    list[str] | None,
    typer.Option(
        "--from", help="File of the client's, or env:NAME of a variable that holds a database's URL; may be repeated."
    ),
]


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
    epilog="Examples: `crm run` · `crm run data/sample --only 27 -p period=2025Q4` · `crm run --only 23 --for key` · `crm run ~/a --jobs 1`"
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
    for_: For = None,
    pdf: Annotated[
        bool,
        typer.Option(
            "--pdf",
            help="Print all pages into one PDF too, or each pack of --for into its own, by a Chromium that is here.",
        ),
    ] = False,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that one cell may take.")] = 1800,
    edition: Annotated[
        Literal["client", "anonymous"] | None,
        typer.Option(
            help="For other eyes: customers and staff under other names; anonymous also hides groups, products and the true amounts."
        ),
    ] = None,
    least_group: Annotated[
        int, typer.Option(min=1, help="Customers that a group of an edition has at least; smaller ones are joined.")
    ] = 5,
) -> None:
    """Check the books, run the notebooks, put the report into place; what would come out the same is not run again."""
    with _exit_codes(engagement, out):
        from crmlib.run.report import Request

        request = Request(tuple(only or ()), _parameters(parameter or []), jobs, out, cell_timeout_seconds=timeout)
        if not edition:
            _run(engagement, for_ or [], request, pdf)
            return
        from crmlib.run.editions import prepared

        with prepared(engagement, edition, least_group, request) as ready:
            _say("\n".join(ready.told))
            _run(str(ready.folder), for_ or [], ready.request, pdf)


def _run(engagement: str, who: list[str], request: Request, pdf: bool) -> None:
    from crmlib.output.pdf import export_pdf
    from crmlib.run.report import run_report

    if who:
        _run_packs(engagement, who, request, pdf)
        return
    with _progress() as tell:
        report = run_report(engagement, request, tell=tell)
    for question in report.still_open:
        _say(f"open: {question.asked} Taken until it is answered: {question.taken}")
    printed = export_pdf(report.folder, report.heading) if pdf else None
    done = "nothing to do: the report is as it would come out" if report.nothing_to_do else "done"
    _say(f"{done}: {near(report.folder / 'index.html')}; open it in any browser")
    if printed:
        _say(f"printed: {near(printed)}")


def _run_packs(engagement: str, who: list[str], request: Request, pdf: bool) -> None:
    from crmlib.run.packs import run_packs, told

    with _progress() as tell:
        packs = run_packs(engagement, who, request, tell=tell, pdf=pdf)
    _say(told(packs))
    if packs.failed:
        raise typer.Exit(1)


@app.command(epilog="Examples: `crm check data/sample` · `crm check ~/client --out /tmp/reports`")
def check(engagement: Engagement, out: Out = None) -> None:
    """Check the books and the judgement files and say all that was found; findings.csv lists it row by row."""
    with _exit_codes(engagement, out):
        accepted = _checked(engagement, out)
    raise typer.Exit(0 if accepted else 3)


def _checked(engagement: str, out: Path | None) -> bool:
    from crmlib.books.stored import open_books
    from crmlib.declared.engagement import open_engagement
    from crmlib.declared.reading import DataRejected
    from crmlib.output.data import export_findings
    from crmlib.run.report import REPORTS
    from crmlib.run.safety import claim
    from crmlib.segments import check_judgement, texts_of_nobody

    opened = open_engagement(engagement)
    folder = out or claim(REPORTS / opened.name, opened)
    books = None
    try:
        with _progress():
            books = open_books(opened)
        findings = books.findings
    except DataRejected as error:
        findings = error.findings
    file = folder / "findings.csv"
    export_findings(findings, file)
    _summarise(findings)
    count = f"{len(findings)} finding{'s' if len(findings) != 1 else ''}"
    _say(f"{'accepted' if books else 'rejected'}; {count}, row by row: {near(file)}")
    if books:
        books.refuse_empty(opened.coverage)
        check_judgement(books)
        for text in texts_of_nobody(books):
            _say(f"warn: judgement/segments.yml: {text}; its rules hold for nobody")
    return books is not None


@app.command(
    epilog="Examples: `crm compare reports/acme/2025-01_to_2025-12 reports/acme/2025-02_to_2026-01` · `crm compare reports/acme/2024 reports/acme/2025 --csv ~/moved`"
)
def compare(
    before: Annotated[Path, typer.Argument(help="Folder of a report.")],
    after: Annotated[Path, typer.Argument(help="Folder of a later one.")],
    csv: Annotated[Path | None, typer.Option(help="Folder for the complete tables.", file_okay=False)] = None,
) -> None:
    """Say what moved from one report to another: what they were made from, figures, customers, segments, restated months."""
    with _exit_codes():
        from crmlib.run.compared import told

        _say(told(before, after, csv))


@app.command(epilog="Examples: `crm new ~/client` · `crm new ~/client --from sales.csv --from customers.xlsx`")
def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make; it must be new or empty.")],
    from_: Books = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take what is proven, mark the rest.")] = False,
    out: Out = None,
) -> None:
    """Make an engagement: a commented template, or the client's books set up and checked, asked for what they do not prove."""
    accepted = True
    with _exit_codes(folder, out):
        from crmlib.run.new import write_template

        asked = not yes and sys.stdin.isatty()
        with _rows_read(lambda text: _say(text, err=True)):
            still_open = write_template(folder, from_ or [], _answer if asked else lambda question: "")
        place, settings = near(folder), near(folder / "engagement.yml")
        if not from_:
            _say(f"done: {place}; fill in {settings}, then: crm check {place}")
            return
        for question in still_open:
            _say(f"open: {question}")
        accepted = _checked(str(folder), out)
        _say(f"written: {settings}" + (", where `open` lists what is still to be said" if still_open else ""))
        _say(
            f"next: crm run {place}"
            if accepted
            else f"next: mend it or the books as the findings say, then: crm check {place}"
        )
    raise typer.Exit(0 if accepted else 3)


def _answer(question: Question) -> str:
    """What a person at the terminal says, by the number of a choice or in full; the default is one key away."""
    from rich.prompt import Prompt
    from rich.text import Text

    numbers = {str(number): choice for number, choice in enumerate(question.choices, 1)}
    lines = [*question.evidence, *(f"{number}  {choice}" for number, choice in numbers.items())]
    _say("\n".join(["", question.text, *(f"    {line}" for line in lines)]))
    choices = [*question.choices, *numbers] or None
    try:
        said = Prompt.ask(Text("answer"), choices=choices, show_choices=False, default=question.default)
    except EOFError:  # nobody is there
        return ""
    return numbers.get(said, said)


@app.command("list", epilog="Examples: `crm list`")
def list_() -> None:
    """List the notebooks: what each asks, and its parameters."""
    with _exit_codes():
        from crmlib.run.notebooks import list_notebooks

        for notebook in list_notebooks():
            _say(f"{notebook.number}  {notebook.title}\n    {notebook.question}")
            for p in notebook.parameters:
                _say(f"    -p {p.name}={p.default}  ({p.type}) {p.help}")


@app.command(epilog="Examples: `crm lab` · `crm lab 27` · `crm lab reports/sample/failed/2025-27_x.ipynb`")
def lab(notebook: Annotated[str | None, typer.Argument(help="Number, name, or a file to open itself.")] = None) -> None:
    """Open copies of the notebooks, in reports/lab, in JupyterLab; copies that are there stay as you left them."""
    with _exit_codes():
        from crmlib.run.lab import lab_command, open_copies

        file = Path(notebook).resolve() if notebook and Path(notebook).is_file() else None
        if not file:
            file, changed = open_copies(notebook)
            _say(f"copies, which stay as you leave them: {near(file)}", err=True)
            if changed:
                _say(f"unlike the workbook's own: {', '.join(changed)}; delete a copy to begin it anew", err=True)
        command, environment = lab_command(file)
    raise typer.Exit(subprocess.call(command, env=environment))


def _parameters(texts: list[str]) -> dict[str, object]:
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not equals or not name or [n for n, _, _ in pairs].count(name) > 1:
            raise typer.BadParameter(f"{name!r}: give each parameter once, as -p name=value")
    return {name: value for name, _, value in pairs}


def _say(text: str, *, err: bool = False) -> None:
    typer.echo(visible(text), err=err)


@contextmanager
def _exit_codes(engagement: str | Path = "", out: Path | None = None) -> Iterator[None]:
    """Errors for people, and their exit codes; what nobody expected is one line and a file to send."""
    try:
        yield
    except (typer.Exit, typer.BadParameter):
        raise
    except KeyboardInterrupt as stopped:
        _say("crm: stopped; nothing is left running and the last report was not touched", err=True)
        code = 128 + (stopped.args[0] if stopped.args else 2)
    except Exception as error:
        text, code = _explained(error, Path(engagement).absolute(), out)
        _say(f"crm: {text}", err=True)
    else:
        return
    raise typer.Exit(code)


def _explained(error: Exception, engagement: Path, out: Path | None) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    from crmlib.declared.reading import PROJECT, CrmError, DataRejected, SettingsError

    if isinstance(error, DataRejected):
        return f"{error}\ncrm: all findings are in findings.csv; `crm check` sums them up", 3
    if isinstance(error, CrmError):
        return str(error), 2 if isinstance(error, SettingsError) else 1
    reports = (out or PROJECT / "reports").absolute()
    cache = Path(os.environ.get("CRM_CACHE") or PROJECT / "reports" / ".cache").absolute()
    if refused := os_error(error):
        return os_error_message(refused, reports, cache), 1
    file = write_crash(error, reports, {engagement: "engagement", reports: "reports", cache: "cache"})
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    way_out = f"read {near(file)} and send it" if file else "send this line"
    return f"this was not expected: {what}; please {way_out} to whoever mends crm", 4


@contextmanager
def _progress() -> Iterator[Callable[[Step], None]]:
    """A line for each step, and on a terminal what is running now; all on stderr."""
    from rich.console import Console

    console, running = Console(stderr=True, highlight=False), dict[str, None]()
    if not console.is_terminal:
        yield lambda step: _say(_line(step), err=True) if step.state != "running" else None
        return
    with console.status("opening the books") as status, _rows_read(status.update):

        def tell(step: Step) -> None:
            running.pop(step.name, None)
            if step.state == "running":
                running[step.name] = None
            else:
                console.print(_line(step), markup=False)
            status.update(f"running {', '.join(running)}" if running else "writing the report")

        yield tell


@contextmanager
def _rows_read(tell: Callable[[str], None]) -> Iterator[None]:
    """What the readers log of what they read."""
    handler, log = logging.Handler(), logging.getLogger("crmlib.books")
    handler.emit = lambda record: tell(visible(record.getMessage()))  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _line(step: Step) -> str:
    return f"{step.name:<26} {step.state:<10}" + (f"{step.seconds:6.1f} s" if step.seconds else "").rstrip()


def _summarise(findings: pd.DataFrame) -> None:
    """What was found, a paragraph for each kind of finding, the worst first: count, amount, an example, the way out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from crmlib.look.words import alike

    table = Table.grid("verdict", "count", "finding", padding=(0, 2))
    for verdict in ("reject", "warn", "accept"):
        kinds = findings[findings["verdict"] == verdict].groupby(["code", "table", "column"], dropna=False, sort=False)
        for (code, name, column), rows in kinds:
            first, amount = rows.iloc[0], sum(rows["amount"].dropna())
            where = ".".join(str(part) for part in (name, column) if part)
            what = f"{code}: {where}" + (f", {amount:,.2f}" if amount else "")
            text = visible(f"{what}\n{alike(rows['message'])} → {first['way_out']}")
            table.add_row(Text(verdict), Text(f"{rows['count'].sum()}", justify="right"), Text(text))
    if len(findings):
        Console().print(table)
