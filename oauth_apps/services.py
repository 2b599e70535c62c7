"""The only writers of OAuth apps: the API, the admin and the commands all come through here."""

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
from oauth_apps.validation import check_config, check_provider, check_redirect_uris, check_secret
from vault.sealing import Place, seal, unseal
from vault.services import compute_fingerprint
from webhooks.changes import record_change

SECRETS_LIVE: Final = 2
_COLUMNS: Final = ("name", "redirect_uris", "scopes", "config", "metadata")


class OAuthAppChanges(TypedDict, total=False):
    """What may change. A new `client_secret` keeps the one before until `drop_old_secret`."""

    name: str
    client_secret: str
    redirect_uris: list[str]
    scopes: list[str]
    config: dict[str, Any]
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
    metadata: dict[str, Any] | None = None,
) -> uuid.UUID:
    """Register an app and return its id.

    Raises Invalid, or Conflict with the other's id where (provider, client_id) is there already.
    """
    check_provider(provider)
    check_secret(client_secret)
    check_redirect_uris(redirect_uris or [])
    app = OAuthApp(
        account_id=account_id,
        provider=provider,
        name=name,
        client_id=client_id,
        redirect_uris=redirect_uris or [],
        scopes=scopes or [],
        config=check_config(provider, config or {}),
        metadata=metadata or {},
        health=build_unknown_health(db_now()),
    )
    try:
        with transaction.atomic():
            app.save(force_insert=True)
            _add_secret(app.id, account_id, client_secret)
            target = EventTarget("oauth_app", account_id, app.id)
            record_change(actor, target, "oauth_app.created")
    except IntegrityError:
        raise _taken(account_id, provider, client_id) from None
    return app.id


def oauth_app_update(
    *,
    account_id: uuid.UUID,
    id: uuid.UUID,
    actor: Actor,
    changes: OAuthAppChanges,
    if_match: ETags | None = None,
) -> None:
    """Apply what differs; nothing is written, and no event, where nothing does.

    Raises NotFound, Invalid, or PreconditionFailed where `if_match` names other revisions.
    """
    with transaction.atomic():
        app = _locked(account_id, id, if_match)
        if "config" in changes:
            changes = {**changes, "config": check_config(app.provider, changes["config"])}
        changed = _differing(app, changes)
        if not changed:
            return
        if "client_secret" in changed:
            _add_secret(id, account_id, changes["client_secret"])
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
    """Remove an app that no credential uses. Raises NotFound, or Conflict naming how many do.

    Conflict also while a connection that is under way holds a grant of the app's.
    """
    with transaction.atomic():
        app = _locked(account_id, id, if_match)
        if dependents := app.credentials.count():
            uses = "credential uses" if dependents == 1 else "credentials use"
            raise ConflictError(
                f"{dependents} {uses} this OAuth app; move or delete first.",
                extra={"credentials": dependents},
            )
        try:
            app.delete()
        except ProtectedError:
            raise ConflictError(
                "A connection is under way with this OAuth app; try again in ten minutes.",
                retry_after=600,
            ) from None
        record_change(actor, EventTarget("oauth_app", account_id, id), "oauth_app.deleted")


def oauth_app_reveal_secret(*, account_id: uuid.UUID, id: uuid.UUID, actor: Actor) -> str:
    """The newest client secret, opened. The event is committed before it is returned."""
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


def _locked(account_id: uuid.UUID, id: uuid.UUID, if_match: ETags | None) -> OAuthApp:
    app = OAuthApp.objects.select_for_update().filter(account_id=account_id, id=id).first()
    if app is None:
        raise NotFoundError()
    etags.check_if_match(app.revision, if_match)
    return app


def _differing(app: OAuthApp, changes: OAuthAppChanges) -> list[str]:
    """The names of what would change. Raises Invalid for what may not."""
    check_redirect_uris(changes.get("redirect_uris", []))
    differing: list[str] = []
    differing += [n for n in _COLUMNS if n in changes and not is_equal(changes[n], getattr(app, n))]
    if (secret := changes.get("client_secret")) is not None:
        check_secret(secret)
        newest = (
            app.secrets.order_by("-created_at", "-id").values_list("fingerprint", flat=True).first()
        )
        if newest != compute_fingerprint(app.account_id, secret):
            differing.append("client_secret")
    if changes.get("drop_old_secret") and ("client_secret" in differing or app.secrets.count() > 1):
        differing.append("old_client_secret")
    return differing


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


def _taken(account_id: uuid.UUID, provider: str, client_id: str) -> ConflictError:
    other = OAuthApp.objects.filter(
        account_id=account_id, provider=provider, client_id=client_id
    ).first()
    extra = {"id": str(other.id)} if other else {}
    return ConflictError(
        "There is an OAuth app with this provider and client_id already.", extra=extra
    )


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
    """Register the app, or update the one with this provider and client_id: created|updated|unchanged.

    Fields that are absent keep what is stored; a secret that is live already is no change. A
    `dry_run` writes nothing. Raises Invalid.
    """
    with transaction.atomic():
        try:
            app = OAuthApp.objects.get(
                account_id=account_id, provider=provider, client_id=client_id
            )
            before, result = app.revision, "updated"
            changes = cast(OAuthAppChanges, fields)
            if not _is_live(app, client_secret):
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


def _is_live(app: OAuthApp, secret: str) -> bool:
    return app.secrets.filter(fingerprint=compute_fingerprint(app.account_id, secret)).exists()
