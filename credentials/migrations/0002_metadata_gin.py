"""PostgreSQL's index for the metadata filter, led by the account; SQLite scans the account's rows."""

from django.db import migrations


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        # The extension is trusted: the database's owner may create it (PostgreSQL 13 and later).
        schema_editor.execute("CREATE EXTENSION IF NOT EXISTS btree_gin")
        schema_editor.execute(
            "CREATE INDEX credential_metadata ON credentials_credential"
            " USING gin (account_id, metadata jsonb_path_ops)"
        )


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX credential_metadata")


class Migration(migrations.Migration):
    dependencies = [("credentials", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
