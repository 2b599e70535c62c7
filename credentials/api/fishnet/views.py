"""`/api/credentials`: list without pages, add a key, delete."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.pagination import fetch_newest
from common.api.views import AccountView, read_object
from common.db.ids import parse_uuid
from common.errors import BadRequestError, InvalidInputError, NotFoundError
from common.http import get_principal
from common.scopes import CREDENTIALS_READ, CREDENTIALS_WRITE
from credentials.api.fishnet.serializers import (
    CredentialMetadataSerializer,
    DeletedSerializer,
    KeySerializer,
)
from credentials.models import Credential
from credentials.services import credential_delete, credential_import
from providers.registry import get_registry

UNPAGED_LIMIT: Final = 10_000
"""Fishnet documents a list without pages; a longer one continues at the URL in `Link`."""


class CredentialMetadata(NamedTuple):
    id: uuid.UUID
    provider: str
    name: str
    property_name: str | None
    created_at: dt.datetime
    last_used_at: dt.datetime | None

    def to_document(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "service": self.provider,
            "name": self.name or self.property_name or "",
            "created_at": int(self.created_at.timestamp()),
            "last_used_at": self.last_used_at and int(self.last_used_at.timestamp()),
        }


class CredentialMetadataViewSet(AccountView[Credential], viewsets.GenericViewSet[Credential]):
    """Credentials without their secrets: list, add a key, delete."""

    scopes = {"GET": CREDENTIALS_READ, "POST": CREDENTIALS_WRITE, "DELETE": CREDENTIALS_WRITE}
    queryset = Credential.objects.all()
    serializer_class = CredentialMetadataSerializer

    @extend_schema(responses=CredentialMetadataSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all credentials in a bare array, newest first."""
        paginator = self.keyset_paginator
        page = paginator.slice(request, default=UNPAGED_LIMIT)
        rows = paginator.cut(
            _read_metadata(fetch_newest(_select_metadata(self.get_queryset()), page))
        )
        response = Response([metadata.to_document() for metadata in rows])
        paginator.add_link(response)
        return response

    @extend_schema(request=KeySerializer, responses={201: CredentialMetadataSerializer})
    def create(self, request: Request) -> Response:
        """Store a key. Posting the same key again renames its credential."""
        principal = get_principal(request)
        try:
            outcome = credential_import(
                account_id=principal.account_id,
                actor=principal.actor,
                body=_read_import_body(request),
            )
        except InvalidInputError as invalid:
            # Fishnet's API documents no 422.
            raise BadRequestError(invalid.detail) from None
        (metadata,) = _read_metadata(
            _select_metadata(self.get_queryset().filter(id__in=[outcome.id]))
        )
        return Response(metadata.to_document(), status=201)

    @extend_schema(responses={200: DeletedSerializer})
    def destroy(self, request: Request, pk: str) -> Response:
        principal = get_principal(request)
        id = parse_uuid(pk)
        if id is None:
            raise NotFoundError("credential not found")
        try:
            credential_delete(account_id=principal.account_id, id=id, actor=principal.actor)
        except NotFoundError:
            raise NotFoundError("credential not found") from None
        return Response({"deleted": True})


def _select_metadata(queryset: QuerySet[Credential]) -> QuerySet[Credential, tuple[Any, ...]]:
    columns = ("id", "provider", "name", "property_name", "created_at", "use__last_used_at")
    named = queryset.annotate(property_name=KeyTextTransform("name", "properties"))
    return named.values_list(*columns)


def _read_metadata(rows: Iterable[tuple[Any, ...]]) -> list[CredentialMetadata]:
    return [CredentialMetadata(*row) for row in rows]


def _read_import_body(request: Request) -> dict[str, Any]:
    """Return a posted key as an import body. Raises BadRequestError: Fishnet's API has no 422."""
    try:
        payload = KeySerializer(data=read_object(request)).validate_data()
    except InvalidInputError as invalid:
        raise BadRequestError(f"service, name, and key are required: {invalid.detail}") from None
    service, name, key = (payload[field].strip() for field in ("service", "name", "key"))
    provider = get_registry().get_provider(service)
    kind = provider.posted_kind if provider and service != "custom" else None
    if kind is None or kind.posted_key is None:
        raise BadRequestError(
            "unknown service: use the slug of a provider that has API keys, or custom.<name> of a"
            " registered custom provider"
        )
    properties = {"name": name, "kind": kind.name, kind.posted_key: key}
    if kind.provider == "custom":
        # All custom providers share one kind; the property says which one this is.
        properties["provider"] = service
    return {"name": name, "properties": properties}
