"""Records the refresh tokens of stored credentials, in batches that each commit.

A grant that is refreshed or imported by older code while this runs is recorded when it is next refreshed.
"""

from django.db import migrations

from credentials.core.refresh_tokens import may_rotate, record_existing
from providers.registry import get_registry


def fill(apps, schema_editor):
    kinds = {kind.name for kind in get_registry().kinds.values() if may_rotate(kind)}
    credentials = apps.get_model("credentials", "Credential").objects.all()
    record_existing(credentials, is_relevant=kinds.__contains__)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("credentials", "0012_known_refresh_tokens")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
