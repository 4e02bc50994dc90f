"""The engine host: loaded models, their batching, and the thread-pool job runner; one a machine.

It listens on the loopback interface alone and answers only who knows the token in `instance/`.
"""

import hmac
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import orjson
from flask import Flask, Response, request
from pydantic import ValidationError

from backend.logs import set_up_logs
from backend.setup import prepare
from blueprints.kit.presence import client_left, client_waits
from services.assemble import Services, assemble
from services.compute import registry, wire
from services.errors import NotFound, ServiceError, Unavailable
from services.secrets import engine_token
from services.settings import Settings

log = logging.getLogger(__name__)


def create_host(settings: Settings | None = None, services: Services | None = None) -> Flask:
    """The host's small application over *services*."""
    settings = settings or (services.settings if services else Settings())
    set_up_logs(settings)
    if services is None:
        services = assemble(settings, place="host")
        prepare(services)
    host = Flask("polymath-host")
    host.extensions["services"] = services
    host.config["MAX_CONTENT_LENGTH"] = 2 * settings.max_json_mb * 2**20
    token = engine_token(settings)

    @host.before_request
    def refuse_strangers() -> Response | None:
        if hmac.compare_digest(request.headers.get(wire.TOKEN_HEADER, ""), token):
            return None
        return Response(b"", 403)

    @host.get("/health")
    def health() -> Response:
        told = {"pid": os.getpid(), "models": services.pool.loaded(), "threads": threading.active_count()}
        return _json(told | {"job_runner": services.jobs.runner.health()})

    @host.post("/call/<name>")
    def call(name: str) -> Response:
        function, body = _find(name), request.get_data()
        wanted = function.request.model_validate_json(body)
        with client_waits(request.environ):
            return _json(function.call(wanted, services=services))

    @host.post("/stream/<name>")
    def stream(name: str) -> Response:
        function = _find(name)
        events = function.call(function.request.model_validate_json(request.get_data()), services=services)
        return Response(_lines(events, request.environ), mimetype="application/x-ndjson")

    @host.errorhandler(ServiceError)
    def tell(error: ServiceError) -> Response:
        return Response(wire.pack_error(error), 400, mimetype="application/json")

    @host.errorhandler(ValidationError)
    def tell_invalid(error: ValidationError) -> Response:
        # The web checked the request already: the two run different code.
        log.error("a request from the web does not validate", exc_info=error)
        return tell(_broken())

    _serve_jobs(host, services)
    return host


def _serve_jobs(host: Flask, services: Services) -> None:
    """What the web says of jobs, and what it hears of them."""

    @host.post("/jobs/knock")
    def knock() -> Response:
        services.jobs.runner.knock()
        return _json({})

    @host.get("/jobs/notices")
    def tell_of_jobs() -> Response:
        return Response(_lines(services.jobs.notices.batches(), request.environ), mimetype="application/x-ndjson")


def _find(name: str) -> registry.Function:
    try:
        return registry.find(name)
    except KeyError as error:
        raise NotFound("The engine host has no function {name}.", "推理进程没有函数 {name}。", name=name) from error


def _lines(events: Iterator[list[Any]], environ: dict[str, Any]) -> Iterator[bytes]:
    """*events* as NDJSON. The first line is empty: headers go out, and the web has something to close."""
    yield b"\n"
    try:
        for batch in events:
            if client_left(environ):
                return
            yield wire.pack(batch) + b"\n" if batch else b"\n"
    except ServiceError as error:
        yield wire.pack_error(error) + b"\n"
    except Exception:
        log.exception("a stream broke")
        yield wire.pack_error(_broken()) + b"\n"
    finally:
        events.close()  # type: ignore[attr-defined]


def _broken() -> Unavailable:
    return Unavailable("The engine failed; its log has the reason.", "推理引擎出错，原因见日志。")


def _json(answer: Any) -> Response:
    return Response(
        orjson.dumps(answer) if isinstance(answer, dict) else wire.pack(answer), mimetype="application/json"
    )
