"""Stochastic gradient descent under DistributedDataParallel, with exact gradients on any number of ranks.

Every step's denominator is known before the step: D = rows of the step x mean weight of train. So a step
needs no collective but DDP's own, is never divided by zero, and is unbiased.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from binclf import epoch as order_of
from binclf.config import Train
from binclf.errors import DataError
from binclf.loader import Batch, Loader, Order, StepDataset
from binclf.model import LogisticRegression
from binclf.objective import l2_of, log_loss_sum, penalty
from binclf.solvers import checkpoint, schedule
from binclf.solvers.averaging import Average
from binclf.solvers.checkpoint import Checkpoint
from binclf.solvers.problem import Problem, Progress, Solution
from binclf.solvers.state import (
    Weights,
    optimizer_arrays,
    prefixed,
    restore_optimizer,
    tensors,
    weights_of,
)
from binclf.solvers.validation import mean_log_loss
from binclf.world import World

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 0.5  # epochs shorter than this share a checkpoint: a flush to disk each would be slower


def fit(
    problem: Problem,
    world: World,
    *,
    checkpoints: Path | None = None,
    dtype: torch.dtype = torch.float32,
) -> Solution:
    """Fit the weights; going on from the newest checkpoint in `checkpoints` if there is one.

    Args:
        problem: stores with features attached; the same on all ranks.
        world: the ranks.
        checkpoints: folder for rank 0's checkpoint after each epoch (two a second at most), or None.
        dtype: of the weights; float64 is for tests.

    Raises:
        DataError: the loss stopped being a number, or rows were lost or repeated.
    """
    return _Run(problem, world, checkpoints, dtype).go()


class _Run:
    """One fit on one rank."""

    def __init__(self, problem: Problem, world: World, checkpoints: Path | None, dtype: torch.dtype) -> None:
        settings, features = problem.settings, problem.train.features
        if features is None:
            raise AssertionError("attach features first")
        self.problem, self.world, self.checkpoints, self.dtype = problem, world, checkpoints, dtype
        self.batch_rows = settings.batch_rows or schedule.batch_rows(problem.train.rows)
        order = Order(settings.seed, settings.lanes, settings.window_rows, settings.shuffle, self.batch_rows)
        dataset = StepDataset(problem.train, order, world.rank, world.size)
        is_cuda = world.device.type == "cuda"
        self.loader = Loader(dataset, workers=settings.workers, pin_memory=is_cuda)
        self.model = LogisticRegression(features.width, features.table_size, dtype).to(world.device)
        with torch.no_grad():
            self.model.bias.fill_(float(np.log(problem.base_rate / (1 - problem.base_rate))))
        self.parallel = DistributedDataParallel(self.model)
        self.optimizer = _optimizer(settings, self.model)
        self.rate: Callable[[float], float] = schedule.rate_of(settings)
        self.longest = schedule.longest_gradient(settings)
        self.l2 = l2_of(settings.l2, problem.weight)
        self.average = Average(self.model, is_on=schedule.is_averaged(settings))
        self.progress = Progress()
        self.best: Weights = {}
        self.kept_at = float("-inf")

    def go(self) -> Solution:
        settings = self.problem.settings
        start = self._resume()
        for epoch in range(start, settings.epochs):
            self._epoch(epoch)
            self._keep(epoch + 1)
            if self._is_stale():
                log.info("no gain in %d epochs: stopping after %d", settings.patience, epoch + 1)
                break
        weights = self.best or self._current()
        record = {
            "solver": "minibatch",
            "optimizer": settings.optimizer,
            "batch_rows": self.batch_rows,
            "l2": self.l2,
            "steps_per_epoch": self.loader.steps,
            "epochs": len(self.progress.history),
            **self.progress.as_json(),
        }
        return Solution(weights, record)

    def _epoch(self, epoch: int) -> None:
        began = time.perf_counter()
        loss, rows, checksum = 0.0, 0, 0
        for step, batch in enumerate(self.loader.epoch(epoch)):
            loss += self._step(batch.to(self.world.device), epoch * self.loader.steps + step)
            rows += len(batch)
            checksum += batch.checksum
        total = float(self.world.sum_floats(np.array([loss]))[0])
        self._account(epoch, rows, checksum)
        seconds = time.perf_counter() - began
        entry = {
            "epoch": epoch + 1,
            "train_loss": total / self.problem.weight,
            "seconds": round(seconds, 3),
        }
        if not (np.isfinite(total) and all(np.isfinite(a).all() for a in self._current().values())):
            raise DataError(
                f"the loss stopped being a number in epoch {epoch + 1}: the steps are too long. Use a "
                "smaller train.learning_rate (0 chooses one), or standardise the features."
            )
        self.progress.steps += self.loader.steps
        self.progress.rows += self.problem.train.rows
        validation = self._judge(epoch)
        if validation is not None:
            entry["validation_loss"] = validation
        self.progress.history.append(entry)
        if self.world.rank == 0:
            told = "" if validation is None else f", validation loss {validation:.6f}"
            speed = self.problem.train.rows / max(seconds, 1e-9)
            log.info(
                "epoch %d of %d: train loss %.6f%s (%s rows/s)",
                epoch + 1, self.problem.settings.epochs, entry["train_loss"], told, f"{speed:,.0f}",
            )  # fmt: skip

    def _step(self, batch: Batch, step: int) -> float:
        """One step on all ranks; returns this rank's sum of w * loss before it."""
        problem = self.problem
        total_steps = self.loader.steps * problem.settings.epochs
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step / total_steps)
        denominator = batch.step_rows * (problem.weight / problem.train.rows)
        logits = self.parallel(batch.x, batch.ids)
        loss = log_loss_sum(logits, batch.y.to(self.dtype), batch.w.to(self.dtype))
        scaled = loss * (self.world.size / denominator)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(scaled + penalty(self.model.penalised(), self.l2))
        if self.longest < float("inf"):
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.longest)
        self.optimizer.step()
        self.average.add()
        return float(loss.detach())

    def _account(self, epoch: int, rows: int, checksum: int) -> None:
        """Each row of the epoch was seen once, over all ranks."""
        word = np.array([checksum % 2**64], dtype=np.uint64).view(np.int64)
        sums = self.world.sum_integers(np.array([rows, word[0]], dtype=np.int64))
        expected = self.problem.train.rows
        seen, found = int(sums[0]), int(sums[1:].view(np.uint64)[0])
        if seen != expected or found != order_of.checksum_of_all(expected):
            raise AssertionError(
                f"epoch {epoch + 1} saw {seen} rows (checksum {found:016x}) of {expected}: "
                "rows were lost or repeated"
            )

    def _judge(self, epoch: int) -> float | None:
        """Mean validation log-loss of the current (averaged) weights; the best weights are kept."""
        store = self.problem.validation
        if store is None:
            return None
        loss = mean_log_loss(self.average.model, store, self.world)
        progress = self.progress
        if epoch + 1 < schedule.first_judged_epoch(self.problem.settings):
            return loss
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss, progress.best_epoch, progress.stale = loss, epoch + 1, 0
            self.best = self._current()
        else:
            progress.stale += 1
        return loss

    def _is_stale(self) -> bool:
        patience = self.problem.settings.patience
        return self.problem.validation is not None and 0 < patience <= self.progress.stale

    def _current(self) -> Weights:
        return weights_of(self.average.model)

    def _keep(self, epochs: int) -> None:
        """Write a checkpoint, unless the last one is so young that little would be lost with it."""
        if self.checkpoints is None or self.world.rank != 0:
            return
        if time.monotonic() - self.kept_at >= CHECKPOINT_SECONDS:
            checkpoint.write(self.checkpoints, self._checkpoint(epochs))
            self.kept_at = time.monotonic()

    def _checkpoint(self, epochs: int) -> Checkpoint:
        model = {n: t.numpy(force=True) for n, t in self.model.state_dict().items()}
        arrays = {
            **prefixed("model", model),
            **prefixed("optimizer", optimizer_arrays(self.optimizer)),
            **prefixed("average", self.average.arrays()),
            **prefixed("best", self.best),
        }
        return Checkpoint(epochs, arrays, {"progress": self.progress.as_json()})

    def _resume(self) -> int:
        """Take up the newest checkpoint; returns the epochs done. Every rank reads the same file."""
        found = checkpoint.newest(self.checkpoints) if self.checkpoints is not None else None
        if found is None:
            return 0
        self.model.load_state_dict(tensors(found.arrays, "model"))
        restore_optimizer(self.optimizer, tensors(found.arrays, "optimizer"))
        self.best = {name: t.numpy() for name, t in tensors(found.arrays, "best").items()}
        self.progress = Progress(**found.record["progress"])
        self.average.restore(tensors(found.arrays, "average"), self.progress.steps)
        if self.world.rank == 0:
            log.info("going on after epoch %d", found.epochs)
        return self.problem.settings.epochs if self._is_stale() else found.epochs


def _optimizer(settings: Train, model: LogisticRegression) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=0.0, momentum=settings.momentum)
    if settings.optimizer == "adagrad":
        return torch.optim.Adagrad(parameters, lr=0.0)
    return torch.optim.Adam(parameters, lr=0.0, fused=True)
