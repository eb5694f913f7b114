"""An object, or a folder of objects, by its URI: what binclf needs of `pathlib.Path`, over `pyarrow.fs`.

Object stores have no folders, no renaming and no locks, and an object appears only when it is whole. So
folders are never made, and a file is written locally and sent when it is complete (`upload`): a crash leaves
nothing, or the object. Faults of the network are retried by the store's own client, with pauses that grow;
what is left of them is a `StorageError`, never taken for a damaged file.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qsl

from binclf.errors import ConfigError, StorageError
from binclf.storage.address import FLAGS, parted
from binclf.storage.credentials import lacking_credentials

ATTEMPTS = 6  # of a request: about 10 s of pauses in all
TIMEOUT_SECONDS = 30.0  # without a byte, until a request is made again
PIECE_BYTES = 8 * 2**20


@dataclass(frozen=True, order=True)
class Remote:
    """A place in an object store."""

    scheme: str
    key: str  # bucket/folder/name, without a slash at either end
    options: str = ""  # the URI's query, such as region=eu-central-1

    @classmethod
    def parse(cls, uri: str) -> Remote:
        """From a URI that `check_uri` has passed."""
        scheme, key, options = parted(uri)
        return cls(scheme, key.strip("/"), options)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.key}" + (f"?{self.options}" if self.options else "")

    def __truediv__(self, name: str) -> Remote:
        key = posixpath.normpath(f"{self.key}/{name}")
        if key.startswith("../") or key in ("..", "."):
            raise ConfigError(f"'{name}' below {self} leads out of the store: write the whole address.")
        return Remote(self.scheme, key, self.options)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        """The name's ending, with its dot."""
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> Remote:
        """The folder; of a bucket itself."""
        above = self.key.rpartition("/")[0]
        return Remote(self.scheme, above or self.key, self.options)

    def resolve(self) -> Remote:
        """Itself: a URI has nothing relative in it."""
        return self

    def is_relative_to(self, other: object) -> bool:
        """Whether this lies in another place, or is it."""
        if not isinstance(other, Remote):
            return False
        is_same_store = self.scheme[0] == other.scheme[0]  # gs is gcs, whatever the options
        return is_same_store and f"{self.key}/".startswith(f"{other.key}/")

    def relative_to(self, other: Remote) -> PurePosixPath:
        """The rest of the key below another place."""
        return PurePosixPath(self.key).relative_to(other.key)

    def exists(self) -> bool:
        """Whether there is an object or a folder of that name."""
        return self._kind() != "NotFound"

    def is_file(self) -> bool:
        """Whether there is an object of that name."""
        return self._kind() == "File"

    def is_dir(self) -> bool:
        """Whether there are objects below that name."""
        return self._kind() == "Directory"

    def is_symlink(self) -> bool:
        """Object stores have none."""
        return False

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: folders are there with their objects."""

    def read_bytes(self) -> bytes:
        """The object's content."""
        with problem(self, "read"), self.open() as file:
            return bytes(file.read())

    def read_text(self, encoding: str = "utf-8") -> str:
        """The object's content as text."""
        return self.read_bytes().decode(encoding)

    def open(self) -> Any:  # noqa: ANN401 - pyarrow.NativeFile
        """The object, open for reading at any place: one request."""
        with problem(self, "read"):
            return filesystem(self).open_input_file(self.key)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove the object."""
        with problem(self, "removed"):
            try:
                filesystem(self).delete_file(self.key)
            except FileNotFoundError:
                if not missing_ok:
                    raise

    def files(self) -> list[Remote]:
        """All objects below this place, sorted; empty if there are none."""
        from pyarrow.fs import FileSelector, FileType

        with problem(self, "listed"):
            selector = FileSelector(self.key, recursive=True, allow_not_found=True)
            found = filesystem(self).get_file_info(selector)
        return sorted(
            Remote(self.scheme, info.path, self.options) for info in found if info.type == FileType.File
        )

    def glob(self, pattern: str) -> Iterator[Remote]:
        """The objects in this folder whose names match, or below it with `**/` before the pattern."""
        is_deep, name = pattern.startswith("**/"), pattern.removeprefix("**/")
        for file in self.files():
            if fnmatch.fnmatchcase(file.name, name) and (is_deep or file.parent == self):
                yield file

    def rglob(self, pattern: str) -> Iterator[Remote]:
        """The objects below this place whose names match."""
        return self.glob(f"**/{pattern}")

    def upload(self, source: Path) -> None:
        """Send a complete local file; the object appears when all of it is there."""
        with ThreadPoolExecutor(1, thread_name_prefix="upload") as pool:  # Ctrl-C waits for its end
            pool.submit(self._send, source).result()

    def _send(self, source: Path) -> None:
        """Closing a stream makes the object appear, whatever is in it: so one that failed is removed."""
        with problem(self, "written"):
            target = filesystem(self).open_output_stream(self.key)
        try:
            with source.open("rb") as content:
                while piece := content.read(PIECE_BYTES):
                    with problem(self, "written"):
                        target.write(piece)
            with problem(self, "written"):
                target.close()
        except BaseException:
            with suppress(OSError):
                target.close()
                self.unlink(missing_ok=True)
            raise

    def move_to(self, target: Remote) -> None:
        """Give the object another name in its bucket, over whatever has it; the store copies it itself."""
        with problem(target, "written"):
            filesystem(self).move(self.key, target.key)

    def remove_tree(self) -> None:
        """Remove all objects below this place."""
        with problem(self, "removed"), suppress(FileNotFoundError):
            filesystem(self).delete_dir(self.key)

    def _kind(self) -> str:
        with problem(self, "read"):
            return str(filesystem(self).get_file_info(self.key).type.name)


@contextmanager
def problem(place: object, verb: str) -> Iterator[None]:
    """Turn a store's own errors into words that help; that something is not there stays what it is.

    Raises:
        StorageError: the store does not answer, or refuses.
    """
    try:
        yield
    except (FileNotFoundError, StorageError):
        raise
    except OSError as error:
        words = str(error).split("\n")[0].rstrip(". ")
        check = "the address, the network, and that these credentials allow it"
        if isinstance(place, Remote) and (lacking := lacking_credentials(place.scheme, place.options)):
            check = f"the address and the network. {lacking} Set them"
        raise StorageError(f"{place} cannot be {verb} ({words}): check {check}, and run it again.") from error


def filesystem(place: Remote) -> Any:  # noqa: ANN401 - pyarrow.fs.FileSystem
    """The open file system that a place is in: one for each store, bucket and set of options."""
    return _filesystem(place.scheme, place.key.partition("/")[0], place.options)


@lru_cache(32)
def _filesystem(scheme: str, bucket: str, options: str) -> Any:  # noqa: ANN401
    from pyarrow import fs

    if scheme != "s3":
        query = f"?{options}" if options else ""
        return fs.FileSystem.from_uri(f"gs://{bucket}/{query}")[0]
    return fs.S3FileSystem(
        **_s3_options(bucket, dict(parse_qsl(options))),
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        request_timeout=TIMEOUT_SECONDS,
        connect_timeout=TIMEOUT_SECONDS / 3,
        allow_delayed_open=True,  # a small object is one request
    )


def _s3_options(bucket: str, options: dict[str, str]) -> dict[str, Any]:
    """What the constructor takes; of the environment what AWS's own tools read and Arrow does not."""
    from pyarrow import fs

    endpoint = options.get("endpoint_override") or os.environ.get("AWS_ENDPOINT_URL_S3") or ""
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL", "")
    found: dict[str, Any] = {}
    if endpoint:
        scheme, _, host = endpoint.rpartition("://")
        found = {"endpoint_override": host.rstrip("/"), "scheme": scheme or options.get("scheme", "https")}
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        region = "us-east-1" if endpoint else fs.resolve_s3_region(bucket)
    flags = {flag: options[flag] == "true" for flag in FLAGS if flag in options}
    return {**found, **flags, "region": region}
