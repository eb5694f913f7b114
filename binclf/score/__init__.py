"""New Parquet to scored Parquet: every row once and in order, by one model, without torch.

*plan* -> parts (a file, or some row groups of a large one) -> *work* (each part by itself, in any order, by
any number of threads or machines) -> *commit* (all parts get their names, then the manifest is written). What
a crash or a failure leaves is hidden from readers, and the next call goes on from there.
"""

from binclf.profile import Observer
from binclf.score.run import conclude, score

__all__ = ["Observer", "conclude", "score"]
