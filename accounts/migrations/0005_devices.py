"""Second factors from django-otp's own tables, which held keys and recovery codes in clear.

Confirmed devices go on working, with their state: nobody has to set up anew, and no code that was
used is good again. What was never confirmed is left behind. The old tables are dropped; where
there are none, nothing happens. Where VAULT_KEYS is not this database's, nothing is changed. All is
one transaction, tables too: no state of it lets anybody in without the factor that they have.
"""

import django.db.models.deletion
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.migrations.exceptions import IrreversibleError

import common.db.ids
import vault.fields
from accounts.otp_devices import hash_recovery_code
from vault.sealing import Place, seal
from vault.services import verify_primary_key

TOTP, STATIC, TOKEN = "otp_totp_totpdevice", "otp_static_staticdevice", "otp_static_statictoken"
COMMON = [
    "user_id", "name", "created_at", "last_used_at", "throttling_failure_count",
    "throttling_failure_timestamp",
]  # fmt: skip
CLOCK = ["step", "t0", "digits", "tolerance", "drift", "last_t"]


def old_models():
    """The old tables as models of a registry of their own; django-otp's are not installed any more."""
    registry = Apps()

    class Old(models.Model):
        user_id = models.IntegerField()
        name = models.TextField()
        confirmed = models.BooleanField()
        created_at = models.DateTimeField(null=True)
        last_used_at = models.DateTimeField(null=True)
        throttling_failure_count = models.IntegerField()
        throttling_failure_timestamp = models.DateTimeField(null=True)

        class Meta:
            abstract = True

    class Clock(Old):
        key = models.TextField()
        step = models.IntegerField()
        t0 = models.BigIntegerField()
        digits = models.IntegerField()
        tolerance = models.IntegerField()
        drift = models.IntegerField()
        last_t = models.BigIntegerField()

        class Meta:
            apps, app_label, db_table = registry, "otp_totp", TOTP

    class Static(Old):
        class Meta:
            apps, app_label, db_table = registry, "otp_static", STATIC

    class Token(models.Model):
        device_id = models.IntegerField()
        token = models.TextField()

        class Meta:
            apps, app_label, db_table = registry, "otp_static", TOKEN

    return Clock, Static, Token


def carry(apps, schema_editor):
    tables = set(schema_editor.connection.introspection.table_names())
    if not {TOTP, STATIC, TOKEN} <= tables:
        return
    if schema_editor.connection.vendor == "postgresql":
        # A factor that somebody sets up meanwhile would be lost with the table.
        schema_editor.execute(f"LOCK TABLE {TOTP}, {STATIC}, {TOKEN}")
    clock, static, token = old_models()
    if clock.objects.exists() or static.objects.exists():
        verify_primary_key()
    for old in clock.objects.filter(confirmed=True).order_by("pk"):
        carry_clock(apps.get_model("accounts", "Authenticator"), old)
    for old in static.objects.filter(confirmed=True).order_by("pk"):
        codes = token.objects.filter(device_id=old.pk).values_list("token", flat=True)
        carry_codes(apps, old, set(codes))
    drop(schema_editor)


def carry_clock(model, old):
    new = model(**{name: getattr(old, name) for name in [*COMMON, *CLOCK]})
    new.key = seal(Place.of(new, "key"), [old.user_id, old.key])
    new.save(force_insert=True)
    since(new, old)


def carry_codes(apps, old, codes):
    model = apps.get_model("accounts", "RecoveryCodes")
    new = model.objects.create(**{name: getattr(old, name) for name in COMMON})
    since(new, old)
    code = apps.get_model("accounts", "RecoveryCode")
    code.objects.bulk_create(code(device=new, digest=hash_recovery_code(old.user_id, one)) for one in codes)


def since(new, old):
    """An insert sets this column to now."""
    type(new).objects.filter(pk=new.pk).update(created_at=old.created_at)


def drop(schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        # Else what is deleted stays in the file until something is written over it.
        schema_editor.execute("PRAGMA secure_delete = ON")
    for table in (TOKEN, STATIC, TOTP):
        schema_editor.execute(f"DROP TABLE {table}")


def back(apps, schema_editor):
    """Only while nobody has a second factor: a hash is no code any more."""
    models = [apps.get_model("accounts", name) for name in ("Authenticator", "RecoveryCodes")]
    if any(model.objects.exists() for model in models):
        raise IrreversibleError("Staff have second factors, which earlier versions cannot read.")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_group_permissions"),
        ("vault", "0002_forgotten"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Authenticator",
            fields=[
                (
                    "name",
                    models.CharField(
                        help_text="The human-readable name of this device.", max_length=64
                    ),
                ),
                (
                    "confirmed",
                    models.BooleanField(default=True, help_text="Is this device ready for use?"),
                ),
                (
                    "throttling_failure_timestamp",
                    models.DateTimeField(
                        blank=True,
                        default=None,
                        help_text="A timestamp of the last failed verification attempt. Null if last attempt succeeded.",
                        null=True,
                    ),
                ),
                (
                    "throttling_failure_count",
                    models.PositiveIntegerField(
                        default=0, help_text="Number of successive failed attempts."
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        auto_now_add=True,
                        help_text="The date and time when this device was initially created in the system.",
                        null=True,
                    ),
                ),
                (
                    "last_used_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="The most recent date and time this device was used.",
                        null=True,
                    ),
                ),
                (
                    "id",
                    models.UUIDField(
                        default=common.db.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", vault.fields.SealedField()),
                ("step", models.PositiveSmallIntegerField(default=30)),
                ("t0", models.BigIntegerField(default=0)),
                ("digits", models.PositiveSmallIntegerField(default=6)),
                ("tolerance", models.PositiveSmallIntegerField(default=1)),
                ("drift", models.SmallIntegerField(default=0)),
                ("last_t", models.BigIntegerField(default=-1)),
                (
                    "user",
                    models.ForeignKey(
                        help_text="The user that this device belongs to.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="RecoveryCodes",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="The human-readable name of this device.", max_length=64
                    ),
                ),
                (
                    "confirmed",
                    models.BooleanField(default=True, help_text="Is this device ready for use?"),
                ),
                (
                    "throttling_failure_timestamp",
                    models.DateTimeField(
                        blank=True,
                        default=None,
                        help_text="A timestamp of the last failed verification attempt. Null if last attempt succeeded.",
                        null=True,
                    ),
                ),
                (
                    "throttling_failure_count",
                    models.PositiveIntegerField(
                        default=0, help_text="Number of successive failed attempts."
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        auto_now_add=True,
                        help_text="The date and time when this device was initially created in the system.",
                        null=True,
                    ),
                ),
                (
                    "last_used_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="The most recent date and time this device was used.",
                        null=True,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        help_text="The user that this device belongs to.",
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "set of recovery codes",
                "verbose_name_plural": "recovery codes",
            },
        ),
        migrations.CreateModel(
            name="RecoveryCode",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("digest", models.BinaryField(max_length=32)),
                (
                    "device",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="codes",
                        to="accounts.recoverycodes",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("device", "digest"), name="accounts_recovery_code"
                    )
                ],
            },
        ),
        migrations.RunPython(carry, back),
    ]
