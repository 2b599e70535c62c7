"""The connect API: the documented calls, connect links, and settings."""

from __future__ import annotations

import uuid
from typing import cast

from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency_decorator import idempotent
from accounts.rate_limits import consume_address_quota, require_address_quota
from common.api.views import AccountView, ApiView, get_row, parse_path_id, read_object, reject_body
from common.db.clock import DbNow
from common.db.ids import parse_uuid
from common.errors import InvalidInputError, UnauthenticatedError
from common.http import build_actor, get_http_request, get_principal
from common.scopes import (
    CREDENTIALS_READ,
    CREDENTIALS_WRITE,
    OAUTH_APPS_READ,
    OAUTH_APPS_WRITE,
    PUBLIC,
)
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
from credentials.connect.links import ACTIVE_STATUSES, link_complete, link_create, link_withdraw
from credentials.connect.models import ConnectLink
from credentials.connect.pending_grants import TokenRequest, grant_exchange
from credentials.connect.serializers import (
    AccountSettingsResponseSerializer,
    AccountSettingsSerializer,
    AppSettingsResponseSerializer,
    AppSettingsSerializer,
    ConnectLinkCreateSerializer,
    ConnectLinkSerializer,
    ExchangedSerializer,
    ExchangeSerializer,
    StartAuthSerializer,
    StartedSerializer,
)
from credentials.connect.settings import (
    SettingsChanges,
    represent_account_settings,
    represent_app_settings,
    settings_update,
)
from oauth_apps.models import OAuthApp


class StartAuthView(ApiView):
    scopes = {"POST": CREDENTIALS_WRITE}

    @extend_schema(request=StartAuthSerializer, responses=StartedSerializer)
    def post(self, request: Request) -> Response:
        """Create a URL that starts the flow for one user. It works once, for five minutes."""
        values = StartAuthSerializer(data=read_object(request)).validate_data()
        principal = get_principal(request)
        app = get_oauth_app(principal.account_id, values["oauth_app_id"])
        kind = resolve_oauth_kind(app, values["credential_kind"], field="credential_kind")
        external_id = values.get("external_id", "")
        require_account_identity(kind, external_id)
        return_to = validate_return_url(
            values["redirect_url"], app.redirect_uris, field="redirect_url"
        )
        flow_request = FlowRequest(
            app=app,
            kind=kind,
            scopes=resolve_scopes(app, kind, values.get("scopes")),
            return_to=return_to,
            external_id=external_id,
            properties=validate_flow_properties(kind, values.get("properties", {})),
        )
        try:
            url = attempt_prepare(
                flow_request=flow_request, state=values.get("state"), actor=principal.actor
            )
        except ConnectError as error:
            raise InvalidInputError.for_field("oauth_app_id", error.detail) from None
        return Response({"start_url": url})


class TokenView(ApiView):
    """The token endpoint of the documented flows, authenticated by the provider's client secret."""

    scopes = {"POST": PUBLIC}
    authentication_classes = []

    @extend_schema(request=ExchangeSerializer, responses=ExchangedSerializer)
    def post(self, request: Request) -> Response:
        """Exchange a code for a credential to import. Only this response has the real tokens."""
        values = ExchangeSerializer(data=read_object(request)).validate_data()
        client_id = parse_uuid(values["client_id"])
        if client_id is None:
            raise UnauthenticatedError(
                "client_id must be the id of an OAuth app here.", extra={"error": "invalid_client"}
            )
        token_request = TokenRequest(
            client_id=client_id,
            client_secret=values["client_secret"],
            code=values["code"],
            redirect_uri=values.get("redirect_uri"),
            code_verifier=values.get("code_verifier"),
        )
        # The caller has an app's secret and no token of ours, so the app is the actor.
        actor = build_actor(request, f"oauth_app:{client_id}")
        http = get_http_request(request)
        # Before the secret is compared: beyond the limit, a right one has the same response.
        require_address_quota(http, "client_secret")
        try:
            credential, state = grant_exchange(token_request=token_request, actor=actor)
        except UnauthenticatedError:
            consume_address_quota(http, "client_secret")
            raise
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
        # The worker marks links as expired a little later than they expire.
        is_late = Q(status__in=ACTIVE_STATUSES, expires_at__lte=DbNow())
        return (
            super()
            .get_queryset()
            .annotate(is_late=ExpressionWrapper(is_late, output_field=BooleanField()))
        )

    def list(self, request: Request) -> Response:
        """List connect links, newest first."""
        return super().list(request)

    @idempotent()
    @extend_schema(request=ConnectLinkCreateSerializer, responses={201: ConnectLinkSerializer})
    def create(self, request: Request) -> Response:
        """Create a link. Its `url` is only in this response."""
        values = ConnectLinkCreateSerializer(data=read_object(request)).validate_data()
        principal = get_principal(request)
        id, url = link_create(
            account_id=principal.account_id,
            link_request=LinkRequest(**values),
            actor=principal.actor,
        )
        return self._build_response(id, status=201, url=url)

    @extend_schema(responses=ConnectLinkSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        return self._build_response(parse_path_id(pk))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Cancel the link. If a grant is pending, it is revoked."""
        principal = get_principal(request)
        link_withdraw(account_id=principal.account_id, id=parse_path_id(pk), actor=principal.actor)
        return Response(status=204)

    @extend_schema(request=None, responses=ConnectLinkSerializer)
    def complete(self, request: Request, pk: str) -> Response:
        """Store the pending credential. First check that the right person came back."""
        id, principal = self.require_id(pk), get_principal(request)
        reject_body(request)
        link_complete(account_id=principal.account_id, id=id, actor=principal.actor)
        return self._build_response(id)

    def _build_response(
        self, id: uuid.UUID, *, status: int = 200, url: str | None = None
    ) -> Response:
        context = {**self.get_serializer_context(), "url": url}
        return Response(
            ConnectLinkSerializer(self.get_row(id), context=context).data, status=status
        )


class AppSettingsView(ApiView):
    scopes = {"GET": OAUTH_APPS_READ, "PATCH": OAUTH_APPS_WRITE}

    @extend_schema(responses=AppSettingsResponseSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """Return the settings of the app, and the redirect URI to register for it."""
        return Response(represent_app_settings(self._get_app(pk)))

    @extend_schema(request=AppSettingsSerializer, responses=AppSettingsResponseSerializer)
    def patch(self, request: Request, pk: str) -> Response:
        app = self._get_app(pk)
        values = AppSettingsSerializer(data=read_object(request)).validate_data()
        principal = get_principal(request)
        settings_update(
            account_id=principal.account_id,
            app=app,
            actor=principal.actor,
            changes=cast(SettingsChanges, values),
        )
        return Response(represent_app_settings(app))

    def _get_app(self, pk: str) -> OAuthApp:
        rows = OAuthApp.objects.filter(account_id=get_principal(self.request).account_id)
        return get_row(rows, parse_path_id(pk))


class AccountSettingsView(ApiView):
    scopes = {"GET": OAUTH_APPS_READ, "PATCH": OAUTH_APPS_WRITE}

    @extend_schema(responses=AccountSettingsResponseSerializer)
    def get(self, request: Request) -> Response:
        """Return the settings for links without an OAuth app."""
        return Response(represent_account_settings(get_principal(request).account_id))

    @extend_schema(request=AccountSettingsSerializer, responses=AccountSettingsResponseSerializer)
    def patch(self, request: Request) -> Response:
        values = AccountSettingsSerializer(data=read_object(request)).validate_data()
        principal = get_principal(request)
        settings_update(
            account_id=principal.account_id,
            app=None,
            actor=principal.actor,
            changes=cast(SettingsChanges, values),
        )
        return Response(represent_account_settings(principal.account_id))
