"""The average of the iterates: less noise than the last step's weights, for one pass over them a step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch

from binclf.model import LogisticRegression
from binclf.solvers.schedule import GAMMA

Array = npt.NDArray[Any]


class Average:
    """Weights whose later iterates weigh more: after step t, a += (GAMMA + 1) / (t + GAMMA) (w - a)."""

    def __init__(self, model: LogisticRegression, *, is_on: bool) -> None:
        """Follow a model; if off, the average is the model itself."""
        self.source = model
        self.model = copy.deepcopy(model).requires_grad_(requires_grad=False) if is_on else model
        self.steps = 0
        # memory that stays where it is: looking for the parameters takes longer than averaging them
        self._own, self._source = ([p.data for p in m.parameters()] for m in (self.model, self.source))

    def add(self) -> None:
        """Take in the model's weights after a step."""
        self.steps += 1
        if self.model is not self.source:
            share = (GAMMA + 1) / (self.steps + GAMMA)
            torch._foreach_lerp_(self._own, self._source, share)

    def arrays(self) -> dict[str, Array]:
        """For a checkpoint."""
        if self.model is self.source:
            return {}
        return {name: t.numpy(force=True) for name, t in self.model.state_dict().items()}

    def restore(self, arrays: Mapping[str, torch.Tensor], steps: int) -> None:
        """From a checkpoint."""
        self.steps = steps
        if self.model is not self.source:
            self.model.load_state_dict(dict(arrays))
