from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency_decorator import idempotent
from common.actors import get_principal
from common.api.etags import format_etag
from common.api.query_params import read_boolean
from common.api.views import read_object
from common.api.viewsets import ServiceViewSet
from common.errors import ForbiddenError, NotFoundError
from common.scopes import CREDENTIALS_REVEAL, OAUTH_APPS_READ, OAUTH_APPS_WRITE
from oauth_apps import services
from oauth_apps.filters import OAuthAppFilter
from oauth_apps.models import OAuthApp
from oauth_apps.serializers import (
    OAuthAppCreateSerializer,
    OAuthAppSerializer,
    OAuthAppUpdateSerializer,
)
from vault.sealing import SecretUnavailableError

TRUNCATE_PARAMETER = OpenApiParameter(
    "truncate_secrets",
    bool,
    default=True,
    description="With `false`, secrets in full: it needs the scope credentials:reveal as well.",
)


@extend_schema_view(
    retrieve=extend_schema(parameters=[TRUNCATE_PARAMETER], responses=OAuthAppSerializer),
    partial_update=extend_schema(
        description="Change what is sent; `provider` and `client_id` never change.",
        request=OAuthAppUpdateSerializer,
        responses=OAuthAppSerializer,
    ),
    destroy=extend_schema(
        description="Remove an app that no credential uses.", responses={204: None}
    ),
)
class OAuthAppViewSet(mixins.ListModelMixin, ServiceViewSet[OAuthApp]):
    """The clients that the company registered at its providers."""

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
        """Register an app. Its secret is sealed, and shown masked from then on."""
        sent = OAuthAppCreateSerializer(data=read_object(request)).validate_data()
        who = get_principal(request)
        id = services.oauth_app_create(account_id=who.account_id, actor=who.actor, **sent)
        return self.respond(id)

    @extend_schema(parameters=[TRUNCATE_PARAMETER])
    def list(self, request: Request) -> Response:
        """OAuth apps, newest first."""
        return super().list(request)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "secrets": {}}

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        serializer = super().get_serializer(*args, **kwargs)
        if args and self._in_full():
            rows = args[0] if kwargs.get("many") else [args[0]]
            serializer.context["secrets"].update(self._opened(rows))
        return serializer

    def _opened(self, rows: Iterable[OAuthApp]) -> dict[uuid.UUID, str]:
        who = get_principal(self.request)
        opened = {}
        for row in rows:
            # One that does not open, or is gone meanwhile, stays masked and hides no other.
            with contextlib.suppress(SecretUnavailableError, NotFoundError):
                opened[row.id] = services.oauth_app_reveal_secret(
                    account_id=who.account_id, id=row.id, actor=who.actor
                )
        return opened

    def _in_full(self) -> bool:
        """Whether secrets are asked for in full, which takes a scope of its own."""
        in_full = not read_boolean(self.request, "truncate_secrets", default=True)
        if in_full and CREDENTIALS_REVEAL not in get_principal(self.request).scopes:
            raise ForbiddenError(
                f"truncate_secrets=false needs a token with the scope {CREDENTIALS_REVEAL} as well.",
                extra={"missing_scope": CREDENTIALS_REVEAL},
            )
        return in_full

    def respond(self, id: uuid.UUID) -> Response:
        app = self.get_row(id)
        document = self.get_serializer(app).data
        return Response(document, headers={"ETag": format_etag(app.revision)})
