"""The production settings with fast password hashing and test keys, on TEST_DATABASE_URL."""

import base64
import os

_url = os.environ.get("TEST_DATABASE_URL") or "sqlite:///var/unused.sqlite3"
os.environ.update(
    DEBUG="0",
    SECRET_KEY="test-only-" * 6,
    PUBLIC_URL="http://testserver",
    ALLOWED_HOSTS="testserver,127.0.0.1,localhost",
    DATABASE_URL=_url,
    VAULT_KEYS=f"t1:{base64.b64encode(b'1' * 32).decode()}",
    VAULT_KEYS_FILE="",
)
# The address of sample webhook endpoints: nothing listens there, and no name is resolved.
os.environ.setdefault("EGRESS_ALLOW", "127.0.0.1:9")

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASES, VAR_DIR  # noqa: E402

if _url.startswith("sqlite"):
    VAR_DIR.mkdir(exist_ok=True)
    # A file, because threads and processes share it. Nothing waits for the disk.
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"]["init_command"] = (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
    )
else:
    DATABASES["default"]["OPTIONS"]["pool"]["max_size"] = 64

PASSWORD_HASHERS = ["tests.fast_hasher.FastPasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Empty, because WhiteNoise reads the whole folder for each new test client.
STATIC_ROOT = VAR_DIR / "test-static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
# A test changes the state and calls /readyz again.
READINESS_SECONDS = 0
# Some tests send hundreds of requests with one token; those of the limits set this.
RATE_LIMITS = False
# A busy machine may stop a statement for longer than the time that a list has to be read in order.
ORDERED_LIST_SECONDS = 2.0
