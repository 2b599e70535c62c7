"""A shipped server, the proxy's or the API's, in processes of its own, on the database of the tests.

`python -m tests.credentials.proxy.server_process JSON` serves until it is ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from tests.ports import find_free_port

ROOT = Path(__file__).parents[3]


class ServerProcess:
    """`manage.py serve_proxy`, or another `command`, as a context. `host` is that of the database."""

    def __init__(
        self,
        settings: Any,
        database: str,
        command: str = "serve_proxy",
        host: str | None = None,
        **options: int,
    ) -> None:
        self.port = find_free_port()
        names = ("PROVIDERS_DIR", "EGRESS_ALLOW", "SPOOL_DIR")
        config = {
            "command": command,
            "database": {"NAME": database, **({"HOST": host, "PORT": ""} if host else {})},
            "settings": {name: getattr(settings, name) for name in names},
            "options": {"port": self.port, **options},
        }
        # A file, because no process reads a pipe while the server runs, and a full one would block it.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the server
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.credentials.proxy.server_process", json.dumps(config)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log()[-3000:]}")
            with contextlib.suppress(OSError), self.connect() as sock:
                sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                if sock.recv(100):
                    return self
            time.sleep(0.1)
        raise AssertionError("the server did not come up")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()

    def log(self) -> str:
        """Return what the server has written to stderr so far."""
        self._log.seek(0)
        return self._log.read().decode()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30)

    @property
    def workers(self) -> list[int]:
        """The process ids of its children, of all its threads."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(pid) for task in tasks.glob("*/children") for pid in task.read_text().split()]

    @property
    def worker(self) -> int:
        return self.workers[0]

    def kill(self) -> None:
        """Kill the worker with SIGKILL, and the server so that it starts no other worker."""
        os.kill(self.process.pid, signal.SIGSTOP)
        os.kill(self.worker, signal.SIGKILL)

    def memory(self) -> int:
        """Return the resident memory of the worker in bytes."""
        for line in Path(f"/proc/{self.worker}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the kernel reports no memory")


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    config = json.loads(sys.argv[1])

    import django
    from django.conf import settings

    settings.DATABASES["default"].update(config["database"])
    for name, value in config["settings"].items():
        setattr(settings, name, value)
    # As in production: a request that waits for a provider occupies none of these.
    if "pool" in settings.DATABASES["default"]["OPTIONS"]:
        settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"] = 8
    django.setup()
    from django.core.management import call_command

    call_command(config["command"], **config["options"])


if __name__ == "__main__":
    main()
