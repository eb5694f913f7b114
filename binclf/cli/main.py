"""The command line: arguments and TOML to a verb, and its outcome to an exit code.

Progress, logs and errors go to stderr; with --json one JSON object goes to stdout and nothing else does: the
outcome, or {"error": ...} in the shape of `BinclfError.as_json`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import traceback
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NoReturn

from binclf import commit, launch, world
from binclf.cli.options import Usage, parse
from binclf.cli.verbs import Result
from binclf.errors import BinclfError

OUR_FAULT = 70
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, direction, halves of characters, other line breaks


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    try:
        options = parse(arguments)
    except Usage as error:
        sys.stderr.write(f"{error.usage}binclf: error: {error}\n")
        if "--json" in (sys.argv[1:] if arguments is None else arguments):
            _show({"error": error.as_json()}, as_json=True)
        _leave(error.exit_code, is_rank=False)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Visible("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    computes = options.verb in ("rank", "train", "retrain")
    is_rank = world.is_rank() and computes
    if computes:
        launch.one_heap()
    if options.verb == "score":
        launch.one_heap()
        launch.keep_memory()
    try:
        if is_rank:
            launch.die_with_launcher()
        result = options.run(options)
    except KeyboardInterrupt as error:
        _notes(error)
        _leave(130, is_rank=is_rank)
    except Exception as error:
        _leave(_tell(error, is_rank=is_rank, as_json=options.json), is_rank=is_rank)
    code = 0
    if result is not None:
        code = result.pop("exit_code", 0)
        _show(result, as_json=options.json)
    _leave(code, is_rank=is_rank)


class _Visible(logging.Formatter):
    """Lines of the log with what cannot be seen spelled out."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, or several of a trace."""
        return _visible(super().format(record))


def _visible(text: str) -> str:
    r"""Text in which a name of the data moves no cursor and turns no line: such characters become escapes.

    >>> print(_visible("column 'a\x1b[2K\u202eb' of Ä.parquet"))
    column 'a\x1b[2K\u202eb' of Ä.parquet
    """
    return "".join(
        char.encode("unicode_escape").decode()
        if char not in "\n\t" and unicodedata.category(char) in UNSEEN
        else char
        for char in text
    )


def _tell(error: Exception, *, is_rank: bool, as_json: bool) -> int:
    """Say what went wrong; returns the exit code."""
    trace = "".join(traceback.format_exception(error))
    error = commit.told(error)
    if is_rank and launch.write_error(error, trace):
        return getattr(error, "exit_code", OUR_FAULT)  # the launcher tells it, once, of the guilty rank
    if not isinstance(error, BinclfError):
        found = _own_fault(error, trace)
    else:
        found = error.as_json()
        sys.stderr.write(_visible(f"binclf: error: {error}\n"))
        _notes(error)
    if as_json and not is_rank:  # under torchrun many would write at once; they have an error file
        _show({"error": found}, as_json=True)
    return int(found["exit_code"])


def _own_fault(error: Exception, trace: str) -> Result:
    """Tell what is no user's to mend, and keep the trace, for logs are cut off; returns it as JSON."""
    kept = _kept(trace)
    where = f", and as {kept}" if kept else ""
    words = f"binclf: this is our own fault; please report it with the trace, which is above{where}\n"
    sys.stderr.write(_visible(f"{trace}{words}"))
    words = str(error) or type(error).__name__
    own = BinclfError(words).as_json() | {"kind": type(error).__name__, "trace": kept}
    return own | {"problems": [own["problems"][0] | {"kind": type(error).__name__}]}


def _kept(trace: str) -> str:
    """The file in which a trace is kept, which its user alone may read; empty: no disk takes it."""
    try:
        handle, name = tempfile.mkstemp(prefix="binclf-fault-", suffix=".txt")
        with os.fdopen(handle, "w", errors="backslashreplace") as file:
            file.write(trace)
    except OSError:
        return ""
    return name


def _notes(error: BaseException) -> None:
    for note in getattr(error, "__notes__", ()):
        sys.stderr.write(_visible(f"binclf: {note}\n"))


def _leave(code: int, *, is_rank: bool) -> NoReturn:
    """Exit; a rank that failed does so at once, for gloo may abort on the way out with another code."""
    sys.stdout.flush()
    sys.stderr.flush()
    if is_rank and code:
        os._exit(code)
    sys.exit(code)


def _show(result: Result, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result, allow_nan=False) + "\n")
    elif "text" in result:
        sys.stdout.write(_visible(result["text"]) + "\n")
    else:
        shown = {key: value for key, value in result.items() if key != "metrics"}  # the report has them
        told = dict(_flat(shown))
        width = max(map(len, told))
        for key, value in told.items():
            sys.stdout.write(_visible(f"{key:<{width}}  {value}\n"))


def _flat(result: Result, above: str = "") -> Iterator[tuple[str, str]]:
    """Keys, with those above them, and what people read of their values."""
    for key, value in result.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            text = json.dumps(value) if isinstance(value, list) else str(value)
            yield f"{above}{key}", text if value not in ("", [], {}, None) else "none"
