"""Secrets that this installation makes for itself and keeps in `instance/`."""

import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

from services.settings import Settings

KEY_FILE = "secret.key"


def secret_key(settings: Settings) -> str:
    """`SECRET_KEY`, or the one kept in `instance/secret.key`, made at the first call."""
    return settings.secret_key or kept_secret(settings.instance_dir / KEY_FILE)


def engine_token(settings: Settings) -> str:
    """The token that the web and the engine host share."""
    return kept_secret(settings.instance_dir / "engine.token")


def kept_secret(path: Path) -> str:
    """The secret in *path*, readable by the owner alone; whoever comes first makes it, for all processes.

    The file appears whole: it is written beside its place and linked there, and the loser of a race
    reads the winner's.
    """
    with suppress(FileNotFoundError):
        return path.read_text()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{os.getpid()}-{time.monotonic_ns()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    with suppress(FileExistsError):
        os.link(beside, path)
    beside.unlink()
    return path.read_text()
