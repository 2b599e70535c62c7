"""Alert rules, scrape configuration and dashboard use metrics that the code has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.worker.tasks import get_task_sources

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
PROMTOOL = shutil.which("promtool")
METRIC = re.compile(r"\blatchkey_[a-z_]+")
SUFFIXES = {"Counter": ("_total",), "Histogram": ("_bucket", "_sum", "_count"), "Gauge": ("",)}


@pytest.fixture(scope="module")
def known_metrics() -> set[str]:
    sources = [*ROOT.glob("config/*.py"), *ROOT.glob("credentials/**/*.py")]
    declared = re.findall(
        r'(Counter|Histogram|Gauge)(?:MetricFamily)?\(\s*"(latchkey_\w+)"',
        "".join(path.read_text() for path in sources),
    )
    return {f"{name}{suffix}" for kind, name in declared for suffix in SUFFIXES[kind]}


def read_rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((FOLDER / "alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def read_dashboard_expressions() -> list[str]:
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_every_metric_of_an_alert_exists(known_metrics):
    for rule in read_rules():
        assert set(METRIC.findall(rule["expr"])) <= known_metrics, rule["alert"]


def test_the_dashboard_shows_every_metric_and_no_other(known_metrics):
    expressions = " ".join(read_dashboard_expressions())
    used = set(METRIC.findall(expressions))
    assert used <= known_metrics
    unused = known_metrics - used
    assert all(name.endswith(("_sum", "_count")) for name in unused), unused


def test_tasks_in_expressions_exist():
    names = {source.name for source in get_task_sources()}
    rules = " ".join(rule["expr"] for rule in read_rules())
    assert set(re.findall(r'task!?="(\w+)"', rules)) <= names


def test_every_alert_has_a_section_in_the_runbook():
    text = (ROOT / "docs" / "operation.md").read_text()
    headings = {line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")}
    rules = read_rules()
    assert len(rules) >= 10
    for rule in rules:
        assert rule["alert"] in headings
        anchor = rule["annotations"]["runbook_url"]
        assert anchor == f"docs/operation.md#{rule['alert'].lower()}"


def test_the_documents_name_every_metric(known_metrics):
    text = "".join(path.read_text() for path in ROOT.glob("docs/*.md"))
    documented = set(METRIC.findall(text))
    base = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known_metrics}
    assert base <= documented


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    ("kind", "file"), [("rules", "alerts.yaml"), ("config", "prometheus.yaml")]
)
def test_promtool_accepts_the_files(kind, file, tmp_path):
    for path in FOLDER.glob("*.yaml"):
        (tmp_path / path.name).write_text(
            path.read_text().replace("/etc/prometheus/latchkey.token", str(tmp_path / "token"))
        )
    (tmp_path / "token").touch()
    done = subprocess.run(
        [str(PROMTOOL), "check", kind, str(tmp_path / file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
