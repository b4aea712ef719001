"""Everything that can be read in the files of a report, whatever their kind: what a stranger would find by searching them."""

from __future__ import annotations

import base64
import html
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

PICTURE = re.compile(rb"data:image/[\w+.-]+;base64,([A-Za-z0-9+/=\s]+)")


def texts(file: Path) -> Iterator[str]:
    """All texts of a file: of archives each part, of Parquet values and metadata, of PDF its streams, of pages the pictures too."""
    content = file.read_bytes()
    yield file.name
    if file.suffix in {".xlsx", ".docx"}:
        with zipfile.ZipFile(file) as parts:
            for name in parts.namelist():
                part = re.sub(
                    r'<c r="[A-Z]+\d+"|<f>.*?</f>|[a-z]+="/\w+/', "", parts.read(name).decode("utf-8", "replace")
                )
                yield html.unescape(part)
    elif file.suffix == ".parquet":
        table = pq.read_table(file)
        yield f"{table.schema.metadata} {table.column_names} {pq.read_metadata(file).created_by}"
        yield from ("\n".join(map(str, column.unique().to_pylist())) for column in table.columns)
    elif file.suffix == ".pdf":
        from pypdf import PdfReader

        reader = PdfReader(file)
        yield f"{reader.metadata}"
        yield from (page.extract_text() for page in reader.pages)
    elif file.suffix == ".png":
        yield content.decode("latin-1")
    else:
        yield html.unescape(content.decode("utf-8", "replace"))
        for picture in PICTURE.findall(content):
            yield html.unescape(base64.b64decode(picture).decode("utf-8", "replace"))


def found(folder: Path, secrets: set[str]) -> dict[str, list[str]]:
    """The secrets that stand in files of a folder, those of one word as words of their own, by file."""
    hits: dict[str, set[str]] = {}
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        for text in texts(file):
            words = {*re.findall(r"\w+", text)}
            there = {s for s in secrets if (s in words if re.fullmatch(r"\w+", s) else s in text)}
            hits[file.relative_to(folder).as_posix()] = hits.get(file.relative_to(folder).as_posix(), set()) | there
    return {file: sorted(names) for file, names in hits.items() if names}
