"""The sockets: each goes to an address that was checked, and waits no longer than its request may."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any, Final

import httpcore2

from egress.allowlist import AllowedTargets
from egress.deadline import Exchange, get_current_exchange
from egress.dns import Resolver
from egress.errors import BlockedByPolicyError, ConnectError, ProtocolError
from egress.ip_policy import Address

# Connects to one address and port within some seconds; raises OSError.
Dial = Callable[[str, int, float], socket.socket]

# A name with more addresses than these is not tried for longer.
MAX_TRIES: Final = 4


def reset_connection(sock: socket.socket) -> None:
    """End a connection so that its peer sees a reset, and takes nothing that came for whole."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def open_connection(address: str, port: int, seconds: float) -> socket.socket:
    sock = socket.create_connection((address, port), seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class CheckedNetworkBackend(httpcore2.NetworkBackend):
    """Where the connection pools get their sockets from."""

    def __init__(
        self, *, resolver: Resolver, allow: AllowedTargets, dial: Dial = open_connection
    ) -> None:
        self._resolver = resolver
        self._allow = allow
        self._dial = dial
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> Stream:
        """A connection to one of the addresses of `host`, resolved and checked here and now."""
        exchange = get_current_exchange()
        exchange.start_connecting()
        addresses = self._resolver.resolve(
            host, timeout=exchange.get_connect_timeout(), allowed=(host, port) in self._allow
        )
        stream = Stream(self._first_of(addresses[:MAX_TRIES], port, exchange))
        self._streams.add(stream)
        return stream

    def close_streams(self) -> None:
        """Close every socket of a parent process in its fork: it goes on using them, alone."""
        for stream in list(self._streams):
            stream.close()

    def _first_of(
        self, addresses: tuple[Address, ...], port: int, exchange: Exchange
    ) -> socket.socket:
        for done, address in enumerate(addresses):
            # Each has its share of the time, so that one that swallows packets is not all.
            seconds = exchange.get_connect_timeout() / (len(addresses) - done)
            try:
                return self._connected(address, port, seconds, exchange.host)
            except OSError:
                continue
        exchange.get_connect_timeout()
        raise ConnectError(exchange.host, "no connection could be made")

    def _connected(self, address: Address, port: int, seconds: float, host: str) -> socket.socket:
        sock = self._dial(str(address), port, seconds)
        try:
            peer = sock.getpeername()
            if ip_address(peer[0]) == address and peer[1] == port:
                return sock
        except OSError:
            sock.close()
            raise
        sock.close()
        raise BlockedByPolicyError(
            host, "the connection led elsewhere than to the address that was checked"
        )


class Stream(httpcore2.NetworkStream):
    """One socket. The timeouts that the pool passes are not used: the exchange knows better."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        exchange = get_current_exchange()
        with _failures(exchange):
            exchange.set_interrupt(self.hang_up)
            self._sock.settimeout(exchange.get_read_timeout())
            return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange = get_current_exchange()
        view = memoryview(buffer)
        with _failures(exchange, broken=httpcore2.WriteError):
            exchange.set_interrupt(self.hang_up)
            while view:
                self._sock.settimeout(exchange.get_read_timeout())
                exchange.sent = True
                view = view[self._sock.send(view) :]

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Stream:
        exchange = get_current_exchange()
        try:
            self._sock.settimeout(exchange.get_connect_timeout())
            # Without the suppression, a body that ends with the connection cannot be cut short.
            self._sock = ssl_context.wrap_socket(
                self._sock,
                server_hostname=(server_hostname or "").strip("[]"),
                suppress_ragged_eofs=False,
            )
        except Exception as error:
            self.close()
            raise _tls_failure(error, exchange) from None
        return self

    def close(self) -> None:
        self._sock.close()

    def hang_up(self) -> None:
        """Wake whoever waits for the peer in another thread; the socket is theirs to close."""
        with suppress(OSError):
            # Not SSLSocket's own, which would pull its state from under the thread that reads.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def get_extra_info(self, info: str) -> Any:
        """`is_readable`: whether an idle connection has ended (or has what nobody asked for)."""
        if info != "is_readable":
            return None
        return self._sock.fileno() < 0 or _readable(self._sock)


@contextmanager
def _failures(exchange: Exchange, broken: Callable[..., Exception] | None = None) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise exchange.build_timeout_error("the answer was not complete in time") from None
    except OSError:
        # A host may answer and close without having read all: the pool looks for that answer.
        if broken:
            raise broken() from None
        raise ProtocolError(exchange.host, "the connection broke", sent=exchange.sent) from None


def _tls_failure(error: Exception, exchange: Exchange) -> Exception:
    if isinstance(error, TimeoutError):
        return exchange.build_timeout_error("no connection could be made in time")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectError(exchange.host, f"TLS: {error.verify_message}")
    if isinstance(error, OSError):
        return ConnectError(exchange.host, "TLS: the handshake failed")
    return error


def _readable(sock: socket.socket) -> bool:
    poll = select.poll()  # Not `select`, which fails on descriptors over 1,023.
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
