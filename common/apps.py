from django.apps import AppConfig
from django.db.backends.signals import connection_created


class CommonConfig(AppConfig):
    name = "common"

    def ready(self) -> None:
        from common.db.lookups import register_sqlite_functions

        # Django documents this signal as the place to add SQLite functions.
        connection_created.connect(register_sqlite_functions, dispatch_uid="common.json_contains")
