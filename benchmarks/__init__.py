"""Scripts that print ratios of runs side by side; none is a test of time."""
