"""A port for a server that cannot find one itself."""

from __future__ import annotations

import random
import socket
from pathlib import Path

HANDED_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")  # to connections, on Linux


def free_port() -> int:
    """A free port of 127.0.0.1, of those that no connection is given before the server has it."""
    end = int(HANDED_OUT.read_text().split()[0]) if HANDED_OUT.exists() else 49152
    draw = random.SystemRandom()
    while True:
        port = draw.randrange(10_000, max(end, 20_000))
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:  # somebody has it
                continue
            return port
