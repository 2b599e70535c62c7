"""Fixtures for tests that need a provider: import them into a folder's conftest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.models import Account
from credentials.models import Credential
from credentials.refresh.circuit_breaker import CircuitBreaker
from egress import get_default_client
from oauth_apps.models import OAuthApp
from providers.registry import get_registry
from tests.factories import make_app, make_credential
from tests.fakes.provider import FakeProvider
from tests.fakes.registry import write_files
from vault.services import clear_index_key_cache

ROOT = Path(__file__).parents[2]


@pytest.fixture
def provider(settings, tmp_path, monkeypatch) -> Iterator[FakeProvider]:
    """Start a strict provider, registered as `fake`. `facts` changes its file."""
    clear_index_key_cache()
    with FakeProvider() as fake:
        register_provider(fake, settings, tmp_path)
        get_default_client()  # Made once, before threads ask for it.
        for module in ("attempt", "tasks", "lease", "provider_calls"):
            monkeypatch.setattr(f"credentials.refresh.{module}.circuit_breaker", CircuitBreaker())
        yield fake
        get_default_client().close()
    get_registry.cache_clear()
    clear_index_key_cache()


def register_provider(fake: FakeProvider, settings: Any, tmp_path: Path, **refresh: Any) -> None:
    """Register `fake` with this process. `refresh` as in tests.fakes.registry."""
    settings.PROVIDERS_DIR = str(tmp_path / "providers")
    settings.EGRESS_ALLOW = f"127.0.0.1:{fake.port}"
    settings.SPOOL_DIR = str(tmp_path / "spool")
    write_files(tmp_path / "providers", fake.url, **refresh)
    get_registry.cache_clear()


@pytest.fixture
def facts(provider, settings, tmp_path) -> Callable[..., None]:
    """Change the provider's file: `facts(grace_seconds=30)`."""
    return lambda **refresh: register_provider(provider, settings, tmp_path, **refresh)


@pytest.fixture
def app(account: Account, provider: FakeProvider) -> OAuthApp:
    return make_app(account, "fake")


@pytest.fixture
def grant(account: Account, app: OAuthApp, provider: FakeProvider) -> Callable[..., Credential]:
    """Make a credential of a user's grant, whose token has expired by default."""

    def make(user: str = "ann", **properties: Any) -> Credential:
        return make_grant(account, app, provider, user, **properties)

    return make


def make_grant(
    account: Account, app: OAuthApp, provider: FakeProvider, user: str, **properties: Any
) -> Credential:
    tokens = provider.grants.authorize(user)
    return make_credential(
        account,
        {
            "properties": {
                "kind": "fake_oauth2",
                "user_id": user,
                "expires_at": "2026-01-01T00:00:00Z",
                **tokens,
                **properties,
            },
            "oauth_app_id": str(app.id),
        },
    )


class Process:
    """A process of its own on the same database: `python -m tests.fakes.process ROLE`."""

    def __init__(self, role: str, settings: Any, **given: Any) -> None:
        config = {
            "database": connection.settings_dict["NAME"],
            "settings": {
                name: getattr(settings, name)
                for name in ("PROVIDERS_DIR", "EGRESS_ALLOW", "SPOOL_DIR", "CLOCK_SHIFT_SECONDS")
                if hasattr(settings, name)
            },
            **given,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.process", role, json.dumps(config)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> None:
        """Wait until it prints that it has started."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.strip() == "ready", line + self.errors()

    def release(self) -> None:
        """Let it begin, with all others that wait."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self, timeout: float = 60) -> Any:
        """Return what it printed. Fails if it did not end well."""
        out, err = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, err[-3000:]
        return json.loads(out.splitlines()[-1])

    def errors(self) -> str:
        self.process.kill()
        return self.process.communicate()[1][-3000:]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(settings) -> Iterator[Callable[..., Process]]:
    """Start processes; whatever still runs at the end of the test is ended."""
    started: list[Process] = []

    def begin(role: str, **given: Any) -> Process:
        started.append(Process(role, settings, **given))
        return started[-1]

    yield begin
    for process in started:
        process.end()


def wait_until(true: Callable[[], Any], *, within: float = 120) -> Any:
    """Wait until `true()` returns a true value; return it."""
    ends = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.05)
    return found
