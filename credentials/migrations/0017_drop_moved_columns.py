"""Drop the columns whose values are in the table of grants now, and index the reference to it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("credentials", "0016_move_grants")]

    operations = [
        migrations.RemoveIndex("credential", "credential_due"),
        migrations.RemoveIndex("credential", "credential_leased"),
        migrations.RemoveIndex("credential", "credential_refresh_ended"),
        migrations.RemoveIndex("credential", "credential_in_doubt"),
        migrations.RemoveField("credential", "generation"),
        migrations.RemoveField("credential", "former_lease_owner"),
        migrations.RemoveField("credential", "lease_renewed_at"),
        migrations.RemoveField("credential", "lease_until"),
        migrations.RemoveField("credential", "previous"),
        migrations.RemoveField("credential", "refresh_error"),
        migrations.RemoveField("credential", "refresh_failing_since"),
        migrations.RemoveField("credential", "refresh_failures"),
        migrations.RemoveField("credential", "refresh_last_at"),
        migrations.RemoveField("credential", "refresh_next_at"),
        migrations.RemoveField("credential", "refresh_rejected_since"),
        migrations.RemoveField("credential", "refresh_state"),
        migrations.RemoveField("credential", "refresh_unknowns"),
        migrations.AddIndex(
            model_name="credential",
            index=models.Index(condition=models.Q(("grant__isnull", False)), fields=["grant"], name="credential_of_grant"),
        ),
    ]
