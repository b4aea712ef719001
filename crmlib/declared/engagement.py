"""An engagement: one company's settings, statement and judgement, opened once."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from crmlib.declared.judgement import FILES, LISTS, Rules
from crmlib.declared.periods import Period, parse_period
from crmlib.declared.reading import (
    DECLARED,
    NEAR,
    PROJECT,
    SettingsError,
    bare_name,
    content_hash,
    nearest,
    read,
    safe_code,
    sha256,
)
from crmlib.declared.settings import Settings, TableSource
from crmlib.declared.statement import Statement, read_statement

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Engagement:
    """An opened engagement: its folder, its settings and its statement."""

    name: str
    folder: Path
    settings: Settings
    statement: Statement

    @property
    def coverage(self) -> Period:
        """The months that the books hold."""
        return parse_period(f"{self.settings.coverage.start}..{self.settings.coverage.end}", None)

    def period(self, text: str | int) -> Period:
        """The period that a text names, within the coverage (errors as `parse_period`)."""
        return parse_period(text, self.coverage, self.settings.fiscal_year_start)

    def table(self, name: str) -> TableSource:
        """Where a ledger table comes from."""
        sources: Mapping[str, TableSource] = {str(key): source for key, source in self.settings.tables.items()}
        return sources.get(name, TableSource.model_validate({}))

    def judgement(self, file: str, model: type[M], columns: Sequence[str] = ()) -> M:
        """A judgement file as its record, which may name `columns` of customers.

        The workbook's own where the engagement has none, and an empty one where there is none either (errors as `read`).
        """
        paths = (self.folder / "judgement" / file, DECLARED / file)
        return next((read(path, model, columns) for path in paths if path.is_file()), None) or model.model_validate({})

    @property
    def declared(self) -> str:
        """A hash of settings and statement, and of the files in the folder judgement as they now stand."""
        files = sorted(path for path in (self.folder / "judgement").rglob("*") if path.is_file())
        judged = [(str(file), sha256(file)) for file in files]
        return content_hash([self.settings.model_dump_json(), self.statement, judged])

    @property
    def segments(self) -> list[str]:
        """Names of the segments that the rules make, which may own costs."""
        return self.judgement("segments.yml", Rules).segments


def open_engagement(folder: str | Path) -> Engagement:
    """Open an engagement by its folder or its engagement.yml; a relative path is looked up here, then in the project.

    Raises
    ------
    SettingsError
        No engagement there, settings or a statement that do not hold (all mistakes of a file at once), or a file under
        another name, or in another folder, than the one that is read.
    """
    path = _find(Path(folder))
    settings = read(path, Settings)
    _refuse_misnamed(path.parent, settings)
    own, full = path.parent / "statement.yml", settings.cost_of_goods_basis == "full"
    statement = read_statement(own if own.exists() else DECLARED / "statement.yml", at_full_cost=full)
    return Engagement(safe_code(path.parent.name), path.parent, settings, statement)


def _refuse_misnamed(folder: Path, settings: Settings) -> None:
    """SettingsError for what looks like a statement or a file of judgement that is not there: the workbook's own would stand in for it."""
    expected = {"statement.yml": folder, **dict.fromkeys((*FILES, *LISTS), folder / "judgement")}
    absent = {bare_name(name): place / name for name, place in expected.items() if not (place / name).is_file()}
    books = (folder / settings.source).resolve() == folder  # stand beside engagement.yml
    wrong = []
    for file in sorted([*folder.glob("*.y*ml" if books else "*.*"), *folder.glob("judgement/*.*")]):
        meant = absent.get(nearest(bare_name(file.name), absent, NEAR))
        if meant and file.name not in settings.unread and (file.parent == meant.parent or file.name == meant.name):
            wrong.append(
                f"{file.relative_to(folder)!s} is not read; is it {meant.relative_to(folder)!s}? Save it as that, or name it under `unread`"
            )
    if wrong:
        raise SettingsError("\n".join(wrong))


def _find(folder: Path) -> Path:
    with contextlib.suppress(RuntimeError):  # `~name` of nobody here
        folder = folder.expanduser()
    for base in (Path.cwd(), PROJECT):
        path = (base / folder).resolve()
        path = path if path.suffix in {".yml", ".yaml"} else path / "engagement.yml"
        if path.is_file():
            return path
    raise SettingsError(f"no engagement at {folder}: there is no engagement.yml; `crm new {folder}` makes one")
