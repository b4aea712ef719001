"""The notebooks opened for study: copies in reports/lab, so that an answer saved touches no file of the workbook."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from crmlib.declared.reading import PROJECT
from crmlib.run.notebooks import list_notebooks, select_notebooks

LAB = PROJECT / "reports" / "lab"
QUIET = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}  # it asks to fetch news


def open_copies(notebook: str | None) -> tuple[Path, list[str]]:
    """The copy of this notebook, or the folder of all; and the names of copies that are not as the workbook's own are.

    Raises
    ------
    SettingsError
        There is no such notebook.
    """
    notebooks = list_notebooks()
    [first, *_] = select_notebooks(notebooks, [notebook] if notebook else [])
    LAB.mkdir(parents=True, exist_ok=True)
    for each in notebooks:
        if not (LAB / each.path.name).exists():
            shutil.copyfile(each.path, LAB / each.path.name)
    changed = [n.name for n in notebooks if (LAB / n.path.name).read_bytes() != n.path.read_bytes()]
    return LAB / first.path.name if notebook else LAB, changed


def lab_command(file: Path) -> tuple[list[str], dict[str, str]]:
    """How JupyterLab is started with this Python, and the environment in which it asks the network for nothing."""
    settings = LAB / ".jupyter"
    (settings / "labconfig").mkdir(parents=True, exist_ok=True)
    (settings / "labconfig" / "page_config.json").write_text(json.dumps(QUIET), "utf-8")
    others = os.environ.get("JUPYTER_CONFIG_PATH", "")
    quiet = ["--LabApp.news_url=None", "--LabApp.extension_manager=readonly"]
    environment = {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, [str(settings), others]))}
    return [sys.executable, "-m", "jupyterlab", *quiet, str(file)], environment
