"""R child processes that live and die together."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

from binclf.errors import KINDS, BinclfError, RankError
from binclf.launch.rank import ERROR_FILE, was_left
from binclf.storage import scratch

log = logging.getLogger(__name__)

LAST_LINES = 50  # that are kept of rank 0
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
# ranks speak to neither: passwords and tokens stay here. PREFECT__FLOW_RUN_ID goes on: whose ranks they are
NOT_FOR_RANKS = re.compile("PREFECT_(?!_)|MLFLOW_")


def launch(
    verb: str,
    arguments: Sequence[str],
    ranks: int,
    *,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run `binclf VERB ARGUMENTS` on R ranks of this machine and wait for them.

    Args:
        verb: a command of `binclf` that knows how to be a rank.
        arguments: what follows it.
        ranks: R.
        on_line: is called with each line that rank 0 writes to stderr; None: they go to stderr.

    Raises:
        BinclfError: a rank failed; the kind and the words are those of the guilty rank.
    """
    with scratch() as folder:
        group = _Group(verb, arguments, ranks, folder)
        with _stopping(group):
            try:
                group.start(on_line or _to_stderr)
                group.wait()
            finally:
                group.end()


class _Group:
    """R child processes that live and die together."""

    def __init__(self, verb: str, arguments: Sequence[str], ranks: int, folder: Path) -> None:
        self.command = [sys.executable, "-m", "binclf", verb, *arguments]
        self.ranks, self.folder = ranks, folder
        self.children: list[subprocess.Popen[str]] = []
        self.relay: threading.Thread | None = None
        self.last: deque[str] = deque(maxlen=LAST_LINES)  # of rank 0; in memory, for the disk may be full

    def start(self, on_line: Callable[[str], None]) -> None:
        for rank in range(self.ranks):
            words = subprocess.PIPE if rank == 0 else self._words(rank).open("w")
            self.children.append(
                subprocess.Popen(
                    self.command,
                    env=self._environment(rank),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=words,
                    text=True,
                    start_new_session=True,
                )
            )
            if not isinstance(words, int):
                words.close()
        first = self.children[0].stderr
        self.relay = threading.Thread(target=self._pass_on, args=(first, on_line), daemon=True)
        self.relay.start()

    def wait(self) -> None:
        """Until all ranks ended well; the first that does not ends them all.

        Raises:
            BinclfError: in the guilty rank's words.
        """
        while True:
            codes = [child.poll() for child in self.children]
            if any(code not in (None, 0) for code in codes):
                time.sleep(0.2)  # for those that fail of themselves, to tell them from those we end
                before = [child.poll() for child in self.children]
                self.end()
                raise self._error(before)
            if all(code == 0 for code in codes):
                if self.relay is not None:
                    self.relay.join()
                return
            time.sleep(0.05)

    def end(self) -> None:
        """End what still runs, with its own children: politely, then not."""
        deadline = time.monotonic() + GRACE_SECONDS
        for sign in (signal.SIGTERM, signal.SIGKILL):
            running = [child for child in self.children if child.poll() is None]
            for child in running:
                _signal_group(child, sign)
            while any(child.poll() is None for child in running) and time.monotonic() < deadline:
                time.sleep(0.02)
            deadline = time.monotonic() + GRACE_SECONDS
        for child in self.children:
            child.wait()
            _signal_group(child, signal.SIGKILL)  # what a killed rank had started itself
        if self.relay is not None:
            self.relay.join(timeout=GRACE_SECONDS)

    def _environment(self, rank: int) -> dict[str, str]:
        passed = {name: value for name, value in os.environ.items() if not NOT_FOR_RANKS.match(name)}
        return {
            **passed,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self.ranks),
            "LOCAL_WORLD_SIZE": str(self.ranks),
            "BINCLF_RENDEZVOUS": str(self.folder / "rendezvous"),
            "BINCLF_LAUNCHER": str(os.getpid()),
            ERROR_FILE: str(self.folder / f"rank-{rank}.json"),
            "PYTHONUNBUFFERED": "1",
        }

    def _words(self, rank: int) -> Path:
        return self.folder / f"rank-{rank}.txt"

    def _pass_on(self, stream: IO[str], on_line: Callable[[str], None]) -> None:
        """Read to the end whatever becomes of the listener: a rank would block on a full pipe."""
        with stream:
            for line in stream:
                self.last.append(line)
                with suppress(Exception):  # such as a stderr that was closed
                    on_line(line.rstrip("\n"))

    def _error(self, codes: Sequence[int | None]) -> BinclfError:
        """The error of the rank that failed first of itself, as the launcher raises it."""
        records = {rank: self._record(rank) for rank in range(self.ranks)}
        failed = [rank for rank, code in enumerate(codes) if code not in (None, 0)]
        guilty = min(failed, key=lambda rank: _guilt(rank, codes[rank], records[rank]))
        where = f"rank {guilty} of {self.ranks}"
        record, code = records[guilty], codes[guilty]
        if record is not None:
            kind = KINDS.get(record["kind"], RankError)
            words = record["message" if record["kind"] in KINDS else "trace"]
            own = record["where"] | {"rank": guilty}
            return kind(f"{where}: {words}" if self.ranks > 1 else words).at(**own)
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if code == -signal.SIGKILL else ""
            return RankError(f"{where} was killed by {name}{hint}.").at(rank=guilty)
        words = self._words(guilty).read_text(errors="replace") if guilty else "".join(self.last)
        kind = next((kind for kind in KINDS.values() if kind.exit_code == code), RankError)
        return kind(f"{where} ended with code {code}; its last words:\n{words[-2000:]}").at(rank=guilty)

    def _record(self, rank: int) -> Mapping[str, Any] | None:
        path = self.folder / f"rank-{rank}.json"
        try:
            record: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):  # there is none, or the disk was full
            return None
        return record


def _guilt(rank: int, code: int | None, record: Mapping[str, Any] | None) -> tuple[int, float, int]:
    """Sorts the guilty rank first: killed, then its own error, by time; last those left by a peer."""
    if record is None:
        was_killed = code is not None and code < 0 and code != -signal.SIGABRT  # gloo aborts when left
        return (0 if was_killed else 2, 0.0, rank)
    return (3 if was_left(record["message"]) else 1, float(record["time"]), rank)


@contextmanager
def _stopping(group: _Group) -> Iterator[None]:
    """SIGTERM to the launcher ends the ranks before it ends the launcher."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        group.end()
        raise SystemExit(128 + number)

    before = signal.getsignal(signal.SIGTERM)
    if before in (signal.SIG_DFL, None):  # a handler of the caller's own (Prefect's) comes first
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if before in (signal.SIG_DFL, None):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _signal_group(child: subprocess.Popen[str], sign: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, sign)


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
