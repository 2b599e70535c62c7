from __future__ import annotations

from typing import Any

from rest_framework import serializers

from common.api.serializers import StrictCharField, StrictSerializer
from credentials.imports.fields import MAX_NAME_LENGTH


class KeySerializer(StrictSerializer):
    service = StrictCharField(max_length=72, help_text="A provider's slug, or `custom.<name>`.")
    name = StrictCharField(max_length=MAX_NAME_LENGTH)
    key = StrictCharField(max_length=16384, secret=True)


class CredentialMetadataSerializer(serializers.Serializer[Any]):
    """A credential without its secrets. Times are Unix timestamps in seconds."""

    id = serializers.UUIDField()
    service = serializers.CharField()
    name = serializers.CharField()
    created_at = serializers.IntegerField()
    last_used_at = serializers.IntegerField(allow_null=True)


class DeletedSerializer(serializers.Serializer[Any]):
    deleted = serializers.BooleanField()
