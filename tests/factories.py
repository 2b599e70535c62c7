"""Rows for tests, created by the services that create them in production."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

from django.contrib.auth.models import Group, User

from accounts.models import Account
from accounts.services import account_create, token_create
from common.actors import Actor
from common.pem import generate_private_key
from common.scopes import ALL
from credentials.connect.link_request import LinkRequest
from credentials.connect.models import ConnectLink
from credentials.connect.services import link_create
from credentials.models import Credential
from credentials.services.crud import credential_import
from oauth_apps.models import OAuthApp
from oauth_apps.services import oauth_app_create
from oauth_apps.validation import signs_requests
from webhooks.event_types import EVENT_TYPES
from webhooks.models import WebhookEndpoint
from webhooks.services import endpoint_create

TESTER = Actor(name="tester")
_numbers = itertools.count(1)


def make_account(name: str | None = None) -> Account:
    return account_create(name=name or f"Account {next(_numbers)}", actor=TESTER)


def make_token(account: Account, *scopes: str, **more: Any) -> str:
    _, token = token_create(
        account_id=account.id, name="test", scopes=scopes or ALL, actor=TESTER, **more
    )
    return token


def make_stripe_body(secret: str | None = None, **more: Any) -> dict[str, Any]:
    """Return an import body of the simplest kind, of a new upstream account unless `secret` is given."""
    properties = {
        "kind": "stripe_key",
        "name": "Choam Stripe",
        "secret": secret or f"sk_test_{uuid.uuid4().hex}",
        "test": False,
    }
    return {"properties": properties, **more}


def make_linear_body(app: OAuthApp, **more: Any) -> dict[str, Any]:
    """Return an import body of a kind with an identity and with tokens that are refreshed."""
    given = more.pop("properties", {})
    org = given.get("linear_org_id", "org-1")
    # One refresh token is one credential, so each app and upstream account has a grant of its own.
    apps = OAuthApp.objects.filter(account_id=app.account_id, provider=app.provider)
    is_first = org == "org-1" and not apps.filter(id__lt=app.id).exists()
    properties = {
        "kind": "linear_oauth2",
        "linear_org_id": "org-1",
        "access_token": "lin_oauth_first",
        "refresh_token": "lin_refresh_first" if is_first else f"lin_refresh_{org}_{app.id}",
        **given,
    }
    return {"properties": properties, "oauth_app_id": str(app.id), **more}


def make_credential(account: Account, body: dict[str, Any] | None = None) -> Credential:
    outcome = credential_import(
        account_id=account.id, actor=TESTER, body=body or make_stripe_body()
    )
    return Credential.objects.get(id__in=[outcome.id])


@contextlib.contextmanager
def keep_debris() -> Iterator[None]:
    """Let secrets be stored as they were before any was cleaned on its way in."""
    with (
        mock.patch("credentials.imports.secret_input._clean", lambda name, value: (value, "")),
        mock.patch("providers.field_checks.find_control_error", return_value=None),
    ):
        yield


def make_app(account: Account, provider: str = "linear", **more: Any) -> OAuthApp:
    fields = {
        "name": f"Acme - {provider}",
        "client_id": f"client-{next(_numbers)}",
        "client_secret": generate_private_key() if signs_requests(provider) else "app-secret",
        **more,
    }
    id = oauth_app_create(account_id=account.id, actor=TESTER, provider=provider, **fields)
    return OAuthApp.objects.get(id=id)


def make_endpoint_body(**more: Any) -> dict[str, Any]:
    """Return the body of an endpoint without a listener. tests.settings allows its address."""
    return {"url": "http://127.0.0.1:9/hook", "events": list(EVENT_TYPES), **more}


def make_endpoint(account: Account, **more: Any) -> WebhookEndpoint:
    id, _ = endpoint_create(account_id=account.id, actor=TESTER, **make_endpoint_body(**more))
    return WebhookEndpoint.objects.get(id=id)


def make_link(account: Account, **more: Any) -> ConnectLink:
    """Create a connect link with a form, unless `more` says otherwise."""
    wish = LinkRequest(**{"kind": "stripe_key", **more})
    id, _ = link_create(account_id=account.id, link_request=wish, actor=TESTER)
    return ConnectLink.objects.get(id=id)


def make_staff(*groups: str, password: str = "correct horse", **more: Any) -> User:
    user = User.objects.create_user(
        username=f"staff-{next(_numbers)}", password=password, is_staff=True, **more
    )
    user.groups.set(Group.objects.get_or_create(name=name)[0] for name in groups)
    return user


def get_names(rows: Sequence[dict[str, Any]]) -> list[Any]:
    return [row["name"] for row in rows]
