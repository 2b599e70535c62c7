"""`POST /v1/credentials/{id}/token` and `/refresh`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.views import ApiView, reject_body
from common.datetimes import format_rfc3339
from common.http import get_principal
from common.scopes import CREDENTIALS_USE
from credentials.api.responses import credential_response, find_credential_id
from credentials.api.serializers import CredentialSerializer
from credentials.refresh.services import get_fresh_token, token_issue

NO_STORE = {"Cache-Control": "no-store"}


class TokenSerializer(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="Null if the provider does not say."
    )


class TokenView(ApiView):
    scopes = {"POST": CREDENTIALS_USE}

    @extend_schema(request=None, responses={200: TokenSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Return an access token that is valid for at least 60 seconds. Refreshes it if necessary.

        409 with `code` `needs_reauth` if the owner must connect again; 503 with Retry-After if the
        provider issues no token at the moment.
        """
        id = find_credential_id(request, pk)
        reject_body(request)
        principal = get_principal(request)
        token = token_issue(account_id=principal.account_id, id=id, actor=principal.actor)
        document = {
            "access_token": token.access_token.expose(),
            "token_type": token.token_type,
            "expires_at": format_rfc3339(token.expires_at),
        }
        return Response(document, headers=NO_STORE)


class RefreshView(ApiView):
    scopes = {"POST": CREDENTIALS_USE}
    rate_limits = {"POST": "provider_call"}

    @extend_schema(request=None, responses={200: CredentialSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Refresh the access token now, even if it has not expired. Concurrent calls share one refresh."""
        id = find_credential_id(request, pk)
        reject_body(request)
        principal = get_principal(request)
        get_fresh_token(account_id=principal.account_id, id=id, actor=principal.actor, force=True)
        return credential_response(request, id)
