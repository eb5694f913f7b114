"""What a rank does for its launcher: write its error down, and die with it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from binclf.errors import BinclfError, Where

ERROR_FILE = "BINCLF_ERROR_FILE"  # where a rank writes its error

# words of a rank that was only left by another: it is never the guilty one
BYSTANDER = ("connection closed by peer", "connection reset by peer", "broken pipe", "timed out")
BYSTANDER_SECONDS = 2.0  # they are kept back: who fails first, by whole seconds, torchrun takes for guilty


def write_error(error: BaseException, trace: str) -> bool:
    """Called by a rank: write its error where its launcher (or torchrun's agent) looks for it.

    Returns:
        Whether a launcher of ours will tell it: not where the disk takes no word more.
    """
    message = str(error) or type(error).__name__
    if was_left(message):
        time.sleep(BYSTANDER_SECONDS)
    ours, elastic = os.environ.get(ERROR_FILE), os.environ.get("TORCHELASTIC_ERROR_FILE")
    if ours:
        record = {
            "kind": type(error).__name__,
            "message": message,
            "trace": trace,
            "time": time.time(),
            "where": asdict(getattr(error, "where", Where())),
        }
        try:
            Path(ours).write_text(json.dumps(record))
        except OSError:
            return False
    elif elastic:
        told = error.as_json() if isinstance(error, BinclfError) else {"exit_code": 70}
        extra = {"py_callstack": trace, "timestamp": str(int(time.time())), **told}
        Path(elastic).write_text(json.dumps({"message": {"message": message, "extraInfo": extra}}))
    return bool(ours)


def one_heap() -> None:
    """Have glibc keep one heap for all threads, which must be asked before there are any (else a no-op).

    A heap for each thread keeps holes of its own: a rank of bounded memory took a third more.
    """
    if sys.platform == "linux":
        import ctypes

        libc, arena_max = ctypes.CDLL(None), -8  # M_ARENA_MAX of malloc.h
        if hasattr(libc, "mallopt"):
            libc.mallopt(arena_max, 1)


def keep_memory() -> None:
    """Have glibc give out again what was freed, instead of going back to the system for each large array.

    Fresh pages must be cleared: where columns come and go by the row group, that took half of the time.
    """
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            for parameter, value in ((-3, 2**25), (-1, 2**28)):  # M_MMAP_THRESHOLD, at most; M_TRIM_THRESHOLD
                libc.mallopt(parameter, value)


def die_with_launcher() -> None:
    """Called by a rank: be killed when the launcher (or torchrun's agent) dies, however it dies (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    launcher = os.environ.get("BINCLF_LAUNCHER")  # torchrun's agent does not tell its pid
    if launcher is not None and os.getppid() != int(launcher):  # it died before we asked
        os._exit(1)


def was_left(words: str) -> bool:
    """Whether an error's words say no more than that another rank has gone."""
    return any(own in words.lower() for own in BYSTANDER)
