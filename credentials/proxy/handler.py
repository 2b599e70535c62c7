"""One use of a credential: from a caller's request to the provider's response."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.db import Error, transaction

from common.actors import Principal
from common.concurrency import release_connection
from common.errors import ForbiddenError, ServiceError
from credentials.core.usage import mark_used
from credentials.health.evidence import Evidence
from credentials.health.services import record_evidence, report_undecryptable
from credentials.proxy import audit, headers, limits, metrics, policy, provider_limits, signing
from credentials.proxy.caller_token import CallerToken, check_token_header
from credentials.proxy.connection import CallerConnection
from credentials.proxy.errors import (
    AuditWriteError,
    BadGatewayError,
    ClientDisconnectedError,
    build_upstream_error,
    require_audit_write,
)
from credentials.proxy.limits import ConcurrencySlots
from credentials.proxy.link_rewriting import JsonLinkRewriter
from credentials.proxy.path_rules import is_endpoint_blocked, overrides_method
from credentials.proxy.redaction import (
    SUPPORTED_ENCODINGS,
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
from credentials.proxy.response_stream import BODILESS_STATUSES, BodyFilter, ResponseStream
from credentials.proxy.target import RequestTarget, check_path
from credentials.proxy.upstream_request import (
    ForwardedRequest,
    build_unauthenticated_request,
    build_upstream_request,
)
from egress import Client, EgressError, Request, StreamingResponse, Timeouts
from egress.headers import parse_retry_after

# A provider may compute for ten minutes, and stream for a day.
UPSTREAM_TIMEOUTS: Final = Timeouts(connect=3, total=24 * 3600, read=600, max_body_bytes=None)

_UNHEALTHY: Final = frozenset({"warn", "error"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProxyRequest:
    """An authenticated request.

    `origin` is the scheme and host of this proxy; `started_at` is from the monotonic clock.
    """

    method: str
    target: RequestTarget
    environ: headers.Environ
    token: CallerToken
    principal: Principal
    origin: str
    started_at: float


class ProxyResponse(NamedTuple):
    status: int
    headers: headers.HeaderList
    body: ResponseStream


class ProxyHandler:
    """The handler of requests, shared by all threads of a process."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._slots = ConcurrencySlots()

    def handle(self, request: ProxyRequest, connection: CallerConnection) -> ProxyResponse:
        """Return the provider's response before its body is read.

        Raises ServiceError, or ClientDisconnectedError.
        """
        credential = resolve_credential(request.target, request.principal)
        check_token_header(request.token, credential.key_headers)
        _check_allowed(credential, request)
        with ExitStack() as stack:
            self._acquire_capacity(stack, credential)
            exchange = _ProxiedRequest(self._client, credential, request, connection)
            stack.enter_context(connection.watch())
            stack.enter_context(exchange.upstream)
            response = exchange.send()
            body_filter, response_headers = exchange.filter_response(response)
            body = ResponseStream(
                response,
                body_filter,
                stack.pop_all(),
                connection=connection,
                echo_recorder=exchange.echo_recorder,
            )
        return ProxyResponse(response.status, response_headers, body)

    def _acquire_capacity(self, stack: ExitStack, credential: ResolvedCredential) -> None:
        """Wait for the limits of the policies and of the provider. Raises TooManyRequestsError."""
        row, other_half = credential.row, credential.other_half
        stack.enter_context(self._slots.acquire(row.id, credential.max_concurrency))
        stack.enter_context(metrics.IN_PROGRESS.track_inprogress())
        limits.wait_for_pause(row.pause_seconds)
        if credential.rate:
            limits.consume_rate(row.id, credential.rate)
        if other_half and other_half.policy:
            stack.enter_context(self._slots.acquire(other_half.id, other_half.policy.concurrency))
            if other_half.policy.rate:
                limits.consume_rate(other_half.id, other_half.policy.rate)
        provider_limits.consume_provider_limits(row.id, credential.provider_rates)


class _ProxiedRequest:
    """One request to the provider, and its response.

    `upstream` keeps the response open until it is closed. `secret_forms` are the encodings of the
    secrets on the request, which are masked in the response.
    """

    def __init__(
        self,
        client: Client,
        credential: ResolvedCredential,
        request: ProxyRequest,
        connection: CallerConnection,
    ) -> None:
        self.upstream = ExitStack()
        self.secret_forms = SecretForms(())
        self.echo_recorder = audit.EchoRecorder(
            principal=request.principal,
            credential_id=credential.row.id,
            provider=credential.row.provider,
            path=request.target.path,
        )
        self._client = client
        self._credential = credential
        self._request = request
        self._connection = connection
        self._forwarded = ForwardedRequest(
            method=request.method,
            target=request.target,
            environ=request.environ,
            body=read_request_body(request.environ),
        )

    def send(self) -> StreamingResponse:
        """Return the response. The use is recorded before this returns."""
        credential, request = self._credential, self._request
        if signing.is_public_endpoint(
            credential.signature_scheme, request.method, request.target.path
        ):
            return self._open_response(build_unauthenticated_request(credential, self._forwarded))
        row = credential.row
        with report_undecryptable(
            account_id=row.account_id, credential_id=row.id, actor=request.principal.actor
        ):
            secrets = decrypt_secrets(credential, request.principal)
        upstream_request = self._build_request(secrets)
        for row in credential.rows:
            mark_used(id=row.id)
        with require_audit_write():
            response = self._send_recorded(upstream_request, secrets)
            self._record_use(response.status)
        return response

    def filter_response(self, response: StreamingResponse) -> tuple[BodyFilter, headers.HeaderList]:
        """Return the filter for the body, and the headers for the caller."""
        credential = self._credential
        our_base_url = self._request.origin + self._request.target.prefix
        header_values = "\n".join(value for _, value in response.headers)
        if self.secret_forms.occur_in(header_values.encode("latin-1")):
            self.echo_recorder.record()
        response_headers = headers.filter_response_headers(
            response.headers,
            rewrite_url=headers.UrlRewriter(
                credential.base_url, our_base_url, credential.base_url + self._request.target.path
            ),
            mask_value=lambda value: self.secret_forms.mask(value.encode("latin-1")).decode(
                "latin-1"
            ),
        )
        body_filter = build_body_filter(_get_encoding(response), self.secret_forms)
        is_json = "json" in (response.get_header("content-type") or "").lower()
        if (
            credential.provider.links_in_answers
            and is_json
            and isinstance(body_filter, MaskingFilter)
        ):
            # The rewritten body has another length.
            response_headers = [pair for pair in response_headers if pair[0] != "Content-Length"]
            return JsonLinkRewriter(
                body_filter, credential.base_url, our_base_url
            ), response_headers
        return body_filter, response_headers

    def _build_request(self, secrets: DecryptedSecrets) -> Request:
        self.secret_forms = SecretForms(secrets.secrets.values())
        return build_upstream_request(self._credential, secrets, self._forwarded)

    def _send_recorded(self, request: Request, secrets: DecryptedSecrets) -> StreamingResponse:
        """Send the request and return the response. If that fails, record the use with its status."""
        try:
            response = self._open_response(request)
            if response.status == 401:
                response = self._retry_with_new_token(response, secrets)
            if response.status in {429, 503}:
                # The provider's Retry-After is for the credential, so all processes have to wait.
                pause = parse_retry_after(response.headers, maximum=limits.MAX_PAUSE_SECONDS)
                if pause:
                    limits.pause_credential(self._credential.row.id, pause)
        except ServiceError as error:
            self._record_use(error.status)
            raise
        except ClientDisconnectedError:
            self._record_use(audit.CLIENT_DISCONNECTED)
            raise
        except Error:
            # Only the connection may have failed. A new one can then record the use.
            release_connection()
            self._record_use(AuditWriteError.status)
            raise
        return response

    def _open_response(self, request: Request) -> StreamingResponse:
        # The provider may be slow, and there are few database connections.
        release_connection()
        # A body whose links are rewritten must not be compressed.
        encodings = (
            "identity"
            if self._credential.provider.links_in_answers
            else headers.select_encodings(self._request.environ)
        )
        try:
            response = self.upstream.enter_context(
                self._client.relay(
                    request,
                    encodings=encodings,
                    timeouts=UPSTREAM_TIMEOUTS,
                    on_start=self._connection.cancel_on_disconnect,
                )
            )
        except EgressError as error:
            if self._connection.disconnected:
                raise ClientDisconnectedError("the caller disconnected") from None
            raise build_upstream_error(error) from None
        has_body = self._request.method != "HEAD" and response.status not in BODILESS_STATUSES
        if has_body and _get_encoding(response) not in SUPPORTED_ENCODINGS:
            raise BadGatewayError(
                "The provider's response is in an encoding that was not requested."
            )
        return response

    def _retry_with_new_token(
        self, response: StreamingResponse, secrets: DecryptedSecrets
    ) -> StreamingResponse:
        """Send the request again with a refreshed token. Return the 401 if there is no new token."""
        new_secrets = self._refresh_token(secrets) if self._forwarded.body.is_repeatable else None
        if new_secrets is not None:
            request = self._build_request(new_secrets)
            self.upstream.close()
            response = self._open_response(request)
        if response.status == 401:
            self._report_unauthorized()
        return response

    def _refresh_token(self, secrets: DecryptedSecrets) -> DecryptedSecrets | None:
        if not self._credential.kind.refreshes:
            return None
        try:
            new_secrets = decrypt_secrets(self._credential, self._request.principal, force=True)
        except ServiceError:
            # The failed refresh is already recorded. The caller receives the provider's 401.
            return None
        return new_secrets if new_secrets.token != secrets.token else None

    def _report_unauthorized(self) -> None:
        """Record a 401 as evidence for the credential's health.

        It is only a suspicion, as this path may need another credential.
        """
        row = self._credential.row
        if row.health_status in _UNHEALTHY:
            return
        evidence = Evidence(
            source="use",
            verdict="suspect",
            note=f"{self._credential.provider.name} rejected a request with HTTP 401.",
            code="http_401",
        )
        with transaction.atomic():
            record_evidence(
                account_id=row.account_id,
                credential_id=row.id,
                evidence=evidence,
                actor=self._request.principal.actor,
            )

    def _record_use(self, status: int) -> None:
        request = self._request
        for row in self._credential.rows:
            audit.record_use(
                principal=request.principal,
                credential_id=row.id,
                provider=row.provider,
                method=request.method,
                path=request.target.path,
                status=status,
                started_at=request.started_at,
            )
        release_connection()


def _get_encoding(response: StreamingResponse) -> str:
    return (response.get_header("content-encoding") or "").strip().lower()


def _check_allowed(credential: ResolvedCredential, request: ProxyRequest) -> None:
    """Raise BadRequestError if the path is ambiguous, ForbiddenError if a rule forbids the request."""
    method, path = request.method, request.target.path
    check_path(path, frozenset(credential.provider.paths))
    policies = [row.policy for row in credential.rows if row.policy]
    for each in policies:
        policy.check_policy(each, method, path)
    blocked = credential.custom.blocked_endpoints if credential.custom else []
    if is_endpoint_blocked(method, path, blocked):
        raise ForbiddenError(
            "This endpoint of the service is blocked.", extra={"code": "not_allowed"}
        )
    if not (blocked or any(each.methods is not None for each in policies)):
        return
    # Some providers let a header or a parameter override the method. That would circumvent a rule
    # about methods.
    overrides = {
        f"HTTP_{name.upper().replace('-', '_')}" for name in headers.METHOD_OVERRIDE_HEADERS
    }
    if not overrides.isdisjoint(request.environ):
        raise ForbiddenError("A header that names another method is not allowed with these rules.")
    if overrides_method(method, request.target.query or ""):
        raise ForbiddenError(
            "A parameter that names another method is not allowed with these rules."
        )
