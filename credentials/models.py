from __future__ import annotations

from django.db import models
from django.db.models.fields.json import KeyTextTransform

from accounts.models import Account
from common.db.clock import DbNow
from common.db.ids import uuid7
from oauth_apps.models import OAuthApp
from vault.fields import SealedField


class Credential(models.Model):
    """A credential for one upstream account.

    `properties` is stored as the API returns it, with a mask for each secret. The secrets are one
    encrypted JSON object in `secrets`, so a list decrypts and computes nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    oauth_app = models.ForeignKey(
        OAuthApp, models.PROTECT, null=True, related_name="credentials", db_index=False
    )
    provider = models.CharField(max_length=72)
    name = models.CharField(max_length=200, blank=True)
    owner_email = models.CharField(max_length=254, blank=True)
    external_id = models.CharField(max_length=255, blank=True)
    properties = models.JSONField()
    metadata = models.JSONField(default=dict)
    health = models.JSONField()
    kind = models.GeneratedField(
        expression=KeyTextTransform("kind", "properties"),
        output_field=models.CharField(max_length=64),
        db_persist=True,
    )
    health_status = models.GeneratedField(
        expression=KeyTextTransform("status", "health"),
        output_field=models.CharField(max_length=16),
        db_persist=True,
    )
    secrets = SealedField(null=True)
    fingerprints = models.JSONField(default=dict)
    """{secret field: [current, imported, former ones]}, see core/grant_state.py: keyed hashes."""
    identity = models.BinaryField(max_length=32)
    """The upstream account as a keyed hash (vault.services.compute_identity)."""
    obtained_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    grant = models.ForeignKey(
        "Grant", models.PROTECT, null=True, related_name="credentials", db_index=False
    )
    """Null for kinds that have nothing to refresh."""
    revision = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)
    updated_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "identity"], name="credential_identity"),
        ]
        # Ids are ordered by time, so a list, newest first, reads one index backwards.
        indexes = [
            models.Index(fields=["account", "id"], name="credential_newest"),
            models.Index(fields=["account", "provider", "id"], name="credential_provider"),
            models.Index(fields=["account", "kind", "id"], name="credential_kind"),
            models.Index(fields=["account", "health_status", "id"], name="credential_health"),
            models.Index(fields=["oauth_app", "id"], name="credential_oauth_app"),
            models.Index(fields=["account", "expires_at"], name="credential_expires"),
            models.Index(
                fields=["grant"],
                condition=models.Q(grant__isnull=False),
                name="credential_of_grant",
            ),
            models.Index(
                fields=["account", "owner_email", "id"],
                condition=models.Q(owner_email__gt=""),
                name="credential_owner",
            ),
            models.Index(
                fields=["account", "external_id", "id"],
                condition=models.Q(external_id__gt=""),
                name="credential_external_id",
            ),
            # The lists of staff are not limited to one account.
            models.Index(fields=["provider", "id"], name="credential_all_provider"),
            models.Index(fields=["kind", "id"], name="credential_all_kind"),
            models.Index(fields=["health_status", "id"], name="credential_all_health"),
            models.Index(
                fields=["expires_at", "id"],
                condition=models.Q(expires_at__isnull=False),
                name="credential_all_expires",
            ),
        ]
        permissions = [
            ("use_credential", "Can check and refresh credentials"),
            ("rotate_credential", "Can give credentials new secrets"),
            ("import_credential", "Can import files of credentials"),
            ("export_credential", "Can export credentials"),
            ("reveal_credential", "Can see secrets"),
        ]

    def __str__(self) -> str:
        return self.name or str(self.properties.get("name") or self.id)


class Grant(models.Model):
    """A grant of a provider, and the state of its refreshes: one row for each refresh token.

    A narrow row of its own, because a refresh would otherwise write every index of the credential.
    Several credentials may share a grant that serves several upstream accounts. credentials/refresh
    writes the row; an import, a rotation or staff can only reset or end the grant
    (credentials/core/grant_state.py). The defaults are the database's, because imports insert
    without the ORM.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    oauth_app = models.ForeignKey(
        OAuthApp, models.PROTECT, null=True, related_name="+", db_index=False
    )
    """The app of its credentials, for the worker's search of due grants."""
    generation = models.PositiveIntegerField(db_default=0)
    """The number of grants so far: each refresh and each import of another grant adds one."""
    previous = SealedField(null=True, place=("credentials_credential", "previous"))
    """{"refresh_token": …} of the former generation, as long as the provider may still accept it."""
    lease_owner = models.CharField(max_length=64, db_default="")
    lease_until = models.DateTimeField(null=True)
    """Until then only the process `lease_owner` may refresh the grant."""
    lease_renewed_at = models.DateTimeField(null=True)
    """The last time at which that process renewed the lease."""
    state = models.CharField(max_length=16, db_default="active")
    """active, needs_reauth (the provider rejects the grant) or paused (it cannot be decrypted)."""
    unknowns = models.PositiveIntegerField(db_default=0)
    """Attempts with this generation without a known outcome, without the one that has the lease."""
    in_doubt_since = models.DateTimeField(null=True)
    """The claim of the first of these attempts, or of the one that has the lease."""
    failures = models.PositiveIntegerField(db_default=0)
    failing_since = models.DateTimeField(null=True)
    rejected_since = models.DateTimeField(null=True)
    """The first of the rejections of this grant alone whose reason is not known."""
    last_at = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)
    """The time at which the worker refreshes the grant. Null: never. A leased grant is due."""
    error = models.CharField(max_length=64, db_default="")
    on_hold = models.BooleanField(db_default=False)
    """On hold: nothing refreshes it, because another system does."""

    class Meta:
        constraints = [
            # An abandoned lease is found among the due grants.
            models.CheckConstraint(
                condition=models.Q(lease_until__isnull=True) | models.Q(next_at__isnull=False),
                name="grant_leased_is_due",
            ),
        ]
        # A claim changes no column of an index, so that PostgreSQL can update in place (HOT).
        indexes = [
            models.Index(
                fields=["oauth_app", "next_at"],
                condition=models.Q(on_hold=False),
                name="grant_free_due",
            ),
            models.Index(
                fields=["next_at"],
                condition=models.Q(next_at__isnull=False, on_hold=False),
                name="grant_free_next",
            ),
            models.Index(
                fields=["account"], condition=models.Q(on_hold=True), name="grant_on_hold"
            ),
            models.Index(
                fields=["account", "state"],
                condition=models.Q(state__in=["needs_reauth", "paused"]),
                name="grant_ended",
            ),
            models.Index(
                fields=["account"], condition=models.Q(unknowns__gt=0), name="grant_in_doubt"
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class CredentialUse(models.Model):
    """The last use of a credential, by the proxy or by handing out its token or secrets.

    A table of its own, so that a use never waits for the row lock of a refresh.
    """

    credential = models.OneToOneField(
        Credential, models.CASCADE, primary_key=True, related_name="use"
    )
    last_used_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.credential_id)


class CredentialAlias(models.Model):
    """An identity that a credential had before a rotation. Imports find the credential by it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    credential = models.ForeignKey(Credential, models.CASCADE, related_name="aliases")
    identity = models.BinaryField(max_length=32)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "identity"], name="credential_alias"),
        ]

    def __str__(self) -> str:
        return str(self.credential_id)


class OrganisationMember(models.Model):
    """A credential of a person of an organisation, by the identity that the organisation has.

    An import that names the organisation alone finds by it whose credentials there are.
    """

    credential = models.OneToOneField(
        Credential, models.CASCADE, primary_key=True, related_name="membership"
    )
    account = models.ForeignKey(
        Account, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    organisation = models.BinaryField(max_length=32)

    class Meta:
        indexes = [models.Index(fields=["account", "organisation"], name="organisation_members")]

    def __str__(self) -> str:
        return str(self.credential_id)


class KnownRefreshToken(models.Model):
    """A refresh token that a credential has or had, by its fingerprint. See core/refresh_tokens.py.

    Its key decides which of two processes that import one token at once has it. The key needs no
    account, because equal secrets of two accounts have unrelated fingerprints.
    """

    fingerprint = models.UUIDField(primary_key=True)
    """The 16 bytes of the fingerprint. As text it would have two indexes."""
    account = models.ForeignKey(
        Account, models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    credential = models.ForeignKey(Credential, models.CASCADE, related_name="known_refresh_tokens")

    def __str__(self) -> str:
        return str(self.credential_id)


class Reveal(models.Model):
    """A reveal of a credential's secrets: the actor and the reason. Rows are never changed.

    `credential_id` is not a foreign key, as the row outlives the credential.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_index=False)
    credential_id = models.UUIDField()
    actor = models.CharField(max_length=160)
    reason = models.CharField(max_length=500)
    time = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["actor", "time"], name="reveal_actor_time"),
            models.Index(fields=["account", "credential_id"], name="reveal_credential"),
        ]

    def __str__(self) -> str:
        return str(self.credential_id)


class Revocation(models.Model):
    """A grant of a deleted credential, until the worker has revoked it at the provider.

    `sealed` has the tokens. They are cleared once they are revoked, or after 7 days.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="+")
    oauth_app = models.ForeignKey(OAuthApp, models.SET_NULL, null=True, related_name="+")
    credential_id = models.UUIDField()
    kind = models.CharField(max_length=64)
    properties = models.JSONField()
    sealed = SealedField(null=True)
    attempts = models.PositiveIntegerField(db_default=0)
    next_at = models.DateTimeField(db_default=DbNow())
    lease_owner = models.CharField(max_length=64, db_default="")
    lease_until = models.DateTimeField(null=True)
    fencing_number = models.PositiveIntegerField(db_default=0, db_column="fencing")
    """Each claim adds one. A process with an older number has lost the row."""
    last_error = models.CharField(max_length=200, db_default="")
    done_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=DbNow(), editable=False)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_at"],
                condition=models.Q(done_at__isnull=True),
                name="revocation_due",
            ),
        ]

    def __str__(self) -> str:
        return str(self.credential_id)


class AppPause(models.Model):
    """A pause of an OAuth app that its provider rejects, or the suspicion that it does.

    See credentials/refresh/app_pauses.py.

    The app is paused until `until`. Void once the app is changed (`revision` differs from its own).
    """

    oauth_app = models.OneToOneField(
        OAuthApp, models.CASCADE, primary_key=True, related_name="refresh_pause"
    )
    revision = models.PositiveIntegerField()
    until = models.DateTimeField()
    code = models.CharField(max_length=64)
    credential_id = models.UUIDField(null=True)
    """The credential whose refresh was rejected first. It may be gone, so it is no foreign key."""
    rejected_at = models.DateTimeField(null=True)
    """The time of that rejection."""
    pauses = models.PositiveSmallIntegerField(db_default=0)
    """The number of pauses in a row: each is twice as long as the one before."""

    def __str__(self) -> str:
        return str(self.oauth_app_id)
