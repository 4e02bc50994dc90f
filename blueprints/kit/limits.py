"""Rate limits by a route's mark, counted for the user or else the address, and judged before validation.

Fails open: without Redis each worker counts for itself, and the start-up log says so.
"""

import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flask import Flask, Response, g, request
from flask_limiter import Limiter
from limits import RateLimitItem, parse_many
from limits.errors import StorageError

from blueprints.kit.address import client_address
from blueprints.kit.dialects import limit_headers
from blueprints.kit.marks import Limit, marks
from services.errors import TooMany
from services.settings import Settings

KEY_BEGINS = "polymath-fixed-window"
STORAGE_SECONDS = 1
AWAY_SECONDS = 5.0
MOST_OWN_WINDOWS = 50_000

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Window:
    """The present window of a limit for one caller, with this request counted."""

    limit: RateLimitItem
    count: int
    reset_at: float

    @property
    def remaining(self) -> int:
        return max(0, self.limit.amount - self.count)

    @property
    def is_over(self) -> bool:
        return self.count > self.limit.amount

    @property
    def wait_seconds(self) -> int:
        """Until the window is over, whole and at least one."""
        return min(self.limit.get_expiry(), max(1, int(self.reset_at) - int(time.time())))


class Windows:
    """Fixed windows, counted in Redis where it is set; while that is away each worker counts for itself."""

    def __init__(self, settings: Settings) -> None:
        self._own: dict[str, Window] = {}
        self._shared = open_storage(settings) if settings.redis_url else None
        self._away_until = 0.0

    def hit(self, limit: RateLimitItem, *whom: str) -> Window:
        """Count one request of *whom*."""
        key, seconds = limit.key_for(KEY_BEGINS, *whom), limit.get_expiry()
        if self._shared and time.monotonic() > self._away_until:
            try:
                return Window(limit, self._shared.incr(key, seconds), self._shared.get_expiry(key))
            except StorageError:
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("Redis does not answer; this worker counts limits for itself")
        return self._hit_own(limit, key, seconds)

    def _hit_own(self, limit: RateLimitItem, key: str, seconds: int) -> Window:
        """Count in this process. A dictionary: the library's memory storage starts a thread each 10 ms to sweep."""
        now = time.time()
        window = self._own.get(key)
        if window is None or window.reset_at <= now:
            if len(self._own) >= MOST_OWN_WINDOWS:
                self._own = {name: kept for name, kept in self._own.items() if kept.reset_at > now}
            window = self._own[key] = Window(limit, 0, now + seconds)
        window.count += 1
        return Window(limit, window.count, window.reset_at)


def open_storage(settings: Settings) -> Any:
    """The storage that Flask-Limiter opens, in Redis or in memory.

    Its own check of a request took 300 microseconds, so its hooks stay on an app that serves nothing.
    """
    options: dict[str, Any] = {"socket_connect_timeout": STORAGE_SECONDS, "socket_timeout": STORAGE_SECONDS}
    limiter = Limiter(
        caller,
        app=Flask("limits"),
        storage_uri=settings.redis_url or "memory://",
        storage_options={"wrap_exceptions": True, **(options if settings.redis_url else {})},
    )
    return limiter.storage


def init_limits(app: Flask, settings: Settings) -> None:
    """Judge every request of *app*; register it after authentication, since it counts by user."""
    windows = Windows(settings)

    def judge() -> None:
        name = limit_name()
        if name == "none":
            return
        g.limit_name, whom = name, caller()
        limits = parse_limits(getattr(settings, f"rate_limit_{name}"))
        g.windows = [windows.hit(limit, name, whom) for limit in limits]
        if any(window.is_over for window in g.windows):
            raise TooMany(
                "Too many requests; try again after the time in Retry-After.",
                "请求过于频繁，请稍后重试。",
                retry_after_seconds=max(window.wait_seconds for window in g.windows if window.is_over),
            )

    app.before_request(judge)
    app.after_request(write_headers)


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


def write_headers(response: Response) -> Response:
    """Tell the caller what is left of the scarcest limit, in `X-RateLimit-*` and in the IETF's words."""
    if windows := g.get("windows"):
        window: Window = min(windows, key=lambda one: one.remaining)
        name, amount, expiry = g.limit_name, window.limit.amount, window.limit.get_expiry()
        headers = response.headers
        headers["X-RateLimit-Limit"] = str(amount)
        headers["X-RateLimit-Remaining"] = str(window.remaining)
        headers["X-RateLimit-Reset"] = str(int(window.reset_at))
        headers["RateLimit-Policy"] = f'"{name}";q={amount};w={expiry}'
        headers["RateLimit"] = f'"{name}";r={window.remaining};t={window.wait_seconds}'
        headers.update(limit_headers(amount, window.remaining, window.wait_seconds))
    return response


@lru_cache(maxsize=64)
def parse_limits(text: str) -> tuple[RateLimitItem, ...]:
    """The limits that *text* says, such as `5/minute` or `5/minute;100/day`."""
    return tuple(parse_many(text))


def parse_limit(text: str) -> RateLimitItem:
    """The first limit that *text* says."""
    return parse_limits(text)[0]
