"""The scopes of staff sessions: those of the user's groups, and never reveal or webhooks:write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from common import scopes

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_VIEWER: Final = frozenset(
    {
        scopes.CREDENTIALS_READ,
        scopes.OAUTH_APPS_READ,
        scopes.EVENTS_READ,
        scopes.WEBHOOKS_READ,
    }
)
_OPERATOR: Final = _VIEWER | {scopes.CREDENTIALS_WRITE, scopes.CREDENTIALS_USE}
_CUSTODIAN: Final = _OPERATOR | {scopes.OAUTH_APPS_WRITE}

GROUP_SCOPES: Final = {"Viewer": _VIEWER, "Operator": _OPERATOR, "Custodian": _CUSTODIAN}


def get_session_scopes(user: User) -> frozenset[str]:
    """Return the scopes of a user's sessions."""
    # Read at each request, so that leaving a group takes effect at once.
    if user.is_superuser:
        return _CUSTODIAN
    names = user.groups.values_list("name", flat=True)
    return frozenset().union(*(GROUP_SCOPES.get(name, frozenset()) for name in names))
