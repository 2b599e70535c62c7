from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from accounts.idempotency_decorator import idempotent
from common.actors import Principal
from common.api.etags import format_etag
from common.api.query_params import read_boolean
from common.api.views import read_object
from common.api.viewsets import ServiceViewSet
from common.errors import ForbiddenError, NotFoundError
from common.http import get_principal
from common.scopes import CREDENTIALS_REVEAL, OAUTH_APPS_READ, OAUTH_APPS_WRITE
from oauth_apps import services
from oauth_apps.filters import OAuthAppFilter
from oauth_apps.models import OAuthApp
from oauth_apps.serializers import (
    OAuthAppCreateSerializer,
    OAuthAppSerializer,
    OAuthAppUpdateSerializer,
)
from oauth_apps.validation import describe_cleaning, find_origins
from vault.sealing import SecretUnavailableError

TRUNCATE_PARAMETER = OpenApiParameter(
    "truncate_secrets",
    bool,
    default=True,
    description="With `false`, secrets are not masked; it requires the scope credentials:reveal too.",
)


@extend_schema_view(
    retrieve=extend_schema(parameters=[TRUNCATE_PARAMETER], responses=OAuthAppSerializer),
    partial_update=extend_schema(
        description="Change the given fields; `provider` and `client_id` never change.",
        request=OAuthAppUpdateSerializer,
        responses=OAuthAppSerializer,
    ),
    destroy=extend_schema(
        description="Delete an app that no credential uses.", responses={204: None}
    ),
)
class OAuthAppViewSet(mixins.ListModelMixin, ServiceViewSet[OAuthApp]):
    """The OAuth apps of the account: clients that the customer registered at providers."""

    scopes = {
        "GET": OAUTH_APPS_READ,
        "POST": OAUTH_APPS_WRITE,
        "PATCH": OAUTH_APPS_WRITE,
        "DELETE": OAUTH_APPS_WRITE,
    }
    queryset = OAuthApp.objects.all()
    serializer_class = OAuthAppSerializer
    filterset_class = OAuthAppFilter
    query_parameters = frozenset({"truncate_secrets"})
    update_serializer = OAuthAppUpdateSerializer
    update_service = staticmethod(services.oauth_app_update)
    delete_service = staticmethod(services.oauth_app_delete)

    def known_parameters(self) -> frozenset[str]:
        reading = self.action in {"list", "retrieve"}
        return super().known_parameters() - (frozenset() if reading else self.query_parameters)

    @idempotent()
    @extend_schema(request=OAuthAppCreateSerializer, responses={200: OAuthAppSerializer})
    def create(self, request: Request) -> Response:
        """Register an app. Its secret is encrypted, and masked in every response."""
        fields = OAuthAppCreateSerializer(data=read_object(request)).validate_data()
        principal = get_principal(request)
        self._check_origins(principal, find_origins(fields["provider"], fields.get("config", {})))
        id = services.oauth_app_create(
            account_id=principal.account_id, actor=principal.actor, **fields
        )
        response = self.respond(id)
        if notices := describe_cleaning(fields):
            response["Latchkey-Notice"] = "; ".join(notices)
        return response

    def update_row(self, request: Request, id: uuid.UUID, principal: Principal) -> None:
        changes = OAuthAppUpdateSerializer(data=read_object(request)).validate_data()
        if "config" in changes:
            app = self.get_row(id)
            origins = find_origins(app.provider, changes["config"])
            if origins != find_origins(app.provider, app.config):
                self._check_origins(principal, origins)
        super().update_row(request, id, principal)

    def _check_origins(self, principal: Principal, origins: dict[str, Any]) -> None:
        """Raise ForbiddenError if secrets would be sent to a server of the caller's choice.

        A server that receives the client secret and the grants of an app knows them, as by a reveal.
        """
        if origins and CREDENTIALS_REVEAL not in principal.scopes:
            raise ForbiddenError(
                f"An address of your own server ({', '.join(origins)}) requires a token with the"
                f" scope {CREDENTIALS_REVEAL} too: the secrets of the app are sent there.",
                extra={"missing_scope": CREDENTIALS_REVEAL},
            )

    @extend_schema(parameters=[TRUNCATE_PARAMETER])
    def list(self, request: Request) -> Response:
        """List OAuth apps, newest first."""
        return super().list(request)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "secrets": {}}

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[OAuthApp]:
        serializer = super().get_serializer(*args, **kwargs)
        if args and self._wants_secrets():
            rows = args[0] if kwargs.get("many") else [args[0]]
            serializer.context["secrets"].update(self._reveal_secrets(rows))
        return serializer

    def _reveal_secrets(self, rows: Iterable[OAuthApp]) -> dict[uuid.UUID, str]:
        principal = get_principal(self.request)
        secrets = {}
        for row in rows:
            # A secret that cannot be decrypted, or was deleted by now, stays masked.
            with contextlib.suppress(SecretUnavailableError, NotFoundError):
                secrets[row.id] = services.oauth_app_reveal_secret(
                    account_id=principal.account_id, id=row.id, actor=principal.actor
                )
        return secrets

    def _wants_secrets(self) -> bool:
        """Return whether secrets are requested in full. Raises ForbiddenError without the scope."""
        wants_secrets = not read_boolean(self.request, "truncate_secrets", default=True)
        if wants_secrets and CREDENTIALS_REVEAL not in get_principal(self.request).scopes:
            raise ForbiddenError(
                f"truncate_secrets=false requires a token with the scope {CREDENTIALS_REVEAL} too.",
                extra={"missing_scope": CREDENTIALS_REVEAL},
            )
        return wants_secrets

    def respond(self, id: uuid.UUID) -> Response:
        app = self.get_row(id)
        document = self.get_serializer(app).data
        return Response(document, headers={"ETag": format_etag(app.revision)})
