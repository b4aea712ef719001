"""What was made of the books and is asked for again: kept in memory, and in a run made once for all of its processes."""

from __future__ import annotations

import functools
import inspect
import os
import pickle
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import pandas as pd
from pydantic import BaseModel

from crmlib.declared.reading import content_hash

MOST = 3  # results of one function
FOLDER = "CRM_KEPT"  # where those of a run are; gone with it, so that no other code, library or day is in their names
Asked = ParamSpec("Asked")
Made = TypeVar("Made")


@dataclass(frozen=True)
class _Call:
    """What a function is asked, told from others by its key alone."""

    key: tuple[Hashable, ...]
    args: Any = field(compare=False)
    kwargs: Any = field(compare=False)


def kept(make: Callable[Asked, Made]) -> Callable[Asked, Made]:
    """Keep the last results of a function of books (what they hold decides, and not which object they are), periods, numbers and what is declared.

    Pages ask the same of one period many times, and notebooks that follow each other in one process too. Each caller has a frame of its own.
    """
    held = functools.lru_cache(MOST)(lambda asked: make(*asked.args, **asked.kwargs))

    @functools.wraps(make)
    def own(*args: Asked.args, **kwargs: Asked.kwargs) -> Made:
        result = held(_Call(_key(make, *args, **kwargs), args, kwargs))
        if isinstance(result, pd.DataFrame):
            return cast(Made, result.copy(deep=False))  # pandas keeps apart what is written to
        return result

    return own


def shared(make: Callable[Asked, Made]) -> Callable[Asked, Made]:
    """As `kept`, and made once for all processes of a run: for what takes longer to make than to read."""
    if hasattr(make, "__wrapped__"):
        raise TypeError(f"{make.__qualname__} is wrapped already, and would wait for itself")

    @functools.wraps(make)
    def once(*args: Asked.args, **kwargs: Asked.kwargs) -> Made:
        from crmlib.books.cache import held

        if FOLDER not in os.environ:
            return make(*args, **kwargs)
        place = Path(os.environ[FOLDER], content_hash(_key(make, *args, **kwargs)))
        place.mkdir(exist_ok=True)
        whole, part = place / "whole", place / str(os.getpid())
        with held(place):  # another process may be making it
            if whole.exists():
                return cast(Made, pickle.loads(whole.read_bytes()))  # noqa: S301 - of this very run
            result = make(*args, **kwargs)
            with suppress(OSError):  # no room: others make it again
                part.write_bytes(pickle.dumps(result))
                part.replace(whole)
        return result

    return kept(once)


@contextmanager
def sharing(folder: Path) -> Iterator[None]:
    """Within it, and in processes that begin in it, what is `shared` is made once."""
    os.environ[FOLDER] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(FOLDER, None)


def _key(make: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Hashable, ...]:
    """What a result hangs on: the function, and what it is asked, however that is written."""
    asked = inspect.signature(make).bind(*args, **kwargs)
    asked.apply_defaults()
    return (make.__module__, make.__qualname__, *map(_content, asked.arguments.values()))


def _content(part: Any) -> Hashable:
    return repr(part) if isinstance(part, BaseModel) else cast(Hashable, getattr(part, "content", part))
