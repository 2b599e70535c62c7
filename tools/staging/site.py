"""A temporary service: a database in a temporary folder and a server on loopback."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.ports import find_free_port

ROOT = Path(__file__).resolve().parents[2]
USER, PASSWORD = "ann", "correct horse battery"


@contextlib.contextmanager
def start_site() -> Iterator[str]:
    """Yield the URL of a running service with sample data. Delete all of it afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        port = find_free_port()
        os.environ.update(_build_environment(Path(folder), port))
        _fill_database()
        server = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(port)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(f"http://127.0.0.1:{port}/readyz")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(20)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Yield Debian's Chromium. Raise SystemExit if it is not installed."""
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("chromium is missing: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def log_in(browser: Any, site: str, **options: Any) -> Any:
    """Log in as a superuser and return the page."""
    page = browser.new_context(**options).new_page()
    page.goto(f"{site}/admin/")
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/admin/")
    return page


def _build_environment(folder: Path, port: int) -> dict[str, str]:
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
        "DEBUG": "1",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DATABASE_URL": f"sqlite:///{folder}/staging.sqlite3",
        "RATE_LIMITS": "0",
        "VAULT_KEYS": f"s1:{base64.b64encode(os.urandom(32)).decode()}",
        "VAULT_KEYS_FILE": "",
        # Otherwise each health note would say that no mail is sent.
        "EMAIL_URL": "console://",
        # The sample webhook endpoint, although nothing listens there.
        "EGRESS_ALLOW": "127.0.0.1:9",
    }


def _fill_database() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from tools.staging.data import fill

    fill(USER, PASSWORD)


def _wait_for(address: str) -> None:
    for _ in range(150):
        with contextlib.suppress(URLError, ConnectionError), urlopen(address):
            return
        time.sleep(0.2)
    raise SystemExit("The server did not start.")
