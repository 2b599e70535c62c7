"""The client: one call out, from its URL to its answer. `egress/__init__.py` says what is promised."""

from __future__ import annotations

import functools
import logging
import os
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

import httpcore2
from django.db import connections

from common.concurrency import waiting
from common.errors import Invalid
from egress import urls
from egress.allowlist import Allow, opened
from egress.deadline import Exchange, Limits
from egress.dns import Lookup, Resolver, system_lookup
from egress.errors import Refused
from egress.pools import KEEP_SECONDS, Pools
from egress.requests import Request, Response, wire_body, wire_headers, wire_method
from egress.response_body import ACCEPTED
from egress.responses import Answer, guarded, release
from egress.sockets import Backend, Dial, system_dial
from egress.urls import Url

PER_HOST: Final = 32

# Is told how to end a call that has begun.
OnStart = Callable[[Callable[[], None]], None]

# At DEBUG it writes whole headers of answers, cookies among them.
logging.getLogger("httpcore2").setLevel(logging.INFO)


class Client:
    """Thread-safe, and to be shared: it keeps connections. `close` it, but for the process's own.

    `lookup` and `dial` stand for the system's resolver and network, `tls` for the authorities that
    are trusted (the system's by default); tests give their own.
    """

    def __init__(
        self,
        *,
        allow: Allow = frozenset(),
        limits: Limits | None = None,
        lookup: Lookup = system_lookup,
        dial: Dial = system_dial,
        tls: ssl.SSLContext | None = None,
        per_host: int = PER_HOST,
    ) -> None:
        self._allow = allow
        self._limits = limits or Limits()
        self._lookup = lookup
        self._dial = dial
        self._tls = tls or httpcore2.default_ssl_context()
        self._per_host = per_host
        self._start()
        _clients.add(self)

    def send(self, request: Request, *, limits: Limits | None = None) -> Response:
        """The answer to `request`, whatever its status. Raises EgressError."""
        with self._open(request, limits, encodings=ACCEPTED) as answer:
            return Response(answer.status, answer.headers, b"".join(answer))

    def stream(
        self, request: Request, *, limits: Limits | None = None
    ) -> AbstractContextManager[Answer]:
        """Like `send`, but the body comes in pieces as they arrive, while the block lasts.

        The host is asked not to compress. Leaving the block early closes the connection.
        """
        return self._open(request, limits, encodings="identity")

    def relay(
        self,
        request: Request,
        *,
        encodings: str,
        limits: Limits | None = None,
        on_start: OnStart | None = None,
    ) -> AbstractContextManager[Answer]:
        """Like `stream`, for an answer that is passed on: its body stays in the encoding it came in.

        The host may choose one of `encodings`. `on_start` is given, before anything is sent, a
        function by which another thread ends the call: whatever it waits for then raises.
        """
        return self._open(request, limits, encodings=encodings, verbatim=True, on_start=on_start)

    def check(self, url: str) -> None:
        """Raise what `send` would before it connects: Refused, or Unreachable without an address."""
        target = self._url(url)
        with waiting():
            self._resolver.addresses(
                target.host, within=self._limits.connect, opened=self._is_open(target)
            )

    def close(self) -> None:
        self._pools.close()

    def start_over(self) -> None:
        """For a fork: leave the parent its connections, and locks that its threads may hold."""
        self._backend.abandon()
        self._start()

    def _start(self) -> None:
        self._resolver = Resolver(self._lookup)
        self._backend = Backend(resolver=self._resolver, allow=self._allow, dial=self._dial)
        self._pools = Pools(self._pool)

    def _pool(self) -> httpcore2.ConnectionPool:
        return httpcore2.ConnectionPool(
            ssl_context=self._tls,
            max_connections=self._per_host,
            max_keepalive_connections=self._per_host,
            keepalive_expiry=KEEP_SECONDS,
            retries=0,
            network_backend=self._backend,
        )

    @contextmanager
    def _open(
        self,
        request: Request,
        limits: Limits | None,
        *,
        encodings: str,
        verbatim: bool = False,
        on_start: OnStart | None = None,
    ) -> Iterator[Answer]:
        _outside_of_transactions()
        url = self._url(request.url)
        exchange = Exchange(url.host, limits or self._limits)
        if on_start:
            on_start(exchange.end)
        wired = _wired(request, url, exchange, encodings)
        with waiting(), self._pools.lease(url.origin) as pool:
            response = guarded(exchange, lambda: pool.handle_request(wired))
            try:
                yield Answer(response, exchange, method=request.method, verbatim=verbatim)
            finally:
                exchange.over()
                release(response)

    def _url(self, url: str) -> Url:
        try:
            return urls.parse(url, allow=self._allow)
        except Invalid as error:
            reason = error.fields["url"][0]
        raise Refused("", reason)

    def _is_open(self, url: Url) -> bool:
        return (url.host, url.port) in self._allow


def send(request: Request, *, limits: Limits | None = None) -> Response:
    """`Client.send` of this process's client."""
    return default_client().send(request, limits=limits)


def stream(request: Request, *, limits: Limits | None = None) -> AbstractContextManager[Answer]:
    """`Client.stream` of this process's client."""
    return default_client().stream(request, limits=limits)


def check(url: str) -> None:
    """`Client.check` of this process's client."""
    default_client().check(url)


def default_client() -> Client:
    """This process's client, with what EGRESS_ALLOW opens."""
    allow = opened()
    with _making:
        # Made twice at once, one would be lost with the connections that it keeps.
        return _client(allow)


@functools.cache
def _client(allow: Allow) -> Client:
    return Client(allow=allow)


def _wired(request: Request, url: Url, exchange: Exchange, encodings: str) -> httpcore2.Request:
    return httpcore2.Request(
        wire_method(request, url),
        httpcore2.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target),
        headers=wire_headers(request, url, encodings=encodings),
        content=wire_body(request, url),
        extensions={"timeout": {"pool": exchange.patience()}},
    )


def _outside_of_transactions() -> None:
    """Raise RuntimeError where a row's lock would wait for a stranger; tests' own blocks aside."""
    for connection in connections.all(initialized_only=True):
        blocks = connection.atomic_blocks
        # As Django's own `atomic(durable=True)` tells them.
        if blocks and not getattr(blocks[-1], "_from_testcase", False):
            raise RuntimeError("A request may not be sent within a database transaction.")


# A fork has its parent's sockets, and would write into the middle of its conversations.
_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_making = threading.Lock()


def _start_over() -> None:
    global _making
    _making = threading.Lock()  # A thread of the parent's may hold it.
    for client in list(_clients):
        client.start_over()


os.register_at_fork(after_in_child=_start_over)
