from django.apps import AppConfig
from django.contrib.admin import apps


class ConfigConfig(AppConfig):
    default = True
    name = "config"
    verbose_name = "Latchkey"

    def ready(self) -> None:
        # drf-spectacular knows an extension by its import.
        from config.api import schema  # noqa: F401


class AdminConfig(apps.AdminConfig):
    default = False
    default_site = "config.admin_site.StaffSite"
