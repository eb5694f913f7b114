"""What is learnt from each column, and how a row becomes numbers for the model.

One representation for both kinds of columns: `x [B, F] float32` (standardised numbers and missing
indicators) and `ids [B, C] int32` into one weight vector, so that z = x . w + sum(v[ids]) + b. No one-hot
columns in memory.
"""

from binclf.features.block import Block, Decoding, decode
from binclf.features.collisions import Collisions, collisions
from binclf.features.columns import Roles, roles, slice_columns
from binclf.features.downsampling import Downsampling
from binclf.features.encode import Encoded, Encoder
from binclf.features.learn import Exchange, learn, tell
from binclf.features.lookup import Lookup
from binclf.features.numbers import Standard
from binclf.features.records import FIRST_LEVEL, NULL, OTHER, CategoricalColumn, Features, NumericColumn
from binclf.features.target import Target

__all__ = [
    "FIRST_LEVEL",
    "NULL",
    "OTHER",
    "Block",
    "CategoricalColumn",
    "Collisions",
    "Decoding",
    "Downsampling",
    "Encoded",
    "Encoder",
    "Exchange",
    "Features",
    "Lookup",
    "NumericColumn",
    "Roles",
    "Standard",
    "Target",
    "collisions",
    "decode",
    "learn",
    "roles",
    "slice_columns",
    "tell",
]
