from django.apps import AppConfig
from django.core import checks


class EgressConfig(AppConfig):
    name = "egress"

    def ready(self) -> None:
        from egress.checks import check_allow

        checks.register(check_allow)
