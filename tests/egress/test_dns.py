"""DNS: every address must be allowed, and the result must come in time."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from egress import BlockedByPolicyError, ConnectError, EgressTimeoutError
from egress.dns import Resolver, query_system_resolver
from tests.fakes.fixtures import wait_until


def addresses(*answers: str, opened: bool = False) -> list[str]:
    resolver = Resolver(lambda name: answers)
    found = resolver.resolve("api.example.com", timeout=30, allowed=opened)
    return [str(address) for address in found]


def test_all_of_them_in_order_and_once():
    answers = ["2606:4700::1", "1.1.1.1", "2606:4700::1", "8.8.8.8"]
    assert addresses(*answers) == ["2606:4700::1", "1.1.1.1", "8.8.8.8"]


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "127.0.0.1"],
        ["93.184.216.34", "::1"],
        ["2606:4700::1", "10.0.0.1"],
        ["93.184.216.34", "64:ff9b::a9fe:a9fe"],
        ["93.184.216.34"] * 40 + ["169.254.169.254"],
        ["fe80::1%eth0"],
        ["not an address"],
    ],
)
def test_one_forbidden_address_rejects_all(answers):
    with pytest.raises(BlockedByPolicyError) as refused:
        addresses(*answers)
    assert str(refused.value).startswith("api.example.com: resolves to")
    assert all(answer not in str(refused.value) for answer in answers)


def test_allowed_name_may_be_private_but_not_link_local():
    assert addresses("10.0.0.1", opened=True) == ["10.0.0.1"]
    with pytest.raises(BlockedByPolicyError):
        addresses("10.0.0.1", "169.254.169.254", opened=True)


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),  # NXDOMAIN
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure"),  # SERVFAIL
        UnicodeError("label too long"),
        OSError("no descriptors"),
        RuntimeError("whatever"),
    ],
)
def test_an_error_of_the_resolver_is_no_address(error):
    def lookup(name: str) -> list[str]:
        raise error

    with pytest.raises(ConnectError, match="does not resolve"):
        Resolver(lookup).resolve("api.example.com", timeout=30)


def test_resolver_without_result_is_a_connect_error():
    with pytest.raises(ConnectError, match="does not resolve"):
        addresses()


def test_slow_resolver_times_out():
    over = threading.Event()
    started = time.monotonic()
    with pytest.raises(EgressTimeoutError, match="not resolved in time"):
        Resolver(lambda name: [str(over.wait(5))]).resolve("api.example.com", timeout=0.02)
    assert time.monotonic() - started < 4
    over.set()


def test_resolver_limits_its_threads():
    over, asked = threading.Event(), []

    def lookup(name: str) -> list[str]:
        asked.append(name)
        over.wait(5)
        return ["1.1.1.1"]

    resolver = Resolver(lookup, workers=2)
    for reason in ["in time", "in time", "busy"]:
        with pytest.raises(EgressTimeoutError, match=reason):
            resolver.resolve("api.example.com", timeout=0.01)
    wait_until(lambda: len(asked) == 2)
    over.set()
    # Those that were slow have made room.
    assert resolver.resolve("api.example.com", timeout=30)


def test_without_a_thread_there_is_no_address(monkeypatch):
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    resolver = Resolver(lambda name: ["1.1.1.1"], workers=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        for _ in range(2):
            with pytest.raises(ConnectError):
                resolver.resolve("api.example.com", timeout=0.01)
    assert resolver.resolve("api.example.com", timeout=30)


def test_public_name_is_resolved_as_absolute():
    asked = []

    def lookup(name: str) -> list[str]:
        asked.append(name)
        return ["1.1.1.1"]

    resolver = Resolver(lookup)
    resolver.resolve("api.example.com", timeout=30)
    resolver.resolve("mail.corp", timeout=30, allowed=True)
    assert asked == ["api.example.com.", "mail.corp"]


@pytest.mark.parametrize("host", ["10.0.0.5", "[fd00::1]"])
def test_allowed_address_is_not_resolved(host):
    def lookup(name: str) -> list[str]:
        raise AssertionError(name)

    [address] = Resolver(lookup).resolve(host, timeout=30, allowed=True)
    assert str(address) == host.strip("[]")


@pytest.mark.parametrize("host", ["10.0.0.5", "127.0.0.1", "[::1]", "169.254.169.254"])
def test_address_outside_the_allowlist_is_rejected_by_check(host):
    with pytest.raises(BlockedByPolicyError):
        Resolver().resolve(host, timeout=30)


@pytest.mark.parametrize(
    "answers", [["10.0.0.7"], ["93.184.216.34", "10.0.0.7"], ["2606:4700::1", "::ffff:10.0.0.7"]]
)
def test_aliases_are_checked_by_their_final_addresses(monkeypatch, answers):
    """The system follows CNAMEs: it gives the last name of the chain, and that one's addresses."""

    def ask(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        families = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in answers]
        return [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "vault.corp.internal", (each, 0))
            for family, each in zip(families, answers, strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    with pytest.raises(BlockedByPolicyError, match=r"^api\.example\.com: resolves to"):
        Resolver().resolve("api.example.com", timeout=30)


def test_the_systems_resolver():
    assert "127.0.0.1" in query_system_resolver("localhost")
