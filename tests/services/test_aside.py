"""Work aside: the same answer and the same errors, and a gevent worker that serves on meanwhile."""

import subprocess
import sys

import pytest

from services.aside import run_aside

UNDER_GEVENT = """
from gevent import monkey; monkey.patch_all()
import gevent, threading
from services.aside import run_aside
started = gevent.monkey.get_original("threading", "Event")()
release = gevent.monkey.get_original("threading", "Event")()
def work():
    started.set()
    assert release.wait(20), "nobody else was served"
    raise ValueError("as it was raised")
def others():
    while not started.is_set():
        gevent.sleep(0)
    release.set()
gevent.spawn(others)
try:
    run_aside(work)
except ValueError as error:
    print(error)
"""


def test_the_answer_and_the_error() -> None:
    assert run_aside(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        run_aside(divmod, 7, 0)


def test_others_are_served_and_nothing_is_printed_beside() -> None:
    ran = subprocess.run([sys.executable, "-c", UNDER_GEVENT], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout, ran.stderr) == ("as it was raised\n", "")
