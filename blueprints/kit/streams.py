"""Server-sent events: the work runs beside the response, so silence can be filled and a lost client noticed.

The first batch is awaited before any header is sent, so an early error keeps its status; a later one is
a frame. Frames end with `data: [DONE]`. Source: HTML standard, section 9.2; OpenAI's streaming format.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import orjson
from flask import Response, current_app, request, stream_with_context

from blueprints.kit.presence import presence
from blueprints.kit.problems import INTERNAL_ERROR, describe, error_body, say
from services.cancellation import Cancellation, cancellable
from services.errors import Cancelled, ServiceError

HEARTBEAT_SECONDS = 15
MOST_WAITING = 1000
DONE = b"data: [DONE]\n\n"
HEARTBEAT = b": keep-alive\n\n"
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

Event = TypeVar("Event")
Batches = Iterator[list[Event]]


class Work:
    """An iterator of batches that runs in a thread of its own and is read here, with a time limit.

    Under gevent the thread is a greenlet. Closing throws the switch, which ends a waiting upstream call.
    """

    END = object()

    def __init__(self, produce: Callable[[], Batches[Event]], switch: Cancellation) -> None:
        self._produce = produce
        self._switch = switch
        self.ended = False
        self._arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="stream", daemon=True).start()

    def next(self, seconds: float) -> list[Event] | None:
        """All that has arrived, waiting up to *seconds* for it; [] for silence, None at the end.

        Raises what the work raised.
        """
        try:
            item = self._arrived.get(timeout=seconds)
        except queue.Empty:
            return []
        batch: list[Event] = []
        while True:
            if item is self.END or isinstance(item, BaseException):
                if not batch:
                    self._finish(item)
                    return None
                self._arrived.put(item)
                return batch
            batch.extend(item)
            if self._arrived.empty():
                return batch
            item = self._arrived.get()

    def _finish(self, item: Any) -> None:
        if isinstance(item, BaseException):
            raise item

    def _run(self) -> None:
        with cancellable(self._switch):
            try:
                batches = self._produce()
                try:
                    self._pass_on(batches)
                finally:
                    batches.close()  # type: ignore[attr-defined]
                    self.ended = True
                self._arrived.put(self.END)
            except Exception as error:  # noqa: BLE001 - whatever it is, next() raises it
                self._arrived.put(error)

    def _pass_on(self, batches: Batches[Event]) -> None:
        for batch in batches:
            self._switch.check()
            if batch:
                self._arrived.put(batch)
            while self._arrived.qsize() > MOST_WAITING:  # A reader that is slower than the model.
                time.sleep(0.02)
                self._switch.check()


class Writing:
    """What a protocol writes beside its events: here as OpenAI does."""

    mimetype = "text/event-stream"
    heartbeat = HEARTBEAT

    def end(self) -> bytes:
        """What stands after the last event."""
        return DONE

    def fail(self, body: dict[str, Any]) -> bytes:
        """What tells of an error and ends the stream; *body* is the error body."""
        return frame({"error": body["error"]}) + DONE


def respond(
    produce: Callable[[], Batches[Event]],
    encode: Callable[[list[Event]], bytes],
    writing: Writing | None = None,
) -> Response:
    """An event stream of what *produce* yields, as *encode* writes it; *writing* may be another protocol's.

    *produce* runs in another thread, without Flask's contexts. Raises what it raises before its first batch.
    """
    switch = Cancellation()
    presence.watch(switch, request.environ)
    work = Work(produce, switch)
    try:
        first = _await_first(work)
    except BaseException:
        presence.forget(switch)
        raise

    def stop() -> None:
        presence.forget(switch)
        if not work.ended:  # Else it would end a connection that waits for its next call.
            switch.cancel("client_left")

    writing = writing or Writing()
    response = Response(
        stream_with_context(_frames(work, first, encode, writing)),
        mimetype=writing.mimetype,
        headers=HEADERS,
    )
    response.call_on_close(stop)
    return response


def _await_first(work: Work) -> list[Any] | None:
    batch: list[Any] | None = []
    while batch == []:
        batch = work.next(HEARTBEAT_SECONDS)
    return batch


def _frames(
    work: Work, first: list[Any] | None, encode: Callable[[list[Any]], bytes], writing: Writing
) -> Iterator[bytes]:
    batch = first
    try:
        while batch is not None:
            yield encode(batch) if batch else writing.heartbeat
            batch = work.next(HEARTBEAT_SECONDS)
        end = writing.end()
    except ServiceError as error:
        end = writing.fail(_told(error))
    except Exception:
        current_app.logger.exception("a stream broke")
        end = writing.fail(_unknown())
    yield end


def _told(error: ServiceError) -> dict[str, Any]:
    if isinstance(error, Cancelled) and error.reason == "restarting":
        error = Cancelled("The server is restarting; send the request again.", "服务正在重启，请重新发送请求。")
    return describe(error)


def frame(payload: Any) -> bytes:
    """One event with *payload* as JSON."""
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def _unknown() -> dict[str, Any]:
    message = say(
        "Something went wrong here; the log has it under the request id.", "服务器内部错误，请凭请求编号查询日志。"
    )
    return error_body(INTERNAL_ERROR, message)
