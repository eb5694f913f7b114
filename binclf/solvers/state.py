"""Model and optimiser as arrays by name, and back: what a checkpoint holds, without pickles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from binclf.config import Train
from binclf.model import LogisticRegression
from binclf.solvers.problem import Weights

Array = npt.NDArray[Any]


def weights_of(model: LogisticRegression) -> Weights:
    """The model's weights as float64: weight [F], table [V], bias [1]."""
    return {name: tensor.numpy(force=True).astype(np.float64) for name, tensor in model.state_dict().items()}


def optimizer_of(settings: Train, model: LogisticRegression, l2: float) -> torch.optim.Optimizer:
    """The optimiser; its weight decay is the gradient of l2/2 |w|^2, the intercept excepted."""
    groups = [{"params": [model.bias], "weight_decay": 0.0}]
    if model.penalised():
        groups.insert(0, {"params": model.penalised(), "weight_decay": l2})
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum)
    if settings.optimizer == "adagrad":
        return torch.optim.Adagrad(groups, lr=0.0)
    return torch.optim.Adam(groups, lr=0.0, fused=True)


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> dict[str, Array]:
    """An optimiser's state, each entry named by the place of its parameter: '0.exp_avg'."""
    return {
        f"{place}.{name}": torch.as_tensor(value).numpy(force=True)
        for place, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put `optimizer_arrays` back."""
    state = optimizer.state_dict()
    for name, tensor in tensors.items():
        place, _, entry = name.partition(".")
        # safetensors has no scalars: the step count comes back with an axis
        shaped = tensor.reshape(()) if entry == "step" else tensor
        state["state"].setdefault(int(place), {})[entry] = shaped
    optimizer.load_state_dict(state)


def arrays_of(model: LogisticRegression, optimizer: torch.optim.Optimizer) -> dict[str, Array]:
    """A model and its optimiser, named 'model.…' and 'optimizer.…'."""
    own = {name: tensor.numpy(force=True) for name, tensor in model.state_dict().items()}
    return {**prefixed("model", own), **prefixed("optimizer", optimizer_arrays(optimizer))}


def prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays with `prefix.` before each name."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def tensors(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, torch.Tensor]:
    """The arrays under a prefix, as tensors by their names without it."""
    return {
        name.removeprefix(f"{prefix}."): torch.from_numpy(np.array(array))
        for name, array in arrays.items()
        if name.startswith(f"{prefix}.")
    }
