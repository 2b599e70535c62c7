from __future__ import annotations

import base64
import binascii
import itertools
from urllib.parse import urlencode

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.query_params import DEFAULT_LIMIT, MAX_LIMIT, PAGINATION_PARAMS, read_limit
from common.api.views import ApiView
from common.errors import BadRequestError, NotFoundError
from common.scopes import ANY
from providers.registry import get_registry
from providers.serializers import serialize_facts, serialize_provider

_LIMIT = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}


class ProviderListView(ApiView):
    """The providers that this server supports, with their kinds, schemas and OAuth facts."""

    scopes = {"GET": ANY}
    query_parameters = PAGINATION_PARAMS | {"q"}

    @extend_schema(
        operation_id="v1_providers_list",
        responses=OpenApiTypes.OBJECT,
        parameters=[
            OpenApiParameter("limit", _LIMIT),
            OpenApiParameter("cursor", str, description="`next_cursor` of the page before."),
            OpenApiParameter("q", str, description="A part of the name or slug, in any case."),
        ],
    )
    def get(self, request: Request) -> Response:
        limit, position = read_limit(request), _read_position(request)
        wanted = request.query_params.get("q", "").casefold()
        found = (
            provider
            for provider in itertools.islice(get_registry().providers.values(), position, None)
            if wanted in provider.slug or wanted in provider.name.casefold()
        )
        page = list(itertools.islice(found, limit))
        is_last = next(found, None) is None
        cursor = None if is_last else base64.urlsafe_b64encode(page[-1].slug.encode()).decode()
        response = Response(
            {"data": [serialize_provider(provider) for provider in page], "next_cursor": cursor}
        )
        if cursor:
            query = urlencode({**request.query_params.dict(), "cursor": cursor})
            url = request.build_absolute_uri(f"{request.path}?{query}")
            response["Link"] = f'<{url}>; rel="next"'
        return response


class ProviderView(ApiView):
    scopes = {"GET": ANY}

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, slug: str) -> Response:
        """Return one provider, with the evidence of its `facts`."""
        provider = get_registry().providers.get(slug)
        if provider is None:
            raise NotFoundError()
        return Response({**serialize_provider(provider), "facts": serialize_facts(provider)})


def _read_position(request: Request) -> int:
    """Return the number of providers before the page. Raise BadRequestError for a wrong cursor."""
    cursor = request.query_params.get("cursor")
    if cursor is None:
        return 0
    slugs = list(get_registry().providers)
    try:
        slug = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii")
        return slugs.index(slug) + 1
    except (binascii.Error, ValueError):
        raise BadRequestError.for_field("cursor", "is not one that this list gave") from None
