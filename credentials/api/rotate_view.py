from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from common import text
from common.actors import caller
from common.api import etags
from common.api.views import ApiView, body
from common.errors import Invalid
from common.scopes import CREDENTIALS_WRITE
from credentials.api.responses import answer, existing
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
        id = existing(request, pk)
        sent = body(request)
        faults = {text.printable(name): ["unknown field"] for name in sent if name != "properties"}
        if "properties" not in sent:
            faults["properties"] = ["is required"]
        if faults:
            raise Invalid.many(faults)
        who = caller(request)
        credential_rotate(
            account_id=who.account_id,
            id=id,
            actor=who.actor,
            properties=sent["properties"],
            if_match=etags.if_match(request),
        )
        return answer(request, id)
