"""Ours beside others, from Parquet to the optimum, as whole processes: `python -m benchmarks.peers`."""
