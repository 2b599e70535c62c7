"""A chain for each account, the version of a checkpoint, and known delays."""

import common.db.ids
import django.db.models.deletion
from django.db import migrations, models

from common.db.clock import db_now
from events.digests import compute_delay_digest


def record_delay(apps, schema_editor):
    """Record that events without a checkpoint waited for this upgrade, however long it took."""
    newest = apps.get_model("events", "EventCheckpoint").objects.order_by("-number").first()
    after = newest.upto if newest else 0
    event = apps.get_model("events", "Event").objects.exclude(position=None).order_by("-position").first()
    if event is None or event.position <= after:
        return
    delay = apps.get_model("events", "SealingDelay")(
        after=after, upto=event.position, reason="Waited for an upgrade.", recorded_at=db_now()
    )
    delay.digest = compute_delay_digest(delay)
    delay.save(force_insert=True)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('events', '0005_event_checkpoint'),
        ('vault', '0002_forgotten'),
    ]

    operations = [
        migrations.CreateModel(
            name='SealingDelay',
            fields=[
                ('id', models.UUIDField(default=common.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('after', models.BigIntegerField()),
                ('upto', models.BigIntegerField()),
                ('checkpoint', models.BinaryField(max_length=32, null=True)),
                ('reason', models.CharField(max_length=300)),
                ('recorded_at', models.DateTimeField()),
                ('digest', models.BinaryField(max_length=32)),
            ],
        ),
        migrations.AddField(
            model_name='eventcheckpoint',
            name='continued',
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddField(
            model_name='eventcheckpoint',
            name='version',
            field=models.SmallIntegerField(db_default=1),
        ),
        migrations.CreateModel(
            name='AccountCheckpoint',
            fields=[
                ('id', models.UUIDField(default=common.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.BigIntegerField()),
                ('round', models.BigIntegerField()),
                ('first', models.BigIntegerField()),
                ('count', models.PositiveIntegerField()),
                ('digest', models.BinaryField(max_length=32)),
                ('sealed_at', models.DateTimeField()),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.account')),
            ],
            options={
                'indexes': [models.Index(fields=['round'], name='account_checkpoint_round')],
                'constraints': [models.UniqueConstraint(fields=('account', 'number'), name='account_checkpoint_number')],
            },
        ),
        migrations.RunPython(record_delay, migrations.RunPython.noop),
    ]
