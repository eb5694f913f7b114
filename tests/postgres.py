"""A PostgreSQL server of the tests' own, behind a socket in a folder; skipped where PostgreSQL is not."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

TYPES = {
    "bool": "boolean", "int64": "bigint", "double": "double precision", "float": "real", "string": "text",
    "date32[day]": "date", "timestamp[us]": "timestamp", "duration[us]": "interval", "time32[ms]": "time",
    "int32": "integer", "null": "text",
}  # fmt: skip


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    bin: Path
    folder: Path

    def sql(self, text: str, content: str = "") -> str:
        """Run statements in a session with a time zone of its own; `content` is what COPY reads."""
        where = ["-h", str(self.folder), "-U", "tester", "-d", "postgres"]
        command = [str(self.bin / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "--csv", "-t", *where]
        command += ["-c", "SET TIME ZONE 'Asia/Tokyo'", "-c", text]
        environment = {**os.environ, "PGCLIENTENCODING": "UTF8"}
        done = subprocess.run(
            command, input=content, capture_output=True, text=True, timeout=60, env=environment
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def scores(self, statement: str, table: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities and decisions of a table's rows by a statement that reads table `name`."""
        columns = [f"{_quoted(field.name)} {_type(field.type)}" for field in table.schema]
        self.sql(f'DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({", ".join(columns)}, "row" bigint)')
        lines = [
            ",".join([*map(_cell, values), str(row)])
            for row, values in enumerate(zip(*(column.to_pylist() for column in table.columns), strict=True))
        ]
        self.sql(f"COPY {name} FROM STDIN WITH (FORMAT csv)", "\n".join(lines) + "\n")
        found = self.sql(f'SELECT probability, decision FROM (\n{statement}\n) AS done ORDER BY "row"')
        cells = [line.split(",") for line in found.splitlines()]
        return np.array([float(p or "nan") for p, _ in cells]), np.array([d == "t" for _, d in cells])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server, ended with the tests."""
    places = [Path(shutil.which("initdb") or "/none").resolve().parent]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = next(
        (place for place in places if all((place / name).exists() for name in ("initdb", "psql"))), None
    )
    if found is None:
        pytest.skip("PostgreSQL is not installed here")
    folder = Path(tempfile.mkdtemp(prefix="binclf-pg-"))
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}
    if user:  # PostgreSQL does not run as root
        shutil.chown(folder, **user)
    quiet: dict[str, Any] = {"capture_output": True, "check": True, "cwd": folder, **user, "timeout": 60}
    data = folder / "data"
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    try:
        subprocess.run([found / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8",
                        "--no-locale", "--no-sync"], **quiet)  # fmt: skip
        subprocess.run(
            [found / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"], **quiet
        )
        yield Postgres(found, folder)
    finally:
        if (data / "postmaster.pid").exists():
            subprocess.run([found / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(folder, ignore_errors=True)


def _type(kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return "numeric"
    return "timestamptz" if str(kind).startswith("timestamp[us, tz") else TYPES[str(kind)]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _cell(value: Any) -> str:
    if value is None:
        return ""  # NULL; an empty text is quoted
    if isinstance(value, datetime.timedelta):
        return f"{value // datetime.timedelta(microseconds=1)} microseconds"
    return _quoted(str(value))
