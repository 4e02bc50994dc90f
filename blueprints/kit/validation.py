"""Pydantic's complaints as our errors, each with a sentence in both languages.

flask-openapi3 reads JSON with `silent=True`: a broken, a missing and a wrongly typed body all reach
pydantic as None, so this asks again which it was. It also runs `json.loads` over form values, which turns
the prompt "123" into a number; `FormModel` reads the form itself.
"""

import re
from functools import cache
from typing import Any, Self, get_args, get_origin

from flask import request
from flask_openapi3 import FileStorage
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import FileStorage as SentFile

from services.errors import Invalid, Malformed, ServiceError, TooLarge, UnsupportedMedia

Complaint = dict[str, Any]

# Sentences by pydantic's error type; the values come from the complaint's context.
SENTENCES: dict[str, tuple[str, str]] = {
    "missing": ("'{field}' is required.", "参数'{field}'不能为空。"),
    "string_type": ("'{field}' must be a string.", "参数'{field}'必须是字符串。"),
    "string_too_short": ("'{field}' must not be empty.", "参数'{field}'不能为空。"),
    "unsupported": ("'{field}' is not supported here; leave it out.", "不支持参数'{field}'，请去掉。"),
    "nul_character": ("'{field}' holds a NUL character; remove it.", "参数'{field}'包含空字符（NUL），请删除。"),
    "string_too_long": ("'{field}' is longer than {max_length} characters.", "参数'{field}'超过{max_length}个字符。"),
    "too_short": ("'{field}' must not be empty.", "参数'{field}'不能为空。"),
    "too_long": ("'{field}' has more than {max_length} items.", "参数'{field}'超过{max_length}项。"),
    "int_type": ("'{field}' must be an integer.", "参数'{field}'必须是整数。"),
    "int_parsing": ("'{field}' must be an integer.", "参数'{field}'必须是整数。"),
    "int_from_float": ("'{field}' must be an integer.", "参数'{field}'必须是整数。"),
    "float_type": ("'{field}' must be a number.", "参数'{field}'必须是数字。"),
    "float_parsing": ("'{field}' must be a number.", "参数'{field}'必须是数字。"),
    "bool_type": ("'{field}' must be true or false.", "参数'{field}'必须是布尔值。"),
    "bool_parsing": ("'{field}' must be true or false.", "参数'{field}'必须是布尔值。"),
    "list_type": ("'{field}' must be an array.", "参数'{field}'必须是数组。"),
    "dict_type": ("'{field}' must be an object.", "参数'{field}'必须是对象。"),
    "model_type": ("'{field}' must be an object.", "参数'{field}'必须是对象。"),
    "model_attributes_type": ("'{field}' must be an object.", "参数'{field}'必须是对象。"),
    "literal_error": ("'{field}' must be one of {expected}.", "参数'{field}'必须是以下之一：{expected}。"),
    "greater_than": ("'{field}' must be greater than {gt}.", "参数'{field}'必须大于{gt}。"),
    "greater_than_equal": ("'{field}' must be at least {ge}.", "参数'{field}'不能小于{ge}。"),
    "less_than": ("'{field}' must be less than {lt}.", "参数'{field}'必须小于{lt}。"),
    "less_than_equal": ("'{field}' must be at most {le}.", "参数'{field}'不能大于{le}。"),
}
# How pydantic names the branches of a union, such as `str`, `constrained-str` and `list[tagged-union[…]]`.
BRANCH = re.compile(
    r"(constrained-)?(str|int|float|bool|bytes|dict|none)|(list|dict|tagged-union|function-\w+|nullable)\[.*"
)
EMPTY = {"missing", "string_too_short", "too_short"}


class Upload(FileStorage):
    """A file field: a text in its place is told as a missing file."""

    @classmethod
    def validate(cls, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        if not isinstance(value, SentFile) or not value.filename:
            raise ValueError("a file is wanted")
        return value


class FormModel(BaseModel):
    """A form whose values stay as they were sent; file fields are `Upload` or `list[Upload] = []`."""

    @classmethod
    @cache
    def model_json_schema(cls, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """The schema for the API document.

        The library asks for one without options at each request, to know which values it shall parse as JSON: none,
        since brackets nested deep enough break that parser, and since making the schema took longer than all else.
        """
        if options:
            return super().model_json_schema(**options)
        names = [info.alias or name for name, info in cls.model_fields.items()]
        return {"properties": {name: {"type": "string", "format": "binary"} for name in names}}

    @classmethod
    def model_validate(cls, obj: Any = None, **options: Any) -> Self:
        sent: dict[str, Any] = {}
        for name, info in cls.model_fields.items():
            key, many = info.alias or name, get_origin(info.annotation) is list
            for source in (request.files, request.form):
                if key in source:
                    sent[key] = source.getlist(key) if many else source[key]
            if not many and len(request.files.getlist(key)) > 1:
                raise _one_file(key)
            if key not in sent and info.is_required() and Upload in (info.annotation, *get_args(info.annotation)):
                sent[key] = [None] if many else None
        return super().model_validate(sent, **options)


def refuse_invalid(error: ValidationError) -> None:
    """Raise what a body that did not validate is: broken, missing, of another type, or wrong in a field."""
    complaints = error.errors(include_url=False)
    first = complaints[0]
    if first["loc"] == () and first["input"] is None and request.method in {"POST", "PUT", "PATCH"}:
        raise _unreadable_body()
    raise as_error(complaints)


def as_error(complaints: list[Any]) -> ServiceError:
    """The first complaint as an error; a missing file is Malformed, all else Invalid with the field's name."""
    # Of the branches of a union the first one tells; the others may know better.
    first: Complaint = next((each for each in complaints if each["type"] == "nul_character"), complaints[0])
    # A check of the whole model stands nowhere; it may name its field.
    field = _place(first["loc"]) or str((first.get("ctx") or {}).get("field", ""))
    for complaint in complaints:
        if complaint["type"] == "value_error" and _is_upload(complaint):
            return _missing_file(str(complaint["loc"][0]))
    en, zh = SENTENCES.get(first["type"], ("'{field}' is wrong: {message}.", "参数'{field}'无效：{message}。"))
    values = {**(first.get("ctx") or {}), "field": field or "body", "message": first["msg"]}
    reason = "required" if first["type"] in EMPTY else first["type"]
    return Invalid(field or "body", en.format(**values), zh.format(**values), reason=reason)


def _place(loc: tuple[str | int, ...]) -> str:
    """The field as its sender knows it: pydantic also names which branch of a union was tried."""
    branch = next((n for n, part in enumerate(loc) if n and BRANCH.fullmatch(str(part))), len(loc))
    return ".".join(str(part) for part in loc[:branch])


def _is_upload(complaint: Complaint) -> bool:
    return "a file is wanted" in str((complaint.get("ctx") or {}).get("error", ""))


def _missing_file(field: str) -> Malformed:
    return Malformed(
        f"A file is wanted in the form field '{field}'.",
        f"缺少文件：表单字段'{field}'。",
        details={"field": field, "reason": "required"},
    )


def _one_file(field: str) -> Malformed:
    return Malformed(
        f"Several files were sent as '{field}'; this route takes one.",
        f"表单字段'{field}'包含多个文件，此接口仅接受一个文件。",
        details={"field": field, "reason": "several_files"},
    )


def _unreadable_body() -> ServiceError:
    body = request.get_data(cache=True)
    if request.content_length is None and len(body) >= (request.max_content_length or len(body) + 1):
        # werkzeug cuts a chunked body at the limit in silence.
        return TooLarge("The body is larger than this route takes.", "请求体超过大小限制。")
    if not body:
        return Malformed(
            "The request has no body; send JSON.", "请求体为空，请发送 JSON。", details={"reason": "required"}
        )
    if not request.is_json:
        return UnsupportedMedia("Send the body as application/json.", "请使用 application/json 发送请求体。")
    return Malformed("The body is not valid JSON.", "请求体不是有效的 JSON。", details={"reason": "json_invalid"})
