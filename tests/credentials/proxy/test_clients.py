"""Official clients, with another base URL and key. Clients that are not installed are skipped."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from providers.registry import get_registry
from tests.credentials.proxy.provider_files import provider_file
from tests.credentials.proxy.server_process import ServerProcess
from tests.credentials.proxy.upstream import UpstreamHandler, UpstreamServer
from tests.factories import make_account, make_credential, make_token

# What official clients send and receive; the database has no part in it.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
    pytest.mark.one_database,
]

KEY = "real_key_0123456789abcdef"


class ApiHandler(UpstreamHandler):
    """Responds as the three APIs do, and only to their real key."""

    def handle_any(self) -> None:
        body = b"".join(self._pieces())
        held = f"{self.headers.get('Authorization')} {self.headers.get('x-api-key')}"
        with contextlib.suppress(OSError):
            if KEY not in held or "lk_" in str(self.headers):
                self._json({"error": {"message": "not the key"}}, status=401)
                return
            path = self.path.partition("?")[0]
            for pattern, response in ANSWERS.items():
                if re.fullmatch(pattern, f"{self.command} {path}"):
                    response(self, body)
                    return
            self._json({"message": "Not Found"}, status=404)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def _json(self, document: Any, *headers: str, status: int = 200) -> None:
        body = json.dumps(document).encode()
        self._whole(body, "Content-Type: application/json", *headers, status=status)


def send_chat(handler: ApiHandler, body: bytes) -> None:
    head = {"id": "c", "created": 1, "model": "m"}
    if not json.loads(body).get("stream"):
        message = {"role": "assistant", "content": "hello"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        handler._json({**head, "object": "chat.completion", "choices": [choice]})
        return
    pieces = [
        {
            **head,
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {"content": w}}],
        }
        for w in ("one ", "two")
    ]
    lines = [f"data: {json.dumps(piece)}\n\n".encode() for piece in pieces]
    handler._chunked(iter([*lines, b"data: [DONE]\n\n"]), "Content-Type: text/event-stream")


def send_charges(handler: ApiHandler, body: bytes) -> None:
    last = "starting_after" in handler.path
    charge = {"id": "ch_2" if last else "ch_1", "object": "charge"}
    handler._json({"object": "list", "url": "/v1/charges", "has_more": not last, "data": [charge]})


def send_issues(handler: ApiHandler, body: bytes) -> None:
    """Send GitHub's issues, with URLs of its own host."""
    here = f"http://{handler.headers['Host']}"
    url = f"{here}/repos/octo/hello/issues"
    if handler.command == "POST":
        handler._json({"number": 3, "url": f"{url}/3"}, status=201)
    elif "page=2" in handler.path:
        handler._json([{"number": 2, "url": f"{url}/2"}])
    else:
        handler._json([{"number": 1, "url": f"{url}/1"}], f'Link: <{url}?page=2>; rel="next"')


def send_repository(handler: ApiHandler, body: bytes) -> None:
    url = f"http://{handler.headers['Host']}/repos/octo/hello"
    handler._json({"id": 1, "full_name": "octo/hello", "url": url})


ANSWERS: dict[str, Callable[[ApiHandler, bytes], None]] = {
    "POST /v1/chat/completions": send_chat,
    "POST /v1/files": lambda h, body: h._json({"id": "f", "object": "file", "bytes": len(body)}),
    "POST /v1/customers": lambda h, body: h._json({"id": "cus_1", "object": "customer"}),
    "GET /v1/charges": send_charges,
    "GET /user": lambda h, body: h._json({"login": "octo", "id": 1}),
    "GET /repos/octo/hello": send_repository,
    "(GET|POST) /repos/octo/hello/issues": send_issues,
}


@pytest.fixture
def proxy_url(settings: Any, tmp_path: Any) -> Iterator[tuple[str, str]]:
    """The proxy's URL for a provider of any such API, and a token."""
    with UpstreamServer(ApiHandler) as api:
        bearer = {"in": "header", "values": {"Authorization": "Bearer {key}"}}
        document = provider_file(
            "anyapi", f"http://127.0.0.1:{api.port}", bearer, links_in_answers=True
        )
        (tmp_path / "anyapi.json").write_text(json.dumps(document))
        settings.PROVIDERS_DIR = str(tmp_path)
        settings.EGRESS_ALLOW = f"127.0.0.1:{api.port}"
        get_registry.cache_clear()
        account = make_account()
        make_credential(account, {"properties": {"kind": "anyapi_key", "key": KEY}})
        with ServerProcess(settings, str(connection.settings_dict["NAME"])) as server:
            yield f"http://127.0.0.1:{server.port}/proxy/anyapi", make_token(account)
    get_registry.cache_clear()


def test_openai(proxy_url):
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=f"{proxy_url[0]}/v1", api_key=proxy_url[1], max_retries=0)
    arguments = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    response = client.chat.completions.create(**arguments)
    assert response.choices[0].message.content == "hello"
    stream = client.chat.completions.create(**arguments, stream=True)
    assert "".join(piece.choices[0].delta.content for piece in stream) == "one two"
    file = client.files.create(file=("a.txt", b"x" * 3_000_000), purpose="assistants")
    assert file.bytes > 3_000_000
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("missing")


def test_stripe(proxy_url):
    stripe = pytest.importorskip("stripe")
    client = stripe.StripeClient(proxy_url[1], base_addresses={"api": proxy_url[0]})
    assert client.v1.customers.create(params={"name": "Paul"}).id == "cus_1"
    charges = client.v1.charges.list(params={"limit": 1})
    assert [charge.id for charge in charges.auto_paging_iter()] == ["ch_1", "ch_2"]


def test_pygithub(proxy_url):
    github = pytest.importorskip("github")
    client = github.Github(auth=github.Auth.Token(proxy_url[1]), base_url=proxy_url[0])
    assert client.get_user().login == "octo"
    repository = client.get_repo("octo/hello")
    assert [issue.number for issue in repository.get_issues()] == [1, 2]
    assert repository.create_issue("t").number == 3
