"""A separate process that tries a code on a signal: `python -m tests.accounts.guess USER CODE`."""

from __future__ import annotations

import sys

import django


def main(user: str, code: str) -> None:
    """Print `ready`, wait for a line, and print `accepted` or `rejected`."""
    django.setup()
    from django.contrib.auth.models import User
    from django_otp import match_token

    row = User.objects.get(pk=user)
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    print("accepted" if match_token(row, code) else "rejected", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
