"""Pictures that requests bring: few large ones at once, in turns, and none that nobody waits for."""

import threading
from collections.abc import Callable

import pytest

from services import cancellation, pictures
from services.assemble import Services
from services.contracts.recognition import SentPicture
from services.errors import Cancelled, Invalid
from services.sent_pictures import PictureRoom, opened
from tests.live import wait_for
from tests.services.test_pictures import photo

NAME = ".part-" + "0" * 32


class Guests:
    """Threads that take room, stay until they are let go, and are noted as they come in."""

    def __init__(self, room: PictureRoom) -> None:
        self.room = room
        self.came: list[str] = []
        self.ended: dict[str, BaseException] = {}
        self._may_go: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def ask(self, name: str, pixels: int, switch: cancellation.Cancellation | None = None) -> None:
        """*name*'s first letter is the owner; comes back when it has room or waits for it."""
        self._may_go[name] = threading.Event()
        thread = threading.Thread(target=self._stay, args=[name, pixels, switch or cancellation.Cancellation()])
        self._threads.append(thread)
        thread.start()
        wait_for(lambda: name in self.came or len(self.room._waiting) >= self._waiting, what=f"{name} to ask")

    @property
    def _waiting(self) -> int:
        return len(self._threads) - len(self.came) - len(self.ended)

    def _stay(self, name: str, pixels: int, switch: cancellation.Cancellation) -> None:
        try:
            with cancellation.cancellable(switch), self.room.claim(name[0]) as take:
                take(pixels)
                self.came.append(name)
                self._may_go[name].wait(10)
        except Cancelled as error:
            self.ended[name] = error

    def leave(self, name: str) -> None:
        self._may_go[name].set()

    def leave_all(self) -> None:
        for event in self._may_go.values():
            event.set()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def guests() -> Guests:
    return Guests(PictureRoom(100))


def waits(*names: str, guests: Guests) -> Callable[[], bool]:
    return lambda: list(names) == guests.came


def test_small_ones_go_in_together_and_large_ones_wait(guests: Guests) -> None:
    for name, pixels in (("a1", 40), ("a2", 40), ("a3", 40)):
        guests.ask(name, pixels)
    assert guests.came == ["a1", "a2"] and guests.room.held_pixels == 80
    guests.leave("a1")
    wait_for(waits("a1", "a2", "a3", guests=guests), what="the third to come in")
    guests.leave_all()
    assert guests.room.held_pixels == 0


def test_one_that_is_larger_than_the_room_has_it_for_itself(guests: Guests) -> None:
    guests.ask("a1", 10)
    guests.ask("b1", 1000)
    assert guests.came == ["a1"]
    guests.leave("a1")
    wait_for(waits("a1", "b1", guests=guests), what="the large one to come in")
    guests.ask("c1", 1)
    assert guests.came == ["a1", "b1"]
    guests.leave_all()


def test_whoever_holds_less_goes_first(guests: Guests) -> None:
    for name, pixels in (("a1", 50), ("a2", 50), ("a3", 50), ("a4", 50), ("b1", 50)):
        guests.ask(name, pixels)
    guests.leave("a1")
    wait_for(waits("a1", "a2", "b1", guests=guests), what="the other owner's")
    guests.leave("a2")
    wait_for(waits("a1", "a2", "b1", "a3", guests=guests), what="the next in turn")
    guests.leave_all()


def test_whoever_leaves_is_not_waited_for(guests: Guests) -> None:
    switch = cancellation.Cancellation()
    guests.ask("a1", 100)
    guests.ask("b1", 100, switch)
    guests.ask("c1", 1)
    switch.cancel("client_left")
    wait_for(lambda: "b1" in guests.ended, what="the one that was given up to end")
    guests.leave("a1")
    wait_for(waits("a1", "c1", guests=guests), what="the one behind it")
    guests.leave_all()
    assert guests.room.held_pixels == 0 and not guests.room._waiting


def test_room_is_taken_for_a_picture_and_given_back(services: Services) -> None:
    file = services.files.folder("uploads") / NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(pictures.png(photo()))
    sent = SentPicture(image=NAME)
    with opened(sent, owner="ann", services=services) as image:
        assert image.size == (40, 30) and services.picture_room.held_pixels == 1200
    assert services.picture_room.held_pixels == 0
    file.write_bytes(pictures.png(photo())[:-40])
    with pytest.raises(Invalid), opened(sent, owner="ann", services=services):
        pass
    assert services.picture_room.held_pixels == 0


def test_a_small_picture_comes_along(services: Services) -> None:
    with opened(SentPicture(attached=pictures.png(photo())), owner="ann", services=services) as image:
        assert image.size == (40, 30)


def test_a_picture_that_is_gone_was_its_clients(services: Services) -> None:
    with pytest.raises(Cancelled), opened(SentPicture(image=NAME), owner="ann", services=services):
        pass
