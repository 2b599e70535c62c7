from django.db import migrations, models


class Migration(migrations.Migration):
    """How many secrets somebody was shown is counted over all accounts."""

    dependencies = [("credentials", "0006_found_by_secret")]
    operations = [
        migrations.RemoveIndex("reveal", "reveal_actor"),
        migrations.AddIndex(
            "reveal", models.Index(fields=["actor", "time"], name="reveal_actor_time")
        ),
    ]
