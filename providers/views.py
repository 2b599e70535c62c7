from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.views import ApiView
from common.errors import NotFoundError
from common.scopes import ANY
from providers.registry import get_registry
from providers.serializers import serialize_provider


class ProviderListView(ApiView):
    """The providers that this server supports, with their kinds, schemas and OAuth facts."""

    scopes = {"GET": ANY}

    @extend_schema(operation_id="v1_providers_list", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        providers = get_registry().providers.values()
        return Response({"data": [serialize_provider(p) for p in providers], "next_cursor": None})


class ProviderView(ApiView):
    scopes = {"GET": ANY}

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, slug: str) -> Response:
        """Return one provider."""
        provider = get_registry().providers.get(slug)
        if provider is None:
            raise NotFoundError()
        return Response(serialize_provider(provider))
