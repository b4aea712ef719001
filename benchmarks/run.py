"""A cold `crm run` beside the same notebooks by the papermill command, one after another; outputs are compared.

    python benchmarks/run.py [--engagement data/sample] [--rounds 2]

Both sides begin with an empty cache of roll-ups. `crm run` also makes pages, workbook and data; papermill makes notebooks only.
"""

from __future__ import annotations

import argparse
import json
import os
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


def timed(commands: list[list[str]], cache: Path) -> float:
    """Seconds that the commands take one after another, with an empty cache in the folder."""
    begun = time.perf_counter()
    for command in commands:
        subprocess.run(
            command, check=True, capture_output=True, cwd=PROJECT, env={**os.environ, "CRM_CACHE": str(cache)}
        )
    return time.perf_counter() - begun


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
            ours = timed([[str(folder / "crm"), "run", given.engagement, "--out", made]], work / "cache-crm")
            one_by_one = [
                [str(folder / "papermill"), str(n), str(work / n.name), "-p", "engagement", given.engagement]
                for n in NOTEBOOKS
            ]
            theirs = timed(one_by_one, work / "cache-papermill")
            pages = {p.name: p for p in work.glob("*/*/*.ipynb")}
            same = all(outputs(work / n.name) == outputs(pages[n.name]) for n in NOTEBOOKS)
        print(
            f"round {number}: crm run {ours:.1f} s, papermill {theirs:.1f} s, ratio {ours / theirs:.2f}, same outputs: {same}"
        )


if __name__ == "__main__":
    main()
