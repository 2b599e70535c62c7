from typing import Final

from django.apps import AppConfig, apps
from django.contrib.admin import apps as admin_apps
from django.core import checks

_VERBOSE_NAMES: Final = {"auth": "Staff", "axes": "Logins"}
"""Names on the dashboard of apps that are not ours."""


class ConfigConfig(AppConfig):
    default = True
    name = "config"
    verbose_name = "Latchkey"

    def ready(self) -> None:
        # drf-spectacular registers an extension when it is imported.
        from config.api import schema  # noqa: F401
        from config.checks import check_deployment

        checks.register(check_deployment, checks.Tags.security, deploy=True)
        for label, name in _VERBOSE_NAMES.items():
            apps.get_app_config(label).verbose_name = name


class AdminConfig(admin_apps.AdminConfig):
    default = False
    default_site = "config.admin_site.StaffSite"
