"""Every setting of binclf: typed, bounded, described, and one object for all who ask.

The same frozen models are the TOML file, the torchrun job and the Prefect form: a bound is a `Field`, a
default stands here and nowhere else, and what a form cannot check (settings that contradict each other or
have no effect) is checked whenever a `Config` is made.
"""

from binclf.config.drift import Drift
from binclf.config.load import load, parse
from binclf.config.sections import Config, Data, Evaluate, Features, Name, Registry, Score, Split
from binclf.config.threshold import Rule
from binclf.config.training import Train

__all__ = [
    "Config",
    "Data",
    "Drift",
    "Evaluate",
    "Features",
    "Name",
    "Registry",
    "Rule",
    "Score",
    "Split",
    "Train",
    "load",
    "parse",
]
