"""Files and parameters drawn at random over the records that they are read into: read or refused with all mistakes, never another error."""

from __future__ import annotations

import csv
import re
import shutil
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import yaml
from conftest import costly, write_engagement
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from crmlib.books.stored import Books, open_books
from crmlib.declared.agreements import Agreements, Level, Option
from crmlib.declared.capital import Capital
from crmlib.declared.engagement import open_engagement
from crmlib.declared.gain_sharing import GainSharing
from crmlib.declared.judgement import MEASURES, RATINGS, Opportunity, Register, Rules, Strategy
from crmlib.declared.metrics import Metrics
from crmlib.declared.reading import MOST_MISTAKES, PROJECT, SettingsError, read, read_yaml
from crmlib.declared.settings import Settings
from crmlib.declared.teams import Functions, Member, Milestone
from crmlib.run.notebooks import check_parameters, list_notebooks
from crmlib.segments import check_judgement

FILES: Mapping[str, type[BaseModel]] = {
    "engagement.yml": Settings, "agreements.yml": Agreements, "capital.yml": Capital, "criteria.yml": Register, "functions.yml": Functions,
    "gain_sharing.yml": GainSharing, "metrics.yml": Metrics, "segments.yml": Rules, "strategy.yml": Strategy,
}  # fmt: skip
SHEETS = {
    "ratings.csv": RATINGS, "opportunities.csv": [*Opportunity.model_fields], "teams.csv": [*Member.model_fields], "plan.csv": [*Milestone.model_fields],
    "menu.csv": [*Option.model_fields], "menu_levels.csv": [*Level.model_fields],
}  # fmt: skip
ODD: list[Any] = [
    None, True, 0, -1, 10**18, 10**30, 1.5, float("inf"), float("-inf"), float("nan"), 1e308, "", " ", "0", "é", "%", "NO", "on", "0123", "1_000", "12:30", "~", "null",
    "=1+1", "x" * 3000, "2024-02-30", "a\tb", "a\nb", "9999-12", "0000-01", [], [1], [["a"]], {}, {"a": 1}, "../../etc/passwd", "/etc/passwd", "C:\\x", "a/b.docx", "..",
    "env:X Y", ".sql", "x.sql", "{{ 7*7 }}", "<b>", "\u202ee", "\U0001f600", date(2024, 2, 29), date.min, "sales >= 1e999", "score is", "sales_rank_share >= nan",
]  # fmt: skip
WORDS = [
    "A", "B", "Z", "Core", "Shops", "account_type", "customer_name", "region", "judged", *MEASURES, "sales >= 100", "account_type is Shops", "state is lost", "2024", "2024Q1",
    "2024-01", "2024-13", "visit", "salaries", "transportation", "order fulfilment", "sales", "lead", "A;Core", "service: on time", "on time", "a.docx", "0.5", "12", "1e5", "-3", "2024-05-01",
]  # fmt: skip
NUMBERS = [0, 1, 2, -1, 0.5, 0.05, 12, 100, 1000, 1e6, 2024, 10**17]


def plausible(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a type, and now and then one that is odd."""
    kind, parts = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        return plausible(parts[0])
    if kind is Literal:
        return now_and_then(st.sampled_from(parts))
    if kind in (Union, types.UnionType):
        return st.one_of([plausible(part) for part in parts])
    if kind in (tuple, list):
        return now_and_then(st.lists(plausible(parts[0]), max_size=3))
    if kind is dict:
        return now_and_then(
            st.dictionaries(now_and_then(plausible(parts[0])).filter(is_key), plausible(parts[1]), max_size=3)
        )
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return now_and_then(st.deferred(lambda: record(annotation)))
    if annotation in (int, float, Decimal):
        return now_and_then(st.sampled_from(NUMBERS))
    return now_and_then(
        st.dates(date(2023, 1, 1), date(2025, 12, 31)) if annotation is date else st.sampled_from(WORDS)
    )


def now_and_then(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(*[usual] * 12, st.sampled_from(ODD))


def is_key(value: Any) -> bool:
    return isinstance(value, str | int | float | date)


def record(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """A record as people write it: any of its keys, sometimes one that it does not have."""
    fields = {info.alias or name: plausible(info.annotation) for name, info in model.model_fields.items()}
    needed = {
        name: fields.pop(name) for name, info in model.model_fields.items() if info.is_required() and name in fields
    }
    extra = st.dictionaries(st.sampled_from(["clinet", "wehn", "1", "id "]), st.sampled_from(WORDS), max_size=1)
    lost = st.sampled_from([*[None] * 15, *needed])
    return st.builds(
        lambda own, more, unknown, without: {k: v for k, v in {**own, **more, **unknown}.items() if k != without},
        st.fixed_dictionaries(needed), st.fixed_dictionaries({}, optional=fields), st.one_of(*[st.just({})] * 9, extra), lost,
    )  # fmt: skip


def base(name: str) -> dict[str, Any]:
    """A file that holds: the sample's."""
    folder = PROJECT / "data/sample" / ("" if name == "engagement.yml" else "judgement")
    return read_yaml(folder / name)


def places(content: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything in a file."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, value in inner for place in [(*above, key), *places(value, (*above, key))]]


def nearly(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """A file that holds, with one or two values in it replaced, or their keys lost or misspelt."""
    value = st.one_of(st.sampled_from(ODD), st.sampled_from(WORDS), st.sampled_from(NUMBERS))
    how = st.sampled_from(["replaced", "replaced", "replaced", "lost", "misspelt"])
    return st.lists(st.tuples(st.sampled_from(places(base(name))), value, how), min_size=1, max_size=2).map(
        lambda changes: changed(base(name), changes)
    )


def changed(content: dict[str, Any], changes: list[tuple[tuple[Any, ...], Any, str]]) -> dict[str, Any]:
    for (*above, last), value, how in changes:
        inner: Any = content
        for key in above:
            inner = (
                inner[key]
                if (isinstance(inner, dict) and key in inner) or (isinstance(inner, list) and key in range(len(inner)))
                else None
            )
        if not (isinstance(inner, dict) and last in inner) and not (
            isinstance(inner, list) and last in range(len(inner))
        ):
            continue  # the other change took it away
        if how != "replaced" and isinstance(inner, dict):
            old = inner.pop(last)
            inner.update({f"{last}s": old} if how == "misspelt" else {})
        else:
            inner[last] = value
    return content


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Books:
    """Books of two customers, whose judgement is drawn."""
    tables = {
        "customers": "customer_id, customer_name, account_type, region\nA, Adler, Shops, West\nB, Birch, Clubs, East",
        "invoice_lines": "customer_id, invoice_date, gross_sales\nA, 2024-01-10, 100\nB, 2024-02-10, 50",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRM_CACHE", str(session_cache))
        return open_books(write_engagement(tmp_path_factory.mktemp("fuzz") / "f", tables))


@contextmanager
def read_or_refused() -> Iterator[None]:
    """Nothing is raised but a refusal that tells as many mistakes as it counts, each in a line of its own."""
    try:
        yield
    except SettingsError as error:
        text = str(error)
        counted = sum(
            min(int(n), MOST_MISTAKES + 1) for n in re.findall(r"has (\d+) mistake\(s\):$", text, re.MULTILINE)
        )
        if not text.strip() or "Traceback" in text or len(re.findall(r"^  .*\S", text, re.MULTILINE)) < counted:
            raise AssertionError(text) from error


@costly(60)
@given(st.data())
def test_a_file_drawn_over_its_record_is_read_or_refused(books: Books, data: st.DataObject) -> None:
    folder = books.engagement.folder / "judgement"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in data.draw(st.lists(st.sampled_from([*FILES][1:]), min_size=1, max_size=3, unique=True)):
        text = yaml.safe_dump(data.draw(st.one_of(record(FILES[name]), nearly(name))), allow_unicode=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name in data.draw(st.lists(st.sampled_from([*SHEETS]), max_size=2, unique=True)):
        cells = st.one_of(*[st.sampled_from(["", *WORDS])] * 6, st.sampled_from(ODD).map(str))
        rows = data.draw(st.lists(st.lists(cells, min_size=len(SHEETS[name]), max_size=len(SHEETS[name])), max_size=4))
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([SHEETS[name], *rows])
    with read_or_refused():
        check_judgement(books)


@costly(60)
@given(st.one_of(record(Settings), nearly("engagement.yml")))
def test_settings_drawn_over_their_record_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "settings"
    folder.mkdir(exist_ok=True)
    (folder / "engagement.yml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    with read_or_refused():
        assert open_engagement(folder).coverage.months > 0


@costly(30)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")) |
       st.lists(st.sampled_from(["a: ", "- ", "[", "{", "}", "]", "&x ", "*x", "!!python/object:os.system ", "? ", "|\n ", "<<: ", "'", '"', "\n", "  ", "#", "%YAML 9.9\n", "---\n", "1e", ": "]),
                max_size=30).map(lambda parts: "".join(parts).encode()))  # fmt: skip
def test_bytes_that_are_no_settings_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "segments.yml"
    path.write_bytes(content)
    with pytest.raises(SettingsError):
        read(path, Rules)


@costly(60)
@given(st.data())
def test_parameters_drawn_at_random_are_understood_or_refused(books: Books, data: st.DataObject) -> None:
    notebooks = list_notebooks()
    names = sorted({p.name for n in notebooks for p in n.parameters})
    texts = st.one_of(st.sampled_from([str(each) for each in (*ODD, *WORDS)]), st.text(max_size=20))
    given = data.draw(st.dictionaries(st.sampled_from([*names, "peroid", ""]), texts, max_size=4))
    with read_or_refused():
        for values in check_parameters(notebooks, given).values():
            books.period(values["period"])
