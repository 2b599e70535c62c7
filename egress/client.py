"""The HTTP client. The package's docstring says what it guarantees."""

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
from egress.deadline import Exchange, Timeouts
from egress.dns import Lookup, Resolver, query_system_resolver
from egress.errors import BlockedByPolicyError
from egress.policy import AllowedTargets, allowed_targets
from egress.pools import KEEPALIVE_SECONDS, ConnectionPools
from egress.requests import Request, build_body, build_headers, validate_method
from egress.responses import (
    ACCEPTED_ENCODINGS,
    Response,
    StreamingResponse,
    release_response,
    translate_errors,
)
from egress.sockets import CheckedNetworkBackend, Dial, open_connection
from egress.urls import Url, parse_url

MAX_CONNECTIONS_PER_HOST: Final = 32

OnStart = Callable[[Callable[[], None]], None]
"""Receives a function that ends the call."""

# At DEBUG the library logs whole headers of responses, cookies among them.
logging.getLogger("httpcore2").setLevel(logging.INFO)


class Client:
    """A thread-safe client that keeps connections; share it, and `close` it at the end.

    `lookup` and `dial` replace the system's resolver and network, `tls` the trusted authorities
    (the system's by default), for tests.
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
        self._timeouts = timeouts or Timeouts()
        self._lookup = lookup
        self._dial = dial
        self._tls = tls or httpcore2.default_ssl_context()
        self._per_host = per_host
        self._create_pools()
        _clients.add(self)

    def send(self, request: Request, *, timeouts: Timeouts | None = None) -> Response:
        """Return the response to `request`, whatever its status. Raises EgressError."""
        with self._open(request, timeouts, encodings=ACCEPTED_ENCODINGS) as response:
            return Response(response.status, response.headers, b"".join(response))

    def stream(
        self, request: Request, *, timeouts: Timeouts | None = None
    ) -> AbstractContextManager[StreamingResponse]:
        """Send `request` and return its response, whose body can be read while the block lasts.

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
        """Do as `stream`, for a response that is passed on: its body stays encoded.

        The host may choose one of `encodings`. `on_start` receives, before anything is sent, a
        function with which another thread ends the call; what it waits for then raises.
        """
        return self._open(request, timeouts, encodings=encodings, verbatim=True, on_start=on_start)

    def check_url(self, url: str) -> None:
        """Raise what `send` would raise before it connects.

        That is BlockedByPolicyError, ConnectError if the name has no address, or
        EgressTimeoutError.
        """
        target = self._parse_url(url)
        with blocking_io():
            self._resolver.resolve(
                target.host,
                timeout=self._timeouts.connect,
                allowed=(target.host, target.port) in self._allow,
            )

    def close(self) -> None:
        self._pools.close()

    def reset_after_fork(self) -> None:
        """Close this process's copies of the parent's sockets; start with no connection."""
        self._backend.close_streams()
        self._create_pools()

    def _create_pools(self) -> None:
        # New objects also after a fork: a thread of the parent may have held one of their locks.
        self._resolver = Resolver(self._lookup)
        self._backend = CheckedNetworkBackend(
            resolver=self._resolver, allow=self._allow, dial=self._dial
        )
        self._pools = ConnectionPools(self._create_pool)

    def _create_pool(self) -> httpcore2.ConnectionPool:
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
        timeouts: Timeouts | None,
        *,
        encodings: str,
        verbatim: bool = False,
        on_start: OnStart | None = None,
    ) -> Iterator[StreamingResponse]:
        _check_no_transaction()
        url = self._parse_url(request.url)
        exchange = Exchange(url.host, timeouts or self._timeouts)
        if on_start:
            on_start(exchange.cancel)
        library_request = httpcore2.Request(
            validate_method(request, url),
            httpcore2.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target),
            headers=build_headers(request, url, encodings=encodings),
            content=build_body(request, url),
            extensions={"timeout": {"pool": exchange.get_read_timeout()}},
        )
        with blocking_io(), self._pools.acquire(url.origin) as pool:
            response = translate_errors(exchange, lambda: pool.handle_request(library_request))
            try:
                yield StreamingResponse(
                    response, exchange, method=request.method, verbatim=verbatim
                )
            finally:
                exchange.finish()
                release_response(response)

    def _parse_url(self, url: str) -> Url:
        try:
            return parse_url(url, allowed=self._allow)
        except InvalidInputError as error:
            reason = error.fields["url"][0]
        raise BlockedByPolicyError("", reason)


def send(request: Request, *, timeouts: Timeouts | None = None) -> Response:
    """Call `Client.send` of this process's client."""
    return get_default_client().send(request, timeouts=timeouts)


def stream(
    request: Request, *, timeouts: Timeouts | None = None
) -> AbstractContextManager[StreamingResponse]:
    """Call `Client.stream` of this process's client."""
    return get_default_client().stream(request, timeouts=timeouts)


def check_url(url: str) -> None:
    """Call `Client.check_url` of this process's client."""
    get_default_client().check_url(url)


def get_default_client() -> Client:
    """Return this process's client, which may contact the targets in EGRESS_ALLOW."""
    allow = allowed_targets()
    # Of two clients that were made at once, one would be lost with the connections that it keeps.
    with _client_lock:
        return _get_client(allow)


@functools.cache
def _get_client(allow: AllowedTargets) -> Client:
    return Client(allow=allow)


def _check_no_transaction() -> None:
    """Raise RuntimeError in a transaction: its locks would wait for a remote host."""
    for connection in connections.all(initialized_only=True):
        blocks = connection.atomic_blocks
        # Django's `atomic(durable=True)` recognises the blocks of test cases in the same way.
        if blocks and not getattr(blocks[-1], "_from_testcase", False):
            raise RuntimeError("A request may not be sent within a database transaction.")


_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_client_lock = threading.Lock()


def _reset_after_fork() -> None:
    # A fork shares the parent's sockets, and would write into the middle of its requests.
    global _client_lock
    _client_lock = threading.Lock()  # A thread of the parent may have held it.
    for client in list(_clients):
        client.reset_after_fork()


os.register_at_fork(after_in_child=_reset_after_fork)
