"""The stage of one scenario, and the checks that it returns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from tools.fault_injection.cluster import Cluster
from tools.fault_injection.installation import Installation
from tools.fault_injection.mail_server import MailServer
from tools.fault_injection.provider_process import ProviderProcess


class Check(NamedTuple):
    """A claim with the expected and the actual value. It holds if `is_kept`."""

    claim: str
    expected: str
    actual: str
    is_kept: bool


def check(claim: str, actual: object, expected: object) -> Check:
    """Return a check that holds if the two are equal."""
    return Check(claim, str(expected), str(actual), actual == expected)


def check_range(claim: str, actual: float | None, least: float, most: float) -> Check:
    """Return a check that holds if `actual` is between the two."""
    is_kept = actual is not None and least <= actual <= most
    text = "never" if actual is None else f"{actual:.1f}"
    return Check(claim, f"{least:g} to {most:g}", text, is_kept)


class Stage:
    """A database, a provider and an installation of their own, as a context.

    Add the services to `provider`, then call `install`.
    """

    installation: Installation

    def __init__(self, name: str, cluster: Cluster, folder: Path) -> None:
        self.name = name
        self.cluster = cluster
        self.folder = folder / name
        self.provider = ProviderProcess(self.folder / "providers")
        self.mail = MailServer()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.provider)
        self._stack.enter_context(self.mail)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def install(self, servers: int = 1, *, copies: bool = True) -> None:
        """Start this number of servers, `web-0`, `web-1` ..., on a copy of the migrated database.

        Unless it `copies`, the cluster is the stage's own and its database is migrated.
        """
        name = f"{self.name}_{time.monotonic_ns()}"
        self.installation = Installation(
            self.folder,
            database_url=self.cluster.copy_database(name) if copies else self.cluster.get_url(),
            providers=self.provider.folder,
            allow=self.provider.allowed_targets,
            mail_port=self.mail.port,
        )
        self._stack.enter_context(self.installation)
        if not copies:
            self.installation.migrate()
        for number in range(servers):
            self.installation.start_server(f"web-{number}")
        self.client = self.installation.create_client()

    def connect(self, service: str, users: list[str], **fields: Any) -> str:
        """Let the users authorize, import their grants, and return the id of the OAuth app."""
        app_id = self.client.create_app(service)
        tokens = self.provider.change(service, authorize=users)
        self.client.import_grants(service, app_id, dict(zip(users, tokens, strict=True)), **fields)
        return app_id

    def get_credential(self, service: str, user: str) -> dict[str, Any]:
        """Return the credential of this user's grant as the API shows it."""
        rows = self.client.list_credentials(provider=service)
        return next(row for row in rows if row["properties"]["user_id"] == user)


def wait_until(is_true: Callable[[], object], seconds: float, interval: float = 0.5) -> bool:
    """Wait until `is_true` returns a true value. Return False if it did not in this time."""
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            return False
        time.sleep(interval)
    return True
