import django.db.models.deletion
from django.db import migrations, models

import common.db.ids


class Migration(migrations.Migration):
    dependencies = [("accounts", "0006_mint_apitoken")]
    operations = [
        migrations.CreateModel(
            name="RateLimitOverride",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=common.db.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("bearer_id", models.UUIDField(null=True)),
                ("name", models.CharField(max_length=32)),
                ("requests", models.PositiveIntegerField()),
                ("seconds", models.PositiveIntegerField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.account",
                    ),
                ),
            ],
        )
    ]
