"""An engagement: one company's settings, statement and judgement, opened once."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from crmlib.declared.judgement import Rules
from crmlib.declared.periods import Period, parse_period
from crmlib.declared.reading import DECLARED, PROJECT, SettingsError, read, safe_code
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
    def segments(self) -> list[str]:
        """Names of the segments that the rules make, which may own costs."""
        return self.judgement("segments.yml", Rules).segments


def open_engagement(folder: str | Path) -> Engagement:
    """Open an engagement by its folder or its engagement.yml; a relative path is looked up here, then in the project.

    Raises
    ------
    SettingsError
        No engagement there, or settings or a statement that do not hold: all mistakes of a file at once.
    """
    path = _find(Path(folder))
    settings = read(path, Settings)
    own, full = path.parent / "statement.yml", settings.cost_of_goods_basis == "full"
    statement = read_statement(own if own.exists() else DECLARED / "statement.yml", at_full_cost=full)
    return Engagement(safe_code(path.parent.name), path.parent, settings, statement)


def _find(folder: Path) -> Path:
    with contextlib.suppress(RuntimeError):  # `~name` of nobody here
        folder = folder.expanduser()
    for base in (Path.cwd(), PROJECT):
        path = (base / folder).resolve()
        path = path if path.suffix in {".yml", ".yaml"} else path / "engagement.yml"
        if path.is_file():
            return path
    raise SettingsError(f"no engagement at {folder}: there is no engagement.yml; `crm new {folder}` makes one")
