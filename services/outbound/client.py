"""Calls to providers and downloads of what they made."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import orjson
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse

from services import cancellation, connections
from services.errors import Cancelled, TooLarge, UpstreamFailed, UpstreamTimeout
from services.outbound.guard import Guard, open_guarded_pool
from services.outbound.retries import Attempts
from services.settings import Settings

MOST_REDIRECTS = 5
LARGEST_ANSWER_BYTES = 64 * 2**20
CHUNK_BYTES = 2**16
DRAIN_SECONDS = 1.0
DRAIN_READS = 8
REDIRECTS = {301, 302, 303, 307, 308}


class Outbound:
    """*trusted* calls go to addresses of the operator as they are; all others through the guard.

    Methods may be called from any thread. A wait ends when the current cancellation is thrown.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._trusted = connections.open_pool()
        self.guard = Guard(settings)
        self._guarded = open_guarded_pool(self.guard)

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        *,
        json_body: Any = None,
        headers: Mapping[str, str] | None = None,
        read_seconds: float,
        trusted: bool,
    ) -> Iterator["Answer"]:
        """An answer whose body is not read yet, whatever its status; tried again before its first byte.

        *json_body* is anything that JSON can say, or bytes that are sent as they are: a form, for example.

        Raises UpstreamTimeout, UpstreamFailed, Malformed for an address that is refused, or Cancelled.
        """
        if not trusted:
            self.guard.check_url(url)
        with self._answer(method, url, json_body, dict(headers or {}), read_seconds, trusted) as answer:
            yield answer

    def call(
        self,
        method: str,
        url: str,
        *,
        json_body: Any = None,
        headers: Mapping[str, str] | None = None,
        read_seconds: float | None = None,
        trusted: bool,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and the whole body, up to 64 MiB."""
        seconds = read_seconds or self.settings.upstream_answer_seconds
        with self.open(
            method, url, json_body=json_body, headers=headers, read_seconds=seconds, trusted=trusted
        ) as response:
            return response.status, response.headers, read_bounded(response, LARGEST_ANSWER_BYTES)

    def download(self, url: str, path: Path, *, max_bytes: int, trusted: bool = False, plain_http: bool = False) -> str:
        """Bring *url* to the file *path*; its content type. Follows redirects, each checked like the first.

        *plain_http* is for addresses that a provider gives for what it made, some of which are http; they
        must be public all the same. Raises TooLarge over *max_bytes*; nothing is left at *path* then.
        """
        seconds = self.settings.upstream_idle_seconds
        for _ in range(MOST_REDIRECTS + 1):
            if not trusted:
                self.guard.check_url(url, plain_http=plain_http)
            with self._answer("GET", url, None, {}, seconds, trusted) as response:
                if response.status in REDIRECTS:
                    # The second hop is the provider's word and not the operator's.
                    url, trusted = urljoin(url, response.headers.get("location", "")), False
                    continue
                if response.status != 200:
                    raise failed_download(response.status)
                _save(response, path, max_bytes)
                return str(response.headers.get("content-type", "")).partition(";")[0]
        raise failed_download(310)

    @contextmanager
    def _answer(
        self, method: str, url: str, json_body: Any, headers: dict[str, str], read_seconds: float, trusted: bool
    ) -> Iterator["Answer"]:
        """The answer of an address that was checked where it had to be."""
        response = self._send(method, url, json_body, headers, read_seconds, trusted)
        answer = Answer(response)
        try:
            with told(url):
                yield answer
        finally:
            connections.end(response, whole=answer.whole)

    def _send(
        self, method: str, url: str, json_body: Any, headers: dict[str, str], read_seconds: float, trusted: bool
    ) -> BaseHTTPResponse:
        pool = self._trusted if trusted else self._guarded
        body = json_body if json_body is None or isinstance(json_body, bytes) else orjson.dumps(json_body)
        if body is not None:
            headers = {"Content-Type": "application/json", **headers}
        timeout = urllib3.Timeout(connect=self.settings.upstream_connect_seconds, read=read_seconds)
        attempts = Attempts(self.settings.upstream_retries)
        while True:
            response: BaseHTTPResponse | None = None
            try:
                response = pool.urlopen(
                    method, url, body=body, headers=headers, timeout=timeout, preload_content=False, redirect=False
                )
                again = response.status >= 400 and attempts.may_retry(response.status, response.headers)
            except (NewConnectionError, ConnectTimeoutError) as error:
                if not attempts.may_retry(None, {}):
                    raise _failure(error, url, kind="connection") from error
                continue
            except Cancelled:
                if response is not None:
                    response.close()
                raise
            except HTTPError as error:  # It may have been heard, and paid for.
                raise _failure(error, url, kind="connection") from error
            if not again:
                return response
            response.close()


class Answer:
    """A status, headers, and a body to be read; once it was read to its end its connection may be kept."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers
        self.whole = False

    def read1(self, amount: int = CHUNK_BYTES) -> bytes:
        """The bytes that are there, at most *amount*, waiting for some; none at the end."""
        data = self._response.read1(amount)
        if not data:
            # A body without a length ends in this way too when the switch shut its socket.
            _check_cancelled()
            self.whole = True
        return data

    def limit_waits(self, seconds: float) -> bool:
        """Let no later read wait longer than *seconds*; False where the connection ends with the body anyway."""
        connected = getattr(self._response.connection, "sock", None)
        if connected:
            connected.settimeout(seconds)
        return connected is not None

    def drain(self) -> None:
        """Read what little follows an end marker, so that the connection can serve again; not waiting for long."""
        if self.whole or not self.limit_waits(DRAIN_SECONDS):
            return
        with suppress(HTTPError):
            for _ in range(DRAIN_READS):
                if not self.read1():
                    return


@contextmanager
def told(url: str) -> Iterator[None]:
    """Tell what goes wrong inside, while an answer of *url* is read, as our errors."""
    try:
        yield
    except HTTPError as error:
        raise _failure(error, url, kind="stream_broken") from error


def read_bounded(response: Answer, max_bytes: int) -> bytes:
    """The whole body. Raises UpstreamFailed when it is larger than *max_bytes*."""
    pieces, size = [], 0
    while piece := response.read1(CHUNK_BYTES):
        size += len(piece)
        if size > max_bytes:
            raise UpstreamFailed("The provider's answer is too large.", "上游返回的内容过大。", kind="too_large")
        pieces.append(piece)
    return b"".join(pieces)


def failed_download(status: int) -> UpstreamFailed:
    """A file that the provider names and does not give."""
    return UpstreamFailed(
        "The provider's file could not be fetched (status {status}).",
        "无法获取上游文件（状态码 {status}）。",
        kind="download",
        status=status,
    )


def _save(response: Answer, path: Path, max_bytes: int) -> None:
    try:
        with path.open("wb") as file:
            while piece := response.read1(CHUNK_BYTES):
                file.write(piece)
                if file.tell() > max_bytes:
                    raise TooLarge(
                        "The file is larger than {most} MiB.", "文件超过 {most} MiB。", most=max_bytes // 2**20
                    )
                time.sleep(0)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _check_cancelled() -> None:
    if switch := cancellation.current():
        switch.check()


def _failure(error: HTTPError, url: str, *, kind: str) -> Exception:
    _check_cancelled()
    host = urlsplit(url).hostname or "upstream"
    # urllib3 counts a connection that was refused among the time-outs.
    if isinstance(error, (ReadTimeoutError, ConnectTimeoutError)) and not isinstance(error, NewConnectionError):
        return UpstreamTimeout("{host} did not answer in time.", "{host} 响应超时。", host=host)
    return UpstreamFailed("The connection to {host} failed.", "与 {host} 的连接失败。", kind=kind, host=host)
