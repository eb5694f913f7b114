"""When labels arrive: scores that were given out, joined with what came true, against the promise."""

from binclf.backtest.run import backtest

__all__ = ["backtest"]
