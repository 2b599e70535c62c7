#!/usr/bin/env python3
"""Trace three requests through the source: how many calls, functions, files and how deep.

    .venv/bin/python tools/trace_request.py [PATH] [--calls]

PATH is any checkout of this repository; the default is the one that holds this file. The requests
are a list with a metadata filter, a POST that imports a key while one webhook endpoint exists, and
a token that has to be refreshed first at a fake provider on a real socket. Each is sent twice on
SQLite and the second is traced. Only frames of the ten packages count. `--calls` prints the traces
as indented trees.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest import mock

PACKAGES = (
    *("accounts", "common", "config", "credentials", "egress"),
    *("events", "oauth_apps", "providers", "vault", "webhooks"),
)
# Frames of their own up to Python 3.11, and part of the function that holds them since 3.12.
_COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}


class Trace:
    """The calls of one request that entered code of the ten packages."""

    def __init__(self, root: Path) -> None:
        self._prefixes = tuple(f"{root / package}{os.sep}" for package in PACKAGES)
        self._root = root
        self.calls: list[tuple[int, CodeType]] = []
        """The depth, counted in frames of the ten packages, and the code of each call."""

    def record(self, request: Callable[[], Any]) -> None:
        """Call `request` and record every call that it makes, in threads of pools as well."""
        submit = ThreadPoolExecutor.submit

        def submit_profiled(pool: Any, function: Callable[..., Any], /, *args: Any) -> Any:
            return submit(pool, self._profile, function, *args)

        with mock.patch.object(ThreadPoolExecutor, "submit", submit_profiled):
            self._profile(request)

    def _profile(self, function: Callable[..., Any], /, *args: Any) -> Any:
        sys.setprofile(self._on_event)
        try:
            return function(*args)
        finally:
            sys.setprofile(None)

    def _on_event(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call" or not self._is_ours(frame.f_code):
            return
        depth = 0
        caller: FrameType | None = frame
        while caller is not None:
            depth += self._is_ours(caller.f_code)
            caller = caller.f_back
        self.calls.append((depth, frame.f_code))

    def _is_ours(self, code: CodeType) -> bool:
        return code.co_filename.startswith(self._prefixes) and code.co_name not in _COMPREHENSIONS

    def summary(self) -> str:
        functions = {code for _, code in self.calls}
        files = {code.co_filename for code in functions}
        depth = max(depth for depth, _ in self.calls)
        return f"{len(self.calls):>6}{len(functions):>11}{len(files):>7}{depth:>7}"

    def tree(self) -> str:
        return "\n".join(
            f"{'  ' * depth}{Path(code.co_filename).relative_to(self._root)}:{code.co_qualname}"
            for depth, code in self.calls
        )


def trace_requests(root: Path, folder: Path) -> dict[str, Trace]:
    """Return the traces of the three requests, each sent for the second time."""
    from django.conf import settings

    from tests.api import ApiClient
    from tests.factories import make_account, make_app, make_endpoint, make_stripe_body, make_token
    from tests.fakes import fixtures
    from tests.fakes.provider import FakeProvider

    account = make_account("Acme")
    api = ApiClient(make_token(account))
    traces = {}

    def trace(name: str, request: Callable[[], Any]) -> None:
        first = request()
        traces[name] = Trace(root)
        traces[name].record(request)
        if first.status_code >= 400:
            raise SystemExit(f"{name}: {first.status_code} {first.content.decode()}")

    trace("list with a metadata filter", lambda: api.get('/v1/credentials?metadata={"a":1}'))
    make_endpoint(account)
    trace("import of one key", lambda: api.post("/v1/credentials", make_stripe_body()))
    with FakeProvider() as provider:
        fixtures.register_provider(provider, settings, folder)
        app = make_app(account, "fake")
        ids = [fixtures.make_grant(account, app, provider, name).id for name in ("ann", "ben")]
        trace("token with a refresh", lambda: api.post(f"/v1/credentials/{ids.pop()}/token"))
    return traces


def main(arguments: list[str]) -> None:
    paths = [argument for argument in arguments if not argument.startswith("--")]
    root = Path(paths[0] if paths else Path(__file__).parents[1]).resolve()
    sys.path[0] = str(root)
    os.chdir(root)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    with tempfile.TemporaryDirectory() as folder:
        import django
        from django.conf import settings

        settings.DATABASES["default"]["NAME"] = f"{folder}/trace.sqlite3"
        django.setup()
        from django.core.management import call_command
        from django.test.utils import setup_test_environment

        setup_test_environment()
        call_command("migrate", verbosity=0)
        traces = trace_requests(root, Path(folder))
    print(f"{'':<29}{'calls':>6}{'functions':>11}{'files':>7}{'depth':>7}")
    for name, trace in traces.items():
        print(f"{name:<29}{trace.summary()}")
    if "--calls" in arguments:
        for name, trace in traces.items():
            print(f"\n{name}\n{trace.tree()}")


if __name__ == "__main__":
    main(sys.argv[1:])
