"""A verb on R ranks: child processes that are started and ended together.

The ranks meet through a file in a fresh private directory: no port, no name look-up, and 2 s sooner than
torchrun's agent (which is the other way into the same entry point). Each rank dies with its launcher
(PR_SET_PDEATHSIG), so that `kill -9` leaves no orphans; each writes its own error down, since an exit code
after a gloo failure is as often 134 as what was meant.
"""

from binclf.launch.group import launch
from binclf.launch.progress import Progress, progress_of
from binclf.launch.rank import die_with_launcher, keep_memory, one_heap, write_error

__all__ = [
    "Progress",
    "die_with_launcher",
    "keep_memory",
    "launch",
    "one_heap",
    "progress_of",
    "write_error",
]
