"""Sounds that are written down at several doors: kept until they were heard, once for each `Idempotency-Key`."""

import hashlib
from typing import Any

from flask import g
from werkzeug.datastructures import FileStorage

from blueprints.kit import generation
from blueprints.kit.uploads import keep_upload, take
from services import filetypes
from services.contracts.jobs import JobView
from services.contracts.transcription import TranscriptionRequest
from services.domains.transcription import SOUND_SUFFIX

TRANSCRIBE = "transcription.transcribe"
# What is not known by its first bytes may still be one of the many forms that FFmpeg knows.
SOUNDS = {"audio", "video", filetypes.UNKNOWN}


def submit_sound(upload: FileStorage, wanted: dict[str, Any], *, told: str = "") -> JobView:
    """The job that writes down *upload* as *wanted*; refused or replayed, the sound goes at once.

    *told* is what else tells one request from another. Raises Malformed and UnsupportedMedia.
    """
    landing = take(upload, SOUNDS)
    fingerprint = hashlib.sha256(repr([landing.sha256, wanted, told, g.identity.id]).encode()).hexdigest()
    name = keep_upload(landing, SOUND_SUFFIX)
    body = TranscriptionRequest(audio=name, **wanted)
    return generation.submit_keeping(name, TRANSCRIBE, body, fingerprint=fingerprint)
