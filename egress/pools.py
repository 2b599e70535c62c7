"""Connection pools, one per origin: a host that hangs holds up no other."""

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
ORIGINS: Final = 64


@dataclass(slots=True)
class _Entry:
    pool: httpcore2.ConnectionPool
    users: int = 0
    last_used: float = field(default_factory=time.monotonic)


class ConnectionPools:
    """At most `keep` pools that nobody uses, each for `seconds`; those in use are never closed."""

    def __init__(
        self,
        make: Callable[[], httpcore2.ConnectionPool],
        *,
        keep: int = ORIGINS,
        seconds: float = KEEPALIVE_SECONDS,
    ) -> None:
        self._make = make
        self._keep = keep
        self._seconds = seconds
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    @contextmanager
    def acquire(self, origin: str) -> Iterator[httpcore2.ConnectionPool]:
        """The pool of `origin` until the block ends: that long, nothing closes it."""
        entry = self._taken(origin)
        try:
            yield entry.pool
        finally:
            self._given_back(entry)

    def close(self) -> None:
        with self._lock:
            entries, self._entries = list(self._entries.values()), OrderedDict()
        for entry in entries:
            entry.pool.close()

    def _taken(self, origin: str) -> _Entry:
        with self._lock:
            entry = self._entries.get(origin) or _Entry(self._make())
            self._entries[origin] = entry
            self._entries.move_to_end(origin)
            entry.users += 1
        return entry

    def _given_back(self, entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
            entry.last_used = time.monotonic()
            surplus = list(self._surplus())
        for each in surplus:
            each.pool.close()

    def _surplus(self) -> Iterator[_Entry]:
        """Take out what is too old or too many, the longest unused first."""
        stale = time.monotonic() - self._seconds
        for origin, entry in list(self._entries.items()):
            if not entry.users and (entry.last_used < stale or len(self._entries) > self._keep):
                yield self._entries.pop(origin)
