"""Django's settings, read from the environment once. README.md lists the variables."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from urllib.parse import urlsplit

import django_stubs_ext
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config import env
from config.logging import configure_logging

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

# --- Site ---------------------------------------------------------------------------------------
DEBUG = env.read_boolean("DEBUG", default=False)
SECRET_KEY = env.read_secret_key(debug=DEBUG, folder=VAR_DIR)
PUBLIC_URL = env.read_public_url(default="http://127.0.0.1:8000" if DEBUG else "")
ALLOWED_HOSTS = env.env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"] if DEBUG else [])
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS is missing: list the names clients use, with commas.")
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
_TLS = urlsplit(PUBLIC_URL).scheme == "https"

# --- Apps and middleware ------------------------------------------------------------------------
INSTALLED_APPS = [
    "config.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_otp",
    "axes",
    "csp",
    "config",
    "config.dashboard",
    "credentials",
    "credentials.connect",
    "credentials.health",
    "credentials.imports",
    "credentials.notifications",
    "credentials.proxy",
    "credentials.restore",
    "oauth_apps",
    "webhooks",
    "accounts",
    "events",
    "vault",
    "providers",
    "egress",
    "common",
]
MIDDLEWARE = [
    "config.request_metrics.RequestMetricsMiddleware",
    "config.middleware.RequestContextMiddleware",
    "config.access_log.AccessLogMiddleware",
    "config.middleware.ForwardedProtoMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.middleware.StrictTargetMiddleware",
    "config.browser_middleware.BrowserCSPMiddleware",
    "config.browser_middleware.BrowserSessionMiddleware",
    "config.middleware.HostCheckMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "config.browser_middleware.BrowserAuthenticationMiddleware",
    "config.browser_middleware.BrowserOTPMiddleware",
    "config.browser_middleware.BrowserMessageMiddleware",
    "config.browser_middleware.BrowserErrorMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.browser_middleware.BrowserAxesMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Storage ------------------------------------------------------------------------------------
DATABASES = {
    "default": env.parse_database_url(
        env.env.str(
            "DATABASE_URL", default=f"sqlite:///{VAR_DIR}/latchkey.sqlite3" if DEBUG else ""
        )
    )
}
# The time for reading a list in its order, which takes milliseconds for nearly every filter. After
# it, a list is read by its matches (common/db/planner.py).
ORDERED_LIST_SECONDS = 0.2
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": env.read_cache_url("CACHE_URL")}
VAULT_KEYS = env.env.str("VAULT_KEYS", default="")
VAULT_KEYS_FILE = env.env.str("VAULT_KEYS_FILE", default="")
VAULT_SUITE = env.env.str("VAULT_SUITE", default="1")
EGRESS_ALLOW = env.env.str("EGRESS_ALLOW", default="")
PROVIDERS_DIR = env.read_folder("PROVIDERS_DIR")
REQUEST_SLOTS = env.REQUEST_SLOTS
BLOCKING_THREADS = env.BLOCKING_THREADS
SPOOL_STANDBY_SECONDS = max(env.read_number("SPOOL_STANDBY_SECONDS", default=0), 0)
SPOOL_DIR = env.env.str("SPOOL_DIR", default=str(VAR_DIR / "spool"))
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
# Only the import page accepts a file, in memory (credentials/imports/admin_upload.py). On any other
# page an uploaded file is discarded and never written to a disk.
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024

# --- Time, language, files ----------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
WHITENOISE_USE_FINDERS = DEBUG

# --- Mail ---------------------------------------------------------------------------------------
_MAIL = env.read_email_url("EMAIL_URL")
EMAIL_BACKEND = _MAIL["EMAIL_BACKEND"]
EMAIL_HOST, EMAIL_PORT = _MAIL["EMAIL_HOST"], _MAIL["EMAIL_PORT"]
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _MAIL["EMAIL_HOST_USER"], _MAIL["EMAIL_HOST_PASSWORD"]
EMAIL_USE_TLS, EMAIL_USE_SSL = _MAIL["EMAIL_USE_TLS"], _MAIL["EMAIL_USE_SSL"]
EMAIL_TIMEOUT = _MAIL["EMAIL_TIMEOUT"] or 20
DEFAULT_FROM_EMAIL = _MAIL.get(
    "DEFAULT_FROM_EMAIL", f"Latchkey <latchkey@{urlsplit(PUBLIC_URL).hostname}>"
)
STAFF_EMAIL = env.read_addresses("STAFF_EMAIL")
STAFF_ALERT_ERRORS = env.read_number("STAFF_ALERT_ERRORS", default=20)

# --- Reverse proxy and monitoring ---------------------------------------------------------------
TRUSTED_PROXIES = env.read_number("TRUSTED_PROXIES", default=0)
RATE_LIMITS = env.read_boolean("RATE_LIMITS", default=True)
MAX_CLOCK_DIFFERENCE = env.read_number("MAX_CLOCK_DIFFERENCE", default=30)
# Seconds for which a process repeats its last response to /readyz.
READINESS_SECONDS = 1

METRICS_TOKEN = env.env.str("METRICS_TOKEN", default="")
ACCESS_LOG = env.read_boolean("ACCESS_LOG", default=False)
EVENT_ANCHOR_FILE = env.env.str("EVENT_ANCHOR_FILE", default="")
EVENT_ANCHOR_URL = env.env.str("EVENT_ANCHOR_URL", default="")
EVENT_ANCHOR_SECRET = env.read_webhook_secret("EVENT_ANCHOR_SECRET", required_by="EVENT_ANCHOR_URL")

# --- Users and sessions -------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    # First, because it must count an attempt before a password is hashed.
    "accounts.password_hashing.AddressRateBackend",
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_HASHERS = ["accounts.password_hashing.BoundedArgon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# The page after a login whose `next` leads to another host.
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_AGE = 8 * 60 * 60
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _TLS
# The __Host- prefix binds a cookie to this host alone; browsers accept it only over TLS.
SESSION_COOKIE_NAME = "__Host-sessionid" if _TLS else "sessionid"
CSRF_FAILURE_VIEW = "credentials.connect.view_decorators.csrf_failure"
CSRF_COOKIE_NAME = "__Host-csrftoken" if _TLS else "csrftoken"
# axes looks for its own middleware and does not see our subclass, which leaves out the API.
SILENCED_SYSTEM_CHECKS = ["axes.W002"]
# Five failed logins of one user from one address within a minute lock that pair, and only it.
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = dt.timedelta(seconds=60)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_CLIENT_IP_CALLABLE = "config.middleware.get_client_ip"
AXES_VERBOSE = False
# axes stores what was posted at a failed login. A recovery code that was entered with a wrong
# password is still valid.
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "otp", "code", "csrfmiddlewaretoken"]

# --- Browser policies ---------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _TLS
# TLS ends at the proxy in front; it must overwrite this header on every request (docs/running.md).
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _TLS else None
# The API must not redirect plain HTTP requests (ASVS 5.0, 4.1.2). Pages for people may.
SECURE_SSL_REDIRECT = _TLS
SECURE_REDIRECT_EXEMPT = [
    r"^v1/",
    r"^api/",
    r"^proxy/",
    r"^link/oauth2/token$",
    r"^(?:healthz|readyz|metrics)$",
]
X_FRAME_OPTIONS = "DENY"

# --- The API ------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.HasScope"],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.throttling.RateLimitThrottle"],
    "DEFAULT_PARSER_CLASSES": ["common.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["config.api.rendering.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "config.api.rendering.AlwaysJSON",
    "DEFAULT_FILTER_BACKENDS": ["config.api.filtering.StrictFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "config.api.pagination.KeysetPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.api.errors.exception_handler",
    "DEFAULT_METADATA_CLASS": None,
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Latchkey",
    "DESCRIPTION": "Stores third-party credentials: API keys and OAuth grants.",
    "VERSION": "0.1.0",
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.api.schema.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "HealthStatusEnum": "common.health.STATUSES",
        "WebhookTypeEnum": "webhooks.event_types.EVENT_TYPES",
    },
}

LOGGING_CONFIG = None
configure_logging(json=not DEBUG)
