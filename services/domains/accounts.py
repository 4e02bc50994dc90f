"""Users: the first admin, adding, listing, changing, passwords."""

import re
import secrets
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ColumnElement, Select, Table, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.contracts.accounts import (
    ANONYMOUS_ID,
    MOST_PASSWORD_CHARACTERS,
    AccountPageQuery,
    Identity,
    MadeAdmin,
    PasswordChange,
    UserChange,
    UserRequest,
    UsersView,
    UserView,
)
from services.errors import Conflict, Invalid, NotFound
from services.paging import read_page
from services.passwords import hash_password, verify_password
from services.tables.accounts import SessionTable, UserTable
from services.usage import utc_now

if TYPE_CHECKING:
    from services.assemble import Services

# ASCII letters and digits, Han, kana and hangul: names that look alike across other alphabets stay out.
USERNAME = re.compile(r"[A-Za-z0-9._@\-\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]{1,64}")
USER_ID = re.compile(r"user-[0-9a-f]{16}")
LEAST_PASSWORD_CHARACTERS = 8
USERS = cast(Table, UserTable.__table__)


def ensure_admin(*, services: "Services") -> MadeAdmin | None:
    """Make the first admin and the row of `anonymous`; what was made, or None where there is an admin already.

    Any number of processes may do this at once: one of them makes the admin.
    """
    _ensure_anonymous(services)
    if _has_admin(services):
        return None
    settings = services.settings
    password = settings.admin_password or secrets.token_urlsafe(12)
    request = UserRequest(username=settings.admin_username, password=password, role="admin")
    row = _new_row(request)
    try:
        with services.database.write() as session:
            if session.scalar(_admins().limit(1)):
                return None
            session.add(row)
    except IntegrityError:
        if not _has_admin(services):
            raise _taken(request.username) from None
        return None
    return MadeAdmin(username=row.username, password="" if settings.admin_password else password)


def add(request: UserRequest, *, services: "Services") -> UserView:
    """The new user. Raises Invalid for a name or password that does not fit, Conflict for a name that is taken."""
    row = _new_row(request)
    try:
        with services.database.write() as session:
            session.add(row)
    except IntegrityError:
        raise _taken(request.username) from None
    return UserView.model_validate(row)


def list_(query: AccountPageQuery, *, services: "Services") -> UsersView:
    """One page of users, the oldest first."""
    with services.database.read() as session:
        page = read_page(session, UserTable, UserTable.id != ANONYMOUS_ID, query=query)
    return UsersView(users=[UserView.model_validate(row) for row in page.rows], count=page.count, next=page.next)


def show(user_id: str, *, services: "Services") -> UserView:
    """The user of that id; raises NotFound."""
    with services.database.read() as session:
        return UserView.model_validate(_read(session, user_id))


def find(username: str, *, services: "Services") -> UserView:
    """The user of that name, whatever its case; raises NotFound."""
    with services.database.read() as session:
        row = session.scalar(select(UserTable).where(_named(username))) if USERNAME.fullmatch(username) else None
    if row is None:
        raise _unknown(username)
    return UserView.model_validate(row)


def change(user_id: str, request: UserChange, *, services: "Services") -> UserView:
    """The user, changed. A new password and disabling end the user's sessions.

    Raises NotFound, Invalid, and Conflict where the name is taken or no enabled admin would be left.
    """
    values = _changed_values(request)
    try:
        with services.database.write() as session:
            # Locked where the database can: two admins cannot take each other's place away at once.
            admins = session.scalars(_admins().with_for_update()).all()
            row = _read(session, user_id)
            for name, value in values.items():
                setattr(row, name, value)
            if list(admins) == [user_id] and (row.disabled or row.role != "admin"):
                raise _last_admin()
            if row.disabled or "password_hash" in values:
                _end_sessions(session, user_id)
            session.flush()
    except IntegrityError:
        raise _taken(request.username or "") from None
    return UserView.model_validate(row)


def change_password(
    request: PasswordChange, *, services: "Services", identity: Identity, session_id: str | None = None
) -> None:
    """Give the user another password and end all their sessions but *session_id*.

    Raises Invalid when the old password is wrong or the new one does not fit.
    """
    _check_password(request.new_password, "new_password")
    with services.database.read() as session:
        known_hash = _read(session, identity.id).password_hash
    if not verify_password(known_hash, request.old_password):
        raise Invalid("old_password", "The old password is wrong.", "原密码错误。", reason="wrong")
    new_hash = hash_password(request.new_password)
    with services.database.write() as session:
        session.execute(update(UserTable).where(UserTable.id == identity.id).values(password_hash=new_hash))
        _end_sessions(session, identity.id, SessionTable.id != session_id if session_id else None)


def _ensure_anonymous(services: "Services") -> None:
    """Calls without a token belong to `anonymous`; its row lets foreign keys hold."""
    # By the table alone: a class of rows makes SQLAlchemy set up all classes, for which a start would wait.
    with services.database.read() as session:
        if session.scalar(select(USERS.c.id).where(USERS.c.id == ANONYMOUS_ID)):
            return
    row = UserTable(
        id=ANONYMOUS_ID,
        username=ANONYMOUS_ID,
        username_key=ANONYMOUS_ID,
        password_hash="",
        role="user",
        created_at=utc_now(),
    )
    try:
        with services.database.write() as session:
            session.add(row)
    except IntegrityError:
        return  # Another process was first.


def _has_admin(services: "Services") -> bool:
    with services.database.read() as session:
        return session.scalar(select(USERS.c.id).where(USERS.c.role == "admin").limit(1)) is not None


def _admins() -> Select[str]:
    """Ids of the admins that are not disabled."""
    return select(UserTable.id).where(UserTable.role == "admin", UserTable.disabled.is_(False)).order_by(UserTable.id)


def _new_row(request: UserRequest) -> UserTable:
    _check_username(request.username)
    _check_password(request.password, "password")
    return UserTable(
        id=f"user-{secrets.token_hex(8)}",
        username=request.username,
        username_key=request.username.casefold(),
        password_hash=hash_password(request.password),
        role=request.role,
        disabled=request.disabled,
        created_at=utc_now(),
    )


def _changed_values(request: UserChange) -> dict[str, Any]:
    """Columns and their new values; hashing happens here, before any transaction."""
    values: dict[str, Any] = request.model_dump(exclude_none=True, include={"role", "disabled"})
    if request.username is not None:
        _check_username(request.username)
        values |= {"username": request.username, "username_key": request.username.casefold()}
    if request.password is not None:
        _check_password(request.password, "password")
        values["password_hash"] = hash_password(request.password)
    return values


def _read(session: Session, user_id: str) -> UserTable:
    row = session.get(UserTable, user_id) if USER_ID.fullmatch(user_id) else None
    if row is None:
        raise _unknown(user_id)
    return row


def _named(username: str) -> ColumnElement[bool]:
    return (UserTable.username_key == username.casefold()) & (UserTable.id != ANONYMOUS_ID)


def _end_sessions(session: Session, user_id: str, which: ColumnElement[bool] | None = None) -> None:
    ended = update(SessionTable).where(SessionTable.owner == user_id, SessionTable.ended_at.is_(None))
    session.execute((ended if which is None else ended.where(which)).values(ended_at=utc_now()))


def _check_username(username: str) -> None:
    if not USERNAME.fullmatch(username):
        raise Invalid(
            "username",
            "A username has 1 to 64 letters, digits, Chinese characters or . _ - @.",
            "用户名须为 1 到 64 个字母、数字、汉字或 . _ - @。",
            reason="required" if not username else "invalid",
        )


def _check_password(password: str, field: str) -> None:
    if not LEAST_PASSWORD_CHARACTERS <= len(password) <= MOST_PASSWORD_CHARACTERS:
        raise Invalid(
            field,
            "A password has {least} to {most} characters.",
            "密码须为 {least} 到 {most} 个字符。",
            reason="required" if not password else "invalid",
            least=LEAST_PASSWORD_CHARACTERS,
            most=MOST_PASSWORD_CHARACTERS,
        )


def _taken(username: str) -> Conflict:
    return Conflict(
        "The username '{name}' is taken; choose another.",
        "用户名'{name}'已被占用，请换一个。",
        name=username,
        details={"field": "username", "reason": "taken"},
    )


def _last_admin() -> Conflict:
    return Conflict(
        "This is the last enabled admin; make another one first.", "这是最后一个可用的管理员，请先添加另一个管理员。"
    )


def _unknown(user: str) -> NotFound:
    return NotFound("There is no user '{user}'.", "用户'{user}'不存在。", user=user)
