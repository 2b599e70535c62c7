from django.apps import AppConfig


class RestoreConfig(AppConfig):
    name = "credentials.restore"
    label = "restore"
    verbose_name = "Restores of the database"
