from django.db import migrations


class Migration(migrations.Migration):
    """Rename the model EventSeal to EventCheckpoint. Its table keeps its name, so no SQL is run."""

    dependencies = [("events", "0004_actor_index")]
    operations = [
        migrations.AlterModelTable("EventSeal", "events_eventseal"),
        migrations.RenameModel("EventSeal", "EventCheckpoint"),
    ]
