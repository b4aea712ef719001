"""One safe run: the notebooks of an engagement executed, pages and files built aside and put into place when whole."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.keeping import sharing
from crmlib.declared.engagement import Engagement, open_engagement
from crmlib.declared.periods import Period
from crmlib.declared.reading import PROJECT, CrmError, DataRejected, SettingsError, content_hash
from crmlib.run.kernels import Failure, Kernels, execute, load_papermill, place_of, write_notebook
from crmlib.run.messages import machine_folders, near, scrubbed
from crmlib.run.notebooks import NOTEBOOKS, Notebook, check_parameters, list_notebooks, select_notebooks
from crmlib.run.plan import Plan, Unit, code_hash, raw_manifest, read_manifest, settings_hashes, units, write_manifest
from crmlib.run.safety import claim, locked, put_into_place, recover, scratch, stoppable

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from crmlib.books.stored import Books
    from crmlib.declared.settings import OpenQuestion
    from crmlib.output.page import Page


REPORTS = PROJECT / "reports"
COSTS_ALONE = ("27", "31")  # notebooks that report what customers cost where nobody bought


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
    without: frozenset[str] = frozenset()  # tags of cells that are left out of the notebooks as executed


@dataclass(frozen=True)
class Step:
    """Something to tell while a run goes on; `state` is running, done, failed, unchanged or dropped."""

    name: str
    state: str
    seconds: float = 0.0


Tell = Callable[[Step], None]


@dataclass(frozen=True)
class Report:
    """A report in its place: its heading, its folder, its pages, whether there was nothing to do, and what nobody has answered yet."""

    heading: str
    folder: Path
    pages: tuple[Page, ...]
    nothing_to_do: bool
    still_open: tuple[OpenQuestion, ...] = ()


@dataclass(frozen=True)
class _Job:
    request: Request
    tell: Tell
    engagement: Engagement
    label: str
    period: Period
    notebooks: tuple[Notebook, ...]
    units: tuple[Unit, ...]
    last_report: str = ""  # folder of the last one that is not of the same books and period

    @property
    def folder(self) -> Path:
        return (self.request.out or REPORTS).resolve() / self.engagement.name

    @property
    def target(self) -> Path:
        return self.folder / self.period.folder

    def scratch(self, what: str) -> Path:
        return scratch(self.target, what)

    @property
    def private_folders(self) -> dict[Path, str]:
        own = {self.folder: "reports", self.request.notebooks.resolve(): "notebooks"}
        return machine_folders() | own | {self.engagement.folder: self.label}

    @property
    def parameters(self) -> dict[str, str]:
        texts = {name: str(value) for name, value in self.request.parameters.items()}
        return {"engagement": self.label, **texts, "period": self.period.label}


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
    with locked(job.scratch("lock")), stoppable(), ExitStack() as stack:
        recover(job.target)
        stack.callback(shutil.rmtree, job.scratch("new"), ignore_errors=True)
        last, origin = read_manifest(job.target), code_hash(job.engagement)
        books = _open_books(job)
        job = replace(_of_costs_alone(job, books), last_report=_last_report(job, books))
        plan = _plan(job, last, f"{origin}-{books.data_hash}")
        pages = [_page(unit, last["pages"][unit.name]["seconds"], reused=True) for unit in plan.fresh]
        if not plan.nothing_to_do:
            pages = _build(job, plan, books, pages)
            put_into_place(job.target)
    settings = job.engagement.settings
    heading = f"{settings.client} · {job.period.words}"
    return Report(heading, job.target, tuple(pages), plan.nothing_to_do, tuple(settings.open.values()))


def _job(engagement: str | Path, request: Request, tell: Tell) -> _Job:
    notebooks = list_notebooks(request.notebooks)
    selected = select_notebooks(notebooks, request.only)
    if not selected:
        raise SettingsError(f"there is no notebook named NN_name.ipynb in {request.notebooks}")
    if "engagement" in request.parameters:
        raise SettingsError("the engagement is no parameter of a run; give it as `crm run ENGAGEMENT`")
    opened = open_engagement(engagement)
    values = check_parameters(selected, request.parameters)
    periods = [each["period"] for each in values.values() if "period" in each]
    period = opened.period(periods[0] if periods else "last-12-months")
    for each in values.values():
        each.pop("engagement", None)
        each.update({"period": period.label} if "period" in each else {})
    pages = tuple(unit for notebook in selected for unit in units(notebook, [values[notebook.name]]))
    label = opened.name if request.without else _label(engagement, opened)
    return _Job(request, tell, opened, label, period, tuple(notebooks), pages)


def _label(path: str | Path, engagement: Engagement) -> str:
    """The engagement as it was asked for, unless that names folders of this machine."""
    if not Path(path).expanduser().is_absolute() and Path(path).name not in {"", ".."}:
        return Path(path).as_posix()
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


def _last_report(job: _Job, books: Books) -> str:
    """The folder of the engagement's last report of another period or of other books, in the same currency; '' where there is none."""
    if books.edition == "anonymous":  # each has names and a factor of its own
        return ""
    last = [(folder, raw_manifest(folder)) for folder in job.folder.iterdir() if folder.name[0] != "."]
    now = (job.period.label, books.data_hash)
    others = [
        (manifest["finished"], str(folder)) for folder, manifest in last if "statement" in manifest
        and (manifest["period"]["label"], manifest["inputs"]["data_hash"]) != now
        and manifest["settings"]["currency"] == job.engagement.settings.currency
    ]  # fmt: skip
    return max(others, default=("", ""))[1]


def _of_costs_alone(job: _Job, books: Books) -> _Job:
    """The job; where nobody bought in the period, with the notebooks alone that report what customers cost.

    Raises
    ------
    SettingsError
        There is nothing at all to report, or the notebooks that were asked for need sales.
    """
    books.refuse_empty(job.period)
    if books.has_sales(job.period):
        return job
    kept = tuple(unit for unit in job.units if unit.notebook.number in COSTS_ALONE)
    if not kept:
        numbers = " and ".join(COSTS_ALONE)
        raise SettingsError(
            f"nobody bought in {job.period.label}: only {numbers} report costs without sales; say --only {COSTS_ALONE[0]}"
        )
    for unit in job.units:
        if unit not in kept:
            job.tell(Step(unit.name, "dropped"))
    return replace(job, units=kept)


def _plan(job: _Job, last: Mapping[str, Any], origin: str) -> Plan:
    from crmlib.output.packs import packs_index

    notebooks, names = {n.name: n for n in job.notebooks}, {unit.name for unit in job.units}
    others = {name: page for name, page in last["pages"].items() if name not in names and page["notebook"] in notebooks}
    earlier = [Unit(name, notebooks[page["notebook"]], page["parameters"]) for name, page in others.items()]
    fresh = sorted((u for u in (*job.units, *earlier) if u.is_fresh(last, origin)), key=lambda unit: unit.name)
    stale = [unit for unit in job.units if unit not in fresh]
    dropped = last["pages"].keys() - names - {unit.name for unit in fresh}
    for name, state in [
        *((unit.name, "unchanged") for unit in fresh),
        *((name, "dropped") for name in sorted(dropped)),
    ]:
        job.tell(Step(name, state))
    exports_fingerprint = f"{content_hash(job.parameters)}-{origin}"
    whole = last["whole"] and last["exports"] == exports_fingerprint
    exports = [
        file for file in last["files"] if whole and ("/" in file or Path(file).suffix not in {".html", ".ipynb"})
    ]
    linked = last.get("packs") == packs_index(job.target, job.period)
    nothing_to_do = whole and linked and not stale and not dropped
    return Plan(tuple(stale), tuple(fresh), origin, tuple(exports), exports_fingerprint, nothing_to_do)


@contextmanager
def _pages(job: _Job, plan: Plan, books: Books) -> Iterator[list[Future[Page]]]:
    """The pages in the making, so many at a time; whatever ends this early ends them and their kernels too."""
    making: list[Future[Page]] = []
    state = {"CRM_DATABASE": books.sources["database"]} if "database" in books.sources else {}
    kernels = Kernels(job.scratch("new") / ".kernels", state)
    kernels.folder.mkdir()
    with sharing(kernels.folder), closing(kernels), ThreadPoolExecutor(max(1, job.request.jobs)) as pool:
        try:
            making.extend(pool.submit(_make, job, unit, kernels) for unit in plan.stale)
            yield making
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(page.done() for page in making):
                kernels.stop()  # again and again: one may just be starting
                time.sleep(0.05)
            raise


def _make(job: _Job, unit: Unit, kernels: Kernels) -> Page:
    from crmlib.output.page import tags_of

    job.tell(Step(unit.name, "running"))
    begun = time.monotonic()
    values, path = dict(unit.values), unit.notebook.path
    if any(p.name == "engagement" for p in unit.notebook.parameters):
        values["engagement"] = str(job.engagement.folder)
    if not values.get("last_report", "none"):
        values["last_report"] = job.last_report
    for _ in range(2):  # a kernel may have been killed by a moment's want of memory
        executed, failure = execute(path, values, kernels, timeout_seconds=job.request.cell_timeout_seconds)
        if not (failure and failure.dead) or kernels.stopped.is_set():
            break
    if failure:
        raise _failed(job, unit, executed, failure, kernels.stopped.is_set())
    executed.metadata["crm"] = {"client": job.engagement.settings.client, "period": job.period.words}
    executed.cells = [cell for cell in executed.cells if not tags_of(cell) & job.request.without]
    write_notebook(executed, job.scratch("new") / unit.files[1], job.private_folders)
    seconds = time.monotonic() - begun
    job.tell(Step(unit.name, "done", seconds))
    return _page(unit, seconds, reused=False)


def _page(unit: Unit, seconds: float, *, reused: bool) -> Page:
    from crmlib.output.page import Page

    notebook = unit.notebook
    return Page(notebook.number, notebook.title, notebook.question, *unit.files, round(seconds, 2), reused)


def _failed(job: _Job, unit: Unit, executed: NotebookNode, failure: Failure, stopped: bool) -> NotebookFailed:
    if stopped:
        return NotebookFailed(f"{unit.name} was stopped")
    job.tell(Step(unit.name, "failed"))
    file = _failed_notebook(job, unit.name)
    file.parent.mkdir(exist_ok=True)
    write_notebook(executed, file, job.private_folders)
    number, heading = place_of(executed, failure)
    cause = [line[:200] for line in scrubbed(failure.cause, job.private_folders).splitlines() if line.strip()]
    lines = [f"{unit.name} failed in cell {number}, under {heading or unit.notebook.title!r}", f"cause:    {cause[0]}"]
    lines += [f"          {line}" for line in cause[1:4]]
    lines += [f"way out:  {failure.way_out}", f"kept:     {near(file)}; open it by `crm lab {near(file)}`"]
    return NotebookFailed("\n".join([*lines, "the last report, if there is one, was not touched"]))


def _failed_notebook(job: _Job, name: str) -> Path:
    return job.folder / "failed" / f"{job.period.folder}-{name}.ipynb"


def _build(job: _Job, plan: Plan, books: Books, old_pages: Sequence[Page]) -> list[Page]:
    from crmlib.output.data import export_data
    from crmlib.output.document import export_agreements
    from crmlib.output.lists import lists
    from crmlib.output.packs import packs_index
    from crmlib.output.site import write_site
    from crmlib.output.workbook import export_workbook
    from crmlib.segments import check_judgement, differentiate, with_segments

    check_judgement(books)
    private = job.scratch("new")
    private.mkdir()
    for file in [*plan.exports, *(file for unit in plan.fresh for file in unit.files)]:
        (private / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(job.target / file, private / file)
    if plan.stale:
        load_papermill()
    with _pages(job, plan, books) as making:
        if not plan.exports:
            decided = differentiate(books, job.period)
            segmented = with_segments(books, job.period, decided)
            complete = lists(books, job.period) | export_agreements(segmented, job.period, decided, private)
            book = private / "workbook.xlsx"
            export_data(segmented, job.period, private / "data", complete)  # first: its memory is given back
            export_workbook(segmented, job.period, book, parameters=job.parameters, lists=complete)
        failures = [failure for page in making if (failure := page.exception())]
    if failures:
        others = "".join(f"\nand so did {str(failure).split(' under ')[0]}" for failure in failures[1:3])
        raise (NotebookFailed(f"{failures[0]}{others}") if isinstance(failures[0], NotebookFailed) else failures[0])
    pages = sorted([*old_pages, *(page.result() for page in making)], key=lambda page: page.notebook)
    write_site(private, books, job.period, pages)
    settings, period = settings_hashes(job.engagement), job.period
    facts = {
        "engagement": job.label, "parameters": job.parameters,
        "period": {"label": period.label, "start": period.start, "end": period.end},
        "statement": {line.id: asdict(line) for line in books.statement_in(period).lines},
        "packs": packs_index(private, job.period),
        "inputs": {"data_hash": books.data_hash, "ledger": dict(books.sources), "settings": settings},
    }  # fmt: skip
    write_manifest(private, plan, pages, job.engagement, facts)
    for page in pages:
        _failed_notebook(job, Path(page.notebook).stem).unlink(missing_ok=True)
    return pages
