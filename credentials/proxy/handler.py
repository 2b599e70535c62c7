"""One use of a credential, from a request to an answer that is ready to be passed on."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import Error, transaction

from common.actors import Principal
from common.concurrency import let_go
from common.errors import Forbidden, Problem
from credentials.core.usage import mark_used
from credentials.health.evidence import Evidence
from credentials.health.services import observe
from credentials.proxy import audit, headers, limits, metrics, policy, provider_limits, signing
from credentials.proxy.caller_token import Held, check_header
from credentials.proxy.errors import (
    BadGateway,
    ClientGone,
    NotWrittenDown,
    upstream_failed,
    written_down,
)
from credentials.proxy.limits import Slots
from credentials.proxy.link_rewriting import Linking
from credentials.proxy.path_rules import endpoint_blocked, names_another_method
from credentials.proxy.queries import Policy
from credentials.proxy.redaction import ENCODINGS, Forms, Looking, Masking, filter_for
from credentials.proxy.request_body import upload
from credentials.proxy.resolve import Chosen, Opened, choose, open_secrets
from credentials.proxy.response_stream import NO_BODY, Relay
from credentials.proxy.target import Target, check_path
from credentials.proxy.upstream_request import Call, bare, outgoing
from egress.client import Client
from egress.deadline import Limits
from egress.errors import EgressError
from egress.requests import Request
from egress.responses import Answer
from egress.retry_after import asked_pause

LIMITS: Final = Limits(connect=3, total=24 * 3600, idle=600, max_bytes=None)
"""A provider may think for ten minutes, and stream for a day."""

_KNOWN_BAD: Final = frozenset({"warn", "error"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Asked:
    """A request whose caller is known. `here` is our origin, `started` of the monotonic clock."""

    method: str
    target: Target
    environ: Mapping[str, Any]
    held: Held
    who: Principal
    here: str
    started: float


class Reply(NamedTuple):
    status: int
    headers: headers.Pairs
    body: Relay


class Uses:
    """Makes uses, for all threads of a process. `watched` watches over the caller's connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._slots = Slots()

    def answer(
        self,
        asked: Asked,
        *,
        watched: Callable[[Line], AbstractContextManager[None]],
        on_break: Callable[[], None],
    ) -> Reply:
        """The provider's answer, its body not yet read. Raises Problem or ClientGone."""
        chosen = choose(asked.target, asked.who)
        check_header(asked.held, chosen.own_headers)
        _check_allowed(chosen, asked)
        with ExitStack() as stack:
            row = chosen.row
            stack.enter_context(self._slots.one(row.id, chosen.at_once))
            stack.enter_context(metrics.UNDER_WAY.track_inprogress())
            limits.await_release(row.held_for)
            if chosen.rate:
                limits.take(row.id, chosen.rate)
            if chosen.other and chosen.other.policy:
                self._take_other(stack, chosen.other.id, chosen.other.policy)
            provider_limits.take_all(row.id, chosen.windows)
            use = _Use(self._client, chosen, asked)
            stack.enter_context(watched(use.line))
            stack.enter_context(use.open)
            answer = use.send()
            filter, passed = use.passing(answer)
            body = Relay(
                answer,
                filter,
                stack.pop_all(),
                at_once=answer.header("content-length") is None,
                on_echo=use.tell_of_echo,
                on_break=on_break,
                is_gone=lambda: use.line.gone,
            )
        return Reply(answer.status, passed, body)

    def _take_other(self, stack: ExitStack, id: uuid.UUID, policy: Policy) -> None:
        """A key that came in two halves keeps to the policies of both."""
        stack.enter_context(self._slots.one(id, policy.concurrency))
        if policy.rate:
            limits.take(id, policy.rate)


class Line:
    """The call to the provider that is under way; `hang_up` ends it, from whichever thread."""

    def __init__(self) -> None:
        self._end: Callable[[], None] | None = None
        self.gone = False

    def begins(self, end: Callable[[], None]) -> None:
        self._end = end
        if self.gone:
            end()

    def hang_up(self) -> None:
        self.gone = True
        if self._end:
            self._end()


class _Use:
    """`open` holds the answer, for as long as it is entered; `forms` are of what was put on the request."""

    def __init__(self, client: Client, chosen: Chosen, asked: Asked) -> None:
        self.line = Line()
        self.open = ExitStack()
        self.forms = Forms(())
        self._client = client
        self._chosen = chosen
        self._asked = asked
        self._told = False
        self._call = Call(
            method=asked.method,
            target=asked.target,
            environ=asked.environ,
            upload=upload(asked.environ),
        )

    def send(self) -> Answer:
        """The answer; the use is written down before this returns."""
        chosen, asked = self._chosen, self._asked
        if signing.is_public(chosen.scheme, asked.method, asked.target.path):
            return self._relayed(bare(chosen, self._call))
        opened = open_secrets(chosen, asked.who)
        request = self._prepared(opened)
        for row in filter(None, (chosen.row, chosen.other)):
            mark_used(id=row.id)
        with written_down():
            answer = self._answered(request, opened)
            self._note(answer.status)
        return answer

    def passing(self, answer: Answer) -> tuple[Masking | Looking | Linking, headers.Pairs]:
        """What the body goes through, and the headers as the caller gets them."""
        here, base_url = self._asked.here + self._asked.target.prefix, self._chosen.base_url
        if self.forms.within("\n".join(v for _, v in answer.headers).encode("latin-1")):
            self.tell_of_echo()
        passed = headers.to_caller(
            answer.headers,
            rewrite=headers.Addresses(base_url, here, base_url + self._asked.target.path),
            clean=lambda value: self.forms.masked(value.encode("latin-1")).decode("latin-1"),
        )
        encoding = (answer.header("content-encoding") or "").strip().lower()
        filter = filter_for(encoding, self.forms)
        is_json = "json" in (answer.header("content-type") or "").lower()
        if not (self._chosen.provider.links_in_answers and is_json and isinstance(filter, Masking)):
            return filter, passed
        # It will be of another length.
        passed = [pair for pair in passed if pair[0] != "Content-Length"]
        return Linking(filter, base_url, here), passed

    def tell_of_echo(self) -> None:
        """Write down, once, that a secret came back."""
        if self._told:
            return
        self._told = True
        with written_down():
            audit.echoed(
                who=self._asked.who,
                credential_id=self._chosen.row.id,
                provider=self._chosen.row.provider,
                path=self._asked.target.path,
            )
        let_go()

    def _prepared(self, opened: Opened) -> Request:
        self.forms = Forms(opened.secrets.values())
        return outgoing(self._chosen, opened, self._call)

    def _answered(self, request: Request, opened: Opened) -> Answer:
        """The answer, not yet written down; what goes wrong from here on is."""
        try:
            answer = self._relayed(request)
            if answer.status == 401:
                answer = self._refused(answer, opened)
            self._heed(answer)
        except Problem as problem:
            self._note(problem.status)
            raise
        except ClientGone:
            self._note(audit.CLIENT_GONE)
            raise
        except Error:
            let_go()  # What failed may have been the connection alone.
            self._note(NotWrittenDown.status)
            raise
        return answer

    def _relayed(self, request: Request) -> Answer:
        let_go()
        try:
            answer = self.open.enter_context(
                self._client.relay(
                    request,
                    encodings=self._encodings(),
                    limits=LIMITS,
                    on_start=self.line.begins,
                )
            )
        except EgressError as error:
            if self.line.gone:
                raise ClientGone("the caller went away") from None
            raise upstream_failed(error) from None
        bodiless = self._asked.method == "HEAD" or answer.status in NO_BODY
        encoding = (answer.header("content-encoding") or "").strip().lower()
        if encoding not in ENCODINGS and not bodiless:
            raise BadGateway("The provider's answer is in an encoding that was not asked for.")
        return answer

    def _encodings(self) -> str:
        """What is to be changed on its way must not be compressed."""
        if self._chosen.provider.links_in_answers:
            return "identity"
        return headers.encodings(self._asked.environ)

    def _refused(self, answer: Answer, opened: Opened) -> Answer:
        """The answer to the request once more with a new token; or the 401, where there is none."""
        renewed = self._renewed(opened) if self._call.upload.repeatable else None
        if renewed is None:
            self._suspect()
            return answer
        request = self._prepared(renewed)
        self.open.close()
        again = self._relayed(request)
        if again.status == 401:
            self._suspect()
        return again

    def _renewed(self, opened: Opened) -> Opened | None:
        if not self._chosen.kind.refreshes:
            return None
        try:
            renewed = open_secrets(self._chosen, self._asked.who, force=True)
        except Problem:
            return None  # The refresh has told of itself; the caller has their 401.
        return renewed if renewed.token != opened.token else None

    def _heed(self, answer: Answer) -> None:
        """A provider that wants a pause gets it, from all processes."""
        if answer.status in {429, 503}:
            seconds = asked_pause(answer.headers, most=limits.MAX_HOLD)
            if seconds:
                limits.hold(self._chosen.row.id, seconds)

    def _suspect(self) -> None:
        """A 401 is evidence, if not definite: the path may want another credential."""
        row = self._chosen.row
        if row.health_status in _KNOWN_BAD:
            return
        evidence = Evidence(
            source="use",
            verdict="suspect",
            note=f"{self._chosen.provider.name} answered a request with HTTP 401.",
            code="http_401",
        )
        with transaction.atomic():
            observe(
                account_id=row.account_id,
                credential_id=row.id,
                evidence=evidence,
                actor=self._asked.who.actor,
            )

    def _note(self, status: int) -> None:
        asked = self._asked
        for row in filter(None, (self._chosen.row, self._chosen.other)):
            audit.used(
                who=asked.who,
                credential_id=row.id,
                provider=row.provider,
                method=asked.method,
                path=asked.target.path,
                status=status,
                started=asked.started,
            )
        let_go()


def _check_allowed(chosen: Chosen, asked: Asked) -> None:
    """Raise BadRequest for a path that is not to be had, Forbidden for what rules forbid."""
    method, path = asked.method, asked.target.path
    check_path(path, frozenset(chosen.provider.paths))
    policies = [row.policy for row in (chosen.row, chosen.other) if row and row.policy]
    for each in policies:
        policy.check(each, method, path)
    blocked = chosen.custom.blocked_endpoints if chosen.custom else []
    if endpoint_blocked(method, path, blocked):
        raise Forbidden("This endpoint of the service is blocked.", extra={"code": "not_allowed"})
    if not (blocked or any(each.methods is not None for each in policies)):
        return
    overrides = [f"HTTP_{name.upper().replace('-', '_')}" for name in headers.OVERRIDES]
    if any(name in asked.environ for name in overrides):
        raise Forbidden("A header that names another method is not allowed with these rules.")
    if names_another_method(method, asked.target.query or ""):
        raise Forbidden("A parameter that names another method is not allowed with these rules.")
