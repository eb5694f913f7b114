"""Drift: rows beside those that a run was trained on, told in units of the score.

The shift of the mean log-odds is split exactly into what each column did (`shift`), distributions are
compared by PSI (`stability`), alarms go by effect (`verdict`), and labelled rows say whether to retrain
(`rao`). Told as JSON, Markdown (`words`) and a page (`page`).
"""

from binclf.drift.rao import Refit, rao
from binclf.drift.run import as_json, check_form, drift, of_watch, told_of, write
from binclf.drift.verdict import Drifted
from binclf.drift.words import markdown_of, sentence

__all__ = [
    "Drifted",
    "Refit",
    "as_json",
    "check_form",
    "drift",
    "markdown_of",
    "of_watch",
    "rao",
    "sentence",
    "told_of",
    "write",
]
