"""Provider keys that users store: sealed in the database, shown by their ends alone.

Fernet (AES-128-CBC with an HMAC) under a key derived from `SECRET_KEY` by HKDF-SHA256 (RFC 5869), with a
label of its own, so that nothing else that derives from the same secret can open what is sealed here.
"""

import base64
from functools import lru_cache
from typing import TYPE_CHECKING

from services.errors import Conflict
from services.secrets import secret_key
from services.settings import Settings

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

LABEL = b"polymath: stored provider keys"
# A shorter key would be shown by half.
SHORTEST_SHOWN = 12


class Unreadable(Conflict):
    """A stored key was sealed under another `SECRET_KEY`."""

    def __init__(self) -> None:
        super().__init__(
            "The stored key cannot be read, since SECRET_KEY has changed; save the key again, or restore SECRET_KEY.",
            "SECRET_KEY 已更改，无法读取已保存的密钥；请重新保存密钥，或恢复原来的 SECRET_KEY。",
            details={"reason": "secret_key_changed"},
        )


def encrypt(plain: str, settings: Settings, *, label: bytes = LABEL) -> str:
    """*plain* sealed, as text; an empty key stays empty. What is sealed under one *label* opens under no other."""
    return _fernet(secret_key(settings), label).encrypt(plain.encode()).decode() if plain else ""


def decrypt(sealed: str, settings: Settings, *, label: bytes = LABEL) -> str:
    """What `encrypt` sealed. Raises Unreadable when it was sealed under another secret, or changed."""
    from cryptography.fernet import InvalidToken

    if not sealed:
        return ""
    try:
        return _fernet(secret_key(settings), label).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unreadable from error


def mask(plain: str) -> str:
    """*plain* by its ends: `sk-…abcd`; of a short one nothing is shown, and of none there is nothing."""
    if not plain:
        return ""
    return f"{plain[:3]}…{plain[-4:]}" if len(plain) >= SHORTEST_SHOWN else "…"


@lru_cache(maxsize=4)
def _fernet(secret: str, label: bytes) -> "Fernet":
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=label).derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
