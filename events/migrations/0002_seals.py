"""Positions, in the order in which the rows were written, and the seals over them."""

import common.db.clock
import events.sequence
from django.db import migrations, models

from events.sequence import POSITION_SEQUENCE


def create_sequence(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"CREATE SEQUENCE {POSITION_SEQUENCE} AS bigint")


def drop_sequence(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP SEQUENCE IF EXISTS {POSITION_SEQUENCE}")


def number_rows(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        # The column's default has numbered them as it was added.
        schema_editor.execute(f"ALTER SEQUENCE {POSITION_SEQUENCE} OWNED BY events_event.position")
    else:
        schema_editor.execute(
            "UPDATE events_event SET position = ranked.place FROM"
            " (SELECT id, row_number() OVER (ORDER BY id) AS place FROM events_event) AS ranked"
            " WHERE ranked.id = events_event.id"
        )


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.RunPython(create_sequence, drop_sequence),
        migrations.AddField(
            model_name="event",
            name="position",
            field=models.BigIntegerField(
                db_default=events.sequence.NextPosition(), editable=False, null=True
            ),
        ),
        migrations.RunPython(number_rows, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.UniqueConstraint(fields=("position",), name="event_position"),
        ),
        migrations.CreateModel(
            name="EventSeal",
            fields=[
                ("number", models.BigIntegerField(primary_key=True, serialize=False)),
                ("upto", models.BigIntegerField()),
                ("count", models.PositiveIntegerField()),
                ("digest", models.BinaryField(max_length=32)),
                ("mark_position", models.BigIntegerField()),
                ("mark_xact", models.BigIntegerField()),
                ("sealed_at", models.DateTimeField(db_default=common.db.clock.DbNow())),
            ],
        ),
    ]
