"""Links to the provider in its JSON, rewritten to the proxy.

Some clients follow only links that begin with their base URL.
"""

from __future__ import annotations

from credentials.proxy.redaction import MaskingFilter, suffix_overlap


class JsonLinkRewriter:
    """A JSON stream in which strings that begin with `base_url` begin with `our_base_url` instead.

    It filters the output of `masking`, with the same methods. The length changes, so that the
    response must not announce one.
    """

    def __init__(self, masking: MaskingFilter, base_url: str, our_base_url: str) -> None:
        self._masking = masking
        # JSON may escape a slash. What follows shows that the string is below the base URL, and
        # not a longer host name.
        self._replacements = [
            (
                _encode_start(base_url, next_character, escaped),
                _encode_start(our_base_url, next_character, escaped),
            )
            for next_character in ("/", '"', "{", "?")
            for escaped in (False, True)
        ]
        self._pending = b""

    @property
    def secret_found(self) -> bool:
        return self._masking.secret_found

    def feed(self, chunk: bytes) -> bytes:
        return self._rewrite(self._masking.feed(chunk))

    def flush(self) -> bytes:
        rewritten = self._rewrite(self._masking.flush())
        rest, self._pending = rewritten + self._pending, b""
        return rest

    def _rewrite(self, chunk: bytes) -> bytes:
        data = self._pending + chunk
        # The start of a link may be split between two chunks.
        pending = max(suffix_overlap(data, theirs) for theirs, _ in self._replacements)
        data, self._pending = data[: len(data) - pending], data[len(data) - pending :]
        for theirs, ours in self._replacements:
            data = data.replace(theirs, ours)
        return data


def _encode_start(url: str, next_character: str, escaped: bool) -> bytes:
    text = f'"{url}{next_character}'
    return (text.replace("/", "\\/") if escaped else text).encode()
