"""Former identities, and who was shown what."""

import common.db.clock
import common.db.ids
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_groups'),
        ('credentials', '0003_refresh_and_revocation'),
    ]

    operations = [
        migrations.CreateModel(
            name='CredentialAlias',
            fields=[
                ('id', models.UUIDField(default=common.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('identity', models.BinaryField(max_length=32)),
                ('created_at', models.DateTimeField(db_default=common.db.clock.DbNow(), editable=False)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.account')),
                ('credential', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='aliases', to='credentials.credential')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('account', 'identity'), name='credential_alias')],
            },
        ),
        migrations.CreateModel(
            name='Reveal',
            fields=[
                ('id', models.UUIDField(default=common.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('credential_id', models.UUIDField()),
                ('actor', models.CharField(max_length=160)),
                ('reason', models.CharField(max_length=500)),
                ('time', models.DateTimeField(db_default=common.db.clock.DbNow(), editable=False)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.account')),
            ],
            options={
                'indexes': [models.Index(fields=['account', 'actor', 'time'], name='reveal_actor'), models.Index(fields=['account', 'credential_id'], name='reveal_credential')],
            },
        ),
    ]
