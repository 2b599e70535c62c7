from django.db import migrations, models


class Migration(migrations.Migration):
    """What somebody did, or a token of theirs, is asked when it was stolen: it may not take long."""

    dependencies = [("events", "0003_detail")]
    operations = [
        migrations.AddIndex(
            "event", models.Index(fields=["account", "actor", "id"], name="event_account_actor")
        ),
    ]
