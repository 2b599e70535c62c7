from __future__ import annotations

from typing import Any

from rest_framework import serializers

from common.api.serializers import (
    LabelListField,
    StrictBooleanField,
    StrictCharField,
    StrictSerializer,
)
from common.datetimes import format_rfc3339
from webhooks import payload
from webhooks.event_types import EVENT_TYPES
from webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint

URL_LENGTH = 2048


class EndpointCreateSerializer(StrictSerializer):
    url = StrictCharField(
        max_length=URL_LENGTH, help_text="https on port 443 of a public DNS name."
    )
    events = LabelListField(
        max_items=len(EVENT_TYPES), help_text=f"Some of: {', '.join(EVENT_TYPES)}."
    )
    enabled = StrictBooleanField(required=False)


class EndpointUpdateSerializer(StrictSerializer):
    url = StrictCharField(max_length=URL_LENGTH, required=False)
    events = LabelListField(max_items=len(EVENT_TYPES), required=False)
    enabled = StrictBooleanField(
        required=False, help_text="True also clears the failures that disabled it."
    )


class RotateSerializer(StrictSerializer):
    drop_old_secret = StrictBooleanField(
        required=False, help_text="End the old secret now, instead of in 24 hours."
    )


class EndpointSerializer(serializers.Serializer[WebhookEndpoint]):
    """An endpoint, without its secret."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.ChoiceField(choices=EVENT_TYPES))
    enabled = serializers.BooleanField()
    disabled_at = serializers.DateTimeField(allow_null=True)
    disabled_reason = serializers.CharField(allow_null=True)
    failing_since = serializers.DateTimeField(
        allow_null=True, help_text="The first failure since the last success."
    )
    old_secret_until = serializers.DateTimeField(
        allow_null=True, help_text="Until then, both secrets sign each delivery."
    )
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def to_representation(self, instance: WebhookEndpoint) -> dict[str, Any]:
        return {
            "id": str(instance.id),
            "url": instance.url,
            "events": instance.events,
            "enabled": instance.enabled,
            "disabled_at": format_rfc3339(instance.disabled_at),
            "disabled_reason": instance.disabled_reason or None,
            "failing_since": format_rfc3339(instance.failing_since),
            "old_secret_until": format_rfc3339(instance.old_secret_until),
            "created_at": format_rfc3339(instance.created_at),
            "updated_at": format_rfc3339(instance.updated_at),
        }


class EndpointWithSecretSerializer(EndpointSerializer):
    """An endpoint after its creation or a rotation, with its secret, which is not shown again."""

    secret = serializers.CharField(help_text="whsec_ and 32 bytes in base64.")


class DeliverySerializer(serializers.Serializer[WebhookDelivery]):
    """One event sent to one endpoint. Receivers recognise a repeated delivery by `webhook_id`."""

    id = serializers.UUIDField()
    webhook_id = serializers.CharField()
    type = serializers.ChoiceField(choices=EVENT_TYPES)
    payload = serializers.DictField()
    state = serializers.ChoiceField(choices=DeliveryState.values)
    attempts = serializers.IntegerField()
    next_at = serializers.DateTimeField(
        allow_null=True,
        help_text="Null when it has ended, or while an earlier delivery of the object goes first.",
    )
    last_status = serializers.IntegerField(allow_null=True)
    last_error = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()
    delivered_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: WebhookDelivery) -> dict[str, Any]:
        return {
            "id": str(instance.id),
            "webhook_id": str(instance.message_id),
            "type": instance.type,
            "payload": payload.build_payload(instance),
            "state": instance.state,
            "attempts": instance.attempts,
            "next_at": format_rfc3339(instance.next_at),
            "last_status": instance.last_status,
            "last_error": instance.last_error or None,
            "created_at": format_rfc3339(instance.created_at),
            "delivered_at": format_rfc3339(instance.delivered_at),
        }
