"""The only door to MLflow: a registry by its tracking URI, quiet, with errors that help.

Only MLflow's client is used, never its "fluent" calls: those have a state for the whole process, which
belongs to whoever imported binclf. A registry in a sqlite file is made beside and renamed, for making its
tables takes seconds in which it could be killed or met half-made.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from binclf import commit
from binclf.errors import ArtifactError, StorageError
from binclf.registry.address import SQLITE, Address, database_of
from binclf.storage import Place, local_home, without_secrets

log = logging.getLogger(__name__)

LOCK = ".registry.lock"
TURN_SECONDS = 600.0  # within which others that register are done, or dead
LOCKED_SECONDS = 60  # that a sqlite file may be written by others
COMPARISON = "comparison.json"  # of the decision: the sealed run has another if the champion changed since
TABLES = ("slices", "text")
LONGEST = 5000  # characters of a version's tag or description: what databases of every MLflow hold
MISSING = "RESOURCE_DOES_NOT_EXIST"
EXISTS = "RESOURCE_ALREADY_EXISTS"
# MLflow's own settings; whoever sets them otherwise keeps what they set
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # its own 7 take four minutes to find a server gone
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # --json is one object there
}


def settle_mlflow() -> None:
    """Have MLflow quiet, bounded and without telemetry, before it is first imported."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings of MLflow that a user of binclf can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType")
        warnings.filterwarnings("ignore", message="Operation with range is deprecated")
        # two stores took the same alias away at the same moment: either way it is gone
        warnings.filterwarnings("ignore", message="DELETE statement on table 'registered_model_aliases'")
        yield


@dataclass(frozen=True)
class Server:
    """An MLflow registry."""

    uri: str
    store: Place | None = None  # whose registrations take turns, where the registry is a server

    @cached_property
    def client(self) -> Any:  # noqa: ANN401 - mlflow.MlflowClient
        """MLflow's client; importing it takes 2 to 3 s."""
        settle_mlflow()
        with quietly():
            from mlflow import MlflowClient
        # sqlite's own 5 s are too few for a busy machine, where MLflow's pages or another store write, too
        uri = self.uri if self.database is None else f"{self.uri}?timeout={LOCKED_SECONDS}"
        return MlflowClient(uri, uri)

    @property
    def shown(self) -> str:
        """The URI without a password."""
        return without_secrets(self.uri)

    @property
    def database(self) -> Path | None:
        """The sqlite file; None for a server."""
        return database_of(self.uri)

    @contextmanager
    def asked(self) -> Iterator[Any]:
        """The client, with its errors in words that help.

        Raises:
            StorageError: the registry cannot be reached, or does not do what it is asked.
        """
        settle_mlflow()
        try:
            with quietly():
                from mlflow.exceptions import MlflowException
                from sqlalchemy.exc import SQLAlchemyError
        except ImportError as error:
            raise self._problem(error) from error
        try:
            with quietly():
                yield self.client
        except (MlflowException, SQLAlchemyError, ImportError) as error:  # the last: a database's driver
            raise self._problem(error) from error
        except OSError as error:
            known = commit.storage_error(error, Path(error.filename or self.shown))
            raise known if isinstance(known, StorageError) else self._problem(error) from error

    def _problem(self, error: Exception) -> StorageError:
        words = without_secrets(str(error)).strip().split("\n")[0][:300].rstrip(". ")
        advice = "install it" if isinstance(error, ImportError) else "check that it is there and lets you in"
        return StorageError(
            f"the registry {self.shown} cannot be used ({words}): {advice}, and run it again."
        )

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only process that changes aliases, of those that see this lock; and have the database.

        All processes of a sqlite file take turns, and so do those that register from one store; with a
        server, those of other stores do not, and `promotion` repairs what a lost race left.

        Raises:
            BusyError: others held it for ten minutes.
        """
        if self.database is not None:
            place: Place = self.database.with_name(LOCK)
        elif self.store is not None:
            place = self.store / LOCK
        else:
            name = hashlib.sha256(self.uri.encode()).hexdigest()
            place = local_home() / "locks" / f"{name}.lock"
        with commit.locked(place, wait=True, seconds=TURN_SECONDS):
            self._make()
            yield

    def _make(self) -> None:
        if self.database is None or self.database.exists():
            return
        log.info("making the registry %s: some seconds, once", self.database)
        with commit.beside(self.database) as temporary:
            made = Server(f"{SQLITE}{temporary}")
            with made.asked() as client:
                client.search_experiments(max_results=1)

    def check(self) -> None:
        """Refuse a sqlite file that is not there: MLflow would make one, empty, wherever the path leads.

        Raises:
            ArtifactError: there is none.
        """
        if self.database is not None and not self.database.exists():
            raise ArtifactError(
                f"there is no registry {self.database}: name the right one (--registry, or "
                "MLFLOW_TRACKING_URI), or register a run with `binclf register RUN`."
            )

    def version_of(self, address: Address) -> Any | None:  # noqa: ANN401 - mlflow ModelVersion
        """The version that an address means; None if there is none."""
        with self.asked() as client:
            try:
                if address.alias:
                    return client.get_model_version_by_alias(address.name, address.alias)
                return client.get_model_version(address.name, address.version)
            except Exception as error:
                if is_missing(error):
                    return None
                raise

    def versions(self, name: str) -> list[Any]:
        """All versions of a model, the oldest first."""
        found: list[Any] = []
        with self.asked() as client:
            token = None
            while True:
                page = client.search_model_versions(f"name='{name}'", max_results=200, page_token=token)
                found += page
                token = page.token
                if not token:
                    return sorted(found, key=lambda version: int(version.version))

    def conclude(
        self,
        version: Any,  # noqa: ANN401 - mlflow ModelVersion
        *,
        verdict: str,
        reason: str,
        comparison: str = "",
        **tags: str,
    ) -> None:
        """Write down what was decided on a version, for people and as tags; the last of these commits it.

        The numbers of a comparison become an artifact of the MLflow run; the tag has them without the tables,
        which are longer than a tag may be.
        """
        brief: dict[str, str] = {}
        with self.asked() as client:
            client.update_model_version(version.name, version.version, f"{verdict}: {reason}"[:LONGEST])
            if comparison:
                client.log_text(version.run_id, comparison, COMPARISON)
                numbers = {k: v for k, v in json.loads(comparison).items() if k not in TABLES}
                brief = {"comparison": json.dumps(numbers)}
        self.tag(version, verdict=verdict, reason=reason, **brief, **tags)

    def tag(self, version: Any, **tags: str) -> None:  # noqa: ANN401 - mlflow ModelVersion
        """Tag a version; each name gets the prefix `binclf.`."""
        with self.asked() as client:
            for name, value in tags.items():
                client.set_model_version_tag(version.name, version.version, f"binclf.{name}", value[:LONGEST])


def is_missing(error: Exception) -> bool:
    """Whether MLflow says that there is no such thing (an alias that is not there is an invalid one)."""
    code = getattr(error, "error_code", "")
    return code == MISSING or (code == "INVALID_PARAMETER_VALUE" and "alias" in str(error).lower())


def tag_of(version: Any, name: str) -> str:  # noqa: ANN401 - mlflow ModelVersion
    """A tag of ours; empty where there is none."""
    return str(version.tags.get(f"binclf.{name}", ""))
