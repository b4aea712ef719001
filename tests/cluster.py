"""A PostgreSQL server for the tests: a cluster of its own in a temporary folder, on a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

CANARY = "cAn4ry%2FbIrd"  # the password as a URL writes it
PASSWORD = "cAn4ry/bIrd"


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, which Debian does not put on the path."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@contextlib.contextmanager
def cluster(bin_folder: Path) -> Iterator[str]:
    """A running server; gives the URL of its owner, whose password is the canary."""
    with tempfile.TemporaryDirectory(prefix="crm-postgres-", ignore_cleanup_errors=True) as made:
        folder, port = Path(made), free_port()
        (folder / "password").write_text(PASSWORD)
        as_owner: list[str] = []
        if os.geteuid() == 0:  # root may not run a server
            as_owner = ["runuser", "-u", "postgres", "--"]
            for place in (folder, folder / "password"):
                os.chown(place, pwd.getpwnam("postgres").pw_uid, -1)

        def run(program: str, *arguments: str) -> None:
            command = [*as_owner, str(bin_folder / program), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

        run(
            "initdb",
            "-U",
            "owner",
            "-A",
            "scram-sha-256",
            "--pwfile",
            str(folder / "password"),
            "-E",
            "UTF8",
            "--no-sync",
        )
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c autovacuum=off"
        run("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", options)
        try:
            yield f"postgresql://owner:{CANARY}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "stop", "-m", "immediate")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
