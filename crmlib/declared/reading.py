"""The one reader of what people declare: YAML into records, all mistakes of a file at once; errors for people; the nearest name."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

if TYPE_CHECKING:
    import pandas as pd
    from pydantic.fields import FieldInfo


PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "crmlib"
DECLARED = Path(__file__).resolve().parent  # what the workbook itself declares stands beside
MOST_MISTAKES = 50  # of one file, one line each
MOST = 10**18  # of a whole number
DEEPEST = 50  # lists and mappings inside each other; the reader in C ends the program at some 50,000
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
# lines and tabs are seen
HIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
# after case folding: Cyrillic, Greek, 0 and l
LOOK_ALIKE = str.maketrans("аеорсхукмтвніοαερτκν0l", "aeopcxykmtbhioaeptkvoi")
COPY_MARKS = re.compile(r"\b(copy|kopie|copie|copia|of|de|von|final|new|neu|v|export|extract)\b|\(\d+\)|\d+")
ENDING = re.compile(r"(\.(csv|txt|tsv|xlsx?|parquet))?\.\w+$", re.IGNORECASE)  # that of costs.csv.gz too
NEAR = 0.88  # likeness of a misspelt name: discounts, not discount_rate
CHANGED = re.compile(r"[-+]?0\d|.*[:_]")  # what YAML would take for a number in octal, in sixties, or with marks
LINES = "must be `key: value` lines"
LIST = "must be a list, each entry behind a dash"
WORDS = {"missing": "is missing", "string_pattern_mismatch": "is not in its form", "string_type": "must be text; put it in quotes",
         "model_type": LINES, "dict_type": LINES, "list_type": LIST, "tuple_type": LIST}  # fmt: skip
M = TypeVar("M")


class CrmError(Exception):
    """An error told to people: what was found, where, what is allowed, what to do."""


class SettingsError(CrmError):
    """Settings, statement, parameters or a period that cannot be used."""


class DataRejected(CrmError):  # noqa: N818 (the books are, no error is made)
    """A ledger that may not reach a report; `findings` says why, one row per defect."""

    def __init__(self, message: str, findings: pd.DataFrame) -> None:
        super().__init__(message)
        self.findings = findings


class Record(BaseModel):
    """A frozen record of what people declare; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read(path: Path, model: type[M], context: object = None) -> M:
    """A YAML file as its record, or a mapping of records; validators see the context.

    Raises
    ------
    SettingsError
        Not YAML, or mistakes: all of them, each with the key's path, what was found, what is allowed and the nearest name.
    """
    content = _ours(path) if path.parent == DECLARED else read_yaml(path)
    try:
        return TypeAdapter(model).validate_python(content, context=context)
    except ValidationError as error:
        file = f"judgement/{path.name}" if path.parent.name == "judgement" else path.name
        refuse_mistakes(file, [_mistake(e, content, model) for e in error.errors(include_url=False)])
        raise


def refuse_mistakes(file: str, mistakes: Sequence[str]) -> None:
    """Stop where a file has mistakes, all of them told.

    Raises
    ------
    SettingsError
        One line per mistake.
    """
    if mistakes:
        more = [f"… and {len(mistakes) - MOST_MISTAKES} more"] if len(mistakes) > MOST_MISTAKES else []
        lines = "\n".join(f"  {line}" for line in [*mistakes[:MOST_MISTAKES], *more])
        raise SettingsError(f"{file} has {len(mistakes)} mistake(s):\n{lines}")


def _mistake(error: Any, content: Any, model: Any) -> str:
    """A mistake in words: the key's path, what is wrong, what was found, the nearest name."""
    place, inner, records, description = "", content, _records(model), ""
    for part in error["loc"]:
        if _is_in(part, inner):
            inner = inner[part]
            place += (f"[{part}]" if isinstance(part, int) else f".{part}") + _name_of(inner)
        elif error["type"] == "missing" and part == error["loc"][-1]:
            place += f".{part}"
        fields = [f for record in records for key, f in _keys(record).items() if key == part]
        records = [record for f in fields for record in _records(f.annotation)] or records
        description = next((f"; {f.description}" for f in fields if f.description), "")
    return f"{place.lstrip('.') or 'the file'}: {_in_words(error, records, description)}"


def _in_words(error: Any, records: Sequence[type[BaseModel]], description: str) -> str:
    kind, value, choices = error["type"], error["input"], list[str]()
    if kind == "extra_forbidden":
        value, choices = error["loc"][-1], [key for record in records for key in _keys(record)]
        return f"unknown key; allowed: {', '.join(choices)}{did_you_mean(str(value), choices)}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", error["ctx"]["expected"])
    words = WORDS.get(kind) or error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    words += description if kind in {"missing", "string_pattern_mismatch"} else ""
    shown = "" if isinstance(value, dict | list) or "://" in str(value) else f" (found {repr(value)[:60]})"
    return f"{words}{shown}{did_you_mean(str(value), choices)}"


def _is_in(part: Any, inner: Any) -> bool:
    return part in inner if isinstance(inner, dict) else isinstance(inner, list) and part in range(len(inner))


def _name_of(inner: Any) -> str:
    names = [inner[k] for k in ("id", "segment", "flag", "group") if k in inner] if isinstance(inner, dict) else []
    return f" ({str(names[0])[:60]})" if names else ""


def _keys(record: type[BaseModel]) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in record.model_fields.items()}


def _records(annotation: Any) -> list[type[BaseModel]]:
    """The records inside a type such as `tuple[Rule, ...]`."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [record for inner in get_args(annotation) for record in _records(inner)]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values only; a key twice, a control character and a value that does not exist are refused with their line."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        for i, (key, _) in enumerate(node.value):
            twice = key.value in [other.value for other, _ in node.value[:i]]
            if twice or not isinstance(key, yaml.ScalarNode):
                problem = f"key {key.value!r} stands twice" if twice else "a key must be a single word"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode) and CONTROL.search(node.value):
            raise yaml.MarkedYAMLError(problem="a control character; take it out", problem_mark=node.start_mark)
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int) and (abs(value) > MOST or CHANGED.match(str(node.value))):
                raise ValueError
            return value
        except (ValueError, OverflowError):
            problem = f"{str(node.value)[:40]!r} looks like a date or number and is none; put text in quotes"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


# NO and ON are texts, such as Norway's code; only true and false are not
_Loader.yaml_implicit_resolvers = {
    first: [each for each in each_of if first in "tTfF" or each[0] != "tag:yaml.org,2002:bool"]
    for first, each_of in _Loader.yaml_implicit_resolvers.items()
}


@functools.cache
def _ours(path: Path) -> dict[str, Any]:
    """What the workbook itself declares, read once."""
    return read_yaml(path)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, duplicate keys refused.

    Raises
    ------
    SettingsError
        The file cannot be read, is not UTF-8, not YAML, not a mapping, or has a key twice; names file and line.
    """
    try:
        text, depth = path.read_text(encoding="utf-8-sig"), 0
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise yaml.YAMLError(f"lists or mappings more than {DEEPEST} deep")
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 (a safe loader)
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise SettingsError(f"{path.name}, line {line}: not UTF-8; save it as UTF-8") from None
    except (yaml.YAMLError, OSError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{path.name}{where}: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path.name}: expected `key: value` lines, found {type(content).__name__}")
    return content


def each_once(column: str) -> AfterValidator:
    """A validator of records: what stands in a column stands there once."""

    def checked(records: tuple[Any, ...]) -> tuple[Any, ...]:
        refuse_repeated([f"{column} {getattr(record, column)}" for record in records])
        return records

    return AfterValidator(checked)


def refuse_repeated(names: Sequence[str], how: str = "") -> None:
    """ValueError where a name stands twice; for validators."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} stands twice {how}".strip())


def nearest(text: str, allowed: Iterable[str], cutoff: float = 0.6) -> str:
    """The allowed name that a text most likely means: alike but for case, blanks and look-alike letters, or near; else ''."""
    from rapidfuzz import fuzz, process

    names, wanted = list(allowed), folded(text)
    if alike := [name for name in names if folded(name) == wanted]:
        return alike[0] if text else ""
    near = process.extractOne(text, names, scorer=fuzz.ratio, score_cutoff=100 * cutoff) if text else None
    return str(near[0]) if near else ""


def did_you_mean(text: str, allowed: Iterable[str]) -> str:
    """The end of a message that refuses a name: which one is near; empty where none is."""
    near = nearest(text, allowed)
    return f"; did you mean {near!r}?" if near else ""


def bare_name(file: str) -> str:
    """A file's name without its ending, and without its case, years, copy marks, plural and blanks."""
    plain = re.sub(r"[\s_.-]+", " ", ENDING.sub("", file.rpartition("/")[2]).casefold())
    return "".join(COPY_MARKS.sub(" ", plain).split()).removesuffix("s")


@functools.lru_cache(maxsize=100_000)
def folded(text: str) -> str:
    """A text without its case, blanks and look-alike letters."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().translate(LOOK_ALIKE).split())


def safe_code(text: str) -> str:
    """A file name made from a text: letters, digits, dot, dash and underscore only."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip(".-") or "engagement"


def file_part(value: object) -> str:
    """A value as a part of a file's name, another for each."""
    text, code = str(value), safe_code(str(value))
    return code if code == text else f"{code}-{content_hash(text)[:8]}"


def sha256(file: Path) -> str:
    """Hash of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_hash(content: object) -> str:
    """SHA-256 of what JSON can say."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def visible(text: str) -> str:
    """A text with its control characters, and those that turn the direction of letters, as visible escapes."""
    return HIDDEN.sub(lambda m: f"\\u{ord(m[0]):04x}", text)
