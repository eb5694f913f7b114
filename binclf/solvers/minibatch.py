"""Stochastic gradient descent under DistributedDataParallel, with exact gradients on any number of ranks.

Every step's denominator is known before the step: D = rows of the step x mean weight of train. So a step
needs no collective but DDP's own, is never divided by zero, and is unbiased. The penalty is the optimiser's
weight decay, equal on all ranks and so outside that factor.

An epoch is run in segments of steps, as many as fit between two checkpoints; how many is measured by rank 0
and told to all in the sums that end a segment. The state after one is (epoch, position): it may be taken up
on another number of ranks and with other batches.
"""

from __future__ import annotations

import logging
import time
from itertools import islice

import numpy as np
import torch

from binclf.epoch import checksum_of_all
from binclf.errors import DataError
from binclf.loader import Order
from binclf.loader.steps import Batch, Loader, StepDataset
from binclf.model import LogisticRegression, log_loss_sum
from binclf.objective import l2_of
from binclf.solvers import checkpoint, schedule, state
from binclf.solvers.averaging import Average
from binclf.solvers.checkpoint import Checkpoint
from binclf.solvers.pace import SLOW_SECONDS, TOLD_SECONDS, Pace
from binclf.solvers.problem import Problem, Progress, Solution, Weights
from binclf.solvers.state import prefixed, tensors, weights_of
from binclf.solvers.validation import mean_log_loss
from binclf.storage import Place
from binclf.world import World, doing

log = logging.getLogger(__name__)


def fit(
    problem: Problem,
    world: World,
    *,
    checkpoints: Place | None = None,
    dtype: torch.dtype = torch.float32,
) -> Solution:
    """Fit the weights; going on from the newest checkpoint in `checkpoints` if there is one.

    Args:
        problem: stores with features attached; the same on all ranks.
        world: the ranks.
        checkpoints: folder for rank 0's checkpoints, or None.
        dtype: of the weights; float64 is for tests.

    Raises:
        DataError: the loss stopped being a number.
    """
    return _Run(problem, world, checkpoints, dtype).go()


class _Run:
    """One fit on one rank."""

    def __init__(self, problem: Problem, world: World, checkpoints: Place | None, dtype: torch.dtype) -> None:
        settings, features = problem.settings, problem.features
        self.problem, self.world, self.checkpoints, self.dtype = problem, world, checkpoints, dtype
        self.rows = problem.train.source.rows
        self.batch_rows = settings.batch_rows or schedule.batch_rows(self.rows)
        order = Order(settings.seed, settings.lanes, settings.window_rows, settings.shuffle, self.batch_rows)
        dataset = StepDataset(problem.train, order, world.rank, world.size)
        is_cuda = world.device.type == "cuda"
        self.loader = Loader(dataset, workers=settings.workers, pin_memory=is_cuda)
        self.model = LogisticRegression(features.width, features.table_size, dtype).to(world.device)
        with torch.no_grad():
            self.model.bias.fill_(float(np.log(problem.base_rate / (1 - problem.base_rate))))
        self.parallel = world.parallel(self.model)
        self.l2 = l2_of(settings.l2, problem.weight)
        self.optimizer = state.optimizer_of(settings, self.model, self.l2)
        self.rate = schedule.rate_of(settings)
        self.longest = schedule.longest_gradient(settings)
        self.average = Average(self.model, is_on=schedule.is_averaged(settings))
        self.progress = Progress()
        self.best: Weights = {}
        self.pace = Pace(settings.checkpoint_seconds)

    def go(self) -> Solution:
        settings = self.problem.settings
        first, position = self._resume()
        for epoch in range(first, settings.epochs):
            self._epoch(epoch, position)
            position = 0
            if not self.pace.is_young:
                self._keep(epoch + 1, 0)
            if self._is_stale():
                log.info("no gain in %d epochs: stopping after %d", settings.patience, epoch + 1)
                break
        weights = self.best or self._current()
        record = {
            "solver": "minibatch",
            "optimizer": settings.optimizer,
            "batch_rows": self.batch_rows,
            "l2": self.l2,
            "steps_per_epoch": -(-self.rows // self.batch_rows),
            "epochs": len(self.progress.history),
            **self.progress.record(),
        }
        steps = {key: record[key] for key in ("epochs", "batch_rows", "steps_per_epoch")}
        receipt = {"rows_seen": record["rows"], "each_row_once_an_epoch": True, **steps}
        return Solution(weights, record, receipt)

    def _epoch(self, epoch: int, position: int) -> None:
        """The rest of an epoch from a position on."""
        doing.stage(f"epoch {epoch + 1}")
        batches = self.loader.epoch(epoch, position)
        self.pace.start(self.pace.steps)
        while position < self.rows:
            loss = torch.zeros((), dtype=torch.float64, device=self.world.device)
            rows, checksum = 0, 0
            for batch in islice(batches, self.pace.steps):
                loss += self._step(batch.to(self.world.device), epoch, position)
                position += batch.step_rows
                rows, checksum = rows + len(batch), checksum + batch.checksum
            self._pause(epoch, position, float(loss), rows, checksum)
        self._finish(epoch)

    def _step(self, batch: Batch, epoch: int, position: int) -> torch.Tensor:
        """One step on all ranks; returns this rank's sum of w * loss before it."""
        doing.step()
        problem = self.problem
        done = (epoch + position / self.rows) / problem.settings.epochs
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(done)
        denominator = batch.step_rows * (problem.weight / self.rows)
        logits = self.parallel(batch.x, batch.ids)
        loss = log_loss_sum(logits, batch.y.to(self.dtype), batch.w.to(self.dtype))
        for weights in self.model.parameters():
            if weights.grad is not None:
                weights.grad.zero_()  # in place, since gradients are views of DDP's buckets
        torch.autograd.backward(loss, loss.new_tensor(self.world.size / denominator))
        if self.longest < float("inf"):
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.longest)
        self.optimizer.step()
        self.average.add()
        return loss.detach()

    def _pause(self, epoch: int, position: int, loss: float, rows: int, checksum: int) -> None:
        """End a segment: add up what all ranks saw, agree on the next, keep a checkpoint if one is due."""
        progress, is_first = self.progress, self.world.rank == 0
        word = int(np.array([checksum % 2**64], dtype=np.uint64).view(np.int64)[0])
        proposal = self.pace.proposal() if is_first else 0
        counts = self.world.sum_integers(np.array([rows, word, proposal], dtype=np.int64))
        progress.part_loss += float(self.world.sum_floats(np.array([loss]))[0])
        progress.part_rows += int(counts[0])
        progress.part_checksum = (progress.part_checksum + int(counts[1])) % 2**64
        progress.part_seconds += time.monotonic() - self.pace.began
        self._refuse_nonsense(epoch)
        if is_first and position < self.rows:
            if self.pace.is_due:
                self._keep(epoch, position)
            if self.pace.tells(TOLD_SECONDS):
                log.info("epoch %d: %.0f %% of the rows", epoch + 1, 100 * position / self.rows)
        self.pace.start(int(counts[2]))

    def _refuse_nonsense(self, epoch: int) -> None:
        if not (
            np.isfinite(self.progress.part_loss)
            and all(np.isfinite(a).all() for a in self._current().values())
        ):
            raise DataError(
                f"the loss stopped being a number in epoch {epoch + 1}: the steps are too long. Use a "
                "smaller train.learning_rate (0 chooses one), or standardise the features."
            )

    def _finish(self, epoch: int) -> None:
        """End an epoch: each row was seen once, over all ranks; judge, and write its entry."""
        progress, expected = self.progress, self.rows
        if progress.part_rows != expected or progress.part_checksum != checksum_of_all(expected):
            raise AssertionError(
                f"epoch {epoch + 1} saw {progress.part_rows} rows (checksum {progress.part_checksum:016x}) "
                f"of {expected}: rows were lost or repeated"
            )
        entry = {
            "epoch": epoch + 1,
            "train_loss": progress.part_loss / self.problem.weight,
            "seconds": round(progress.part_seconds, 3),
        }
        speed = expected / max(progress.part_seconds, 1e-9)
        progress.steps += -(-expected // self.batch_rows)
        progress.rows += expected
        progress.part_loss, progress.part_rows, progress.part_checksum, progress.part_seconds = 0.0, 0, 0, 0.0
        validation = self._judge(epoch)
        if validation is not None:
            entry["validation_loss"] = validation
        progress.history.append(entry)
        is_last = epoch + 1 == self.problem.settings.epochs
        if self.world.rank == 0 and (self.pace.tells(SLOW_SECONDS) or is_last):
            told = "" if validation is None else f", validation loss {validation:.6f}"
            log.info(
                "epoch %d of %d: train loss %.6f%s (%s rows/s)",
                epoch + 1, self.problem.settings.epochs, entry["train_loss"], told, f"{speed:,.0f}",
            )  # fmt: skip

    def _judge(self, epoch: int) -> float | None:
        """Mean validation log-loss of the current (averaged) weights; the best weights are kept."""
        store = self.problem.validation
        if store is None:
            return None
        loss = mean_log_loss(self.average.model, store, self.world, self.problem.shift)
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

    def _keep(self, epoch: int, position: int) -> None:
        """Write a checkpoint, if this is the rank that does."""
        self.pace.keep()
        if self.checkpoints is None or self.world.rank != 0:
            return
        arrays = state.arrays_of(self.model, self.optimizer)
        arrays |= {**prefixed("average", self.average.arrays()), **prefixed("best", self.best)}
        told = {"progress": self.progress.as_json(), "averaged": self.average.steps}
        record = {"solver": "minibatch", **told}
        checkpoint.write(self.checkpoints, Checkpoint(epoch, position, arrays, record))

    def _resume(self) -> tuple[int, int]:
        """Take up the newest checkpoint: its epoch and position. Every rank reads the same file."""
        found = None if self.checkpoints is None else checkpoint.seen_by_all(self.checkpoints, self.world)
        if found is None:
            return 0, 0
        self.model.load_state_dict(tensors(found.arrays, "model"))
        state.restore_optimizer(self.optimizer, tensors(found.arrays, "optimizer"))
        self.best = {name: t.numpy() for name, t in tensors(found.arrays, "best").items()}
        self.progress = Progress(**found.record["progress"])
        self.average.restore(tensors(found.arrays, "average"), found.record["averaged"])
        if self.world.rank == 0:
            share = 100 * found.position / self.rows
            log.info("going on in epoch %d, after %.0f %% of its rows", found.epoch + 1, share)
        return (self.problem.settings.epochs if self._is_stale() else found.epoch), found.position
