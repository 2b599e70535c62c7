from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "credentials.notifications"
    label = "notifications"
    verbose_name = "Notifications"
