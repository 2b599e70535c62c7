"""An authorization server on loopback that sends prepared replies, and stores its requests."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.egress.servers import Connection, Server, build_response

Reply = bytes | Callable[[Connection], object]


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it came. Header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, raw: bytes) -> ReceivedRequest:
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        return cls(method, target, {name.lower(): text for name, text in headers.items()}, body)

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def form(self) -> dict[str, str]:
        """The body's fields; each must be there once."""
        assert self.headers["content-type"] == "application/x-www-form-urlencoded"
        return fields(self.body.decode("ascii"))

    @property
    def query(self) -> dict[str, str]:
        return fields(urlsplit(self.target).query)

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


class FakeProvider:
    """Each request gets the next of `replies`, the last one for ever."""

    def __init__(self) -> None:
        self.requests: list[ReceivedRequest] = []
        self._replies: list[Reply] = []
        self._server = Server(self._script)

    @property
    def target(self) -> str:
        """For EGRESS_ALLOW."""
        return f"127.0.0.1:{self._server.port}"

    def url(self, path: str) -> str:
        return f"http://{self.target}{path}"

    def set_replies(self, *replies: Reply) -> Self:
        self._replies = list(replies)
        return self

    def reset(self) -> None:
        self.requests = []
        self._replies = [build_reply({"error": "nothing was prepared"}, 500)]

    def close(self) -> None:
        self._server.__exit__()

    @property
    def only_request(self) -> ReceivedRequest:
        """The only request that there was."""
        (seen,) = self.requests
        return seen

    def _script(self, connection: Connection) -> None:
        while raw := connection.read_request():
            self.requests.append(ReceivedRequest.read(raw))
            prepared = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
            if isinstance(prepared, bytes):
                connection.send(prepared)
            else:
                with contextlib.suppress(OSError):
                    prepared(connection)


def fields(encoded: str) -> dict[str, str]:
    found = parse_qs(encoded, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values()), "a parameter is there twice"
    return {name: values[0] for name, values in found.items()}


def build_reply(document: Any, status: int = 200, *headers: str) -> bytes:
    """Return a JSON response."""
    return build_raw_reply(
        json.dumps(document).encode(), status, "Content-Type: application/json", *headers
    )


def build_raw_reply(body: bytes, status: int = 200, *headers: str) -> bytes:
    return build_response(body, *headers, status=f"{status} Because")


def build_token_reply(**more: Any) -> bytes:
    """Return a complete token response."""
    return build_reply({"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, **more})
