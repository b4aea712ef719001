"""Ways of doing the same, each in a process of its own, in turn, and what each took."""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import re
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil

Run = dict[str, Any]
Way = tuple[Callable[[Path, Path], Any], Sequence[str]]  # from a ledger's folder into another; what it imports


def arguments(description: str, *, repeat: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--lines", type=int, default=1_000_000, help="invoice lines")
    parser.add_argument("--repeat", type=int, default=repeat, help="rounds; the median is shown")
    parser.add_argument("--folder", type=Path, help="keep the ledger here, and use it if it is there")
    return parser


def used() -> tuple[float, float]:
    """CPU seconds (user and system) of this process and of those that it has started and that still run, and the peaks of their memory in GiB."""
    alive = [psutil.Process(), *psutil.Process().children(recursive=True)]
    told = "".join(Path(f"/proc/{process.pid}/status").read_text() for process in alive)
    cpu = sum(process.cpu_times().user + process.cpu_times().system for process in alive)
    return cpu, sum(map(int, re.findall(r"VmHWM:\s+(\d+)", told))) / 1024**2


def measured(way: Way, folder: Path, out: Path) -> Run:
    """What the work takes in this process and in those that it starts, imports not counted, and what came out."""
    warnings.simplefilter("ignore")
    work, modules = way
    for name in modules:
        importlib.import_module(name)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (before, _), started = used(), time.perf_counter()
    made = work(folder, out)
    wall, (after, peak) = time.perf_counter() - started, used()
    return {"cpu": after - before, "wall": wall, "gib": peak, "made": made}


def run_in_turn(ways: Mapping[str, Way], folder: Path, out: Path, rounds: int) -> dict[str, Run]:
    """By way its run of median CPU; each writes into a folder of `out` that has its name."""
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
                runs[name].append(alone.submit(measured, way, folder, out / name).result())
    return {name: sorted(found, key=lambda run: run["cpu"])[rounds // 2] for name, found in runs.items()}
