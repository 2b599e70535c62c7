"""Requests and responses of the connect API."""

from __future__ import annotations

from typing import Any, Final

import orjson
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from common.api.serializers import (
    EmailField,
    LabelListField,
    MetadataField,
    StrictBooleanField,
    StrictCharField,
    StrictSerializer,
    StrictUUIDField,
)
from common.datetimes import format_rfc3339
from credentials.connect.audit import represent_failure
from credentials.connect.link_request import (
    DEFAULT_LINK_SECONDS,
    MAX_LINK_SECONDS,
    MIN_LINK_SECONDS,
)
from credentials.connect.models import ConnectLink
from credentials.imports.fields import MAX_NAME_LENGTH

STATE_BYTES: Final = 5 * 1024
ADDRESS_LENGTH: Final = 2048


class StateField(serializers.JSONField):
    """Any JSON of at most 5 kB, including null and ""."""

    def run_validation(self, data: object = serializers.empty) -> object:
        if data is serializers.empty:
            raise serializers.SkipField
        try:
            size = len(orjson.dumps(data))
        except TypeError:
            # Python parses a lone surrogate, 2^64 and 300 levels, which other parsers reject.
            raise serializers.ValidationError(
                "must be JSON of Unicode text, of integers under 2^64 and of fewer than 255 levels"
            ) from None
        if size > STATE_BYTES:
            raise serializers.ValidationError("must be at most 5 kB of JSON")
        return data


class SecondsField(serializers.IntegerField):
    def to_internal_value(self, data: object) -> int:
        if type(data) is not int or not MIN_LINK_SECONDS <= data <= MAX_LINK_SECONDS:
            raise serializers.ValidationError(
                f"must be a whole number of seconds from {MIN_LINK_SECONDS} to {MAX_LINK_SECONDS}"
            )
        return data


class StartAuthSerializer(StrictSerializer):
    """The documented body, and fields that some kinds need in addition."""

    oauth_app_id = StrictUUIDField()
    credential_kind = StrictCharField(max_length=64)
    redirect_url = StrictCharField(
        max_length=ADDRESS_LENGTH, help_text="Must be exactly one of the OAuth app's redirect_uris."
    )
    state = StateField(required=False)
    scopes = LabelListField(max_items=100, required=False)
    external_id = StrictCharField(max_length=255, required=False)
    properties = MetadataField(
        required=False, help_text="Parts of the provider's addresses that differ per customer."
    )


class StartedSerializer(serializers.Serializer[Any]):
    start_url = serializers.CharField(help_text="Works once, for five minutes.")


class ExchangeSerializer(StrictSerializer):
    code = StrictCharField(max_length=512, secret=True)
    client_id = StrictCharField(max_length=64, help_text="The id of the OAuth app here.")
    client_secret = StrictCharField(
        max_length=4096, secret=True, help_text="The app's secret at its provider."
    )
    grant_type = serializers.ChoiceField(choices=["authorization_code"], required=False)
    redirect_uri = StrictCharField(max_length=ADDRESS_LENGTH, required=False)
    code_verifier = StrictCharField(max_length=128, required=False, secret=True)


class ExchangedCredentialSerializer(serializers.Serializer[Any]):
    oauth_app_id = serializers.CharField()
    properties = serializers.DictField(help_text="With the real tokens.")


class ExchangedSerializer(serializers.Serializer[Any]):
    credential = ExchangedCredentialSerializer(help_text="A body for POST /v1/credentials.")
    state = serializers.JSONField(help_text="As it was sent when the flow began.")


class ConnectLinkCreateSerializer(StrictSerializer):
    oauth_app_id = StrictUUIDField(required=False, help_text="For kinds that connect by OAuth.")
    kind = StrictCharField(
        max_length=64, required=False, help_text="May be left out if the app has only one."
    )
    name = StrictCharField(max_length=MAX_NAME_LENGTH, required=False)
    owner_email = EmailField(max_length=254, required=False)
    external_id = StrictCharField(max_length=255, required=False)
    metadata = MetadataField(required=False)
    properties = MetadataField(
        required=False, help_text="Parts of the provider's addresses that differ per customer."
    )
    scopes = LabelListField(max_items=100, required=False)
    return_to = StrictCharField(
        max_length=ADDRESS_LENGTH,
        required=False,
        help_text="Must be exactly one of the app's redirect_uris, or of the account's return_urls.",
    )
    expires_in = SecondsField(required=False, default=DEFAULT_LINK_SECONDS)
    credential_id = StrictUUIDField(required=False, help_text="Reconnect this credential.")


class FailureSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()
    time = serializers.DateTimeField()


class ConnectLinkSerializer(serializers.Serializer[ConnectLink]):
    """A connect link. Its URL is only in the response to its creation."""

    id = serializers.UUIDField()
    url = serializers.CharField(allow_null=True, help_text="Shown once.")
    status = serializers.ChoiceField(choices=ConnectLink.Status.values)
    kind = serializers.CharField()
    oauth_app_id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    owner_email = serializers.CharField(allow_null=True)
    external_id = serializers.CharField(allow_null=True)
    metadata = serializers.DictField(allow_null=True)
    properties = serializers.DictField()
    scopes = serializers.ListField(child=serializers.CharField())
    return_to = serializers.CharField(allow_null=True)
    reconnects = serializers.UUIDField(allow_null=True)
    credential_id = serializers.UUIDField(
        allow_null=True, help_text="Set when the link is completed."
    )
    failure = FailureSerializer(allow_null=True, help_text="Why the last try failed.")
    notes = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    def to_representation(self, instance: ConnectLink) -> dict[str, Any]:
        return {
            "id": str(instance.id),
            "url": self.context.get("url"),
            "status": "expired" if getattr(instance, "is_late", False) else instance.status,
            "kind": instance.kind,
            "oauth_app_id": instance.oauth_app_id and str(instance.oauth_app_id),
            "name": instance.name or None,
            "owner_email": instance.owner_email or None,
            "external_id": instance.external_id or None,
            "metadata": instance.metadata,
            "properties": instance.properties,
            "scopes": instance.scopes,
            "return_to": instance.return_to or None,
            "reconnects": instance.reconnects and str(instance.reconnects),
            "credential_id": instance.credential_id and str(instance.credential_id),
            "failure": represent_failure(instance.failure),
            "notes": instance.notes,
            "created_at": format_rfc3339(instance.created_at),
            "updated_at": format_rfc3339(instance.updated_at),
            "expires_at": format_rfc3339(instance.expires_at),
        }


class AppSettingsSerializer(StrictSerializer):
    completes_itself = StrictBooleanField(
        required=False,
        help_text="Store the credentials of links without /complete; docs/connect.md explains the risk.",
    )
    short_callback = StrictBooleanField(
        required=False, help_text="The redirect URI at the provider has no app id."
    )


@extend_schema_serializer(component_name="ShownAppSettings")
class AppSettingsResponseSerializer(serializers.Serializer[Any]):
    completes_itself = serializers.BooleanField()
    short_callback = serializers.BooleanField()
    callback_url = serializers.CharField(help_text="The redirect URI to register at the provider.")


class AccountSettingsSerializer(StrictSerializer):
    completes_itself = StrictBooleanField(required=False)
    return_urls = LabelListField(
        max_items=50,
        required=False,
        help_text="Addresses to which links without an OAuth app may return.",
    )


@extend_schema_serializer(component_name="ShownAccountSettings")
class AccountSettingsResponseSerializer(serializers.Serializer[Any]):
    return_urls = serializers.ListField(child=serializers.CharField())
    completes_itself = serializers.BooleanField()
