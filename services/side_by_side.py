"""Many answers of one model at once, heard in the order in which their pieces arrive."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.contracts.chat import ChatDelta, ChatRequest

SILENCE_SECONDS = 0.2
END = object()

Open = Callable[[ChatRequest], Iterator[list[ChatDelta]]]


def stream_all(ask: Open, requests: list[ChatRequest], *, at_once: int) -> Iterator[list[tuple[int, ChatDelta]]]:
    """The pieces of the answers to *requests*, each with its request's number; an empty list says "still alive".

    Closing the iterator gives all of them up. Raises what the first one that fails raises.
    """
    arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
    given_up = threading.Event()

    def work(number: int) -> None:
        if given_up.is_set():
            return  # One that ended made place for it before it could be called off.
        try:
            _pass_on(ask(requests[number]), number, arrived, given_up)
            arrived.put(END)
        except Exception as error:  # noqa: BLE001  Whatever it is, the reader raises it.
            arrived.put(error)

    workers = ThreadPoolExecutor(min(at_once, len(requests)), thread_name_prefix="side-by-side")
    try:
        for number in range(len(requests)):
            workers.submit(work, number)
        yield from _hear(arrived, len(requests))
    finally:
        given_up.set()
        # Those that began hear of it within a moment; the model must not go before they ended.
        workers.shutdown(cancel_futures=True)


def _pass_on(
    stream: Iterator[list[ChatDelta]], number: int, arrived: "queue.SimpleQueue[Any]", given_up: threading.Event
) -> None:
    try:
        for deltas in stream:
            if given_up.is_set():
                return
            if deltas:
                arrived.put([(number, delta) for delta in deltas])
    finally:
        stream.close()  # type: ignore[attr-defined]


def _hear(arrived: "queue.SimpleQueue[Any]", running: int) -> Iterator[list[tuple[int, ChatDelta]]]:
    while running:
        found: list[tuple[int, ChatDelta]] = []
        try:
            items = [arrived.get(timeout=SILENCE_SECONDS)]
        except queue.Empty:
            yield []
            continue
        while not arrived.empty():
            items.append(arrived.get())
        for item in items:
            if isinstance(item, Exception):
                raise item
            if item is END:
                running -= 1
            else:
                found += item
        if found:
            yield found
