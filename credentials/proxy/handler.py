"""One use of a credential, from a request to an answer that is ready to be passed on."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.db import Error, transaction

from common.actors import Principal
from common.concurrency import release_connection
from common.errors import ForbiddenError, ServiceError
from credentials.core.usage import mark_used
from credentials.health.evidence import Evidence
from credentials.health.services import record_evidence
from credentials.proxy import audit, headers, limits, metrics, policy, provider_limits, signing
from credentials.proxy.caller_token import CallerToken, check_token_header
from credentials.proxy.errors import (
    AuditWriteError,
    BadGateway,
    ClientDisconnectedError,
    build_upstream_error,
    require_audit_write,
)
from credentials.proxy.limits import ConcurrencySlots
from credentials.proxy.link_rewriting import JsonLinkRewriter
from credentials.proxy.path_rules import is_endpoint_blocked, overrides_method
from credentials.proxy.queries import Policy
from credentials.proxy.redaction import (
    SUPPORTED_ENCODINGS,
    InspectingFilter,
    MaskingFilter,
    SecretForms,
    build_body_filter,
)
from credentials.proxy.request_body import read_request_body
from credentials.proxy.resolve import (
    DecryptedSecrets,
    ResolvedCredential,
    decrypt_secrets,
    resolve_credential,
)
from credentials.proxy.response_stream import BODILESS_STATUSES, ResponseStream
from credentials.proxy.target import RequestTarget, check_path
from credentials.proxy.upstream_request import (
    ForwardedRequest,
    build_unauthenticated_request,
    build_upstream_request,
)
from egress import Client, EgressError, Request, StreamingResponse, Timeouts
from egress.retry_after import parse_retry_after

UPSTREAM_TIMEOUTS: Final = Timeouts(connect=3, total=24 * 3600, read=600, max_body_bytes=None)
"""A provider may think for ten minutes, and stream for a day."""

_KNOWN_BAD: Final = frozenset({"warn", "error"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProxyRequest:
    """A request whose caller is known. `here` is our origin, `started` of the monotonic clock."""

    method: str
    target: RequestTarget
    environ: Mapping[str, Any]
    token: CallerToken
    principal: Principal
    origin: str
    started_at: float


class ProxyResponse(NamedTuple):
    status: int
    headers: headers.HeaderList
    body: ResponseStream


class ProxyHandler:
    """Makes uses, for all threads of a process. `watched` watches over the caller's connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._slots = ConcurrencySlots()

    def handle(
        self,
        asked: ProxyRequest,
        *,
        watched: Callable[[CancellationHandle], AbstractContextManager[None]],
        on_break: Callable[[], None],
    ) -> ProxyResponse:
        """The provider's answer, its body not yet read. Raises Problem or ClientGone."""
        chosen = resolve_credential(asked.target, asked.principal)
        check_token_header(asked.token, chosen.key_headers)
        _check_allowed(chosen, asked)
        with ExitStack() as stack:
            row = chosen.row
            stack.enter_context(self._slots.acquire(row.id, chosen.max_concurrency))
            stack.enter_context(metrics.IN_PROGRESS.track_inprogress())
            limits.wait_for_pause(row.pause_seconds)
            if chosen.rate:
                limits.consume_rate(row.id, chosen.rate)
            if chosen.other_half and chosen.other_half.policy:
                self._take_other(stack, chosen.other_half.id, chosen.other_half.policy)
            provider_limits.consume_provider_limits(row.id, chosen.provider_rates)
            use = _Use(self._client, chosen, asked)
            stack.enter_context(watched(use.line))
            stack.enter_context(use.open)
            answer = use.send()
            filter, passed = use.passing(answer)
            body = ResponseStream(
                answer,
                filter,
                stack.pop_all(),
                at_once=answer.get_header("content-length") is None,
                on_echo=use.tell_of_echo,
                on_break=on_break,
                is_gone=lambda: use.line.cancelled,
            )
        return ProxyResponse(answer.status, passed, body)

    def _take_other(self, stack: ExitStack, id: uuid.UUID, policy: Policy) -> None:
        """A key that came in two halves keeps to the policies of both."""
        stack.enter_context(self._slots.acquire(id, policy.concurrency))
        if policy.rate:
            limits.consume_rate(id, policy.rate)


class CancellationHandle:
    """The call to the provider that is under way; `hang_up` ends it, from whichever thread."""

    def __init__(self) -> None:
        self._end: Callable[[], None] | None = None
        self.cancelled = False

    def start(self, end: Callable[[], None]) -> None:
        self._end = end
        if self.cancelled:
            end()

    def cancel(self) -> None:
        self.cancelled = True
        if self._end:
            self._end()


class _Use:
    """`open` holds the answer, for as long as it is entered; `forms` are of what was put on the request."""

    def __init__(self, client: Client, chosen: ResolvedCredential, asked: ProxyRequest) -> None:
        self.line = CancellationHandle()
        self.open = ExitStack()
        self.forms = SecretForms(())
        self._client = client
        self._chosen = chosen
        self._asked = asked
        self._told = False
        self._call = ForwardedRequest(
            method=asked.method,
            target=asked.target,
            environ=asked.environ,
            body=read_request_body(asked.environ),
        )

    def send(self) -> StreamingResponse:
        """The answer; the use is written down before this returns."""
        chosen, asked = self._chosen, self._asked
        if signing.is_public_endpoint(chosen.signature_scheme, asked.method, asked.target.path):
            return self._relayed(build_unauthenticated_request(chosen, self._call))
        opened = decrypt_secrets(chosen, asked.principal)
        request = self._prepared(opened)
        for row in filter(None, (chosen.row, chosen.other_half)):
            mark_used(id=row.id)
        with require_audit_write():
            answer = self._answered(request, opened)
            self._note(answer.status)
        return answer

    def passing(
        self, answer: StreamingResponse
    ) -> tuple[MaskingFilter | InspectingFilter | JsonLinkRewriter, headers.HeaderList]:
        """What the body goes through, and the headers as the caller gets them."""
        here, base_url = self._asked.origin + self._asked.target.prefix, self._chosen.base_url
        if self.forms.occur_in("\n".join(v for _, v in answer.headers).encode("latin-1")):
            self.tell_of_echo()
        passed = headers.filter_response_headers(
            answer.headers,
            rewrite_url=headers.UrlRewriter(base_url, here, base_url + self._asked.target.path),
            mask_value=lambda value: self.forms.mask(value.encode("latin-1")).decode("latin-1"),
        )
        encoding = (answer.get_header("content-encoding") or "").strip().lower()
        filter = build_body_filter(encoding, self.forms)
        is_json = "json" in (answer.get_header("content-type") or "").lower()
        if not (
            self._chosen.provider.links_in_answers and is_json and isinstance(filter, MaskingFilter)
        ):
            return filter, passed
        # It will be of another length.
        passed = [pair for pair in passed if pair[0] != "Content-Length"]
        return JsonLinkRewriter(filter, base_url, here), passed

    def tell_of_echo(self) -> None:
        """Write down, once, that a secret came back."""
        if self._told:
            return
        self._told = True
        with require_audit_write():
            audit.record_echo(
                principal=self._asked.principal,
                credential_id=self._chosen.row.id,
                provider=self._chosen.row.provider,
                path=self._asked.target.path,
            )
        release_connection()

    def _prepared(self, opened: DecryptedSecrets) -> Request:
        self.forms = SecretForms(opened.secrets.values())
        return build_upstream_request(self._chosen, opened, self._call)

    def _answered(self, request: Request, opened: DecryptedSecrets) -> StreamingResponse:
        """The answer, not yet written down; what goes wrong from here on is."""
        try:
            answer = self._relayed(request)
            if answer.status == 401:
                answer = self._refused(answer, opened)
            self._heed(answer)
        except ServiceError as problem:
            self._note(problem.status)
            raise
        except ClientDisconnectedError:
            self._note(audit.CLIENT_DISCONNECTED)
            raise
        except Error:
            release_connection()  # What failed may have been the connection alone.
            self._note(AuditWriteError.status)
            raise
        return answer

    def _relayed(self, request: Request) -> StreamingResponse:
        release_connection()
        try:
            answer = self.open.enter_context(
                self._client.relay(
                    request,
                    encodings=self._encodings(),
                    timeouts=UPSTREAM_TIMEOUTS,
                    on_start=self.line.start,
                )
            )
        except EgressError as error:
            if self.line.cancelled:
                raise ClientDisconnectedError("the caller went away") from None
            raise build_upstream_error(error) from None
        bodiless = self._asked.method == "HEAD" or answer.status in BODILESS_STATUSES
        encoding = (answer.get_header("content-encoding") or "").strip().lower()
        if encoding not in SUPPORTED_ENCODINGS and not bodiless:
            raise BadGateway("The provider's answer is in an encoding that was not asked for.")
        return answer

    def _encodings(self) -> str:
        """What is to be changed on its way must not be compressed."""
        if self._chosen.provider.links_in_answers:
            return "identity"
        return headers.select_encodings(self._asked.environ)

    def _refused(self, answer: StreamingResponse, opened: DecryptedSecrets) -> StreamingResponse:
        """The answer to the request once more with a new token; or the 401, where there is none."""
        renewed = self._renewed(opened) if self._call.body.is_repeatable else None
        if renewed is None:
            self._suspect()
            return answer
        request = self._prepared(renewed)
        self.open.close()
        again = self._relayed(request)
        if again.status == 401:
            self._suspect()
        return again

    def _renewed(self, opened: DecryptedSecrets) -> DecryptedSecrets | None:
        if not self._chosen.kind.refreshes:
            return None
        try:
            renewed = decrypt_secrets(self._chosen, self._asked.principal, force=True)
        except ServiceError:
            return None  # The refresh has told of itself; the caller has their 401.
        return renewed if renewed.token != opened.token else None

    def _heed(self, answer: StreamingResponse) -> None:
        """A provider that wants a pause gets it, from all processes."""
        if answer.status in {429, 503}:
            seconds = parse_retry_after(answer.headers, maximum=limits.MAX_PAUSE_SECONDS)
            if seconds:
                limits.pause_credential(self._chosen.row.id, seconds)

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
            record_evidence(
                account_id=row.account_id,
                credential_id=row.id,
                evidence=evidence,
                actor=self._asked.principal.actor,
            )

    def _note(self, status: int) -> None:
        asked = self._asked
        for row in filter(None, (self._chosen.row, self._chosen.other_half)):
            audit.record_use(
                principal=asked.principal,
                credential_id=row.id,
                provider=row.provider,
                method=asked.method,
                path=asked.target.path,
                status=status,
                started_at=asked.started_at,
            )
        release_connection()


def _check_allowed(chosen: ResolvedCredential, asked: ProxyRequest) -> None:
    """Raise BadRequest for a path that is not to be had, Forbidden for what rules forbid."""
    method, path = asked.method, asked.target.path
    check_path(path, frozenset(chosen.provider.paths))
    policies = [row.policy for row in (chosen.row, chosen.other_half) if row and row.policy]
    for each in policies:
        policy.check_policy(each, method, path)
    blocked = chosen.custom.blocked_endpoints if chosen.custom else []
    if is_endpoint_blocked(method, path, blocked):
        raise ForbiddenError(
            "This endpoint of the service is blocked.", extra={"code": "not_allowed"}
        )
    if not (blocked or any(each.methods is not None for each in policies)):
        return
    overrides = [
        f"HTTP_{name.upper().replace('-', '_')}" for name in headers.METHOD_OVERRIDE_HEADERS
    ]
    if any(name in asked.environ for name in overrides):
        raise ForbiddenError("A header that names another method is not allowed with these rules.")
    if overrides_method(method, asked.target.query or ""):
        raise ForbiddenError(
            "A parameter that names another method is not allowed with these rules."
        )
