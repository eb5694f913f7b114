"""Where things lie: a local path, or an object in a store by its URI, with one set of names for both.

A local place is a `pathlib.Path`. A `Remote` has those of its methods that binclf needs, over `pyarrow.fs`
(S3 and what speaks its protocol; Google Cloud Storage). Nothing above this room asks which of
the two it has, but for what only a disk can do: locks, mapped memory and renaming (see `commit`).
"""

from binclf.storage.address import check_uri, is_uri, options_with_secrets, without_secrets
from binclf.storage.local import Kept, local_home, scratch
from binclf.storage.place import (
    Place,
    Stamp,
    beside_locally,
    changed_at,
    fingerprint_of,
    place_of,
    read_at,
    remove_tree,
    sha256_of,
    stamp_if_there,
    stamp_of,
    stamp_of_open,
)
from binclf.storage.remote import Remote, problem

__all__ = [
    "Kept",
    "Place",
    "Remote",
    "Stamp",
    "beside_locally",
    "changed_at",
    "check_uri",
    "fingerprint_of",
    "is_uri",
    "local_home",
    "options_with_secrets",
    "place_of",
    "problem",
    "read_at",
    "remove_tree",
    "scratch",
    "sha256_of",
    "stamp_if_there",
    "stamp_of",
    "stamp_of_open",
    "without_secrets",
]
