from __future__ import annotations

from typing import Any

from rest_framework import serializers

from common.api.serializers import StrictCharField, StrictSerializer


class LoginSerializer(StrictSerializer):
    username = StrictCharField(max_length=150)
    password = StrictCharField(max_length=4096, secret=True)
    account = StrictCharField(max_length=63, required=False, help_text="The account's slug.")
    otp = StrictCharField(max_length=32, required=False, help_text="One-time code.")


class SessionSerializer(serializers.Serializer[Any]):
    token = serializers.CharField()
    expires_at = serializers.DateTimeField()


class StatusSerializer(serializers.Serializer[Any]):
    initialized = serializers.BooleanField(
        help_text="True if there is a staff user who can log in."
    )
    authenticated = serializers.BooleanField(help_text="True if the sent token is valid.")


class SuccessSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
