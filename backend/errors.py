"""Every error that reaches Flask leaves as the one body; the table is in `blueprints/kit/problems.py`."""

import logging
import sqlite3

from flask import Flask, Response, current_app, g, jsonify
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestedRangeNotSatisfiable

from blueprints.kit.dialects import error_headers
from blueprints.kit.problems import BY_HTTP_STATUS, INTERNAL_ERROR, describe, error_body, say, status_of
from services.errors import Cancelled, ServiceError, TooMany, Unauthenticated, Unavailable

log = logging.getLogger(__name__)

SENTENCES: dict[int, tuple[str, str]] = {
    400: ("The request cannot be read.", "无法读取请求。"),
    404: ("There is nothing at this address.", "接口不存在。"),
    405: ("This address does not answer this method.", "该接口不支持此请求方法。"),
    412: ("The file is another one by now.", "文件已不是所要求的版本。"),
    413: ("The body is larger than this route takes.", "请求体超过大小限制。"),
    414: ("The address is too long.", "请求地址过长。"),
    415: ("This route does not take this content type.", "不支持的内容类型。"),
    416: ("The file has no such range.", "请求的范围超出文件大小。"),
    417: ("This server does not do what `Expect` asks for.", "服务器无法满足 Expect 请求头的要求。"),
    431: ("The request's headers are too large, or too many.", "请求头过大或过多。"),
    501: ("The body's transfer coding is not known here.", "不支持该传输编码。"),
}


def register_errors(app: Flask) -> None:
    """Let *app* answer every error with the one body."""
    app.register_error_handler(ServiceError, tell_service_error)
    app.register_error_handler(HTTPException, tell_http_error)
    app.register_error_handler(OperationalError, tell_database_error)
    app.register_error_handler(NoConnection, tell_database_error)
    app.register_error_handler(Exception, tell_unknown_error)


def tell_service_error(error: ServiceError) -> Response:
    """An error of ours, with its status and its headers."""
    response = jsonify(describe(error))
    response.status_code = status_of(error).status
    response.headers.update(error_headers(response.status_code, error.details))
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, (TooMany, Unavailable)) and error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_seconds)))
    if isinstance(error, Cancelled):
        response.headers["Retry-After"] = "2"
    g.outcome = type(error).__name__
    return response


def tell_http_error(error: HTTPException) -> Response:
    """An error of Flask's or werkzeug's."""
    status = error.code or 500
    row = BY_HTTP_STATUS.get(status, INTERNAL_ERROR if status >= 500 else BY_HTTP_STATUS[400])
    sentences = SENTENCES.get(status)
    response = jsonify(error_body(row, say(*sentences) if sentences else str(error.description or error.name)))
    response.status_code = status
    if isinstance(error, RequestedRangeNotSatisfiable) and error.length is not None:
        response.headers["Content-Range"] = f"{error.units} */{error.length}"
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def tell_database_error(error: OperationalError | NoConnection) -> Response:
    """A database that is away, full or overrun; a wrong statement, which SQLite calls the same, is a fault of ours."""
    driver_error = getattr(error, "orig", None)
    if getattr(driver_error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
        return tell_unknown_error(error)
    current_app.logger.error("the database does not answer", exc_info=error)
    return tell_service_error(
        Unavailable(
            "The database does not answer; try again in a moment.",
            "数据库暂时无法使用，请稍后重试。",
            retry_after_seconds=5,
            details={"reason": "database"},
        )
    )


def tell_unknown_error(error: Exception) -> Response:
    """A fault of ours: the log has it under the request id, the body shows nothing of it."""
    current_app.logger.error("unhandled error", exc_info=error)
    message = say(
        "Something went wrong here; the log has it under the request id.", "服务器内部错误，请凭请求编号查询日志。"
    )
    response = jsonify(error_body(INTERNAL_ERROR, message))
    response.status_code = 500
    return response
