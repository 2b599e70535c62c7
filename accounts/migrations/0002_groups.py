"""The groups whose names decide a staff session's scopes (accounts/scopes.py)."""

from django.db import migrations

NAMES = ["Viewer", "Operator", "Custodian"]


def create(apps, schema_editor):
    for name in NAMES:
        apps.get_model("auth", "Group").objects.get_or_create(name=name)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
