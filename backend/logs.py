"""Structured logs: JSON when nobody reads them at a terminal, and to `LOG_FILE` as well where it is set."""

import logging
import re
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import orjson

from services.settings import Settings

LINE = "json_line"
STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", LINE}
# Things that look like keys or tokens never reach a log line, whoever wrote it.
SECRETS = re.compile(
    r"(?i)(bearer\s+|sk-(?:ant-)?|x-api-key['\": ]+|eyJ)[A-Za-z0-9._~+/=-]{6,}|(?<=://)[^/@\s:]+:[^/@\s]+(?=@)"
)

# The id of the request that is being answered; None where there is none.
RequestId = Callable[[], str | None]


class LineFormatter(logging.Formatter):
    """Base of the formatters here, by which our handlers are known."""

    def __init__(self, request_id: RequestId) -> None:
        super().__init__()
        self._request_id = request_id

    def extras(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the caller gave as `extra`, and the request id where there is one."""
        found = {key: value for key, value in vars(record).items() if key not in STANDARD}
        if "request_id" not in found and (request_id := self._request_id()) is not None:
            found["request_id"] = request_id
        return found


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
            **self.extras(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return redact(orjson.dumps(line, default=str).decode())


class TerminalFormatter(LineFormatter):
    """The same for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        details = " ".join(f"{key}={value}" for key, value in self.extras(record).items())
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


def redact(text: str) -> str:
    """*text* without keys, tokens and passwords in URLs."""
    return SECRETS.sub("[secret]", text)


def set_up_logs(settings: Settings, request_id: RequestId = lambda: None) -> None:
    """Send every logger to standard error, and to `LOG_FILE` where it is set; safe to call again.

    *request_id* comes from who knows Flask: gunicorn's arbiter logs too, and loads only what it needs itself.
    """
    # No line says where in the code or in which thread it was written; to find it out costs more than the line.
    # Source: "Optimization" in Python's logging HOWTO.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    for ours in [handler for handler in root.handlers if isinstance(handler.formatter, LineFormatter)]:
        root.removeHandler(ours)
        ours.close()
    at_terminal = TerminalFormatter if sys.stderr.isatty() else JsonFormatter
    root.addHandler(_handler(StderrHandler(), at_terminal(request_id)))
    if settings.log_file:
        settings.log_file.parent.mkdir(parents=True, exist_ok=True)
        root.addHandler(_handler(logging.FileHandler(settings.log_file, encoding="utf-8"), JsonFormatter(request_id)))
    root.setLevel("DEBUG" if settings.debug else settings.log_level.upper())
    for noisy in ("urllib3", "werkzeug", "alembic", "filelock", "geventwebsocket"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _handler(handler: logging.Handler, formatter: logging.Formatter) -> logging.Handler:
    handler.setFormatter(formatter)
    return handler
