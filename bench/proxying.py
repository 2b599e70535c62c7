"""The proxy against a bare pass-through: the same server, the same client out, one committed insert."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench import load
from bench.report import Ratio, table
from bench.servers import Served, _wait
from tests.ports import find_free_port

ROOT: Final = Path(__file__).parents[1]
BODY: Final = b'{"object": "balance", "padding": "' + b"x" * 1000 + b'"}'
RESPONSE: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (len(BODY), BODY)
)
SILENCE: Final = 8
KEY: Final = "bench_key_0123456789abcdef"
FLOOR, PRODUCT = "bare pass-through", "proxy"
APPLICATIONS: Final = {
    FLOOR: "from bench.proxy_floor import application",
    PRODUCT: "from config.proxy_wsgi import application",
}


def measure(seconds: float, rounds: int) -> list[Ratio]:
    """Print milliseconds of both, one caller and many at once; the ratio of the medians."""
    with upstream() as port, tempfile.TemporaryDirectory() as folder:
        environment = register(port, Path(folder))
        token = fill()
        with served(FLOOR, environment) as floor, served(PRODUCT, environment) as product:
            ratios = [
                _compare(floor, product, token, seconds, rounds, connections)
                for connections in (1, load.CONNECTIONS)
            ]
        print(f"connections that the provider saw: {seen(port)['connections']}")
    return ratios


def _compare(
    floor: Served, product: Served, token: str, seconds: float, rounds: int, connections: int
) -> Ratio:
    """Alternate the rounds, so that both see the same machine."""
    load.CONNECTIONS = connections
    taken: dict[str, list[load.Round]] = {floor.name: [], product.name: []}
    for number in range(rounds + 1):
        for served, target in ((floor, "/v1/balance"), (product, "/proxy/upstream/v1/balance")):
            one = load.load(served, target, token, seconds)
            if number:  # The first round warms both up.
                taken[served.name].append(one)
    medians = {name: load.median(found) for name, found in taken.items()}
    print(f"\nProxy, {connections} at once ({load.tool()})")
    table(
        ("", "p50 ms", "p99 ms", "requests/s", "CPU ms"),
        [
            (name, f"{m.p50_ms:.2f}", f"{m.p99_ms:.2f}", f"{m.per_second:.0f}", f"{m.cpu_ms:.2f}")
            for name, m in medians.items()
        ],
    )
    value = medians[PRODUCT].p50_ms / medians[FLOOR].p50_ms
    return Ratio(f"proxy: p50 to pass-through, {connections} at once", value, 3.0, at_most=True)


def register(port: int, folder: Path) -> dict[str, str]:
    """Let this process and the servers know of the provider."""
    from django.conf import settings

    from providers.registry import get_registry

    document = {
        "slug": "upstream",
        "name": "Upstream",
        "website": None,
        "sources": [],
        "api": {
            "base_url": f"http://127.0.0.1:{port}",
            "auth": {"in": "header", "values": {"Authorization": "Bearer {key}"}},
        },
        "variables": {},
        "oauth": None,
        "kinds": {
            "upstream_key": {
                "title": "Key",
                "mechanism": "key",
                "properties": {"key": {"type": "string", "description": "Its key."}},
                "required": ["key"],
                "secret": ["key"],
                "identity": [],
                "rotates": False,
                "grant": None,
                "probe": None,
                "example": {},
            }
        },
    }
    (folder / "upstream.json").write_text(json.dumps(document))
    settings.PROVIDERS_DIR = str(folder)
    get_registry.cache_clear()
    return {
        **os.environ,
        "PROVIDERS_DIR": str(folder),
        "EGRESS_ALLOW": f"127.0.0.1:{port}",
        "BENCH_UPSTREAM": f"http://127.0.0.1:{port}",
    }


def fill(credentials: int = 1) -> str:
    """Create an account with that many keys of the provider and return its token."""
    from django.db import connection

    from accounts.services import account_create, token_create
    from common.actors import get_command_actor
    from common.scopes import CREDENTIALS_READ, CREDENTIALS_USE
    from credentials.services.crud import credential_import

    actor = get_command_actor("bench")
    account = account_create(name=f"Proxy {time.monotonic_ns()}", actor=actor)
    for number in range(credentials):
        body = {"properties": {"kind": "upstream_key", "key": f"{KEY}{number}"}}
        credential_import(account_id=account.id, actor=actor, body=body)
    _, token = token_create(
        account_id=account.id, name="bench", scopes=[CREDENTIALS_READ, CREDENTIALS_USE], actor=actor
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS bench_use (id bigserial PRIMARY KEY, path text,"
            " status int, time timestamptz DEFAULT now())"
        )
    return token


@contextlib.contextmanager
def served(name: str, environment: dict[str, str]) -> Iterator[Served]:
    port = find_free_port()
    code = (
        "import django; django.setup()\n"
        "from config import proxy_server\n"
        f"def load():\n    {APPLICATIONS[name]}\n    return application\n"
        f"proxy_server.serve(host='127.0.0.1', port={port}, workers=1, load=load)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment)
    try:
        served = Served(name, port, process.pid)
        _wait(served, process)
        yield served
    finally:
        process.terminate()
        process.wait(40)


class _Provider(asyncio.Protocol):
    """Answers each head that ends with the same bytes; /silent, SILENCE seconds later."""

    connections = 0
    silent = 0

    def connection_made(self, transport: Any) -> None:
        self._transport, self._held = transport, b""
        _Provider.connections += 1

    def data_received(self, data: bytes) -> None:
        self._held += data
        if b"GET /seen" in self._held:
            seen = {"connections": _Provider.connections, "silent": _Provider.silent}
            body = json.dumps(seen).encode()
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            self._held = b""
        while b"\r\n\r\n" in self._held:
            head, _, self._held = self._held.partition(b"\r\n\r\n")
            if b"/silent" in head:
                _Provider.silent += 1
                asyncio.get_running_loop().call_later(SILENCE, self._transport.write, RESPONSE)
            else:
                self._transport.write(RESPONSE)


async def _provide() -> None:
    server = await asyncio.get_running_loop().create_server(_Provider, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.proxying"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)


def seen(port: int) -> dict[str, int]:
    """Return how many `connections` came to the provider, and requests that it is `silent` about."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/seen") as response:
        found: dict[str, int] = json.load(response)
    return found


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_provide())
