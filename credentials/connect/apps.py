from django.apps import AppConfig


class ConnectConfig(AppConfig):
    name = "credentials.connect"
    label = "connect"
    verbose_name = "Connect"
