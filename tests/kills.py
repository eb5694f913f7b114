"""SIGKILL while scoring, then the same again: `python -m tests.kills RUN SOURCE DIR TIMES SEED`.

The moments are random. Each scoring is a forked child of this process, which has imported all and started no
thread. Printed as JSON: how many were killed while they worked, with parts done, and committed; and what was
wrong. After each kill readers must see nothing, or all that was committed; after the rerun the output must
be, to the byte, that of an undisturbed scoring.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from binclf.score import score


def start(run: str, source: str, output: Path) -> int:
    """Score in a child; returns its pid."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            score(run, source, output)
            code = 0
        finally:
            os._exit(code)
    return pid


def visible(output: Path) -> dict[str, bytes]:
    """What readers of Parquet directories see, and the manifest."""
    found = {}
    for path in sorted(output.rglob("*")):
        relative = path.relative_to(output)
        if path.is_file() and (relative.name == "_manifest.json" or relative.parts[0][0] != "_"):
            found[relative.as_posix()] = path.read_bytes()
    return found


def ended(pid: int) -> int:
    """The exit code of a child that is waited for."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(run: str, source: str, folder: Path, times: int, seed: int) -> dict[str, object]:
    """Kill and rerun so many times."""
    whole, output, draw = folder / "whole", folder / "killed", random.Random(seed)
    begin = time.monotonic()
    assert ended(start(run, source, whole)) == 0
    takes, expected = time.monotonic() - begin, visible(whole)
    wrong: list[str] = []
    killed = staged = committed = 0
    for trial in range(times):
        shutil.rmtree(output, ignore_errors=True)
        pid = start(run, source, output)
        time.sleep(draw.uniform(0, takes))
        os.kill(pid, signal.SIGKILL)
        code = ended(pid)
        killed += code == -signal.SIGKILL
        seen = visible(output) if output.exists() else {}
        staged += code != 0 and any((output / "_receipts").rglob("*.json"))
        committed += "_manifest.json" in seen
        if any(expected[name] != content for name, content in seen.items()):
            wrong.append(f"kill {trial}: readers see other bytes")
        if "_manifest.json" in seen and seen != expected:
            wrong.append(f"kill {trial}: a manifest without all of its files")
        if ended(start(run, source, output)) != 0 or visible(output) != expected:
            wrong.append(f"kill {trial}: the rerun is not the undisturbed output")
        if (output / "_staging").exists():
            wrong.append(f"kill {trial}: something is left of the staging")
    return {"killed": killed, "with_parts": staged, "committed": committed, "wrong": wrong}


if __name__ == "__main__":
    sys.stdout.write(
        json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])))
    )
