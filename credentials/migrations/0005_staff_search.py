"""What the staff's list looks for across accounts, and the permissions of what they may do.

PostgreSQL's two GIN indexes find a part of a name, an owner or an external id (trigrams), and an exact
value in the properties. SQLite scans.
"""

from django.db import migrations, models


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        # Trusted like btree_gin: the database's owner may create it (PostgreSQL 13 and later).
        schema_editor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        # The expression is that of credentials/core/search.py, letter by letter.
        schema_editor.execute(
            "CREATE INDEX credential_searched ON credentials_credential USING gin"
            " (lower(coalesce(nullif(name, ''), properties ->> 'name', '') || ' ' || owner_email"
            " || ' ' || external_id) gin_trgm_ops)"
        )
        schema_editor.execute(
            "CREATE INDEX credential_properties ON credentials_credential"
            " USING gin (properties jsonb_path_ops)"
        )


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX credential_searched")
        schema_editor.execute("DROP INDEX credential_properties")


class Migration(migrations.Migration):
    dependencies = [("credentials", "0004_aliases_and_reveals")]
    operations = [
        migrations.AlterModelOptions(
            name="credential",
            options={
                "permissions": [
                    ("use_credential", "Can check and refresh credentials"),
                    ("rotate_credential", "Can give credentials new secrets"),
                    ("import_credential", "Can import files of credentials"),
                    ("export_credential", "Can export credentials"),
                    ("reveal_credential", "Can see secrets"),
                ]
            },
        ),
        migrations.AddIndex(
            model_name="credential",
            index=models.Index(fields=["provider", "id"], name="credential_all_provider"),
        ),
        migrations.AddIndex(
            model_name="credential",
            index=models.Index(fields=["kind", "id"], name="credential_all_kind"),
        ),
        migrations.AddIndex(
            model_name="credential",
            index=models.Index(fields=["health_status", "id"], name="credential_all_health"),
        ),
        migrations.AddIndex(
            model_name="credential",
            index=models.Index(
                fields=["expires_at", "id"],
                condition=models.Q(expires_at__isnull=False),
                name="credential_all_expires",
            ),
        ),
        migrations.RunPython(create, drop),
    ]
