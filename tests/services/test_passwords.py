"""Password hashes: right and wrong ones, and a gevent worker that serves on meanwhile."""

import subprocess
import sys

import pytest

from services.passwords import hash_password, verify_password

UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent, threading
from services.passwords import hash_password, verify_password

turns = 0
def serve():
    global turns
    while True:
        turns += 1
        gevent.sleep(0.001)

server = gevent.spawn(serve)
known = hash_password("correct-horse")
assert verify_password(known, "correct-horse")
assert not verify_password(known, "wrong-horse")
print(turns)
"""


def test_only_the_password_itself_is_right() -> None:
    known = hash_password("correct-horse")
    assert verify_password(known, "correct-horse")
    assert not verify_password(known, "Correct-horse")
    assert not verify_password(known, "correct-horse ")


def test_a_hash_is_argon2id_and_has_a_salt_of_its_own() -> None:
    one, other = hash_password("correct-horse"), hash_password("correct-horse")
    assert one.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert one != other


@pytest.mark.parametrize("password", ["", "x", "correct-horse", "密码" * 500, "\udcff"])
def test_nobody_has_no_password(password: str) -> None:
    assert verify_password("", password) is False


def test_a_gevent_worker_serves_on_while_it_hashes() -> None:
    ran = subprocess.run([sys.executable, "-c", UNDER_GEVENT], capture_output=True, text=True, check=True)
    assert int(ran.stdout) > 5
    assert ran.stderr == ""


def test_gevent_is_not_loaded_for_it() -> None:
    code = "import sys, services.passwords as p; p.hash_password('x'); print('gevent' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
