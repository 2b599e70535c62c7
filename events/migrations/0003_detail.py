from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0002_seals")]

    operations = [
        migrations.AddField(
            model_name="event",
            name="detail",
            field=models.JSONField(null=True),
        ),
    ]
