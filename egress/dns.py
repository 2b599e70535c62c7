"""Names to addresses: within a deadline, and all of them fit to be contacted or none is."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Final

from egress.errors import BlockedByPolicyError, ConnectError, EgressTimeoutError
from egress.ip_policy import Address, find_address_error

# Asks for a name's IPv4 and IPv6 addresses, as text. The name ends with a dot where it is absolute.
Lookup = Callable[[str], Iterable[str]]

Answer = queue.SimpleQueue[list[str]]

WORKERS: Final = 32


def query_system_resolver(name: str) -> list[str]:
    """What the system's resolver answers: /etc/hosts and DNS, CNAMEs followed."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(address[0]) for *_, address in found]


class Resolver:
    """Asks in threads of its own, as getaddrinfo knows no deadline; at most `workers` at a time."""

    def __init__(self, lookup: Lookup = query_system_resolver, *, workers: int = WORKERS) -> None:
        self._lookup = lookup
        self._free = threading.BoundedSemaphore(workers)

    def resolve(self, host: str, *, timeout: float, allowed: bool = False) -> tuple[Address, ...]:
        """The addresses of `host`, in the resolver's order and once each.

        Refused unless every one of them may be contacted: a public answer beside a private one is
        an attack or a mistake. Unreachable if there is none; TooSlow after `within` seconds.
        """
        if literal := _literal(host):
            answers: Iterable[str] = (literal,)
        else:
            # With the dot, no search domain of this machine turns a public name into a local one.
            # What an operator opened may stand in /etc/hosts, which does not know that dot.
            answers = self._ask(host, host if allowed else f"{host}.", timeout)
        return _checked(host, answers, opened=allowed)

    def _ask(self, host: str, name: str, within: float) -> list[str]:
        ends = time.monotonic() + within
        if not self._free.acquire(timeout=within):
            raise EgressTimeoutError(host, "the resolver is busy")
        answer: Answer = queue.SimpleQueue()
        self._start(name, answer)
        try:
            found = answer.get(timeout=max(0, ends - time.monotonic()))
        except queue.Empty:
            raise EgressTimeoutError(host, "its name was not resolved in time") from None
        if not found:
            raise ConnectError(host, "its name does not resolve")
        return found

    def _start(self, name: str, answer: Answer) -> None:
        # A daemon, so that a resolver that hangs does not keep the process from ending.
        thread = threading.Thread(target=self._work, args=(name, answer), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # The system has no thread left.
            self._free.release()
            answer.put([])

    def _work(self, name: str, answer: Answer) -> None:
        try:
            answer.put(list(self._lookup(name)))
        except Exception:  # Whatever a resolver fails with, there is no address.
            answer.put([])
        finally:
            self._free.release()


def _literal(host: str) -> str | None:
    """The address that `host` writes. Only what EGRESS_ALLOW opens comes here as one."""
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


def _checked(host: str, answers: Iterable[str], *, opened: bool) -> tuple[Address, ...]:
    answers = tuple(dict.fromkeys(answers))
    for answer in answers:
        if fault := find_address_error(answer, allowed=opened):
            raise BlockedByPolicyError(host, fault)
    return tuple(ip_address(answer) for answer in answers)
