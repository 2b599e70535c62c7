from django.apps import AppConfig


class HealthConfig(AppConfig):
    name = "credentials.health"
    label = "health"
    verbose_name = "Health"
