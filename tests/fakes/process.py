"""Roles that run in their own process: `python -m tests.fakes.process ROLE JSON` prints JSON.

The points at which a process is killed are patched in here; the product has no hook for them.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def set_up(config: dict[str, Any]) -> None:
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = config["database"]
    for name, value in config["settings"].items():
        setattr(settings, name, value)
    django.setup()


def readers(config: dict[str, Any]) -> list[str]:
    """Read the tokens of `ids` in `threads` threads; return each token, or the error's code."""
    from django.db import connection

    from common.actors import Actor
    from common.errors import ServiceError
    from credentials.refresh import get_fresh_token

    actor = Actor(name="reader")
    account_id = uuid.UUID(config["account"])

    def read(number: int) -> str:
        id = uuid.UUID(config["ids"][number % len(config["ids"])])
        try:
            fresh = get_fresh_token(
                account_id=account_id, id=id, actor=actor, force=config.get("force", False)
            )
            return fresh.access_token.expose()
        except ServiceError as problem:
            return str(problem.extra.get("code") or problem.status)
        finally:
            connection.close()

    with ThreadPoolExecutor(config["threads"]) as pool:
        wait_for_go()
        return list(pool.map(read, range(config["threads"])))


def importers(config: dict[str, Any]) -> list[str]:
    """`threads` threads import the same body at once."""
    from django.db import connection

    from common.actors import Actor
    from common.errors import ServiceError
    from credentials.services.crud import credential_import

    def store(number: int) -> str:
        try:
            outcome = credential_import(
                account_id=uuid.UUID(config["account"]),
                actor=Actor(name="importer"),
                body=config["body"],
            )
            return outcome.result
        except ServiceError as problem:
            return str(problem.extra.get("code") or problem.status)
        finally:
            connection.close()

    with ThreadPoolExecutor(config["threads"]) as pool:
        wait_for_go()
        return list(pool.map(store, range(config["threads"])))


def revealers(config: dict[str, Any]) -> list[str]:
    """`threads` threads reveal the credential `id` at once, all for one member of staff."""
    from django.db import connection

    from common.actors import Actor
    from common.errors import TooManyRequestsError
    from credentials.services.reveal import credential_reveal

    def reveal(_: int) -> str:
        try:
            credential_reveal(
                account_id=uuid.UUID(config["account"]),
                id=uuid.UUID(config["id"]),
                actor=Actor(name="user:1"),
                reason="A ticket",
            )
            return "shown"
        except TooManyRequestsError:
            return "refused"
        finally:
            connection.close()

    with ThreadPoolExecutor(config["threads"]) as pool:
        wait_for_go()
        return list(pool.map(reveal, range(config["threads"])))


def confirmer(config: dict[str, Any]) -> str:
    """Confirms the import `id` of the staff member `actor`."""
    from common.actors import Actor
    from common.errors import ServiceError
    from credentials.imports.admin_services import import_draft_run

    wait_for_go()
    try:
        import_draft_run(id=uuid.UUID(config["id"]), actor=Actor(name=config["actor"]))
        return "imported"
    except ServiceError as problem:
        return problem.detail


def worker(config: dict[str, Any]) -> str:
    """The command itself, in this process's main thread."""
    from django.core.management import call_command

    crash_at(config.get("crash"))
    print("ready", flush=True)  # noqa: T201
    call_command("worker", concurrency=config.get("concurrency", 8), once=config.get("once", False))
    return "stopped"


def crash(config: dict[str, Any]) -> list[str]:
    """A reader that kills itself at the point that `crash` names."""
    crash_at(config["crash"])
    return readers({**config, "threads": 1})


def wait_for_go() -> None:
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()


def crash_at(point: str | None) -> None:
    """SIGKILL at one of: before_send, after_send, after_receipt, before_commit, after_commit."""
    if point is None:
        return
    from credentials.refresh import attempt, token_storage

    call, store, succeeded = (
        attempt.call_provider,
        token_storage.store_token_update,
        token_storage.store_success,
    )

    def die(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def dying_call(claim: Any, client: Any, secrets: Any) -> Any:
        if point == "before_send":
            die()
        if point == "after_send":
            # The provider has the request; its response arrives after this process has died.
            threading.Timer(0.25, die).start()
        tokens = call(claim, client, secrets)
        if point == "after_receipt":
            die()
        return tokens

    def dying_store(*args: Any, **more: Any) -> Any:
        stored = store(*args, **more)
        if point == "before_commit":
            die()
        return stored

    def dying_succeeded(claim: Any, update: Any) -> bool:
        stored = succeeded(claim, update)
        if point == "after_commit":
            die()
        return stored

    attempt.call_provider = dying_call
    token_storage.store_token_update = dying_store
    token_storage.store_success = dying_succeeded


ROLES = {
    "readers": readers,
    "importers": importers,
    "revealers": revealers,
    "confirmer": confirmer,
    "worker": worker,
    "crash": crash,
}

if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    set_up(given)
    print(json.dumps(ROLES[sys.argv[1]](given)))  # noqa: T201
