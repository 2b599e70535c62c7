from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import cast

from django.utils.http import parse_header_parameters
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency_decorator import idempotent
from common.actors import get_principal
from common.api import etags
from common.api.parsers import MergePatchParser, StrictJSONParser
from common.api.query_params import has_filters
from common.api.views import AccountView, parse_path_id, read_object
from common.errors import UnsupportedMediaTypeError
from common.scopes import CREDENTIALS_READ, CREDENTIALS_WRITE
from credentials.api.filters import CredentialFilter
from credentials.api.responses import credential_response
from credentials.api.serializers import (
    CredentialImportSerializer,
    CredentialMergeSerializer,
    CredentialSerializer,
    CredentialUpdateSerializer,
)
from credentials.core import queries
from credentials.models import Credential
from credentials.services import crud


class CredentialViewSet(AccountView[Credential], viewsets.GenericViewSet[Credential]):
    """The credentials of the account. No call here shows a secret."""

    scopes = {
        "GET": CREDENTIALS_READ,
        "POST": CREDENTIALS_WRITE,
        "PATCH": CREDENTIALS_WRITE,
        "DELETE": CREDENTIALS_WRITE,
    }
    queryset = Credential.objects.all()
    serializer_class = CredentialSerializer
    filterset_class = CredentialFilter

    parser_classes = [StrictJSONParser, MergePatchParser]

    @extend_schema(responses=CredentialSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Credentials, newest first."""
        page = self.keyset_paginator.page(self.fetch, request)
        found: Response = self.keyset_paginator.get_paginated_response(
            [shown.document for shown in page]
        )
        return found

    @idempotent()
    @extend_schema(request=CredentialImportSerializer, responses={200: CredentialSerializer})
    def create(self, request: Request) -> Response:
        """Import a credential: the same upstream account is one credential, however often it comes."""
        who = get_principal(request)
        sent = read_object(request)
        if is_merge_patch(request):
            raise UnsupportedMediaTypeError("An import is application/json.")
        outcome = crud.credential_import(account_id=who.account_id, actor=who.actor, body=sent)
        response = credential_response(request, outcome.id)
        response["Latchkey-Import"] = outcome.result
        return response

    @extend_schema(responses=CredentialSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        return credential_response(request, parse_path_id(pk))

    @extend_schema(
        request={
            "application/json": CredentialUpdateSerializer,
            "application/merge-patch+json": CredentialMergeSerializer,
        },
        responses=CredentialSerializer,
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change name, owner or metadata. A JSON body replaces metadata; a merge patch merges it."""
        id = self.require_id(pk)
        merge = is_merge_patch(request)
        serializer = CredentialMergeSerializer if merge else CredentialUpdateSerializer
        sent = serializer(data=read_object(request)).validate_data()
        who = get_principal(request)
        crud.credential_update(
            account_id=who.account_id,
            id=id,
            actor=who.actor,
            changes=cast(crud.CredentialChanges, sent),
            merge=merge,
            if_match=etags.read_if_match(request),
        )
        return credential_response(request, id)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Remove the credential; the worker then revokes it at its provider."""
        who = get_principal(request)
        crud.credential_delete(
            account_id=who.account_id,
            id=self.require_id(pk),
            actor=who.actor,
            if_match=etags.read_if_match(request),
        )
        return Response(status=204)

    def fetch(
        self, count: int, before: uuid.UUID | None
    ) -> Sequence[queries.CredentialRepresentation]:
        """What the paginator reads a page with."""
        if has_filters(self.request):
            return queries.fetch_filtered(self.filter_queryset(self.get_queryset()), count, before)
        return queries.fetch_newest(get_principal(self.request).account_id, count, before)


def is_merge_patch(request: Request) -> bool:
    # DRF chose the parser without regard to case, so the same is done here.
    kind, _ = parse_header_parameters(request.content_type or "")
    return kind.lower() == MergePatchParser.media_type
