"""Features that tell the label by themselves, as what is known only after the outcome does.

A feature that is filled in with the outcome, or once it is known, makes a model that is perfect until it is
used. What is noticed is the plainest sort: one column alone ranks the rows of the two labels (almost) without
fault, by its values, by its levels, or by whether it is missing. Before training that is an error unless
`data.on_leak` says otherwise. How well each column does it is kept in the run (`alone.json`), and labelled
rows that are scored later are laid beside it: a feature that tells the label only there was filled in
otherwise than in training.
"""

from binclf.leaks.looking import evenly, has_label, look
from binclf.leaks.records import ALONE, Alone, Looked
from binclf.leaks.verdict import before_training, beside_training

__all__ = ["ALONE", "Alone", "Looked", "before_training", "beside_training", "evenly", "has_label", "look"]
