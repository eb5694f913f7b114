"""`binclf ...`, `python -m binclf ...` and `torchrun -m binclf ...`: one door."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn

from binclf.cli import main


def command() -> NoReturn:
    """`main` as a process of its own: gone at once, and with its own code.

    Python's own way out takes threads of C++ libraries down while they may want its lock: now and then a
    finished rank ended by SIGABRT ("terminate called without an active exception").
    """
    code = 0
    try:
        main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    atexit._run_exitfuncs()  # ends DataLoader processes, flushes logs
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
