"""Serializers of the REST API. PATCH validates with them; for responses they only make the schema.

Responses are built by `credentials.core.queries`, without serializers.
"""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from common.api.serializers import EmailField, MetadataField, StrictCharField, StrictSerializer
from credentials.core.refresh_state import REFRESH_STATES
from credentials.imports.fields import FIELDS, MAX_NAME_LENGTH
from oauth_apps.serializers import HealthSerializer


class CredentialUpdateSerializer(StrictSerializer):
    """The fields that PATCH can change. Secrets change by an import or a rotation, the OAuth app by an import."""

    name = StrictCharField(max_length=MAX_NAME_LENGTH, required=False)
    owner_email = EmailField(max_length=254, required=False, allow_blank=True, allow_null=True)
    metadata = MetadataField(required=False)

    def validate_owner_email(self, value: str | None) -> str:
        return value or ""


class CredentialMergeSerializer(CredentialUpdateSerializer):
    """A merge patch (RFC 7396): null removes a value."""

    name = StrictCharField(max_length=MAX_NAME_LENGTH, required=False, allow_null=True)

    def validate_name(self, value: str | None) -> str:
        return value or ""


class EmbeddedAppSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    client_id = serializers.CharField()
    client_secret = serializers.CharField()
    metadata = serializers.DictField()
    provider = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class RefreshSerializer(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=REFRESH_STATES)
    last_at = serializers.DateTimeField(allow_null=True)
    next_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_null=True)


class CredentialSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    provider = serializers.CharField()
    kind = serializers.CharField()
    name = serializers.CharField(allow_null=True, help_text="Falls back to `properties.name`.")
    oauth_app_id = serializers.UUIDField(allow_null=True)
    oauth_app = EmbeddedAppSerializer(allow_null=True)
    properties = serializers.DictField(help_text="Secret fields are masked.")
    metadata = serializers.DictField()
    health = HealthSerializer()
    owner_email = serializers.EmailField(allow_null=True)
    external_id = serializers.CharField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    refresh = RefreshSerializer(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class CredentialImportSerializer(serializers.Serializer[Any]):
    """The body of an import. Its fields are those that `credentials.imports.fields` validates."""

    def get_fields(self) -> dict[str, Any]:
        return {name: field.build_serializer_field() for name, field in FIELDS.items()}


class ImportFaultSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    field = serializers.CharField(allow_null=True)
    reason = serializers.CharField()


class ImportNoticeSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    notice = serializers.CharField()


class ImportReportSerializer(serializers.Serializer[Any]):
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    rejected = serializers.IntegerField()
    dry_run = serializers.BooleanField()
    errors = ImportFaultSerializer(many=True)  # type: ignore[assignment] # a field, named as DRF names a property
    errors_truncated = serializers.BooleanField()
    notices = ImportNoticeSerializer(many=True)
    file_notices = serializers.ListField(
        child=serializers.CharField(), help_text="What was done with the file as a whole."
    )
    ignored = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="The number of lines that had each read-only key of an export.",
    )
