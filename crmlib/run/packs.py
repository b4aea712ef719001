"""Fact packs: one notebook for many accounts, one kernel for each worker, and an index of them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.books.keeping import sharing
from crmlib.declared.engagement import Engagement, open_engagement
from crmlib.declared.reading import SettingsError, did_you_mean, file_part
from crmlib.run.kernels import Failure, Kernels, execute, load_papermill, place_of, write_notebook
from crmlib.run.messages import machine_folders, near, scrubbed
from crmlib.run.notebooks import Notebook, check_parameters, list_notebooks, select_notebooks
from crmlib.run.report import REPORTS, Request, Step, Tell
from crmlib.run.safety import claim, locked, put_into_place, recover, scratch, stoppable

if TYPE_CHECKING:
    import pandas as pd
    from nbformat import NotebookNode

    from crmlib.books.stored import Books
    from crmlib.declared.periods import Period
    from crmlib.output.packs import Pack


@dataclass(frozen=True)
class Packs:
    """Packs in their place, with those that failed."""

    folder: Path
    packs: tuple[Pack, ...]

    @property
    def failed(self) -> list[Pack]:
        """Those that did not come to their end."""
        return [pack for pack in self.packs if pack.cause]


@dataclass(frozen=True)
class _Work:
    request: Request
    tell: Tell
    engagement: Engagement
    notebook: Notebook
    values: Mapping[str, Any]
    period: Period
    folder: Path
    kernels: Kernels
    pdf: bool


def run_packs(engagement: str | Path, who: Sequence[str], request: Request, *, tell: Tell, pdf: bool = False) -> Packs:
    """Execute the one notebook asked for, which has a parameter customer_id, for each account, and put all into place with an index.

    An account that fails is told in the index and stops no other.

    Parameters
    ----------
    who
        `key`, `all`, segments, and customer_ids.
    pdf
        Whether each pack is printed into a PDF too.

    Raises
    ------
    SettingsError
        Accounts, notebook or parameters that cannot be.
    CrmError
        A PDF is wanted and there is no browser to print it.
    """
    from crmlib.books.stored import open_books
    from crmlib.output.packs import packs_name, write_pack_index
    from crmlib.output.pdf import need_browser
    from crmlib.segments import check_judgement

    if pdf:
        need_browser()
    notebook, values = _asked(request)
    opened = open_engagement(engagement)
    period = opened.period(values.get("period", "last-12-months"))
    home = claim((request.out or REPORTS).resolve() / opened.name, opened)
    target = home / packs_name(period)
    with locked(scratch(target, "lock")), stoppable():
        recover(target)
        books = open_books(opened)
        books.refuse_empty(period)
        check_judgement(books)
        accounts = accounts_for(books, period, who)
        private = scratch(target, "new")
        kernels = Kernels(private / ".kernels")
        kernels.folder.mkdir(parents=True)
        given = {**values, "period": period.label, "engagement": str(opened.folder)}
        work = _Work(request, tell, opened, notebook, given, period, private, kernels, pdf)
        try:
            load_papermill()
            with sharing(kernels.folder), ThreadPoolExecutor(max(1, request.jobs)) as pool:
                packs = list(pool.map(lambda row: _pack(work, *row), accounts.itertuples(index=False)))
            kernels.close()
            write_pack_index(private, books, period, notebook.title, packs)
            put_into_place(target)
        finally:
            kernels.close()
            shutil.rmtree(private, ignore_errors=True)
    return Packs(target, tuple(packs))


def _asked(request: Request) -> tuple[Notebook, dict[str, Any]]:
    """The notebook asked for, and its values."""
    able = [n for n in list_notebooks(request.notebooks) if any(p.name == "customer_id" for p in n.parameters)]
    chosen = [n for n in select_notebooks(list_notebooks(request.notebooks), request.only) if n in able]
    if len(chosen) != 1:
        raise SettingsError(
            f"--for needs one notebook about an account, such as --only {able[0].number if able else 23}"
        )
    if "customer_id" in request.parameters:
        raise SettingsError("customer_id is what --for gives: leave one of them out")
    return chosen[0], check_parameters(chosen, request.parameters)[chosen[0].name]


def accounts_for(books: Books, period: Period, who: Sequence[str]) -> pd.DataFrame:
    """The customers meant, with anything in the period: customer_id, customer_name, segment, sales, margin; the most profitable first.

    Raises
    ------
    SettingsError
        A text that is no customer of the period, no segment, and neither `key` nor `all`; or nobody is meant.
    """
    from crmlib.profitability import customer_profitability
    from crmlib.segments import differentiate

    report = customer_profitability(books, period).rename(columns={books.statement_in(period).net_margin.id: "margin"})
    rows = report.loc[report["customer_id"] != "", ["customer_id", "customer_name", "sales", "margin"]]
    rows = rows.merge(differentiate(books, period)[["customer_id", "segment", "key"]], on="customer_id")
    meant, wrong, words = rows["customer_id"] == "", [], ["key", "all", *rows["segment"].unique(), *rows["customer_id"]]
    for text in (part for each in who for part in ([each] if each in words else [p.strip() for p in each.split(",")])):
        if text not in words:
            wrong.append(
                f"--for {text!r}: no customer of {period.label}, no segment, nor key or all{did_you_mean(text, words)}"
            )
        meant |= (
            (text == "all")
            | ((text == "key") & rows["key"])
            | (rows["segment"] == text)
            | (rows["customer_id"] == text)
        )
    if wrong or not meant.any():
        raise SettingsError("\n".join(wrong) or f"--for {', '.join(who)}: that is nobody in {period.label}")
    return rows.loc[meant, ["customer_id", "customer_name", "segment", "sales", "margin"]]


def _pack(work: _Work, customer_id: str, name: str, segment: str, sales: Any, margin: Any) -> Pack:
    """One account's pack, in the kernel of this worker."""
    from crmlib.output.packs import Pack
    from crmlib.output.page import tags_of, write_page
    from crmlib.output.pdf import print_page

    begun, file = time.monotonic(), file_part(customer_id)
    work.tell(Step(customer_id, "running"))
    values = {**work.values, "customer_id": customer_id}
    for _ in range(2):  # a kernel may have been killed by a moment's want of memory
        executed, failure = execute(
            work.notebook.path, values, work.kernels, timeout_seconds=work.request.cell_timeout_seconds
        )
        if not (failure and failure.dead) or work.kernels.stopped.is_set():
            break
    client = work.engagement.settings.client
    executed.metadata["crm"] = {"client": client, "period": work.period.words, "account": name}
    folders = machine_folders() | {work.folder: "reports", work.engagement.folder: work.engagement.name}
    executed.cells = [cell for cell in executed.cells if failure or not tags_of(cell) & work.request.without]
    written = write_notebook(executed, work.folder / f"{file}.ipynb", folders)
    cause = _cause(work, executed, failure, folders) if failure else ""
    if not cause:
        html = work.folder / f"{file}.html"
        write_page(written, html)
        if work.pdf:
            print_page(html)
    seconds = time.monotonic() - begun
    work.tell(Step(customer_id, "failed" if cause else "done", seconds))
    return Pack(customer_id, name, segment, sales, margin, file, cause)


def _cause(work: _Work, executed: NotebookNode, failure: Failure, folders: Mapping[Path, str]) -> str:
    number, heading = place_of(executed, failure)
    reason = scrubbed(failure.cause, folders).splitlines()[0][:200]
    return f"cell {number}, under {heading or work.notebook.title!r}: {reason}"


def told(packs: Packs) -> str:
    """What came out, in words, with the causes of the first that failed."""
    made = len(packs.packs) - len(packs.failed)
    lines = [f"{made} of {len(packs.packs)} packs: {near(packs.folder / 'index.html')}; open it in any browser"]
    lines += [f"failed: {pack.customer_id}, {pack.cause}" for pack in packs.failed[:5]]
    more = len(packs.failed) - 5
    return "\n".join([*lines, *([f"and {more} more, see the index"] if more > 0 else [])])
