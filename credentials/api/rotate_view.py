from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from common import text
from common.actors import get_principal
from common.api import etags
from common.api.views import ApiView, read_object
from common.errors import InvalidInputError
from common.scopes import CREDENTIALS_WRITE
from credentials.api.responses import credential_response, find_credential_id
from credentials.api.serializers import CredentialSerializer
from credentials.services.rotate import credential_rotate


class RotateRequestSerializer(serializers.Serializer[Any]):
    properties = serializers.DictField(
        help_text="New secret fields, and what comes with them: a key's id, `expires_at`."
    )


class RotateView(ApiView):
    scopes = {"POST": CREDENTIALS_WRITE}

    @extend_schema(request=RotateRequestSerializer, responses={200: CredentialSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """New secrets for the same credential. Importing the former ones later changes nothing.

        409 where they are another credential's.
        """
        id = find_credential_id(request, pk)
        sent = read_object(request)
        faults = {
            text.escape_name(name): ["unknown field"] for name in sent if name != "properties"
        }
        if "properties" not in sent:
            faults["properties"] = ["is required"]
        if faults:
            raise InvalidInputError.for_fields(faults)
        who = get_principal(request)
        credential_rotate(
            account_id=who.account_id,
            id=id,
            actor=who.actor,
            properties=sent["properties"],
            if_match=etags.read_if_match(request),
        )
        return credential_response(request, id)
