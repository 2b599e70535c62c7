"""A customer's program on loopback that receives webhooks, and stores them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from tests.egress.servers import Connection, Server, build_response


@dataclass(frozen=True)
class ReceivedRequest:
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> Any:
        return json.loads(self.body)

    @property
    def target(self) -> str:
        return str(self.payload["data"]["id"])


class Receiver:
    """Responds with `status`, or what `decide` returns for a payload, and with `headers`."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[str] = []
        self.body = b"thanks"
        self.decide: Callable[[Any], int] | None = None
        self.requests: list[ReceivedRequest] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._server = Server(self._script)
        self.url = f"http://127.0.0.1:{self._server.port}/hook?key=in-the-url"
        self.allowed = f"127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._server.__exit__(*error)

    @property
    def accepted(self) -> list[ReceivedRequest]:
        return [request for request in self.requests if request.status < 300]

    def _script(self, connection: Connection) -> None:
        if raw := connection.read_request():
            with self._lock:
                self.in_flight += 1
                self.max_in_flight = max(self.max_in_flight, self.in_flight)
            connection.pause(self.seconds)
            self._respond(connection, raw)

    def _respond(self, connection: Connection, raw: bytes) -> None:
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")[1:]
        headers = {name.lower(): value for name, _, value in (x.partition(": ") for x in lines)}
        status = self.decide(json.loads(body)) if self.decide else self.status
        with self._lock:
            self.in_flight -= 1
            self.requests.append(ReceivedRequest(headers, body, status))
        more = ["Connection: close", *self.headers]
        connection.send(build_response(self.body, *more, status=f"{status} Whatever"))
