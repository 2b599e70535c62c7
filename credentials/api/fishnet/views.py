from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, Final, NamedTuple

from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import get_principal
from common.api.pagination import select_newest
from common.api.views import AccountView, read_object
from common.db.ids import parse_uuid
from common.errors import BadRequestError, InvalidInputError, NotFoundError
from common.scopes import CREDENTIALS_READ, CREDENTIALS_WRITE
from credentials.api.fishnet.serializers import (
    CredentialMetadataSerializer,
    DeletedSerializer,
    KeySerializer,
)
from credentials.models import Credential
from credentials.services import crud
from providers.registry import get_registry

WHOLE_LIST: Final = 10_000
"""A list without `limit` is whole, as documented there; beyond this, `Link` leads on."""


class CredentialMetadata(NamedTuple):
    id: uuid.UUID
    provider: str
    name: str
    property_name: str | None
    created_at: dt.datetime
    last_used_at: dt.datetime | None

    def document(self) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "service": self.provider,
            "name": self.name or self.property_name or "",
            "created_at": int(self.created_at.timestamp()),
            "last_used_at": self.last_used_at and int(self.last_used_at.timestamp()),
        }


class CredentialMetadataViewSet(AccountView[Credential], viewsets.GenericViewSet[Credential]):
    """Stored credentials without their values: list, add a key, delete."""

    scopes = {"GET": CREDENTIALS_READ, "POST": CREDENTIALS_WRITE, "DELETE": CREDENTIALS_WRITE}
    queryset = Credential.objects.all()
    serializer_class = CredentialMetadataSerializer

    @extend_schema(responses=CredentialMetadataSerializer(many=True))
    def list(self, request: Request) -> Response:
        """A bare array, newest first."""
        paginator = self.keyset_paginator
        page = paginator.slice(request, default=WHOLE_LIST)
        rows = paginator.cut(_metadata(select_newest(self.get_queryset(), page)))
        response = Response([metadata.document() for metadata in rows])
        paginator.add_link(response)
        return response

    @extend_schema(request=KeySerializer, responses={201: CredentialMetadataSerializer})
    def create(self, request: Request) -> Response:
        """Keep a key. The same key again is the same credential, renamed."""
        who = get_principal(request)
        try:
            found = crud.credential_import(
                account_id=who.account_id, actor=who.actor, body=_import_body(request)
            )
        except InvalidInputError as invalid:
            raise BadRequestError(invalid.detail) from None
        (metadata,) = _metadata(self.get_queryset().filter(id__in=[found.id]))
        return Response(metadata.document(), status=201)

    @extend_schema(responses={200: DeletedSerializer})
    def destroy(self, request: Request, pk: str) -> Response:
        who = get_principal(request)
        id = parse_uuid(pk)
        if id is None:
            raise NotFoundError("credential not found")
        try:
            crud.credential_delete(account_id=who.account_id, id=id, actor=who.actor)
        except NotFoundError:
            raise NotFoundError("credential not found") from None
        return Response({"deleted": True})


def _metadata(queryset: QuerySet[Credential]) -> list[CredentialMetadata]:
    columns = ("id", "provider", "name", "property_name", "created_at", "use__last_used_at")
    named = queryset.annotate(property_name=KeyTextTransform("name", "properties"))
    return [CredentialMetadata(*row) for row in named.values_list(*columns)]


def _import_body(request: Request) -> dict[str, Any]:
    """What a posted key is as an import. Errors are 400 here, as that API has no 422."""
    try:
        sent = KeySerializer(data=read_object(request)).validate_data()
    except InvalidInputError as invalid:
        raise BadRequestError(f"service, name, and key are required: {invalid.detail}") from None
    service = sent["service"].strip()
    properties = {"name": sent["name"].strip(), **_key_properties(service, sent["key"].strip())}
    if "kind" not in properties:
        raise BadRequestError(
            "unknown service: a provider that takes keys, or a registered custom.<name>"
        )
    return {"name": sent["name"].strip(), "properties": properties}


def _key_properties(service: str, key: str) -> dict[str, str]:
    provider = get_registry().get_provider(service)
    kind = provider.posted_kind if provider and service != "custom" else None
    if kind is None or kind.posted_key is None:
        return {}
    owner = {"provider": service} if kind.provider == "custom" else {}
    return {"kind": kind.name, kind.posted_key: key, **owner}
