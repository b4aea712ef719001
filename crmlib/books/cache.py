"""Books read, checked, rolled up and tied out once, then opened from the cache."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from crmlib.books.findings import refuse_rejected
from crmlib.books.ledger import Ledger, identifier, quoted
from crmlib.books.raw import PLACE, all_files, database_url, source_files, source_path
from crmlib.declared.engagement import Engagement
from crmlib.declared.reading import DECLARED, PROJECT, CrmError, SettingsError, content_hash, sha256
from crmlib.declared.versions import versions

KEPT = ("customers", "products", "activity_types", "capacity", "joint_costs", "control_totals", "reconciliation",
        "customer_view")  # fmt: skip
KEPT_TABLES = {**{name: name for name in KEPT}, "service": "service_levels"}  # a roll-up has the other name
FLOORS = (Path(__file__).parent, DECLARED)  # all that reads and rolls up the books
KEPT_BOOKS = 3  # of an engagement; a run in progress may still read the last ones


def filled_cache(engagement: Engagement) -> tuple[Path, dict[str, str], str]:
    """The folder of the books, filled if they are not there and whole; SHA-256 of each file of the source, and of all.

    Errors as `stored.open_books`.
    """
    if (engagement.folder / engagement.settings.source / "books.json").is_file():
        return _brought(engagement.folder / engagement.settings.source)
    import duckdb

    _sweep(_home())
    sources = _source_hashes(engagement)
    place = _place_of(engagement, sources)
    if not _is_whole(place):
        try:
            place, sources = _fill(engagement, sources)
        except OSError as error:
            reason = f"{error.filename or _home()}: {error.strerror or error}"
            raise CrmError(f"the books cannot be kept: {reason}; make room, or set CRM_CACHE to a folder") from None
        except duckdb.OutOfRangeException as error:
            reason = f"an amount of the books has more than 38 digits ({str(error).splitlines()[0][:120]})"
            raise SettingsError(f"{reason}; look for a quantity, rate, cost or capacity that is none") from None
    return place, sources, content_hash(sources)


def _brought(folder: Path) -> tuple[Path, dict[str, str], str]:
    """Books that an engagement brings instead of a ledger, as `crm run --edition` writes them."""
    if not _is_whole(folder):
        raise SettingsError(f"the books in {folder.name} are not whole; have the edition made again")
    sources = {f.relative_to(folder).as_posix(): sha256(f) for f in sorted(folder.rglob("*")) if f.is_file()}
    return folder, {"books": content_hash(sources)}, content_hash(sources)


def _home() -> Path:
    return Path(os.environ.get("CRM_CACHE") or PROJECT / "reports" / ".cache").resolve()


def _place_of(engagement: Engagement, sources: Mapping[str, str]) -> Path:
    """Where books of these sources, settings and versions are kept."""
    key = content_hash({
        "data": content_hash(sources), "names": sorted(_stamps(engagement)), "settings": engagement.settings.model_dump_json(), "segments": engagement.segments,
        "statement": engagement.statement, "code": _code_hashes(), "versions": versions(),
    })  # fmt: skip
    return _home() / f"{engagement.name}-{key[:16]}"


def _source_hashes(engagement: Engagement, state: str = "") -> dict[str, str]:
    """SHA-256 of every file that the ledger may be read from, by name; and of a database's state, this or the present one.

    Within a run of many processes CRM_DATABASE names the hash of the one state from which all of them report.
    """
    hashes = {name: sha256(file) for name, file in source_files(engagement).items()}
    if url := database_url(engagement):
        from crmlib.books.postgres import database_state

        of_this_run = "" if state else os.environ.get("CRM_DATABASE", "")
        hashes["database"] = of_this_run or content_hash(state or database_state(engagement, url))
    return hashes


def _stamps(engagement: Engagement) -> dict[str, tuple[int, int]]:
    """When each file of the source was last written, and its place on the disk: of one that is changed and changed back they differ.

    Files beside them are told by name, since what is not read is told.
    """
    stats = {name: file.stat() for name, file in source_files(engagement).items()}
    beside = [] if database_url(engagement) else all_files(source_path(engagement))
    return {**dict.fromkeys(beside, (0, 0)), **{name: (stat.st_mtime_ns, stat.st_ino) for name, stat in stats.items()}}


@functools.cache
def _code_hashes() -> dict[str, str]:
    """SHA-256 of all that reads and rolls up the books, by file, as this process has loaded it."""
    files = [file for floor in FLOORS for file in sorted(floor.iterdir()) if file.suffix in {".py", ".yml", ".sql"}]
    return {f"{file.parent.name}/{file.name}": sha256(file) for file in files}


def _is_whole(cache: Path) -> bool:
    """Whether a folder holds every file that was written into it, at its size, and none besides."""
    try:
        files = json.loads((cache / "books.json").read_text(encoding="utf-8"))["files"]
        return bool(files == file_sizes(cache))
    except (OSError, ValueError, KeyError, TypeError):  # not there, cut off, or by another version
        return False


def file_sizes(folder: Path) -> dict[str, int]:
    """The files of books, but for their own record, with their sizes."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != "books.json")
    return {str(file.relative_to(folder)): file.stat().st_size for file in files}


def _fill(engagement: Engagement, sources: dict[str, str]) -> tuple[Path, dict[str, str]]:
    """Compute the books in a private folder and rename it into place; older books of the engagement are removed.

    Returns their place, and the hashes of what was read: a database may have moved on since they were asked for.

    Raises
    ------
    SettingsError
        A file changed while it was read.
    """
    with _private_folder(_home()) as work:
        before = _stamps(engagement)
        read = _source_hashes(engagement, _compute(engagement, work))
        changed = sorted(dict((sources.items() ^ read.items()) | (before.items() ^ _stamps(engagement).items())))
        if changed and (changed != ["database"] or "CRM_DATABASE" in os.environ):
            raise SettingsError(f"{', '.join(changed)} changed while being read; run again when it is written")
        shutil.rmtree(work / "ledger")
        record = json.loads((work / "books.json").read_text(encoding="utf-8"))
        (work / "books.json").write_text(json.dumps({**record, "files": file_sizes(work)}, indent=1), encoding="utf-8")
        cache = _place_of(engagement, read)
        _place(work, cache)
    books = sorted(cache.parent.glob(f"{engagement.name}-{'?' * 16}"), key=lambda folder: folder.stat().st_mtime)
    for old in books[:-KEPT_BOOKS]:
        shutil.rmtree(old, ignore_errors=True)
    return cache, read


def _place(work: Path, cache: Path) -> None:
    """Rename finished books into place, unless another run was first; what stands there and is not whole goes."""
    if _is_whole(cache):
        return
    if cache.is_dir():
        shutil.rmtree(cache)
    cache.unlink(missing_ok=True)
    try:
        work.rename(cache)
    except OSError:
        if not _is_whole(cache):
            raise


def _sweep(home: Path) -> None:
    """Remove what killed runs left: it is the client's."""
    if left := list(home.glob(".filling-*")):
        with held(home):
            for folder in left:
                with contextlib.suppress(OSError), held(folder, at_once=True):
                    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _private_folder(home: Path) -> Iterator[Path]:
    """A folder of this run alone, gone afterwards."""
    home.mkdir(parents=True, exist_ok=True)
    with held(home):
        work = Path(tempfile.mkdtemp(prefix=".filling-", dir=home))
        holding = contextlib.ExitStack()
        holding.enter_context(held(work))
    try:
        with holding:
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def held(folder: Path, *, at_once: bool = False) -> Iterator[None]:
    """A folder held for as long as this process lives; OSError where another holds it and it is asked for at once."""
    if sys.platform == "win32":  # folders cannot be held there, nor removed while in use
        yield
        return
    import fcntl

    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | (fcntl.LOCK_NB if at_once else 0))
        yield
    finally:
        os.close(place)


def _compute(engagement: Engagement, work: Path) -> str:
    """Write the books into a folder; the state of the database that they come from, if they do."""
    from crmlib.books import reader

    books = reader.read_ledger(engagement, work / "ledger")
    with contextlib.closing(books.con):
        _write_books(books, work)
    if engagement.settings.engine != "postgres":
        return books.state
    from crmlib.books.postgres import state_after

    return state_after(engagement, books.state)


def _write_books(books: Ledger, work: Path) -> None:
    from crmlib.books import availability, checks, rollups, tie_out

    engagement = books.engagement
    findings = checks.check_ledger(books)
    refuse_rejected(findings)
    rules = availability.with_sources(engagement.statement, books)
    rollups.write_cube(books, rules, work)
    rollups.write_sales(books, work / "sales")
    rollups.write_orders(books, work / "orders.parquet")
    for name, file in KEPT_TABLES.items():
        if books.has(name):
            own = ", ".join(identifier(c) for c in books.tables[name].columns if c not in PLACE)
            kept = f"SELECT {own} FROM books.{name} WHERE _covered"
            books.con.execute(f"COPY ({kept}) TO {quoted(work / f'{file}.parquet')} (FORMAT parquet)")
    amounts = tie_out.intake_amounts(books)
    tied = tie_out.tie_out(books, rules, amounts, work)
    refuse_rejected(tie_out.with_untied(tied, findings))
    frames = {"findings": findings, "intake": amounts, "tie_out": tied, "unknown_keys": tie_out.unknown_keys(books)}
    for name, frame in frames.items():
        frame.to_parquet(work / f"{name}.parquet")
    spans = {k: [str(a), str(b)] for k, (a, b) in availability.line_spans(books, rules).items()}
    columns = {name: [c for c in expr.columns if not c.startswith("_")] for name, expr in books.tables.items()}
    record = {"lines": [asdict(line) for line in rules.lines], "columns": columns, "spans": spans}
    (work / "books.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
