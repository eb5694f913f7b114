"""Drift: rows beside those that a run was trained on, told in units of the score.

The shift of the mean log-odds is split exactly into what each column did (`shift`), distributions are
compared by PSI (`stability`), alarms go by effect (`verdict`), and labelled rows say whether to retrain
(`rao`); so do, before anything is trained, those of a config that its champion has not seen (`worth`). Told
as JSON, Markdown (`words`) and a page (`page`).
"""

from binclf.drift.rao import Refit, rao
from binclf.drift.run import as_json, check_form, drift, of_watch, told_of, write
from binclf.drift.verdict import Drifted
from binclf.drift.words import markdown_of, sentence
from binclf.drift.worth import Worth, worth

__all__ = [
    "Drifted",
    "Refit",
    "Worth",
    "as_json",
    "check_form",
    "drift",
    "markdown_of",
    "of_watch",
    "rao",
    "sentence",
    "told_of",
    "worth",
    "write",
]
