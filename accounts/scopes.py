"""Which scopes a staff session has: those of the user's groups, and never reveal or webhooks:write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from common import scopes

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_READ: Final = frozenset(
    {scopes.CREDENTIALS_READ, scopes.OAUTH_APPS_READ, scopes.EVENTS_READ, scopes.WEBHOOKS_READ}
)
_OPERATE: Final = _READ | {scopes.CREDENTIALS_WRITE, scopes.CREDENTIALS_USE}
_KEEP: Final = _OPERATE | {scopes.OAUTH_APPS_WRITE}

GROUP_SCOPES: Final = {"Viewer": _READ, "Operator": _OPERATE, "Custodian": _KEEP}


def get_session_scopes(user: User) -> frozenset[str]:
    """The scopes of `user`'s sessions, read now, so that leaving a group takes effect at once."""
    if user.is_superuser:
        return _KEEP
    names = user.groups.values_list("name", flat=True)
    return frozenset().union(*(GROUP_SCOPES.get(name, frozenset()) for name in names))
