"""The loss is scikit-learn's, its gradient the closed form, and both add up over any sharing of rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from binclf.model import log_loss_sum
from tests.laws import examples


def batch(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, labels and weights, [rows, 1] float64; both classes."""
    random = np.random.default_rng(seed)
    y = random.permutation(np.arange(rows) % 2)
    arrays = (random.normal(0, 3, rows), y.astype(float), random.random(rows) + 0.1)
    z, labels, w = (torch.from_numpy(a).unsqueeze(1) for a in arrays)
    return z, labels, w


@examples(30)
@given(st.integers(2, 200), st.integers(0, 1000))
def test_is_the_log_loss_of_scikit_learn(rows: int, seed: int) -> None:
    z, y, w = batch(rows, seed)
    expected = log_loss(y.numpy()[:, 0], torch.sigmoid(z).numpy()[:, 0], sample_weight=w.numpy()[:, 0])
    assert float(log_loss_sum(z, y, w) / w.sum()) == pytest.approx(expected, rel=1e-9)


@examples(30)
@given(st.integers(1, 50), st.integers(0, 1000))
def test_gradient_is_weight_times_probability_minus_label(rows: int, seed: int) -> None:
    z, y, w = batch(rows, seed)
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(log_loss_sum(z, y, w), z)
    torch.testing.assert_close(gradient, w * (torch.sigmoid(z.detach()) - y), rtol=1e-12, atol=1e-14)


@examples(30)
@given(st.integers(2, 60), st.integers(0, 1000), st.data())
def test_the_sum_of_shares_is_the_whole(rows: int, seed: int, data: st.DataObject) -> None:
    z, y, w = batch(rows, seed)
    cut = data.draw(st.integers(0, rows))
    shares = log_loss_sum(z[:cut], y[:cut], w[:cut]) + log_loss_sum(z[cut:], y[cut:], w[cut:])
    assert float(shares) == pytest.approx(float(log_loss_sum(z, y, w)), rel=1e-12)


def test_a_weight_of_two_is_the_row_twice_and_of_nothing_is_no_row() -> None:
    z, y, w = batch(9, 1)
    twice = log_loss_sum(torch.cat([z, z]), torch.cat([y, y]), torch.cat([w, w]))
    assert float(log_loss_sum(z, y, 2 * w)) == pytest.approx(float(twice), rel=1e-12)
    w[4:] = 0
    assert float(log_loss_sum(z, y, w)) == pytest.approx(float(log_loss_sum(z[:4], y[:4], w[:4])), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_have_finite_loss_and_the_full_gradient(dtype: torch.dtype) -> None:
    z = torch.tensor([[-1e30], [1e30], [-200.0], [200.0]], dtype=dtype, requires_grad=True)
    y = torch.tensor([[1.0], [0.0], [1.0], [1.0]], dtype=dtype)
    loss = log_loss_sum(z, y, torch.ones_like(y))
    (gradient,) = torch.autograd.grad(loss, z)
    assert float(loss.detach()) == pytest.approx(2e30, rel=1e-6)
    assert gradient[:, 0].tolist() == pytest.approx([-1.0, 1.0, -1.0, 0.0], abs=1e-12)


def test_no_rows_have_no_loss_and_no_gradient() -> None:
    z = torch.zeros((0, 1), requires_grad=True)
    loss = log_loss_sum(z, torch.zeros((0, 1)), torch.zeros((0, 1)))
    loss.backward()
    assert float(loss.detach()) == 0
    assert z.grad is not None
    assert z.grad.shape == (0, 1)
