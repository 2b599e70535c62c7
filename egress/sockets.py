"""Sockets: each connects to a validated address, and waits no longer than its request may."""

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

from egress.deadline import Exchange, get_current_exchange
from egress.dns import Resolver
from egress.errors import BlockedByPolicyError, ConnectError, ProtocolError
from egress.policy import Address, AllowedTargets

Dial = Callable[[str, int, float], socket.socket]
"""Connects to an address and port within a number of seconds; raises OSError."""

# More addresses of one name than these are not tried.
MAX_TRIES: Final = 4


def reset_connection(sock: socket.socket) -> None:
    """Close the connection with RST, so that its peer does not take the data for complete."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def open_connection(address: str, port: int, seconds: float) -> socket.socket:
    sock = socket.create_connection((address, port), seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class CheckedNetworkBackend(httpcore2.NetworkBackend):
    """The network of the connection pools, which resolves and validates each host itself."""

    def __init__(
        self, *, resolver: Resolver, allow: AllowedTargets, dial: Dial = open_connection
    ) -> None:
        self._resolver = resolver
        self._allow = allow
        self._dial = dial
        self._streams: weakref.WeakSet[Stream] = weakref.WeakSet()

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> Stream:
        """Connect to one of the addresses of `host`, resolved and validated now."""
        exchange = get_current_exchange()
        exchange.start_connecting()
        addresses = self._resolver.resolve(
            host, timeout=exchange.get_connect_timeout(), allowed=(host, port) in self._allow
        )
        stream = Stream(self._connect_to_first(addresses[:MAX_TRIES], port, exchange))
        self._streams.add(stream)
        return stream

    def close_streams(self) -> None:
        """Close every socket in a fork; the parent goes on using its own copies."""
        for stream in list(self._streams):
            stream.close()

    def _connect_to_first(
        self, addresses: tuple[Address, ...], port: int, exchange: Exchange
    ) -> socket.socket:
        for tried, address in enumerate(addresses):
            # Each address gets a share of the time: one that drops packets must not use all of it.
            seconds = exchange.get_connect_timeout() / (len(addresses) - tried)
            try:
                return self._connect(address, port, seconds, exchange.host)
            except OSError:
                continue
        exchange.get_connect_timeout()
        raise ConnectError(exchange.host, "no connection could be made")

    def _connect(self, address: Address, port: int, seconds: float, host: str) -> socket.socket:
        sock = self._dial(str(address), port, seconds)
        try:
            peer = sock.getpeername()
            if ip_address(peer[0]) == address and peer[1] == port:
                return sock
        except OSError:
            sock.close()
            raise
        sock.close()
        raise BlockedByPolicyError(host, "the connection did not lead to the validated address")


class Stream(httpcore2.NetworkStream):
    """One socket. It ignores the timeouts of the pool: the current exchange has the deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        exchange = get_current_exchange()
        with _translate_socket_errors(exchange):
            exchange.set_interrupt(self.interrupt)
            self._sock.settimeout(exchange.get_read_timeout())
            return self._sock.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange = get_current_exchange()
        view = memoryview(buffer)
        # A host may respond and close without having read the whole request: after a WriteError
        # the pool looks for that response.
        with _translate_socket_errors(exchange, broken=httpcore2.WriteError):
            exchange.set_interrupt(self.interrupt)
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
            # An end without TLS's own closing message must raise: a body that lasts until the
            # connection ends could otherwise be cut short unnoticed.
            self._sock = ssl_context.wrap_socket(
                self._sock,
                server_hostname=(server_hostname or "").strip("[]"),
                suppress_ragged_eofs=False,
            )
        except TimeoutError:
            self.close()
            raise exchange.build_timeout_error("no connection could be made in time") from None
        except ssl.SSLCertVerificationError as error:
            self.close()
            raise ConnectError(exchange.host, f"TLS: {error.verify_message}") from None
        except OSError:
            self.close()
            raise ConnectError(exchange.host, "TLS: the handshake failed") from None
        except Exception:
            self.close()
            raise
        return self

    def close(self) -> None:
        self._sock.close()

    def interrupt(self) -> None:
        """Wake the thread that waits for the peer; that thread closes the socket."""
        with suppress(OSError):
            # Not SSLSocket.shutdown, which would change the state that the other thread uses.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def get_extra_info(self, info: str) -> bool | None:
        """Return, for `is_readable`, whether an idle connection has ended or has unexpected data."""
        if info != "is_readable":
            return None
        if self._sock.fileno() < 0:
            return True
        poll = select.poll()  # Not `select`, which fails on descriptors over 1,023.
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))


@contextmanager
def _translate_socket_errors(
    exchange: Exchange, broken: Callable[..., Exception] | None = None
) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise exchange.build_timeout_error("the response was not complete in time") from None
    except OSError:
        if broken:
            raise broken() from None
        raise ProtocolError(exchange.host, "the connection broke", sent=exchange.sent) from None
