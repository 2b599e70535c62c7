"""Connection pools, one per origin, so that a host that hangs delays no other."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import httpcore2

KEEPALIVE_SECONDS: Final = 15.0
MAX_IDLE_POOLS: Final = 64


@dataclass(slots=True)
class _Entry:
    pool: httpcore2.ConnectionPool
    users: int = 0
    last_used: float = field(default_factory=time.monotonic)


class ConnectionPools:
    """At most `keep` idle pools, each for `seconds`; pools in use are never closed."""

    def __init__(
        self,
        create: Callable[[], httpcore2.ConnectionPool],
        *,
        keep: int = MAX_IDLE_POOLS,
        seconds: float = KEEPALIVE_SECONDS,
    ) -> None:
        self._create = create
        self._keep = keep
        self._seconds = seconds
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    @contextmanager
    def acquire(self, origin: str) -> Iterator[httpcore2.ConnectionPool]:
        """Return the pool of `origin`, which is not closed before the block ends."""
        with self._lock:
            entry = self._entries.get(origin) or _Entry(self._create())
            self._entries[origin] = entry
            self._entries.move_to_end(origin)
            entry.users += 1
        try:
            yield entry.pool
        finally:
            with self._lock:
                entry.users -= 1
                entry.last_used = time.monotonic()
                surplus = list(self._remove_surplus())
            # Closing is I/O, so it happens outside of the lock.
            for each in surplus:
                each.pool.close()

    def close(self) -> None:
        with self._lock:
            entries, self._entries = list(self._entries.values()), OrderedDict()
        for entry in entries:
            entry.pool.close()

    def _remove_surplus(self) -> Iterator[_Entry]:
        """Remove the idle pools that are too old or too many, the longest unused first."""
        stale = time.monotonic() - self._seconds
        for origin, entry in list(self._entries.items()):
            if not entry.users and (entry.last_used < stale or len(self._entries) > self._keep):
                yield self._entries.pop(origin)
