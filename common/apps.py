from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class CommonConfig(AppConfig):
    name = "common"

    def ready(self) -> None:
        from common.db.lookups import register_sqlite_functions

        def prepare(*, connection: object, **_: Any) -> None:
            register_sqlite_functions(connection)

        # Django documents this signal as the place to add SQLite functions.
        connection_created.connect(prepare, weak=False, dispatch_uid="common.json_contains")
