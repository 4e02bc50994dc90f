"""Trainings followed over a WebSocket: their present state at once, and each change as it comes.

Frames are system 3's: `progress`, `status` and `error`, each with the training's `task_id` under `data`. What a
client does not read in time is passed over: it always gets the newest state, never a backlog.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import BaseModel, Field, ValidationError

from blueprints.kit.context import me, services
from blueprints.kit.conversation import Message, Socket
from blueprints.kit.problems import language
from blueprints.kit.trainings import loss_of, worded
from blueprints.kit.validation import as_error
from services.contracts.training_doors import TrainingState
from services.domains import training
from services.errors import Invalid, Malformed, NotFound, ServiceError

LOOK_SECONDS = 0.4
IDLE_LOOK_SECONDS = 1.0
PING_SECONDS = 20.0
ERROR_PAUSE_SECONDS = 0.05
# So many of the caller's newest trainings are watched without being named.
MOST_WATCHED = 50
MOST_NAMED = 50
ENDED = {"completed", "failed", "canceled"}


class SpokenWord(BaseModel):
    """What a client may say."""

    type: str = Field(max_length=32)
    task_id: str | None = Field(None, max_length=64)


@dataclass
class Told:
    """What the client heard last of one training."""

    revision: int | None = None
    status: tuple[Any, ...] = ()
    progress: tuple[Any, ...] = ()


@dataclass
class Follower:
    """One client: whom it follows, and what it knows of them."""

    socket: Socket
    named: list[str] = field(default_factory=list)
    told: dict[str, Told] = field(default_factory=dict)

    def look(self) -> None:
        """Send what has changed since the last look."""
        for task_id in self._wanted():
            known = self.told.setdefault(task_id, Told())
            try:
                state = training.glance(task_id, services=services(), identity=me())
            except NotFound:
                self._forget(task_id)
                continue
            self._tell(state, known)

    @property
    def look_seconds(self) -> float:
        """How long to the next look: where nothing goes on, only a new training is waited for."""
        waits = any(known.status[:1] in (("queued",), ("running",)) for known in self.told.values())
        return LOOK_SECONDS if waits else IDLE_LOOK_SECONDS

    def hear(self, word: SpokenWord) -> None:
        """Do what the client said. Raises NotFound and Invalid."""
        if word.type == "subscribe":
            self._subscribe(word.task_id)
        elif word.type == "unsubscribe":
            self.named = [name for name in self.named if word.task_id not in (None, name)]
        elif word.type == "ping":
            self.socket.send({"type": "pong"})
        elif word.type != "pong":
            raise Invalid(
                "type",
                "'type' must be one of subscribe, unsubscribe and ping.",
                "参数'type'必须是以下之一：subscribe、unsubscribe、ping。",
            )

    def _subscribe(self, task_id: str | None) -> None:
        if not task_id:
            raise Invalid("task_id", "'task_id' is required.", "参数'task_id'不能为空。", reason="required")
        training.glance(task_id, services=services(), identity=me())
        if task_id not in self.named:
            self.named = [*self.named, task_id][-MOST_NAMED:]
        self.told.pop(task_id, None)

    def _wanted(self) -> list[str]:
        """The trainings that are worth a look, the oldest first."""
        if self.named:
            return list(self.named)
        found = services().jobs.revisions_of(training.TRAIN, owner=me().id, most=MOST_WATCHED)
        is_first = not self.told
        wanted = []
        for number, (task_id, revision) in enumerate(found.items()):
            known = self.told.setdefault(task_id, Told())
            changed = known.revision != revision
            known.revision = revision
            # Of those that ended before the client came, it hears of the newest alone.
            if changed and is_first and number and self._has_ended(task_id):
                continue
            if changed or self._waits(known):
                wanted.append(task_id)
        return wanted[::-1]

    def _has_ended(self, task_id: str) -> bool:
        return training.glance(task_id, services=services(), identity=me()).status in ENDED

    @staticmethod
    def _waits(known: Told) -> bool:
        """Its place in the queue changes without a change of its own."""
        return known.status[:1] == ("queued",)

    def _tell(self, state: TrainingState, known: Told) -> None:
        status = (state.status, state.position, state.attempt)
        metrics = dict(state.metrics) | ({} if loss_of(state.metrics) is None else {"loss": loss_of(state.metrics)})
        progress = (state.progress, metrics)
        if state.status in ENDED and known.progress != progress:
            self._send("progress", state, progress=state.progress, metrics=metrics)
        if known.status != status:
            self._tell_status(state)
        if state.status not in ENDED and known.progress != progress:
            self._send("progress", state, progress=state.progress, metrics=metrics)
        known.status, known.progress = status, progress

    def _tell_status(self, state: TrainingState) -> None:
        more: dict[str, Any] = {"position": state.position, "attempt": state.attempt}
        if state.model:
            more["model"] = state.model.model_dump(mode="json", exclude={"metrics"})
        if error := worded(state):
            self._send("error", state, message=error["message"], error=error)
        self._send("status", state, status=state.status, **more)

    def _send(self, kind: str, state: TrainingState, **data: Any) -> None:
        self.socket.send({"type": kind, "data": {"task_id": state.task_id, **data}})

    def _forget(self, task_id: str) -> None:
        self.told.pop(task_id, None)
        self.named = [name for name in self.named if name != task_id]


def follow(socket: Socket) -> None:
    """Tell of trainings until the client leaves."""
    follower, ping_at = Follower(socket), time.monotonic() + PING_SECONDS
    while True:
        follower.look()
        message = socket.receive(follower.look_seconds)
        if message is not None:
            answer(follower, message)
        if time.monotonic() >= ping_at:
            socket.send({"type": "ping"})
            ping_at = time.monotonic() + PING_SECONDS


def answer(follower: Follower, message: Message) -> None:
    """Do what a message says, or tell what is wrong with it; the talk goes on."""
    task_id = None
    try:
        sent = read(message)
        task_id = sent.get("task_id") if isinstance(sent.get("task_id"), str) else None
        follower.hear(as_word(sent))
    except ServiceError as error:
        follower.socket.check()
        follower.socket.tell(error, data={"task_id": task_id, "message": error.say(language())})
        time.sleep(ERROR_PAUSE_SECONDS)


def read(message: Message) -> dict[str, Any]:
    """The object that a message is. Raises Malformed."""
    try:
        sent = orjson.loads(message)
    except orjson.JSONDecodeError:
        sent = None
    if not isinstance(sent, dict):
        raise Malformed(
            'Send {"type": "subscribe", "task_id": "…"}, or nothing to hear of all your trainings.',
            '请发送 {"type": "subscribe", "task_id": "…"}；不发送任何消息则接收自己的全部训练任务。',
        )
    return sent


def as_word(sent: dict[str, Any]) -> SpokenWord:
    """What a client said. Raises Invalid."""
    try:
        return SpokenWord.model_validate(sent)
    except ValidationError as error:
        raise as_error(error.errors(include_url=False)) from error
