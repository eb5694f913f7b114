"""What a model's columns and scores look like over some rows, in sums that add up: at training, and later.

A run keeps the profile of its training rows (`profile.json`), taken in the same pass as their metrics. Rows
that are scored later are watched by an `Observation`, whose profile is laid beside it: for skew (`skew`), and
for drift (the room `drift`).
"""

from binclf.profile.bins import Spread
from binclf.profile.observation import Observation, Observer
from binclf.profile.records import PROFILE, LevelProfile, NumberProfile, Profile, ScoreProfile
from binclf.profile.skew import Skew, skews
from binclf.profile.watch import Watch, profile_of

__all__ = [
    "PROFILE",
    "LevelProfile",
    "NumberProfile",
    "Observation",
    "Observer",
    "Profile",
    "ScoreProfile",
    "Skew",
    "Spread",
    "Watch",
    "profile_of",
    "skews",
]
