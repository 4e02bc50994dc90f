"""One scheduler for small inference: requests that arrive while a batch runs become the next one.

Nobody waits for company: a lone request runs at once. One thread runs all batches of a model, which is also
what torch likes best, since every new thread would make it start a team of workers of its own.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from services import cancellation
from services.errors import Busy, Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

# How often who waits looks whether its caller has left.
LOOK_SECONDS = 0.2
RETRY_SECONDS = 1.0


class _Waiting(Generic[Item, Result]):
    """One item on its way; `outcome` holds a result or an error once `done` is set."""

    def __init__(self, item: Item, owner: str) -> None:
        self.item = item
        self.owner = owner
        self.done = threading.Event()
        self.outcome: Result | BaseException

    def end(self, outcome: Result | BaseException) -> None:
        self.outcome = outcome
        self.done.set()


class Batches(Generic[Item, Result]):
    """`do(item, owner=…)` from many threads; *run* gets lists of items and gives a result or an error for each.

    At most *max_batch* items run together and at most *max_waiting* wait. Owners take turns: each batch takes
    one item of each in order, then a second one, and when the queue is full, an owner who has more in it than
    the newcomer gives way. *name* is the thread's.
    """

    def __init__(
        self, run: Callable[[list[Item]], list[Result | Exception]], *, name: str, max_batch: int, max_waiting: int
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._queues: dict[str, deque[_Waiting[Item, Result]]] = {}
        self._waiting = 0
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items wait now; those that run are not among them."""
        return self._waiting

    def do(self, item: Item, *, owner: str) -> Result:
        """What *run* makes of *item*; blocks until then.

        Raises Busy when the queue is full, Cancelled when the caller's switch is thrown while it waits (the
        item is taken out), the error that *run* gave for this item or raised for its batch, and Unavailable
        after `close()`.
        """
        waiting: _Waiting[Item, Result] = _Waiting(item, owner)
        self._put(waiting)
        switch = cancellation.current()
        try:
            while not waiting.done.wait(LOOK_SECONDS):
                if switch:
                    switch.check()
        finally:
            if not waiting.done.is_set():
                self._take_out(waiting)
        if isinstance(waiting.outcome, BaseException):
            raise waiting.outcome
        return waiting.outcome

    def close(self) -> None:
        """End the thread after the batch that runs; what waits fails with Unavailable. May be called twice."""
        with self._lock:
            self._closed = True
            left = [waiting for queue in self._queues.values() for waiting in queue]
            self._queues.clear()
            self._waiting = 0
            self._arrived.notify()
        for waiting in left:
            waiting.end(_closed())
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _put(self, waiting: _Waiting[Item, Result]) -> None:
        with self._lock:
            if self._closed:
                raise _closed()
            if self._waiting >= self._max_waiting:
                self._make_room(waiting.owner)
            self._queues.setdefault(waiting.owner, deque()).append(waiting)
            self._waiting += 1
            self._arrived.notify()

    def _make_room(self, owner: str) -> None:
        """Turn away the newest item of whom has most in the queue; Busy if that is *owner*, or as good as."""
        most = max(self._queues, key=lambda name: len(self._queues[name]), default=owner)
        if len(self._queues.get(most, ())) <= len(self._queues.get(owner, ())) + 1:
            raise _busy()
        self._waiting -= 1
        self._queues[most].pop().end(_busy())

    def _take_out(self, waiting: _Waiting[Item, Result]) -> None:
        with self._lock:
            queue = self._queues.get(waiting.owner, deque())
            if waiting not in queue:
                return
            queue.remove(waiting)
            self._waiting -= 1
            if not queue:
                del self._queues[waiting.owner]

    def _work(self) -> None:
        while batch := self._next():
            self._perform(batch)
            # Pictures may be large; the last batch shall not lie here until the next one comes.
            del batch

    def _next(self) -> list[_Waiting[Item, Result]]:
        """The next items in the order of turns, as soon as there are any; none when closed."""
        with self._lock:
            while not self._waiting and not self._closed:
                self._arrived.wait()
            batch: list[_Waiting[Item, Result]] = []
            while self._waiting and len(batch) < self._max_batch:
                owner, queue = next(iter(self._queues.items()))
                batch.append(queue.popleft())
                self._waiting -= 1
                del self._queues[owner]
                if queue:
                    self._queues[owner] = queue
            return batch

    def _perform(self, batch: list[_Waiting[Item, Result]]) -> None:
        try:
            outcomes: list[Result | Exception] = self._run([waiting.item for waiting in batch])
            for waiting, outcome in zip(batch, outcomes, strict=True):
                waiting.end(outcome)
        except BaseException as error:  # noqa: BLE001 - whoever waits hears it, whatever it is; the thread lives on
            for waiting in batch:
                if not waiting.done.is_set():
                    waiting.end(error)


def _busy() -> Busy:
    return Busy(
        "Too many requests wait for this model; try again in a moment.",
        "等待此模型的请求过多，请稍后重试。",
        retry_after_seconds=RETRY_SECONDS,
        details={"reason": "queue_full"},
    )


def _closed() -> Unavailable:
    return Unavailable(
        "The model was just unloaded; try again.",
        "模型刚刚被卸载，请重试。",
        retry_after_seconds=RETRY_SECONDS,
        details={"reason": "model_unloaded"},
    )
