"""The command `remove_second_factor`."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.second_factor import second_factor_remove
from common.actors import get_command_actor


class Command(BaseCommand):
    help = (
        "Remove the second factor of a staff user who lost it, if no superuser can do so in the admin."
        " The password alone is then enough to log in. Recorded in the audit log of every account."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise CommandError(f"There is no user {username!r}.", returncode=2)
        removed = second_factor_remove(user=user, actor=get_command_actor("remove_second_factor"))
        self.stdout.write("removed" if removed else "there was none")
