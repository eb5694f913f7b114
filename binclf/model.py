"""Logistic regression in torch: one row of numbers and ids to one logit, and the loss of logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class LogisticRegression(nn.Module):
    """z = x . w + sum over columns of v[ids] + b; the probability of yes is sigmoid(z).

    One flat vector of table weights, since `nn.EmbeddingBag` on CPU is 20 times slower here.
    """

    def __init__(self, features: int, table_size: int, dtype: torch.dtype = torch.float32) -> None:
        """All weights 0.

        Args:
            features: F, columns of x; with 0 there is no w.
            table_size: V, length of the vector that ids index; with 0 there is no v.
            dtype: of the weights; x is converted to it.
        """
        super().__init__()
        self.dtype = dtype
        self.weight = nn.Parameter(torch.zeros(features, dtype=dtype)) if features else None
        self.table = nn.Parameter(torch.zeros(table_size, dtype=dtype)) if table_size else None
        self.bias = nn.Parameter(torch.zeros(1, dtype=dtype))

    def penalised(self) -> list[torch.Tensor]:
        """The weights that a penalty may touch: all but the intercept."""
        return [weights for weights in (self.weight, self.table) if weights is not None]

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Logits [B, 1] from x [B, F] and ids [B, C] (integers); B may be 0."""
        logits = self.bias.expand(x.shape[0])
        if self.weight is not None:
            logits = torch.addmv(logits, x.to(self.dtype), self.weight)
        if self.table is not None:
            chosen: torch.Tensor = _Chosen.apply(self.table, ids)  # type: ignore[no-untyped-call] # torch
            logits = logits + chosen
        return logits.unsqueeze(1)


class _Chosen(torch.autograd.Function):
    """Each row's sum of the weights that its ids choose: [B] from the table [V] and ids [B, C].

    The gradient of the table is a count of ids weighted by their rows. On CPU `bincount` took half the time
    of `index_add_`, which autograd would call, where 32,768 rows fall on 2^20 weights; both add row by row.
    """

    @staticmethod
    def forward(ctx: Any, table: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - torch's
        ctx.save_for_backward(ids)
        ctx.size = len(table)
        return table.index_select(0, ids.reshape(-1)).reshape(ids.shape).sum(dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ANN401 - torch's
        (ids,) = ctx.saved_tensors
        weights = slopes.unsqueeze(1).expand(ids.shape).reshape(-1)
        if not len(weights):  # of which bincount would make integers
            return slopes.new_zeros(ctx.size), None
        return torch.bincount(ids.reshape(-1), weights, minlength=ctx.size), None


def log_loss_sum(logits: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Sum of w * (log(1 + exp(z)) - y z), a scalar; all three are [B, 1], and B may be 0.

    On logits, since the sigmoid first would lose the gradient of confident mistakes in float32.
    """
    return functional.binary_cross_entropy_with_logits(logits, y, weight=w, reduction="sum")
