"""The system check of the URLs in provider files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from oauth_apps.checks import check_provider_urls
from providers.checks import check_providers
from providers.registry import DATA_DIR, get_registry


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Any:
    settings.PROVIDERS_DIR = str(tmp_path)
    get_registry.cache_clear()
    yield tmp_path
    get_registry.cache_clear()


def write(folder: Path, base_url: str) -> None:
    text = (DATA_DIR / "sendgrid.json").read_text().replace("sendgrid_", "acme_")
    document = json.loads(text) | {"slug": "acme"}
    document["api"]["base_url"] = base_url
    (folder / "acme.json").write_text(json.dumps(document))
    get_registry.cache_clear()


def test_requests_may_go_to_every_built_in_provider(folder):
    assert check_provider_urls() == []


@pytest.mark.parametrize(
    ("base_url", "reason"),
    [
        ("http://api.acme.example", "must begin with https://"),
        ("https://api.acme.example:8443", "must not have a port other than 443"),
        ("https://metadata.google.internal", "local network"),
        ("https://127.0.0.1", "not an IP address"),
    ],
)
def test_operators_url_that_would_be_blocked_is_named(folder, base_url, reason):
    write(folder, base_url)
    assert [message for message in check_providers() if message.id != "providers.E003"] == []
    (message,) = check_provider_urls()
    assert message.id == "oauth_apps.E001"
    assert message.msg.startswith("acme: api.base_url: ")
    assert reason in message.msg


@pytest.mark.parametrize("base_url", ["http://api.corp:8080", "https://api.corp:8443/v1"])
def test_operators_url_may_be_a_target_of_egress_allow(folder, settings, base_url):
    settings.EGRESS_ALLOW = "api.corp:8080,api.corp:8443"
    write(folder, base_url)
    assert check_provider_urls() == []
