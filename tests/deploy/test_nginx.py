"""nginx with the kit's file in front of real servers, over TLS on loopback."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.database import get_template
from tests.deploy.nginx import (
    create_certificate,
    is_healthy,
    is_listening,
    write_config,
)
from tests.fakes.fixtures import wait_until
from tests.ports import find_free_ports

ROOT = Path(__file__).parents[2]
NGINX = shutil.which("nginx")
CANARY = "canary-3f9c0d51"
LINK = "L" * 43

SETUP = """
from tests.factories import make_account, make_token
print(make_token(make_account("Acme"), "credentials:read"))
"""

pytestmark = [
    # For the copy of its migrated database; the servers have a file of their own.
    pytest.mark.django_db,
    pytest.mark.processes,
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]


@dataclass
class Site:
    """A running site: nginx on two ports, `serve`, `serve_proxy`, and their logs."""

    folder: Path
    tls_port: int
    plain_port: int
    api_port: int
    token: str

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.folder / "fullchain.pem")
        return http.client.HTTPSConnection("localhost", self.tls_port, context=context, timeout=10)

    def send(self, method: str, path: str, **options: Any) -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        tls = self.connect()
        tls.request(method, path, headers=headers, **options)
        response = tls.getresponse()
        response.text = response.read()  # type: ignore[attr-defined]
        tls.close()
        return response

    def read_log(self, name: str) -> list[dict[str, Any]]:
        lines = (self.folder / name).read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def find_line(self, name: str, request_id: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def is_logged() -> bool:
            found[:] = [
                line
                for line in self.read_log(name)
                if line.get("request_id") == request_id
                and line.get("event", "request") == "request"
            ]
            return bool(found)

        wait_until(is_logged)
        return found[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Site]:
    if connection.vendor != "sqlite":
        pytest.skip("the files of nginx are the same on both databases")
    folder = tmp_path_factory.mktemp("nginx")
    shutil.copyfile(get_template(), folder / "db.sqlite3")
    tls, plain, api, other_api, proxy, other_proxy = find_free_ports(6)
    env = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": "s" * 50,
        "PUBLIC_URL": f"https://localhost:{tls}",
        "ALLOWED_HOSTS": "localhost",
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "VAULT_KEYS": f"k1:{base64.b64encode(b'7' * 32).decode()}",
        "SPOOL_DIR": str(folder / "spool"),
        "TRUSTED_PROXIES": "1",
        "ACCESS_LOG": "1",
    }
    manage = [sys.executable, "manage.py"]
    created = subprocess.run(
        [*manage, "shell", "-v", "0", "-c", SETUP],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert created.returncode == 0, created.stderr
    token = created.stdout.split()[-1]
    create_certificate(folder)
    ports = {443: tls, 80: plain, 8000: api, 8002: other_api, 8001: proxy, 8003: other_proxy}
    processes = [
        start([*manage, "serve", "--port", str(api)], env, folder / "serve.log"),
        start([*manage, "serve_proxy", "--port", str(proxy)], env, folder / "proxy.log"),
        start([NGINX, "-c", write_config(folder, ports), "-p", folder], env, folder / "nginx.out"),
    ]
    try:
        wait_until(lambda: all(map(is_listening, (tls, api, proxy))))
        wait_until(lambda: is_healthy(api))
        yield Site(folder, tls, plain, api, token)
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(timeout=40)


def start(command: list[Any], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)


def test_a_request_has_one_id_in_both_logs_and_in_the_response(site):
    response = site.send("GET", f"/v1/credentials?owner_email={CANARY}%40example.com")
    assert response.status == 200, response.text
    request_id = response.headers["X-Request-Id"]
    front = site.find_line("latchkey.json", request_id)
    back = site.find_line("serve.log", request_id)
    assert (front["path"], front["status"]) == ("/v1/credentials", 200)
    assert (back["path"], back["method"], back["status"]) == ("/v1/credentials", "GET", 200)
    assert back["client_ip"] == front["client_ip"] == "127.0.0.1"
    assert uuid.UUID(back["account"]).version == 7
    assert back["actor"].startswith("token:")


def test_the_proxy_gets_the_same_id(site):
    response = site.send("GET", f"/v1/proxy/credential/{uuid.uuid4()}/v1/x?key={CANARY}")
    assert response.status == 403
    request_id = response.headers["Latchkey-Request-Id"]
    front = site.find_line("latchkey.json", request_id)
    back = site.find_line("proxy.log", request_id)
    assert front["path"].endswith("/*")
    assert back["path"] == "/v1/proxy/credential/*/v1/x"


def test_no_log_has_a_query_a_token_or_a_link(site):
    site.send("GET", f"/v1/credentials?q={CANARY}")
    site.send("GET", f"/v1/unknown/{CANARY}?a={CANARY}")
    link = site.send("GET", f"/connect/{LINK}?state={CANARY}")
    site.find_line("serve.log", link.headers["X-Request-Id"])
    texts = [path.read_text() for path in site.folder.glob("*.log")]
    texts += [(site.folder / "nginx.out").read_text()]
    nginx = (site.folder / "latchkey.json").read_text()
    for secret in (CANARY, site.token, LINK):
        assert not any(secret in text for text in texts)
    assert site.token not in nginx
    assert LINK not in nginx
    # nginx knows no routes, so a path that leads nowhere is logged as it is; queries never are.
    assert f"={CANARY}" not in nginx


def test_every_line_of_a_server_but_its_first_is_json(site):
    first, *others = (site.folder / "serve.log").read_text().splitlines()
    assert first == f"Latchkey listens on http://127.0.0.1:{site.api_port}"
    assert [line for line in others if not isinstance(json.loads(line), dict)] == []
    assert not any("quite high" in line for line in others)


def test_the_client_cannot_choose_its_address_or_its_request_id(site):
    spoofed = {
        "X-Forwarded-For": "198.51.100.9",
        "X_Forwarded_For": "198.51.100.9",
        "X-Request-Id": "0" * 32,
    }
    response = site.send("GET", "/v1/credentials", headers=spoofed)
    request_id = response.headers["X-Request-Id"]
    assert request_id != "0" * 32
    assert site.find_line("serve.log", request_id)["client_ip"] == "127.0.0.1"


def test_one_instance_serves_while_the_other_is_down(site):
    # Nothing listens on the second port of either upstream.
    statuses = [site.send("GET", "/v1/credentials?limit=1").status for _ in range(10)]
    assert statuses == [200] * 10
    path = f"/v1/proxy/credential/{uuid.uuid4()}/x"
    assert {site.send("POST", path, body=b"{}").status for _ in range(6)} == {403}


def test_plain_http_is_rejected_for_the_api_and_redirected_for_pages(site):
    for path, status in (("/v1/credentials", 403), ("/proxy/stripe/x", 403), ("/admin/", 301)):
        connection = http.client.HTTPConnection("127.0.0.1", site.plain_port, timeout=5)
        connection.request("GET", path, headers={"Host": "localhost"})
        response = connection.getresponse()
        assert response.status == status
        if status == 403:
            assert json.loads(response.read())["title"] == "Forbidden"
        connection.close()


def test_metrics_are_not_reachable_from_outside(site):
    assert site.send("GET", "/metrics").status == 404


def test_pages_and_static_files_are_served_over_tls(site):
    response = site.send("GET", "/admin/login/")
    assert response.status == 200
    assert "__Host-csrftoken" in response.headers["Set-Cookie"]
    assert response.headers["Strict-Transport-Security"]


def test_a_body_beyond_the_limit_is_rejected_before_it_is_read(site):
    connection = site.connect()
    connection.putrequest("POST", "/admin/login/")
    connection.putheader("Content-Length", str(7 * 1024 * 1024))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_client_that_stops_within_its_headers_is_disconnected(site):
    context = ssl.create_default_context(cafile=site.folder / "fullchain.pem")
    with (
        socket.create_connection(("127.0.0.1", site.tls_port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow:")
        started_at = time.monotonic()
        assert client.recv(1) == b""
        assert time.monotonic() - started_at < 8


def test_no_body_is_written_to_a_file(site):
    site.send("POST", "/v1/credentials", body=b"x" * 200_000)
    assert not [path for path in (site.folder / "client_body").rglob("*") if path.is_file()]
