from __future__ import annotations

from rest_framework import serializers

from common.api.serializers import StrictCharField, StrictSerializer
from credentials.proxy import policy


class WholeNumberField(serializers.IntegerField):
    """An integer field that accepts a JSON integer only: no text, no float, no boolean."""

    def to_internal_value(self, data: object) -> int:
        if type(data) is not int:
            raise serializers.ValidationError("must be a whole number")
        return data


class MethodField(StrictCharField):
    def run_validation(self, data: object = serializers.empty) -> object:
        value = super().run_validation(data)
        if not policy.METHOD_PATTERN.search(str(value)):
            raise serializers.ValidationError("must be a method such as GET, in capitals")
        return value


class PathField(StrictCharField):
    def run_validation(self, data: object = serializers.empty) -> object:
        value = super().run_validation(data)
        if not policy.PATH_PATTERN.search(str(value)):
            raise serializers.ValidationError("must be a path such as /v1/charges*")
        return value


class RateSerializer(StrictSerializer):
    requests = WholeNumberField(min_value=1, max_value=policy.MAX_RATE)
    seconds = WholeNumberField(min_value=1, max_value=policy.MAX_SECONDS)


class PolicySerializer(StrictSerializer):
    """The requests that the proxy permits with a credential. Null or absent: not restricted."""

    methods = serializers.ListField(
        child=MethodField(max_length=16),
        allow_null=True,
        required=False,
        max_length=20,
        help_text="Such as GET, in capitals.",
    )
    paths = serializers.ListField(
        child=PathField(max_length=256),
        allow_null=True,
        required=False,
        max_length=policy.MAX_PATHS,
        help_text="Patterns such as /v1/charges*, where * is any run of characters.",
    )
    rate_limit = RateSerializer(allow_null=True, required=False)
    concurrency = WholeNumberField(
        min_value=1, max_value=policy.MAX_CONCURRENCY, allow_null=True, required=False
    )
