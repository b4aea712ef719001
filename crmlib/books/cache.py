"""Books read, checked, rolled up and tied out once, then opened from the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crmlib.books.findings import refuse_rejected
from crmlib.books.ledger import sha256
from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import DECLARED, PROJECT
from crmlib.declared.versions import versions

KEPT_TABLES = ("customers", "products", "activity_types", "capacity", "joint_costs", "control_totals", "reconciliation")


def filled_cache(engagement: Engagement) -> tuple[Path, dict[str, str], str]:
    """The folder of the books, filled if they are not there yet; SHA-256 of each file of the source, and of all of them.

    Errors as `stored.open_books`.
    """
    sources = _source_hashes(engagement)
    data_hash = _digest(sources)
    key = _digest({
        "data": data_hash, "settings": engagement.settings.model_dump_json(), "segments": engagement.segments,
        "statement": [asdict(line) for line in engagement.statement.lines], "code": _code_hashes(), "versions": versions(),
    })  # fmt: skip
    home = Path(os.environ.get("CRM_CACHE") or PROJECT / "reports" / ".cache")
    cache = home / f"{engagement.name}-{key[:16]}"
    if not (cache / "books.json").exists():
        _fill(engagement, cache)
    return cache, sources, data_hash


def _source_hashes(engagement: Engagement) -> dict[str, str]:
    """SHA-256 of every file that the ledger may be read from, by name."""
    from crmlib.books.raw import source_path

    path = source_path(engagement)
    files = [f for f in sorted(path.iterdir()) if f.suffix.lower() in {".csv", ".parquet"}] if path.is_dir() else [path]
    files += [
        engagement.folder / t.source
        for t in engagement.settings.tables.values()
        if t.source and t.source.endswith(".sql")
    ]
    return {file.name: sha256(file) for file in files if file.is_file()}


def _code_hashes() -> dict[str, str]:
    """SHA-256 of all that reads and rolls up the books, by file."""
    floors = (Path(__file__).parent, DECLARED)
    files = [file for floor in floors for file in sorted(floor.iterdir()) if file.suffix in {".py", ".yml", ".sql"}]
    return {f"{file.parent.name}/{file.name}": sha256(file) for file in files}


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _fill(engagement: Engagement, cache: Path) -> None:
    """Compute the books in a private folder and rename it into place; older books of the engagement are removed."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".filling-", dir=cache.parent))
    try:
        _compute(engagement, work)
        shutil.rmtree(work / "ledger")
        try:
            work.rename(cache)
        except OSError:
            if not (cache / "books.json").exists():
                raise
        kept = sorted(cache.parent.glob(f"{engagement.name}-{'?' * 16}"), key=lambda folder: folder.stat().st_mtime)
        for old in kept[:-3]:  # a run in progress may still read the last ones
            shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _compute(engagement: Engagement, work: Path) -> None:
    from crmlib.books import availability, checks, reader, rollups, tie_out

    books = reader.read_ledger(engagement, work / "ledger")
    findings = checks.check_ledger(books)
    refuse_rejected(findings)
    rules = availability.with_sources(engagement.statement, books)
    rollups.write_cube(books, rules, work)
    rolled = {"sales": rollups.sales_cube(books), "orders": rollups.order_days(books)}
    for name, expr in rolled.items():
        if expr is not None:
            books.con.to_parquet(expr, work / f"{name}.parquet")
    for name in KEPT_TABLES:
        if books.has(name):
            kept = books.covered(name).drop("_file", "_row").execute()
            kept.to_parquet(work / f"{name}.parquet")
    amounts = tie_out.intake_amounts(books)
    tied = tie_out.tie_out(books, rules, amounts, work)
    refuse_rejected(tie_out.with_untied(tied, findings))
    for name, frame in (("findings", findings), ("intake", amounts), ("tie_out", tied)):
        frame.to_parquet(work / f"{name}.parquet")
    spans = {k: [str(a), str(b)] for k, (a, b) in availability.line_spans(books, rules).items()}
    columns = {name: [c for c in expr.columns if not c.startswith("_")] for name, expr in books.tables.items()}
    record = {"lines": [asdict(line) for line in rules.lines], "columns": columns, "spans": spans}
    (work / "books.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
