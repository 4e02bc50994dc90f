"""The engine host: loaded models, their batching, and the thread-pool job runner; one a machine.

It listens on the loopback interface alone and answers only who knows the token in `instance/`. To a request by HTTP it
answers where to go from there, to frames (`services/compute/frames.py`), and gunicorn's thread is that connection's
until its end.
"""

import hmac
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from backend.answering import Answering
from backend.logs import set_up_logs
from backend.setup import prepare
from blueprints.kit.presence import connection_of
from services.assemble import Services, assemble
from services.compute import wire
from services.compute.frames import PROTOCOL
from services.secrets import engine_token
from services.settings import Settings

log = logging.getLogger(__name__)

WELCOME = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n\r\n".encode()


def create_host(settings: Settings | None = None, services: Services | None = None) -> "Host":
    """The host's application over *services*."""
    settings = settings or (services.settings if services else Settings())
    set_up_logs(settings)
    if services is None:
        services = assemble(settings, place="host")
        prepare(services)
    return Host(services)


class Host:
    """A WSGI application that welcomes the web's connections and answers on them for as long as they last."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._token = engine_token(services.settings)
        self._answering = Answering(services, _of_itself(services))

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not hmac.compare_digest(environ.get("HTTP_X_ENGINE_TOKEN", "").encode(), self._token.encode()):
            start_response("403 Forbidden", [("Content-Length", "0")])
            return []
        if environ.get("HTTP_UPGRADE") != PROTOCOL:
            start_response("426 Upgrade Required", [("Upgrade", PROTOCOL), ("Content-Length", "0")])
            return []
        connected = connection_of(environ)
        try:
            connected.sendall(WELCOME)
            self._answering.serve(environ)
        except ConnectionAbortedError as error:
            log.warning("a connection of the web was ended: %s", error)
        except OSError:
            pass  # The web may leave whenever it likes.
        except Exception:
            log.exception("a connection of the web broke")
        # What the server writes now reaches nobody: to HTTP, this connection has no answer.
        with suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)
        start_response("204 No Content", [("Connection", "close")])
        return []

    def close(self) -> None:
        """Tell those who wait for a question or for notices that there will be none: this process stops."""
        self.services.jobs.notices.close()
        self._answering.close()


def _of_itself(services: Services) -> dict[str, Callable[[], Any]]:
    """What the web asks beside the domains' functions: how the host is, and what it says and hears of jobs."""

    def health() -> dict[str, Any]:
        told = {"pid": os.getpid(), "models": services.pool.loaded(), "threads": threading.active_count()}
        return told | {"job_runner": services.jobs.runner.health()}

    return {wire.HEALTH: health, wire.KNOCK: services.jobs.runner.knock, wire.NOTICES: services.jobs.notices.batches}
