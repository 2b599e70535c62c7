"""DNS: names to addresses, within a deadline, and only if every address may be contacted."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from egress.errors import BlockedByPolicyError, ConnectError, EgressTimeoutError
from egress.policy import Address, find_address_error

Lookup = Callable[[str], Iterable[str]]
"""Returns the IPv4 and IPv6 addresses of a name; an absolute name ends with a dot."""

_Result = queue.SimpleQueue[list[str]]

WORKERS: Final = 32


def query_system_resolver(name: str) -> list[str]:
    """Return the addresses in /etc/hosts and DNS, CNAMEs followed."""
    results = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(address[0]) for *_, address in results]


class Resolver:
    """Resolves names in threads of its own, at most `workers` at a time.

    The threads exist because getaddrinfo has no timeout.
    """

    def __init__(self, lookup: Lookup = query_system_resolver, *, workers: int = WORKERS) -> None:
        self._lookup = lookup
        self._free = threading.BoundedSemaphore(workers)

    def resolve(self, host: str, *, timeout: float, allowed: bool = False) -> tuple[Address, ...]:
        """Return the addresses of `host`, each once, in the resolver's order.

        `allowed`: EGRESS_ALLOW names this target. Raises BlockedByPolicyError unless every address
        may be contacted, because a public address with a private one is an attack or a mistake;
        ConnectError if there is none; EgressTimeoutError after `timeout` seconds.
        """
        try:
            # Only targets in EGRESS_ALLOW are addresses; the others were rejected with the URL.
            texts = [str(ip_address(host.strip("[]")))]
        except ValueError:
            # The dot keeps the search domains of this machine from making a public name a local
            # one. A target in EGRESS_ALLOW may be in /etc/hosts, which does not know that dot.
            texts = self._query(host, host if allowed else f"{host}.", timeout)
        for text in texts:
            if error := find_address_error(text, allowed=allowed):
                raise BlockedByPolicyError(host, error)
        return tuple(ip_address(text) for text in dict.fromkeys(texts))

    def _query(self, host: str, name: str, timeout: float) -> list[str]:
        deadline = time.monotonic() + timeout
        if not self._free.acquire(timeout=timeout):
            raise EgressTimeoutError(host, "the resolver is busy")
        result: _Result = queue.SimpleQueue()
        self._start_thread(name, result)
        try:
            addresses = result.get(timeout=max(0, deadline - time.monotonic()))
        except queue.Empty:
            raise EgressTimeoutError(host, "its name was not resolved in time") from None
        if not addresses:
            raise ConnectError(host, "its name does not resolve")
        return addresses

    def _start_thread(self, name: str, result: _Result) -> None:
        # A daemon, so that a resolver that hangs does not keep the process from ending.
        thread = threading.Thread(target=self._run_lookup, args=(name, result), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # The system has no thread left.
            self._free.release()
            result.put([])

    def _run_lookup(self, name: str, result: _Result) -> None:
        try:
            result.put(list(self._lookup(name)))
        except Exception:  # Whatever the resolver raises, there is no address.
            result.put([])
        finally:
            self._free.release()
