from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Account
from credentials.models import Credential
from tests.factories import make_app, make_credential, make_stripe_body


@pytest.fixture
def key(account: Account) -> Credential:
    """A Stripe key whose owner has an e-mail address."""
    return make_credential(
        account, make_stripe_body("sk_live_canary", owner_email="ann@acme.example")
    )


def make_gitlab_body(account: Account, **properties: Any) -> dict[str, Any]:
    """Return the import of a GitLab grant whose access token does not expire."""
    return {
        "properties": {
            "kind": "gitlab_oauth2",
            "user_id": 7,
            "refresh_token": "glrt-first",
            "access_token": "glat-first",
            "expires_at": "2099-01-01T00:00:00Z",
            **properties,
        },
        "oauth_app_id": str(make_app(account, "gitlab").id),
        "owner_email": "ann@acme.example",
    }


@pytest.fixture
def grant(account: Account) -> Credential:
    return make_credential(account, make_gitlab_body(account))
