"""Optimistic concurrency: a row's `revision` as its entity tag (RFC 9110 §8.8.3)."""

from __future__ import annotations

from rest_framework.request import Request

from common.errors import PreconditionFailedError

ETags = frozenset[str]


def format_etag(revision: int) -> str:
    """Return the entity tag of `revision`."""
    return f'"{revision}"'


def read_if_match(request: Request) -> ETags | None:
    """Return the tags of If-Match, or None if any revision will do: no header, or `*`."""
    header = request.META.get("HTTP_IF_MATCH", "*").strip()
    return None if header == "*" else frozenset(tag.strip() for tag in header.split(","))


def check_if_match(revision: int, tags: ETags | None) -> None:
    """Raise PreconditionFailedError unless `tags` allow `revision`. Call it under the row's lock."""
    if tags is not None and format_etag(revision) not in tags:
        raise PreconditionFailedError("The object has changed since it was read; read it again.")
