"""The versions that a result rests on."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import version

from crmlib import __version__

LIBRARIES = (
    "duckdb", "great-tables", "ipykernel", "matplotlib", "nbconvert", "numpy", "pandas", "papermill", "pyarrow",
    "scikit-learn", "scipy", "seaborn", "sqlglot", "xlsxwriter",
)  # fmt: skip


@functools.cache
def versions() -> dict[str, str]:
    """Name → version of the workbook, Python and every library that figures or pages come from."""
    return {"crm-workbook": __version__, "Python": platform.python_version(), **{n: version(n) for n in LIBRARIES}}
