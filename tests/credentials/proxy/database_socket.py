"""A socket to the tests' PostgreSQL that can be cut, as if the database had stopped."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any, Self

from django.db import connection


class CuttableDatabaseSocket:
    """A socket in `folder`, which is the host to connect to.

    `cut` closes all connections and accepts no more. `mend` accepts them again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / ".s.PGSQL.5432"
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *exc: object) -> None:
        self.cut()

    @property
    def connections(self) -> int:
        with self._lock:
            return len(self._open) // 2

    def mend(self) -> None:
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            listener, self._listener = self._listener, None
            ends, self._open = self._open, []
        if listener:
            _end(listener)
        for sock in ends:
            _end(sock)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                self._join(near, _server())

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        with self._lock:
            if self._listener is None:
                _end(near)
                _end(far)
                return
            self._open += [near, far]
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for sock in (source, sink):
            _end(sock)
        with self._lock:
            self._open = [sock for sock in self._open if sock not in (source, sink)]


def _server() -> socket.socket:
    given: dict[str, Any] = connection.settings_dict
    host, port = str(given["HOST"]), int(given["PORT"] or 5432)
    if not host.startswith("/"):
        return socket.create_connection((host, port), 5)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{host}/.s.PGSQL.{port}")
    return sock


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
