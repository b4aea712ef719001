"""The raw tables of an engagement's source, and which of them the ledger asks for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from crmlib.books.findings import Finding, rejection
from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import SettingsError, did_you_mean

if TYPE_CHECKING:
    import ibis.expr.types as ir


@dataclass
class RawBooks:
    """Raw tables by ledger name (columns as the client names them, and `_file` and `_row`), and what was found on the way.

    `_row` counts as a spreadsheet does. `text` names the tables whose values are all text; `files` gives each file's SHA-256.
    """

    tables: dict[str, ir.Table] = field(default_factory=dict)
    text: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)
    defects: list[Finding] = field(default_factory=list)


def source_path(engagement: Engagement) -> Path:
    """The folder, workbook or database of an engagement; `env:NAME` reads the path from the environment.

    Raises
    ------
    SettingsError
        The variable is not set, or nothing is there.
    """
    source = engagement.settings.source
    if source.startswith("env:"):
        if not (found := os.environ.get(source[4:])):
            raise SettingsError(f"source is {source}, but the environment variable {source[4:]} is not set")
        path = Path(found).expanduser().resolve()
    else:
        path = (engagement.folder / source).resolve()
    if not path.exists():
        raise SettingsError(
            f"source {source!r} of {engagement.name} is not there; relative paths begin at engagement.yml"
        )
    return path


def wanted_tables(engagement: Engagement, names: Iterable[str], available: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Ledger name and source name of each table that comes straight from the source."""
    known = list(available)
    for name in names:
        given = engagement.table(name).source
        if given and given.endswith(".sql"):
            continue
        if given and given not in known:
            there = f"; there are {', '.join(known[:12]) or 'none'}{did_you_mean(given, known)}"
            raise SettingsError(f"tables.{name}.source: {given!r} is not in the source{there}")
        if given or name in known:
            yield name, given or name


def add_table(books: RawBooks, name: str, parts: list[ir.Table], *, text: bool) -> None:
    import ibis

    if not parts:
        return
    headers = {tuple(p.columns) for p in parts}
    if len(headers) > 1:
        way_out = "give all files of a table the same header"
        books.defects.append(
            rejection("headers-differ", f"the files of {name} differ in their headers", way_out, table=name)
        )
        return
    books.tables[name] = ibis.union(*parts) if len(parts) > 1 else parts[0]
    if text:
        books.text.add(name)


def files_by_table(folder: Path) -> dict[str, list[Path]]:
    """CSV and Parquet files by table: `costs.csv`, and `costs-2024.csv` beside `costs-2025.csv`."""
    groups: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix.lower() in {".csv", ".parquet"}:
            groups.setdefault(file.stem.split("-")[0], []).append(file)
    return groups
