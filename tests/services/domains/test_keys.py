"""API keys over both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from services.assemble import Services
from services.contracts.accounts import AccountPageQuery, Identity, KeyRequest, NewKeyView, UserChange, UserRequest
from services.domains import accounts, keys
from services.errors import Invalid, NotFound, Unauthenticated
from services.tables.accounts import KeyTable
from services.usage import utc_now

ALL = AccountPageQuery()


@pytest.fixture
def lin(stored: Services) -> Identity:
    user = accounts.add(UserRequest(username="lin", password="a-long-password"), services=stored)
    return Identity(id=user.id, username=user.username, role=user.role)


def make(services: Services, owner: Identity, name: str = "laptop", **changes: object) -> NewKeyView:
    return keys.create(KeyRequest(name=name, **changes), services=services, owner=owner.id)


def assert_refused(key: str, services: Services) -> None:
    with pytest.raises(Unauthenticated):
        keys.identify(key, services=services)


def test_a_key_is_its_owner(stored: Services, lin: Identity) -> None:
    made = make(stored, lin)
    assert made.key.startswith("sk-") and len(made.key) == 46
    assert keys.identify(made.key, services=stored) == lin
    assert_refused(made.key[:-1], stored)
    assert_refused("sk-", stored)


def test_the_table_does_not_have_the_key(stored: Services, lin: Identity) -> None:
    made = make(stored, lin)
    with stored.database.read() as session:
        row = session.scalars(select(KeyTable)).one()
    assert made.key not in str(vars(row))
    assert made.key.startswith(row.prefix) and len(row.prefix) == 9


def test_a_revoked_key_is_refused_at_once(stored: Services, lin: Identity) -> None:
    made, other = make(stored, lin), make(stored, lin, "phone")
    keys.revoke(made.id, services=stored, identity=lin)
    assert_refused(made.key, stored)
    assert [key.name for key in keys.list_(ALL, services=stored, owner=lin.id).keys] == ["phone"]
    assert keys.identify(other.key, services=stored) == lin
    with pytest.raises(NotFound):
        keys.revoke(made.id, services=stored, identity=lin)


def test_an_expired_key_is_refused(stored: Services, lin: Identity) -> None:
    made = make(stored, lin, expires_days=1)
    assert keys.identify(made.key, services=stored) == lin
    with stored.database.write() as session:
        session.execute(update(KeyTable).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert_refused(made.key, stored)


def test_a_disabled_users_key_is_refused(stored: Services, lin: Identity) -> None:
    made = make(stored, lin)
    accounts.change(lin.id, UserChange(disabled=True), services=stored)
    assert_refused(made.key, stored)


def test_another_users_key_is_not_found(stored: Services, lin: Identity) -> None:
    made = make(stored, lin)
    stranger = Identity(id="user-0000000000000000", username="stranger", role="user")
    with pytest.raises(NotFound):
        keys.revoke(made.id, services=stored, identity=stranger)
    assert keys.list_(ALL, services=stored, owner=stranger.id).count == 0
    assert keys.identify(made.key, services=stored) == lin


def test_an_admin_may_revoke_it(stored: Services, lin: Identity) -> None:
    made = make(stored, lin)
    keys.revoke(made.id, services=stored, identity=Identity(id="user-1", username="boss", role="admin"))
    assert_refused(made.key, stored)


@pytest.mark.parametrize("key_id", ["key-0123456789abcdef", "", "a\x00b", "key-%"])
def test_no_such_key(stored: Services, lin: Identity, key_id: str) -> None:
    with pytest.raises(NotFound):
        keys.revoke(key_id, services=stored, identity=lin)


def test_the_last_use_is_noted_once_a_minute(stored: Services, lin: Identity) -> None:
    made = make(stored, lin)
    keys.identify(made.key, services=stored)
    stored.key_uses.close()
    first = keys.list_(ALL, services=stored, owner=lin.id).keys[0].last_used
    assert first is not None and utc_now() - first < timedelta(minutes=1)
    keys.identify(made.key, services=stored)
    stored.key_uses.close()
    assert keys.list_(ALL, services=stored, owner=lin.id).keys[0].last_used == first


def test_pages(stored: Services, lin: Identity) -> None:
    made = [make(stored, lin, str(number)).id for number in range(5)]
    seen, after = [], None
    for size in (2, 2, 1):
        page = keys.list_(AccountPageQuery(limit=2, after=after), services=stored, owner=lin.id)
        assert (len(page.keys), page.count) == (size, 5)
        seen, after = seen + [key.id for key in page.keys], page.next
    assert seen == made
    assert after is None


def test_a_page_after_another_users_key_is_refused(stored: Services, lin: Identity) -> None:
    made = make(stored, lin)
    with pytest.raises(Invalid):
        keys.list_(AccountPageQuery(after=made.id), services=stored, owner="user-0000000000000000")
