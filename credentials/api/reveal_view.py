"""`POST /v1/credentials/{id}/reveal` and `/reveal-response`."""

from __future__ import annotations

import base64
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.serializers import StrictCharField, StrictSerializer
from common.api.views import ApiView, read_object
from common.datetimes import format_rfc3339
from common.http import get_principal
from common.scopes import CREDENTIALS_REVEAL
from credentials.api.responses import find_credential_id
from credentials.services.reveal import (
    MAX_REASON_LENGTH,
    credential_reveal,
    credential_reveal_response,
)

NO_STORE = {"Cache-Control": "no-store"}


class RevealRequestSerializer(StrictSerializer):
    reason = StrictCharField(
        max_length=MAX_REASON_LENGTH,
        help_text="Why you need the secret. It is kept in the audit log.",
    )


class RevealSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    properties = serializers.DictField(help_text="With the secrets in place of the masks.")


class UnreadableResponseSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    status = serializers.IntegerField(help_text="The HTTP status of the response.")
    content_type = serializers.CharField()
    received_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="When Latchkey deletes the response.")
    size = serializers.IntegerField(help_text="Of the whole body, in bytes.")
    body_base64 = serializers.CharField(
        help_text="The body as the provider sent it, up to its first 256 KiB."
    )


class RevealView(ApiView):
    scopes = {"POST": CREDENTIALS_REVEAL}
    rate_limits = {"POST": "reveal"}

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


class RevealResponseView(ApiView):
    scopes = {"POST": CREDENTIALS_REVEAL}
    rate_limits = {"POST": "reveal"}

    @extend_schema(request=RevealRequestSerializer, responses={200: UnreadableResponseSerializer})
    def post(self, request: Request, pk: str) -> Response:
        """Reveal the token response of the provider that could not be read.

        It may contain tokens, so it counts as a reveal of secrets. 404 if there is none.
        """
        id = find_credential_id(request, pk)
        reason = RevealRequestSerializer(data=read_object(request)).validate_data()["reason"]
        principal = get_principal(request)
        row, body = credential_reveal_response(
            account_id=principal.account_id, id=id, actor=principal.actor, reason=reason
        )
        document = {
            "id": str(id),
            "status": row.status,
            "content_type": row.content_type,
            "received_at": format_rfc3339(row.received_at),
            "expires_at": format_rfc3339(row.expires_at),
            "size": row.size,
            "body_base64": base64.b64encode(body).decode(),
        }
        return Response(document, headers=NO_STORE)
