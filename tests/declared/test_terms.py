"""One name, one number, one base: the table of terms."""

from __future__ import annotations

import importlib

import pytest

from crmlib.declared.terms import terms


def test_a_label_stands_for_one_term() -> None:
    labels = [term.label.casefold() for term in terms().values()]
    assert len(set(labels)) == len(labels)
    assert len({term.definition for term in terms().values()}) == len(labels)


@pytest.mark.parametrize("name", terms())
def test_a_term_is_computed_by_a_function_that_is_there(name: str) -> None:
    module, _, function = terms()[name].computed.rpartition(".")
    assert callable(getattr(importlib.import_module(f"crmlib.{module}"), function))


@pytest.mark.parametrize("name", [name for name in terms() if name.startswith("net_segment_margin")])
def test_whose_net_segment_margin_it_is_stands_in_its_label(name: str) -> None:
    assert terms()[name].label.startswith("net segment margin of ")
    assert terms()[name].base.startswith("gross sales of ")
