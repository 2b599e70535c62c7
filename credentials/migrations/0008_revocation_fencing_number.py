from django.db import migrations, models


class Migration(migrations.Migration):
    """Rename the field in Python only: the column keeps its name."""

    dependencies = [("credentials", "0007_reveals_of_an_actor")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameField("revocation", "fencing", "fencing_number"),
                migrations.AlterField(
                    "revocation",
                    "fencing_number",
                    models.PositiveIntegerField(db_column="fencing", db_default=0),
                ),
            ]
        )
    ]
