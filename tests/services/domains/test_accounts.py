"""Users over both databases: the first admin, names, passwords, and an admin who must remain."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import delete

from services.assemble import Services
from services.contracts.accounts import (
    AccountPageQuery,
    Identity,
    LoginRequest,
    MadeAdmin,
    PasswordChange,
    UserChange,
    UserRequest,
    UserView,
)
from services.domains import accounts, sessions
from services.errors import Conflict, Invalid, NotFound, ServiceError, Unauthenticated
from services.tables.accounts import UserTable

PASSWORD = "a-long-password"


def add(services: Services, username: str = "lin", **changes: object) -> UserView:
    return accounts.add(UserRequest(**{"username": username, "password": PASSWORD, **changes}), services=services)


def log_in(services: Services, username: str, password: str = PASSWORD) -> Identity:
    opened = sessions.log_in(LoginRequest(username=username, password=password), services=services)
    return sessions.identify(opened.id, opened.pair, services=services)


def empty(services: Services, **changes: object) -> Services:
    """The services as at a first start, with other settings."""
    with services.database.write() as session:
        session.execute(delete(UserTable))
    return replace(services, settings=services.settings.model_copy(update=changes))


def outcomes(calls: list[Callable[[], object]]) -> list[object]:
    """What each call returned or raised, all of them made at once."""

    def outcome(call: Callable[[], object]) -> object:
        try:
            return call()
        except ServiceError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


def test_the_first_admin_comes_from_the_settings(stored: Services) -> None:
    first = empty(stored, admin_username="Root", admin_password=PASSWORD)
    assert accounts.ensure_admin(services=first) == MadeAdmin(username="Root", password="")
    assert log_in(first, "root").is_admin
    assert accounts.ensure_admin(services=first) is None


def test_a_random_password_is_told_once(stored: Services) -> None:
    first = empty(stored, admin_password="")
    made = accounts.ensure_admin(services=first)
    assert made is not None
    assert log_in(first, made.username, made.password).is_admin
    assert accounts.ensure_admin(services=first) is None


def test_many_processes_that_start_at_once_make_one_admin(stored: Services) -> None:
    first = empty(stored, admin_password="")
    made = [admin for admin in outcomes([lambda: accounts.ensure_admin(services=first)] * 6) if admin is not None]
    assert [type(admin) for admin in made] == [MadeAdmin]
    assert accounts.list_(AccountPageQuery(), services=first).count == 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"admin_username": "anonymous"}, Conflict),
        ({"admin_username": "a b"}, Invalid),
        ({"admin_password": "short"}, Invalid),
    ],
)
def test_an_admin_that_cannot_be_made_is_told(
    services: Services, changes: dict[str, str], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        accounts.ensure_admin(services=empty(services, **changes))


def test_anonymous_is_no_account(stored: Services) -> None:
    with pytest.raises(Unauthenticated):
        log_in(stored, "anonymous")
    with pytest.raises(NotFound):
        accounts.change("anonymous", UserChange(password=PASSWORD), services=stored)
    with pytest.raises(NotFound):
        accounts.find("anonymous", services=stored)
    with pytest.raises(Conflict):
        add(stored, "Anonymous")
    assert [user.username for user in accounts.list_(AccountPageQuery(), services=stored).users] == ["admin"]


@pytest.mark.parametrize("username", ["lin", "A.b_c-d@e", "林小明", "x" * 64, "ゆき", "지민"])
def test_names_that_fit(services: Services, username: str) -> None:
    added = add(services, username)
    assert accounts.find(username.upper(), services=services) == added


@pytest.mark.parametrize("username", ["", "x" * 65, "a b", "a\nb", "a\x00b", "a/b", "<b>", "аdmin", "ａ", "a\u200bb"])
def test_names_that_do_not_fit(services: Services, username: str) -> None:
    with pytest.raises(Invalid) as told:
        add(services, username)
    assert told.value.details["field"] == "username"
    with pytest.raises(NotFound):
        accounts.find(username, services=services)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
def test_passwords_that_do_not_fit(services: Services, password: str) -> None:
    user = add(services)
    with pytest.raises(Invalid):
        add(services, "other", password=password)
    with pytest.raises(Invalid):
        accounts.change(user.id, UserChange(password=password), services=services)


def test_a_name_is_taken_whatever_its_case(stored: Services) -> None:
    user = add(stored, "Lin")
    with pytest.raises(Conflict):
        add(stored, "lIN")
    with pytest.raises(Conflict):
        accounts.change(user.id, UserChange(username="ADMIN"), services=stored)
    assert accounts.change(user.id, UserChange(username="LIN"), services=stored).username == "LIN"


def test_the_same_name_added_at_once_is_one_user(stored: Services) -> None:
    kinds = [type(made) for made in outcomes([lambda: add(stored)] * 4)]
    assert sorted(kind.__name__ for kind in kinds) == ["Conflict", "Conflict", "Conflict", "UserView"]


def test_a_disabled_user_is_out_at_once(stored: Services) -> None:
    user = add(stored)
    opened = sessions.log_in(LoginRequest(username="lin", password=PASSWORD), services=stored)
    accounts.change(user.id, UserChange(disabled=True), services=stored)
    with pytest.raises(Unauthenticated):
        sessions.identify(opened.id, opened.pair, services=stored)
    with pytest.raises(Unauthenticated, match="disabled"):
        log_in(stored, "lin")
    accounts.change(user.id, UserChange(disabled=False), services=stored)
    assert log_in(stored, "lin").id == user.id
    with pytest.raises(Unauthenticated):
        sessions.identify(opened.id, opened.pair, services=stored)


@pytest.mark.parametrize("change", [UserChange(disabled=True), UserChange(role="user")])
def test_the_last_admin_stays(stored: Services, change: UserChange) -> None:
    admin = accounts.find("admin", services=stored)
    with pytest.raises(Conflict):
        accounts.change(admin.id, change, services=stored)
    add(stored, "second", role="admin", disabled=True)
    with pytest.raises(Conflict):
        accounts.change(admin.id, change, services=stored)
    assert accounts.show(admin.id, services=stored) == admin


def test_two_admins_cannot_leave_at_once(stored: Services) -> None:
    admins = [accounts.find("admin", services=stored), add(stored, "second", role="admin")]

    def leave(admin: UserView) -> UserView:
        return accounts.change(admin.id, UserChange(disabled=True), services=stored)

    left = outcomes([lambda: leave(admins[0]), lambda: leave(admins[1])])
    assert sorted(type(outcome).__name__ for outcome in left) == ["Conflict", "UserView"]


def test_a_new_password_ends_the_other_sessions(stored: Services) -> None:
    add(stored)
    login = LoginRequest(username="lin", password=PASSWORD)
    mine, other = sessions.log_in(login, services=stored), sessions.log_in(login, services=stored)
    identity = sessions.identify(mine.id, mine.pair, services=stored)
    change = PasswordChange(old_password=PASSWORD, new_password="another-password")
    accounts.change_password(change, services=stored, identity=identity, session_id=mine.id)
    assert sessions.identify(mine.id, mine.pair, services=stored) == identity
    with pytest.raises(Unauthenticated):
        sessions.identify(other.id, other.pair, services=stored)
    with pytest.raises(Unauthenticated):
        log_in(stored, "lin")
    assert log_in(stored, "lin", "another-password") == identity


def test_the_old_password_is_asked_for(services: Services) -> None:
    user = add(services)
    identity = Identity(id=user.id, username="lin", role="user")
    change = PasswordChange(old_password="wrong-password", new_password="another-password")
    with pytest.raises(Invalid) as told:
        accounts.change_password(change, services=services, identity=identity)
    assert told.value.details["field"] == "old_password"
    assert log_in(services, "lin") == identity


@pytest.mark.parametrize("user_id", ["user-0123456789abcdef", "user-x", "", "a\x00b", "admin", "' OR 1=1 --"])
def test_nobody_is_not_found(stored: Services, user_id: str) -> None:
    with pytest.raises(NotFound):
        accounts.show(user_id, services=stored)
    with pytest.raises(NotFound):
        accounts.change(user_id, UserChange(disabled=True), services=stored)
