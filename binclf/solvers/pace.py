"""How many steps to run before all ranks pause: measured by one, told to all."""

from __future__ import annotations

import time

FIRST_STEPS = 16
GROWTH = 4  # a segment is at most so many times as long as the one before
YOUNG_SECONDS = 0.5  # a checkpoint is not followed by another sooner: flushing to disk would be slower
TOLD_SECONDS = 10.0  # between two lines of progress within an epoch
SLOW_SECONDS = 1.0  # between two lines at the ends of epochs or passes: who waits longer wants to know


class Pace:
    """The clock of rank 0; the other ranks go by its words."""

    def __init__(self, checkpoint_seconds: float) -> None:
        """Begin to measure."""
        self.seconds = checkpoint_seconds
        self.steps = 1 if checkpoint_seconds == 0 else FIRST_STEPS  # of the segment that goes on
        self.began = time.monotonic()  # the segment
        self.kept = self.told = self.began  # last checkpoint, last line of progress
        self.has_kept = False

    def proposal(self) -> int:
        """Steps of the next segment, to reach the next checkpoint, or line, but not beyond it."""
        now = time.monotonic()
        a_step = max((now - self.began) / self.steps, 1e-6)
        left = min(self.kept + self.seconds, self.told + TOLD_SECONDS) - now
        return 1 if self.seconds == 0 else int(min(max(left / a_step, 1), GROWTH * self.steps))

    def start(self, steps: int) -> None:
        """A segment of so many steps begins."""
        self.steps, self.began = steps, time.monotonic()

    def keep(self) -> None:
        """A checkpoint is written now."""
        self.kept, self.has_kept = time.monotonic(), True

    @property
    def is_due(self) -> bool:
        """Whether it is time for a checkpoint within an epoch."""
        return time.monotonic() - self.kept >= 0.95 * self.seconds

    @property
    def is_young(self) -> bool:
        """Whether the last checkpoint is so young that little would be lost with it."""
        return self.has_kept and self.seconds > 0 and time.monotonic() - self.kept < YOUNG_SECONDS

    def tells(self, seconds: float) -> bool:
        """Whether the last line of progress is so many seconds ago; then the next is due later."""
        if time.monotonic() - self.told < seconds:
            return False
        self.told = time.monotonic()
        return True
