"""Django's pages of users and groups. The dates that a login writes are read-only.

Django's two-column selects are replaced: they have no names for screen readers and need JavaScript.
"""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User

from common.admin.model_admin import RowActionsAdmin

admin.site.unregister([Group, User])


@admin.register(User)
class PlainUserAdmin(RowActionsAdmin[User], UserAdmin[User]):
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")


@admin.register(Group)
class PlainGroupAdmin(RowActionsAdmin[Group], GroupAdmin):
    filter_horizontal = ()
