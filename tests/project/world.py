"""The rows that a written request names, each created when it is first used."""

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
    """Two accounts. `substitute` replaces `$NAME` by an id or a token, and repeats `<<text*times>>`."""

    def __init__(self) -> None:
        # The vault's own row, once per database: no request may be blamed for it.
        get_index_key()
        self.named: dict[str, Callable[[], str]] = {
            "TOKEN": lambda: self.token,
            "REVOKED": self._make_revoked_token,
            "EXPIRED": self._make_expired_token,
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
        """Create the account's credential and app now."""
        self.substitute("$ID $APP")
        return self

    def get_ids(self) -> dict[str, Any]:
        """Return the id of an object of each kind of the account."""
        return {
            "credential": self.credential.id,
            "app": self.app.id,
            "endpoint": self.endpoint.id,
            "delivery": make_delivery(self.endpoint).id,
            "link": self.link.id,
        }

    def get_other_ids(self) -> dict[str, Any]:
        """Return the same of the other account."""
        return {
            "credential": self.other_credential.id,
            "app": self.other_app.id,
            "endpoint": self.other_endpoint.id,
            "delivery": make_delivery(self.other_endpoint).id,
            "link": self.other_link.id,
        }

    def substitute(self, text: str) -> str:
        named = _NAME.sub(lambda match: self.named[match[1]](), text)
        return _RUN.sub(lambda match: match[1] * int(match[2]), named)

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

    def _make_revoked_token(self) -> str:
        token = make_token(self.account)
        token_revoke(token=ApiToken.objects.latest("id"), actor=TESTER)
        return token

    def _make_expired_token(self) -> str:
        token = make_token(self.account)
        long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        ApiToken.objects.filter(prefix=get_visible_prefix(token)).update(expires_at=long_ago)
        return token


def make_delivery(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Return the endpoint's first delivery. Create it if there is none."""
    if not endpoint.deliveries.exists():
        enqueue(endpoint.account_id, [("oauth_app.updated", endpoint.id)])
    return endpoint.deliveries.earliest("id")


def snapshot_database() -> Any:
    """Return the number of rows of each table, and the state of those that a request could change."""
    return (
        _count_rows(),
        list(Credential.objects.values_list("id", "revision", "updated_at")),
        list(OAuthApp.objects.values_list("id", "revision", "updated_at")),
        list(OAuthAppSecret.objects.values_list("id", "fingerprint")),
        list(WebhookEndpoint.objects.values_list("id", "revision", "updated_at")),
        list(WebhookSecret.objects.values_list("id")),
        list(WebhookDelivery.objects.values_list("id", "state", "next_at")),
    )


def _count_rows() -> tuple[int, ...]:
    # A rejected request writes nothing but the log of failed logins.
    tables = [m._meta.db_table for m in apps.get_models() if m._meta.app_label != "axes"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"(SELECT count(*) FROM {t})" for t in tables))
        counts: tuple[int, ...] = cursor.fetchone()
    return counts
