"""The provider as a process: `python -m tools.fault_injection.provider` prints its port and serves.

It has any number of services, each at `/NAME/token` on the address of its own that its client gives
it. `/_control` changes a service, `/_calls/NAME` returns every token request, `/NAME/me` whether an
access token is alive. Tokens are rotated when a request arrives, before any delay: a request that is
sent twice is a reuse, however slow its response is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import struct
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from tests.fakes.grants import TokenFamily, TokenStore

BEFORE_ISSUE: Final = ("429", "500_before", "reset_before")
"""Faults in which nothing is issued.

After the others (500_after, 503_after, reset_after, half) tokens were issued and do not arrive.
"""

LONGEST_SILENCE: Final = 600.0


class ServiceTokenStore(TokenStore):
    """The tokens of one service: no two services issue the same."""

    def __init__(self, service: str, *, grace: float) -> None:
        super().__init__(grace=grace)
        self._service = service

    def _issue(self, kind: str, family: TokenFamily) -> str:
        return super()._issue(f"{kind}-{self._service}", family)


@dataclass(slots=True)
class Call:
    """One token request. Times are seconds of the system's clock."""

    grant: str
    token: str
    started_at: float
    ended_at: float = 0.0
    outcome: str = ""
    """granted, replayed (within the grace), reused, dead, rejected, silent, or a fault before issue."""
    fault: str = ""
    is_lost: bool = False
    """True if tokens were issued and the client cannot have received them."""
    concurrent: int = 1
    """Requests of this grant under way when it arrived, itself included."""
    refresh_token: str = ""
    """The refresh token that was issued."""
    access_token: str = ""
    """The access token that was issued."""


@dataclass(eq=False)
class Service:
    """An authorization server. `faults` are probabilities, `script` the faults of the next requests."""

    name: str
    store: TokenStore
    lifetime: int = 3600
    delay: float = 0.0
    delay_of: dict[str, float] = field(default_factory=dict)
    faults: dict[str, float] = field(default_factory=dict)
    script: deque[str] = field(default_factory=deque)
    retry_after: int = 1
    is_silent: bool = False
    rejected: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """The response to each request of a grant."""
    rejection: tuple[int, Any] | None = None
    """The response to every request, whatever its grant."""
    calls: list[Call] = field(default_factory=list)
    running: Counter[str] = field(default_factory=Counter)
    granted: int = 0

    def change(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """Set the given attributes, and return the tokens of the grants to `authorize`."""
        self.store.grace = wanted.get("grace", self.store.grace)
        self.script.extend(wanted.get("script", ()))
        for name in ("lifetime", "delay", "faults", "retry_after", "is_silent", "rejection"):
            if name in wanted:
                setattr(self, name, wanted[name])
        for name in ("delay_of", "rejected"):
            getattr(self, name).update(wanted.get(name, {}))
        return [self.store.authorize(grant) for grant in wanted.get("authorize", ())]

    def choose_fault(self) -> str:
        if self.script:
            return self.script.popleft()
        number = random.random()
        for name, share in self.faults.items():
            number -= share
            if number < 0:
                return name
        return ""


class Provider:
    """The services, and the HTTP server in front of them."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self._servers: list[asyncio.Server] = []
        self.port = 0

    async def listen(self, host: str) -> None:
        server = await asyncio.start_server(self._serve, host, self.port, backlog=1024)
        self.port = self.port or server.sockets[0].getsockname()[1]
        self._servers.append(server)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._respond(reader, writer):
                pass
        writer.close()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Respond to one request. Return False if the connection ends with it."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length") or 0))
        _, path, _ = lines[0].split(" ", 2)
        service_name, _, action = path.strip("/").partition("/")
        if service_name == "_control":
            return _send(writer, 200, await self._control(json.loads(body)))
        if service_name == "_calls":
            return _send(writer, 200, [asdict(call) for call in self.services[action].calls])
        if service_name == "_granted":
            return _send(writer, 200, {name: one.granted for name, one in self.services.items()})
        if service_name == "_counts":
            return _send(writer, 200, self._count(self.services[action]))
        service = self.services[service_name]
        fields = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if action == "revoke":
            service.store.revoke(fields.get("token", ""))
            return _send(writer, 200, {})
        if action == "me":
            token = headers.get("authorization", "").removeprefix("Bearer ")
            return _send(writer, 200 if service.store.is_alive(token) else 401, {})
        return await _issue(service, fields, reader, writer)

    async def _control(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        name = wanted["service"]
        if name not in self.services:
            self.services[name] = Service(
                name, ServiceTokenStore(name, grace=wanted.get("grace", 0))
            )
            if host := wanted.get("host"):
                await self.listen(host)
        return self.services[name].change(wanted)

    def _count(self, service: Service) -> dict[str, Any]:
        families = service.store.families
        outcomes = Counter(call.outcome for call in service.calls)
        return {
            "calls": len(service.calls),
            "running": service.running.total(),
            "granted": service.granted,
            "reused": outcomes["reused"],
            "revoked": [name for name, family in families.items() if family.revoked],
            "outcomes": dict(outcomes),
        }


async def _issue(
    service: Service,
    fields: dict[str, str],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> bool:
    token = fields.get("refresh_token", "")
    family = service.store.owners.get(token)
    grant = family.name if family else ""
    service.running[grant] += 1
    call = Call(grant, token, time.time(), concurrent=service.running[grant])
    service.calls.append(call)
    try:
        return await _process(service, call, reader, writer)
    finally:
        call.ended_at = time.time()
        service.running[grant] -= 1


async def _process(
    service: Service, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> bool:
    if service.is_silent:
        call.outcome = "silent"
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), LONGEST_SILENCE)
        return False
    if rejection := service.rejected.get(call.grant) or service.rejection:
        call.outcome = "rejected"
        return _send(writer, *rejection)
    call.fault = service.choose_fault()
    if call.fault in BEFORE_ISSUE:
        call.outcome = call.fault
        return _fail(service, writer, call.fault, {})
    document = _refresh(service, call)
    await asyncio.sleep(service.delay_of.get(call.grant, service.delay))
    if document is None:
        return _send(writer, 400, {"error": "invalid_grant"})
    # A client that was killed has closed its connection.
    call.is_lost = bool(call.fault) or reader.at_eof()
    if call.fault:
        return _fail(service, writer, call.fault, document)
    return _send(writer, 200, document)


def _refresh(service: Service, call: Call) -> dict[str, Any] | None:
    family = service.store.owners.get(call.token)
    is_dead, is_current = (
        family is None or family.revoked,
        family is not None and family.current == call.token,
    )
    tokens = service.store.refresh(call.token)
    if tokens is None:
        call.outcome = "dead" if is_dead else "reused"
        return None
    call.outcome = "granted" if is_current else "replayed"
    service.granted += 1
    call.refresh_token, call.access_token = tokens["refresh_token"], tokens["access_token"]
    return {**tokens, "token_type": "Bearer", "expires_in": service.lifetime}


def _fail(service: Service, writer: asyncio.StreamWriter, fault: str, document: Any) -> bool:
    if fault.startswith("reset"):
        # RST instead of an orderly end.
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False
    if fault == "half":
        body = json.dumps(document).encode()
        writer.write(_build_head(200, len(body)) + body[: len(body) // 2])
        return False
    headers = "" if fault.startswith("500") else f"Retry-After: {service.retry_after}\r\n"
    return _send(writer, int(fault[:3]), {}, headers)


def _send(writer: asyncio.StreamWriter, status: int, document: Any, headers: str = "") -> bool:
    body = json.dumps(document).encode()
    writer.write(_build_head(status, len(body), headers) + body)
    return True


def _build_head(status: int, length: int, headers: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{headers}"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


async def _run(parent_input: Any) -> None:
    provider = Provider()
    await provider.listen("127.0.0.1")
    print(provider.port, flush=True)
    # It ends with the program that started it, however that one ends.
    await asyncio.to_thread(parent_input.read)
    os._exit(0)  # Clients that still wait for a slow response are of no interest any more.


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    asyncio.run(_run(sys.stdin))


if __name__ == "__main__":
    main()
