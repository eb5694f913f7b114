"""What is seen of a run while it goes on: the library's log, progress of each stage, its name and tags.

All of that is told to Prefect's server, and none of it is worth a training: where the server cannot be
reached a warning says so, and the work goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.runtime import deployment, flow_run

from flows.artifacts import key_of

log = logging.getLogger(__name__)

SECONDS = 1.0  # between two updates of a progress artifact: each costs the server 10 ms


@contextmanager
def unless_unreachable(what: str) -> Iterator[None]:
    """Go on without the server, with a warning."""
    try:
        yield
    except (httpx.HTTPError, PrefectException, OSError, RuntimeError) as error:  # the last: a closed client
        log.warning("%s is not shown, for the Prefect server cannot be reached: %s", what, error)


class _Relay(logging.Handler):
    """Hands what the library logs to the logger of a flow run or task run."""

    def __init__(self, target: Any, thread: int | None = None) -> None:  # noqa: ANN401 - a LoggerAdapter
        super().__init__(logging.INFO)
        self.target, self.thread = target, thread

    def emit(self, record: logging.LogRecord) -> None:
        if self.thread in (None, record.thread):
            self.target.log(record.levelno, "%s", record.getMessage())


_listeners: list[_Relay] = []  # of the library's log, in this process
_before = (logging.NOTSET, True)  # its level, and whether others hear it, while there are none
_lock = threading.Lock()


@contextmanager
def heard() -> Iterator[None]:
    """The library's log is that of the present run, whichever thread of this process it comes from."""
    with _listening(_Relay(get_run_logger())):
        yield


@contextmanager
def heard_from_part() -> Iterator[None]:
    """As `heard`, for a mapped part: where its stage runs in this process, that hears it already."""
    relay = _Relay(get_run_logger(), threading.get_ident())  # a Dask worker runs several parts at once
    with _lock:
        is_heard = any(other.thread is None for other in _listeners)
    if is_heard:
        yield
        return
    with _listening(relay):
        yield


@contextmanager
def _listening(relay: _Relay) -> Iterator[None]:
    """The first relay takes the log from others: once is enough on the console; the last gives it back."""
    global _before
    library = logging.getLogger("binclf")
    with _lock:
        if not _listeners:
            _before = (library.level, library.propagate)
            library.setLevel(logging.INFO)
            library.propagate = False
        _listeners.append(relay)
        library.addHandler(relay)
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(relay)
            library.removeHandler(relay)
            if not _listeners:
                library.setLevel(_before[0])
                library.propagate = _before[1]


class Stage:
    """A progress artifact that is brought up to date once a second at most, by a thread of its own.

    So nobody who has something to say waits for the server: a rank whose words were not read would stand
    still.
    """

    def __init__(self, name: str, stage: str) -> None:
        self.stage, self.begun = stage, f"{stage}: begun"
        self.latest = (0.0, self.begun)
        self.key = key_of(name, stage)
        self.id: UUID | None = None
        self.news, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=copy_context().run, args=(self._follow,), daemon=True)

    def __enter__(self) -> Stage:
        with unless_unreachable(f"the progress of {self.stage}"):
            made: Any = create_progress_artifact(0.0, key=self.key, description=self.latest[1])
            self.id = made
        self.thread.start()
        return self

    def tell(self, share: float, words: str) -> None:
        """How much is done, 0 to 1, and in words: rows, loss."""
        self.latest = (share, f"{self.stage}: {words}")
        self.news.set()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        share, words = self.latest
        ended = f"{self.stage}: done" if words == self.begun else words
        self.latest = (1.0, ended) if kind is None else (share, f"{words} (stopped: {kind.__name__})")
        self.over.set()
        self.news.set()
        self.thread.join(timeout=10)  # without a server it may take minutes

    def _follow(self) -> None:
        while self.id is not None:
            self.news.wait()
            self.news.clear()
            is_last, (share, words) = self.over.is_set(), self.latest
            with unless_unreachable(f"the progress of {self.stage}"):
                update_progress_artifact(self.id, round(100 * share, 1), description=words)
            if is_last:
                return
            self.over.wait(SECONDS)


def trigger() -> str:
    """What set the present flow run off, in a word or two."""
    if flow_run.parent_flow_run_id:
        return "by a flow"
    if "auto-scheduled" in (flow_run.tags or []):
        return f"{deployment.name}, on schedule"
    if deployment.name == "by-hand":
        return "by hand"
    return f"{deployment.name}, by hand" if deployment.name else "from a shell"


def label(*tags: str, subject: str = "") -> None:
    """Give the present flow run tags beside those that it has, and a name that says what it is about."""
    with unless_unreachable("the name of the run"), get_client(sync_client=True) as client:
        known = client.read_flow_run(UUID(str(flow_run.id)))
        name = f"{subject} ({trigger()})" if subject else None
        client.update_flow_run(known.id, name=name, tags={*known.tags, *tags})
