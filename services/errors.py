"""Everything that can go wrong, by what the caller can do about it; blueprints never see another error.

Each error says its sentence in English and in Chinese and names the remedy where there is one.
`backend/errors.py` has the one table from these classes to HTTP statuses.
"""

from typing import Any


class ServiceError(Exception):
    """An error that is told to the user.

    *en* and *zh* are format strings over *values*; `details` goes into the body as it is.
    """

    def __init__(self, en: str, zh: str, *, details: dict[str, Any] | None = None, **values: Any) -> None:
        self.sentences = {"en": en.format(**values) if values else en, "zh": zh.format(**values) if values else zh}
        self.details = details or {}
        super().__init__(self.sentences["en"])

    def say(self, language: str) -> str:
        """The sentence in *language* (`en` or `zh`)."""
        return self.sentences.get(language, self.sentences["en"])


class Malformed(ServiceError):
    """The request cannot be read at all: broken JSON, a missing body or file, a forbidden URL or path."""


class Invalid(ServiceError):
    """A well-formed request with a wrong field; `details` names the field and the reason."""

    def __init__(self, field: str, en: str, zh: str, *, reason: str = "invalid", **values: Any) -> None:
        super().__init__(en, zh, details={"field": field, "reason": reason}, **values)
        self.field = field


class Unauthenticated(ServiceError):
    """Nobody is logged in, or the token is expired, forged or revoked."""


class Denied(ServiceError):
    """The user is known and may not do this."""


class NotFound(ServiceError):
    """The thing is not there, or belongs to somebody else."""


class Conflict(ServiceError):
    """The thing is in a state in which this cannot be done."""


class TooLarge(ServiceError):
    """The body or a file is over its limit."""


class UnsupportedMedia(ServiceError):
    """The bytes are of a kind that this route does not take."""


class TooMany(ServiceError):
    """The caller is over a limit; waits *retry_after_seconds*."""

    def __init__(self, en: str, zh: str, *, retry_after_seconds: float, **values: Any) -> None:
        super().__init__(en, zh, **values)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(ServiceError):
    """The service cannot do this now; the sentence names the remedy, `retry_after_seconds` the wait if known."""

    def __init__(
        self,
        en: str,
        zh: str,
        *,
        retry_after_seconds: float | None = None,
        details: dict[str, Any] | None = None,
        **values: Any,
    ) -> None:
        super().__init__(en, zh, details=details, **values)
        self.retry_after_seconds = retry_after_seconds


class Busy(Unavailable):
    """A queue here is full."""


class UpstreamFailed(ServiceError):
    """A provider refused or broke; `kind` is one of the neutral kinds, `status` what the provider said."""

    def __init__(self, en: str, zh: str, *, kind: str = "server", status: int | None = None, **values: Any) -> None:
        super().__init__(en, zh, details={"reason": kind}, **values)
        self.kind = kind
        self.status = status


class UpstreamBusy(Unavailable):
    """A provider is over its limit or overloaded; its own `Retry-After` is handed on."""

    kind = "rate_limit"


class UpstreamTimeout(ServiceError):
    """A provider did not answer in time."""

    kind = "timeout"


class Cancelled(ServiceError):
    """The work was given up because somebody asked for it or went away."""

    def __init__(
        self, en: str = "The work was cancelled.", zh: str = "任务已取消。", *, reason: str = "cancelled"
    ) -> None:
        super().__init__(en, zh, details={"reason": reason})
        self.reason = reason
