"""Banners on every page of the admin: what staff have to know before anything else."""

from __future__ import annotations

from django.http import HttpRequest

from credentials.notifications.delivery_errors import find_mail_trouble
from credentials.restore.services import find_undecided_restore


def build_banners(request: HttpRequest) -> list[str]:
    """Return the sentences to display, none for users who may not view credentials."""
    if not request.user.has_perm("credentials.view_credential"):
        return []
    banners = []
    if restore := find_undecided_restore():
        banners.append(
            f"The database was restored to its state of {restore.restored_to:%Y-%m-%d %H:%M} UTC. Grants"
            " that providers may have replaced since are not refreshed until you decide: import fresh"
            " ones, or run manage.py restored --resume."
        )
    if trouble := find_mail_trouble():
        reason = f" ({trouble.error})" if trouble.error else ""
        banners.append(
            f"The mail server has not accepted mails since {trouble.since:%Y-%m-%d %H:%M} UTC{reason}."
            " They are retried. Check EMAIL_URL."
        )
    return banners
