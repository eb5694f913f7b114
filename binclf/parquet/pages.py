"""The columns of a local file that are read without pyarrow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from binclf.parquet.coded import Coded, CodedPages
from binclf.parquet.floats import Plain
from binclf.parquet.handle import Handle
from binclf.parquet.plain import PlainPages


class Pages:
    """Floats as they lie there, and what is read as codes."""

    def __init__(self, path: Path, coded: Sequence[str]) -> None:
        """Nothing is looked at before the first reading: most files are opened for their footers alone."""
        self._handle = Handle(path)
        self._plain = PlainPages(self._handle)
        self._coded = CodedPages(self._handle, coded)

    def read(self, file: Any, group: int, names: Sequence[str]) -> tuple[Plain, dict[str, Coded]]:  # noqa: ANN401
        """Of the columns those that can be read so; the others are left out.

        Args:
            file: as pyarrow has it.
            group: which of its row groups.
            names: of the columns.

        Raises:
            OSError: the file cannot be read.
        """
        plain = self._plain.read(file, group, names)
        stages, coded = self._coded.read(file, group, [name for name in names if name not in plain])
        nullable = self._coded.nullable({name for names, _ in stages for name in names})
        return Plain([*plain.stages(), *stages], nullable), coded

    def close(self) -> None:
        """Let go of the file."""
        self._handle.close()
