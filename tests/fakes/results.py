"""The pictures, films and sounds that result URLs point to, served by the fake itself."""

import re

from tests.fakes import samples
from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.server import FakeServer, Route


def words_of(prompt: str, model: str = "") -> set[str]:
    """The upper-case words of the prompt and all words of the model's name."""
    return set(re.findall(r"[A-Z0-9]{4,}", f"{prompt} {model.upper()}"))


def size_of(text: str | None, separator: str = "x", default: int = 1024) -> tuple[int, int]:
    """Width and height from "1024x768" or "2K", the default where it says nothing of that kind."""
    if named := re.fullmatch(r"([124])K", text or ""):
        return int(named[1]) * 1024, int(named[1]) * 1024
    numbers = re.fullmatch(rf"(\d+){re.escape(separator)}(\d+)", text or "")
    return (int(numbers[1]), int(numbers[2])) if numbers else (default, default)


class ResultFiles(FakeServer):
    """A server that makes result files and gives them under signed URLs."""

    def _forget(self) -> None:
        super()._forget()
        self._files: dict[str, Reply] = {}

    def picture(self, prompt: str, words: set[str], size: tuple[int, int]) -> bytes:
        """The bytes of a result picture, spoiled as the words say."""
        if "HTML" in words:
            return b"<!DOCTYPE html><html><body>Access denied</body></html>"
        if "TEXT" in words:
            return b"not a picture at all"
        if "HUGE" in words:
            return samples.huge_png()
        whole = samples.png(*size, prompt)
        return whole[: len(whole) // 2] if "TRUNCATED" in words else whole

    def picture_url(self, prompt: str, words: set[str], size: tuple[int, int]) -> str:
        """The signed URL under which this server gives the picture."""
        kind = "text/html" if "HTML" in words else "image/png"
        return self.file_url(self.picture(prompt, words, size), "png", kind, words)

    def film_url(self, words: set[str]) -> str:
        """The signed URL under which this server gives a film."""
        if "HTML" in words:
            return self.file_url(b"<html>expired</html>", "mp4", "text/html", words)
        return self.file_url(samples.mp4(), "mp4", "video/mp4", words)

    def file_url(self, data: bytes, suffix: str, content_type: str, words: set[str] | None = None) -> str:
        """A URL of this server that answers these bytes, to the exact signed query only."""
        words = words or set()
        if "LOOPBACK" in words:
            return "http://127.0.0.1:1/x"
        number = self.count("files")
        target = f"/files/{number}.{suffix}?Expires=1790000000&Signature=a%2Fb%2B{number}%3D"
        self._files[target] = Reply(data, 200, {"content-type": content_type})
        if "REDIRECT" in words:
            self._files[target] = Reply(b"", 302, {"location": "http://169.254.169.254/latest/meta-data/"})
        if "GONE" in words:
            del self._files[target]
        return self.url(target)


def send_file(fake: ResultFiles, request: RecordedRequest) -> Reply:
    """A result file; a changed query breaks its signature, as at the vendors' object stores."""
    kept = fake._files.get(f"{request.path}?{request.query_string}")
    if kept is not None:
        return kept
    path_known = any(target.startswith(f"{request.path}?") for target in fake._files)
    code = "SignatureDoesNotMatch" if path_known else "NoSuchKey"
    page = f'<?xml version="1.0"?><Error><Code>{code}</Code></Error>'
    return Reply(page, 403 if path_known else 404, {"content-type": "application/xml"})


FILE_ROUTES: list[Route] = [(method, r"/files/[^/]+", send_file) for method in ("GET", "HEAD")]
