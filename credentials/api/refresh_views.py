from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import get_principal
from common.api.views import ApiView, reject_body
from common.datetimes import format_rfc3339
from common.scopes import CREDENTIALS_USE
from credentials.api.responses import credential_response, find_credential_id
from credentials.api.serializers import CredentialSerializer
from credentials.refresh.issue_token import token_issue
from credentials.refresh.services import get_fresh_token

NO_STORE = {"Cache-Control": "no-store"}


class TokenSerializer(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_at = serializers.DateTimeField(
        allow_null=True, help_text="Null: its provider does not say."
    )


class TokenView(ApiView):
    scopes = {"POST": CREDENTIALS_USE}

    @extend_schema(request=None, responses={200: TokenSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """An access token for at least 60 seconds, refreshed if need be.

        409 with `code` `needs_reauth` where the user must connect again; 503 with Retry-After where
        the provider has none at the moment.
        """
        id = find_credential_id(request, pk)
        reject_body(request)
        who = get_principal(request)
        fresh = token_issue(account_id=who.account_id, id=id, actor=who.actor)
        document = {
            "access_token": fresh.access_token.expose(),
            "token_type": fresh.token_type,
            "expires_at": format_rfc3339(fresh.expires_at),
        }
        return Response(document, headers=NO_STORE)


class RefreshView(ApiView):
    scopes = {"POST": CREDENTIALS_USE}

    @extend_schema(request=None, responses={200: CredentialSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Refresh it now, even if its token is still fresh. Calls at the same time are one refresh."""
        id = find_credential_id(request, pk)
        reject_body(request)
        who = get_principal(request)
        get_fresh_token(account_id=who.account_id, id=id, actor=who.actor, force=True)
        return credential_response(request, id)
