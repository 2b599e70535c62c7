"""A table for grants. The next migration moves the state of refreshes to it.

Until then no process of an older version can refresh a grant: its statements name `lease_owner`,
which has another name from here on. So old and new code never both write one grant.
"""

import django.db.models.deletion
from django.db import migrations, models

import common.db.ids
import vault.fields


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("credentials", "0014_organisation_members"),
        ("oauth_apps", "0001_initial"),
    ]

    operations = [
        migrations.RenameField("credential", "lease_owner", "former_lease_owner"),
        migrations.CreateModel(
            name="Grant",
            fields=[
                ("id", models.UUIDField(default=common.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("generation", models.PositiveIntegerField(db_default=0)),
                ("previous", vault.fields.SealedField(null=True, place=("credentials_credential", "previous"))),
                ("lease_owner", models.CharField(db_default="", max_length=64)),
                ("lease_until", models.DateTimeField(null=True)),
                ("lease_renewed_at", models.DateTimeField(null=True)),
                ("state", models.CharField(db_default="active", max_length=16)),
                ("unknowns", models.PositiveIntegerField(db_default=0)),
                ("failures", models.PositiveIntegerField(db_default=0)),
                ("failing_since", models.DateTimeField(null=True)),
                ("rejected_since", models.DateTimeField(null=True)),
                ("last_at", models.DateTimeField(null=True)),
                ("next_at", models.DateTimeField(null=True)),
                ("error", models.CharField(db_default="", max_length=64)),
                ("account", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="accounts.account")),
                ("oauth_app", models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="oauth_apps.oauthapp")),
            ],
            options={
                "indexes": [
                    models.Index(fields=["oauth_app", "next_at"], name="grant_due"),
                    models.Index(condition=models.Q(("next_at__isnull", False)), fields=["next_at"], name="grant_next"),
                    models.Index(condition=models.Q(("state__in", ["needs_reauth", "paused"])), fields=["account", "state"], name="grant_ended"),
                    models.Index(condition=models.Q(("unknowns__gt", 0)), fields=["account"], name="grant_in_doubt"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("lease_until__isnull", True), ("next_at__isnull", False), _connector="OR"),
                        name="grant_leased_is_due",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="credential",
            name="grant",
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="credentials", to="credentials.grant"),
        ),
    ]
