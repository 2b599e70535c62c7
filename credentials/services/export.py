"""Credentials as import bodies without their secrets, so that an import reads what was exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import orjson
from django.db.models import QuerySet

from credentials.core import queries
from credentials.core.queries import CredentialRepresentation
from credentials.models import Credential
from providers.properties import MASK
from providers.registry import get_registry

PAGE_SIZE: Final = 1000

BODY_FIELDS: Final = ("name", "oauth_app_id", "owner_email", "external_id")
"""The texts of a body that an import changes. They are left out if a credential has none."""

READ_ONLY_FIELDS: Final = (
    "provider", "health", "expires_at", "refresh", "last_used_at", "created_at", "updated_at",
)  # fmt: skip

PageReader = Callable[[], AbstractContextManager[None]]


def iter_documents(
    rows: QuerySet[Credential], *, reading: PageReader = nullcontext
) -> Iterator[dict[str, Any]]:
    """Yield the credentials of `rows`, all of one account, newest first, a page of them in memory.

    Each page is one statement within `reading()`: nothing is open while a client reads slowly.
    """
    page = _read_page(rows, reading)
    while page:
        yield from (build_document(row) for row in page)
        if len(page) < PAGE_SIZE:
            return
        # By id and not by offset: rows that are created in the meantime move nothing.
        page = _read_page(rows.filter(id__lt=page[-1].id), reading)


def _read_page(rows: QuerySet[Credential], reading: PageReader) -> list[CredentialRepresentation]:
    with reading():
        return queries.fetch_filtered(rows, PAGE_SIZE)


def build_document(row: CredentialRepresentation) -> dict[str, Any]:
    """Return an import body that changes `row`, with its `id` and `etag` and without secrets.

    It also has the read-only fields of the representation, which an import ignores.
    """
    document = orjson.loads(orjson.dumps(row.document))
    kind = get_registry().get_kind(document["kind"])
    properties = {
        name: value
        for name, value in document["properties"].items()
        if (name not in kind.secret_fields if kind else value != MASK)
    }
    if document["name"] == properties.get("name"):
        # It is the fallback. A name of its own that is the same is displayed in the same way.
        document["name"] = None
    body = {name: document[name] for name in BODY_FIELDS if document[name] is not None}
    return {
        "id": row.id,
        "etag": str(row.revision),
        **body,
        "properties": properties,
        "metadata": document["metadata"],
        **{name: document[name] for name in READ_ONLY_FIELDS},
    }
