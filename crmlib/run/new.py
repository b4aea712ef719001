"""A new engagement: a commented template of everything, with settings proposed from the client's files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from crmlib.declared.judgement import RATINGS, Opportunity
from crmlib.declared.ledger import tables
from crmlib.declared.reading import DECLARED, SettingsError, nearest


def write_template(folder: Path, files: Sequence[Path] = ()) -> None:
    """A new engagement: commented engagement.yml, an example statement, headers of every table, templates of judgement.

    From the client's files, delimiter, encoding, date formats and columns are proposed as comments, for a person to
    confirm.

    Raises
    ------
    SettingsError
        The folder is there and not empty, or a file is not there.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingsError(f"{folder} is there and not empty; name a new folder")
    if gone := [str(f) for f in files if not f.is_file()]:
        raise SettingsError(f"no such file: {', '.join(gone)}")
    settings = Path(__file__).with_name("engagement.yml").read_text(encoding="utf-8")
    statement = (DECLARED / "statement.yml").read_text(encoding="utf-8")
    texts = {
        "engagement.yml": settings + "".join(_proposal(file) for file in files),
        "statement.example.yml": f"# Rename to statement.yml to use a statement of your own.\n{statement}",
        "judgement/README.md": "What people decide in workshops; each notebook that reads one says how.\n",
        **{f"judgement/{name}": text for name, text in judgement_templates().items()},
        **{f"headers/{table.name}.csv": ",".join(table.columns) + "\n" for table in tables().values()},
    }
    for place in ("ledger", "judgement", "headers"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def judgement_templates() -> dict[str, str]:
    """The judgement files as a new engagement gets them: file name → text."""
    files = {name: (DECLARED / name).read_text("utf-8") for name in ("strategy.yml", "criteria.yml", "segments.yml")}
    headers = {"ratings.csv": RATINGS, "opportunities.csv": Opportunity.model_fields}
    return {**files, **{name: ",".join(columns) + "\n" for name, columns in headers.items()}}


def _proposal(file: Path) -> str:
    """What the first thousand rows of a file suggest, as commented lines of engagement.yml."""
    if file.suffix.lower() != ".csv":
        return f"\n# {file.name}: only CSV files are looked at; see the comments above\n"
    raw = file.read_bytes()[:1_000_000]
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else _first_that_decodes(raw)
    lines = raw.decode(encoding, errors="ignore").splitlines()[:1001]
    delimiter = max(",;\t|", key=lambda mark: min((line.count(mark) for line in lines[:20]), default=0))
    header, *rows = list(csv.reader(lines, delimiter=delimiter)) or [[]]
    table = max(
        tables().values(),
        key=lambda t: (t.name == file.stem.casefold(), sum(1 for c in t.columns if _nearest(c, header))),
    )
    free = [name for name in header if name not in table.columns]
    columns = [f"#       {c}: {near!r}" for c in table.columns if c not in header and (near := _nearest(c, free))]
    cells = [cell for row in rows for cell in row]
    commas = sum(bool(re.fullmatch(r"-?[\d.]+,\d{1,2}", c)) for c in cells)
    points = sum(bool(re.fullmatch(r"-?[\d,]+\.\d{1,2}", c)) for c in cells)
    return "\n".join([
        f"\n# {file.name} looks like this; confirm each line, then take away the marks",
        "# tables:", f"#   {table.name}:", f"#     source: {file.stem}",
        *(["#     columns:", *columns] if columns else []), "#     formats:",
        f"#       encoding: {encoding}", f"#       delimiter: {json.dumps(delimiter)}",
        f"#       decimal: {json.dumps(',' if commas > points else '.')}", f"#       {_dates_proposed(cells)}", "",
    ])  # fmt: skip


def _first_that_decodes(raw: bytes) -> str:
    try:
        raw[: raw.rfind(b"\n")].decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _nearest(column: str, header: Sequence[str]) -> str:
    plain = {re.sub(r"\W|_", "", h).casefold(): h for h in header}
    return plain.get(nearest(column.replace("_", ""), plain, 0.72), "")


def _dates_proposed(cells: Sequence[str]) -> str:
    """A date format, or why none is proposed: where day and month could change places, people must say."""
    forms = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d-%m-%Y", "%m-%d-%Y")
    dated = [c for c in cells if re.fullmatch(r"\d{4}-\d\d-\d\d|\d{1,2}[./-]\d{1,2}[./-]\d{4}", c)]
    fit = [form for form in forms if dated and all(_is_date(c, form) for c in dated)]
    if not dated:
        return "(no dates seen)"
    if len(fit) == 1:
        return f"dates: {json.dumps(fit)}"
    why = f"could be {' or '.join(fit)}" if fit else "none or several formats"
    return f"dates: not clear ({why}; such as {', '.join(dated[:3])})"


def _is_date(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True
