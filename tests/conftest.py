"""Fixtures that tests of several rooms share."""

from tests.bucket import bucket, s3_address
from tests.trained import people_dir, trained_run

__all__ = ["bucket", "people_dir", "s3_address", "trained_run"]
