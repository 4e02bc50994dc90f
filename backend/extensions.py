"""Flask's extensions, made once and bound to each app."""

from flask_cors import CORS
from flask_sock import Sock
from flask_sqlalchemy import SQLAlchemy

from services.database import Base

# Tables derive from our own Base, so that services need no Flask; this gives the app its engine.
db = SQLAlchemy(model_class=Base)
sock = Sock()
cors = CORS()

EXPOSED_HEADERS = [
    "X-Request-ID",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Location",
    "Idempotent-Replayed",
    "request-id",
    "x-should-retry",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
]
