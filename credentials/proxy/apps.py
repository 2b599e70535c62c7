from django.apps import AppConfig


class ProxyConfig(AppConfig):
    name = "credentials.proxy"
    label = "proxy"
    verbose_name = "Proxy"
