"""Loops over rows that NumPy does in several passes over memory, or waiting for it.

They are compiled when binclf is installed, if there is a C compiler; where there is none, NumPy gives the
same bits, more slowly. `IS_COMPILED` tells which. Both use one thread, and let other Python threads run.
"""

from binclf.kernels.categories import encode, histograms, mark, tally
from binclf.kernels.chunks import chunks
from binclf.kernels.crc import crc32, crc32s
from binclf.kernels.curvature import Curvature
from binclf.kernels.library import IS_COMPILED
from binclf.kernels.logistic import Blanks
from binclf.kernels.moments import FIELDS, moments
from binclf.kernels.order import SPLITMIX, canonical, checksum, deal, mix
from binclf.kernels.pages import REPEATED, SLACK, UNIQUE, Values, can_decode, decode, read_floats
from binclf.kernels.rows import STEP, Field, can_record, complete, gather, interleave, record, standardise
from binclf.kernels.scores import Sloped, Tabled, Term, add
from binclf.kernels.slopes import Places, Slopes
from binclf.kernels.texts import hash_texts
from binclf.kernels.thrift import elements, integers, text_at, texts_at

__all__ = [
    "FIELDS",
    "IS_COMPILED",
    "REPEATED",
    "SLACK",
    "SPLITMIX",
    "STEP",
    "UNIQUE",
    "Blanks",
    "Curvature",
    "Field",
    "Places",
    "Sloped",
    "Slopes",
    "Tabled",
    "Term",
    "Values",
    "add",
    "can_decode",
    "can_record",
    "canonical",
    "checksum",
    "chunks",
    "complete",
    "crc32",
    "crc32s",
    "deal",
    "decode",
    "elements",
    "encode",
    "gather",
    "hash_texts",
    "histograms",
    "integers",
    "interleave",
    "mark",
    "mix",
    "moments",
    "read_floats",
    "record",
    "standardise",
    "tally",
    "text_at",
    "texts_at",
]
