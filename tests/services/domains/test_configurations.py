"""Configurations over both databases: one active a provider, whoever makes it active at the same time."""

import threading

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from services.assemble import Services
from services.contracts.accounts import Identity
from services.contracts.configurations import ConfigurationChange, ConfigurationRequest, ConfigurationView
from services.domains import configurations
from services.tables.configurations import ConfigurationTable

LIN = Identity("user-1", "lin", "user")
KEY = "sk-0123456789abcdef"


def make(services: Services, name: str = "mine", **changes: object) -> ConfigurationView:
    request = ConfigurationRequest(**{"name": name, "provider": "qwen", "api_key": KEY, **changes})
    return configurations.create(request, services=services, owner=LIN.id)


def active(services: Services) -> list[str]:
    listed = configurations.list_(services=services, identity=LIN)
    return [row.name for row in listed.configs if row.is_active]


def test_one_is_active(stored: Services) -> None:
    first = make(stored, "first")
    make(stored, "second", is_active=True)
    assert active(stored) == ["second"]
    configurations.change(first.id, ConfigurationChange(is_active=True), services=stored, identity=LIN)
    assert active(stored) == ["first"]
    configurations.remove(first.id, services=stored, identity=LIN)
    assert active(stored) == []


def test_the_database_itself_keeps_it_at_one(stored: Services) -> None:
    make(stored, "first")
    make(stored, "second")
    with pytest.raises(IntegrityError), stored.database.write() as session:
        session.execute(update(ConfigurationTable).values(is_active=True))
    assert active(stored) == ["first"]


def test_many_at_once_leave_one_active(stored: Services) -> None:
    made = [make(stored, str(number)) for number in range(4)]
    failed: list[Exception] = []

    def activate(row: ConfigurationView) -> None:
        try:
            for _ in range(5):
                configurations.change(row.id, ConfigurationChange(is_active=True), services=stored, identity=LIN)
        except Exception as error:  # noqa: BLE001 - told below, whatever it is
            failed.append(error)

    threads = [threading.Thread(target=activate, args=[row]) for row in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(active(stored)) == 1


def test_credentials_come_the_active_first_then_the_newest(stored: Services) -> None:
    for name in ("oldest", "middle", "newest"):
        make(stored, name, is_active=name == "middle")
    make(stored, "ark", provider="doubao", is_active=False, base_url=None, model="doubao-seed")
    found = stored.credentials.of(LIN.id)
    assert [one.name for one in found] == ["middle", "ark", "newest", "oldest"]
    assert found[0].key(stored.settings) == KEY
    assert KEY not in repr(found[0]) and found[0].sealed_key not in repr(found[0])
    assert stored.credentials.of("user-2") == []
