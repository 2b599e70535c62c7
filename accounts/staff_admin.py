"""Django's pages of users and groups, without what only logging in may write.

Nor with its two-column boxes, which name no control for a screen reader and need JavaScript.
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
