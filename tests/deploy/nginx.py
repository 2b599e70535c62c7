"""The kit's file for nginx with ports and folders of this machine. tools/production_drill.py uses it, too."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def create_certificate(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


def write_config(folder: Path, ports: dict[int, int]) -> Path:
    """Write the kit's file with these ports and folders, and the main file around it."""
    site = (ROOT / "deploy" / "nginx" / "latchkey.conf").read_text()
    site = site.replace("latchkey.example.com", "localhost")
    site = site.replace("/etc/ssl/latchkey", str(folder)).replace("/var/log/nginx", str(folder))
    site = re.sub(r"\n *listen \[::\].*", "", site)
    site = re.sub(r"listen (\d+)", lambda m: f"listen 127.0.0.1:{ports[int(m[1])]}", site)
    site = re.sub(r"127\.0\.0\.1:(800\d)", lambda m: f"127.0.0.1:{ports[int(m[1])]}", site)
    # Not ten seconds of the suite.
    site = site.replace("client_header_timeout 10s", "client_header_timeout 1s")
    (folder / "site.conf").write_text(site)
    folders = "".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""
    main = folder / "nginx.conf"
    main.write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;"
        f"events {{ worker_connections 64; }} http {{ {folders} include {folder}/site.conf; }}"
    )
    return main
