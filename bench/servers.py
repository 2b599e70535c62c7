"""The measured servers: granian, one process, each on a free loopback port.

The bare applications have as many threads as the product lets work at once: more cost them speed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

from config.env import BLOCKING_THREADS, REQUEST_SLOTS
from tests.ports import find_free_port

FLOOR, VIEW, PRODUCT = "floor", "Django view", "Latchkey"
APPLICATIONS = {
    FLOOR: ("bench.floor:application", None, REQUEST_SLOTS),
    VIEW: ("bench.django_view:application", "bench.django_settings", REQUEST_SLOTS),
    PRODUCT: ("config.wsgi:application", "config.settings", BLOCKING_THREADS),
}


class Served(NamedTuple):
    name: str
    port: int
    pid: int

    def url(self, target: str) -> str:
        return f"http://127.0.0.1:{self.port}{target}"

    def cpu_seconds(self) -> float:
        """Processor time of the server and its worker so far, user and system."""
        ticks = sum(_ticks(pid) for pid in [self.pid, *_children(self.pid)])
        return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serve(name: str) -> Iterator[Served]:
    """One of APPLICATIONS, until the block ends."""
    application, settings, threads = APPLICATIONS[name]
    port = find_free_port()
    environment = {**os.environ, **({"DJANGO_SETTINGS_MODULE": settings} if settings else {})}
    command = [
        *(
            sys.executable,
            "-m",
            "granian",
            "--interface",
            "wsgi",
            "--no-ws",
            "--log-level",
            "error",
        ),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--blocking-threads", str(threads), application),
    ]
    process = subprocess.Popen(command, env=environment)
    try:
        served = Served(name, port, process.pid)
        _wait(served, process)
        yield served
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(served: Served, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"bench: the server of {served.name} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", served.port), 1):
            return
        time.sleep(0.1)
    sys.exit(f"bench: the server of {served.name} did not come up")


def fetch(served: Served, target: str, token: str) -> bytes:
    """Return the body of one response."""
    request = urllib.request.Request(
        served.url(target), headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        body: bytes = response.read()
    return body


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as found:
        return [int(child) for child in found.read().split()]
    return []


def _ticks(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as found:
        fields = found.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0
