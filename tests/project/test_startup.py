"""A start with a bad configuration fails with one line that names the variable and what to do."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env
from config.server_options import require_free_port
from config.startup import verify_startup

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
KEY = base64.b64encode(b"7" * 32).decode()
OTHER = base64.b64encode(b"8" * 32).decode()


def manage(*args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=ROOT,
        env={**clean, "DEBUG": "1", "SECRET_KEY": "s" * 50, **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    """Return the URL of a migrated database that is encrypted with KEY under the id k1."""
    url = f"sqlite:///{tmp_path_factory.mktemp('db')}/db.sqlite3"
    code = (
        "from django.core.management import call_command; call_command('migrate', verbosity=0);"
        "from config.startup import verify_startup; verify_startup()"
    )
    done = manage("shell", "-v", "0", "-c", code, DATABASE_URL=url, VAULT_KEYS=f"k1:{KEY}")
    assert done.returncode == 0, done.stderr
    return url


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ("", "VAULT_KEYS is missing"),
        ("k1:!!", "k1 is not base64"),
        ("k1:c2hvcnQ=", "k1 has 5 bytes, not 32"),
        (f"k1:{OTHER}", "k1 is not the one this database was sealed with"),
        (f"k2:{KEY}", "k1 is missing"),
    ],
)
def test_wrong_keys_fail_in_one_line(database, keys, named):
    done = manage("serve", "--port", "1", DATABASE_URL=database, VAULT_KEYS=keys)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert KEY not in done.stderr
    assert OTHER not in done.stderr


def test_an_unavailable_database_fails_in_one_line():
    url = "postgresql://u:canary@127.0.0.1:1/x"
    done = manage("serve", DATABASE_URL=url, VAULT_KEYS=f"k1:{KEY}")
    assert done.returncode == 2
    assert done.stderr.startswith("latchkey: DATABASE_URL: the database is unavailable")
    assert done.stderr.count("\n") == 1
    assert "canary" not in done.stderr


@pytest.mark.parametrize("command", ["serve", "serve_proxy"])
def test_a_port_in_use_fails_in_one_line_even_if_it_is_shared(database, command):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = manage(command, "--port", port, DATABASE_URL=database, VAULT_KEYS=f"k1:{KEY}")
    assert done.returncode == 2
    assert done.stderr == f"latchkey: Port {port} is taken; --port chooses another.\n"


def test_a_port_with_lingering_connections_is_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        # The server's side closes first, so the connection lingers there.
        server.accept()[0].close()
        client.close()
    require_free_port("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)) as again:
        assert again.getsockname()[1] == port


def test_an_address_of_another_machine_fails():
    with pytest.raises(ImproperlyConfigured, match=r"listen on 192\.0\.2\.9, port 8000"):
        require_free_port("192.0.2.9", 8000)


def test_production_has_no_defaults():
    done = manage("check", DEBUG="0")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "PUBLIC_URL is missing" in done.stderr


@pytest.mark.parametrize(
    "url",
    ["keys.example.com", "https://", "ftp://a.example", "https://a.example:99999", "https://[::1"],
)
def test_a_public_url_without_a_scheme_or_host_is_rejected(monkeypatch, url):
    monkeypatch.setenv("PUBLIC_URL", url)
    with pytest.raises(ImproperlyConfigured, match="PUBLIC_URL is not an https:// address"):
        env.read_public_url(default="")


@pytest.mark.parametrize("end", ["/latchkey", "?a=1", "?", "#"])
def test_a_public_url_with_a_path_is_rejected(monkeypatch, end):
    monkeypatch.setenv("PUBLIC_URL", f"https://u:canary@corp.example{end}")
    with pytest.raises(ImproperlyConfigured, match="PUBLIC_URL must not have a path") as error:
        env.read_public_url(default="")
    assert "canary" not in str(error.value)


@pytest.mark.parametrize("url", ["https://a.example", "http://127.0.0.1:8000", "https://[::1]:8"])
def test_a_public_url_loses_the_slash_at_its_end(monkeypatch, url):
    monkeypatch.setenv("PUBLIC_URL", f" {url}/")
    assert env.read_public_url(default="") == url


def test_a_public_url_with_a_path_fails_in_one_line():
    done = manage("check", PUBLIC_URL="https://corp.example/latchkey")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("latchkey: PUBLIC_URL must not have a path")


@pytest.mark.parametrize(
    "url", ["", "postgres", "mysql://h/db", "postgresql://", "://", "sqlite://["]
)
def test_a_bad_database_url_explains_the_format(url):
    with pytest.raises(ImproperlyConfigured, match=r"DATABASE_URL.*write postgresql://"):
        env.parse_database_url(url)


def test_a_bad_database_url_is_not_repeated():
    with pytest.raises(ImproperlyConfigured) as error:
        env.parse_database_url("nosuch://user:canary@host/db")
    assert "canary" not in str(error.value)


@pytest.mark.parametrize("value", ["maybe", "2", "yess"])
def test_an_invalid_boolean_is_rejected(monkeypatch, value):
    monkeypatch.setenv("DEBUG", value)
    with pytest.raises(ImproperlyConfigured, match="DEBUG must be 1 or 0"):
        env.read_boolean("DEBUG", default=False)


def test_a_short_secret_key_is_rejected(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "short")
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is too short"):
        env.read_secret_key(debug=True, folder=ROOT)


def test_debug_generates_one_secret_key_and_stores_it(monkeypatch, tmp_path):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    first = env.read_secret_key(debug=True, folder=tmp_path)
    assert env.read_secret_key(debug=True, folder=tmp_path) == first
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0


def test_an_invalid_egress_allow_fails(settings):
    settings.EGRESS_ALLOW = "*.example.com"
    with pytest.raises(ImproperlyConfigured, match="EGRESS_ALLOW"):
        verify_startup()
