"""An edition of an engagement for other eyes: its books and judgement with other names, and the key that tells whose they are."""

from __future__ import annotations

import csv
import random
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from crmlib.declared.editions import OTHER, Disguise, Edition, staff, write_declared
from crmlib.declared.engagement import open_engagement
from crmlib.declared.reading import CrmError, content_hash
from crmlib.declared.teams import FUNCTIONS
from crmlib.run.messages import near
from crmlib.run.plan import file_hashes
from crmlib.run.report import REPORTS, Request
from crmlib.run.safety import locked, put_into_place, recover, scratch

if TYPE_CHECKING:
    from crmlib.books.stored import Books

HEAD = ("kind", "shown", "name")
NAMES_THEMSELVES = {"customer_id", "customer_name", "parent_id", "account_manager"}
AUTHORS = frozenset({"author", "study"})  # tags of cells that nobody else is to have
RANDOM = random.SystemRandom()
STEPS = 10_000  # of the factor
MOST_TOLD = 20  # groups that are joined


@dataclass(frozen=True)
class Prepared:
    """An edition ready to be run: the folder of its engagement, what is asked for with it, and what is to be said of it."""

    folder: Path
    request: Request
    told: list[str]


@contextmanager
def prepared(engagement: str | Path, edition: Edition, least: int, request: Request) -> Iterator[Prepared]:
    """Write an engagement anew under other names and hold it while it is run; its reports stand in a folder of the edition's name.

    Parameters
    ----------
    least
        Customers that a group has at least; smaller ones are joined.

    Raises
    ------
    CrmError
        Another run is at it; else errors as `run_report`.
    """
    from crmlib.books.editions import write_books
    from crmlib.books.stored import open_books

    opened = open_engagement(engagement)
    home = (request.out or REPORTS).resolve() / opened.name
    folder = home / ".editions" / edition
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(scratch(folder, "lock")):
        recover(folder)
        books, key = open_books(opened), opened.folder / "keys" / "client.csv" if edition == "client" else None
        disguise, joined = _disguise(books, edition, least, read_key(key) if key else {})
        if key:
            write_key(key, disguise)
        new = scratch(folder, "new")
        (new / "books").mkdir(parents=True)
        write_books(books, disguise, new / "books")
        # other books have another name, as in the cache
        kept = f"books-{content_hash(file_hashes(new / 'books'))[:16]}"
        (new / "books").rename(new / kept)
        write_declared(opened, disguise, new, kept)
        put_into_place(folder)
        yield Prepared(folder, replace(request, out=home, without=AUTHORS), _told(key, joined, least))


def _told(key: Path | None, joined: list[str], least: int) -> list[str]:
    apart = "it tells who is who, so keep it apart from the report"
    kept = f"key: {near(key)}; {apart}" if key else "no key: nobody can tell who is who"
    names = ", ".join([*joined[:MOST_TOLD], *(["…"] if len(joined) > MOST_TOLD else [])])
    return [kept, f"joined as {OTHER}, having fewer than {least} customers: {names}"] if joined else [kept]


def _disguise(
    books: Books, edition: Edition, least: int, known: Mapping[str, Mapping[str, str]]
) -> tuple[Disguise, list[str]]:
    from crmlib.books.editions import names_in

    people = {*names_in(books, "staff"), *staff(books.engagement), *(line.owner for line in books.statement.lines)}
    desks = {name for name in people if name.casefold() in FUNCTIONS}
    names = {
        "customer_id": numbered(names_in(books, "customer_id"), "K", known.get("customer_id", {})),
        "staff": numbered(people - desks - {""}, "Staff ", known.get("staff", {})) | {name: name for name in desks},
    }
    of = books.customers.set_index("customer_name")["customer_id"].astype(str)
    called = {str(name): names["customer_id"][of_it].replace("K", "Customer ") for name, of_it in of.items()}
    names["customer_name"] = {**known.get("customer_name", {}), **called}
    groups, joined = _groups(books, edition, least)
    if edition == "client":
        return Disguise(edition, {**names, **groups}), joined
    for column, title in (("product_id", "P"), ("product_name", "Product "), ("product_family", "Family ")):
        names[column] = numbered(names_in(books, column), title, {})
    client = {books.engagement.settings.client: "The company"}
    return Disguise(edition, {**names, **groups}, secret_factor(), "The company", client), joined


def _groups(books: Books, edition: Edition, least: int) -> tuple[dict[str, dict[str, str]], list[str]]:
    """What stands for each group of customers, by the column that tells it; and the small ones, which are joined."""
    from crmlib.books.editions import names_in

    groups, joined = dict[str, dict[str, str]](), list[str]()
    texts = [str(c) for c in books.customers if all(isinstance(value, str) for value in books.customers[c])]
    for column in (c for c in texts if c not in NAMES_THEMSELVES):
        counts = {**dict.fromkeys(names_in(books, column), 0), **Counter[str](books.customers[column])}
        if column == "segment":  # costs may be owned by one that the rules make, which is no group of the company's
            counts = {name: count for name, count in counts.items() if count or name not in books.engagement.segments}
        small = small_groups(counts, least)
        kept, title = sorted(counts.keys() - small - {""}), f"{column.capitalize().replace('_', ' ')} "
        shown = numbered(kept, title, {}) if edition == "anonymous" else {name: name for name in kept}
        groups[column] = shown | dict.fromkeys(small, OTHER)
        joined += [f"{column} {name or '(blank)'}" for name in sorted(small)]
    return groups, joined


def small_groups(counts: Mapping[str, int], least: int) -> set[str]:
    """Groups to be joined: those below the least size, and the next larger until together they have it."""
    ordered = sorted(counts, key=lambda name: (counts[name], name))
    small = [name for name in ordered if counts[name] < least]
    while small and sum(counts[name] for name in small) < least and len(small) < len(ordered):
        small.append(ordered[len(small)])
    return {*small}


def numbered(names: Iterable[str], title: str, known: Mapping[str, str]) -> dict[str, str]:
    """A number for each name, drawn by lot, that is no other name; those known keep theirs."""
    new = sorted({*names} - known.keys())
    RANDOM.shuffle(new)
    width = len(str(len(new) + len(known)))
    taken, numbers = {*known.values(), *names}, iter(range(1, 10**12))
    shown = dict(known)
    for name in new:
        shown[name] = next(text for n in numbers if (text := f"{title}{n:0{width}}") not in taken)
    return shown


def secret_factor() -> Decimal:
    """Between a third and three, and not near one; drawn for one run and kept nowhere."""
    while True:
        factor = Decimal(secrets.randbelow(3 * STEPS - STEPS // 3) + STEPS // 3) / STEPS
        if abs(factor - 1) > Decimal("0.15"):
            return factor


def read_key(file: Path) -> dict[str, dict[str, str]]:
    """Names by kind, and what stands for each; none where there is no key yet."""
    if not file.is_file():
        return {}
    key: dict[str, dict[str, str]] = {}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            if None in row.values() or set(row) != {*HEAD}:
                raise CrmError(
                    f"{file.name} is no key of an edition; put it back as it was written, or delete it for new names"
                )
            key.setdefault(row["kind"], {})[row["name"]] = row["shown"]
    return key


def write_key(file: Path, disguise: Disguise) -> None:
    """Write the key, for its owner's eyes only."""
    file.parent.mkdir(mode=0o700, exist_ok=True)
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    with new.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEAD)
        for kind in ("customer_id", "customer_name", "staff"):
            writer.writerows((kind, shown, name) for name, shown in sorted(disguise.names[kind].items()))
    new.replace(file)
