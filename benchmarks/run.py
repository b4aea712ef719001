"""A cold `crm run`, and the same again with nothing changed, beside the same notebooks by the papermill command, one after another; outputs are compared.

    python benchmarks/run.py [--engagement data/sample] [--rounds 2]

Both sides begin with an empty cache of roll-ups. `crm run` also makes pages, workbook and data; papermill makes notebooks only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def outputs(notebook: Path) -> list[str]:
    """The text of every sentence and picture that a notebook shows, which must not depend on who ran it."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    shown = [out.get("data", {}) for cell in cells for out in cell.get("outputs", [])]
    return ["".join(data.get("text/plain", "")) for data in shown if "text/html" in data or "image/svg+xml" in data]


def timed(commands: list[list[str]], cache: Path) -> tuple[float, float]:
    """Seconds by the clock and of CPU that the commands take one after another, with their cache in the folder."""
    begun, spent = time.perf_counter(), cpu_seconds()
    for command in commands:
        subprocess.run(
            command, check=True, capture_output=True, cwd=PROJECT, env={**os.environ, "CRM_CACHE": str(cache)}
        )
    return time.perf_counter() - begun, cpu_seconds() - spent


def cpu_seconds() -> float:
    """What ended children have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Time both sides in turn and print the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engagement", default="data/sample")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    folder = Path(sys.executable).parent
    for number in range(1, given.rounds + 1):
        with tempfile.TemporaryDirectory() as made:
            work = Path(made)
            run = [[str(folder / "crm"), "run", given.engagement, "--out", made]]
            load = os.getloadavg()[0]
            cold, again = (timed(run, work / "cache-crm") for _ in range(2))
            one_by_one = [
                [str(folder / "papermill"), str(n), str(work / n.name), "-p", "engagement", given.engagement]
                for n in NOTEBOOKS
            ]
            theirs = timed(one_by_one, work / "cache-papermill")
            pages = {p.name: p for p in work.glob("*/*/*.ipynb")}
            same = all(outputs(work / n.name) == outputs(pages[n.name]) for n in NOTEBOOKS)
        print(f"round {number}, {len(NOTEBOOKS)} notebooks, load {load:.0f}; same outputs: {same}")
        for name, (seconds, cpu) in {"papermill": theirs, "crm run, cold": cold, "crm run, unchanged": again}.items():
            ratios = f"{seconds / theirs[0]:.2f} by the clock, {cpu / theirs[1]:.2f} of CPU"
            print(f"{name}: {seconds:.1f} s, CPU {cpu:.1f} s; {ratios}")


if __name__ == "__main__":
    main()
