"""Failed logins, counted by address and by name in the limiter's storage.

Fails closed: while the storage does not answer, nobody logs in by password.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItem
from limits.errors import StorageError
from limits.strategies import FixedWindowRateLimiter

from blueprints.kit.limits import open_storage, parse_limit
from services.errors import TooMany, Unavailable
from services.settings import Settings

SPACE = "polymath-failed-login"


class FailedLogins:
    """`RATE_LIMIT_LOGIN` failures a window for each address and each name, then a wait until it is over."""

    def __init__(self, settings: Settings) -> None:
        self._limit: RateLimitItem = parse_limit(settings.rate_limit_login)
        self._storage = open_storage(settings)
        self._window = FixedWindowRateLimiter(self._storage)

    @contextmanager
    def attempt(self, *, address: str, name: str) -> Iterator[None]:
        """Let one attempt be made inside; it counts as failed unless the block ends well.

        It is counted before and given back after, so that a hundred attempts at once are five. An address
        that is over the limit does not count against the name. Raises TooMany and Unavailable.
        """
        whom = (("address", address), ("name", name.casefold()))
        try:
            for kind, who in whom:
                self._count(kind, who)
            yield
            for kind, who in whom:
                self._storage.incr(self._limit.key_for(SPACE, kind, who), self._limit.get_expiry(), amount=-1)
        except StorageError as error:
            raise Unavailable(
                "Logins cannot be counted now; try again in a moment.",
                "暂时无法登录，请稍后重试。",
                retry_after_seconds=5,
            ) from error

    def _count(self, kind: str, who: str) -> None:
        if self._window.hit(self._limit, SPACE, kind, who):
            return
        over = self._window.get_window_stats(self._limit, SPACE, kind, who).reset_time
        raise TooMany(
            "Too many failed logins; try again after the time in Retry-After.",
            "登录失败次数过多，请稍后重试。",
            retry_after_seconds=max(1, over - time.time()),
        )
