"""Refreshing stale grants: how near the worker comes to what its threads and the token server allow."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench.report import Ratio, table

DELAY: Final = 0.3
ACCOUNTS: Final = 4
APPS: Final = 2
"""Of each account. One app alone may have 20 calls at once (credentials/refresh/circuit_breaker.py)."""

ROOT: Final = Path(__file__).parents[1]


def measure(count: int) -> list[Ratio]:
    """Print the grants refreshed in a second by one and two workers; the ratios with their targets."""
    rates = {}
    for name, workers, concurrency in (("one", 1, 16), ("two", 2, 16), ("wide", 1, 64)):
        rates[name] = _round(count, workers, concurrency)
    ceiling = 16 / DELAY
    print(f"\nRefresh of {count:,} stale grants, token server {DELAY} s")
    table(
        ("", "grants/s", "ceiling"),
        [
            ("one worker, concurrency 16", f"{rates['one']:.1f}", f"{ceiling:.1f}"),
            ("two workers, concurrency 16", f"{rates['two']:.1f}", f"{2 * ceiling:.1f}"),
            ("one worker, concurrency 64", f"{rates['wide']:.1f}", f"{32 / DELAY:.1f}"),
        ],
    )
    return [
        Ratio("refresh: one worker of its ceiling", rates["one"] / ceiling, 0.7),
        Ratio("refresh: two workers to one", rates["two"] / rates["one"], 1.7),
        Ratio("refresh: concurrency 64 of 80/s", rates["wide"] / 80, 1.0),
    ]


def _round(count: int, workers: int, concurrency: int) -> float:
    """Grants in a second, from the start of the first call to the end of the last."""
    from credentials.models import Credential

    with _token_server() as server, tempfile.TemporaryDirectory() as folder:
        environment = _register(server, Path(folder))
        _fill(server, count)
        stale = Credential.objects.filter(provider="fake", grant__generation=0)
        assert stale.count() == count
        processes = [_worker(concurrency, environment) for _ in range(workers)]
        try:
            started = _first_call(server, processes)
            while stale.exists():
                _all_alive(processes)
                time.sleep(0.1)
            seconds = time.monotonic() - started
        finally:
            for process in processes:
                process.terminate()
                process.wait(30)
        used = Counter(call["refresh_token"] for call in _get(server, "_books")["calls"])
        assert set(used.values()) == {1}, "a grant was used twice"
        assert len(used) == count
    return count / seconds


def _register(server: str, folder: Path) -> dict[str, str]:
    """Let this process and the workers know of the server as the provider `fake`."""
    from django.conf import settings

    from providers.registry import get_registry
    from tests.fakes.registry import write_files

    write_files(folder, server)
    settings.PROVIDERS_DIR = str(folder)
    get_registry.cache_clear()
    host = server.removeprefix("http://")
    return {**os.environ, "PROVIDERS_DIR": str(folder), "EGRESS_ALLOW": host}


def _fill(server: str, count: int) -> None:
    """Accounts with apps, and grants of which every token has expired."""
    from accounts.services import account_create
    from common.actors import get_command_actor
    from credentials.imports.batch import import_lines
    from credentials.imports.readers import read_array
    from oauth_apps.services import oauth_app_create

    actor = get_command_actor("bench")
    users = [f"user-{number}" for number in range(count)]
    grants = dict(zip(users, _post(server, "_control", {"authorize": users}), strict=True))
    for at in range(ACCOUNTS):
        account = account_create(name=f"Refresh {time.monotonic_ns()}", actor=actor)
        apps = [
            oauth_app_create(
                account_id=account.id,
                actor=actor,
                provider="fake",
                name=f"App {number}",
                client_id=f"client-{number}",
                client_secret="app-secret",
            )
            for number in range(APPS)
        ]
        lines = [
            {
                "properties": {
                    "kind": "fake_oauth2",
                    "user_id": user,
                    "expires_at": "2026-01-01T00:00:00Z",
                    **grants[user],
                },
                "oauth_app_id": str(apps[number % APPS]),
            }
            for number, user in enumerate(users[at::ACCOUNTS])
        ]
        report = import_lines(read_array(lines), account_id=account.id, actor=actor)
        assert report.created == len(lines), report


def _worker(concurrency: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    # Not by manage.py: its checks refuse a provider that is not https.
    code = (
        "import django; django.setup();"
        "from django.core.management import call_command;"
        f"call_command('worker', concurrency={concurrency})"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def _token_server() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.provider", "--delay", str(DELAY)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.stdin.close()
        process.wait(10)


def _first_call(server: str, workers: Sequence[subprocess.Popen[bytes]]) -> float:
    while not _get(server, "_count")["calls"]:
        _all_alive(workers)
        time.sleep(0.02)
    return time.monotonic()


def _all_alive(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    assert all(worker.poll() is None for worker in workers), "a worker ended by itself"


def _get(server: str, path: str) -> Any:
    with urllib.request.urlopen(f"{server}/{path}") as response:
        return json.load(response)


def _post(server: str, path: str, document: Any) -> Any:
    body = json.dumps(document).encode()
    with urllib.request.urlopen(f"{server}/{path}", data=body) as response:
        return json.load(response)
