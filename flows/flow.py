"""What all flows have in common: the version of their code, a result that is kept, and a word of failures."""

from __future__ import annotations

from typing import Any

from binclf.artifact import package_version
from flows.failures import failed

TAG = "binclf"  # of every deployment; its runs are watched, and so is what they call

# (of a flow's own are its name, the names of its runs, and where its mapped parts run)
FLOW: dict[str, Any] = {
    "version": package_version(),
    "persist_result": True,
    "result_serializer": "json",
    "on_failure": [failed],
    "on_crashed": [failed],
}
