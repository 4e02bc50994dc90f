"""Pictures that requests bring: decoded only as far as there is room for them.

A photograph of fifty million pixels is a file of half a megabyte and 150 megabytes in memory, and a host answers
many requests at once.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services import cancellation, pictures
from services.contracts.recognition import SentPicture
from services.errors import Cancelled

if TYPE_CHECKING:
    from PIL.Image import Image

    from services.assemble import Services

# How often who waits looks whether its caller has left.
LOOK_SECONDS = 0.2


@dataclass(eq=False, slots=True)
class _Claim:
    """What one caller waits for, and holds."""

    owner: str
    wanted_pixels: int = 0
    held_pixels: int = 0


class PictureRoom:
    """Room for pictures of *most_pixels* together; safe from many threads.

    Those come first whose owner holds least, of these who came first. A picture that is larger than the room has it
    for itself.
    """

    def __init__(self, most_pixels: int) -> None:
        self._most_pixels = most_pixels
        self._changed = threading.Condition()
        self._waiting: list[_Claim] = []
        self._held: Counter[str] = Counter()

    @property
    def held_pixels(self) -> int:
        """How much of the room is taken."""
        return self._held.total()

    @contextmanager
    def claim(self, owner: str) -> Iterator[Callable[[int], None]]:
        """What waits for room for so many pixels, which *owner* holds until the end of the block.

        It raises Cancelled when the caller's switch is thrown while it waits.
        """
        claim = _Claim(owner)

        def take(pixels: int) -> None:
            claim.wanted_pixels = pixels
            self._take(claim)

        try:
            yield take
        finally:
            self._give_back(claim)

    def _take(self, claim: _Claim) -> None:
        switch = cancellation.current()
        with self._changed:
            self._waiting.append(claim)
            try:
                while not self._is_next(claim):
                    self._changed.wait(LOOK_SECONDS)
                    if switch:
                        switch.check()
                claim.held_pixels = claim.wanted_pixels
                self._held[claim.owner] += claim.held_pixels
            finally:
                self._waiting.remove(claim)
                self._changed.notify_all()

    def _give_back(self, claim: _Claim) -> None:
        with self._changed:
            self._held[claim.owner] -= claim.held_pixels
            if not self._held[claim.owner]:
                del self._held[claim.owner]
            self._changed.notify_all()

    def _is_next(self, claim: _Claim) -> bool:
        held = self.held_pixels
        fits = not held or held + claim.wanted_pixels <= self._most_pixels
        return fits and claim is min(self._waiting, key=lambda one: self._held[one.owner])


def data(sent: SentPicture, *, services: "Services") -> bytes:
    """The file that a request brought. Raises Cancelled when it went with its request."""
    with _gone_with_its_request():
        return sent.attached or _place(sent, services).read_bytes()


@contextmanager
def opened(sent: SentPicture, *, owner: str, services: "Services") -> Iterator["Image"]:
    """The picture that a request of *owner* brought, as `pictures.read` gives it; it shall end with the block.

    Raises what `pictures.read` raises, and Cancelled.
    """
    source, most = sent.attached or _place(sent, services), services.settings.max_image_pixels
    with services.picture_room.claim(owner) as take:
        with _gone_with_its_request():
            image = pictures.read(source, max_pixels=most, admit=take)
        yield image


def _place(sent: SentPicture, services: "Services") -> Path:
    return services.files.folder("uploads") / str(sent.image)


@contextmanager
def _gone_with_its_request() -> Iterator[None]:
    """A file that landed is removed with its request, and a request goes with its client."""
    try:
        yield
    except FileNotFoundError as error:
        raise Cancelled(reason="client_left") from error
