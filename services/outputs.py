"""Where results lie and what they are called: `data/outputs/<kind>/<name>`, served as `/outputs/<kind>/<name>`.

A name holds 128 random bits: it is the right to read the file.
"""

import re
from pathlib import Path

from services.settings import Settings

KINDS = frozenset({"images", "audio", "video", "datasets"})
NAME = re.compile(r"[A-Za-z0-9_-]{16,128}(\.[a-z0-9]{1,8})?")


def find(url: str, settings: Settings) -> Path | None:
    """The file of the result at the path *url*; None where there is none, and for a path that leads elsewhere."""
    root, kind, name = url.removeprefix("/").split("/") if url.count("/") == 3 and url[0] == "/" else ("", "", "")
    if root != "outputs" or kind not in KINDS or not NAME.fullmatch(name):
        return None
    file = settings.data_dir / root / kind / name
    return file if file.is_file() and not file.is_symlink() else None
