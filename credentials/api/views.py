"""`/v1/credentials`: list, import one, read, change, delete."""

from __future__ import annotations

import uuid
from typing import cast

from django.utils.http import parse_header_parameters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.idempotency_decorator import idempotent
from common.actors import Principal
from common.api.etags import read_if_match
from common.api.parsers import MergePatchParser, StrictJSONParser
from common.api.query_params import has_filters
from common.api.views import read_object
from common.api.viewsets import ServiceViewSet
from common.errors import UnsupportedMediaTypeError
from common.http import get_principal
from common.scopes import CREDENTIALS_READ, CREDENTIALS_WRITE
from credentials import services
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


@extend_schema_view(
    retrieve=extend_schema(responses=CredentialSerializer),
    partial_update=extend_schema(
        description="Change name, owner or metadata. A JSON body replaces the metadata; a merge patch"
        " merges it.",
        request={
            "application/json": CredentialUpdateSerializer,
            "application/merge-patch+json": CredentialMergeSerializer,
        },
        responses=CredentialSerializer,
    ),
    destroy=extend_schema(
        description="Delete the credential. The worker then revokes it at its provider.",
        responses={204: None},
    ),
)
class CredentialViewSet(ServiceViewSet[Credential]):
    """The credentials of the account. Secrets are masked in every response."""

    scopes = {
        "GET": CREDENTIALS_READ,
        "POST": CREDENTIALS_WRITE,
        "PATCH": CREDENTIALS_WRITE,
        "DELETE": CREDENTIALS_WRITE,
    }
    queryset = Credential.objects.all()
    serializer_class = CredentialSerializer
    filterset_class = CredentialFilter
    delete_service = staticmethod(services.credential_delete)
    parser_classes = [StrictJSONParser, MergePatchParser]

    @extend_schema(responses=CredentialSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List credentials, newest first."""
        paginator = self.keyset_paginator
        page = paginator.slice(request)
        if has_filters(request):
            queryset = self.filter_queryset(self.get_queryset())
            rows = queries.fetch_filtered(queryset, page.size, page.before)
        else:
            account_id = get_principal(request).account_id
            rows = queries.fetch_newest(account_id, page.size, page.before)
        return paginator.get_paginated_response([row.document for row in paginator.cut(rows)])

    @idempotent()
    @extend_schema(
        request={"application/json": CredentialImportSerializer},
        responses={200: CredentialSerializer},
    )
    def create(self, request: Request) -> Response:
        """Import a credential. Importing the same upstream account again updates the same credential."""
        principal = get_principal(request)
        body = read_object(request)
        if is_merge_patch(request):
            raise UnsupportedMediaTypeError("An import must be sent as application/json.")
        outcome = services.credential_import(
            account_id=principal.account_id, actor=principal.actor, body=body
        )
        response = credential_response(request, outcome.id)
        response["Latchkey-Import"] = outcome.result
        if outcome.notices:
            response["Latchkey-Notice"] = "; ".join(outcome.notices)
        return response

    def respond(self, id: uuid.UUID) -> Response:
        return credential_response(self.request, id)

    def update_row(self, request: Request, id: uuid.UUID, principal: Principal) -> None:
        merge = is_merge_patch(request)
        serializer = CredentialMergeSerializer if merge else CredentialUpdateSerializer
        changes = serializer(data=read_object(request)).validate_data()
        services.credential_update(
            account_id=principal.account_id,
            id=id,
            actor=principal.actor,
            changes=cast(services.CredentialChanges, changes),
            merge=merge,
            if_match=read_if_match(request),
        )


def is_merge_patch(request: Request) -> bool:
    """Return whether the body was sent as `application/merge-patch+json`."""
    # DRF selects the parser regardless of case.
    kind, _ = parse_header_parameters(request.content_type or "")
    return kind.lower() == MergePatchParser.media_type
