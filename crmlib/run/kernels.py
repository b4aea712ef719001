"""One notebook executed by papermill: in its thread's kernel, which is watched, and which nothing outlives."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlib.run.messages import scrubbed

if TYPE_CHECKING:
    from nbformat import NotebookNode


ENGINE = "one kernel after another"  # papermill's name for ours
MOST_SHOWN = 10_000_000  # characters that one cell puts into a page


@dataclass(frozen=True)
class Failure:
    """Where an execution ended (index of a cell of the executed notebook), why, and what can be done."""

    cell: int
    cause: str
    way_out: str
    dead: bool = False


@dataclass
class Session:
    """One kernel in which notebooks are executed one after another, each among no other's names.

    Where a notebook follows itself, the cells tagged `once` are not run again: their names and outputs stay.
    """

    manager: Any
    client: Any = None
    last: Path | None = None
    once: dict[str, Any] = field(default_factory=dict)  # outputs of the cells that ran once, by cell id

    def end(self) -> None:
        """Kill the kernel, and let go of what connects to it."""
        if self.manager.has_kernel:
            _kill(self.manager.provisioner.process)
        if self.client:
            self.client.stop_channels()

    def keep_once(self, path: Path, executed: NotebookNode) -> None:
        """Remember what the cells tagged `once` have shown."""
        cells = [cell for cell in executed.cells if "once" in cell.metadata.get("tags", [])]
        self.last = path
        self.once = {cell.id: {"outputs": cell.outputs, "execution_count": cell.execution_count} for cell in cells}


@dataclass(frozen=True)
class Kernels:
    """The kernels of one run, one for each thread: where they keep their files, what their environment says besides, those started, whether all is to stop."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    started: list[Any] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    sessions: dict[int, Session] = field(default_factory=dict)  # by thread

    def session(self) -> Session:
        """The session of this thread."""
        thread = threading.get_ident()
        if thread not in self.sessions:
            self.sessions[thread] = Session(kernel_manager(self)())
        return self.sessions[thread]

    def drop(self) -> None:
        """End this thread's session; its next notebook gets another."""
        self.sessions.pop(threading.get_ident()).end()

    def stop(self) -> None:
        """Kill them all, with their process groups where the system has such."""
        self.stopped.set()
        for process in [process for process in self.started if process.poll() is None]:
            _kill(process)

    def close(self) -> None:
        """Stop, and leave nothing behind; no notebook may be running any more."""
        self.stop()
        for session in self.sessions.values():
            session.end()
        shutil.rmtree(self.folder, ignore_errors=True)


def _kill(process: Any) -> None:
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()


def kernel_manager(kernels: Kernels) -> type:
    """The class by which papermill gets kernels: of this interpreter, whatever is installed."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.provisioning.local_provisioner import LocalProvisioner

    spec = KernelSpec(
        **get_kernel_dict(), env={**kernels.environment, "IPYTHONDIR": str(kernels.folder).replace("$", "$$")}
    )

    class Provisioner(LocalProvisioner):
        async def launch_kernel(self, cmd: list[str], **launch: Any) -> Any:
            if kernels.stopped.is_set():
                raise RuntimeError("stopped")
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            await super().launch_kernel(cmd, **{**launch, **quiet})
            kernels.started.append(self.process)
            return self.connection_info

    class Manager(AsyncKernelManager):
        kernel_spec = property(lambda self: spec)

        async def _async_pre_start_kernel(self, **launch: Any) -> Any:
            self.kernel_id = os.urandom(16).hex()
            self.connection_file = str(kernels.folder / f"{self.kernel_id}.json")
            self.provisioner = Provisioner(kernel_id=self.kernel_id, kernel_spec=spec, parent=self)
            return await super()._async_pre_start_kernel(**launch)

    return Manager


def _no_task_cut_off(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in ("Task was destroyed", "coro=<NotebookClient."))


def load_papermill() -> None:
    """Import papermill, before threads do."""
    # jsonschema would compile a grammar of addresses, for seconds, to check formats that notebooks do not use
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    engines = import_module("papermill.engines").papermill_engines
    engines.register(ENGINE, import_module("crmlib.run.engine").Engine)
    # what they say of kernels that died, or were cut off, is told by `execute`
    logging.getLogger("papermill").addHandler(logging.NullHandler())
    logging.getLogger("asyncio").addFilter(_no_task_cut_off)
    if sys.modules["rfc3987_syntax"] is None:
        del sys.modules["rfc3987_syntax"]


def execute(
    path: Path, values: Mapping[str, Any], kernels: Kernels, *, timeout_seconds: int
) -> tuple[NotebookNode, Failure | None]:
    """A notebook executed with these parameters as far as it came, and why it did not come to its end; in the kernel of this thread."""
    import nbformat
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError

    reached: dict[str, Any] = {"cell_index": 0, "notebook": nbformat.read(path, 4)}  # type: ignore[no-untyped-call]
    session = kernels.session()
    try:
        executed = _papermill(path, values, session, timeout_seconds, reached)
        failure = _defect(executed)
        session.keep_once(path, executed)
        return executed, failure
    except PapermillExecutionError as error:
        way_out = "mend what the cause names, then run again"
        failure = Failure(error.cell_index, f"{error.ename}: {error.evalue}", way_out)
    except CellTimeoutError:
        cause = f"timeout: the cell ran longer than {timeout_seconds} s"
        failure = Failure(
            reached["cell_index"], cause, "raise --timeout, or run it alone in JupyterLab and see what it waits for"
        )
        kernels.drop()
    except RuntimeError as error:  # nbclient's DeadKernelError is one, and so is a kernel that does not start
        way_out = "most often memory is short: close other programs, or run with --jobs 1"
        failure = Failure(reached["cell_index"], f"the kernel died, twice: {error}", way_out, dead=True)
        kernels.drop()
    return reached["notebook"], failure


def _papermill(path: Path, values: Mapping[str, Any], session: Session, seconds: int, reached: dict[str, Any]) -> Any:
    from papermill import execute_notebook

    return execute_notebook(
        str(path).replace("{", "{{").replace("}", "}}"),  # papermill takes a path for a template
        None,
        dict(values),
        engine_name=ENGINE,
        kernel_name="python3",
        language="python",
        progress_bar=False,
        session=session,
        path=path,
        timeout=seconds,
        reached=reached,
    )


def _defect(executed: NotebookNode) -> Failure | None:
    """The first code cell that was not executed (papermill takes that for success) or shows more than a page holds."""
    for index, cell in enumerate(executed.cells):
        due = cell.cell_type == "code" and cell.source.strip() and "skip-execution" not in cell.metadata.get("tags", [])
        if due and cell.execution_count is None:
            return Failure(index, "the cell was not run: the notebook ended before it", "let no cell end the notebook")
        if due and (size := len(str(cell.outputs))) > MOST_SHOWN:
            cause = f"the cell shows {size // 1_000_000} MB, more than a page can hold"
            return Failure(index, cause, "show less: the first rows, a count, a smaller chart")
    return None


def place_of(executed: NotebookNode, failure: Failure) -> tuple[int, str]:
    """Where it ended as the notebook's author counts: number of the cell, from 1, and the heading above it."""
    cells = [c for c in executed.cells if "papermill-error-cell-tag" not in c.metadata.get("tags", [])]
    above = [c for c in cells[: failure.cell] if "injected-parameters" not in c.metadata.get("tags", [])]
    lines = [line for cell in above if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    headings = [line.lstrip("# ") for line in lines if line.startswith("#")]
    return len(above) + 1, "".join(headings[-1:])


def write_notebook(executed: NotebookNode, path: Path, folders: Mapping[Path, str]) -> NotebookNode:
    """Write a notebook without folders of this machine, and without what papermill notes of this run; the notebook as written."""
    import nbformat

    clean: NotebookNode = nbformat.from_dict(scrubbed(executed, folders))  # type: ignore[no-untyped-call]
    for part in (clean, *clean.cells):
        part.metadata.pop("papermill", None)
    path.write_text(nbformat.writes(clean), "utf-8")  # type: ignore[no-untyped-call]
    return clean
