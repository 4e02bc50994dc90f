"""Personal API keys: making, listing, revoking, and whose a key is."""

import hashlib
import re
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, or_, select, update

from services.contracts.accounts import AccountPageQuery, Identity, KeyRequest, KeysView, KeyView, NewKeyView
from services.errors import NotFound, Unauthenticated
from services.lookups import Lookup
from services.paging import read_page
from services.tables.accounts import KeyTable, UserTable
from services.usage import utc_now

if TYPE_CHECKING:
    from services.assemble import Services

KEY_BEGINS = "sk-"
PREFIX_CHARACTERS = 9
KEY_ID = re.compile(r"key-[0-9a-f]{16}")

_WHOSE = Lookup(
    select(KeyTable.id, UserTable.id, UserTable.username, UserTable.role)
    .join(UserTable, UserTable.id == KeyTable.owner)
    .where(
        KeyTable.hash == bindparam("hash"),
        KeyTable.revoked_at.is_(None),
        or_(KeyTable.expires_at.is_(None), KeyTable.expires_at > bindparam("now")),
        UserTable.disabled.is_(False),
    )
)


def create(request: KeyRequest, *, services: "Services", owner: str) -> NewKeyView:
    """A new key of *owner*; the answer alone has the key, the table keeps its hash."""
    key, now = KEY_BEGINS + secrets.token_urlsafe(32), utc_now()
    row = KeyTable(
        id=f"key-{secrets.token_hex(8)}",
        owner=owner,
        name=request.name,
        prefix=key[:PREFIX_CHARACTERS],
        hash=_hash(key),
        created_at=now,
        expires_at=now + timedelta(days=request.expires_days) if request.expires_days else None,
    )
    with services.database.write() as session:
        session.add(row)
    return NewKeyView(id=row.id, name=row.name, key=key, expires_at=row.expires_at)


def list_(query: AccountPageQuery, *, services: "Services", owner: str) -> KeysView:
    """One page of the keys of *owner* that are not revoked, the oldest first."""
    with services.database.read() as session:
        page = read_page(session, KeyTable, KeyTable.owner == owner, KeyTable.revoked_at.is_(None), query=query)
    return KeysView(keys=[KeyView.model_validate(row) for row in page.rows], count=page.count, next=page.next)


def revoke(key_id: str, *, services: "Services", identity: Identity) -> None:
    """End the key at once. Raises NotFound for an unknown, a revoked and another user's key."""
    revoking = update(KeyTable).where(KeyTable.id == key_id, KeyTable.revoked_at.is_(None))
    if not identity.is_admin:
        revoking = revoking.where(KeyTable.owner == identity.id)
    gone = None
    if KEY_ID.fullmatch(key_id):
        with services.database.write() as session:
            gone = session.scalar(revoking.values(revoked_at=utc_now()).returning(KeyTable.id))
    if gone is None:
        raise NotFound("There is no API key '{id}'.", "API 密钥'{id}'不存在。", id=key_id)


def identify(key: str, *, services: "Services") -> Identity:
    """Whose *key* is, as the database says now; raises Unauthenticated. The use is noted beside the request."""
    # Whole seconds, so that the same key is asked for once a second.
    row = _WHOSE.first(services.database, {"hash": _hash(key), "now": utc_now().isoformat(" ", "seconds")})
    if row is None:
        raise Unauthenticated(
            "The API key is unknown, expired or revoked, or its account is disabled.",
            "API 密钥不存在、已过期或已吊销，或其账号已被禁用。",
        )
    services.key_uses.note(row[0])
    return Identity(*row[1:])  # type: ignore[arg-type]


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
