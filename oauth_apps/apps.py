from django.apps import AppConfig


class OauthAppsConfig(AppConfig):
    name = "oauth_apps"
    verbose_name = "OAuth apps"
