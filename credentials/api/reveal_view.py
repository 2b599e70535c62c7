"""`POST /v1/credentials/{id}/reveal`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from common.actors import get_principal
from common.api.serializers import StrictCharField, StrictSerializer
from common.api.views import ApiView, read_object
from common.scopes import CREDENTIALS_REVEAL
from credentials.api.responses import find_credential_id
from credentials.services.reveal import MAX_REASON_LENGTH, credential_reveal

NO_STORE = {"Cache-Control": "no-store"}


class RevealRequestSerializer(StrictSerializer):
    reason = StrictCharField(
        max_length=MAX_REASON_LENGTH,
        help_text="Why you need the secret. It is kept in the audit log.",
    )


class RevealSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    properties = serializers.DictField(help_text="With the secrets in place of the masks.")


class RevealView(ApiView):
    scopes = {"POST": CREDENTIALS_REVEAL}

    @extend_schema(request=RevealRequestSerializer, responses={200: RevealSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Reveal the secrets of one credential. Each call is an event; a token has ten an hour."""
        # Before the body: another account's id is 404, whatever is sent.
        id = find_credential_id(request, pk)
        reason = RevealRequestSerializer(data=read_object(request)).validate_data()["reason"]
        principal = get_principal(request)
        properties = credential_reveal(
            account_id=principal.account_id, id=id, actor=principal.actor, reason=reason
        )
        return Response({"id": str(id), "properties": properties}, headers=NO_STORE)
