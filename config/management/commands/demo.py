from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Account
from accounts.services import account_create, token_create
from common import scopes
from common.actors import get_command_actor
from config.demo import import_sample_data
from config.demo_history import simulate_history

ACTOR = get_command_actor("demo")
MANAGE_PY = "DEBUG=1 VAULT_KEYS_FILE=var/vault.keys .venv/bin/python manage.py"
HELP_TEXT = f"""
A new token      {MANAGE_PY} create_token --account demo --name mine --scopes {",".join(scopes.ALL)}
A new password   {MANAGE_PY} changepassword admin
"""


class Command(BaseCommand):
    help = "Create a demo account with credentials, a token and a login. Needs DEBUG and an empty database."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="for the printed addresses")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "demo needs DEBUG=1: its token and password are printed.", returncode=2
            )
        address = f"http://127.0.0.1:{options['port']}"
        if Account.objects.exists():
            self.stdout.write(
                f"The database has accounts already. Admin: {address}/admin/\n{HELP_TEXT}"
            )
            return
        account = account_create(name="Demo", actor=ACTOR)
        credentials, providers = import_sample_data(account_id=account.id, actor=ACTOR)
        simulate_history(account_id=account.id, actor=ACTOR)
        _, token = token_create(account_id=account.id, name="demo", scopes=scopes.ALL, actor=ACTOR)
        password = secrets.token_urlsafe(12)
        User.objects.create_superuser("admin", password=password)
        self.stdout.write(
            f"Account demo: {credentials} credentials of {providers} providers.\n\n"
            f"Token   {token}\n"
            f"Admin   {address}/admin/  user admin  password {password}\n"
            f"Docs    {address}/docs\n\n"
            f"curl -H 'Authorization: Bearer {token}' '{address}/v1/credentials?limit=3'\n"
        )
