"""Logins over both databases: what a pair of tokens is good for, and when it ends."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, update

from services import passwords
from services.assemble import Services
from services.contracts.accounts import LoginRequest, OpenSession, UserChange
from services.domains import accounts, sessions
from services.errors import Unauthenticated
from services.tables.accounts import SessionTable
from services.usage import utc_now

ADMIN = LoginRequest(username="admin", password="correct-horse-battery")


class CountingHasher(PasswordHasher):
    """Argon2 as it is, counted."""

    runs = 0

    def verify(self, known_hash: str | bytes, password: str | bytes) -> bool:
        self.runs += 1
        return super().verify(known_hash, password)


def opened_by(services: Services) -> OpenSession:
    return sessions.log_in(ADMIN, services=services)


def assert_ended(opened: OpenSession, services: Services) -> None:
    with pytest.raises(Unauthenticated):
        sessions.identify(opened.id, opened.pair, services=services)


def test_a_login_is_its_user(stored: Services) -> None:
    opened = opened_by(stored)
    identity = sessions.identify(opened.id, opened.pair, services=stored)
    assert (identity.id, identity.username, identity.role) == (opened.owner, "admin", "admin")


@pytest.mark.parametrize("username", ["nobody", "ADMIN ", "a\x00b", "' OR 1=1 --", "anonymous"])
def test_a_wrong_name_is_told_like_a_wrong_password(stored: Services, username: str) -> None:
    with pytest.raises(Unauthenticated) as wrong_name:
        sessions.log_in(LoginRequest(username=username, password=ADMIN.password), services=stored)
    with pytest.raises(Unauthenticated) as wrong_password:
        sessions.log_in(LoginRequest(username="admin", password="wrong-password"), services=stored)
    assert wrong_name.value.sentences == wrong_password.value.sentences


@pytest.mark.parametrize("username", ["admin", "nobody", "anonymous", "a\x00b"])
def test_every_login_costs_one_argon2_run(services: Services, username: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counting = CountingHasher()
    monkeypatch.setattr(passwords, "_hasher", counting)
    with pytest.raises(Unauthenticated):
        sessions.log_in(LoginRequest(username=username, password="wrong-password"), services=services)
    assert counting.runs == 1


def test_an_ended_session_is_refused_at_once(stored: Services) -> None:
    opened, other = opened_by(stored), opened_by(stored)
    sessions.end(opened.id, services=stored)
    assert_ended(opened, stored)
    assert sessions.identify(other.id, other.pair, services=stored).username == "admin"


def test_a_role_counts_at_once(stored: Services) -> None:
    user = accounts.add(accounts.UserRequest(username="lin", password="a-long-password"), services=stored)
    opened = sessions.log_in(LoginRequest(username="LIN", password="a-long-password"), services=stored)
    accounts.change(user.id, UserChange(role="admin"), services=stored)
    assert sessions.identify(opened.id, opened.pair, services=stored).is_admin


def test_a_renewed_pair_ends_the_old(stored: Services) -> None:
    old = opened_by(stored)
    new = sessions.renew(old, services=stored)
    assert sessions.identify(new.id, new.pair, services=stored).username == "admin"
    assert_ended(old, stored)


def test_an_old_pair_used_again_ends_them_all(stored: Services) -> None:
    first, other = opened_by(stored), opened_by(stored)
    second = sessions.renew(first, services=stored)
    with pytest.raises(Unauthenticated):
        sessions.renew(first, services=stored)
    assert_ended(second, stored)
    with pytest.raises(Unauthenticated):
        sessions.renew(second, services=stored)
    assert sessions.identify(other.id, other.pair, services=stored).username == "admin"


def test_one_of_many_renewals_at_once_wins_and_then_all_end(stored: Services) -> None:
    opened = opened_by(stored)

    def renew(_turn: int) -> OpenSession | None:
        try:
            return sessions.renew(opened, services=stored)
        except Unauthenticated:
            return None

    with ThreadPoolExecutor(4) as pool:
        won = [renewed for renewed in pool.map(renew, range(4)) if renewed]
    assert len(won) == 1
    assert_ended(won[0], stored)


def test_a_disabled_user_gets_no_new_pair(stored: Services) -> None:
    user = accounts.add(accounts.UserRequest(username="lin", password="a-long-password"), services=stored)
    opened = sessions.log_in(LoginRequest(username="lin", password="a-long-password"), services=stored)
    accounts.change(user.id, UserChange(disabled=True), services=stored)
    with pytest.raises(Unauthenticated):
        sessions.renew(opened, services=stored)


def test_rows_of_old_logins_are_removed(stored: Services) -> None:
    old, kept = opened_by(stored), opened_by(stored)
    with stored.database.write() as session:
        past = utc_now() - timedelta(seconds=1)
        session.execute(update(SessionTable).where(SessionTable.id == old.id).values(expires_at=past))
    opened_by(stored)
    with stored.database.read() as session:
        assert session.scalar(select(func.count()).select_from(SessionTable)) == 2
    assert_ended(old, stored)
    assert sessions.identify(kept.id, kept.pair, services=stored).username == "admin"
