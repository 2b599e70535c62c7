#!/usr/bin/env python3
"""Restore a backup, and fail over to an asynchronous standby, while a strict provider goes on.

    .venv/bin/python tools/restore_drill.py restore    pg_dump, refreshes, the dump loaded again
    .venv/bin/python tools/restore_drill.py failover   an asynchronous standby is promoted
    .venv/bin/python tools/restore_drill.py kept       the same with SPOOL_STANDBY_SECONDS

Starts its own PostgreSQL clusters in a temporary folder (the server's programs must be installed), real
workers and a provider that replaces each refresh token and revokes the grant if an old one is used.
Prints what happened, and exits with 1 if a grant was used that should have waited.
"""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.fakes.provider import FakeProvider  # noqa: E402
from tests.fakes.registry import write_files  # noqa: E402

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
COMMAND = [sys.executable, "-m", "tools.fault_injection.launch"]

GRANTS = 50
LONG, SHORT = 3600, 20
"""Seconds that an access token lives: one that is not due after the restore, and one that is."""


class Cluster:
    """A PostgreSQL server in `folder`, which listens on a socket in the same folder only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        folder.mkdir()
        if os.getuid() == 0:
            # PostgreSQL does not run as root.
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)

    def run(self, program: str, *args: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        command = [str(PROGRAMS[-1] / program), *args]
        if os.getuid() == 0:
            groups = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
            command = ["setpriv", *groups, *command]
        return subprocess.run(command, cwd="/", check=True, capture_output=True, **options)

    def create(self) -> None:
        self.run("initdb", "-D", str(self.data), "-U", "latchkey", "-A", "trust", "--no-sync")

    def start(self) -> None:
        options = f"-c listen_addresses='' -k {self.folder} -c fsync=off -c max_connections=100"
        log = str(self.folder / "log")
        # Without this, pg_ctl's server keeps our pipes open and `run` never ends.
        command = ["-D", str(self.data), "-l", log, "-w", "-o", options, "start"]
        with open(os.devnull, "wb") as null:
            program = [str(PROGRAMS[-1] / "pg_ctl"), *command]
            if os.getuid() == 0:
                groups = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
                program = ["setpriv", *groups, *program]
            subprocess.run(program, cwd="/", check=True, stdout=null, stderr=null)

    def stop(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.run("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop")

    def sql(self, statement: str, database: str = "latchkey") -> str:
        args = ["-h", str(self.folder), "-U", "latchkey", "-d", database, "-XAtc", statement]
        return self.run("psql", *args).stdout.decode().strip()


class Drill:
    """One installation of Latchkey: its database, folders, keys and provider."""

    def __init__(self, work: Path, provider: FakeProvider, hosts: list[Path]) -> None:
        self.provider = provider
        self.log = work / "worker.log"
        write_files(work / "providers", provider.url)
        joined = ",".join(map(str, hosts))
        self.spool = work / "spool"
        self.variables = {
            "DATABASE_URL": f"postgresql://latchkey@/latchkey?host={joined}"
            "&target_session_attrs=read-write",
            "SECRET_KEY": secrets.token_urlsafe(48),
            "PUBLIC_URL": "http://127.0.0.1:8000",
            "ALLOWED_HOSTS": "127.0.0.1",
            "VAULT_KEYS": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            "PROVIDERS_DIR": str(work / "providers"),
            "EGRESS_ALLOW": f"127.0.0.1:{provider.port}",
            "SPOOL_DIR": str(self.spool),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        os.environ.update(self.variables)

    def set_up(self) -> None:
        """Migrate, and import the grants."""
        self.manage("migrate", "--verbosity", "0")
        import django

        django.setup()
        from tests.factories import make_account, make_app
        from tests.fakes.fixtures import make_grant

        account = make_account("Acme")
        app = make_app(account, "fake")
        for number in range(GRANTS):
            make_grant(account, app, self.provider, f"user-{number:02}")

    def manage(self, *args: str) -> str:
        command = [*COMMAND, *args]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{args}: {done.stdout}{done.stderr}")
        return done.stdout

    @contextlib.contextmanager
    def run_worker(self) -> Iterator[None]:
        """Run a worker for the time of the block."""
        with open(self.log, "ab") as log:
            command = [*COMMAND, "worker", "--concurrency", "8"]
            process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
            try:
                yield
            finally:
                process.terminate()
                process.wait(30)

    def refresh(self, ids: list[str]) -> None:
        """Refresh these grants in this process."""
        from common.actors import Actor
        from credentials.models import Credential
        from credentials.refresh import get_fresh_token

        for row in Credential.objects.filter(id__in=ids):
            actor = Actor(name="drill")
            get_fresh_token(account_id=row.account_id, id=row.id, actor=actor, force=True)

    def count_alive(self) -> int:
        return sum(not family.revoked for family in self.provider.grants.families.values())

    def report(self, title: str) -> None:
        from django.db import connection

        from credentials.core.grant_state import get_grant
        from credentials.models import Credential
        from credentials.restore.models import DatabaseRestore, RestoredGrant

        connection.close()
        rows = Credential.objects.select_related("grant")
        states = Counter(
            (get_grant(row).state, get_grant(row).error, row.health_status) for row in rows
        )
        notes = Counter(row.health["notes"][0] if row.health["notes"] else "" for row in rows)
        waiting = RestoredGrant.objects.filter(resumed_at=None).count()
        grants = self.provider.grants
        print(f"\n== {title}")
        print(
            f"   token requests {len(self.provider.calls)}, reuse detections {len(grants.reuses)}"
        )
        print(f"   alive at the provider {self.count_alive()} of {GRANTS}, waiting {waiting}")
        for state, count in states.most_common():
            print(f"   {count:3} × state, error, health: {state}")
        for note, count in notes.most_common():
            print(f"   {count:3} × note: {note[:150]}")
        for restore in DatabaseRestore.objects.order_by("id"):
            print(f"   restore recognised by {restore.reason}, to {restore.restored_to:%H:%M:%S}")


def drill_restore(work: Path, provider: FakeProvider) -> bool:
    """Load a dump that is older than two refreshes of each grant."""
    cluster = Cluster(work / "primary")
    cluster.create()
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.stop)
        cluster.start()
        cluster.sql("CREATE DATABASE latchkey", "postgres")
        drill = Drill(work, provider, [cluster.folder])
        drill.set_up()
        ids = get_ids()
        provider.lifetime = LONG
        drill.refresh(ids[: GRANTS // 2])
        provider.lifetime = SHORT
        drill.refresh(ids[GRANTS // 2 :])
        provider.lifetime = LONG
        drill.manage("worker", "--once")
        dump = cluster.run("pg_dump", "-h", str(cluster.folder), "-U", "latchkey", "latchkey")
        drill.refresh(ids)
        drill.refresh(ids)
        drill.report("before the restore")
        time.sleep(SHORT)
        close_connections()
        cluster.sql("DROP DATABASE latchkey WITH (FORCE)", "postgres")
        cluster.sql("CREATE DATABASE latchkey", "postgres")
        args = ["-h", str(cluster.folder), "-U", "latchkey", "-d", "latchkey", "-Xq"]
        cluster.run("psql", *args, input=dump.stdout)
        with drill.run_worker():
            time.sleep(30)
            drill.report("30 s after the backup was restored, with a worker")
            burnt = len(provider.grants.reuses)
            print(drill.manage("restored"), end="")
            print(drill.manage("restored", "--resume"), end="")
            time.sleep(20)
            drill.report("20 s after manage.py restored --resume")
        return burnt == 0


def drill_failover(work: Path, provider: FakeProvider, *, keep: bool) -> bool:
    """Promote a standby that lacks the refreshes of 20 grants, while a worker runs."""
    primary, standby = Cluster(work / "primary"), Cluster(work / "standby")
    primary.create()
    with contextlib.ExitStack() as stack:
        stack.callback(primary.stop)
        stack.callback(standby.stop)
        primary.start()
        primary.sql("CREATE DATABASE latchkey", "postgres")
        target = ["-h", str(primary.folder), "-U", "latchkey", "-D", str(standby.data)]
        primary.run("pg_basebackup", *target, "-R", "-c", "fast", "--no-sync")
        standby.start()
        if keep:
            os.environ["SPOOL_STANDBY_SECONDS"] = "600"
        drill = Drill(work, provider, [primary.folder, standby.folder])
        drill.set_up()
        ids = get_ids()
        provider.lifetime = SHORT
        drill.refresh(ids[:10])
        provider.lifetime = LONG
        drill.refresh(ids[10:])
        with drill.run_worker():
            time.sleep(12)
            wait_until(lambda: is_replicated(primary))
            drill.report("before the failover; the standby has everything")
            # From here on commits do not reach the standby.
            standby.sql("ALTER SYSTEM SET primary_conninfo = ''", "postgres")
            standby.sql("SELECT pg_reload_conf()", "postgres")
            wait_until(lambda: primary.sql("SELECT count(*) FROM pg_stat_replication") == "0")
            drill.refresh(ids[:20])
            reuses = len(provider.grants.reuses)
            print(f"\n   files kept for the standby: {len(list(drill.spool.glob('*.kept')))}")
            close_connections()
            primary.stop()
            standby.run("pg_ctl", "-D", str(standby.data), "-w", "promote")
            time.sleep(30)
            drill.report("30 s after the standby was promoted, with the same worker")
            burnt = len(provider.grants.reuses) - reuses
            if not keep:
                print(drill.manage("restored"), end="")
                print(drill.manage("restored", "--resume"), end="")
                time.sleep(20)
                drill.report("20 s after manage.py restored --resume")
        return burnt == 0


def get_ids() -> list[str]:
    from credentials.models import Credential

    return [str(id) for id in Credential.objects.order_by("id").values_list("id", flat=True)]


def close_connections() -> None:
    from config.startup import disconnect_database

    disconnect_database()


def is_replicated(primary: Cluster) -> bool:
    behind = "SELECT pg_current_wal_lsn() - replay_lsn <= 0 FROM pg_stat_replication"
    return primary.sql(behind) == "t"


def wait_until(is_true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            raise SystemExit("it did not happen in time")
        time.sleep(0.2)


def main(name: str) -> int:
    work = Path(tempfile.mkdtemp(prefix="latchkey-drill."))
    work.chmod(0o755)
    try:
        with FakeProvider() as provider:
            if name == "restore":
                succeeded = drill_restore(work, provider)
            else:
                succeeded = drill_failover(work, provider, keep=name == "kept")
        for line in (work / "worker.log").read_text().splitlines():
            if "database.restored" in line or "spool_replayed" in line:
                print(line[:300])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(
        "\nno grant was used before a person decided" if succeeded else "\nFAILED: grants were used"
    )
    return 0 if succeeded else 1


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in {"restore", "failover", "kept"}:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1]))
