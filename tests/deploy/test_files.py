"""The deployment kit agrees with the code: settings, commands, time to stop, files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.management.commands.serve import SHUTDOWN_SECONDS
from config.worker.liveness import INTERVAL
from config.worker.loop import STOP_PATIENCE

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CADDY = shutil.which("caddy")
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
# `serve` of config.proxy_server.
PROXY_SHUTDOWN_SECONDS = 30
STOP_SECONDS = {
    "serve": SHUTDOWN_SECONDS,
    "serve_proxy": PROXY_SHUTDOWN_SECONDS,
    "worker": STOP_PATIENCE,
}


def find(pattern: str, text: str) -> str:
    """Return the first group of the first match, which must exist."""
    match = re.search(pattern, text)
    assert match, pattern
    return match[1]


def read_setting_names() -> set[str]:
    source = "".join((ROOT / "config" / name).read_text() for name in ("settings.py", "env.py"))
    return set(re.findall(r'env\.(?:env\.)?\w+\(\s*"([A-Z_]+)"', source))


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text()))


def test_the_env_file_has_every_setting():
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {match[1] for line in lines if (match := re.match(r"(?:# )?([A-Z_]+)=", line))}
    assert named == read_setting_names()


def test_readme_describes_every_setting():
    rows = re.findall(r"^\| (`[A-Z_].*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"`([A-Z_]+)`", " ".join(rows))) == read_setting_names()


def test_the_shutdown_time_of_the_proxy_is_that_of_its_server():
    source = (ROOT / "config" / "proxy_server.py").read_text()
    assert f"else {PROXY_SHUTDOWN_SECONDS}," in source


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_waits_longer_than_the_process_needs_to_stop(unit):
    text = unit.read_text()
    command = find(r"manage\.py (\w+)", text)
    if command in STOP_SECONDS:
        assert int(find(r"TimeoutStopSec=(\d+)", text)) > STOP_SECONDS[command] + 5
        assert "KillMode=mixed" in text
    if watchdog := re.search(r"WatchdogSec=(\d+)", text):
        assert int(watchdog[1]) > 10 * INTERVAL


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_accepts_the_units(unit, tmp_path):
    # The path of an installation does not exist here.
    text = unit.read_text().replace("/opt/latchkey/.venv/bin/python", sys.executable)
    copy = tmp_path / unit.name.replace("@", "@8000")
    copy.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_units_run_without_privileges():
    for unit in UNITS:
        lines = set(unit.read_text().splitlines())
        assert {"User=latchkey", "NoNewPrivileges=yes", "ProtectSystem=strict"} <= lines
        assert {"CapabilityBoundingSet=", "PrivateTmp=yes", "UMask=0077"} <= lines


def test_containers_wait_longer_than_the_process_needs_to_stop(compose):
    services = compose["services"]
    for name, command in {"api": "serve", "proxy": "serve_proxy", "worker": "worker"}.items():
        assert services[name]["command"][:3] == ["python", "manage.py", command]
        assert int(services[name]["stop_grace_period"].rstrip("s")) > STOP_SECONDS[command] + 5


def test_containers_have_no_privileges(compose):
    for name in ("migrate", "api", "proxy", "worker"):
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_compose_mounts_files_that_exist_or_are_created(compose):
    folder = DEPLOY / "compose"
    created = (folder / "create-config").read_text()
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./config/"):
                assert source.removeprefix("./") in created
            elif source.startswith("."):
                assert (folder / source).exists()


def test_create_config_writes_complete_settings(tmp_path):
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    shutil.copy(ROOT / ".env.example", tmp_path)
    script = tmp_path / "deploy" / "compose" / "create-config"
    done = subprocess.run(
        [script, "keys.acme.example"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    config = script.parent / "config"
    env = dict(
        line.split("=", 1)
        for line in (config / "latchkey.env").read_text().splitlines()
        if re.match("[A-Z]", line)
    )
    assert len(env["SECRET_KEY"]) >= 50
    assert env["PUBLIC_URL"] == "https://keys.acme.example"
    password = find(r"latchkey_app:(\w+)@postgres", env["DATABASE_URL"])
    assert f"APP_PASSWORD={password}" in (config / "postgres.env").read_text()
    assert (config / "vault.keys").stat().st_mode & 0o077 == 0
    nginx = (config / "nginx.conf").read_text()
    assert "127.0.0.1" not in nginx
    assert "example.com" not in nginx
    again = subprocess.run([script, "x"], capture_output=True, timeout=30, check=False)
    assert again.returncode == 1


def test_the_image_has_the_code_and_nothing_else():
    allowed = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"bench", "tests", "tools"} <= allowed
    assert not allowed & {"tests", "var", ".env", ".git"}
    assert all((ROOT / name).exists() for name in allowed)


def test_the_image_runs_as_a_user_of_its_own():
    final = (DEPLOY / "docker" / "Dockerfile").read_text().rsplit("\nFROM ", 1)[1]
    assert "USER 10001:10001" in final
    assert "HEALTHCHECK" in final
    assert "pip install" not in final


@pytest.mark.skipif(not shutil.which("helm"), reason="helm is not installed")
def test_helm_renders_the_chart():
    done = subprocess.run(
        ["helm", "template", "latchkey", DEPLOY / "helm" / "latchkey"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    sets = {d["metadata"]["name"]: d for d in documents if d["kind"] == "StatefulSet"}
    for name, command in {"api": "serve", "proxy": "serve_proxy", "worker": "worker"}.items():
        pod = sets[f"latchkey-{name}"]["spec"]["template"]["spec"]
        # The pause before SIGTERM counts as well.
        assert pod["terminationGracePeriodSeconds"] > STOP_SECONDS[command] + 5
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["containers"][0]["args"][0] == command


@pytest.mark.skipif(CADDY is None, reason="Caddy is not installed")
def test_caddy_accepts_its_file(tmp_path):
    text = (DEPLOY / "caddy" / "Caddyfile").read_text().replace("/var/log/caddy", str(tmp_path))
    (tmp_path / "Caddyfile").write_text(text)
    done = subprocess.run(
        [str(CADDY), "validate", "--adapter", "caddyfile", "--config", str(tmp_path / "Caddyfile")],
        # It stores its certificates below HOME.
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
