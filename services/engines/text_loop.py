"""The one thread that computes with a transformers model: it lets answers in, gives each a token, and lets them go."""

import collections
import logging
import threading
from typing import Any

from services.engines.text_adapters import TextAdapters
from services.engines.text_batch import Batch, Row
from services.errors import ServiceError, Unavailable

log = logging.getLogger(__name__)


class TextLoop:
    """Writes answers, at most *slots* at once. `submit()` and `close()` may be called from any thread."""

    def __init__(self, model: Any, ends: set[int], *, slots: int) -> None:
        self._model, self._ends, self._slots = model, ends, slots
        self._adapters = TextAdapters(model)
        self._batches: dict[str, Batch] = {}
        self._waiting: collections.deque[Row] = collections.deque()
        self._some = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="transformers-text", daemon=True)
        self._thread.start()

    def submit(self, rows: list[Row]) -> None:
        """Have *rows* written as soon as there is room."""
        with self._some:
            self._waiting.extend(rows)
            self._some.notify()

    def close(self) -> None:
        """End the thread; what is not whole by then is given up."""
        with self._some:
            self._closed = True
            self._some.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._wait():
            for name, rows in self._let_in().items():
                self._begin(name, rows)
            for name, batch in list(self._batches.items()):
                self._advance(name, batch)

    def _wait(self) -> bool:
        """Wait for something to do; False at the end."""
        with self._some:
            self._some.wait_for(lambda: self._closed or self._waiting or self._batches)
            return not self._closed

    def _let_in(self) -> dict[str, list[Row]]:
        """The answers that begin now, by their adapters' names; the model alone has an empty one."""
        room = self._slots - sum(len(batch.rows) for batch in self._batches.values())
        found: dict[str, list[Row]] = {}
        with self._some:
            while self._waiting and room > 0:
                row = self._waiting.popleft()
                if not row.given_up.is_set():
                    found.setdefault(row.adapter[0] if row.adapter else "", []).append(row)
                    room -= 1
        return found

    def _begin(self, name: str, rows: list[Row]) -> None:
        """Read the prompts of *rows*, and let them join those that run with the same adapter."""
        try:
            self._adapters.choose(rows[0].adapter, busy=set(self._batches))
            batch = Batch(self._model, self._ends, rows)
        except Exception as error:  # noqa: BLE001  Else their readers would wait for ever.
            _fail(rows, error)
            return
        batch.drop_ended()
        if not batch.rows:
            return
        if name in self._batches:
            self._batches[name].join(batch)
        else:
            self._batches[name] = batch

    def _advance(self, name: str, batch: Batch) -> None:
        batch.drop_ended()
        try:
            if batch.rows:
                self._adapters.choose(batch.rows[0].adapter, busy=set(self._batches))
                batch.step()
        except Exception as error:  # noqa: BLE001
            _fail(batch.rows, error)
        batch.drop_ended()
        if not batch.rows:
            del self._batches[name]


def _fail(rows: list[Row], error: Exception) -> None:
    """Tell the readers of *rows* what went wrong."""
    if not isinstance(error, ServiceError):
        log.error("text could not be written", exc_info=error)
        error = _told(error)
    for row in rows:
        row.end(error)


def _told(error: Exception) -> Unavailable:
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return Unavailable(
            "There is not enough memory for these prompts; send fewer or shorter ones.",
            "内存不足，请减少或缩短提示词。",
            details={"reason": "out_of_memory"},
        )
    return Unavailable(
        "The model failed on this request; the log says why.",
        "模型处理该请求时出错，请查看日志。",
        details={"reason": "model_failed"},
    )
