"""Files that are no import files: what they look like, for an error that says so.

The forms are those that the programs write themselves; each is recognized by names that no import
file has.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

_BINARY: Final = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls); save it as XLSX or CSV"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"Rar!", "a RAR archive; unpack it first"),
    (b"SQLite format 3", "an SQLite database"),
    (b"PGDMP", "a dump of PostgreSQL in its own format"),
    (b"PAR1", "a Parquet file; export it as CSV"),
    (b"age-encryption.org/", "encrypted with age; decrypt it first"),
    (b"-----BEGIN AGE ENCRYPTED FILE", "encrypted with age; decrypt it first"),
    (b"-----BEGIN PGP", "encrypted or signed with PGP; decrypt it first"),
    (b"Salted__", "encrypted with OpenSSL; decrypt it first"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)
_HEADERS: Final = (
    ({"access key id", "secret access key"}, "a CSV of AWS access keys"),
    ({"login_uri", "login_username"}, "a Bitwarden export"),
    ({"login_uri", "login_password"}, "a Bitwarden export"),
    ({"title", "password"}, "an export of a password manager such as 1Password"),
    ({"url", "username", "password"}, "an export of a browser or of a password manager"),
    ({"account", "login name", "password"}, "a KeePass export"),
    ({"group", "title", "username"}, "a KeePass export"),
    ({"conn_id", "conn_type"}, "an Airflow connections export"),
)
_TEXTS: Final = (
    (
        r"-----BEGIN [A-Z ]*PRIVATE KEY",
        "a private key in PEM; it goes into a property of a credential",
    ),
    (r"-----BEGIN CERTIFICATE", "a certificate in PEM"),
    (r"(?i)<!doctype html|<html", "a web page; the download may have ended on a login page"),
    (r"(?i)<\?xml|<[a-z]+[ >]", "XML"),
    (r"(?i)(insert into|copy |create table|set statement_timeout)", "an SQL dump"),
    (
        r"(export )?AIRFLOW_CONN_\w+=",
        "Airflow connections as environment variables",
    ),
    (r"(export )?[A-Za-z_][A-Za-z0-9_]*=", "an environment file (.env)"),
    (r"[\w.-]+:\n +conn_type:", "an Airflow connections export in YAML"),
    (r"[\w.\"-]+:( [^,;\n]*)?$", "YAML"),
    (r"\[[\w .-]+\]$", "an INI file"),
)
_MAX_MATCHED: Final = 2000
_COMMENTS: Final = ("#", "-- ", "/*")


def describe_binary(head: bytes) -> str | None:
    """Return what a file is whose bytes are no text, or None."""
    for start, description in _BINARY:
        if head.startswith(start):
            return description
    if not head.startswith(b"PK\x03\x04"):
        return None
    if b"opendocument.spreadsheet" in head[:200]:
        return "an OpenDocument spreadsheet (.ods); save it as XLSX or CSV"
    return None


def describe_header(names: set[str]) -> str | None:
    """Return what a CSV is, by the names in its header in lower case, or None."""
    return next((text for needed, text in _HEADERS if needed <= names), None)


def describe_text(text: str) -> str | None:
    """Return what a text is that is neither JSON nor a table, or None."""
    lines = [line.rstrip() for line in text[:_MAX_MATCHED].splitlines()]
    # Comments come first in many of these forms.
    content = "\n".join(
        line for line in lines if line.strip("-") and not line.startswith(_COMMENTS)
    )
    return next((name for form, name in _TEXTS if re.match(form, content, re.MULTILINE)), None)


def describe_json(document: object) -> str | None:
    """Return what a JSON document is, or the first element of an array, or None."""
    if not isinstance(document, dict) or "properties" in document:
        return None
    for is_form, description in _JSON_FORMS:
        if is_form(document):
            return description
    return None


def _has(*names: str) -> Callable[[dict[str, Any]], bool]:
    return lambda document: set(names) <= document.keys()


def _has_values_with(*names: str) -> Callable[[dict[str, Any]], bool]:
    def check(document: dict[str, Any]) -> bool:
        values = list(document.values())
        return bool(values) and all(
            isinstance(value, dict) and set(names) <= value.keys() for value in values
        )

    return check


def _has_type(*types: str) -> Callable[[dict[str, Any]], bool]:
    return lambda document: document.get("type") in types


_JSON_FORMS: Final[tuple[tuple[Callable[[dict[str, Any]], bool], str], ...]] = (
    (_has_type("service_account"), "the key of a Google service account"),
    (_has_type("authorized_user"), "application default credentials of Google"),
    (_has_values_with("conn_type"), "an Airflow connections export"),
    (_has("conn_id", "conn_type"), "an Airflow connections export"),
    (_has("id", "name", "type", "data"), "an export of n8n credentials"),
    (_has("credential_type", "inputs"), "an AWX export"),
    (_has("credentials", "credential_types"), "an AWX export"),
    (_has("connection_id", "provider_config_key"), "a list of Nango connections"),
    (_has("connections"), "a list of Nango connections"),
    (_has("encrypted", "items"), "a Bitwarden export"),
    (_has("folders", "items"), "a Bitwarden export"),
    (_has("_postman_variable_scope"), "a Postman environment"),
    (_has("info", "item"), "a Postman collection"),
    (_has("request_id", "lease_id", "data"), "a response of Vault"),
    (_has("data", "has_more"), "a page of GET /v1/credentials; an export has all of them"),
    (_has("data", "next_cursor"), "a page of GET /v1/credentials; an export has all of them"),
    (_has("web"), "the client file of a Google OAuth app"),
    (_has("installed"), "the client file of a Google OAuth app"),
)
