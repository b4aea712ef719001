"""Errors for people, and the one reader of what people declare."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    import pandas as pd


PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "crmlib"
DECLARED = Path(__file__).resolve().parent  # what the workbook itself declares stands beside


class CrmError(Exception):
    """An error told to people: what was found, where, what is allowed, what to do."""


class SettingsError(CrmError):
    """Settings, statement, parameters or a period that cannot be used."""


class DataRejected(CrmError):  # noqa: N818 (the books are, no error is made)
    """A ledger that may not reach a report; `findings` says why, one row per defect."""

    def __init__(self, message: str, findings: pd.DataFrame) -> None:
        super().__init__(message)
        self.findings = findings


class _UniqueKeys(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, duplicate keys refused.

    Raises
    ------
    SettingsError
        The file is not YAML, not a mapping, or has a key twice; names file and line.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path.name}{where}: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path.name}: expected `key: value` lines, found {type(content).__name__}")
    return content


def safe_code(text: str) -> str:
    """A file name made from a text: letters, digits, dot, dash and underscore only."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip(".-") or "engagement"
