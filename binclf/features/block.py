"""A row group, decoded: what the file says, nothing of what was learnt.

Numbers are kept as a float64 centre per column and float32 residuals, so that a column such as longitude
(-93.27 +- 0.02) or a time in seconds keeps its precision in half the memory; the centre is 0 where float32
holds every value exactly. Codes are those of the row group's own dictionary. New statistics therefore do not
spoil a decoded block, and a block is the same wherever and whenever it is decoded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf import hashing
from binclf.errors import DataError
from binclf.features.columns import Roles
from binclf.features.statistics import FIELDS, column_moments
from binclf.labels import LabelRule, read_weights
from binclf.parquet import Column, Reader, Rows, Texts, feature_codes, feature_numbers, matrix, singles

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
I8 = npt.NDArray[np.int8]

FORMAT = 2  # of decoded blocks: another number makes other digests
SAMPLE = 1024  # values that a centre is taken from


@dataclass(frozen=True, slots=True)
class Decoding:
    """What a decoded block depends on, beside the file's content."""

    roles: Roles
    label: LabelRule
    weight: str  # column, or empty
    log1p: tuple[str, ...] = ()  # numeric columns taken as sign(v) log(1 + |v|)

    @property
    def texts(self) -> list[str]:
        """Columns to read as dictionaries."""
        return [
            column.source for column in self.roles.categorical if column.kind == "text" and not column.part
        ]

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

    residuals: F32  # [n, F], value - centre; NaN is missing
    centre: F64  # [F]
    missing: npt.NDArray[np.bool_]  # [F], whether any row lacks the column
    codes: I32  # [C, n] into `texts`; -1 is null
    texts: tuple[Texts, ...]  # C dictionaries of distinct values
    hashes: tuple[hashing.U64, ...]  # and their hashes
    labels: I8  # [n] 0 or 1
    weights: F64 | None  # [n]; None: all 1
    moments: F64 | None = None  # [F, FIELDS], if asked for

    def __len__(self) -> int:
        """Rows."""
        return len(self.labels)


@cache  # one a column of the config, asked for with every row group
def text_key(column: str) -> int:
    """The key of the hash by which a categorical column's values are known."""
    return hashing.key("bucket", column)


def decode(
    reader: Reader, group: int, how: Decoding, *, out: tuple[F32, I32] | None = None, moments: bool = False
) -> Block:
    """Decode one row group; rows without a label are left out.

    Args:
        reader: the file.
        group: which row group.
        how: columns and rules.
        out: where to put residuals float32 [n, F] and codes int32 [C, n]; None: into new arrays.
        moments: whether to compute moments of the numeric columns.

    Raises:
        DataError: damaged bytes, infinite numbers, or numbers whose spread float32 cannot hold.
    """
    rows = reader.read(group, how.columns)
    labels, _ = how.label.read(rows)
    if (labels < 0).any():
        rows, labels = rows.where(labels >= 0), labels[labels >= 0]
    weights = read_weights(rows, how.weight) if how.weight else None
    residuals, codes = out if out is not None else (
        np.empty((len(rows), len(how.roles.numeric)), dtype=np.float32),
        np.empty((len(how.roles.categorical), len(rows)), dtype=np.int32),
    )  # fmt: skip
    if len(residuals) != len(rows):
        raise AssertionError(
            f"{rows.place}: {len(rows)} labelled rows, not {len(residuals)} as the split said"
        )
    centre, missing, found = _numbers(rows, how, weights, residuals, moments=moments)
    texts: list[Texts] = []
    for place, categorical in enumerate(how.roles.categorical):
        codes[place], distinct = feature_codes(rows, categorical)
        texts.append(distinct)
    hashes = [t.hashes(text_key(c.name)) for t, c in zip(texts, how.roles.categorical, strict=True)]
    return Block(residuals, centre, missing, codes, tuple(texts), tuple(hashes), labels, weights, found)


def _numbers(
    rows: Rows, how: Decoding, weights: F64 | None, out: F32, *, moments: bool
) -> tuple[F64, npt.NDArray[np.bool_], F64 | None]:
    """Write the residuals; returns centres [F], which columns lack values [F], and moments [F, FIELDS]."""
    numeric = how.roles.numeric
    centre, missing = np.zeros(len(numeric)), np.zeros(len(numeric), dtype=np.bool_)
    found = np.zeros((len(numeric), FIELDS)) if moments else None
    is_plain = not how.log1p and not any(column.part for column in numeric)
    whole = matrix(rows, [column.source for column in numeric]) if is_plain else None
    is_written = whole is not None and bool(np.isfinite(whole).all())
    if whole is not None and is_written:
        out[:] = whole
        if found is None:
            return centre, missing, None
    for place, column in enumerate(numeric):
        raw, values = _values(rows, column, is_log1p=column.name in how.log1p)
        centre[place] = 0.0 if values.dtype == np.float32 else _centre(values)
        if not is_written:
            _put(values, float(centre[place]), out[:, place], rows, column.name)
        absent = np.isnan(values)
        missing[place] = absent.any()
        if found is not None:
            found[place] = column_moments(raw, values, absent, float(centre[place]), weights)
    return centre, missing, found


def _values(rows: Rows, column: Column, *, is_log1p: bool) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A column as it is and as the model takes it; float32 where that loses nothing by its type."""
    raw: npt.NDArray[Any] | None = None if is_log1p or column.part else singles(rows, column.source)
    if raw is None:
        raw = feature_numbers(rows, column)
    return raw, np.sign(raw) * np.log1p(np.abs(raw)) if is_log1p else raw


def _put(values: npt.NDArray[Any], centre: float, out: F32, rows: Rows, name: str) -> None:
    """Write a column's residuals; a column at a time is faster than any tiling (measured)."""
    if values.dtype == np.float32:
        out[:] = values
        return
    with np.errstate(over="ignore"):
        np.subtract(values, centre, out=out, casting="same_kind")
    if np.isinf(out).any():
        raise DataError(
            f"column '{name}' of {rows.place} spreads beyond what float32 holds (3e38): "
            "rescale it, or list it in data.exclude."
        )


def _centre(column: F64) -> float:
    """0 where that loses nothing, else a median-like value: one outlier must not cost the others digits.

    A function of the column alone, so a row group decodes to the same bits wherever that is done.
    """
    with np.errstate(over="ignore"):
        if np.array_equal(column.astype(np.float32), column, equal_nan=True):
            return 0.0
    present = column[~np.isnan(column)]
    sample = np.sort(present[:: -(-len(present) // SAMPLE)])
    return float(sample[len(sample) // 2])
