"""`POST /v1/credentials/{id}/rotate`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from common import text
from common.api import etags
from common.api.views import ApiView, read_object
from common.errors import InvalidInputError
from common.http import get_principal
from common.scopes import CREDENTIALS_WRITE
from credentials.api.responses import credential_response, find_credential_id
from credentials.api.serializers import CredentialSerializer
from credentials.services import credential_rotate


class RotateRequestSerializer(serializers.Serializer[Any]):
    properties = serializers.DictField(
        help_text="New secrets, and what belongs to them: a key's id, `expires_at`."
    )


class RotateView(ApiView):
    scopes = {"POST": CREDENTIALS_WRITE}

    @extend_schema(request=RotateRequestSerializer, responses={200: CredentialSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Replace the secrets of a credential. A later import of the former ones changes nothing.

        409 if another credential has these secrets.
        """
        id = find_credential_id(request, pk)
        payload = read_object(request)
        # The service validates the properties; here only the envelope is checked.
        errors = {
            text.escape_name(name): ["unknown field"] for name in payload if name != "properties"
        }
        if "properties" not in payload:
            errors["properties"] = ["is required"]
        if errors:
            raise InvalidInputError.for_fields(errors)
        principal = get_principal(request)
        credential_rotate(
            account_id=principal.account_id,
            id=id,
            actor=principal.actor,
            properties=payload["properties"],
            if_match=etags.read_if_match(request),
        )
        return credential_response(request, id)
