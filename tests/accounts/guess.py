"""A process of its own that shows a code when told to: `python -m tests.accounts.guess USER CODE`."""

from __future__ import annotations

import sys

import django


def main(user: str, code: str) -> None:
    """Says `ready`, waits for a line, and says whether the code was taken."""
    django.setup()
    from django.contrib.auth.models import User
    from django_otp import match_token

    found = User.objects.get(pk=user)
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    print("taken" if match_token(found, code) else "refused", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
