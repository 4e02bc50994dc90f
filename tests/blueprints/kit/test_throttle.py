"""Failed logins over memory and Redis: counted by address and by name, at once or one by one, and closed when lost."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from blueprints.kit.throttle import FailedLogins
from services.errors import TooMany, Unauthenticated, Unavailable
from services.settings import Settings


@pytest.fixture(params=["memory", "redis"])
def failed_logins(request: pytest.FixtureRequest, settings: Settings) -> FailedLogins:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    return FailedLogins(settings.model_copy(update={"redis_url": url}))


def fail(failed_logins: FailedLogins, address: str, name: str) -> type[Exception]:
    """What a login with a wrong password ends with."""
    try:
        with failed_logins.attempt(address=address, name=name):
            raise Unauthenticated("wrong", "错误")
    except (Unauthenticated, TooMany) as error:
        return type(error)


def succeed(failed_logins: FailedLogins, address: str, name: str) -> None:
    with failed_logins.attempt(address=address, name=name):
        pass


def test_five_failures_for_an_address(failed_logins: FailedLogins) -> None:
    told = [fail(failed_logins, "192.0.2.1", f"user{turn}") for turn in range(6)]
    assert told == [Unauthenticated] * 5 + [TooMany]
    succeed(failed_logins, "192.0.2.2", "user0")


def test_five_failures_for_a_name_whatever_its_case(failed_logins: FailedLogins) -> None:
    told = [fail(failed_logins, f"192.0.2.{turn}", "Lin" if turn % 2 else "lIN") for turn in range(6)]
    assert told == [Unauthenticated] * 5 + [TooMany]
    with pytest.raises(TooMany) as refused:
        succeed(failed_logins, "192.0.2.9", "lin")
    assert 0 < refused.value.retry_after_seconds <= 60


def test_good_logins_are_not_counted(failed_logins: FailedLogins) -> None:
    for _ in range(20):
        succeed(failed_logins, "192.0.2.1", "lin")
    assert fail(failed_logins, "192.0.2.1", "lin") is Unauthenticated


def test_a_good_login_forgives_no_failure(failed_logins: FailedLogins) -> None:
    told = []
    for _ in range(5):
        told.append(fail(failed_logins, "192.0.2.1", "lin"))
    with pytest.raises(TooMany):
        succeed(failed_logins, "192.0.2.1", "own-account")
    assert told == [Unauthenticated] * 5


def test_a_stopped_address_does_not_count_against_names(failed_logins: FailedLogins) -> None:
    for _ in range(20):
        fail(failed_logins, "192.0.2.1", "attacker")
    for _ in range(20):
        assert fail(failed_logins, "192.0.2.1", "victim") is TooMany
    succeed(failed_logins, "192.0.2.2", "victim")


def test_many_attempts_at_once_are_five(failed_logins: FailedLogins) -> None:
    together = Barrier(16)

    def attempt(_turn: int) -> type[Exception]:
        together.wait()
        return fail(failed_logins, "192.0.2.1", "lin")

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(attempt, range(16))).count(Unauthenticated) == 5


def test_without_its_storage_nobody_logs_in(settings: Settings) -> None:
    lost = FailedLogins(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    with pytest.raises(Unavailable):
        succeed(lost, "192.0.2.1", "lin")
