"""The writers of OAuth apps, for the API, the admin and the commands."""

from __future__ import annotations

import uuid
from typing import Any, Final, TypedDict, cast

from django.db import IntegrityError, transaction
from django.db.models import F, ProtectedError

from common.actors import Actor
from common.api import etags
from common.api.etags import ETags
from common.db.clock import DbNow, db_now
from common.db.ids import uuid7
from common.errors import ConflictError, NotFoundError
from common.health import build_unknown_health
from common.strict_json import is_equal
from events.services import EventTarget, record_event
from oauth_apps.models import OAuthApp, OAuthAppSecret
from oauth_apps.validation import (
    check_authorize_params,
    check_config,
    check_provider,
    check_redirect_uris,
    clean_client_id,
    clean_client_secret,
)
from vault.sealing import Place, seal, unseal
from vault.services import compute_fingerprint
from webhooks.outbox import record_change

SECRETS_LIVE: Final = 2
_COLUMNS: Final = ("name", "redirect_uris", "scopes", "config", "authorize_params", "metadata")


class OAuthAppChanges(TypedDict, total=False):
    """The fields that may change. The former `client_secret` is kept until `drop_old_secret`."""

    name: str
    client_secret: str
    redirect_uris: list[str]
    scopes: list[str]
    config: dict[str, Any]
    authorize_params: dict[str, Any]
    metadata: dict[str, Any]
    drop_old_secret: bool


def oauth_app_create(
    *,
    account_id: uuid.UUID,
    actor: Actor,
    provider: str,
    name: str,
    client_id: str,
    client_secret: str,
    redirect_uris: list[str] | None = None,
    scopes: list[str] | None = None,
    config: dict[str, Any] | None = None,
    authorize_params: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
) -> uuid.UUID:
    """Register an app and return its id.

    Raises InvalidInputError, or ConflictError with the id of the app that has the same provider and
    client_id.
    """
    check_provider(provider)
    client_id = clean_client_id(client_id)
    client_secret = clean_client_secret(provider, client_secret)
    check_redirect_uris(redirect_uris or [])
    app = OAuthApp(
        account_id=account_id,
        provider=provider,
        name=name,
        client_id=client_id,
        redirect_uris=redirect_uris or [],
        scopes=scopes or [],
        config=check_config(provider, config or {}),
        authorize_params=check_authorize_params(provider, authorize_params or {}),
        metadata=metadata or {},
        health=build_unknown_health(db_now()),
    )
    try:
        # The unique constraint decides between concurrent requests, not a query before.
        with transaction.atomic():
            app.save(force_insert=True)
            _add_secret(app.id, account_id, client_secret)
            target = EventTarget("oauth_app", account_id, app.id)
            record_change(actor, target, "oauth_app.created")
    except IntegrityError:
        other = OAuthApp.objects.filter(
            account_id=account_id, provider=provider, client_id=client_id
        ).first()
        raise ConflictError(
            "There is an OAuth app with this provider and client_id already.",
            extra={"id": str(other.id)} if other else {},
        ) from None
    return app.id


def oauth_app_update(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    changes: OAuthAppChanges,
    if_match: ETags | None = None,
) -> None:
    """Apply the changes that differ; write nothing, and record no event, if none does.

    Raises NotFoundError, InvalidInputError, or PreconditionFailedError if `if_match` has no matching
    revision.
    """
    with transaction.atomic():
        app = _lock_app(account_id, id, if_match)
        if "config" in changes:
            changes = {**changes, "config": check_config(app.provider, changes["config"])}
        if "client_secret" in changes:
            secret = clean_client_secret(app.provider, changes["client_secret"], replaces=True)
            changes = {**changes, "client_secret": secret}
        if "authorize_params" in changes:
            params = check_authorize_params(app.provider, changes["authorize_params"])
            changes = {**changes, "authorize_params": params}
        changed = _find_changes(app, changes)
        if not changed:
            return
        if "client_secret" in changed:
            _add_secret(id, account_id, changes["client_secret"])
        # After the new secret was added, so that the newest of all is the one that stays.
        if changes.get("drop_old_secret"):
            _keep_newest(id, 1)
        columns: dict[str, Any] = {name: changes[name] for name in _COLUMNS if name in changed}
        OAuthApp.objects.filter(id=id).update(
            **columns, revision=F("revision") + 1, updated_at=DbNow()
        )
        record_change(actor, EventTarget("oauth_app", account_id, id), "oauth_app.updated", changed)


def oauth_app_delete(
    *, account_id: uuid.UUID, id: uuid.UUID, actor: Actor, if_match: ETags | None = None
) -> None:
    """Delete an app that no credential uses.

    Raises NotFoundError, or ConflictError with the number of credentials that use it, or while an
    authorization flow has a grant of the app.
    """
    with transaction.atomic():
        app = _lock_app(account_id, id, if_match)
        if dependents := app.credentials.count():
            uses = "credential uses" if dependents == 1 else "credentials use"
            raise ConflictError(
                f"{dependents} {uses} this OAuth app. Delete them or change their app first.",
                extra={"credentials": dependents},
            )
        try:
            app.delete()
        except ProtectedError:
            raise ConflictError(
                "A connection with this OAuth app is in progress. Try again in ten minutes.",
                retry_after=600,
            ) from None
        record_change(actor, EventTarget("oauth_app", account_id, id), "oauth_app.deleted")


def oauth_app_reveal_secret(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> str:
    """Return the newest client secret, decrypted, after its event was committed."""
    with transaction.atomic():
        newest = OAuthAppSecret.objects.filter(account_id=account_id, app_id=id).order_by(
            "-created_at", "-id"
        )
        row = newest.first()
        if row is None:
            raise NotFoundError()
        secret: str = unseal(Place.of(row, "sealed"), row.sealed)
        target = EventTarget("oauth_app", account_id, id)
        record_event(actor, target, "oauth_app.revealed", ["client_secret"])
    return secret


def _lock_app(account_id: uuid.UUID, id: uuid.UUID, if_match: ETags | None) -> OAuthApp:
    app = OAuthApp.objects.select_for_update().filter(account_id=account_id, id=id).first()
    if app is None:
        raise NotFoundError()
    etags.check_if_match(app.revision, if_match)
    return app


def _find_changes(app: OAuthApp, changes: OAuthAppChanges) -> list[str]:
    """Return the names of the fields that differ. Raises InvalidInputError."""
    check_redirect_uris(changes.get("redirect_uris", []))
    names: list[str] = []
    names += [n for n in _COLUMNS if n in changes and not is_equal(changes[n], getattr(app, n))]
    if (secret := changes.get("client_secret")) is not None:
        newest = (
            app.secrets.order_by("-created_at", "-id").values_list("fingerprint", flat=True).first()
        )
        if newest != compute_fingerprint(app.account_id, secret):
            names.append("client_secret")
    if changes.get("drop_old_secret") and ("client_secret" in names or app.secrets.count() > 1):
        names.append("old_client_secret")
    return names


def _add_secret(app_id: uuid.UUID, account_id: uuid.UUID, secret: str) -> None:
    row = OAuthAppSecret(
        id=uuid7(),
        account_id=account_id,
        app_id=app_id,
        fingerprint=compute_fingerprint(account_id, secret),
    )
    row.sealed = seal(Place.of(row, "sealed"), secret)
    row.save(force_insert=True)
    _keep_newest(app_id, SECRETS_LIVE)


def _keep_newest(app_id: uuid.UUID, count: int) -> None:
    live = OAuthAppSecret.objects.filter(app_id=app_id).order_by("-created_at", "-id")
    OAuthAppSecret.objects.filter(id__in=list(live.values_list("id", flat=True))[count:]).delete()


def oauth_app_upsert(
    *,
    account_id: uuid.UUID,
    actor: Actor,
    provider: str,
    client_id: str,
    client_secret: str,
    dry_run: bool = False,
    **fields: Any,
) -> str:
    """Register the app, or update the one with the same provider and client_id.

    Return created, updated or unchanged. Missing fields keep what is stored; a secret that is one of
    the stored ones is no change. A `dry_run` writes nothing. Raises InvalidInputError.
    """
    with transaction.atomic():
        try:
            app = OAuthApp.objects.get(
                account_id=account_id, provider=provider, client_id=client_id
            )
            before, result = app.revision, "updated"
            changes = cast(OAuthAppChanges, fields)
            fingerprint = compute_fingerprint(account_id, client_secret)
            if not app.secrets.filter(fingerprint=fingerprint).exists():
                changes["client_secret"] = client_secret
            oauth_app_update(account_id=account_id, id=app.id, actor=actor, changes=changes)
            app.refresh_from_db(fields=["revision"])
            if app.revision == before:
                result = "unchanged"
        except OAuthApp.DoesNotExist:
            result = "created"
            oauth_app_create(
                account_id=account_id,
                actor=actor,
                provider=provider,
                client_id=client_id,
                client_secret=client_secret,
                **fields,
            )
        transaction.set_rollback(dry_run)
    return result
