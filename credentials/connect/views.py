"""The API of connecting: the documented calls, connect links, and what a company chose."""

from __future__ import annotations

import uuid
from typing import Any, cast

from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency_decorator import idempotent
from common.actors import Actor, caller
from common.api.views import AccountView, ApiView, body, no_body, path_id, row
from common.db.clock import DbNow
from common.db.ids import parse_uuid
from common.errors import Invalid, Unauthenticated
from common.scopes import (
    CREDENTIALS_READ,
    CREDENTIALS_WRITE,
    OAUTH_APPS_READ,
    OAUTH_APPS_WRITE,
    PUBLIC,
)
from credentials.connect import links, settings
from credentials.connect.authorization_attempts import attempt_prepare
from credentials.connect.errors import Refusal
from credentials.connect.filters import ConnectLinkFilter
from credentials.connect.flow_request import (
    Draft,
    app_of,
    check_identifiable,
    check_return,
    given_properties,
    oauth_kind,
    scopes_of,
)
from credentials.connect.link_request import Wish
from credentials.connect.models import ConnectLink
from credentials.connect.pending_grants import Exchange, grant_fetch
from credentials.connect.serializers import (
    AccountSettingsSerializer,
    AppSettingsSerializer,
    ConnectLinkCreateSerializer,
    ConnectLinkSerializer,
    ExchangedSerializer,
    ExchangeSerializer,
    ShownAccountSettingsSerializer,
    ShownAppSettingsSerializer,
    StartAuthSerializer,
    StartedSerializer,
)
from oauth_apps.models import OAuthApp


class StartAuthView(ApiView):
    scopes = {"POST": CREDENTIALS_WRITE}

    @extend_schema(request=StartAuthSerializer, responses=StartedSerializer)
    def post(self, request: Request) -> Response:
        """An address that starts the flow for one user: it works once, for five minutes."""
        sent = StartAuthSerializer(data=body(request)).checked()
        who = caller(request)
        app = app_of(who.account_id, sent["oauth_app_id"])
        kind = oauth_kind(app, sent["credential_kind"], field="credential_kind")
        external_id = sent.get("external_id", "")
        check_identifiable(kind, external_id)
        draft = Draft(
            app=app,
            kind=kind,
            scopes=scopes_of(app, sent.get("scopes")),
            return_to=check_return(sent["redirect_url"], app.redirect_uris, field="redirect_url"),
            external_id=external_id,
            properties=given_properties(kind, sent.get("properties", {})),
        )
        try:
            url = attempt_prepare(draft=draft, state=sent.get("state"), actor=who.actor)
        except Refusal as refusal:
            raise Invalid.of("oauth_app_id", refusal.detail) from None
        return Response({"start_url": url})


class TokenView(ApiView):
    """Authenticated by the provider's client secret, as documented: no token of ours is needed."""

    scopes = {"POST": PUBLIC}
    authentication_classes = []

    @extend_schema(request=ExchangeSerializer, responses=ExchangedSerializer)
    def post(self, request: Request) -> Response:
        """Exchange a code for a credential to import. The tokens are shown here alone, once."""
        sent = ExchangeSerializer(data=body(request)).checked()
        client_id = parse_uuid(sent["client_id"])
        if client_id is None:
            raise Unauthenticated(
                "client_id must be the id of an OAuth app here.", extra={"error": "invalid_client"}
            )
        exchange = Exchange(
            client_id=client_id,
            client_secret=sent["client_secret"],
            code=sent["code"],
            redirect_uri=sent.get("redirect_uri"),
            code_verifier=sent.get("code_verifier"),
        )
        credential, state = grant_fetch(exchange=exchange, actor=_outsider(request, client_id))
        return Response(
            {"credential": credential, "state": state}, headers={"Cache-Control": "no-store"}
        )


class ConnectLinkViewSet(
    AccountView[ConnectLink], mixins.ListModelMixin, viewsets.GenericViewSet[ConnectLink]
):
    """Hosted pages on which one person connects one account."""

    scopes = {"GET": CREDENTIALS_READ, "POST": CREDENTIALS_WRITE, "DELETE": CREDENTIALS_WRITE}
    queryset = ConnectLink.objects.all()
    serializer_class = ConnectLinkSerializer
    filterset_class = ConnectLinkFilter

    def get_queryset(self) -> QuerySet[ConnectLink]:
        late = Q(status__in=links.LIVE, expires_at__lte=DbNow())
        return (
            super()
            .get_queryset()
            .annotate(late=ExpressionWrapper(late, output_field=BooleanField()))
        )

    def list(self, request: Request) -> Response:
        """Connect links, newest first."""
        return super().list(request)

    @idempotent()
    @extend_schema(request=ConnectLinkCreateSerializer, responses={201: ConnectLinkSerializer})
    def create(self, request: Request) -> Response:
        """Make a link. Its `url` is in this answer alone."""
        sent = ConnectLinkCreateSerializer(data=body(request)).checked()
        who = caller(request)
        try:
            id, url = links.link_create(
                account_id=who.account_id, wish=Wish(**sent), actor=who.actor
            )
        except Refusal as refusal:
            raise Invalid.of("oauth_app_id", refusal.detail) from None
        return self._answer(id, status=201, url=url)

    @extend_schema(responses=ConnectLinkSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(path_id(pk))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Cancel the link; a grant that is pending is revoked."""
        who = caller(request)
        links.link_withdraw(account_id=who.account_id, id=path_id(pk), actor=who.actor)
        return Response(status=204)

    @extend_schema(request=None, responses=ConnectLinkSerializer)
    def complete(self, request: Request, pk: str) -> Response:
        """Store the credential that is pending, once the company knows who came back."""
        id, who = self.existing(pk), caller(request)
        no_body(request)
        links.link_complete(account_id=who.account_id, id=id, actor=who.actor)
        return self._answer(id)

    def _answer(self, id: uuid.UUID, *, status: int = 200, url: str | None = None) -> Response:
        context = {**self.get_serializer_context(), "url": url}
        return Response(ConnectLinkSerializer(self.row(id), context=context).data, status=status)


class AppSettingsView(ApiView):
    scopes = {"GET": OAUTH_APPS_READ, "PATCH": OAUTH_APPS_WRITE}

    @extend_schema(responses=ShownAppSettingsSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """How the app connects, and the redirect URI to register for it."""
        return Response(settings.shown_of_app(self._app(pk)))

    @extend_schema(request=AppSettingsSerializer, responses=ShownAppSettingsSerializer)
    def patch(self, request: Request, pk: str) -> Response:
        app = self._app(pk)
        sent = AppSettingsSerializer(data=body(request)).checked()
        who = caller(request)
        changes = cast(settings.Changes, sent)
        settings.choose(account_id=who.account_id, app=app, actor=who.actor, changes=changes)
        return Response(settings.shown_of_app(app))

    def _app(self, pk: str) -> OAuthApp:
        rows = OAuthApp.objects.filter(account_id=caller(self.request).account_id)
        return row(rows, path_id(pk))


class AccountSettingsView(ApiView):
    scopes = {"GET": OAUTH_APPS_READ, "PATCH": OAUTH_APPS_WRITE}

    @extend_schema(responses=ShownAccountSettingsSerializer)
    def get(self, request: Request) -> Response:
        """What holds for links without an OAuth app."""
        return Response(settings.shown_of_account(caller(request).account_id))

    @extend_schema(request=AccountSettingsSerializer, responses=ShownAccountSettingsSerializer)
    def patch(self, request: Request) -> Response:
        sent = AccountSettingsSerializer(data=body(request)).checked()
        who = caller(request)
        changes = cast(settings.Changes, sent)
        settings.choose(account_id=who.account_id, app=None, actor=who.actor, changes=changes)
        return Response(settings.shown_of_account(who.account_id))


def _outsider(request: Any, client_id: uuid.UUID) -> Actor:
    """Who has an app's secret and no token: known by the app."""
    http = request._request
    return Actor(name=f"oauth_app:{client_id}", request_id=http.request_id, ip=http.client_ip)
