"""Logins: a session opens, its pair of tokens is renewed, it ends; and whose a session is, at every request."""

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Row, bindparam, delete, select, update

from services.contracts.accounts import ANONYMOUS_ID, Identity, LoginRequest, OpenSession
from services.errors import Unauthenticated
from services.lookups import Lookup
from services.passwords import verify_password
from services.tables.accounts import SessionTable, UserTable
from services.usage import utc_now

if TYPE_CHECKING:
    from services.assemble import Services

_WHOSE = Lookup(
    select(UserTable.id, UserTable.username, UserTable.role)
    .join(SessionTable, SessionTable.owner == UserTable.id)
    .where(
        SessionTable.id == bindparam("session"),
        SessionTable.pair == bindparam("pair"),
        SessionTable.ended_at.is_(None),
        UserTable.disabled.is_(False),
    )
)


def log_in(request: LoginRequest, *, services: "Services") -> OpenSession:
    """A new session of the user with that name and password.

    Raises Unauthenticated. A known and an unknown name take the same time: each costs one Argon2 run.
    """
    user = _find(request.username, services)
    known_hash = user.password_hash if user else ""
    if not verify_password(known_hash, request.password) or user is None:
        raise Unauthenticated("The username or the password is wrong.", "用户名或密码错误。")
    if user.disabled:
        raise Unauthenticated("This account is disabled; ask an administrator.", "该账号已被禁用，请联系管理员。")
    return _open(user.id, services)


def renew(opened: OpenSession, *, services: "Services") -> OpenSession:
    """The session with its next pair of tokens; the old pair ends.

    A pair that is not the present one was used before: somebody else may have it, so the session ends
    with all its tokens. Raises Unauthenticated.
    """
    renewed = OpenSession(id=opened.id, pair=_new_pair(), owner=opened.owner)
    turn = (
        update(SessionTable)
        .where(SessionTable.id == opened.id, SessionTable.pair == opened.pair, SessionTable.ended_at.is_(None))
        .where(SessionTable.owner.in_(select(UserTable.id).where(UserTable.disabled.is_(False))))
        .values(pair=renewed.pair, expires_at=utc_now() + _life(services))
        .returning(SessionTable.id)
    )
    with services.database.write() as session:
        if session.scalar(turn) is not None:
            return renewed
    end(opened.id, services=services)
    raise Unauthenticated(
        "This refresh token was used before or revoked; its session has ended. Log in again.",
        "该刷新令牌已被使用或吊销，其会话已结束，请重新登录。",
    )


def end(session_id: str, *, services: "Services") -> None:
    """End the session: all its tokens are refused from now on."""
    ended = update(SessionTable).where(SessionTable.id == session_id, SessionTable.ended_at.is_(None))
    with services.database.write() as session:
        session.execute(ended.values(ended_at=utc_now()))


def identify(session_id: str, pair: str, *, services: "Services") -> Identity:
    """Whose the pair of tokens is, as the database says now; raises Unauthenticated."""
    row = _WHOSE.first(services.database, {"session": session_id, "pair": pair})
    if row is None:
        raise Unauthenticated(
            "The token is revoked, or its account is disabled; log in again.", "令牌已失效或账号已被禁用，请重新登录。"
        )
    return Identity(*row)  # type: ignore[arg-type]


def _find(username: str, services: "Services") -> Row[str, str, bool] | None:
    if not username.isprintable():
        return None  # PostgreSQL stores no NUL and would answer with an error of its own.
    columns = (UserTable.id, UserTable.password_hash, UserTable.disabled)
    with services.database.engine.connect() as connection:
        return connection.execute(
            select(*columns).where(UserTable.username_key == username.casefold(), UserTable.id != ANONYMOUS_ID)
        ).first()


def _open(owner: str, services: "Services") -> OpenSession:
    now = utc_now()
    opened = OpenSession(id=secrets.token_hex(16), pair=_new_pair(), owner=owner)
    with services.database.write() as session:
        session.execute(delete(SessionTable).where(SessionTable.expires_at < now))
        session.add(
            SessionTable(id=opened.id, owner=owner, pair=opened.pair, created_at=now, expires_at=now + _life(services))
        )
    return opened


def _new_pair() -> str:
    return secrets.token_hex(16)


def _life(services: "Services") -> timedelta:
    """How long a session lives without a refresh; never less than its access token."""
    settings = services.settings
    return max(timedelta(days=settings.refresh_token_days), timedelta(seconds=settings.access_token_seconds))
