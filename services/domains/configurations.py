"""Configurations of providers: which there are, and keeping them; `services/probes.py` tries them."""

import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr
from sqlalchemy import ColumnElement, delete, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services import probes
from services.contracts.accounts import Identity
from services.contracts.configurations import (
    ConfigurationChange,
    ConfigurationRequest,
    ConfigurationsView,
    ConfigurationTest,
    ConfigurationTestView,
    ConfigurationView,
)
from services.credentials import Credentials
from services.encryption import Unreadable, decrypt, encrypt, mask
from services.errors import Conflict, Invalid, NotFound
from services.providers import all_providers, find_provider
from services.providers.base import Provider
from services.settings import Settings
from services.tables.configurations import ConfigurationTable
from services.usage import utc_now

if TYPE_CHECKING:
    from services.assemble import Services

CONFIGURATION_ID = re.compile(r"config-[0-9a-f]{16}")
# A key travels in a header, where a line break would begin another header.
KEY = re.compile(r"[\x21-\x7e]*")
MOST_CONFIGURATIONS = 200
WRITES = 5
UNREADABLE = "…"

Done = TypeVar("Done")


def list_(*, services: "Services", identity: Identity) -> ConfigurationsView:
    """Every configuration of the caller, the oldest first; an admin sees everybody's."""
    order = (ConfigurationTable.created_at, ConfigurationTable.id)
    with services.database.read() as session:
        rows = session.scalars(select(ConfigurationTable).where(_seen_by(identity)).order_by(*order)).all()
    return ConfigurationsView(configs=[_view(row, services.settings) for row in rows])


def create(request: ConfigurationRequest, *, services: "Services", owner: str) -> ConfigurationView:
    """A new configuration of *owner*. An active one takes the place of the one that was."""
    kind, base_url = _provider(request.provider), _address(request.base_url, services)
    _require_address(kind, base_url)
    now = utc_now()
    row = ConfigurationTable(
        id=f"config-{secrets.token_hex(8)}",
        owner=owner,
        name=request.name.strip() or _refuse_name(),
        provider=request.provider,
        vendor=kind.name,
        api_key=encrypt(_key(request.api_key), services.settings),
        model=(request.model or "").strip(),
        base_url=base_url,
        created_at=now,
        updated_at=now,
    )

    def add(session: Session) -> None:
        others = _lock(session, owner)
        _bound(others)
        first = not any(other.is_active for other in others if other.vendor == row.vendor)
        row.is_active = first if request.is_active is None else request.is_active
        if row.is_active:
            _deactivate_others(session, row)
        session.add(row)

    _write(services, add)
    return _view(row, services.settings)


def change(
    config_id: str, request: ConfigurationChange, *, services: "Services", identity: Identity
) -> ConfigurationView:
    """The configuration with what *request* names changed. Raises NotFound."""
    base_url = _address(request.base_url, services)

    def apply(session: Session) -> ConfigurationTable:
        row = _find(session, config_id, identity)
        _lock(session, row.owner)
        _apply(row, request, base_url, services.settings)
        if row.is_active:
            _deactivate_others(session, row)
        return row

    return _view(_write(services, apply), services.settings)


def remove(config_id: str, *, services: "Services", identity: Identity) -> None:
    """Forget a configuration and its key. Raises NotFound."""
    with services.database.write() as session:
        row = _find(session, config_id, identity)
        session.execute(delete(ConfigurationTable).where(ConfigurationTable.id == row.id))


def try_out(
    request: ConfigurationTest, *, services: "Services", identity: Identity, language: str
) -> ConfigurationTestView:
    """How a cheap, real call goes, through a stored configuration or one that is not stored yet.

    Raises NotFound for an unknown configuration, Invalid or Malformed for fields that are wrong.
    """
    credentials = _credentials_of(request, services, identity)
    return probes.probe(credentials, services.settings, language=language)


def _credentials_of(request: ConfigurationTest, services: "Services", identity: Identity) -> Credentials:
    if request.config_id:
        with services.database.read() as session:
            row = _find(session, request.config_id, identity)
        return Credentials(row.id, row.name, row.vendor, row.model, row.base_url, row.is_active, row.api_key)
    if not request.provider:
        raise Invalid(
            "provider", "Name a 'config_id' or a 'provider'.", "请提供'config_id'或'provider'。", reason="required"
        )
    kind, base_url = _provider(request.provider), _address(request.base_url, services)
    _require_address(kind, base_url)
    sealed = encrypt(_key(request.api_key), services.settings)
    return Credentials("", "", kind.name, (request.model or "").strip(), base_url, False, sealed)


def _apply(row: ConfigurationTable, request: ConfigurationChange, base_url: str, settings: Settings) -> None:
    if request.provider is not None:
        row.provider, row.vendor = request.provider, _provider(request.provider).name
    if request.base_url is not None:
        row.base_url = base_url
    _require_address(_provider(row.vendor), row.base_url)
    # A page that sends a row back as it was shown sends the masked key, which is no change.
    if request.api_key is not None and _key(request.api_key, shown=True) != _shown(row, settings):
        row.api_key = encrypt(_key(request.api_key), settings)
    if request.name is not None:
        row.name = request.name.strip() or _refuse_name()
    row.model = row.model if request.model is None else request.model.strip()
    row.is_active = row.is_active if request.is_active is None else request.is_active
    row.updated_at = utc_now()


def _view(row: ConfigurationTable, settings: Settings) -> ConfigurationView:
    return ConfigurationView(
        id=row.id,
        name=row.name,
        provider=row.provider,
        api_key=_shown(row, settings),
        model=row.model,
        base_url=row.base_url,
        is_active=row.is_active,
    )


def _shown(row: ConfigurationTable, settings: Settings) -> str:
    try:
        return mask(decrypt(row.api_key, settings))
    except Unreadable:
        return UNREADABLE


def _provider(name: str) -> type[Provider]:
    """The provider that *name* means, one that is called over the network. Raises Invalid."""
    kind = find_provider(name.strip().lower())
    if kind is None or kind.offline:
        known = ", ".join(sorted(found.name for found in all_providers() if not found.offline))
        raise Invalid(
            "provider",
            "There is no provider {name}; there are {known}.",
            "服务商 {name} 不存在，可用的有：{known}。",
            name=repr(name),
            known=known,
        )
    return kind


def _address(base_url: str | None, services: "Services") -> str:
    """The address without its last slash, which a user may name. Raises Malformed."""
    address = (base_url or "").strip().rstrip("/")
    if address:
        services.outbound.guard.check_url(address, field="base_url")
    return address


def _require_address(kind: type[Provider], base_url: str) -> None:
    if not base_url and not kind.url_setting:
        raise Invalid(
            "base_url",
            "'base_url' is required for {provider}.",
            "使用 {provider} 时必须提供'base_url'。",
            reason="required",
            provider=kind.name,
        )


def _key(sent: SecretStr | None, *, shown: bool = False) -> str:
    """The key without the white space that copying brings along. Raises Invalid for what no header can carry."""
    key = sent.get_secret_value().strip() if sent else ""
    if not shown and not KEY.fullmatch(key):
        raise Invalid(
            "api_key",
            "A key consists of visible ASCII characters.",
            "密钥只能包含可见的 ASCII 字符。",
            reason="characters",
        )
    return key


def _refuse_name() -> str:
    raise Invalid("name", "'name' must not be empty.", "参数'name'不能为空。", reason="required")


def _seen_by(identity: Identity) -> ColumnElement[bool]:
    return true() if identity.is_admin else ConfigurationTable.owner == identity.id


def _find(session: Session, config_id: str, identity: Identity) -> ConfigurationTable:
    row = session.get(ConfigurationTable, config_id) if CONFIGURATION_ID.fullmatch(config_id) else None
    if row is None or not identity.may_see(row.owner):
        raise NotFound("There is no configuration '{id}'.", "配置'{id}'不存在。", id=config_id)
    return row


def _lock(session: Session, owner: str) -> list[ConfigurationTable]:
    """The configurations of *owner* as they are now, which nobody else changes until this write ends.

    SQLite has one writer at a time anyway. PostgreSQL locks in the order of the ids, or two who make one
    active at the same time would wait for each other.
    """
    statement = select(ConfigurationTable).where(ConfigurationTable.owner == owner).order_by(ConfigurationTable.id)
    return list(session.scalars(statement.with_for_update().execution_options(populate_existing=True)))


def _bound(others: list[ConfigurationTable]) -> None:
    if len(others) >= MOST_CONFIGURATIONS:
        raise Conflict(
            "There are {most} configurations already; delete some first.",
            "配置数量已达上限 {most}，请先删除部分配置。",
            most=MOST_CONFIGURATIONS,
        )


def _deactivate_others(session: Session, row: ConfigurationTable) -> None:
    """Done before *row* itself is written, since the database lets no two be active for a moment either."""
    rivals = (
        ConfigurationTable.owner == row.owner,
        ConfigurationTable.vendor == row.vendor,
        ConfigurationTable.id != row.id,
        ConfigurationTable.is_active.is_(True),
    )
    with session.no_autoflush:
        session.execute(update(ConfigurationTable).where(*rivals).values(is_active=False, updated_at=utc_now()))


def _write(services: "Services", deed: Callable[[Session], Done]) -> Done:
    """What *deed* gives in a write. Two first ones may be made active at the same time: the later is done again."""
    for left in reversed(range(WRITES)):
        try:
            with services.database.write() as session:
                return deed(session)
        except IntegrityError:
            if not left:
                raise
    raise AssertionError("a write ends or raises")
