"""The provider's process as the programs use it, and the provider files that lead to it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, Self

from tests.fakes.documents import provider_document

ROOT: Final = Path(__file__).parents[2]

_TEXT: Final = {"type": "string", "description": "A text."}


class ProviderProcess:
    """`tools.fault_injection.provider` as a context. Services get addresses of their own on loopback.

    Latchkey limits its requests to each host, so services that must not share a limit need different
    hosts. `folder` is where the provider files are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.fault_injection.provider"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def allowed_targets(self) -> str:
        """The value of EGRESS_ALLOW for all services."""
        return ",".join(f"{host}:{self.port}" for host in sorted(set(self.hosts.values())))

    def add_service(self, name: str, *, states_grace: int | None = None, **changes: Any) -> None:
        """Add a service and its provider file, with the kind `NAME_oauth2`.

        `states_grace` is the grace in seconds that the file states: 0 for a strict provider, None if
        it is not known. `changes` as in `change`.
        """
        number = len(self.hosts) + 1
        self.hosts[name] = host = f"127.0.{1 + number // 250}.{1 + number % 250}"
        self.change(name, host=host, **changes)
        facts = {"rotates": True, "grace_seconds": states_grace}
        document = provider_document(name, name, f"http://{host}:{self.port}/{name}", facts)
        document["kinds"] = {f"{name}_oauth2": _build_kind()}
        (self.folder / f"{name}.json").write_text(json.dumps(document))

    def change(self, service: str, **changes: Any) -> list[dict[str, str]]:
        """Change attributes of the service; return the tokens of the grants to `authorize`."""
        tokens: list[dict[str, str]] = self._request(
            "POST", "_control", {"service": service, **changes}
        )
        return tokens

    def count(self, service: str) -> dict[str, Any]:
        """Return how many requests came and what became of them."""
        counts: dict[str, Any] = self._request("GET", f"_counts/{service}")
        return counts

    def count_granted(self) -> dict[str, int]:
        """Return how many refreshes each service has granted."""
        granted: dict[str, int] = self._request("GET", "_granted/all")
        return granted

    def list_calls(self, service: str) -> list[dict[str, Any]]:
        """Return every token request as a `provider.Call`."""
        calls: list[dict[str, Any]] = self._request("GET", f"_calls/{service}")
        return calls

    def is_alive(self, service: str, access_token: str) -> bool:
        """Return True if the service accepts the access token."""
        headers = {"Authorization": f"Bearer {access_token}"}
        status, _ = self._send("GET", f"{service}/me", None, headers)
        return status == 200

    def _request(self, method: str, path: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document)
        _, content = self._send(method, path, body, {})
        return json.loads(content)

    def _send(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, f"/{path}", body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _build_kind() -> dict[str, Any]:
    return {
        "title": "OAuth",
        "mechanism": "oauth2",
        "properties": {
            "user_id": _TEXT,
            "refresh_token": _TEXT,
            "access_token": _TEXT,
            "expires_at": {**_TEXT, "format": "date-time"},
        },
        "required": ["user_id"],
        "secret": ["refresh_token", "access_token"],
        "identity": [{"field": "user_id", "form": "text"}],
        "rotates": True,
        "grant": "refresh_token",
        "probe": None,
        "example": {},
    }
