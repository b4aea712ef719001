"""The notebooks as the runner sees them: what each asks, and which parameters it takes; none is executed here."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, FiniteFloat, TypeAdapter, ValidationError

from crmlib.declared.reading import PROJECT, SettingsError, did_you_mean

NOTEBOOKS = PROJECT / "notebooks"


TYPES: Mapping[str, Any] = {"str": str, "int": int, "float": FiniteFloat, "bool": bool}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook, as its `parameters` cell declares it: `name: type = default  # help`."""

    name: str
    type: str
    default: Any
    help: str


@dataclass(frozen=True)
class Notebook:
    """A notebook of the workbook; `cells` holds the kind and the source of each cell, without outputs."""

    path: Path
    title: str
    question: str
    parameters: tuple[Parameter, ...]
    cells: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def name(self) -> str:
        """Number and name, such as 27_profitability."""
        return self.path.stem

    @property
    def number(self) -> str:
        """Its place in the process, two digits."""
        return self.path.stem[:2]


def list_notebooks(folder: Path = NOTEBOOKS) -> list[Notebook]:
    """The notebooks of a folder named NN_name.ipynb, in order.

    Raises
    ------
    SettingsError
        A notebook that cannot be read, or whose `parameters` cell is not in the one form allowed.
    """
    return [_read(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]


def _read(path: Path) -> Notebook:
    try:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        sources = tuple((cell["cell_type"], "".join(cell["source"])) for cell in cells)
        tagged = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path.name} is not a notebook: {error!r}") from None
    if len(tagged) > 1:
        raise SettingsError(f"{path.name} has {len(tagged)} cells tagged `parameters`; one is allowed")
    title, question = _heading(next((source for kind, source in sources if kind == "markdown"), ""))
    return Notebook(path, title or path.stem, question, _parameters(path.name, "".join(tagged)), sources)


def _heading(markdown: str) -> tuple[str, str]:
    """Title, and the first line with a question mark, else the first line below the title."""
    plain = [re.sub(r"[*`]", "", line).strip(" _>-") for line in markdown.splitlines()]
    lines = [line for line in plain if line]
    said = [line for line in lines if not line.startswith("#")]
    titles = [line.lstrip("# ") for line in lines if line.startswith("#")]
    return "".join(titles[:1]), next((line for line in said if "?" in line), "".join(said[:1]))


def _parameters(file: str, source: str) -> tuple[Parameter, ...]:
    try:
        tree = ast.parse(source)
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (SyntaxError, tokenize.TokenError) as error:
        raise SettingsError(f"{file}: the `parameters` cell is not Python: {error}") from None
    helps = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    return tuple(_parameter(file, node, helps.get(node.end_lineno or 0, "")) for node in tree.body)


def _parameter(file: str, node: ast.stmt, text: str) -> Parameter:
    where = f"{file}: line {node.lineno} of the `parameters` cell"
    if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value):
        raise SettingsError(f"{where} is not in the form `name: type = literal  # help`")
    declared = ast.unparse(node.annotation)
    if declared not in TYPES:
        raise SettingsError(f"{where}: type {declared} is not allowed; allowed: {', '.join(TYPES)}")
    try:
        return Parameter(node.target.id, declared, ast.literal_eval(node.value), text)
    except ValueError:
        raise SettingsError(f"{where}: the value is not a literal") from None


def select_notebooks(notebooks: Sequence[Notebook], only: Sequence[str]) -> list[Notebook]:
    """Those whose number or name is asked for, all where nothing is; SettingsError for one that is not there."""
    for text in only:
        if not any(text in {n.number, n.name} for n in notebooks):
            raise SettingsError(f"no notebook {text!r}; {_known(text, [n.name for n in notebooks])}")
    return [n for n in notebooks if not only or n.number in only or n.name in only]


def check_parameters(notebooks: Sequence[Notebook], given: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    """Notebook name → its parameters: the given ones, of the type that the notebook declares, else its defaults.

    Raises
    ------
    SettingsError
        Names that none of the notebooks has, values that are not of the declared type: all of them at once.
    """
    allowed = list(dict.fromkeys(p.name for n in notebooks for p in n.parameters))
    wrong = [f"unknown parameter {name!r}; {_known(name, allowed)}" for name in given if name not in allowed]
    values: dict[str, dict[str, Any]] = {n.name: {p.name: p.default for p in n.parameters} for n in notebooks}
    for notebook, parameter in ((n, p) for n in notebooks for p in n.parameters if p.name in given):
        try:
            values[notebook.name][parameter.name] = _typed(given[parameter.name], parameter.type)
        except ValidationError:
            found = f"{parameter.name}={given[parameter.name]!r}"
            wrong.append(f"{found} is not of type {parameter.type}, which {notebook.name} needs: {parameter.help}")
            continue
        if not _allowed(values[notebook.name][parameter.name], parameter.help):
            wrong.append(
                f"{parameter.name}={given[parameter.name]!r} is not allowed in {notebook.name}: {parameter.help}"
            )
    if wrong:
        raise SettingsError("\n".join(dict.fromkeys(wrong)))
    return values


def _typed(value: object, declared: str) -> Any:
    return TypeAdapter(TYPES[declared], config=ConfigDict(coerce_numbers_to_str=True)).validate_python(value)


def _allowed(value: Any, text: str) -> bool:
    """Whether a value is what the help says last: `at least 1`, or `one of this, that`."""
    least, choices = re.search(r"at least (-?[\d.]+)$", text), re.search(r"one of (.+)$", text)
    return (not least or value >= float(least[1])) and (not choices or value in choices[1].split(", "))


def _known(text: str, allowed: Sequence[str]) -> str:
    return f"allowed: {', '.join(allowed) or 'none'}{did_you_mean(text, allowed)}"
