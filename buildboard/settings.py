"""Every setting of the product, each value from the environment (contract section 2; the README has the table)."""

import secrets
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from buildboard import env, sqlite_file
from buildboard.core.crypto import make_key

BASE_DIR = Path(__file__).resolve().parent.parent

# ---- what an administrator sets -------------------------------------------------------------------------
DATA_DIR = env.make_data_dir(env.read("path", "BUILDBOARD_DATA_DIR", Path("var")))
DEBUG = env.read("bool", "BUILDBOARD_DEBUG", False)
PUBLIC_URL = env.read_url("BUILDBOARD_PUBLIC_URL", ("http", "https"))
PUBLIC_READ = env.read("bool", "BUILDBOARD_PUBLIC_READ", False)
TRUSTED_PROXIES = env.read_networks("BUILDBOARD_TRUSTED_PROXIES")
REDIS_URL = env.read_url("REDIS_URL", ("redis", "rediss", "unix"))
STORAGE_URL = env.read_url("BUILDBOARD_STORAGE_URL", ("file", "s3")) or (DATA_DIR / "storage").as_uri()
SECRET_KEY = env.read_or_create_secret(
    "BUILDBOARD_SECRET_KEY", DATA_DIR / "secret_key", lambda: secrets.token_urlsafe(64)
)
ENCRYPTION_KEYS = (
    env.read_or_create_secret("BUILDBOARD_ENCRYPTION_KEYS", DATA_DIR / "encryption_keys", make_key)
    .replace(",", " ")
    .split()
)
ADMIN_PASSWORD = env.read("str", "BUILDBOARD_ADMIN_PASSWORD", "")
INTERNAL_API_KEY = env.read("str", "BUILDBOARD_INTERNAL_API_KEY", "")
MAX_QUEUE_SIZE = env.read_positive("BUILDBOARD_MAX_QUEUE_SIZE", 1000)
AGEING_SECONDS = env.read_seconds("BUILDBOARD_AGEING_SECONDS", 21_600)
IMPOSSIBLE_SECONDS = env.read_seconds("BUILDBOARD_IMPOSSIBLE_SECONDS", 86_400)
QUARANTINE_SECONDS = env.read_seconds("BUILDBOARD_QUARANTINE_SECONDS", 60, least=0)
LOCAL_REPOSITORIES = env.read_folders("BUILDBOARD_LOCAL_REPOSITORIES")
WEBHOOK_ALLOWED_NETWORKS = env.read_networks("BUILDBOARD_WEBHOOK_ALLOWED_NETWORKS")
MAX_LOG_BYTES = env.read_positive("BUILDBOARD_MAX_LOG_BYTES", 1 << 30)
MAX_ARTIFACT_BYTES = env.read_positive("BUILDBOARD_MAX_ARTIFACT_BYTES", 2 << 30)
# Which server takes a job: how much each part of jobs/queue/score.py counts.
CHOICE_WEIGHTS = {
    "utilisation": env.read_weight("BUILDBOARD_WEIGHT_UTILISATION", 0.4),
    "waiting": env.read_weight("BUILDBOARD_WEIGHT_WAITING", 0.3),
    "free": env.read_weight("BUILDBOARD_WEIGHT_FREE", 0.3),
    "cache": env.read_weight("BUILDBOARD_WEIGHT_CACHE", 0.05),
    "speed": env.read_weight("BUILDBOARD_WEIGHT_SPEED", 0.1),
}
# Set by the supervisor for its children only: `web` has short time-outs and no kept connections (they leak).
PROCESS = env.read("str", "BUILDBOARD_PROCESS", "")

_public = urlsplit(PUBLIC_URL)
_LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.read("list", "BUILDBOARD_ALLOWED_HOSTS", None) or (
    [*_LOOPBACK, _public.hostname] if _public.hostname else _LOOPBACK
)
CSRF_TRUSTED_ORIGINS = env.read("list", "BUILDBOARD_CSRF_TRUSTED_ORIGINS", None) or (
    [f"{_public.scheme}://{_public.netloc}"] if _public.netloc else []
)

# ---- database -------------------------------------------------------------------------------------------
_WEB = PROCESS == "web"
_SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    # A file: in memory, threads would share one cache and its table locks, for which no timeout waits.
    "TEST": {"NAME": DATA_DIR / "test.sqlite3"},
    "OPTIONS": {
        "timeout": 2 if _WEB else 20,
        "transaction_mode": "IMMEDIATE",
        # FULL: a 201 survives power loss. The rest as measured for 32 writers without one locked error.
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
        "PRAGMA journal_size_limit=67108864;PRAGMA cache_size=-8000;",
    },
}


def _sqlite(file: Path) -> dict[str, object]:
    """The first start makes the file. One that is gone later is away: it is not made again, empty."""
    is_made = PROCESS or file.exists()
    return {**_SQLITE, "NAME": sqlite_file.name_of(file) if is_made else file}


def _database() -> dict[str, object]:
    url = env.read("str", "DATABASE_URL", "")
    if not url:
        return _sqlite(DATA_DIR / "buildboard.sqlite3")
    try:
        parsed = dict(dj_database_url.parse(url))
    except (ValueError, KeyError) as error:
        raise ImproperlyConfigured(f"DATABASE_URL: {error}") from error
    if "sqlite" in str(parsed["ENGINE"]):
        return _sqlite(Path(str(parsed["NAME"])))
    if "postgresql" not in str(parsed["ENGINE"]):
        raise ImproperlyConfigured("DATABASE_URL: only postgresql:// and sqlite:/// are supported")
    options = {"connect_timeout": 5, **dict(parsed.get("OPTIONS") or {})}  # type: ignore[call-overload]  # a TypedDict without it
    return {**parsed, "OPTIONS": options, "CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": 0 if _WEB else 600}


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# ---- application ----------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_q",
    "axes",
    "csp",
    "buildboard",
    "buildboard.core",
    "servers",
    "jobs",
]
MIDDLEWARE = [
    "buildboard.core.http.ForwardedHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "buildboard.core.http.DatabaseAwayMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "buildboard.core.access.AccessMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "buildboard.urls"
ASGI_APPLICATION = "buildboard.asgi.application"
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
                "jobs.views.context.board",
            ]
        },
    }
]
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_THOUSAND_SEPARATOR = True
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

# ---- people ---------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "core.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "buildboard.core.people.RoleBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_CALLABLE = "buildboard.core.access.too_many_logins"
AXES_CLIENT_IP_CALLABLE = "buildboard.core.http.client_address"
AXES_VERBOSE = False
AXES_RESET_ON_SUCCESS = True

# ---- the browser's guards -------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
_HTTPS = _public.scheme == "https"
SESSION_ENGINE = "buildboard.core.sessions"
SESSION_COOKIE_NAME = "__Host-bb_session" if _HTTPS else "bb_session"
CSRF_COOKIE_NAME = "__Host-bb_csrf" if _HTTPS else "bb_csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = _HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if _HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _HTTPS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# Believed from BUILDBOARD_TRUSTED_PROXIES only: ForwardedHeadersMiddleware drops them from anybody else.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
USE_X_FORWARDED_HOST = bool(TRUSTED_PROXIES)
CSRF_FAILURE_VIEW = "buildboard.core.http.csrf_failure"

# ---- background work ------------------------------------------------------------------------------------
Q_CLUSTER = {
    "name": "buildboard",
    "orm": "default",
    "broker_class": "buildboard.core.enqueue.MachineBroker",
    "workers": env.read_positive("BUILDBOARD_WORKERS", 2),
    "queue_limit": 1,
    "bulk": 1,
    "poll": 0.2,
    # Nearly all take a second. To seal a log of 1 GiB takes half a minute, but minutes where everything is busy.
    "timeout": 600,
    "retry": 660,
    "ack_failures": True,
    "max_attempts": 3,
    "recycle": 500,
    "save_limit": 250,
    "catch_up": False,
    "guard_cycle": 0.5,
    "log_level": "WARNING",
    # The runner: one task of up to ten minutes; a redelivery before 960 s would only find a live one and return.
    "ALT_CLUSTERS": {"runner": {"workers": 1, "timeout": 900, "retry": 960, "queue_limit": 1, "poll": 0.2}},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "buildboard.core.logs.LineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.server": {"level": "WARNING"},
        # Answered with 400; a traceback each would let anybody fill the disk.
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "django.security.TooManyFieldsSent": {"level": "CRITICAL"},
        "django.security.RequestDataTooBig": {"level": "CRITICAL"},
        "daphne": {"level": "WARNING"},
        "django-q": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
        "paramiko": {"level": "CRITICAL"},
    },
}
