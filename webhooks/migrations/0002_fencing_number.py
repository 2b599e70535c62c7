from django.db import migrations, models


class Migration(migrations.Migration):
    """Rename the field in Python only: the column keeps its name."""

    dependencies = [("webhooks", "0001_initial")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameField("webhookdelivery", "fence", "fencing_number"),
                migrations.AlterField(
                    "webhookdelivery",
                    "fencing_number",
                    models.PositiveIntegerField(db_column="fence", default=0),
                ),
            ]
        )
    ]
