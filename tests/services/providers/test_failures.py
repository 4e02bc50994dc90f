"""What a vendor's refusal means here, by status and code, in every shape that errors have."""

import pytest

from services.errors import Invalid, NotFound, UpstreamBusy, UpstreamFailed, UpstreamTimeout
from services.providers.failures import failure, parse_error, raise_failure


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, Invalid, None),
        (401, UpstreamFailed, "auth"),
        (402, UpstreamFailed, "quota"),
        (403, UpstreamFailed, "auth"),
        (404, NotFound, None),
        (408, UpstreamTimeout, "timeout"),
        (413, Invalid, None),
        (422, Invalid, None),
        (429, UpstreamBusy, None),
        (500, UpstreamFailed, "server"),
        (502, UpstreamFailed, "server"),
        (503, UpstreamBusy, None),
        (504, UpstreamTimeout, "timeout"),
        (529, UpstreamBusy, None),
        (302, UpstreamFailed, "server"),
    ],
)
def test_a_status_alone_has_a_meaning(status: int, error: type, kind: str | None) -> None:
    raised = failure(status, {})
    assert type(raised) is error
    assert kind is None or raised.kind == kind  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "Arrearage"),
        (403, "AccountOverdueError"),
        (403, "AllocationQuota.FreeTierOnly"),
        (429, "QuotaExceeded"),
        (429, "SetLimitExceeded"),
        (429, "insufficient_quota"),
        (429, "PostpaidBillOverdue"),
        (402, "billing_error"),
    ],
)
def test_no_money_is_quota(status: int, code: str) -> None:
    raised = failure(status, {"error": {"code": code, "message": "pay"}})
    assert isinstance(raised, UpstreamFailed)
    assert raised.kind == "quota"


@pytest.mark.parametrize(
    "code",
    [
        "DataInspectionFailed",
        "InvalidParameter.DataInspection",
        "data_inspection_failed",
        "InputTextSensitiveContentDetected",
        "OutputImageSensitiveContentDetected.PolicyViolation",
        "InputTextRiskDetection",
        "content_policy_violation",
        "content_filter",
    ],
)
def test_a_filter_names_the_messages(code: str) -> None:
    raised = failure(400, {"code": code, "message": "no"})
    assert raised.details == {"field": "messages", "reason": "content_filter"}


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"error": {"type": "server_error", "code": None, "message": "m"}}, UpstreamFailed),
        ({"type": "error", "error": {"type": "api_error", "message": "m"}}, UpstreamFailed),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, UpstreamBusy),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "m"}}, UpstreamBusy),
        ({"error": {"type": "requests", "code": "rate_limit_exceeded", "message": "m"}}, UpstreamBusy),
        ({"error": {"type": "invalid_request_error", "code": "invalid_api_key", "message": "m"}}, UpstreamFailed),
        ({"error": {"type": "invalid_request_error", "code": "model_not_found", "message": "m"}}, NotFound),
        ({"error": {"type": "invalid_request_error", "code": "invalid_value", "message": "m"}}, Invalid),
        ({"error": {"code": 400, "message": "m"}}, Invalid),
        ({"error": {"code": 503, "message": "m"}}, UpstreamBusy),
        ({"error": {"code": "InternalServiceError", "message": "m"}}, UpstreamFailed),
        ({"error": {"code": "RateLimitExceeded.EndpointTPMExceeded", "message": "m"}}, UpstreamBusy),
        ({"code": "InvalidParameter", "message": "m"}, Invalid),
        ({"code": "InvalidApiKey", "message": "m"}, UpstreamFailed),
        ({"code": "Throttling.RateQuota", "message": "m"}, UpstreamBusy),
        ({"error": "plain words"}, UpstreamFailed),
        ({"error": {"message": "no code at all"}}, UpstreamFailed),
        ({}, UpstreamFailed),
    ],
)
def test_an_error_inside_a_200_is_known_by_its_name(told: dict[str, object], error: type) -> None:
    assert type(failure(200, told)) is error


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"the reason","code":"InvalidParameter"}}',
        b'{"code":"InvalidParameter","message":"the reason","request_id":"r"}',
        b'{"error":"the reason"}',
        b'id:1\nevent:error\n:HTTP_STATUS/400\ndata:{"code":"InvalidParameter","message":"the reason"}\n\n',
        b'data: {"error":{"message":"the reason"}}\n\n',
    ],
)
def test_the_vendors_sentence_is_told(body: bytes) -> None:
    with pytest.raises(Invalid, match="the reason"):
        raise_failure(400, {}, body)


@pytest.mark.parametrize("body", [b"", b"<html>nginx</html>", b"[1]", b'"x"', b"null", b"\xff\xfe", b'{"error":null}'])
def test_a_body_without_a_reason_tells_none(body: bytes) -> None:
    with pytest.raises(Invalid) as raised:
        raise_failure(400, {}, body)
    assert "no reason given" in raised.value.say("en")
    assert "nginx" not in raised.value.say("zh")


def test_a_key_that_the_vendor_repeats_is_not_told() -> None:
    for told in ({"message": "bad key sk-secret-1"}, {"error": "sk-secret-1 is bad"}):
        raised = failure(400, told, key="sk-secret-1")
        assert "sk-secret-1" not in raised.say("en") + raised.say("zh")


def test_a_long_sentence_is_cut() -> None:
    assert len(failure(400, {"message": "x" * 10_000}).say("en")) < 500


def test_braces_in_a_sentence_are_only_braces() -> None:
    assert "{why} {0}" in failure(500, {"message": "{why} {0}"}).say("en")


def test_when_to_come_again_is_handed_on() -> None:
    with pytest.raises(UpstreamBusy) as raised:
        raise_failure(429, {"retry-after": "12"}, b"{}")
    assert raised.value.retry_after_seconds == 12


def test_an_error_is_an_object_or_nothing() -> None:
    assert parse_error(b'{"a":1}') == {"a": 1}
    assert parse_error(b"[]") == {}
