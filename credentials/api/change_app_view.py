"""`POST /v1/credentials/{id}/change-app`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from common import text
from common.api import etags
from common.api.views import ApiView, read_object
from common.db.ids import parse_uuid
from common.errors import InvalidInputError
from common.http import get_principal
from common.scopes import CREDENTIALS_WRITE
from credentials.api.responses import credential_response, find_credential_id
from credentials.api.serializers import CredentialSerializer
from credentials.services import credential_change_app


class ChangeAppRequestSerializer(serializers.Serializer[Any]):
    oauth_app_id = serializers.UUIDField(help_text="An OAuth app of the same provider.")


class ChangeAppView(ApiView):
    scopes = {"POST": CREDENTIALS_WRITE}

    @extend_schema(request=ChangeAppRequestSerializer, responses={200: CredentialSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Move a credential to another OAuth app of its provider.

        The provider is not called, and may reject the grant for the other client. An import that names
        the former app still finds the credential. 409 if the other app has a credential for this
        upstream account, or while the grant is refreshed.
        """
        id = find_credential_id(request, pk)
        payload = read_object(request)
        errors = {
            text.escape_name(name): ["unknown field"] for name in payload if name != "oauth_app_id"
        }
        value = payload.get("oauth_app_id")
        app_id = parse_uuid(value) if isinstance(value, str) else None
        if app_id is None:
            reason = (
                "must be the id of an OAuth app" if "oauth_app_id" in payload else "is required"
            )
            errors["oauth_app_id"] = [reason]
        if errors or app_id is None:
            raise InvalidInputError.for_fields(errors)
        principal = get_principal(request)
        credential_change_app(
            account_id=principal.account_id,
            id=id,
            actor=principal.actor,
            oauth_app_id=app_id,
            if_match=etags.read_if_match(request),
        )
        return credential_response(request, id)
