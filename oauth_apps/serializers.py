from __future__ import annotations

import uuid
from typing import Any

from rest_framework import serializers

from common import health
from common.api.serializers import (
    LabelListField,
    MetadataField,
    StrictBooleanField,
    StrictCharField,
    StrictSerializer,
)
from common.datetimes import format_rfc3339
from oauth_apps.models import OAuthApp
from providers.properties import MASK


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=health.STATUSES)
    notes = serializers.ListField(child=serializers.CharField())
    time = serializers.DateTimeField(help_text="The time of the last evidence.")


class OAuthAppCreateSerializer(StrictSerializer):
    provider = StrictCharField(max_length=64)
    name = StrictCharField(max_length=200)
    client_id = StrictCharField(max_length=255)
    client_secret = StrictCharField(max_length=4096, secret=True)
    redirect_uris = LabelListField(max_items=50, required=False)
    scopes = LabelListField(max_items=200, required=False)
    config = MetadataField(required=False, help_text="The provider's per-customer variables.")
    authorize_params = MetadataField(
        required=False,
        help_text="Parameters of authorization requests, of the provider's `authorize_options`.",
    )
    metadata = MetadataField(required=False)


class OAuthAppUpdateSerializer(StrictSerializer):
    name = StrictCharField(max_length=200, required=False)
    client_secret = StrictCharField(
        max_length=4096,
        secret=True,
        required=False,
        help_text="Becomes the first secret; the former one stays valid as the second until `drop_old_secret`.",
    )
    redirect_uris = LabelListField(max_items=50, required=False)
    scopes = LabelListField(max_items=200, required=False)
    config = MetadataField(required=False)
    authorize_params = MetadataField(required=False)
    metadata = MetadataField(required=False)
    drop_old_secret = StrictBooleanField(required=False)


class OAuthAppSerializer(serializers.Serializer[OAuthApp]):
    """An OAuth app, with its secret masked."""

    id = serializers.UUIDField()
    provider = serializers.CharField()
    name = serializers.CharField()
    client_id = serializers.CharField()
    client_secret = serializers.CharField()
    redirect_uris = serializers.ListField(child=serializers.CharField())
    scopes = serializers.ListField(child=serializers.CharField())
    config = serializers.DictField()
    authorize_params = serializers.DictField()
    metadata = serializers.DictField()
    health = HealthSerializer()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def to_representation(self, instance: OAuthApp) -> dict[str, Any]:
        secrets: dict[uuid.UUID, str] = self.context.get("secrets", {})
        return {
            "id": str(instance.id),
            "provider": instance.provider,
            "name": instance.name,
            "client_id": instance.client_id,
            "client_secret": secrets.get(instance.id, MASK),
            "redirect_uris": instance.redirect_uris,
            "scopes": instance.scopes,
            "config": instance.config,
            "authorize_params": instance.authorize_params,
            "metadata": instance.metadata,
            "health": instance.health,
            "created_at": format_rfc3339(instance.created_at),
            "updated_at": format_rfc3339(instance.updated_at),
        }
