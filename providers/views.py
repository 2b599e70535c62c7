from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.views import ApiView
from common.errors import NotFound
from common.scopes import ANY
from providers.registry import registry
from providers.serializers import provider_document


class ProviderListView(ApiView):
    """The providers that this server knows, with their kinds, schemas and OAuth facts."""

    scopes = {"GET": ANY}

    @extend_schema(operation_id="v1_providers_list", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        providers = registry().providers.values()
        return Response({"data": [provider_document(p) for p in providers], "next_cursor": None})


class ProviderView(ApiView):
    scopes = {"GET": ANY}

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, slug: str) -> Response:
        """One provider."""
        provider = registry().providers.get(slug)
        if provider is None:
            raise NotFound()
        return Response(provider_document(provider))
