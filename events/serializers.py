from __future__ import annotations

from typing import Any

from rest_framework import serializers

from common.datetimes import format_rfc3339
from events.models import Event


class TargetSerializer(serializers.Serializer[Any]):
    type = serializers.CharField()
    id = serializers.UUIDField()


class EventSerializer(serializers.Serializer[Event]):
    """One entry of the audit log. `changed` names fields, never values; `ip` is null for commands.

    `detail` is null except for uses through the proxy (method, path as a pattern, status and so on)
    and for reveals (the `reason` that was given).
    """

    id = serializers.UUIDField()
    verb = serializers.CharField()
    actor = serializers.CharField()
    target = TargetSerializer()
    changed = serializers.ListField(child=serializers.CharField())
    detail = serializers.DictField(allow_null=True)
    ip = serializers.IPAddressField(allow_null=True)
    request_id = serializers.CharField(allow_null=True)
    time = serializers.DateTimeField()

    def to_representation(self, instance: Event) -> dict[str, Any]:
        return {
            "id": str(instance.id),
            "verb": instance.verb,
            "actor": instance.actor,
            "target": {"type": instance.target_type, "id": str(instance.target_id)},
            "changed": instance.changed,
            "detail": instance.detail,
            "ip": instance.ip,
            "request_id": instance.request_id or None,
            "time": format_rfc3339(instance.time),
        }
