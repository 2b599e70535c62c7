import common.db.clock
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('credentials', '0004_aliases_and_reveals'),
    ]

    operations = [
        migrations.CreateModel(
            name='Allowance',
            fields=[
                ('credential', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='allowance', serialize=False, to='credentials.credential')),
                ('spent_until', models.FloatField(db_default=0)),
                ('held_until', models.FloatField(db_default=0)),
            ],
        ),
        migrations.CreateModel(
            name='CredentialPolicy',
            fields=[
                ('credential', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='proxy_policy', serialize=False, to='credentials.credential')),
                ('methods', models.JSONField(null=True)),
                ('paths', models.JSONField(null=True)),
                ('rate_requests', models.PositiveIntegerField(null=True)),
                ('rate_seconds', models.PositiveIntegerField(null=True)),
                ('concurrency', models.PositiveIntegerField(null=True)),
                ('updated_at', models.DateTimeField(db_default=common.db.clock.DbNow(), editable=False)),
            ],
            options={
                'verbose_name_plural': 'credential policies',
            },
        ),
    ]
