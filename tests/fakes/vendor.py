"""What the four vendor fakes share: behaviours chosen by the model's name, and result files.

A behaviour is the model's whole name or what follows its last `@`: `cut`, `qwen-plus@cut`.

    anything else     answers normally
    error-<status>    that status with the vendor's error body (error-200: the error body under 200)
    html-<status>     that status with an HTML page
    limited-<s>       429 with Retry-After in seconds        limited-date-<s>  the same as an HTTP date
    quota             no money left, never to be retried     overloaded        the vendor's overload
    missing           no such model                          sensitive         refused by moderation
    flaky-<status>-<n>  fails n times with retry-after-ms: 10, then works
    slow              no first byte until `fake.release` is set
    silent            one delta (half of a plain body), then nothing until `fake.release` is set
    stepped           each delta after the first waits for `fake.step()`
    cut / reset       one delta (half of a plain body), then the connection is closed / reset
    mid-error         one delta, then the vendor's error frame
    no-end            the stream's end marker is missing     no-finish         the finish reason as well
    finish-<reason>   ends with that reason
    count-<n>         n deltas "0 ", "1 ", ...
    crlf, no-blank, comments, bytes                          framing of the stream
    close-delimited   neither length nor chunks: ends with the connection
    no-content-type   no Content-Type header
    reasoning, parallel-tools, empty-choices                 see the vendor's module

Tools are called when the request offers some and its last message is no tool result.
A picture, film or task does what a word in its prompt or model name says (upper case in a prompt,
any case in a model's name, e.g. `wan2.2-t2i-flash@html`):

    FAIL, NEVER       the task fails, never ends             SENSITIVE         refused at once
    ERROR200          200 with an error body                 PARTFAIL          one picture of several fails
    HTML, TEXT        the file is a web page, plain text     TRUNCATED, HUGE   half a PNG, one of 30000 x 30000
    LOOPBACK          the URL points to 127.0.0.1:1          REDIRECT          the URL redirects to 169.254.169.254
    GONE              the URL answers 404
"""

import re
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any, ClassVar, NamedTuple

from tests.fakes import samples
from tests.fakes.connection import CUT, RESET, Piece, RecordedRequest, Reply
from tests.fakes.results import ResultFiles
from tests.fakes.sse import compact, reframed


class VendorError(NamedTuple):
    """One error of a vendor: the HTTP status and the words of its body."""

    status: int
    code: str
    message: str
    type: str = ""
    param: str | None = None


def behaviour_of(model: str) -> str:
    """The behaviour that a model's name asks for."""
    return model.rpartition("@")[2]


class VendorFake(ResultFiles):
    """A vendor's server: its key, its base path, its errors."""

    key = ""
    base_path = ""
    errors: ClassVar[dict[str, VendorError]] = {}
    status_errors: ClassVar[dict[int, VendorError]] = {}
    comment = ": keep-alive\n\n"

    @property
    def base_url(self) -> str:
        """What goes into the setting."""
        return self.url(self.base_path)

    # -- errors ----------------------------------------------------------------------------

    def error_body(self, error: VendorError) -> Any:
        """The vendor's error body."""
        raise NotImplementedError

    def response_headers(self) -> dict[str, str | None]:
        """The headers that every answer of this vendor carries."""
        return {}

    def error(self, error: VendorError, **headers: str) -> Reply:
        """The vendor's answer for an error; underscores in header names become dashes."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(self.error_body(error), error.status, {**self.response_headers(), **more})

    def invalid(self, message: str, param: str | None = None) -> Reply:
        """The vendor's 400 with this message."""
        return self.error(self.status_errors[400]._replace(message=message, param=param))

    def status_error(self, status: int) -> VendorError:
        """The vendor's usual error for a status."""
        known = self.status_errors.get(status) or self.status_errors[500 if status >= 500 else 400]
        return known._replace(status=status)

    def failure(self, behaviour: str) -> Reply | None:
        """The error reply that a behaviour asks for, None where it asks for none."""
        if behaviour in self.errors:
            return self.error(self.errors[behaviour])
        if match := re.fullmatch(r"error-(\d+)", behaviour):
            return self.error(self.status_error(int(match[1])))
        if match := re.fullmatch(r"html-(\d+)", behaviour):
            page = "<html><head><title>Bad Gateway</title></head><body>nginx</body></html>"
            return Reply(page, int(match[1]), {"content-type": "text/html"})
        if match := re.fullmatch(r"limited-(date-)?(\d+)", behaviour):
            when = formatdate(time.time() + int(match[2]), usegmt=True) if match[1] else match[2]
            return self.error(self.status_errors[429], retry_after=when)
        match = re.fullmatch(r"flaky-(\d+)-(\d+)", behaviour)
        if match and self.count(behaviour) <= int(match[2]):
            return self.error(self.status_error(int(match[1])), retry_after_ms="10")
        return None

    def refuse(self, request: RecordedRequest) -> Reply | None:
        """The vendor's answer to a wrong key; result files need none."""
        return None if request.path.startswith("/files/") else self.unauthorised(request)

    def unauthorised(self, request: RecordedRequest) -> Reply | None:
        """The vendor's 401 where the request does not carry the good key."""
        if request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return self.error(self.status_errors[401])

    def not_found(self, request: RecordedRequest) -> Reply:
        """The vendor's 404 for an unknown path."""
        return self.error(self.status_errors[404]._replace(message=f"Unknown path {request.path}"))

    # -- how an answer goes out ------------------------------------------------------------

    def reply(self, body: Any, behaviour: str = "") -> Reply:
        """A 200 with this body (or stream of frames), shaped by the behaviour."""
        reply = Reply(body, 200, self.response_headers())
        if behaviour == "slow":
            reply.hold = self.release
        if behaviour == "no-content-type":
            reply.headers["content-type"] = None
        reply.close_delimited = behaviour == "close-delimited"
        if reply.streams:
            reply.body = reframed(reply.body, behaviour, self.comment)
            reply.headers.setdefault("content-type", "text/event-stream; charset=utf-8")
        elif behaviour in ("cut", "reset", "silent"):
            reply.body = self._halted(compact(body), behaviour)
            reply.headers.setdefault("content-type", "application/json")
        return reply

    def _halted(self, text: str, behaviour: str) -> Iterator[Piece]:
        start, rest = samples.halves(text)
        yield start
        yield from self.after_first_delta(behaviour)
        yield rest

    def after_first_delta(self, behaviour: str) -> Iterator[Piece]:
        """What happens once the first delta is out: silence, a cut, or nothing."""
        if behaviour == "silent":
            yield from self.until_released()
        if behaviour == "cut":
            yield CUT
        if behaviour == "reset":
            yield RESET

    def deltas(self, behaviour: str, frame: Callable[[str], str], error_frame: str) -> Iterator[Piece]:
        """The text's frames one by one; after an `error_frame` the caller must end its stream."""
        for number, text in enumerate(self.pieces(behaviour)):
            if number and behaviour == "stepped":
                yield from self.until_stepped()
            yield frame(text)
            if not number:
                yield from self.after_first_delta(behaviour)
            if behaviour == "mid-error":
                yield error_frame
                return

    def pieces(self, behaviour: str) -> tuple[str, ...]:
        """The deltas of the text that this behaviour answers."""
        if match := re.fullmatch(r"count-(\d+)", behaviour):
            return tuple(f"{number} " for number in range(int(match[1])))
        return samples.PIECES

    def text(self, behaviour: str) -> str:
        """The text that this behaviour answers."""
        return "".join(self.pieces(behaviour))

    def finish(self, behaviour: str, usual: str) -> str:
        """The finish reason of this behaviour."""
        return behaviour.removeprefix("finish-") if behaviour.startswith("finish-") else usual
