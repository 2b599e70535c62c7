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

from common.concurrency import blocking_io
from common.errors import InvalidInputError
from egress import urls
from egress.allowlist import AllowedTargets, allowed_targets
from egress.deadline import Exchange, Timeouts
from egress.dns import Lookup, Resolver, query_system_resolver
from egress.errors import BlockedByPolicyError
from egress.pools import KEEPALIVE_SECONDS, ConnectionPools
from egress.requests import Request, Response, build_body, build_headers, validate_method
from egress.response_body import ACCEPTED_ENCODINGS
from egress.responses import StreamingResponse, release_response, translate_errors
from egress.sockets import CheckedNetworkBackend, Dial, open_connection
from egress.urls import Url

MAX_CONNECTIONS_PER_HOST: Final = 32

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
        allow: AllowedTargets = frozenset(),
        timeouts: Timeouts | None = None,
        lookup: Lookup = query_system_resolver,
        dial: Dial = open_connection,
        tls: ssl.SSLContext | None = None,
        per_host: int = MAX_CONNECTIONS_PER_HOST,
    ) -> None:
        self._allow = allow
        self._limits = timeouts or Timeouts()
        self._lookup = lookup
        self._dial = dial
        self._tls = tls or httpcore2.default_ssl_context()
        self._per_host = per_host
        self._start()
        _clients.add(self)

    def send(self, request: Request, *, timeouts: Timeouts | None = None) -> Response:
        """The answer to `request`, whatever its status. Raises EgressError."""
        with self._open(request, timeouts, encodings=ACCEPTED_ENCODINGS) as answer:
            return Response(answer.status, answer.headers, b"".join(answer))

    def stream(
        self, request: Request, *, timeouts: Timeouts | None = None
    ) -> AbstractContextManager[StreamingResponse]:
        """Like `send`, but the body comes in pieces as they arrive, while the block lasts.

        The host is asked not to compress. Leaving the block early closes the connection.
        """
        return self._open(request, timeouts, encodings="identity")

    def relay(
        self,
        request: Request,
        *,
        encodings: str,
        timeouts: Timeouts | None = None,
        on_start: OnStart | None = None,
    ) -> AbstractContextManager[StreamingResponse]:
        """Like `stream`, for an answer that is passed on: its body stays in the encoding it came in.

        The host may choose one of `encodings`. `on_start` is given, before anything is sent, a
        function by which another thread ends the call: whatever it waits for then raises.
        """
        return self._open(request, timeouts, encodings=encodings, verbatim=True, on_start=on_start)

    def check_url(self, url: str) -> None:
        """Raise what `send` would before it connects: Refused, or Unreachable without an address."""
        target = self._url(url)
        with blocking_io():
            self._resolver.resolve(
                target.host, timeout=self._limits.connect, allowed=self._is_open(target)
            )

    def close(self) -> None:
        self._pools.close()

    def start_over(self) -> None:
        """For a fork: leave the parent its connections, and locks that its threads may hold."""
        self._backend.close_streams()
        self._start()

    def _start(self) -> None:
        self._resolver = Resolver(self._lookup)
        self._backend = CheckedNetworkBackend(
            resolver=self._resolver, allow=self._allow, dial=self._dial
        )
        self._pools = ConnectionPools(self._pool)

    def _pool(self) -> httpcore2.ConnectionPool:
        return httpcore2.ConnectionPool(
            ssl_context=self._tls,
            max_connections=self._per_host,
            max_keepalive_connections=self._per_host,
            keepalive_expiry=KEEPALIVE_SECONDS,
            retries=0,
            network_backend=self._backend,
        )

    @contextmanager
    def _open(
        self,
        request: Request,
        limits: Timeouts | None,
        *,
        encodings: str,
        verbatim: bool = False,
        on_start: OnStart | None = None,
    ) -> Iterator[StreamingResponse]:
        _outside_of_transactions()
        url = self._url(request.url)
        exchange = Exchange(url.host, limits or self._limits)
        if on_start:
            on_start(exchange.cancel)
        wired = _wired(request, url, exchange, encodings)
        with blocking_io(), self._pools.acquire(url.origin) as pool:
            response = translate_errors(exchange, lambda: pool.handle_request(wired))
            try:
                yield StreamingResponse(
                    response, exchange, method=request.method, verbatim=verbatim
                )
            finally:
                exchange.finish()
                release_response(response)

    def _url(self, url: str) -> Url:
        try:
            return urls.parse_url(url, allowed=self._allow)
        except InvalidInputError as error:
            reason = error.fields["url"][0]
        raise BlockedByPolicyError("", reason)

    def _is_open(self, url: Url) -> bool:
        return (url.host, url.port) in self._allow


def send(request: Request, *, timeouts: Timeouts | None = None) -> Response:
    """`Client.send` of this process's client."""
    return get_default_client().send(request, timeouts=timeouts)


def stream(
    request: Request, *, timeouts: Timeouts | None = None
) -> AbstractContextManager[StreamingResponse]:
    """`Client.stream` of this process's client."""
    return get_default_client().stream(request, timeouts=timeouts)


def check_url(url: str) -> None:
    """`Client.check` of this process's client."""
    get_default_client().check_url(url)


def get_default_client() -> Client:
    """This process's client, with what EGRESS_ALLOW opens."""
    allow = allowed_targets()
    with _making:
        # Made twice at once, one would be lost with the connections that it keeps.
        return _client(allow)


@functools.cache
def _client(allow: AllowedTargets) -> Client:
    return Client(allow=allow)


def _wired(request: Request, url: Url, exchange: Exchange, encodings: str) -> httpcore2.Request:
    return httpcore2.Request(
        validate_method(request, url),
        httpcore2.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target),
        headers=build_headers(request, url, encodings=encodings),
        content=build_body(request, url),
        extensions={"timeout": {"pool": exchange.get_read_timeout()}},
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
