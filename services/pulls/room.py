"""Room on the disk: asked for before a download, and told of when it ends all the same."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.errors import Unavailable

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
SPARE_BYTES = 50 * 2**20


def need_room(folder: Path, size_bytes: int) -> None:
    """Raise the OSError of a full disk when *size_bytes* more will not fit where *folder* lies."""
    if size_bytes and shutil.disk_usage(folder).free < size_bytes + SPARE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Turn the OSError of a full disk into Unavailable, which says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise Unavailable(
            "The disk is full; free some room and pull again.",
            "磁盘已满，请清理后重试。",
            details={"reason": "disk_full"},
        ) from error
