"""Logistic regression: one row of numbers and ids to one logit."""

from __future__ import annotations

import torch
from torch import nn


class LogisticRegression(nn.Module):
    """z = x . w + sum over columns of v[ids] + b; the probability of yes is sigmoid(z).

    `index_select` on one flat vector, since `nn.EmbeddingBag` on CPU is 20 times slower here.
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
            chosen = self.table.index_select(0, ids.reshape(-1))
            logits = logits + chosen.reshape(ids.shape).sum(dim=1)
        return logits.unsqueeze(1)
