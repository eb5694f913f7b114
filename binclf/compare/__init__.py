"""Champion and challenger on the same rows: is the new model better, beyond noise?

`compare` takes two runs, streams once over rows that neither was fitted on, and gives a `Comparison`: the
paired difference of log-loss with its interval, what becomes of ROC-AUC, of decisions and of slices, and one
of three verdicts. What is promised about errors stands in `verdict`, what is known of rows in `membership`.
"""

from binclf.compare.compare import compare
from binclf.compare.comparison import Comparison, Sealed
from binclf.compare.verdict import RULES

__all__ = ["RULES", "Comparison", "Sealed", "compare"]
