"""import_oauth_apps."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command

from oauth_apps.models import OAuthApp
from tests.oauth_apps.test_api import BODY


@pytest.fixture
def run(account, tmp_path):
    def run(*bodies, dry_run=False):
        path = tmp_path / "apps.ndjson"
        path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
        out, err = io.StringIO(), io.StringIO()
        args = ["--dry-run"] if dry_run else []
        try:
            call_command(
                "import_oauth_apps", str(path), "--account", "acme", *args, stdout=out, stderr=err
            )
        except SystemExit as stop:
            return stop.code, out.getvalue(), err.getvalue()
        return 0, out.getvalue(), err.getvalue()

    return run


def test_creates_then_changes_nothing(run):
    assert run(BODY)[1] == "created=1 updated=0 unchanged=0 rejected=0\n"
    assert run(BODY)[1] == "created=0 updated=0 unchanged=1 rejected=0\n"


def test_updates_what_differs_and_keeps_what_is_absent(run):
    run({**BODY, "metadata": {"a": 1}})
    assert run({**BODY, "name": "New"})[1] == "created=0 updated=1 unchanged=0 rejected=0\n"
    app = OAuthApp.objects.get()
    assert (app.name, app.metadata) == ("New", {"a": 1})


def test_a_dry_run_stores_nothing(run):
    assert run(BODY, dry_run=True)[1] == "created=1 updated=0 unchanged=0 rejected=0\n"
    assert not OAuthApp.objects.exists()


def test_wrong_line_rejects_only_itself(run):
    code, out, err = run({**BODY, "provider": "nosuch"}, BODY)
    assert (code, out) == (1, "created=1 updated=0 unchanged=0 rejected=1\n")
    assert err.startswith("line 1: provider:")


def test_the_rest_of_a_long_line_is_no_line_of_its_own(run, tmp_path):
    smuggled = " " * 65_600 + json.dumps(BODY)
    (tmp_path / "x.ndjson").write_text(smuggled + "\n" + json.dumps({**BODY, "name": 1}) + "\n")
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit):
        call_command(
            "import_oauth_apps",
            str(tmp_path / "x.ndjson"),
            "--account",
            "acme",
            stdout=out,
            stderr=err,
        )
    assert out.getvalue() == "created=0 updated=0 unchanged=0 rejected=2\n"
    assert err.getvalue().splitlines()[1].startswith("line 2: name")
