"""One safe run: the notebooks of an engagement executed, their pages and files built aside and put into place when whole."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.declared.engagement import Engagement, open_engagement
from crmlib.declared.periods import Period
from crmlib.declared.reading import PROJECT, CrmError, DataRejected, SettingsError
from crmlib.declared.versions import versions
from crmlib.run.kernels import (
    Failure,
    Kernels,
    execute,
    kernel_manager,
    load_papermill,
    open_kernels,
    place_of,
    scrubbed,
    write_notebook,
)
from crmlib.run.notebooks import NOTEBOOKS, Notebook, check_parameters, list_notebooks, select_notebooks
from crmlib.run.plan import (
    Plan,
    code_hash,
    content_hash,
    file_hashes,
    fingerprint,
    is_fresh,
    read_manifest,
    settings_hashes,
)
from crmlib.run.safety import claim, locked, near, stoppable

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from crmlib.books.stored import Books
    from crmlib.output.page import Page


REPORTS = PROJECT / "reports"


class NotebookFailed(CrmError):  # noqa: N818
    """A notebook that did not come to its end; the message says which, where, why and what to do."""


@dataclass(frozen=True)
class Request:
    """What a run is asked for; `only` holds numbers or names, `out` takes the place of the project's reports/."""

    only: tuple[str, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    jobs: int = 2
    out: Path | None = None
    notebooks: Path = NOTEBOOKS
    cell_timeout_seconds: int = 1800


@dataclass(frozen=True)
class Step:
    """Something to tell while a run goes on; `state` is running, done, failed, unchanged or dropped."""

    name: str
    state: str
    seconds: float = 0.0


Tell = Callable[[Step], None]


@dataclass(frozen=True)
class Report:
    """A report in its place: its folder, its pages, and whether there was nothing to do."""

    folder: Path
    pages: tuple[Page, ...]
    nothing_to_do: bool


@dataclass(frozen=True)
class _Job:
    request: Request
    tell: Tell
    engagement: Engagement
    shown: str
    period: Period
    notebooks: tuple[Notebook, ...]
    wanted: Mapping[str, dict[str, Any]]

    @property
    def folder(self) -> Path:
        return (self.request.out or REPORTS).resolve() / self.engagement.name

    @property
    def target(self) -> Path:
        return self.folder / self.period.folder

    def beside(self, what: str) -> Path:
        return self.folder / f".{what}-{self.period.folder}"

    @property
    def private_folders(self) -> dict[Path, str]:
        shown = {Path.home(): "~", Path(sys.prefix): "python", Path.cwd(): ".", PROJECT: ".", self.folder: "reports"}
        return shown | {self.request.notebooks.resolve(): "notebooks", self.engagement.folder: self.shown}

    @property
    def given(self) -> dict[str, str]:
        texts = {name: str(value) for name, value in self.request.parameters.items()}
        return {"engagement": self.shown, **texts, "period": self.period.label}


def run_report(engagement: str | Path, request: Request | None = None, *, tell: Tell = lambda step: None) -> Report:
    """Run the notebooks of an engagement and put the whole report into place, or leave the last one untouched.

    Raises
    ------
    SettingsError
        Notebooks, parameters, period or engagement that cannot be: nothing was started.
    DataRejected
        The books may not reach a report; findings.csv in the engagement's folder of reports says why.
    NotebookFailed
        A notebook did not come to its end; it is kept in the folder failed/ there.
    CrmError
        Another run is building this report.
    KeyboardInterrupt
        Stopped by the signal whose number is its argument; nothing is left running.
    """
    job = _job(engagement, request or Request(), tell)
    claim(job.folder, job.engagement)
    with locked(job.beside("lock")), stoppable(), ExitStack() as stack:
        _recover(job)
        stack.callback(shutil.rmtree, job.beside("run"), ignore_errors=True)
        before, made_of = read_manifest(job.target), code_hash(job.engagement)
        wanted = [n for n in job.notebooks if n.name in job.wanted]
        stale = [n for n in wanted if not is_fresh(before, n, job.wanted[n.name], made_of)]
        kernels = stack.enter_context(open_kernels([text for n in stale for kind, text in n.cells if kind == "code"]))
        books = _open_books(job)
        plan = _plan(job, before, f"{made_of}-{books.data_hash}")
        if not plan.nothing_to_do:
            pages = _build(job, plan, books, kernels)
            _place(job)
            return Report(job.target, pages, False)
    return Report(job.target, plan.kept, True)


def _job(engagement: str | Path, request: Request, tell: Tell) -> _Job:
    notebooks = list_notebooks(request.notebooks)
    selected = select_notebooks(notebooks, request.only)
    if not selected:
        raise SettingsError(f"there is no notebook named NN_name.ipynb in {request.notebooks}")
    if "engagement" in request.parameters:
        raise SettingsError("the engagement is no parameter of a run; give it as `crm run ENGAGEMENT`")
    opened = open_engagement(engagement)
    wanted = check_parameters(selected, request.parameters)
    asked = [values["period"] for values in wanted.values() if "period" in values]
    period = opened.period(asked[0] if asked else "last-12-months")
    for values in wanted.values():
        values.pop("engagement", None)
        values.update({"period": period.label} if "period" in values else {})
    return _Job(request, tell, opened, _shown(engagement, opened), period, tuple(notebooks), wanted)


def _shown(given: str | Path, engagement: Engagement) -> str:
    """The engagement as given, unless that names folders of this machine."""
    if not Path(given).expanduser().is_absolute() and Path(given).name not in {"", ".."}:
        return Path(given).as_posix()
    inside = engagement.folder.is_relative_to(PROJECT)
    return engagement.folder.relative_to(PROJECT).as_posix() if inside else engagement.folder.name


def _open_books(job: _Job) -> Books:
    from crmlib.books.stored import open_books
    from crmlib.output.data import export_findings

    begun = time.monotonic()
    try:
        books = open_books(job.engagement)
    except DataRejected as error:
        export_findings(error.findings, job.folder / "findings.csv")
        raise
    job.tell(Step("books", "done", time.monotonic() - begun))
    return books


def _recover(job: _Job) -> None:
    """Remove what a killed run left, and put back the report that it was about to replace."""
    shutil.rmtree(job.beside("run"), ignore_errors=True)
    if job.beside("old").exists() and not job.target.exists():
        job.beside("old").rename(job.target)
    shutil.rmtree(job.beside("old"), ignore_errors=True)


def _place(job: _Job) -> None:
    try:
        if job.target.exists():
            job.target.rename(job.beside("old"))
        job.beside("run").rename(job.target)
    except BaseException as error:
        _recover(job)
        if not isinstance(error, OSError):
            raise
        raise CrmError(f"{near(job.target)} cannot be replaced; is one of its files open? ({error})") from None
    shutil.rmtree(job.beside("old"), ignore_errors=True)


def _plan(job: _Job, before: Mapping[str, Any], made_of: str) -> Plan:
    was, records, run, kept = before["notebooks"], {}, [], []
    for notebook in job.notebooks:
        values = job.wanted.get(notebook.name) or was.get(notebook.name, {}).get("parameters", {})
        records[notebook.name] = {"parameters": values, "fingerprint": fingerprint(notebook, values, made_of)}
        if is_fresh(before, notebook, values, made_of):
            kept.append(_page(notebook, was[notebook.name]["seconds"], reused=True))
            job.tell(Step(notebook.name, "unchanged"))
        elif notebook.name in job.wanted:
            run.append(notebook)
    gone = was.keys() - {Path(page.notebook).stem for page in kept} - {n.name for n in run}
    for name in sorted(gone):
        job.tell(Step(name, "dropped"))
    exports_made_of = f"{content_hash(job.given)}-{made_of}"
    whole = before["whole"] and before["exports"] == exports_made_of
    exports = [file for file in before["files"] if whole and Path(file).suffix not in {".html", ".ipynb"}]
    nothing_to_do = whole and not run and not gone
    return Plan(records, tuple(run), tuple(kept), tuple(exports), exports_made_of, nothing_to_do)


@contextmanager
def _pages(job: _Job, plan: Plan, kernels: Kernels) -> Iterator[list[Future[Page]]]:
    """The pages in the making, so many at a time; whatever ends this early ends them too."""
    manager = kernel_manager(kernels, job.beside("run") / ".profile") if plan.run else type
    making: list[Future[Page]] = []
    with ThreadPoolExecutor(max(1, job.request.jobs)) as pool:
        try:
            making.extend(pool.submit(_make, job, notebook, manager, kernels.stopped) for notebook in plan.run)
            yield making
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(page.done() for page in making):
                kernels.stop()  # again and again: one may just be starting
                time.sleep(0.05)
            raise


def _make(job: _Job, notebook: Notebook, manager: type, stopped: threading.Event) -> Page:
    from crmlib.output.page import export_page

    job.tell(Step(notebook.name, "running"))
    begun = time.monotonic()
    values = dict(job.wanted[notebook.name])
    if any(p.name == "engagement" for p in notebook.parameters):
        values["engagement"] = str(job.engagement.folder)
    for _ in range(2):  # a kernel may have been killed by a moment's want of memory
        executed, failure = execute(notebook.path, values, manager, timeout_seconds=job.request.cell_timeout_seconds)
        if not (failure and failure.dead) or stopped.is_set():
            break
    if failure:
        raise _failed(job, notebook, executed, failure, stopped.is_set())
    file = job.beside("run") / notebook.path.name
    executed.metadata["crm"] = {"client": job.engagement.settings.client, "period": job.period.label}
    write_notebook(executed, file, job.private_folders)
    export_page(file, file.with_suffix(".html"))
    seconds = time.monotonic() - begun
    job.tell(Step(notebook.name, "done", seconds))
    return _page(notebook, seconds, reused=False)


def _page(notebook: Notebook, seconds: float, *, reused: bool) -> Page:
    from crmlib.output.page import Page

    html, file = f"{notebook.name}.html", f"{notebook.name}.ipynb"
    return Page(notebook.number, notebook.title, notebook.question, html, file, round(seconds, 2), reused)


def _failed(job: _Job, notebook: Notebook, executed: NotebookNode, failure: Failure, stopped: bool) -> NotebookFailed:
    if stopped:
        return NotebookFailed(f"{notebook.name} was stopped")
    job.tell(Step(notebook.name, "failed"))
    kept = job.folder / "failed" / f"{job.period.folder}-{notebook.path.name}"
    kept.parent.mkdir(exist_ok=True)
    write_notebook(executed, kept, job.private_folders)
    number, heading = place_of(executed, failure)
    cause = [line[:200] for line in scrubbed(failure.cause, job.private_folders).splitlines() if line.strip()]
    told = [f"{notebook.name} failed in cell {number}, under {heading or notebook.title!r}", f"cause:    {cause[0]}"]
    told += [f"          {line}" for line in cause[1:4]]
    told += [f"way out:  {failure.way_out}", f"kept:     {near(kept)}; open it by `crm lab {near(kept)}`"]
    return NotebookFailed("\n".join([*told, "the last report, if there is one, was not touched"]))


def _build(job: _Job, plan: Plan, books: Books, kernels: Kernels) -> tuple[Page, ...]:
    from crmlib.output.data import export_data
    from crmlib.output.index import write_index
    from crmlib.output.workbook import export_workbook
    from crmlib.segments import check_judgement, with_segments

    books.refuse_without_sales(job.period)
    check_judgement(books)
    private = job.beside("run")
    private.mkdir()
    for file in [*plan.exports, *(file for page in plan.kept for file in (page.html, page.notebook))]:
        (private / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(job.target / file, private / file)
    if plan.run:
        load_papermill()
    with _pages(job, plan, kernels) as making:
        if not plan.exports:
            segmented = with_segments(books, job.period)
            export_workbook(segmented, job.period, private / "workbook.xlsx", parameters=job.given)
            export_data(segmented, job.period, private / "data")
        failures = [failure for page in making if (failure := page.exception())]
    if failures:
        others = "".join(f"\nand so did {str(failure).split(' under ')[0]}" for failure in failures[1:3])
        raise (NotebookFailed(f"{failures[0]}{others}") if isinstance(failures[0], NotebookFailed) else failures[0])
    pages = tuple(sorted([*plan.kept, *(page.result() for page in making)], key=lambda page: page.notebook))
    shutil.rmtree(private / ".profile", ignore_errors=True)
    write_index(private, books, job.period, pages)
    _write_manifest(job, plan, books, pages)
    for page in pages:
        (job.folder / "failed" / f"{job.period.folder}-{page.notebook}").unlink(missing_ok=True)
    return pages


def _write_manifest(job: _Job, plan: Plan, books: Books, pages: Sequence[Page]) -> None:
    engagement, private = job.engagement, job.beside("run")
    stored = {Path(p.notebook).stem: {"seconds": p.seconds, "reused": p.reused} for p in pages}
    content = {
        "engagement": job.shown, "parameters": job.given, "settings": engagement.settings.model_dump(mode="json"),
        "period": {"label": job.period.label, "start": job.period.start, "end": job.period.end},
        "inputs": {"data_hash": books.data_hash, "ledger": dict(books.sources), "settings": settings_hashes(engagement)},
        "versions": versions(), "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
        "notebooks": {name: {**plan.records[name], **timing} for name, timing in stored.items()},
        "exports": plan.exports_made_of, "files": file_hashes(private), "status": "complete",
    }  # fmt: skip
    text = json.dumps(content, indent=1, default=str, ensure_ascii=False)
    (private / "manifest.json").write_text(text, "utf-8")
