"""The rows that a written request refers to by name, each made when it is first asked for."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.db import connection

from accounts.models import Account, ApiToken
from accounts.services import token_revoke
from accounts.token_format import get_visible_prefix
from credentials.connect.models import ConnectLink
from credentials.models import Credential
from oauth_apps.models import OAuthApp, OAuthAppSecret
from tests.factories import (
    TESTER,
    make_account,
    make_app,
    make_credential,
    make_endpoint,
    make_link,
    make_token,
)
from vault.services import get_index_key
from webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookSecret
from webhooks.outbox import enqueue

_RUN = re.compile(r"<<(.+?)\*(\d+)>>")
_NAME = re.compile(r"\$([A-Z]+)")


class World:
    """Two accounts. `fill` puts ids and tokens for `$NAME`, and repeats `<<text*times>>`."""

    def __init__(self) -> None:
        get_index_key()  # The vault's own row, once in a database: no request is to be blamed for it.
        self.named: dict[str, Callable[[], str]] = {
            "TOKEN": lambda: self.token,
            "REVOKED": self._revoked,
            "EXPIRED": self._expired,
            "ID": lambda: str(self.credential.id),
            "UPPERID": lambda: str(self.credential.id).upper(),
            "HEXID": lambda: self.credential.id.hex,
            "APP": lambda: str(self.app.id),
            "ENDPOINT": lambda: str(self.endpoint.id),
            "LINK": lambda: str(self.link.id),
            "LINEAR": lambda: str(make_app(self.account, "linear").id),
            "GITHUB": lambda: str(make_app(self.account, "github").id),
            "OTHERID": lambda: str(self.other_credential.id),
            "OTHERAPP": lambda: str(self.other_app.id),
            "OTHERACCOUNT": lambda: str(self.other.id),
        }

    def create_rows(self) -> World:
        """The account's credential and app, made now."""
        self.substitute("$ID $APP")
        return self

    def get_ids(self) -> dict[str, Any]:
        """An object of each kind of the account, for routes that name one."""
        return {
            "credential": self.credential.id,
            "app": self.app.id,
            "endpoint": self.endpoint.id,
            "delivery": make_delivery(self.endpoint).id,
            "link": self.link.id,
        }

    def get_other_ids(self) -> dict[str, Any]:
        """The same of the other account."""
        return {
            "credential": self.other_credential.id,
            "app": self.other_app.id,
            "endpoint": self.other_endpoint.id,
            "delivery": make_delivery(self.other_endpoint).id,
            "link": self.other_link.id,
        }

    def substitute(self, text: str) -> str:
        named = _NAME.sub(lambda found: self.named[found[1]](), text)
        return _RUN.sub(lambda found: found[1] * int(found[2]), named)

    @functools.cached_property
    def account(self) -> Account:
        return make_account("Acme")

    @functools.cached_property
    def other(self) -> Account:
        return make_account("Other")

    @functools.cached_property
    def token(self) -> str:
        return make_token(self.account)

    @functools.cached_property
    def credential(self) -> Credential:
        return make_credential(self.account)

    @functools.cached_property
    def app(self) -> OAuthApp:
        return make_app(self.account, "stripe")

    @functools.cached_property
    def other_credential(self) -> Credential:
        return make_credential(self.other)

    @functools.cached_property
    def other_app(self) -> OAuthApp:
        return make_app(self.other, "stripe")

    @functools.cached_property
    def endpoint(self) -> WebhookEndpoint:
        return make_endpoint(self.account)

    @functools.cached_property
    def other_endpoint(self) -> WebhookEndpoint:
        return make_endpoint(self.other)

    @functools.cached_property
    def link(self) -> ConnectLink:
        return make_link(self.account)

    @functools.cached_property
    def other_link(self) -> ConnectLink:
        return make_link(self.other)

    def _revoked(self) -> str:
        held = make_token(self.account)
        token_revoke(token=ApiToken.objects.latest("id"), actor=TESTER)
        return held

    def _expired(self) -> str:
        held = make_token(self.account)
        long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        ApiToken.objects.filter(prefix=get_visible_prefix(held)).update(expires_at=long_ago)
        return held


def make_delivery(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """The endpoint's first delivery, made where there is none."""
    if not endpoint.deliveries.exists():
        enqueue(endpoint.account_id, [("oauth_app.updated", endpoint.id)])
    return endpoint.deliveries.earliest("id")


def snapshot_database() -> Any:
    """How many rows each table has, and the state of those that a request could change."""
    return (
        _counts(),
        list(Credential.objects.values_list("id", "revision", "updated_at")),
        list(OAuthApp.objects.values_list("id", "revision", "updated_at")),
        list(OAuthAppSecret.objects.values_list("id", "fingerprint")),
        list(WebhookEndpoint.objects.values_list("id", "revision", "updated_at")),
        list(WebhookSecret.objects.values_list("id")),
        list(WebhookDelivery.objects.values_list("id", "state", "next_at")),
    )


def _counts() -> tuple[int, ...]:
    # The log of failed logins is the one thing that a refusal writes.
    tables = [m._meta.db_table for m in apps.get_models() if m._meta.app_label != "axes"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"(SELECT count(*) FROM {t})" for t in tables))
        found: tuple[int, ...] = cursor.fetchone()
    return found
