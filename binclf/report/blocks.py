"""What a page is built of: sections of blocks, which the template knows how to show, and cells of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: `text` first, `note` smaller below it."""

    text: str
    note: str = ""
    order: float | None = None  # what sorting goes by; None: the text
    mark: str = ""  # a class of the style sheet: bad, care
    is_data: bool = False  # a name or a level: set apart, so that its direction stays its own
    bar: float | None = None  # -1 to 1, drawn as a bar from the middle


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; those beyond what is shown are counted, with the place where they are."""

    kind: ClassVar[str] = "table"
    id: str
    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: int = 1  # the first columns are words, the others numbers
    hidden: int = 0
    elsewhere: str = ""
    is_long: bool = False  # can be searched and sorted


@dataclass(frozen=True, slots=True)
class Words:
    """Paragraphs."""

    kind: ClassVar[str] = "words"
    lines: Sequence[str]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms and what they are."""

    kind: ClassVar[str] = "terms"
    terms: Sequence[tuple[str, Cell]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, with what it says in words."""

    name: str
    title: str
    reading: str
    svg: str


@dataclass(frozen=True, slots=True)
class Charts:
    """Drawings side by side."""

    kind: ClassVar[str] = "charts"
    charts: Sequence[Chart]


@dataclass(frozen=True, slots=True)
class Chooser:
    """The choice of a threshold: points for the page's script, and a table for whoever has none."""

    kind: ClassVar[str] = "chooser"
    points: Sequence[Mapping[str, Any]]
    chosen: float
    cost_fp: float
    cost_fn: float


@dataclass(frozen=True, slots=True)
class Command:
    """What to type."""

    kind: ClassVar[str] = "command"
    text: str


Block = Table | Words | Terms | Charts | Chooser | Command


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    id: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def cut(rows: Sequence[Sequence[Cell]], most: int) -> tuple[Sequence[Sequence[Cell]], int]:
    """The first rows, and how many are left out."""
    return rows[:most], max(0, len(rows) - most)
