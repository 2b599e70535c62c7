"""`/v1/credentials/{id}/hold`, and `/v1/credentials/hold` for all that match the filters."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from common.api import etags
from common.api.views import AccountView, ApiView, reject_body
from common.http import get_principal
from common.scopes import CREDENTIALS_WRITE
from credentials.api.filters import CredentialFilter
from credentials.api.responses import credential_response, find_credential_id
from credentials.api.serializers import CredentialSerializer
from credentials.models import Credential
from credentials.services import credential_hold, credentials_hold


class HoldView(ApiView):
    scopes = {"POST": CREDENTIALS_WRITE, "DELETE": CREDENTIALS_WRITE}

    @extend_schema(
        operation_id="credentials_hold", request=None, responses={200: CredentialSerializer}
    )
    def post(self, request: Request, pk: str) -> Response:
        """Put the credential on hold: nothing refreshes its grant until it is released.

        `/token` returns the access token until it expires, and then 409 with `code` `on_hold`.
        """
        return self._set(request, pk, on_hold=True)

    @extend_schema(
        operation_id="credentials_release", request=None, responses={200: CredentialSerializer}
    )
    def delete(self, request: Request, pk: str) -> Response:
        """Release the credential. A grant that is due is refreshed at once."""
        return self._set(request, pk, on_hold=False)

    def _set(self, request: Request, pk: str, *, on_hold: bool) -> Response:
        id = find_credential_id(request, pk)
        reject_body(request)
        principal = get_principal(request)
        credential_hold(
            account_id=principal.account_id,
            id=id,
            actor=principal.actor,
            on_hold=on_hold,
            if_match=etags.read_if_match(request),
        )
        return credential_response(request, id)


class HoldReportSerializer(serializers.Serializer[Any]):
    changed = serializers.IntegerField(help_text="The number of credentials that were changed.")


class HoldAllView(AccountView[Credential]):
    """All credentials of the account that match the filters of the list."""

    scopes = {"POST": CREDENTIALS_WRITE, "DELETE": CREDENTIALS_WRITE}
    queryset = Credential.objects.all()
    serializer_class = CredentialSerializer
    filterset_class = CredentialFilter
    query_parameters = frozenset(CredentialFilter.base_filters)
    pagination_class = None

    @extend_schema(
        operation_id="credentials_hold_all",
        request=None,
        responses={200: HoldReportSerializer},
        filters=True,
    )
    def post(self, request: Request) -> Response:
        """Put all credentials that match the filters on hold. Kinds that are not refreshed are left out."""
        return self._set(request, on_hold=True)

    @extend_schema(
        operation_id="credentials_release_all",
        request=None,
        responses={200: HoldReportSerializer},
        filters=True,
    )
    def delete(self, request: Request) -> Response:
        """Release all credentials that match the filters."""
        return self._set(request, on_hold=False)

    def _set(self, request: Request, *, on_hold: bool) -> Response:
        reject_body(request)
        principal = get_principal(request)
        changed = credentials_hold(
            account_id=principal.account_id,
            rows=self.filter_queryset(self.get_queryset()),
            actor=principal.actor,
            on_hold=on_hold,
        )
        return Response({"changed": changed})
