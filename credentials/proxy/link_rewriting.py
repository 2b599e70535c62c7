"""Addresses of a provider within its JSON, made ours: some clients follow only what leads to their base URL."""

from __future__ import annotations

from credentials.proxy.redaction import MaskingFilter, suffix_overlap


class JsonLinkRewriter:
    """A JSON stream in which strings that begin with `base_url` begin with `here` instead.

    It comes after `masking`, and has its promises. The length changes, so none may be announced.
    """

    def __init__(self, masking: MaskingFilter, base_url: str, here: str) -> None:
        self._masking = masking
        self._pairs = [
            (_form(base_url, after, escaped), _form(here, after, escaped))
            for after in ("/", '"', "{", "?")
            for escaped in (False, True)
        ]
        self._kept = b""

    @property
    def secret_found(self) -> bool:
        return self._masking.secret_found

    def feed(self, chunk: bytes) -> bytes:
        return self._linked(self._masking.feed(chunk))

    def flush(self) -> bytes:
        linked = self._linked(self._masking.flush())
        rest, self._kept = linked + self._kept, b""
        return rest

    def _linked(self, chunk: bytes) -> bytes:
        data = self._kept + chunk
        wait = max(suffix_overlap(data, theirs) for theirs, _ in self._pairs)
        data, self._kept = data[: len(data) - wait], data[len(data) - wait :]
        for theirs, ours in self._pairs:
            data = data.replace(theirs, ours)
        return data


def _form(url: str, after: str, escaped: bool) -> bytes:
    text = f'"{url}{after}'
    return (text.replace("/", "\\/") if escaped else text).encode()
