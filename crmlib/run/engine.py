"""Papermill's engine for a run: notebooks one after another in a kernel that stays, so that libraries are loaded once."""

from __future__ import annotations

import atexit
from typing import Any

from jupyter_core.utils import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine

EMPTY = "get_ipython().reset()"  # no names of the notebook before, and cells counted from one


class Engine(NBClientEngine):  # type: ignore[misc]
    """Executes a notebook in the kernel of a `kernels.Session`, which is started where it has none yet."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **given: Any) -> None:
        """Execute the notebook at `path`, at most `timeout` seconds a cell; `reached` is told the notebook and the cell that it is at."""
        session, path, reached = given["session"], given["path"], given["reached"]
        reached["notebook"] = nb_man.nb
        again = session.once if session.last == path else {}
        for cell in nb_man.nb.cells:
            cell.update(again.get(cell.get("id"), {}))
        client = PapermillNotebookClient(
            nb_man, km=session.manager, kernel_name=kernel_name, iopub_timeout=60, record_timing=False,
            skip_cells_with_tag="once" if again else "skip-execution", resources={"metadata": {"path": str(path.parent)}},
            timeout=given["timeout"], on_cell_start=reached.update,
        )  # fmt: skip
        client.kc = session.client
        if session.client and not again:
            session.last = None  # whose names are gone now
            _empty(session.client)
        try:
            client.execute()
        finally:
            session.client = client.kc
            atexit.unregister(client._cleanup_kernel)


def _empty(client: Any) -> None:
    try:
        run_sync(client.execute_interactive)(EMPTY, silent=True, timeout=60)
    except TimeoutError:
        raise RuntimeError("it no longer answers") from None
