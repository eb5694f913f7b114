"""A model taken elsewhere: a SQL query, an ONNX graph or a scikit-learn pipeline, seen to say the same.

The model is first told as a `Formula`, the same for all formats; each format writes it in its own words. What
was written is then run by an engine, on rows that try every kind of value, and compared with `predict_proba`;
only then does the file take its name. What a format cannot say exactly is refused by the column's name, never
approximated.
"""

from binclf.export.write import export

__all__ = ["export"]
