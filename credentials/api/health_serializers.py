from __future__ import annotations

from typing import Any

from rest_framework import serializers

from common import health
from common.api.serializers import StrictSerializer
from common.datetimes import format_rfc3339
from credentials.health.models import HealthChange


class HttpStatusField(serializers.IntegerField):
    """A JSON integer from 100 to 599: no text, no float, no boolean."""

    def to_internal_value(self, data: object) -> int:
        if type(data) is not int or not 100 <= data <= 599:
            raise serializers.ValidationError("must be an HTTP status: a number from 100 to 599")
        return data


class ReportSerializer(StrictSerializer):
    status = HttpStatusField(
        min_value=100,
        max_value=599,
        help_text="The status of the provider's response to your request.",
    )


class HealthChangeSerializer(serializers.Serializer[HealthChange]):
    """A change of status, and the evidence that caused it."""

    id = serializers.UUIDField()
    before = serializers.ChoiceField(choices=health.STATUSES)
    after = serializers.ChoiceField(choices=health.STATUSES)
    source = serializers.CharField()  # type: ignore[assignment] # a field, named as DRF names one
    code = serializers.CharField()
    note = serializers.CharField()
    time = serializers.DateTimeField()

    def to_representation(self, instance: HealthChange) -> dict[str, Any]:
        return {
            "id": str(instance.id),
            "before": instance.before,
            "after": instance.after,
            "source": instance.source,
            "code": instance.code,
            "note": instance.note,
            "time": format_rfc3339(instance.time),
        }
