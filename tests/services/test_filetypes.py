"""What a file is, by its bytes."""

import struct

import pytest

from services.filetypes import HEAD_BYTES, TEXT, UNKNOWN, media_type

BMP = b"BM" + struct.pack("<IHHI", 70, 0, 0, 54)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
        (b"GIF89a\x01\0", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (BMP, "image/bmp"),
        (b"II*\0\x08\0\0\0", "image/tiff"),
        (b"\0\0\0 ftypavif", "image/avif"),
        (b"\0\0\0 ftypheic", "image/heic"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav"),
        (b"ID3\x04\0\0", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"fLaC\0\0\0\x22", "audio/flac"),
        (b"OggS\0\x02", "audio/ogg"),
        (b"\0\0\0 ftypM4A ", "audio/mp4"),
        (b"\0\0\0 ftypisom", "video/mp4"),
        (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
        (b"\x1aE\xdf\xa3\x9f", "video/webm"),
        (b"PK\x03\x04\x14\0", "application/zip"),
        (b"GGUF\x03\0\0\0", "application/x-gguf"),
        (b"<html><body>not a picture</body></html>", TEXT),
        (b'{"prompt": "hello"}', TEXT),
        ("提示,回答\n你好,您好".encode(), TEXT),
        ("提示,回答\n你好,您好".encode("gb18030"), TEXT),
        ("\ufeffid,text".encode(), TEXT),
        ("id,text".encode("utf-16"), TEXT),
        (b"BMW is a car, and this a text", TEXT),
        (b"ID3, ID4, ID5", TEXT),
        (b"", UNKNOWN),
        (b"\x7fELF\x02\x01\x01\0", UNKNOWN),
        (bytes(HEAD_BYTES), UNKNOWN),
        (b"RIFF\x10\0\0\0XXXX", UNKNOWN),
    ],
)
def test_bytes_say_what_a_file_is(head: bytes, found: str) -> None:
    assert media_type(head) == found
