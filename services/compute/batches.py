"""One scheduler for small inference: requests that arrive while a batch runs become the next one.

Nobody waits for company: a lone request runs at once. One thread runs all batches of a model, which is also
what torch likes best, since every new thread would make it start a team of workers of its own. On a processor a
crew takes its place while many wait: small batches side by side, each on a core, need no core to wait for another
at every layer.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Crew:
    """*threads* that run batches of at most *max_batch* at the same time; each calls *begin* before its first."""

    threads: int
    max_batch: int
    begin: Callable[[], None]


class Batches(Generic[Item, Result]):
    """`do(item, owner=…)` from many threads; *run* gets lists of items and gives a result or an error for each.

    At most *max_batch* items run together and at most *max_waiting* wait. Owners take turns: each batch takes
    one item of each in order, then a second one, and when the queue is full, an owner who has more in it than
    the newcomer gives way. *name* is the threads'. A *crew* runs them while at least as many items wait or
    run as it has threads; it has begun when this returns.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], list[Result | Exception]],
        *,
        name: str,
        max_batch: int,
        max_waiting: int,
        crew: Crew | None = None,
    ) -> None:
        self._run = run
        self._max_batch = max_batch
        self._crew = crew
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        # One for the thread that runs alone, one for the crew: who has nothing to do is not woken.
        self._alone_due = threading.Condition(self._lock)
        self._crew_due = threading.Condition(self._lock)
        self._queues: dict[str, deque[_Waiting[Item, Result]]] = {}
        self._waiting = 0
        self._closed = False
        self._alone_runs = False
        self._crew_runs = 0
        self._threads = [threading.Thread(target=self._work, args=[None], name=name, daemon=True)]
        begun = threading.Barrier(crew.threads + 1 if crew else 1)
        for _ in range(crew.threads if crew else 0):
            self._threads.append(threading.Thread(target=self._work, args=[begun], name=f"{name}-crew", daemon=True))
        for thread in self._threads:
            thread.start()
        begun.wait()

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
        """End the threads after the batches that run; what waits fails with Unavailable. May be called twice."""
        with self._lock:
            self._closed = True
            left = [waiting for queue in self._queues.values() for waiting in queue]
            self._queues.clear()
            self._waiting = 0
            self._alone_due.notify_all()
            self._crew_due.notify_all()
        for waiting in left:
            waiting.end(_closed())
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _put(self, waiting: _Waiting[Item, Result]) -> None:
        with self._lock:
            if self._closed:
                raise _closed()
            if self._waiting >= self._max_waiting:
                self._make_room(waiting.owner)
            self._queues.setdefault(waiting.owner, deque()).append(waiting)
            self._waiting += 1
            self._wake()

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

    def _work(self, begun: threading.Barrier | None) -> None:
        """Run batches until the end: those of the crew where there is a barrier at which it is waited for."""
        crew = self._crew if begun else None
        if crew and begun:
            crew.begin()
            begun.wait()
        while batch := self._next(crew):
            try:
                self._perform(batch)
            finally:
                self._end_run(crew)
            # Pictures may be large; the last batch shall not lie here until the next one comes.
            del batch

    def _next(self, crew: Crew | None) -> list[_Waiting[Item, Result]]:
        """The next items in the order of turns, as soon as it is this thread's to run some; none when closed."""
        with self._lock:
            due = self._crew_due if crew else self._alone_due
            while not self._closed and not self._is_due(crew):
                due.wait()
            most = self._share(crew) if crew else self._max_batch
            batch: list[_Waiting[Item, Result]] = []
            while self._waiting and len(batch) < most:
                owner, queue = next(iter(self._queues.items()))
                batch.append(queue.popleft())
                self._waiting -= 1
                del self._queues[owner]
                if queue:
                    self._queues[owner] = queue
            self._begin_run(crew)
            return batch

    def _is_due(self, crew: Crew | None) -> bool:
        """Whether a thread of the *crew*, or the one that runs alone, may take what waits."""
        if crew:
            return self._waiting > 0 and self._many and not self._alone_runs
        return self._waiting > 0 and not self._many and not self._crew_runs

    @property
    def _many(self) -> bool:
        """Whether it is the crew's turn: there is something for each of it, begun or waiting."""
        return self._crew is not None and self._crew_runs + self._waiting >= self._crew.threads

    def _wake(self) -> None:
        if self._many:
            self._crew_due.notify_all()
        else:
            self._alone_due.notify()

    def _share(self, crew: Crew) -> int:
        """As many as leave the same for each thread of the *crew* that is free."""
        free = max(1, crew.threads - self._crew_runs)
        return min(crew.max_batch, -(-self._waiting // free))

    def _begin_run(self, crew: Crew | None) -> None:
        if crew:
            self._crew_runs += 1
        else:
            self._alone_runs = True

    def _end_run(self, crew: Crew | None) -> None:
        with self._lock:
            if crew:
                self._crew_runs -= 1
            else:
                self._alone_runs = False
            if self._waiting:
                self._wake()

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
