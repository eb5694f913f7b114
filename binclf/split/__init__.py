"""Which rows are for training, validation and test.

`plan` reads footers, fingerprints the files and says what is to be done, file by file; `perform` does one
file (and nothing if it was done before); `commit` adds the receipts up and writes the split. `ensure` is
the three in a row. `counted` tells beforehand how many rows a part gets where no fraction says it. Parts are
Parquet, one file for each input file and part, named by what they depend on.
"""

from binclf.split.attempts import AttemptAll, Outcome, attempt, ensure, in_threads
from binclf.split.counted import counted, goes_by_data
from binclf.split.plan import Plan, plan
from binclf.split.receipt import commit, home
from binclf.split.records import PART_NAMES, PartFile, Split, Task
from binclf.split.run import perform

__all__ = [
    "PART_NAMES",
    "AttemptAll",
    "Outcome",
    "PartFile",
    "Plan",
    "Split",
    "Task",
    "attempt",
    "commit",
    "counted",
    "ensure",
    "goes_by_data",
    "home",
    "in_threads",
    "perform",
    "plan",
]
