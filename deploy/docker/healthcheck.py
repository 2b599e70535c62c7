"""Exit with 0 if the process in this container is healthy. It needs nothing but Python's library.

python deploy/docker/healthcheck.py 8000         /healthz of the server on that port
python deploy/docker/healthcheck.py /tmp/alive   a worker started with --alive-file /tmp/alive
"""

from __future__ import annotations

import http.client
import os
import sys
import time

MAX_AGE = 60
"""Seconds since the worker's last sign of life. A busy worker gives one every few seconds."""


def is_server_healthy(port: int) -> bool:
    """Return whether /healthz responds with 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def is_worker_healthy(path: str) -> bool:
    """Return whether the worker has touched its file within MAX_AGE seconds."""
    try:
        return time.time() - os.stat(path).st_mtime < MAX_AGE
    except OSError:
        return False


if __name__ == "__main__":
    target = sys.argv[1]
    healthy = is_server_healthy(int(target)) if target.isdigit() else is_worker_healthy(target)
    sys.exit(0 if healthy else 1)
