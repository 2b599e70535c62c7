from __future__ import annotations

from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError, connection
from psycopg import sql

from config.database_role import APPEND_ONLY_TABLES, MIGRATIONS_TABLE

_STATEMENTS: Final = [
    sql.SQL("GRANT USAGE ON SCHEMA public TO {role}"),
    sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"),
    sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"),
    sql.SQL("REVOKE UPDATE, DELETE, TRUNCATE ON {append_only} FROM {role}"),
    sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {migrations} FROM {role}"),
]


class Command(BaseCommand):
    help = (
        "Grant the service's PostgreSQL role what it needs, and no more: no DDL, and only inserts into"
        " the audit log. Run it as the owner of the tables after each migration; it can be repeated."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", help="the role of serve, serve_proxy and worker")

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("Only PostgreSQL has roles.", returncode=2)
        names = {
            "role": sql.Identifier(options["role"]),
            "append_only": sql.SQL(", ").join(map(sql.Identifier, APPEND_ONLY_TABLES)),
            "migrations": sql.Identifier(MIGRATIONS_TABLE),
        }
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user = %s", [options["role"]])
            if cursor.fetchone()[0]:
                raise CommandError(
                    "This is the role that DATABASE_URL names: run the command as the owner of the"
                    " tables, so that the service has fewer rights.",
                    returncode=2,
                )
            try:
                for statement in _STATEMENTS:
                    cursor.execute(statement.format(**names).as_string(cursor.connection))
            except ProgrammingError as error:
                raise CommandError(f"PostgreSQL: {error}".strip(), returncode=2) from None
        self.stdout.write(f"{options['role']} may use the tables of this database.")
