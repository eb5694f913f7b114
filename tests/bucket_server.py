"""An S3 server of a test's own, as a process: counts requests, and fails or dawdles when it is told to.

    python -m tests.bucket_server PORT_FILE

Behind it is moto, which speaks S3's protocol over HTTP; what is kept goes with the process. Besides the
protocol it answers /_counts (GET: requests so far as JSON; then the counts begin anew) and /_faults (POST
JSON: {"fail": n, "status": 503, "slow": n, "seconds": s, "match": "text in the path"}): the next n object
requests fail, or are answered after s seconds.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Environment = dict[str, Any]
SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Reduce your request rate.</Message></Error>"
)


class Faulty:
    """The server's application behind a gate."""

    def __init__(self) -> None:
        self.behind = DomainDispatcherApplication(create_backend_app)
        self.counts: Counter[str] = Counter()
        self.faults: dict[str, Any] = {}
        self.lock = threading.Lock()

    def __call__(self, environ: Environment, start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if path == "/_counts":
            with self.lock:
                told, self.counts = dict(self.counts), Counter()
            return _answer(start, "200 OK", json.dumps(told).encode())
        if path == "/_faults":
            self.faults = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            return _answer(start, "200 OK", b"")
        delay, status = self._count(method, path)
        time.sleep(delay)
        if status:
            return _answer(start, f"{status} Injected", b"" if method == "HEAD" else SLOW_DOWN)
        answer: Iterable[bytes] = self.behind(environ, start)
        return answer

    def _count(self, method: str, path: str) -> tuple[float, int]:
        """Count a request; returns for how long it is to wait, and the status to fail with or 0."""
        with self.lock:
            self.counts[method] += 1
            faults = self.faults
            if faults.get("match", "") not in path:
                return 0.0, 0
            if faults.get("fail", 0) > 0:
                faults["fail"] -= 1
                self.counts["failed"] += 1
                return 0.0, int(faults.get("status", 503))
            if faults.get("slow", 0) > 0:
                faults["slow"] -= 1
                self.counts["slowed"] += 1
                return float(faults["seconds"]), 0
        return 0.0, 0


def _answer(start: Callable[..., Any], status: str, content: bytes) -> list[bytes]:
    start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))])
    return [content]


def main(port_file: Path) -> None:
    """Serve on a free port of 127.0.0.1, which is written to a file, until the process ends."""
    server = make_server("127.0.0.1", 0, Faulty(), threaded=True)
    beside = port_file.with_suffix(".tmp")
    beside.write_text(str(server.port))
    beside.rename(port_file)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
