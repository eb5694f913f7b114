"""One logit a row, by the formula, for any mixture of numbers and categories, and for no rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from binclf.model import LogisticRegression, log_loss_sum
from tests.laws import examples


def filled(features: int, table_size: int, seed: int = 0) -> LogisticRegression:
    """A model with random weights, float64."""
    model = LogisticRegression(features, table_size, torch.float64)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator, dtype=torch.float64))
    return model


@examples(40)
@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 7), st.integers(0, 99))
def test_logit_is_numbers_times_weights_plus_looked_up_weights_plus_bias(
    features: int, columns: int, rows: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    size = 11 if columns else 0
    model = filled(features, size, seed)
    x = random.normal(size=(rows, features)).astype(np.float32)
    ids = random.integers(0, 11, (rows, columns)).astype(np.int32)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    expected = [
        state["bias"][0]
        + sum(float(v) * float(w) for v, w in zip(x[i], state.get("weight", []), strict=True))
        + sum(float(state["table"][j]) for j in ids[i])
        for i in range(rows)
    ]
    logits = model(torch.from_numpy(x), torch.from_numpy(ids))
    assert logits.shape == (rows, 1)
    assert logits[:, 0].tolist() == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_begins_at_nothing_known() -> None:
    model = LogisticRegression(2, 3)
    assert all(not weights.any() for weights in model.parameters())
    assert torch.sigmoid(model(torch.ones(1, 2), torch.zeros(1, 1, dtype=torch.int32))).item() == 0.5


def test_the_intercept_is_never_penalised() -> None:
    model = filled(2, 3)
    penalised = model.penalised()
    assert [len(weights) for weights in penalised] == [2, 3]
    assert all(weights is not model.bias for weights in penalised)
    assert len(filled(0, 3).penalised()) == len(filled(2, 0).penalised()) == 1


def test_no_rows_give_every_weight_a_gradient_of_zero() -> None:
    model = filled(2, 5)
    logits = model(torch.zeros(0, 2), torch.zeros(0, 1, dtype=torch.int32))
    torch.autograd.backward(log_loss_sum(logits, torch.zeros(0, 1).double(), torch.zeros(0, 1).double()))
    for weights in model.parameters():  # DDP waits for ever for a gradient that never comes
        assert weights.grad is not None
        assert not weights.grad.any()


def test_gradient_of_a_repeated_level_adds_up() -> None:
    model = filled(1, 4)
    x, ids = torch.zeros(3, 1), torch.tensor([[1], [1], [3]], dtype=torch.int32)
    y = torch.tensor([[1.0], [0.0], [1.0]], dtype=torch.float64)
    logits = model(x, ids)
    torch.autograd.backward(log_loss_sum(logits, y, torch.ones_like(y)))
    error = (torch.sigmoid(logits) - y).detach()[:, 0]
    assert model.table is not None
    assert model.table.grad is not None
    expected = [0.0, float(error[0] + error[1]), 0.0, float(error[2])]
    assert model.table.grad.tolist() == pytest.approx(expected, rel=1e-12)


@examples(40)
@given(
    st.integers(0, 9), st.integers(1, 4), st.sampled_from([torch.float32, torch.float64]), st.integers(0, 99)
)
def test_gradients_are_those_of_plain_indexing(
    rows: int, columns: int, dtype: torch.dtype, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(7, generator=generator, dtype=dtype, requires_grad=True)
    ids = torch.randint(0, 7, (rows, columns), generator=generator, dtype=torch.int32)
    slopes = torch.randn(rows, generator=generator, dtype=dtype)
    model = LogisticRegression(0, 7, dtype)
    model.table = torch.nn.Parameter(table.detach().clone())
    torch.autograd.backward(model(torch.zeros(rows, 0), ids)[:, 0], slopes)
    torch.autograd.backward(table[ids.long()].sum(dim=1), slopes)
    assert model.table.grad is not None
    assert table.grad is not None
    assert model.table.grad.dtype == dtype
    assert torch.allclose(model.table.grad, table.grad, rtol=1e-5, atol=1e-6)
