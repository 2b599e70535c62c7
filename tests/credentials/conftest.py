from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from credentials.models import Credential
from tests.credentials.upstream import Upstream, upstreams
from tests.egress.certificates import Authority
from vault.sealing import SealedValue


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def stripe(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """Stripe's API, whose probe is GET /v1/charges."""
    with upstreams(authority, monkeypatch, "api.stripe.com") as found:
        yield found["api.stripe.com"]


@pytest.fixture
def gitlab(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """GitLab's API and authorization server: /api/v4/user, /oauth/token, /oauth/revoke."""
    with upstreams(authority, monkeypatch, "gitlab.com") as found:
        yield found["gitlab.com"]


@pytest.fixture
def discord(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """Discord, whose grants have no probe: /api/oauth2/token."""
    with upstreams(authority, monkeypatch, "discord.com") as found:
        yield found["discord.com"]


@pytest.fixture
def dropbox(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """Dropbox, whose access tokens revoke themselves."""
    with upstreams(authority, monkeypatch, "api.dropboxapi.com") as found:
        yield found["api.dropboxapi.com"]


@pytest.fixture
def break_seal() -> Callable[[Credential], None]:
    """Make a row one that does not open."""
    return _damage


def _damage(row: Credential) -> None:
    Credential.objects.filter(id=row.id).update(secrets=SealedValue(b"\x00damaged"))
