"""The command line: arguments and TOML to a verb, and its outcome to an exit code."""

from binclf.cli.main import main

__all__ = ["main"]
