"""The life of a grant: its generation, lease and schedule; and the leases of revocations."""

import common.db.clock
import django.db.models.deletion
import vault.fields
from django.db import migrations, models
from django.db.models.functions import Coalesce
from providers.registry import get_registry


def schedule(apps, schema_editor):
    """Rows from before are due when they expire, or at once where that is unknown."""
    kinds = {name for name, kind in get_registry().kinds.items() if kind.refreshes}
    rows = apps.get_model("credentials", "Credential").objects.filter(kind__in=sorted(kinds))
    rows.update(refresh_next_at=Coalesce("expires_at", common.db.clock.DbNow()))


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_groups'),
        ('credentials', '0002_metadata_gin'),
        ('oauth_apps', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AppPause',
            fields=[
                ('oauth_app', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='refresh_pause', serialize=False, to='oauth_apps.oauthapp')),
                ('revision', models.PositiveIntegerField()),
                ('until', models.DateTimeField()),
                ('code', models.CharField(max_length=64)),
            ],
        ),
        migrations.AddField(
            model_name='credential',
            name='generation',
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='credential',
            name='lease_owner',
            field=models.CharField(db_default='', max_length=64),
        ),
        migrations.AddField(
            model_name='credential',
            name='lease_until',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='credential',
            name='previous',
            field=vault.fields.SealedField(null=True),
        ),
        migrations.AddField(
            model_name='credential',
            name='refresh_error',
            field=models.CharField(db_default='', max_length=64),
        ),
        migrations.AddField(
            model_name='credential',
            name='refresh_failing_since',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='credential',
            name='refresh_failures',
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='credential',
            name='refresh_last_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='credential',
            name='refresh_next_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='credential',
            name='refresh_state',
            field=models.CharField(db_default='active', max_length=16),
        ),
        migrations.AddField(
            model_name='credential',
            name='refresh_unknowns',
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='revocation',
            name='attempts',
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='revocation',
            name='done_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='revocation',
            name='fencing',
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name='revocation',
            name='last_error',
            field=models.CharField(db_default='', max_length=200),
        ),
        migrations.AddField(
            model_name='revocation',
            name='lease_owner',
            field=models.CharField(db_default='', max_length=64),
        ),
        migrations.AddField(
            model_name='revocation',
            name='lease_until',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='revocation',
            name='next_at',
            field=models.DateTimeField(db_default=common.db.clock.DbNow()),
        ),
        migrations.AddIndex(
            model_name='credential',
            index=models.Index(condition=models.Q(('refresh_next_at__isnull', False)), fields=['oauth_app', 'refresh_next_at'], name='credential_due'),
        ),
        migrations.AddIndex(
            model_name='credential',
            index=models.Index(condition=models.Q(('lease_until__isnull', False)), fields=['lease_until'], name='credential_leased'),
        ),
        migrations.AddIndex(
            model_name='revocation',
            index=models.Index(condition=models.Q(('done_at__isnull', True)), fields=['next_at'], name='revocation_due'),
        ),
        migrations.RunPython(schedule, migrations.RunPython.noop),
    ]
