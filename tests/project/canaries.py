"""Secrets that can be recognized in any encoding."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from django.db import connection


def _make_jwt() -> str:
    parts = [b'{"cnry":"jwt-head"}', b'{"sub":"cnryJwtBody71xQ"}', b"cnryJwtSignature93"]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


CANARIES = {
    "key": "Zq4cnryKey08sLwPv5tNxRm2",
    "newer key": "Bw9cnryNew17gTkHd3yUqEa6",
    "password": "Yt6cnry#@:/%\"'<>& Pass4kJ",
    "access token": _make_jwt(),
    "refresh token": "Hx3cnryRef52mQzVc8oFnWs1",
    "pem": "-----BEGIN cnryPEM-----MIIcnryPemBody2Uz7Wq9-----END cnryPEM-----",
    "part one": "Kd8cnryOne63pYbXj4rTgLi0",
    "part two": "Ns2cnryTwo74aDfGh7uIoPz5",
    "posted key": "Vf5cnryPost85wErTy1QuCk3",
    "custom key": "Em1cnryCustom96zXcVb0NmAl",
    "client secret": "Pj7cnryApp41nBvCx6ZlKhGf",
    "rotated secret": "Tg0cnryRot30mNbVc4XzLpOi",
    "é secret": "Ru4cnryÜmläut漢字29yTrEw",
    "login": "Ox9cnryLogin18qWeRt6YuIp",
    "wrong login": "La3cnryWrong07aSdFg8HjKl",
    "rejected": "Qc6cnryReject96zXcVb2Nm",
}


def list_spellings(secret: str) -> set[bytes]:
    """Return the encodings in which `secret` could appear, and its first 12 characters."""
    raw = secret.encode()
    escaped = json.dumps(secret)[1:-1]
    variants = {
        raw,
        base64.b64encode(raw).rstrip(b"="),
        base64.urlsafe_b64encode(raw).rstrip(b"="),
        raw.hex().encode(),
        raw.hex().upper().encode(),
        quote(secret, safe="").encode(),
        quote_plus(secret).encode(),
        escaped.encode(),
        json.dumps(escaped)[1:-1].encode(),
        json.dumps(secret, ensure_ascii=False)[1:-1].encode(),
        html.escape(secret).encode(),
        repr(secret)[1:-1].encode(),
        secret[::-1].encode(),
        secret[:12].encode(),
        raw.hex()[:24].encode(),
    }
    # An error may repeat one line only.
    return variants | {line.encode() for line in secret.splitlines() if len(line) > 11}


def find_leaks(text: bytes, secrets: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, secret in secrets:
        for spelling in list_spellings(secret):
            if spelling in text:
                at = text.index(spelling)
                yield f"{name}: …{text[max(0, at - 80) : at + 40]!r}…"


def dump_database() -> bytes:
    """Return every cell of every table as bytes."""
    cells: list[bytes] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                cells += [
                    bytes(c) if isinstance(c, bytes | memoryview) else str(c).encode() for c in row
                ]
    return b"\x00\n".join(cells)
