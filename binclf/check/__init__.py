"""The verb `check`: everything that would stop a run, of all files at once, and nothing written."""

from binclf.check.preflight import check, text_of

__all__ = ["check", "text_of"]
