import common.db.clock
import common.db.ids
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0002_groups'),
        ('credentials', '0004_aliases_and_reveals'),
    ]

    operations = [
        migrations.CreateModel(
            name='ProviderGate',
            fields=[
                ('provider', models.CharField(max_length=72, primary_key=True, serialize=False)),
                ('open_at', models.DateTimeField(db_default=common.db.clock.DbNow())),
            ],
        ),
        migrations.CreateModel(
            name='HealthChange',
            fields=[
                ('id', models.UUIDField(default=common.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('target_type', models.CharField(max_length=16)),
                ('target_id', models.UUIDField()),
                ('before', models.CharField(max_length=16)),
                ('after', models.CharField(max_length=16)),
                ('source', models.CharField(max_length=16)),
                ('code', models.CharField(blank=True, max_length=64)),
                ('note', models.CharField(blank=True, max_length=300)),
                ('time', models.DateTimeField(db_default=common.db.clock.DbNow(), editable=False)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.account')),
            ],
            options={
                'indexes': [models.Index(fields=['account', 'target_id', 'id'], name='healthchange_target')],
            },
        ),
        migrations.CreateModel(
            name='NoticeMail',
            fields=[
                ('id', models.UUIDField(default=common.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('credential_id', models.UUIDField()),
                ('to_email', models.CharField(max_length=254)),
                ('note', models.CharField(max_length=300)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('next_at', models.DateTimeField(db_default=common.db.clock.DbNow())),
                ('lease_owner', models.CharField(blank=True, max_length=64)),
                ('outcome', models.CharField(blank=True, max_length=16)),
                ('created_at', models.DateTimeField(db_default=common.db.clock.DbNow(), editable=False)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.account')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('outcome', '')), fields=['next_at'], name='noticemail_due'), models.Index(fields=['credential_id', 'created_at'], name='noticemail_credential')],
            },
        ),
        migrations.CreateModel(
            name='ProbeState',
            fields=[
                ('credential', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='probe_state', serialize=False, to='credentials.credential')),
                ('provider', models.CharField(max_length=72)),
                ('next_at', models.DateTimeField()),
                ('urgent', models.BooleanField(default=False)),
                ('lease_owner', models.CharField(blank=True, max_length=64)),
                ('failures', models.PositiveIntegerField(default=0)),
                ('silent_since', models.DateTimeField(null=True)),
                ('cause', models.CharField(blank=True, max_length=16)),
                ('granted_at', models.DateTimeField(null=True)),
                ('answered_at', models.DateTimeField(null=True)),
                ('unavailable_at', models.DateTimeField(null=True)),
                ('asked', models.PositiveIntegerField(default=0)),
                ('asked_since', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.account')),
            ],
            options={
                'indexes': [models.Index(fields=['provider', 'next_at'], name='probe_due'), models.Index(condition=models.Q(('urgent', True)), fields=['next_at'], name='probe_urgent'), models.Index(fields=['provider', 'answered_at'], name='probe_answered'), models.Index(condition=models.Q(('unavailable_at__isnull', False)), fields=['provider', 'unavailable_at'], name='probe_unavailable')],
            },
        ),
    ]
