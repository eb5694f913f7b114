"""Probabilities that mean what they say: what training did to them is undone, and validation may mend them.

Class weights and down-sampling train on other odds than the data have. The log-odds are shifted back by how
much the base rate was moved, and the intercept is fitted once more on all training rows at their natural
weights, until the mean prediction is the base rate. After that, a map of the log-odds may be fitted on the
validation rows, and is kept if it does better there than chance would.

Rows are scored as any consumer scores them, by `predict.Model` in float64 from the part's files: so what
holds here holds for what users see, and nothing depends on how rows were kept for training. Each fit is one
pass of exact sums in bins, the same bits for any number of ranks, in memory that does not grow with the rows.
"""

from binclf.probabilities.mend import mend

__all__ = ["mend"]
