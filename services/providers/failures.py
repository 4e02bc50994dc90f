"""What a vendor's refusal means here: by status and code, never by its text.

Source: the vendors' error pages; the neutral kinds are ours.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import orjson

from services.errors import Invalid, NotFound, ServiceError, UpstreamBusy, UpstreamFailed, UpstreamTimeout
from services.outbound.retries import retry_after_seconds
from services.providers.sse import EventReader

QUOTA = {
    "insufficient_quota",
    "Arrearage",
    "PrepaidBillOverdue",
    "PostpaidBillOverdue",
    "CommodityNotPurchased",
    "AllocationQuota.FreeTierOnly",
    "AccountOverdueError",
    "QuotaExceeded",
    "SetLimitExceeded",
    "billing_error",
}
FILTERED = (
    "DataInspection",
    "data_inspection",
    "SensitiveContent",
    "RiskDetection",
    "content_policy",
    "content_filter",
)
BUSY = {"overloaded_error", "rate_limit_error", "ServerOverloaded", "ModelUnavailable", "ServiceUnavailable"}
LONGEST_TOLD = 300
# What chat calls its content.
MESSAGES = "messages"
# An error inside a 200, as in the middle of a stream, carries a code or a type and no status.
STATUS_OF_NAME = {
    "invalid_api_key": 401,
    "InvalidApiKey": 401,
    "model_not_found": 404,
    "rate_limit_exceeded": 429,
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
STATUS_OF_BEGINNING = {"Throttling": 429, "RateLimit": 429, "Invalid": 400, "Missing": 400, "BadRequest": 400}


def raise_failure(
    status: int, headers: Mapping[str, str], body: bytes, *, key: str = "", field: str = MESSAGES
) -> NoReturn:
    """Raise what an answer with *status* and *body* means; the provider's sentence is told, its key never."""
    told = parse_error(body)
    raise failure(status, told, key=key, retry_after=retry_after_seconds(headers), field=field)


def failure(
    status: int, told: dict[str, Any], *, key: str = "", retry_after: float | None = None, field: str = MESSAGES
) -> ServiceError:
    """The error that a refusal means; *told* is the provider's error object, in whichever of its shapes.

    *field* of the request is what a content filter judges.
    """
    inner = told.get("error") if isinstance(told.get("error"), dict) else told
    assert isinstance(inner, dict)
    code = str(inner.get("code") or inner.get("type") or told.get("code") or "")
    if status == 200:
        status = _status_inside(inner, code)
    words = _words(inner, told, key)
    if any(mark in code for mark in FILTERED):
        return Invalid(
            field,
            "The provider's content filter refused this: {why}",
            "上游内容审核未通过：{why}",
            reason="content_filter",
            why=words,
        )
    if status == 402 or (code in QUOTA and status != 401):
        return UpstreamFailed(
            "The provider's quota is used up: {why}", "上游额度不足：{why}", kind="quota", status=status, why=words
        )
    return _by_status(status, code, words, retry_after)


def _status_inside(inner: dict[str, Any], code: str) -> int:
    """The status of an error that came under 200; one that tells nothing is the provider's own and not the caller's."""
    number = inner.get("code")
    if isinstance(number, int) and 400 <= number < 600:  # So llama.cpp's server and vLLM.
        return number
    for name in (code, str(inner.get("type") or "")):
        if name in STATUS_OF_NAME:
            return STATUS_OF_NAME[name]
    return next((status for start, status in STATUS_OF_BEGINNING.items() if code.startswith(start)), 500)


def _by_status(status: int, code: str, words: str, retry_after: float | None) -> ServiceError:
    if status in {401, 403}:
        en, zh = "The provider refused the key; check it in the settings.", "上游拒绝了密钥，请检查配置。"
        return UpstreamFailed(en, zh, kind="auth", status=status)
    if status == 404:
        return NotFound("The provider does not have this model: {why}", "上游没有该模型：{why}", why=words)
    if status in {429, 503, 529} or code in BUSY:
        en, zh = "The provider is busy: {why}", "上游繁忙：{why}"
        return UpstreamBusy(en, zh, retry_after_seconds=retry_after, details={"reason": "upstream_busy"}, why=words)
    if status in {408, 504}:
        return UpstreamTimeout("The provider ran out of time: {why}", "上游超时：{why}", why=words)
    if 400 <= status < 500:
        return Invalid(
            "body", "The provider refused the request: {why}", "上游拒绝了请求：{why}", reason="refused", why=words
        )
    return UpstreamFailed("The provider failed: {why}", "上游出错：{why}", kind="server", status=status, why=words)


def no_answer() -> UpstreamFailed:
    """A 200 that holds no answer."""
    return UpstreamFailed("The provider answered nothing.", "上游没有返回内容。", kind="server")


def parse_error(body: bytes) -> dict[str, Any]:
    """An error's body as an object whatever its content type says: JSON, JSON in an event, or {} for a page."""
    try:
        parsed = orjson.loads(body)
        return parsed if isinstance(parsed, dict) else {}
    except orjson.JSONDecodeError:
        pass
    reader = EventReader()
    for event in [*reader.feed(body), *reader.end()]:
        if isinstance(event.data, dict):
            return event.data
    return {}


def _words(inner: dict[str, Any], told: dict[str, Any], key: str) -> str:
    """What the provider said, short, and without the key that some repeat."""
    error = told.get("error")
    words = inner.get("message") or (error if isinstance(error, str) else "") or inner.get("code") or "no reason given"
    text = str(words)[:LONGEST_TOLD]
    return text.replace(key, "[key]") if key else text
