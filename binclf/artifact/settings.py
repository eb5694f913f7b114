"""The settings that the result of a run may depend on."""

from __future__ import annotations

from typing import Any

from binclf.config import Config, Drift

# how the work is done, not what comes out: a resumed run may have others
FREE = (
    "store", "train.ranks", "train.workers", "train.cache", "train.memory_bytes", "train.cache_bytes",
    "train.checkpoint_seconds", "train.stall_seconds", "registry.uri", "registry.promote", "registry.margin",
    "data.on_leak", "data.leak_auc", "data.not_leaks",
    *(f"drift.{key}" for key in Drift.model_fields),
)  # fmt: skip


def settings_of_result(config: Config) -> dict[str, Any]:
    """All settings that the result may depend on, by their keys."""
    flat: dict[str, Any] = {}
    for section, settings in config.model_dump(mode="json").items():
        nested = settings if isinstance(settings, dict) else {"": settings}
        flat |= {f"{section}.{key}".rstrip("."): value for key, value in nested.items()}
    return {key: value for key, value in flat.items() if key not in FREE}
