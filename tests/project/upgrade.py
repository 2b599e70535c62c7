"""Upgrade the database of a former commit and look at it: a process of its own.

    python -m tests.project.upgrade VENDOR FOLDER

TEST_DATABASE_URL names the database, which holds the SQL of tests/data/upgrade/VENDOR.sql.gz. FOLDER
is for the spool and the provider files. Prints one JSON object with everything that was found.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from events.verbs import FORMER_VERBS

DATA = Path(__file__).parents[1] / "data" / "upgrade"


def upgrade(manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the migrations and return the results of the commands and of the API afterwards."""
    import django

    django.setup()
    from django.conf import settings
    from django.test.utils import setup_test_environment

    setup_test_environment()
    spool = _write_files(folder, manifest)
    settings.VAULT_KEYS = manifest["vault_keys"]
    settings.SPOOL_DIR = str(spool)
    settings.PROVIDERS_DIR = str(folder / "providers")
    migrated = _run("migrate", verbosity=0)
    from tests.api import ApiClient

    api = ApiClient(manifest["token"])
    return {
        "migrate": migrated,
        "verify_keys": _run("verify_keys"),
        "verify_events": _run("verify_events"),
        "secrets": {id: _reveal(api, id) for id in manifest["expected"]},
        "token": api.post(f"/v1/credentials/{manifest['spooled']['id']}/token").status_code,
        "spooled": _reveal(api, manifest["spooled"]["id"]),
        "spool": [file.name for file in spool.iterdir()],
        "statuses": {path: api.get(path).status_code for path in LISTS},
        "events": {verb: _count_events(api, verb) for verb in VERBS},
    }


LISTS = (
    "/v1/credentials",
    "/v1/oauth-apps",
    "/v1/webhook-endpoints",
    "/v1/connect-links",
    "/v1/events",
)
VERBS = (*FORMER_VERBS, *FORMER_VERBS.values())
"""The fixtures have events under the former words, which the filter must find under either word."""


def _write_files(folder: Path, manifest: dict[str, Any]) -> Path:
    """Write the spooled files and the provider files; return the spool's folder."""
    (folder / "providers").mkdir()
    for name, document in manifest["provider_files"].items():
        (folder / "providers" / name).write_text(json.dumps(document))
    spool = folder / "spool"
    spool.mkdir(mode=0o700)
    for name, content in manifest["spool"].items():
        (spool / name).write_bytes(base64.b64decode(content))
    return spool


def _run(command: str, **options: Any) -> dict[str, Any]:
    """Run a management command; return its exit code and what it printed."""
    from django.core.management import call_command

    output, errors = io.StringIO(), io.StringIO()
    code: Any = 0
    try:
        call_command(command, stdout=output, stderr=errors, **options)
    except SystemExit as end:
        code = end.code
    return {"code": code, "output": output.getvalue(), "errors": errors.getvalue()}


def _reveal(api: Any, id: str) -> dict[str, Any]:
    response = api.post(f"/v1/credentials/{id}/reveal", {"reason": "The upgrade's test."})
    body: dict[str, Any] = response.json()
    properties: dict[str, Any] = body.get("properties", body)
    return properties


def _count_events(api: Any, verb: str) -> int:
    return len(api.get(f"/v1/events?verb={verb}").json()["data"])


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    manifest = json.loads((DATA / f"{sys.argv[1]}.json").read_text())
    sys.stdout.write(json.dumps(upgrade(manifest, Path(sys.argv[2]))))
