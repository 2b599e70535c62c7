"""PostgreSQL's index for a leaked secret's fingerprint, whichever field holds it; SQLite scans."""

from django.db import migrations


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        # The expression is that of credentials/services/leak_search.py, letter by letter.
        schema_editor.execute(
            "CREATE INDEX credential_fingerprints ON credentials_credential"
            " USING gin (jsonb_path_query_array(fingerprints, '$.*[*]') jsonb_path_ops)"
        )


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX credential_fingerprints")


class Migration(migrations.Migration):
    dependencies = [("credentials", "0005_staff_search")]
    operations = [migrations.RunPython(create, drop)]
