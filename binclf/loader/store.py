"""The rows of one part in RAM: row groups decoded and encoded when they are first asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from binclf.features import Block, Encoder, Features, Roles, decode
from binclf.labels import LabelRule
from binclf.parquet import Reader
from binclf.split import PartFile


class RamStore:
    """The rows of one part, decoded and encoded into arrays in canonical order as they are asked for."""

    def __init__(self, files: Iterable[PartFile], roles: Roles, label: LabelRule, weight: str) -> None:
        """Nothing is read yet."""
        self.files = tuple(files)
        self.roles, self.label, self.weight = roles, label, weight
        self.place = [(f, g) for f in self.files for g in range(len(f.groups))]
        self.group_rows = tuple(f.groups[g] for f, g in self.place)
        self.starts = np.concatenate([[0], np.cumsum(self.group_rows)]).astype(np.int64)
        self.features: Features | None = None
        self._raw: dict[int, Block] = {}
        self._clear()

    @property
    def rows(self) -> int:
        """N."""
        return int(self.starts[-1])

    def block(self, group: int) -> Block:
        """A decoded row group; kept until it is encoded."""
        if group not in self._raw:
            file, index = self.place[group]
            file.check()
            texts = [column.name for column in self.roles.categorical if column.kind == "text"]
            with Reader(file.path, file.relative, texts) as reader:
                block = decode(reader, index, self.roles, self.label, self.weight)
            if len(block) != self.group_rows[group]:
                raise AssertionError(
                    f"{file.path}, row group {index}: {len(block)} labelled rows, and the split "
                    f"counted {self.group_rows[group]}"
                )
            self._raw[group] = block
        return self._raw[group]

    def decode(self, groups: Iterable[int]) -> None:
        """Decode row groups in threads and keep them until they are encoded."""
        with ThreadPoolExecutor(_threads(), thread_name_prefix="decode") as pool:
            for _ in pool.map(self.block, groups):
                pass

    def attach(self, features: Features) -> None:
        """From now on blocks are encoded with these features."""
        self.features = features
        self._clear()
        columns = len(features.categorical)
        self.x = np.empty((self.rows, features.width), dtype=np.float32)
        self.ids = np.empty((self.rows, columns), dtype=np.int32)
        self.y = np.empty((self.rows, 1), dtype=np.float32)
        self.w = np.empty((self.rows, 1), dtype=np.float32)

    def load(self, groups: Iterable[int]) -> None:
        """Decode and encode these row groups, unless that was done before."""
        if self.features is None:
            raise AssertionError("attach features first")
        todo = [int(group) for group in groups if int(group) not in self._loaded]
        if not todo:
            return
        encoder = Encoder(self.features)
        with ThreadPoolExecutor(_threads(), thread_name_prefix="decode") as pool:
            for _ in pool.map(lambda group: self._fill(encoder, group), todo):
                pass
        self._loaded.update(todo)

    def _fill(self, encoder: Encoder, group: int) -> None:
        block = self.block(group)
        rows = slice(self.starts[group], self.starts[group + 1])
        self.x[rows], self.ids[rows] = encoder.encode(block)
        self.y[rows, 0], self.w[rows, 0] = block.labels, block.weights
        del self._raw[group]

    def _clear(self) -> None:
        self._loaded: set[int] = set()
        self.x = self.y = self.w = np.empty((0, 0), dtype=np.float32)
        self.ids = np.empty((0, 0), dtype=np.int32)

    def __getstate__(self) -> dict[str, Any]:
        """What a DataLoader process is sent: where the rows are, not the rows."""
        return {"files": self.files, "roles": self.roles, "label": self.label,
                "weight": self.weight, "features": self.features}  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["files"], state["roles"], state["label"], state["weight"])  # type: ignore[misc]
        if state["features"] is not None:
            self.attach(state["features"])


def _threads() -> int:
    """Decoding threads of this rank."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
