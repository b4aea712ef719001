"""Editions of a report in which nobody is named: what stands for names and amounts, and judgement files written with it."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from crmlib.declared.agreements import Level, Option
from crmlib.declared.engagement import Engagement
from crmlib.declared.judgement import CONDITION, FILES, RATINGS, Opportunity, condition_parts
from crmlib.declared.reading import DECLARED, read_yaml
from crmlib.declared.teams import SEVERAL, Member, Milestone

Edition = Literal["client", "anonymous"]
OTHER, WITHHELD = "Other", "withheld"  # what small groups are joined in, and what is said of a single customer
# what judgement files hold; files and columns that are not listed here are not handed on, nor are these keys
SHEETS: Mapping[str, tuple[str, ...]] = {
    "ratings.csv": RATINGS,
    **{
        name: tuple(record.model_fields)
        for name, record in (
            ("opportunities.csv", Opportunity), ("teams.csv", Member), ("plan.csv", Milestone), ("menu.csv", Option), ("menu_levels.csv", Level),
        )
    },
}  # fmt: skip
LEFT_OUT = {"contacts", "template"}
CUSTOMERS, STAFF, SAID_OF_ONE = {"customer_id", "account", "accounts"}, {"owner", "rater", "member"}, {"evidence"}
MONEY = {
    "agreements.yml": {"sales", "margin"}, "capital.yml": {"amount"}, "metrics.yml": {"low", "by", "high"}, "opportunities.csv": {"expected", "low", "high"},
    "gain_sharing.yml": {"least_gain", "our_investment", "their_investment", "their_gain"},
}  # fmt: skip
MONEY_MEASURES = ("sales", "net_margin", "order_value")
WORD, NUMBER = re.compile(r"\w+"), re.compile(r"[-+]?[\d.,]+")
PLAIN = re.compile(r"\d{1,4}|[-+]?\d+[.,][\d.,]+|\d{4}(-\d\d){1,2}")  # a name that within a text is a number or a day


@dataclass(frozen=True)
class Disguise:
    """What stands for each name, by what it is a name of: customer_id, customer_name, staff, or a column of customers or products.

    Amounts are multiplied by the factor. Names that stand within a text are replaced too, identifiers among them where they cannot
    be taken for a number.
    """

    edition: Edition
    names: Mapping[str, Mapping[str, str]]
    factor: Decimal = Decimal(1)
    client: str = ""  # what stands for the client's name; '' where it stays
    within: Mapping[str, str] = field(default_factory=dict)  # names of other kinds that may stand in a text

    def of(self, kind: str, value: str) -> str:
        """What stands for one name."""
        return self.names.get(kind, {}).get(value) or self.text(value)

    def text(self, value: str) -> str:
        """A text with every known name in it replaced, the longest first, however its accents are written."""
        if NUMBER.fullmatch(value.strip()):
            return value
        composed = unicodedata.normalize("NFC", value)
        words, parts, end, at = list(WORD.finditer(composed)), list[str](), 0, 0
        while at < len(words):
            tries = range(min(self._longest, len(words) - at), 0, -1)
            hits = ((n, self._name(tuple(word[0] for word in words[at : at + n]))) for n in tries)
            length, name = next(((n, name) for n, name in hits if name), (1, None))
            if name:
                parts += [composed[end : words[at].start()], name]
                end = words[at + length - 1].end()
            at += length
        return "".join([*parts, composed[end:]]) if parts else value

    def _name(self, words: tuple[str, ...]) -> str | None:
        """What stands for words that are a name: of a customer in any case where it has several, or digits and letters, else as it is written."""
        return self._known.get(words) or self._called.get(tuple(word.casefold() for word in words))

    @cached_property
    def _known(self) -> dict[tuple[str, ...], str]:
        return dict(_in_words([self.within, *self.names.values()]))

    @cached_property
    def _called(self) -> dict[tuple[str, ...], str]:
        kinds = (self.names.get(kind, {}) for kind in ("customer_id", "customer_name"))
        named = _in_words([{name.casefold(): new for name, new in names.items()} for names in kinds])
        return {words: new for words, new in named if len(words) > 1 or re.search(r"\d", "".join(words))}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, [*self._known, *self._called]), default=0)

    def amount(self, value: Any) -> Any:
        """An amount, or all amounts of a list or mapping, as they are shown."""
        if isinstance(value, dict):
            return {key: self.amount(each) for key, each in value.items()}
        if self.factor == 1 or value is None or value == "":
            return value
        scaled = round(Decimal(str(value)) * self.factor, 4)
        return f"{scaled:f}" if isinstance(value, str) else float(scaled)

    def judged(self, content: Any, file: str, key: str = "", row: Mapping[str, Any] | None = None) -> Any:
        """The content of a judgement file, or a part of it, with what stands for its names and amounts."""
        if _is_money(file, key, row or {}):
            return self.amount(content)
        if isinstance(content, dict):
            names = self.names.get(str(content.get("source")), {}) if key == "criteria" else {}
            parts = {k: self.judged(each, file, k, content) for k, each in content.items() if k not in LEFT_OUT}
            if "values" in parts:
                parts["values"] = {names.get(k, k): v for k, v in parts["values"].items()}
            return parts
        if isinstance(content, list):
            rows = [self.judged(each, file, key, row) for each in content]
            once = {(m.get("by", "account_type"), m["group"]): m for m in rows} if key == "markets" else {}
            return list(once.values()) or rows
        return self._said(content, key, row or {}) if isinstance(content, str) else content

    def _said(self, text: str, key: str, row: Mapping[str, Any]) -> str:
        if key in SAID_OF_ONE:
            return text and WITHHELD
        if key in CUSTOMERS:
            return SEVERAL.join(self.of("customer_id", each.strip()) for each in text.split(SEVERAL))
        if key in STAFF:
            return self.of("staff", text)
        if key == "group":
            return self.of(str(row.get("by") or "account_type"), text)
        return self._condition(text) if key == "when" and CONDITION.fullmatch(text.strip()) else self.text(text)

    def _condition(self, text: str) -> str:
        measure, sign, value = condition_parts(text)
        if sign == "is":
            return f"{measure} is {self.of(measure, value)}"
        return f"{measure} {sign} {self.amount(value) if measure in MONEY_MEASURES else f'{value:g}'}"


def _in_words(kinds: list[Mapping[str, str]]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The words of each name that can be told within a text, and what stands for it."""
    named = (pair for names in kinds for pair in names.items() if not PLAIN.fullmatch(pair[0]))
    return ((tuple(WORD.findall(unicodedata.normalize("NFC", name))), new) for name, new in named)


def _is_money(file: str, key: str, row: Mapping[str, Any]) -> bool:
    """Whether what stands at a key is an amount: always, or by what stands beside it."""
    return key in MONEY.get(file, ()) or {
        ("functions.yml", "per"): row.get("driver") == "sales",
        ("strategy.yml", "target"): row.get("measure") in MONEY_MEASURES,
        ("metrics.yml", "step"): row.get("measure") in MONEY_MEASURES,
        ("menu.csv", "unit_cost"): row.get("per") != "net_sales",
    }.get((file, key), False)


def staff(engagement: Engagement) -> set[str]:
    """Everybody who is named in the judgement files as owner, rater or member."""
    return {str(value) for key, value in _values(_contents(engagement)) if key in STAFF and value}


def _values(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in lists and mappings inside each other, with the key that it stands under."""
    if isinstance(content, dict | list):
        for k, each in content.items() if isinstance(content, dict) else ((key, each) for each in content):
            yield from _values(each, k)
    else:
        yield key, content


def _contents(engagement: Engagement) -> dict[str, Any]:
    """The judgement files by name, the workbook's own where the engagement has none; of a sheet its rows."""
    folder = engagement.folder / "judgement"
    found = {name: next((p for p in (folder / name, DECLARED / name) if p.is_file()), None) for name in FILES}
    contents: dict[str, Any] = {name: read_yaml(path) for name, path in found.items() if path}
    for name in SHEETS:
        if (folder / name).is_file():
            rows = csv.DictReader(io.StringIO((folder / name).read_text("utf-8-sig"), newline=""))
            contents[name] = [{k.strip(): (v or "").strip() for k, v in row.items() if k} for row in rows]
    return contents


def write_declared(engagement: Engagement, disguise: Disguise, folder: Path, books: str) -> None:
    """Write settings, statement and judgement files of an engagement for an edition whose books stand in a folder beside them."""
    kept = {"currency", "coverage", "fiscal_year_start", "cost_of_goods_basis", "rates", "thresholds", "horizon_months"}
    settings = engagement.settings.model_dump(mode="json", include=kept)
    client = disguise.client or disguise.text(engagement.settings.client)
    _write(folder / "engagement.yml", {"client": client, "source": books, **settings})
    if (engagement.folder / "statement.yml").is_file():
        statement = read_yaml(engagement.folder / "statement.yml")
        _write(folder / "statement.yml", disguise.judged(statement, "statement.yml"))
    (folder / "judgement").mkdir()
    for name, content in _contents(engagement).items():
        path = folder / "judgement" / name
        if name in SHEETS:
            with path.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, SHEETS[name], extrasaction="ignore", restval="")
                writer.writeheader()
                writer.writerows(disguise.judged(content, name))
        else:
            _write(path, disguise.judged(content, name))


def _write(path: Path, content: Any) -> None:
    """A file of settings as JSON, which is YAML too."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
