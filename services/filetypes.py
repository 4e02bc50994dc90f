"""What a file is, read from its first bytes; its name and what the sender says of it do not count."""

from pathlib import Path

HEAD_BYTES = 512

BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"#!AMR", "audio/amr"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"FLV\x01", "video/x-flv"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"%PDF-", "application/pdf"),
    (b"GGUF", "application/x-gguf"),
)
RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
# Brands of ISO media files (ISO/IEC 14496-12): the same box holds pictures, sound and films.
BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heic",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
TEXT = "text/plain"
UNKNOWN = "application/octet-stream"


def media_type(head: bytes) -> str:
    """The media type of a file that begins with *head*, its first `HEAD_BYTES`; UNKNOWN where nothing fits."""
    for beginning, found in BEGINNINGS:
        if head.startswith(beginning):
            return found
    return _media_in_box(head) or _mpeg_audio(head) or (TEXT if head and _is_text(head) else UNKNOWN)


def is_picture(path: Path) -> bool:
    """Whether the file at *path* begins as a picture does."""
    with path.open("rb") as file:
        return media_type(file.read(HEAD_BYTES)).startswith("image/")


def _media_in_box(head: bytes) -> str | None:
    """What has its kind inside a box of another, or too short a mark to be told by it alone."""
    if head[:4] == b"RIFF":
        return RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12], "video/mp4")
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "image/bmp"
    return "audio/mpeg" if head[:3] == b"ID3" and head[3:5] < b"\x10" else None


def _mpeg_audio(head: bytes) -> str | None:
    """Sound that begins with a frame: eleven bits of synchronisation; no layer means AAC."""
    if len(head) < 3 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or head[:2] in (b"\xff\xff", UTF_16_MARKS[0]):
        return None
    return "audio/mpeg" if head[1] & 0x06 else "audio/aac"


def _is_text(head: bytes) -> bool:
    """No control bytes but white space; UTF-8, UTF-16 with its mark, and GB18030 are all text."""
    if head[:2] in UTF_16_MARKS:
        return True
    return not any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
