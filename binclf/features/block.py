"""A row group, decoded: what the file says, nothing of what was learnt.

Numbers are kept as a float64 centre per column and float32 residuals, so that a column such as longitude
(-93.27 +- 0.02) or a time in seconds keeps its precision in half the memory; the centre is 0 where float32
holds every value exactly. Codes are those of the row group's own dictionary. New statistics therefore do not
spoil a decoded block, and a block is the same wherever and whenever it is decoded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from binclf import hashing, kernels
from binclf.features.columns import Roles
from binclf.features.downsampling import EVERY, Downsampling
from binclf.features.numbers import Standard, read_numbers
from binclf.features.target import Target
from binclf.labels import LabelRule, read_weights
from binclf.parquet import Reader, Texts, feature_codes

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

FORMAT = 3  # of decoded blocks: another number makes other digests


@dataclass(frozen=True, slots=True)
class Decoding:
    """What a decoded block depends on, beside the file's content."""

    roles: Roles
    label: LabelRule
    weight: str  # column, or empty
    log1p: tuple[str, ...] = ()  # numeric columns taken as sign(v) log(1 + |v|)
    downsampling: Downsampling = EVERY  # which rows are left out

    @property
    def coded(self) -> list[str]:
        """Columns to read as codes into their distinct values."""
        features = [c for c in (*self.roles.numeric, *self.roles.categorical) if not c.part]
        kinds = [(self.label.column, self.label.kind), *((c.source, c.kind) for c in features)]
        return [name for name, kind in kinds if kind in ("text", "integer")]

    @property
    def columns(self) -> list[str]:
        """Columns to read."""
        names = [name for c in (*self.roles.numeric, *self.roles.categorical) for name in c.reads]
        return list(dict.fromkeys([*names, self.label.column, *([self.weight] if self.weight else [])]))

    @property
    def digest(self) -> str:
        """Names all of this."""
        return hashing.digest({"format": FORMAT, **asdict(self)})


@dataclass(frozen=True, slots=True)
class Block:
    """n rows of one row group: numbers row by row, codes column by column."""

    residuals: F32  # [n, F], value - centre, or standardised if that was asked for; NaN is missing
    centre: F64  # [F]
    missing: npt.NDArray[np.bool_]  # [F], whether any row lacks the column
    codes: I32  # [C, n] into `texts`; -1 is null
    texts: tuple[Texts, ...]  # C dictionaries of distinct values
    hashes: tuple[hashing.U64, ...]  # and their hashes
    labels: I8  # [n] 0 or 1
    weights: F64 | None  # [n]; None: all 1
    moments: F64 | None = None  # [F, FIELDS], if asked for
    counts: tuple[I64, ...] = ()  # C, rows of null and of each value: maybe, where moments were asked for

    def __len__(self) -> int:
        """Rows."""
        return len(self.labels)


@cache  # one a column of the config, asked for with every row group
def text_key(column: str) -> int:
    """The key of the hash by which a categorical column's values are known."""
    return hashing.key("bucket", column)


def decode(
    reader: Reader,
    group: int,
    how: Decoding,
    *,
    out: Target | None = None,
    moments: bool = False,
    standard: Standard | None = None,
) -> Block:
    """Decode one row group; rows without a label are left out, and those that are not to be trained on.

    Args:
        reader: the file.
        group: which row group.
        how: columns and rules.
        out: where to put the rows; None: into new arrays.
        moments: whether to compute moments of the numeric columns.
        standard: how to standardise them at once; None: residuals are wanted.

    Raises:
        DataError: damaged bytes, infinite numbers, or numbers whose spread float32 cannot hold.
    """
    rows = reader.read(group, how.columns)
    labels, _ = how.label.read(rows)
    kept = how.downsampling.kept(reader.name, group, labels)
    if not kept.all():
        rows, labels = rows.where(kept), labels[kept]
    weights = read_weights(rows, how.weight) if how.weight else None
    if out is None:
        out = Target.new(len(rows), len(how.roles.numeric), len(how.roles.categorical))
    if len(out.numbers) != len(rows):
        raise AssertionError(f"{rows.place}: {len(rows)} rows, not {len(out.numbers)} as the split said")
    numbers = read_numbers(
        rows, how.roles.numeric, how.log1p, weights, replace(out, labels=labels),
        moments=moments, standard=standard,
    )  # fmt: skip
    texts: list[Texts] = []
    counts: list[I64] = []
    for place, categorical in enumerate(how.roles.categorical):
        codes, distinct = feature_codes(rows, categorical)
        if moments:  # here, where they lie together
            counts.append(kernels.tally(codes, len(distinct)))
        out.codes[place] = codes
        texts.append(distinct)
    hashes = [t.hashes(text_key(c.name)) for t, c in zip(texts, how.roles.categorical, strict=True)]
    return Block(
        out.numbers, numbers.centre, numbers.missing, out.codes, tuple(texts), tuple(hashes), labels, weights,
        numbers.moments, tuple(counts),
    )  # fmt: skip
