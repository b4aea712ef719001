"""The table of terms: what each named figure of the reports is, once; the twelve sub-processes; and where each learning objective is met."""

from __future__ import annotations

import functools

from pydantic import Field

from crmlib.declared.reading import DECLARED, Record, read


class Term(Record):
    """One named figure: how pages write it, what it adds up, what its percentage is of, and the function that makes it."""

    label: str = Field(min_length=1)
    definition: str = Field(min_length=1)
    base: str = ""
    computed: str = Field(pattern=r"^[a-z_.]+$", description="a function of crmlib, such as full_cost.full_cost")


class Step(Record):
    """One sub-process: the number of its notebook, its name, and what it leaves behind."""

    page: str
    name: str
    leaves: str


@functools.cache
def process() -> dict[str, Step]:
    """The twelve sub-processes, S1 to S5 and O1 to O7, from process.yml."""
    return read(DECLARED / "process.yml", dict[str, Step])


@functools.cache
def terms() -> dict[str, Term]:
    """The terms by name, from terms.yml."""
    return read(DECLARED / "terms.yml", dict[str, Term])


@functools.cache
def objectives() -> dict[str, list[tuple[str, str]]]:
    """The chapter's learning objectives, each with number of notebook and heading of section, from objectives.yml."""
    return read(DECLARED / "objectives.yml", dict[str, list[tuple[str, str]]])
