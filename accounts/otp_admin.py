"""django-otp's pages, without its way to read a key by asking whether it starts with a letter."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django_otp.plugins.otp_static.admin import StaticDeviceAdmin
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.admin import TOTPDeviceAdmin
from django_otp.plugins.otp_totp.models import TOTPDevice

admin.site.unregister([TOTPDevice, StaticDevice])


class NoLookups:
    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return False


@admin.register(TOTPDevice)
class GuardedTOTPDeviceAdmin(NoLookups, TOTPDeviceAdmin):  # type: ignore[misc] # untyped base
    pass


@admin.register(StaticDevice)
class GuardedStaticDeviceAdmin(NoLookups, StaticDeviceAdmin):  # type: ignore[misc] # untyped base
    pass
