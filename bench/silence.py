"""The latency of other requests while many providers are silent: each has its thread, and no connection."""

from __future__ import annotations

import http.client
import itertools
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bench import proxying, servers
from bench.report import Ratio
from bench.servers import Served

SILENT: Final = 200
LIST: Final = 50
TARGET_MS: Final = 50.0


def measure() -> list[Ratio]:
    """Milliseconds at p95 of the API and of the proxy, one request after the other."""
    with proxying.upstream() as port, tempfile.TemporaryDirectory() as folder:
        environment = proxying.register(port, Path(folder))
        token = proxying.fill(LIST)
        with (
            servers.serve(servers.PRODUCT) as api,
            proxying.served(proxying.PRODUCT, environment) as proxy,
            ThreadPoolExecutor(SILENT) as pool,
        ):
            targets = {
                "/healthz of the API": (api, "/healthz"),
                f"/v1/credentials, {LIST} rows": (api, "/v1/credentials"),
                "/healthz of the proxy": (proxy, "/healthz"),
                "another request through the proxy": (proxy, "/proxy/upstream/v1/balance"),
            }
            for served, target in targets.values():
                _ms(served, target, token)  # Warms it up.
            asked = [
                pool.submit(_ms, proxy, "/proxy/upstream/silent", token) for _ in range(SILENT)
            ]
            while proxying.seen(port)["silent"] < SILENT:
                time.sleep(0.05)
            taken: dict[str, list[float]] = {name: [] for name in targets}
            for name, (served, target) in itertools.cycle(targets.items()):
                taken[name].append(_ms(served, target, token))
                if any(one.done() for one in asked):
                    break
            for one in asked:
                one.result()
    print(
        f"\n{SILENT} providers silent for {proxying.SILENCE} s; {min(map(len, taken.values()))} of each"
    )
    return [
        Ratio(f"{name}: ms at p95", statistics.quantiles(found, n=20)[-1], TARGET_MS, at_most=True)
        for name, found in taken.items()
    ]


def _ms(served: Served, target: str, token: str) -> float:
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request("GET", target, headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status != 200:
        raise SystemExit(f"bench: {target} got the status {response.status}")
    return (time.perf_counter() - began) * 1000
