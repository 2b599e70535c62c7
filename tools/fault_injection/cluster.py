"""PostgreSQL clusters on loopback: a primary and, if wanted, a standby that can take its place."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Final, Self

import psycopg

from tests.ports import find_free_ports
from tools.fault_injection.cleanup import add_cleanup

_OPTIONS: Final = (
    # A crash of the server loses nothing without fsync; only one of the machine would.
    "-c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c max_connections=200"
    " -c wal_keep_size=512MB -c shared_buffers=128MB"
)


class Cluster:
    """A primary on one of two ports, as a context. `get_url` names both; the one that can write is used.

    With `is_synchronous`, a commit is acknowledged only once the standby has it.
    """

    def __init__(self, *, is_synchronous: bool = False) -> None:
        self.is_synchronous = is_synchronous
        self._folder = Path(tempfile.mkdtemp(prefix="latchkey-cluster-"))
        self._ports = find_free_ports(2)
        self._primary = 0
        self._has_standby = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        add_cleanup(self.stop)
        if os.getuid() == 0:
            shutil.chown(self._folder, "postgres", "postgres")
        data = self._get_data(0)
        self._run(
            *("initdb", "-D", data, "-U", "latchkey", "-A", "trust"),
            *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
        )
        self._start(0)
        self._run("createdb", "-h", "127.0.0.1", "-p", self._ports[0], "-U", "latchkey", "latchkey")
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop both servers and delete their data."""
        for number in (0, 1):
            self._stop(number)
        shutil.rmtree(self._folder, ignore_errors=True)

    def get_url(self, database: str = "latchkey") -> str:
        """Return the value of DATABASE_URL, which leads to the one of the two hosts that accepts writes."""
        ports = ",".join(str(port) for port in self._ports)
        return (
            f"postgresql://latchkey@/{database}?host=127.0.0.1,127.0.0.1&port={ports}"
            "&target_session_attrs=read-write"
        )

    def copy_database(self, name: str) -> str:
        """Copy the database `latchkey`, which no process may use, and return the URL of the copy."""
        with self._lock:
            self._execute(f"CREATE DATABASE {name} TEMPLATE latchkey", database="postgres")
        return self.get_url(name)

    def restart(self) -> None:
        """Restart the primary as after a crash: connections are cut, and it recovers from its log."""
        self._stop(self._primary)
        self._start(self._primary)

    def add_standby(self) -> None:
        """Copy the primary to the other port, and stream to it from then on."""
        number = 1 - self._primary
        shutil.rmtree(self._get_data(number), ignore_errors=True)
        self._run(
            *("pg_basebackup", "-h", "127.0.0.1", "-p", self._ports[self._primary]),
            *("-U", "latchkey", "-D", self._get_data(number), "-R", "-X", "stream"),
            *("-c", "fast", "--no-sync"),
        )
        self._start(number)
        self._has_standby = True
        if self.is_synchronous:
            self._wait_for_streaming()
            self._execute("ALTER SYSTEM SET synchronous_standby_names = '*'")

    def fail_over(self) -> None:
        """Crash the primary and promote the standby. Without a standby, raise RuntimeError."""
        if not self._has_standby:
            raise RuntimeError("There is no standby.")
        self._stop(self._primary)
        self._primary = 1 - self._primary
        self._run("pg_ctl", "-D", self._get_data(self._primary), "promote", "-w")
        self._has_standby = False
        # The former primary is gone, so nothing could acknowledge a commit.
        self._execute("ALTER SYSTEM RESET synchronous_standby_names")

    def copy(self) -> Path:
        """Return a copy of the primary's data as a backup has it (pg_basebackup)."""
        target = self._folder / f"backup-{time.monotonic_ns()}"
        self._run(
            *("pg_basebackup", "-h", "127.0.0.1", "-p", self._ports[self._primary]),
            *("-U", "latchkey", "-D", target, "-X", "stream", "-c", "fast", "--no-sync"),
        )
        return target

    def restore(self, backup: Path) -> None:
        """Put the copy in the place of the primary, which loses all that it has written since."""
        self._stop(self._primary)
        data = self._get_data(self._primary)
        shutil.rmtree(data)
        shutil.move(backup, data)
        self._start(self._primary)

    def _execute(self, sql: str, *, database: str = "latchkey") -> None:
        with psycopg.connect(
            host="127.0.0.1",
            port=self._ports[self._primary],
            user="latchkey",
            dbname=database,
            autocommit=True,
        ) as connection:
            connection.execute(sql)
            connection.execute("SELECT pg_reload_conf()")

    def _wait_for_streaming(self) -> None:
        for _ in range(100):
            with psycopg.connect(
                host="127.0.0.1",
                port=self._ports[self._primary],
                user="latchkey",
                dbname="latchkey",
            ) as connection:
                sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
                if (connection.execute(sql).fetchone() or [0])[0]:
                    return
            time.sleep(0.1)
        raise RuntimeError("The standby does not stream.")

    def _get_data(self, number: int) -> Path:
        return self._folder / f"data-{number}"

    def _start(self, number: int) -> None:
        self._run(
            *("pg_ctl", "-D", self._get_data(number), "-l", self._folder / f"log-{number}"),
            *("-w", "-o", f"{_OPTIONS} -c port={self._ports[number]} -k {self._folder}", "start"),
        )

    def _stop(self, number: int) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", self._get_data(number), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: object) -> None:
        command = [_find_program(program), *map(str, arguments)]
        if os.getuid() == 0:
            # PostgreSQL does not run as root.
            command = [
                *("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"),
                *command,
            ]
        # The server inherits the output, so a pipe would never end.
        with (self._folder / "programs.log").open("ab") as log:
            subprocess.run(command, check=True, cwd="/", stdout=log, stderr=log)


def _find_program(name: str) -> str:
    """Return the path of PostgreSQL's program of the newest version. Raise RuntimeError without one."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3])
    )
    path = str(found[-1]) if found else shutil.which(name)
    if not path:
        raise RuntimeError(f"{name} is missing: install PostgreSQL's server.")
    return path
