"""A right of its own for tokens that use or reveal secrets. Custodians could create them before, too."""

from django.db import migrations


def grant(apps, schema_editor):
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(
        app_label="accounts", model="apitoken"
    )
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type,
        codename="mint_apitoken",
        defaults={"name": "Can create API tokens that use or reveal secrets"},
    )
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Custodian")
    group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_devices")]
    operations = [
        migrations.AlterModelOptions(
            name="apitoken",
            options={
                "verbose_name": "API token",
                "permissions": [
                    ("mint_apitoken", "Can create API tokens that use or reveal secrets")
                ],
            },
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
