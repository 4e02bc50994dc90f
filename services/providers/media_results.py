"""What providers made, brought here: pictures and films from the addresses that they name, guarded like a user's."""

import base64
import binascii
import secrets
import tempfile
from pathlib import Path

from services import filetypes
from services.contracts.images import SourcePicture
from services.errors import Malformed, TooLarge, UpstreamFailed
from services.outbound import Outbound

LARGEST_PICTURE_BYTES = 64 * 2**20
LARGEST_FILM_BYTES = 1024 * 2**20
# What every vendor's seed fits in.
SEEDS = 2**31


def seed_for(asked: int | None) -> int:
    """The seed that is sent: the one asked for within what vendors take, or one that is chosen."""
    return secrets.randbelow(SEEDS) if asked is None else asked % SEEDS


def as_data_url(source: SourcePicture) -> str:
    """A picture in the form that all vendors take beside addresses."""
    return f"data:{source.media_type};base64,{base64.b64encode(source.data).decode()}"


def decode_picture(text: str) -> bytes:
    """A picture that came inside the answer. Raises UpstreamFailed where it is none."""
    try:
        return _seen_as("image/", base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise _broken() from error


def fetch_picture(url: str, outbound: Outbound) -> bytes:
    """The picture at *url*. Raises UpstreamFailed for one that is refused, too large, or no picture."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        _fetch(url, path, outbound, LARGEST_PICTURE_BYTES)
        return _seen_as("image/", path.read_bytes())


def fetch_film(url: str, target: Path, outbound: Outbound) -> None:
    """Bring the film at *url* to *target*. Raises UpstreamFailed like `fetch_picture`."""
    _fetch(url, target, outbound, LARGEST_FILM_BYTES)
    with target.open("rb") as file:
        _seen_as("video/", file.read(filetypes.HEAD_BYTES))


def _fetch(url: str, path: Path, outbound: Outbound, max_bytes: int) -> None:
    """Whatever is wrong with the address is the provider's doing and not the caller's."""
    try:
        outbound.download(url, path, max_bytes=max_bytes, plain_http=True)
    except (Malformed, TooLarge) as error:
        raise UpstreamFailed(
            "The provider's file could not be fetched: its address is refused or it is too large.",
            "无法获取上游文件：地址被拒绝或文件过大。",
            kind="download",
        ) from error


def _seen_as(kind: str, data: bytes) -> bytes:
    if not filetypes.media_type(data[: filetypes.HEAD_BYTES]).startswith(kind):
        raise _broken()
    return data


def _broken() -> UpstreamFailed:
    return UpstreamFailed(
        "The provider's file is not what it should be; try again.", "上游返回的文件无效，请重试。", kind="broken_result"
    )
