"""Structured logs: JSON when nobody reads them at a terminal, and to `LOG_FILE` as well where it is set."""

import logging
import re
import sys
import time
from collections.abc import Iterable
from typing import Any, TextIO

import orjson
from flask import Flask, Response, g, has_request_context, request

from services import metrics
from services.settings import Settings

LINE = "json_line"
STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", LINE}
# Things that look like keys or tokens never reach a log line, whoever wrote it.
SECRETS = re.compile(
    r"(?i)(bearer\s+|sk-(?:ant-)?|x-api-key['\": ]+|eyJ)[A-Za-z0-9._~+/=-]{6,}|(?<=://)[^/@\s:]+:[^/@\s]+(?=@)"
)

requests_log = logging.getLogger("polymath.requests")


class LineFormatter(logging.Formatter):
    """Base of the formatters here, by which our handlers are known."""


class JsonFormatter(LineFormatter):
    """One JSON object a line: time, level, logger, message, request id, and what the caller gave as `extra`.

    The line is kept on its record: standard error and `LOG_FILE` want the same one.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: str | None = getattr(record, LINE, None)
        if line is None:
            line = self._write(record)
            setattr(record, LINE, line)
        return line

    def _write(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **extras(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return redact(orjson.dumps(line, default=str).decode())


class TerminalFormatter(LineFormatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        details = " ".join(f"{key}={value}" for key, value in extras(record).items())
        text = f"{clock} {record.levelname:<7} {record.getMessage()} {details}".rstrip()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redact(text)


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the time, which tests and servers exchange."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _stream: TextIO) -> None:
        """What it is at the time stays what it is."""


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller gave as `extra`, and the request id where there is one."""
    found = {key: value for key, value in vars(record).items() if key not in STANDARD}
    if "request_id" not in found and has_request_context():
        found["request_id"] = g.get("request_id", "")
    return found


def redact(text: str) -> str:
    """*text* without keys, tokens and passwords in URLs."""
    return SECRETS.sub("[secret]", text)


def set_up_logs(settings: Settings) -> None:
    """Send every logger to standard error, and to `LOG_FILE` where it is set; safe to call again."""
    # No line says where in the code or in which thread it was written; to find it out costs more than the line.
    # Source: "Optimization" in Python's logging HOWTO.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    for ours in [handler for handler in root.handlers if isinstance(handler.formatter, LineFormatter)]:
        root.removeHandler(ours)
        ours.close()
    root.addHandler(_handler(StderrHandler(), TerminalFormatter() if sys.stderr.isatty() else JsonFormatter()))
    if settings.log_file:
        settings.log_file.parent.mkdir(parents=True, exist_ok=True)
        root.addHandler(_handler(logging.FileHandler(settings.log_file, encoding="utf-8"), JsonFormatter()))
    root.setLevel("DEBUG" if settings.debug else settings.log_level.upper())
    for noisy in ("urllib3", "werkzeug", "alembic", "filelock", "geventwebsocket"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _handler(handler: logging.Handler, formatter: logging.Formatter) -> logging.Handler:
    handler.setFormatter(formatter)
    return handler


def log_requests(app: Flask) -> None:
    """One line a request: id, user, route, status, milliseconds; streams are logged when they end."""

    @app.before_request
    def start_clock() -> None:
        g.started = time.perf_counter()

    @app.after_request
    def write_line(response: Response) -> Response:
        if "started" not in g:
            return response
        started, line = g.started, describe_request(response)
        metrics.REQUESTS.labels(line["method"], line["route"], str(line["status"])).inc()
        metrics.LATENCY.labels(line["route"]).observe(time.perf_counter() - started)
        if response.is_streamed and not response.direct_passthrough:
            response.call_on_close(lambda: _log(line, started))
        else:
            _log(line, started)
        return response


def describe_request(response: Response) -> dict[str, Any]:
    """What a log line says of this request; the route is its pattern, so that names of things stay out."""
    identity = g.get("identity")
    return {
        "request_id": g.get("request_id", ""),
        "user": identity.username if identity else "",
        "method": request.method if request.method in METHODS else "OTHER",
        "route": request.url_rule.rule if request.url_rule else "(none)",
        "status": response.status_code,
    }


METHODS: Iterable[str] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _log(line: dict[str, Any], started: float) -> None:
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    requests_log.info("request", extra={**line, "ms": milliseconds})
