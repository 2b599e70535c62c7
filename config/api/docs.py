"""The API's description of itself: public, and without a request to any other host."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import orjson
from csp.constants import SELF
from csp.decorators import csp_update
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request

from common.api.views import ApiView
from common.scopes import PUBLIC
from config.api.rendering import JSONRenderer


# Generating the document takes a second, so a process does it once.
@functools.cache
def schema_document() -> bytes:
    """Return the OpenAPI 3.1 document as JSON."""
    schema = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


class SchemaView(ApiView):
    scopes = {"GET": PUBLIC}
    authentication_classes = []

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(schema_document(), content_type="application/json")


class PageRenderer(TemplateHTMLRenderer):
    """Renders the page, or an error that is JSON already, such as 405."""

    def render(
        self,
        data: object,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> str:
        if isinstance(data, orjson.Fragment):
            return JSONRenderer().render(data).decode()
        page: str = super().render(data, accepted_media_type, renderer_context)
        return page


# Swagger UI draws its icons from data: URLs.
@method_decorator(csp_update({"img-src": [SELF, "data:"]}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    http_method_names = ["get", "head"]
    renderer_classes = [PageRenderer]
    template_name = "docs.html"
    scopes = {"GET": PUBLIC}
    authentication_classes = []
