"""Run production on loopback by the files of deploy/, kill each part under load, and upgrade it.

    POSTGRES_OPTIONS='-c synchronous_commit=on' tools/with-postgres .venv/bin/python -m tools.production_drill --old COMMIT

Two roles, nginx with TLS, two API servers, two proxies and two workers. Clients import credentials and repeat
a request that failed with the same Idempotency-Key. Each part is killed with SIGKILL and started again, as
systemd would do. Then the database is migrated and each process replaced by this version, one after the
other. Without --old, that is a rolling restart. In the end every import with a response of 200 must be stored
exactly once. Needs nginx, psql and openssl; nothing listens on any other address.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.deploy import nginx as site
from tests.ports import find_free_ports

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "var" / "drill"
PORTS = dict(zip((443, 80, 8000, 8002, 8001, 8003), find_free_ports(6), strict=True))
RESTART_SECONDS = 2
"""RestartSec of the units."""


class Service:
    """A process of the kit, in a group of its own as in a unit of systemd."""

    def __init__(self, name: str, arguments: list[str], env: dict[str, str], cwd: Path) -> None:
        self.name, self.arguments, self.env, self.cwd = name, arguments, env, cwd
        self.port = int(arguments[-1]) if "--port" in arguments else None

    def start(self) -> None:
        with (FOLDER / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.arguments,
                cwd=self.cwd,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 90
        while self.port is not None and not site.is_healthy(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{self.name} did not start: {FOLDER / f'{self.name}.log'}")
            time.sleep(0.2)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> float:
        """End the process as `systemctl stop`; return the seconds that it took."""
        started_at = time.monotonic()
        self.process.terminate()
        self.process.wait(timeout=60)
        return time.monotonic() - started_at


class Load:
    """Clients that import credentials, list them and use the proxy, all by nginx."""

    def __init__(self, token: str, clients: int) -> None:
        self.token = token
        self.confirmed: list[str] = []
        self.failures: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self._context = ssl.create_default_context(cafile=FOLDER / "fullchain.pem")
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        work = [self._import_one] * clients + [self._list, self._use_proxy]
        self._threads = [threading.Thread(target=self._repeat, args=(each,)) for each in work]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, function: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            function()

    def _import_one(self) -> None:
        name = uuid.uuid4().hex
        body = {
            "properties": {
                "kind": "stripe_key", "name": name, "secret": f"sk_live_{name}", "test": False,
            },
            "external_id": name,
        }  # fmt: skip
        while self._send("import", "POST", "/v1/credentials", json.dumps(body), name) != 200:
            if self._stopping.is_set():
                return
            time.sleep(0.2)
        with self._lock:
            self.confirmed.append(name)

    def _list(self) -> None:
        self._send("list", "GET", "/v1/credentials?limit=5")
        time.sleep(0.05)

    def _use_proxy(self) -> None:
        # No credential has this id: the proxy itself responds, with 404.
        self._send("proxy", "GET", f"/v1/proxy/credential/{uuid.UUID(int=0)}/x")
        time.sleep(0.05)

    def _send(self, name: str, method: str, path: str, body: str = "", key: str = "") -> int:
        headers = {"Authorization": f"Bearer {self.token}"}
        headers |= {"Idempotency-Key": key, "Content-Type": "application/json"} if key else {}
        connection = http.client.HTTPSConnection(
            "localhost", PORTS[443], context=self._context, timeout=30
        )
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            response.read()
            status = response.status
        except (OSError, http.client.HTTPException) as error:
            self._count(name, type(error).__name__)
            return 0
        finally:
            connection.close()
        self._count(name, None if status in {200, 404} else str(status))
        return status

    def _count(self, name: str, failure: str | None) -> None:
        with self._lock:
            self.requests[name] += 1
            if failure:
                self.failures[f"{name} {failure}"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", help="the commit of the former version")
    parser.add_argument("--seconds", type=float, default=5, help="load after each step")
    parser.add_argument("--clients", type=int, default=3)
    options = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with checkout(options.old) as old:
        run(options, old)


@contextlib.contextmanager
def checkout(commit: str | None) -> Iterator[Path]:
    if commit is None:
        yield ROOT
        return
    folder = FOLDER / "old"
    subprocess.run(
        ["git", "worktree", "add", "-q", "--detach", folder, commit], cwd=ROOT, check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=True)


def run(options: argparse.Namespace, old: Path) -> None:
    owner_url, app_url = create_roles()
    env = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": secrets.token_urlsafe(48),
        "PUBLIC_URL": f"https://localhost:{PORTS[443]}",
        "ALLOWED_HOSTS": "localhost",
        "DATABASE_URL": app_url,
        "RATE_LIMITS": "0",
        "VAULT_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "SPOOL_DIR": str(FOLDER / "spool"),
        "TRUSTED_PROXIES": "1",
        "ACCESS_LOG": "1",
    }
    owner = {**env, "DATABASE_URL": owner_url}
    migrate(old, owner)
    token = manage(
        ROOT, owner, "shell", "-v", "0", "-c",
        "from tests.factories import make_account, make_token; print(make_token(make_account('A')))",
    ).split()[-1]  # fmt: skip
    site.create_certificate(FOLDER)
    services = build_services(env, old)
    for service in services:
        service.start()
    for service in services:
        service.wait_until_ready()
    load = Load(token, options.clients)
    try:
        step("steady", load, options.seconds)
        for service in services:
            service.kill()
            time.sleep(RESTART_SECONDS)
            service.start()
            service.wait_until_ready()
            step(f"kill -9 {service.name}", load, options.seconds)
        kill_database_backend(owner_url)
        step("kill -9 of a backend of PostgreSQL", load, options.seconds)
        migrate(ROOT, owner)
        step("migrate, with the former version running", load, options.seconds)
        for service in services:
            if service.name == "nginx":
                continue
            seconds = service.stop()
            service.cwd = ROOT
            service.start()
            service.wait_until_ready()
            step(f"replace {service.name} (stopped in {seconds:.1f} s)", load, options.seconds)
    finally:
        load.stop()
        for service in services:
            service.stop()
    report(load, app_url)


def create_roles() -> tuple[str, str]:
    """Create the roles and the database of the kit; return the URLs of the owner and of the service."""
    server = conninfo_to_dict(os.environ["TEST_DATABASE_URL"])
    env = {"PATH": os.environ["PATH"], "PGHOST": str(server["host"]), "PGUSER": str(server["user"])}
    command = ["psql", "-q", "-v", "owner_password=o", "-v", "app_password=a", "-f"]
    script = ROOT / "deploy" / "postgresql" / "roles.sql"
    name = f"drill{secrets.token_hex(3)}"
    renamed = FOLDER / "roles.sql"
    renamed.write_text(script.read_text().replace("latchkey", name))
    subprocess.run([*command, renamed, "postgres"], env=env, check=True)
    host = quote(str(server["host"]), safe="")
    return (
        f"postgresql://{name}_owner:o@{host}/{name}",
        f"postgresql://{name}_app:a@{host}/{name}",
    )


def migrate(version: Path, owner: dict[str, str]) -> None:
    manage(version, owner, "migrate", "-v", "0")
    role = owner["DATABASE_URL"].split("/")[2].split(":")[0].replace("_owner", "_app")
    manage(ROOT, owner, "grant_rights", role)


def manage(version: Path, env: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=version,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"manage.py {arguments[0]}: {done.stderr}")
    return done.stdout


def build_services(env: dict[str, str], version: Path) -> list[Service]:
    python = [sys.executable, "manage.py"]
    servers = [
        Service(
            f"{command}@{port}",
            [*python, command, "--workers", "1", "--port", str(PORTS[port])],
            env,
            version,
        )
        for command, ports in (("serve", (8000, 8002)), ("serve_proxy", (8001, 8003)))
        for port in ports
    ]
    workers = [
        Service(f"worker@{number}", [*python, "worker", "--concurrency", "4"], env, version)
        for number in (1, 2)
    ]
    # The test shortens this deadline; nothing here depends on it.
    config = site.write_config(FOLDER, PORTS)
    nginx = Service("nginx", ["nginx", "-c", str(config), "-p", str(FOLDER)], env, ROOT)
    return [*servers, *workers, nginx]


def kill_database_backend(url: str) -> None:
    """Kill a server process, upon which PostgreSQL ends all connections and recovers."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url) as database:
        row = database.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        os.kill(row[0], signal.SIGKILL)


def step(name: str, load: Load, seconds: float) -> None:
    """Go on for some seconds, and print what failed since the last step."""
    time.sleep(seconds)
    failures, load.failures = load.failures, Counter()
    requests, load.requests = load.requests, Counter()
    print(f"{name:<45} {dict(requests)} failed: {dict(failures) or 'none'}", flush=True)


def report(load: Load, url: str) -> None:
    with psycopg.connect(url) as database:
        rows = database.execute(
            "SELECT external_id, count(*) FROM credentials_credential GROUP BY external_id"
        ).fetchall()
    stored: dict[str, int] = dict(rows)
    lost = [name for name in load.confirmed if name not in stored]
    double = [name for name, count in stored.items() if count != 1]
    print(f"confirmed {len(load.confirmed)}, lost {len(lost)}, stored twice {len(double)}")
    sys.exit(1 if lost or double else 0)


if __name__ == "__main__":
    main()
