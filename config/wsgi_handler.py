"""Django's WSGI handler, with a request that has one encoding: UTF-8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters


class Utf8Request(WSGIRequest):
    """A request whose query string is UTF-8, whatever charset its body declares.

    Django decodes the query string by that charset, which may be no encoding of text at all (bz2),
    or one in which the checks of the query do not see what a view reads (utf-7).
    """

    def _set_content_type_params(self, meta: Mapping[str, Any]) -> None:
        self.content_type, self.content_params = parse_header_parameters(
            meta.get("CONTENT_TYPE", "")
        )


class Handler(WSGIHandler):
    request_class = Utf8Request
