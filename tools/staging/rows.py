"""One row in each table that the admin has a page for."""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.auth.models import Group, User
from django.db import transaction

from accounts.models import Account
from accounts.otp_devices import Authenticator, RecoveryCodes
from accounts.services import session_open, token_create
from common.actors import Actor
from common.scopes import ALL
from credentials.connect.flow_request import FlowRequest
from credentials.connect.link_request import LinkRequest
from credentials.connect.services import attempt_prepare, link_create
from credentials.health.evidence import Evidence
from credentials.health.services import record_evidence
from credentials.imports.admin_services import import_draft_create
from credentials.models import Credential
from credentials.services.crud import credential_import
from oauth_apps.models import OAuthApp
from oauth_apps.services import oauth_app_create
from providers.registry import get_registry
from providers.services import custom_provider_create
from webhooks.event_types import EVENT_TYPES
from webhooks.services import endpoint_create


def make_one_of_each(account: Account, user: User, text: str, note: str) -> Credential:
    """Make the rows and return a broken credential whose health note is `note`.

    `text` is written to every field that takes free text. `user` uploaded the import draft.
    """
    actor = Actor(name=f"user:{user.pk}", ip="127.0.0.1")
    context: dict[str, Any] = {"account_id": account.id, "actor": actor}
    token_create(**context, name=text, scopes=ALL)
    session_open(**context, user=user)
    custom_provider_create(account_id=account.id, name="ledger", base_url="https://example.com")
    endpoint_create(**context, url="http://127.0.0.1:9/hook", events=list(EVENT_TYPES))
    link_request = LinkRequest(kind="stripe_key", name=text, external_id=text, metadata={"x": text})
    link_create(account_id=account.id, link_request=link_request, actor=actor)
    _make_attempt(_make_app(context, text), text, actor)
    _make_logins(user, text)
    line = b'{"properties": {"kind": "stripe_key", "scret": "x"}, "name": "One"}\n'
    import_draft_create(**context, filename=text, format="ndjson", content=line + b"x")
    return _make_broken_credential(context, text, note)


def _make_app(context: dict[str, Any], text: str) -> OAuthApp:
    id = oauth_app_create(
        **context,
        provider="linear",
        name=text,
        client_id=text,
        client_secret="made-up",
        redirect_uris=["https://example.com/callback"],
        metadata={"x": text},
    )
    return OAuthApp.objects.get(id=id)


def _make_attempt(app: OAuthApp, text: str, actor: Actor) -> None:
    kind = get_registry().kinds["linear_oauth2"]
    flow_request = FlowRequest(app=app, kind=kind, scopes=["read"], external_id=text)
    attempt_prepare(flow_request=flow_request, state=None, actor=actor)


def _make_broken_credential(context: dict[str, Any], text: str, note: str) -> Credential:
    body = {
        "properties": {"kind": "stripe_key", "name": text, "secret": "sk_live_made_up"},
        "name": text,
        "metadata": {"x": text, "list": [text]},
        "external_id": text,
    }
    row = Credential.objects.get(id__in=[credential_import(**context, body=body).id])
    evidence = Evidence(source="probe", verdict="rejected", note=note, code="http_401")
    with transaction.atomic():
        record_evidence(**context, credential_id=row.pk, evidence=evidence)
    return row


def _make_logins(user: User, text: str) -> None:
    """Make a group, second factors and login attempts: the pages of third-party apps."""
    other = User.objects.create_user(f"other-of-{user.pk}", first_name=text[:150])
    Group.objects.get_or_create(name=text[:150])
    app = Authenticator(user=other, name=text[:64])
    app.store_key(b"made up")
    app.save()
    RecoveryCodes.objects.create(user=other, name=text[:64])
    attempt = {"username": text, "user_agent": text, "ip_address": "192.0.2.1", "path_info": text}
    AccessAttempt.objects.create(**attempt, get_data=text, post_data=text, failures_since_start=3)
    AccessLog.objects.create(**attempt)
    AccessFailureLog.objects.create(**attempt)
