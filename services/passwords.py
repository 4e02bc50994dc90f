"""Password hashes: Argon2id, computed where it stalls nobody.

A hash costs about 50 ms of a core and 64 MiB. Call these outside of transactions.
Source: RFC 9106, section 4, second recommended option (argon2-cffi's defaults).
"""

import base64
import os

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from services.aside import run_aside

_hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)


def hash_password(password: str) -> str:
    """The encoded Argon2id hash of *password*, with a salt of its own."""
    return run_aside(_hasher.hash, _bytes(password))


def verify_password(known_hash: str, password: str) -> bool:
    """Whether *password* is the one of *known_hash*; an empty hash takes the same time and is never right."""
    return run_aside(_matches, known_hash or _nobodys_hash(), _bytes(password))


def _matches(known_hash: str, password: bytes) -> bool:
    try:
        return _hasher.verify(known_hash, password)
    except VerificationError:
        return False


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogateescape")


def _nobodys_hash() -> str:
    """An encoded hash that costs what a real one costs and that no password has."""
    low = RFC_9106_LOW_MEMORY
    salt, digest = _base64(os.urandom(low.salt_len)), _base64(os.urandom(low.hash_len))
    return f"$argon2id$v={low.version}$m={low.memory_cost},t={low.time_cost},p={low.parallelism}${salt}${digest}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
