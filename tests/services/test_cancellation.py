"""Work that nobody waits for ends at once, also when it waits for a socket."""

import socket
import threading

import pytest

from services.cancellation import Cancellation, cancellable, current
from services.errors import Cancelled


def test_the_first_reason_counts() -> None:
    switch = Cancellation()
    switch.check()
    switch.cancel("client_left")
    switch.cancel("restarting")
    with pytest.raises(Cancelled) as error:
        switch.check()
    assert error.value.reason == "client_left"


def test_a_waiting_read_ends() -> None:
    ours, theirs = socket.socketpair()
    switch, ended = Cancellation(), threading.Event()
    switch.watch(ours)

    def wait() -> None:
        assert ours.recv(1) == b""
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    switch.cancel()
    assert ended.wait(2)
    theirs.close()


def test_a_forgotten_socket_lives_on() -> None:
    ours, theirs = socket.socketpair()
    switch = Cancellation()
    switch.watch(ours)
    switch.forget(ours)
    switch.cancel()
    theirs.sendall(b"x")
    assert ours.recv(1) == b"x"


def test_a_socket_that_comes_late_is_shut_at_once() -> None:
    ours, _theirs = socket.socketpair()
    switch = Cancellation()
    switch.cancel()
    switch.watch(ours)
    assert ours.recv(1) == b""


def test_the_switch_is_known_inside_alone() -> None:
    switch = Cancellation()
    with cancellable(switch):
        assert current() is switch
    assert current() is None
