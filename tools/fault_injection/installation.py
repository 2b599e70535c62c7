"""An installation of Latchkey: its environment, its processes, and a client of its API."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from tests.ports import find_free_port
from tools.fault_injection.cleanup import add_cleanup

ROOT: Final = Path(__file__).parents[2]

_START_SECONDS: Final = 60


class Response(NamedTuple):
    """A response of the API. `document` is {} if the body is not JSON."""

    status: int
    document: Any
    seconds: float


class Installation:
    """Processes on one database, as a context that ends them. `folder` gets their logs and spools.

    `environment` has variables that differ from those of every installation.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str,
        providers: Path,
        allow: str,
        mail_port: int = 0,
        **environment: str,
    ) -> None:
        self.folder = folder
        self.processes: dict[str, Process] = {}
        mail = f"127.0.0.1:{mail_port}" if mail_port else ""
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "DEBUG": "0",
            "SECRET_KEY": "only for tests " * 5,
            "PUBLIC_URL": "http://127.0.0.1",
            "ALLOWED_HOSTS": "127.0.0.1",
            "VAULT_KEYS": f"proof:{base64.b64encode(b'p' * 32).decode()}",
            "VAULT_KEYS_FILE": "",
            # The proofs refresh each grant more often than a company would.
            "RATE_LIMITS": "0",
            "PROVIDERS_DIR": str(providers),
            "EGRESS_ALLOW": ",".join(filter(None, [allow, mail])),
            "EMAIL_URL": f"smtp://{mail}/?_default_from_email=latchkey@example.com" if mail else "",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            # A killed server leaves its folder of metrics behind.
            "TMPDIR": str(folder),
            "PYTHONPATH": str(ROOT),
            **environment,
        }

    def __enter__(self) -> Self:
        add_cleanup(self.stop)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill all processes."""
        for process in list(self.processes.values()):
            process.kill()

    def run(self, *command: str) -> str:
        """Run a management command and return what it printed. Raises RuntimeError if it fails."""
        done = subprocess.run(
            _build_command(command),
            cwd=ROOT,
            env={**self._environment, "SPOOL_DIR": str(self.folder / "spool")},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-3000:]}")
        return done.stdout.strip()

    def migrate(self) -> None:
        """Create the tables."""
        self.run("migrate", "--verbosity=0")

    def create_client(self) -> ApiClient:
        """Create an account, and return a client with every scope in it."""
        from common.scopes import ALL

        account = self.run("create_account", f"Proof {time.monotonic_ns()}")
        scopes = f"--scopes={','.join(ALL)}"
        return ApiClient(self, self.run("create_token", "--account", account, "--name=x", scopes))

    def start(self, name: str, *command: str, port: int | None = None) -> Process:
        """Start a process that is called `name` and wait until it has started."""
        process = self.add(name, *command, port=port)
        process.wait_until_ready()
        return process

    def start_server(self, name: str) -> Process:
        """Start `manage.py serve` on a port of its own."""
        port = find_free_port()
        return self.start(name, "serve", f"--port={port}", port=port)

    def start_worker(self, name: str, *options: str) -> Process:
        """Start `manage.py worker`."""
        return self.start(name, "worker", *options)

    def add(self, name: str, *command: str, port: int | None = None) -> Process:
        """Start a process without waiting for it."""
        spool = self.folder / name / "spool"
        process = self.processes[name] = Process(
            _build_command(command),
            environment={**self._environment, "SPOOL_DIR": str(spool)},
            log=self.folder / f"{name}.log",
            port=port,
        )
        process.start()
        return process

    def list_ports(self) -> list[int]:
        """Return the ports of the servers that run."""
        return [one.port for one in self.processes.values() if one.port and one.is_running()]

    def count_spool_files(self) -> int:
        """Return how many provider responses wait for the database."""
        return sum(1 for _ in self.folder.glob("*/spool/*.answer"))


class Process:
    """A process of Latchkey in a process group of its own, so that a kill also ends its children."""

    def __init__(
        self, command: list[str], *, environment: dict[str, str], log: Path, port: int | None
    ) -> None:
        self.port = port
        self.kills = 0
        self._command = command
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Wait until the server responds, or the worker says that it has started."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            if not self.is_running():
                raise RuntimeError(f"It ended: {self.read_log()[-3000:]}")
            if self._responds() if self.port else "worker.started" in self.read_log():
                return
            time.sleep(0.1)
        raise RuntimeError(f"It did not start: {self.read_log()[-3000:]}")

    def kill(self) -> None:
        """Kill the process and its children with SIGKILL."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End the process as an operator does: what is under way may end first."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(120)

    def count_starts(self) -> int:
        """Return how often it has started as a worker."""
        return self.read_log().count("worker.started")

    def read_log(self) -> str:
        """Return what it has written so far."""
        return self._log.read_text(errors="replace")

    def _responds(self) -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return send(self.port or 0, "GET", "/healthz").status == 200
        return False


class ApiClient:
    """A client of the servers of an installation. A request goes to one of them, in turn."""

    def __init__(self, installation: Installation, token: str) -> None:
        self.installation = installation
        self.token = token
        self._number = 0

    def call(self, method: str, path: str, document: Any = None) -> Response:
        """Send a request to a server that runs, again if its connection breaks, for a minute."""
        end = time.monotonic() + 60
        while True:
            ports = self.installation.list_ports()
            self._number += 1
            try:
                port = ports[self._number % len(ports)]
                response = send(port, method, f"/v1{path}", document, self.token)
                if response.status != 503 or time.monotonic() > end or method != "GET":
                    return response
            except (OSError, http.client.HTTPException, ZeroDivisionError):
                if time.monotonic() > end:
                    raise
            time.sleep(0.5)

    def create_app(self, provider: str, **fields: Any) -> str:
        """Create an OAuth app and return its id."""
        app = {"name": provider, "client_id": f"client-{provider}", "client_secret": "app-secret"}
        response = self.call("POST", "/oauth-apps", {"provider": provider, **app, **fields})
        require(response, 200)
        return str(response.document["id"])

    def import_grants(
        self, provider: str, app_id: str, tokens: dict[str, dict[str, str]], **fields: Any
    ) -> None:
        """Import one credential for each user of `tokens`, with an access token that has expired."""
        expired = {"kind": f"{provider}_oauth2", "expires_at": "2026-01-01T00:00:00Z"}
        lines = [
            {"properties": {**expired, "user_id": user, **each}, "oauth_app_id": app_id, **fields}
            for user, each in tokens.items()
        ]
        response = self.call("POST", "/credentials/import", lines)
        require(response, 200)
        stored = response.document["created"] + response.document["updated"]
        if stored != len(lines):
            raise RuntimeError(f"The import stored {response.document}.")

    def list_credentials(self, **filters: str) -> list[dict[str, Any]]:
        """Return all credentials that match, from all pages."""
        return list(self._iterate(filters))

    def _iterate(self, filters: dict[str, str]) -> Iterator[dict[str, Any]]:
        query = "&".join(f"{name}={value}" for name, value in {"limit": "200", **filters}.items())
        cursor = ""
        while True:
            response = self.call("GET", f"/credentials?{query}{cursor}")
            require(response, 200)
            yield from response.document["data"]
            if not response.document["next_cursor"]:
                return
            cursor = f"&cursor={response.document['next_cursor']}"


def send(
    port: int,
    method: str,
    path: str,
    document: Any = None,
    token: str = "",
    *,
    timeout: float = 30,
) -> Response:
    """Send one request on a connection of its own. Raises OSError or HTTPException."""
    start = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = None if document is None else json.dumps(document)
    try:
        connection.request(method, path, body, headers if token else {})
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = {}
    return Response(response.status, parsed, time.monotonic() - start)


def require(response: Response, *statuses: int) -> None:
    """Raise RuntimeError unless the response has one of the statuses."""
    if response.status not in statuses:
        raise RuntimeError(f"The API responded {response.status}: {response.document}")


def _build_command(command: Iterable[str]) -> list[str]:
    return [sys.executable, "-m", "tools.fault_injection.launch", *command]
