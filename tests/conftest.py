"""Fixtures that tests of several rooms share."""

from tests.trained import people_dir, trained_run

__all__ = ["people_dir", "trained_run"]
