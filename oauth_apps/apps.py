from django.apps import AppConfig
from django.core import checks


class OauthAppsConfig(AppConfig):
    name = "oauth_apps"
    verbose_name = "OAuth apps"

    def ready(self) -> None:
        from oauth_apps.checks import check_provider_urls

        checks.register(check_provider_urls)
