"""Which data a run has seen, so that an older window never replaces a newer one.

Two moments order the windows: `until`, the latest one in the column `data.time` over all parts (a backfill of
old months is old, whenever it is run), and `begun`, when the files were listed (of two nightly runs the
second has the newer data, even where the first takes longer). Where there is no column of moments, the data
can be as new as the listing, so `begun` stands in for `until`: one total order over both sorts.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

from binclf import artifact
from binclf.parquet import Reader
from binclf.split import PART_NAMES
from binclf.split.records import PartFile

WINDOW = "window.json"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """Moments as ISO text in UTC, all of one form, so that their order is that of the text."""

    until: str  # the latest data.time (a moment without a zone counts as UTC); empty: not known
    begun: str  # when the files were listed

    @property
    def order(self) -> tuple[str, str]:
        """Newer windows are greater."""
        return self.until or self.begun, self.begun

    def as_json(self) -> dict[str, str]:
        """For `window.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, str]) -> Window:
        """Read `window.json`, or the tags of a registered version."""
        return cls(record["until"], record["begun"])


def window_of(run: artifact.Run) -> Window:
    """The window of a run: as it was sealed, or else read from the parts' time column."""
    if WINDOW in run.contents:
        return Window.from_json(json.loads(run.contents[WINDOW]))
    begun = artifact.began(run.id).isoformat(timespec="microseconds")
    return Window(_latest(run), begun)


def _latest(run: artifact.Run) -> str:
    time = next((c for c in run.split.columns if c.name == run.config.data.time), None)
    if time is None or time.kind != "moment":
        return ""
    files = [file for part in PART_NAMES for file in run.split.parts.get(part, ())]
    with ThreadPoolExecutor(thread_name_prefix="window") as pool:
        latest = max(filter(None, pool.map(partial(_latest_of, time=time.name), files)), default=None)
    return "" if latest is None else latest.isoformat(timespec="microseconds")


def _latest_of(file: PartFile, time: str) -> datetime.datetime | None:
    with file.reader() as reader:
        found = [_of_group(reader, group, time) for group in range(len(file.groups))]
    latest = max((moment for moment in found if moment is not None), default=None)
    return None if latest is None else EPOCH + datetime.timedelta(microseconds=latest)


def _of_group(reader: Reader, group: int, time: str) -> int | None:
    moments, missing = reader.read(group, [time]).moments(time)
    known = moments[~missing]
    return int(known.max()) if len(known) else None
