"""Prefect flows: thin tasks around the library. What passes between tasks is paths and small records."""

import os

# Prefect gives a temporary server 20 s to start, which a busy machine does not always keep.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
# Nobody outside is told of runs, by its client or by a temporary server, unless somebody asks for that.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
