"""Requests and results as JSON for the job table; secrets in a request are sealed, never in the clear."""

import hashlib
from pathlib import PurePath
from typing import Any

import orjson
from pydantic import BaseModel, SecretStr

from services.encryption import decrypt, encrypt
from services.settings import Settings

SEALED = "$sealed"
LABEL = b"polymath: secrets of jobs"


class Packer:
    """Packs requests for storage, sealing each SecretStr as stored provider keys are."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def pack(self, request: BaseModel) -> Any:
        """*request* as plain JSON values."""
        return orjson.loads(orjson.dumps(request.model_dump(), default=lambda value: self._plain(value, seal=True)))

    def unpack(self, kind: type[BaseModel], packed: Any) -> BaseModel:
        """The request of class *kind* that `pack` packed."""
        return kind.model_validate(self._open(packed), by_name=True, by_alias=True)

    def fingerprint(self, name: str, request: BaseModel) -> str:
        """A digest of the function's name and the request, secrets included."""
        body = orjson.dumps(
            request.model_dump(), default=lambda value: self._plain(value, seal=False), option=orjson.OPT_SORT_KEYS
        )
        return hashlib.sha256(name.encode() + b"\0" + body).hexdigest()

    def _plain(self, value: Any, *, seal: bool) -> Any:
        if isinstance(value, SecretStr):
            secret = value.get_secret_value()
            return {SEALED: encrypt(secret, self._settings, label=LABEL)} if seal else secret
        if isinstance(value, (set, frozenset)):
            return sorted(value)
        if isinstance(value, PurePath):
            return str(value)
        raise TypeError(f"a request holds {type(value).__name__}, which is not JSON; pass a file's path instead")

    def _open(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._open(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.keys() == {SEALED}:
            return decrypt(value[SEALED], self._settings, label=LABEL)
        return {key: self._open(item) for key, item in value.items()}
