"""Rate limits by a route's mark, counted for the user or else the address, and judged before validation.

Fails open: without Redis each worker counts for itself, and the start-up log says so.
"""

import time
from functools import lru_cache

from flask import Flask, Response, current_app, g, request
from flask_limiter import ApplicationLimit, Limiter
from limits import RateLimitItem, parse_many

from blueprints.kit.address import client_address
from blueprints.kit.marks import Limit, marks
from services.settings import Settings


def limit_name() -> Limit:
    """Which limit this request counts for; status reads under `/api/v1` and unmarked routes are `default`."""
    if request.endpoint is None or request.method == "OPTIONS":
        return "none"
    return marks().limit or "default"


def caller() -> str:
    """Whom the request is counted for."""
    identity = g.get("identity")
    if identity is None or identity.id == "anonymous":
        return f"address:{client_address()}"
    return f"user:{identity.id}"


def make_limiter(app: Flask, settings: Settings) -> Limiter:
    """The limiter of *app*; register it after authentication, since it counts by user."""
    limit = ApplicationLimit(
        limit_provider=_limit_text,
        key_function=caller,
        scope=lambda _endpoint: limit_name(),
        exempt_when=lambda: limit_name() == "none",
    )
    limiter = Limiter(
        caller,
        application_limits=[limit],
        storage_uri=settings.redis_url or "memory://",
        storage_options={"socket_connect_timeout": 1, "socket_timeout": 1} if settings.redis_url else {},
        in_memory_fallback_enabled=bool(settings.redis_url),
        key_prefix="polymath-fixed-window",
        headers_enabled=False,
    )
    limiter.init_app(app)
    app.after_request(write_headers)
    return limiter


def write_headers(response: Response) -> Response:
    """Tell the caller what is left, in `X-RateLimit-*`, the IETF's words, and `Retry-After` on a 429."""
    for current in current_app.extensions["limiter_of_app"].current_limits:
        expiry = current.limit.get_expiry()
        reset = int(current.reset_at)
        wait_seconds = min(expiry, max(1, reset - int(time.time())))
        remaining = max(0, current.remaining)
        headers = response.headers
        headers["X-RateLimit-Limit"] = str(current.limit.amount)
        headers["X-RateLimit-Remaining"] = str(remaining)
        headers["X-RateLimit-Reset"] = str(reset)
        headers["RateLimit-Policy"] = f'"{limit_name()}";q={current.limit.amount};w={expiry}'
        headers["RateLimit"] = f'"{limit_name()}";r={remaining};t={wait_seconds}'
        if response.status_code == 429:
            headers.setdefault("Retry-After", str(wait_seconds))
    return response


def _limit_text() -> str:
    name = limit_name()
    # flask-limiter asks for the limit before it asks whether the route is exempt.
    return (
        "1/second"
        if name == "none"
        else str(getattr(current_app.extensions["services"].settings, f"rate_limit_{name}"))
    )


@lru_cache(maxsize=64)
def parse_limit(text: str) -> RateLimitItem:
    """The limit that *text* such as `5/minute` says."""
    return parse_many(text)[0]
