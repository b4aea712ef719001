"""Ways of doing the same, each in a process of its own, in turn, and what each took."""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import resource
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

Run = dict[str, Any]
Way = tuple[Callable[[Path, Path], Any], Sequence[str]]  # from a ledger's folder into another; what it imports


def arguments(description: str, *, repeat: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000, help="invoice lines")
    parser.add_argument("--repeat", type=int, default=repeat, help="rounds; the median is shown")
    parser.add_argument("--folder", type=Path, help="keep the ledger here, and use it if it is there")
    return parser


def measured(way: Way, folder: Path, out: Path) -> Run:
    """CPU seconds (user and system) and wall seconds of the work in this process, imports not counted, its peak memory, and what came out."""
    warnings.simplefilter("ignore")
    work, modules = way
    for name in modules:
        importlib.import_module(name)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    made = work(folder, out)
    wall, used = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime - before.ru_utime + used.ru_stime - before.ru_stime
    return {"cpu": cpu, "wall": wall, "gib": used.ru_maxrss / 1024**2, "made": made}


def run_in_turn(ways: Mapping[str, Way], folder: Path, out: Path, rounds: int) -> dict[str, Run]:
    """By way its run of median CPU; each writes into a folder of `out` that has its name."""
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
                runs[name].append(alone.submit(measured, way, folder, out / name).result())
    return {name: sorted(found, key=lambda run: run["cpu"])[rounds // 2] for name, found in runs.items()}
