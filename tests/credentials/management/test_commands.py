"""import_credentials and export_credentials."""

from __future__ import annotations

import csv
import io
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from credentials.models import Credential
from tests.factories import make_credential, make_stripe_body

GOOD = [make_stripe_body(f"sk_{n}") for n in range(3)]


@pytest.fixture
def file(tmp_path) -> Any:
    def write(*bodies: Any, name: str = "in.ndjson") -> str:
        lines = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    return write


def run(*args: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("import_credentials", *args, stdout=out, stderr=err)
    except SystemExit as stop:
        return int(stop.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_import_of_valid_lines_exits_with_0(account, file):
    code, out, err = run(file(*GOOD), "--account", "acme")
    assert (code, out, err) == (0, "created=3 updated=0 unchanged=0 rejected=0\n", "")


def test_second_import_changes_nothing(account, file):
    path = file(*GOOD)
    run(path, "--account", "acme")
    assert run(path, "--account", "acme")[1] == "created=0 updated=0 unchanged=3 rejected=0\n"


def test_import_with_rejected_lines_exits_with_1(account, file):
    code, out, err = run(file(GOOD[0], "{", make_stripe_body("s", nope=1)), "--account", "acme")
    assert (code, out) == (1, "created=1 updated=0 unchanged=0 rejected=2\n")
    assert err.splitlines()[1] == "line 3, nope: unknown field"


def test_report_has_a_row_for_each_rejected_line(account, file, tmp_path):
    report = tmp_path / "report.ndjson"
    _, _, err = run(
        file("{", make_stripe_body("s", nope=1)), "--account", "acme", "--report", str(report)
    )
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(row["line"], row["field"]) for row in rows] == [(1, None), (2, "nope")]
    assert err == ""


def test_dry_run_stores_nothing(account, file):
    code, out, _ = run(file(*GOOD), "--account", "acme", "--dry-run")
    assert (code, out) == (0, "created=3 updated=0 unchanged=0 rejected=0\n")
    assert not Credential.objects.exists()


def test_csv_is_recognized_by_its_extension(account, file):
    path = file("kind,properties.secret", "stripe_key,sk_1", name="in.csv")
    assert run(path, "--account", "acme")[1].startswith("created=1 ")


def test_import_reads_standard_input(account, monkeypatch):
    raw = io.BytesIO(json.dumps(GOOD[0]).encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=raw))
    assert run("-", "--account", "acme")[1].startswith("created=1 ")


@pytest.mark.parametrize(
    "args",
    [
        ("nowhere.ndjson", "--account", "acme"),
        ("/", "--account", "acme"),
        ("{file}", "--account", "nobody"),
        ("{file}", "--account", "acme", "--report", "/nowhere/report"),
        ("{csv}", "--account", "acme"),
    ],
)
def test_import_of_an_unreadable_file_exits_with_2(account, file, args):
    paths = {"file": file(*GOOD), "csv": file("no,header", name="x.csv")}
    with pytest.raises(CommandError) as refusal:
        run(*(arg.format(**paths) for arg in args))
    assert refusal.value.returncode == 2
    assert not Credential.objects.exists()


def test_overlong_line_is_rejected_and_the_next_is_read(account, file):
    code, out, _ = run(file('"' + "x" * 200_000 + '"', GOOD[0]), "--account", "acme")
    assert (code, out) == (1, "created=1 updated=0 unchanged=0 rejected=1\n")


def export(capsysbinary, *args: str) -> bytes:
    call_command("export_credentials", "--account", "acme", *args)
    return bytes(capsysbinary.readouterr().out)


def test_export_has_an_import_body_without_secrets(account, capsysbinary):
    row = make_credential(account, make_stripe_body("sk_canary", metadata={"a": 1}))
    (line,) = export(capsysbinary).splitlines()
    document = json.loads(line)
    assert document["id"] == str(row.id)
    assert document["metadata"] == {"a": 1}
    assert document["properties"] == {"kind": "stripe_key", "name": "Choam Stripe", "test": False}
    assert b"canary" not in line


def test_export_has_filters(account, capsysbinary):
    make_credential(account, make_stripe_body(owner_email="ann@acme.example", metadata={"a": 1}))
    make_credential(account, make_stripe_body(owner_email="bob@acme.example"))
    for option in (["--owner-email", "ann@acme.example"], ["--metadata", '{"a": 1}']):
        (line,) = export(capsysbinary, *option).splitlines()
        assert json.loads(line)["owner_email"] == "ann@acme.example"
    assert export(capsysbinary, "--kind", "github_key") == b""


def test_csv_export_escapes_formulas(account, capsysbinary):
    make_credential(account, make_stripe_body(name='=HYPERLINK("http://evil","x")'))
    text = export(capsysbinary, "--format", "csv").decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["name"] == '\'=HYPERLINK("http://evil","x")'


def test_overlong_line_that_starts_blank_is_rejected(account, file):
    code, out, _ = run(file(" " * 70_000 + "{}", GOOD[0]), "--account", "acme")
    assert (code, out) == (1, "created=1 updated=0 unchanged=0 rejected=1\n")


def test_report_rejects_the_path_of_the_input(account, file):
    path = file(*GOOD)
    with pytest.raises(CommandError, match="input file"):
        run(path, "--account", "acme", "--report", path)
    assert run(path, "--account", "acme")[1].startswith("created=3 ")
