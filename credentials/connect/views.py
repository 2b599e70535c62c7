"""The API of connecting: the documented calls, connect links, and what a company chose."""

from __future__ import annotations

import uuid
from typing import cast

from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency_decorator import idempotent
from common.actors import get_principal
from common.api.views import AccountView, ApiView, get_row, parse_path_id, read_object, reject_body
from common.db.clock import DbNow
from common.db.ids import parse_uuid
from common.errors import InvalidInputError, UnauthenticatedError
from common.http import build_actor
from common.scopes import (
    CREDENTIALS_READ,
    CREDENTIALS_WRITE,
    OAUTH_APPS_READ,
    OAUTH_APPS_WRITE,
    PUBLIC,
)
from credentials.connect import links, settings
from credentials.connect.authorization_attempts import attempt_prepare
from credentials.connect.errors import ConnectError
from credentials.connect.filters import ConnectLinkFilter
from credentials.connect.flow_request import (
    FlowRequest,
    get_oauth_app,
    require_account_identity,
    resolve_oauth_kind,
    resolve_scopes,
    validate_flow_properties,
    validate_return_url,
)
from credentials.connect.link_request import LinkRequest
from credentials.connect.models import ConnectLink
from credentials.connect.pending_grants import TokenRequest, grant_exchange
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
        sent = StartAuthSerializer(data=read_object(request)).validate_data()
        who = get_principal(request)
        app = get_oauth_app(who.account_id, sent["oauth_app_id"])
        kind = resolve_oauth_kind(app, sent["credential_kind"], field="credential_kind")
        external_id = sent.get("external_id", "")
        require_account_identity(kind, external_id)
        draft = FlowRequest(
            app=app,
            kind=kind,
            scopes=resolve_scopes(app, sent.get("scopes")),
            return_to=validate_return_url(
                sent["redirect_url"], app.redirect_uris, field="redirect_url"
            ),
            external_id=external_id,
            properties=validate_flow_properties(kind, sent.get("properties", {})),
        )
        try:
            url = attempt_prepare(flow_request=draft, state=sent.get("state"), actor=who.actor)
        except ConnectError as refusal:
            raise InvalidInputError.for_field("oauth_app_id", refusal.detail) from None
        return Response({"start_url": url})


class TokenView(ApiView):
    """Authenticated by the provider's client secret, as documented: no token of ours is needed."""

    scopes = {"POST": PUBLIC}
    authentication_classes = []

    @extend_schema(request=ExchangeSerializer, responses=ExchangedSerializer)
    def post(self, request: Request) -> Response:
        """Exchange a code for a credential to import. The tokens are shown here alone, once."""
        sent = ExchangeSerializer(data=read_object(request)).validate_data()
        client_id = parse_uuid(sent["client_id"])
        if client_id is None:
            raise UnauthenticatedError(
                "client_id must be the id of an OAuth app here.", extra={"error": "invalid_client"}
            )
        exchange = TokenRequest(
            client_id=client_id,
            client_secret=sent["client_secret"],
            code=sent["code"],
            redirect_uri=sent.get("redirect_uri"),
            code_verifier=sent.get("code_verifier"),
        )
        credential, state = grant_exchange(
            token_request=exchange, actor=build_actor(request, f"oauth_app:{client_id}")
        )
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
        late = Q(status__in=links.ACTIVE_STATUSES, expires_at__lte=DbNow())
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
        sent = ConnectLinkCreateSerializer(data=read_object(request)).validate_data()
        who = get_principal(request)
        try:
            id, url = links.link_create(
                account_id=who.account_id, link_request=LinkRequest(**sent), actor=who.actor
            )
        except ConnectError as refusal:
            raise InvalidInputError.for_field("oauth_app_id", refusal.detail) from None
        return self._answer(id, status=201, url=url)

    @extend_schema(responses=ConnectLinkSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        return self._answer(parse_path_id(pk))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Cancel the link; a grant that is pending is revoked."""
        who = get_principal(request)
        links.link_withdraw(account_id=who.account_id, id=parse_path_id(pk), actor=who.actor)
        return Response(status=204)

    @extend_schema(request=None, responses=ConnectLinkSerializer)
    def complete(self, request: Request, pk: str) -> Response:
        """Store the credential that is pending, once the company knows who came back."""
        id, who = self.require_id(pk), get_principal(request)
        reject_body(request)
        links.link_complete(account_id=who.account_id, id=id, actor=who.actor)
        return self._answer(id)

    def _answer(self, id: uuid.UUID, *, status: int = 200, url: str | None = None) -> Response:
        context = {**self.get_serializer_context(), "url": url}
        return Response(
            ConnectLinkSerializer(self.get_row(id), context=context).data, status=status
        )


class AppSettingsView(ApiView):
    scopes = {"GET": OAUTH_APPS_READ, "PATCH": OAUTH_APPS_WRITE}

    @extend_schema(responses=ShownAppSettingsSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """How the app connects, and the redirect URI to register for it."""
        return Response(settings.represent_app_settings(self._app(pk)))

    @extend_schema(request=AppSettingsSerializer, responses=ShownAppSettingsSerializer)
    def patch(self, request: Request, pk: str) -> Response:
        app = self._app(pk)
        sent = AppSettingsSerializer(data=read_object(request)).validate_data()
        who = get_principal(request)
        changes = cast(settings.SettingsChanges, sent)
        settings.settings_update(
            account_id=who.account_id, app=app, actor=who.actor, changes=changes
        )
        return Response(settings.represent_app_settings(app))

    def _app(self, pk: str) -> OAuthApp:
        rows = OAuthApp.objects.filter(account_id=get_principal(self.request).account_id)
        return get_row(rows, parse_path_id(pk))


class AccountSettingsView(ApiView):
    scopes = {"GET": OAUTH_APPS_READ, "PATCH": OAUTH_APPS_WRITE}

    @extend_schema(responses=ShownAccountSettingsSerializer)
    def get(self, request: Request) -> Response:
        """What holds for links without an OAuth app."""
        return Response(settings.represent_account_settings(get_principal(request).account_id))

    @extend_schema(request=AccountSettingsSerializer, responses=ShownAccountSettingsSerializer)
    def patch(self, request: Request) -> Response:
        sent = AccountSettingsSerializer(data=read_object(request)).validate_data()
        who = get_principal(request)
        changes = cast(settings.SettingsChanges, sent)
        settings.settings_update(
            account_id=who.account_id, app=None, actor=who.actor, changes=changes
        )
        return Response(settings.represent_account_settings(who.account_id))
