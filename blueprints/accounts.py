"""Logging in and out, one's own password and API keys, and the users, who are an administrator's affair."""

from typing import Any

from flask import current_app
from pydantic import BaseModel

from blueprints.kit import auth
from blueprints.kit.address import client_address
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.throttle import FailedLogins
from services.contracts.accounts import (
    AccountPageQuery,
    DoneView,
    KeyRequest,
    KeysView,
    LoginRequest,
    NewKeyView,
    PasswordChange,
    RefreshRequest,
    TokenView,
    UserChange,
    UserRequest,
    UsersView,
    UserView,
)
from services.domains import accounts, keys, sessions
from services.errors import Conflict

bp = make_blueprint("accounts", url_prefix="/api", about="Logins, API keys and users")

DONE = {"success": True}


class AccountPath(BaseModel):
    id: str


@bp.post("/v1/login", security=[], responses={200: TokenView})
@mark(public=True, limit="login")
def log_in(body: LoginRequest) -> dict[str, Any]:
    """Log in by name and password; the token goes into the `Authorization` header as `Bearer <token>`."""
    with _failed_logins().attempt(address=client_address(), name=body.username):
        opened = sessions.log_in(body, services=services())
    return auth.issue_tokens(opened).model_dump()


@bp.post("/v1/refresh", security=[], responses={200: TokenView})
@mark(public=True, limit="default")
def refresh(body: RefreshRequest) -> dict[str, Any]:
    """Get the next pair of tokens for a refresh token; the old pair ends.

    A refresh token is good for one use: using it again ends all tokens of that login.
    """
    opened = sessions.renew(auth.read_token(body.refresh_token, kind="refresh"), services=services())
    return auth.issue_tokens(opened).model_dump()


@bp.post("/v1/logout", responses={200: DoneView})
@mark(account=True, limit="default")
def log_out() -> dict[str, bool]:
    """Revoke the token that is sent, and the refresh token that came with it."""
    session_id = auth.session_id()
    if session_id is None:
        raise Conflict(
            "An API key has no session to end; revoke it with DELETE /api/auth/keys/{id}.",
            "API 密钥没有可结束的会话，请用 DELETE /api/auth/keys/{id} 吊销。",
        )
    sessions.end(session_id, services=services())
    return DONE


@bp.get("/auth/me", responses={200: UserView})
@mark(account=True, limit="default")
def show_me() -> dict[str, Any]:
    """Tell whose token this is."""
    return accounts.show(me().id, services=services()).model_dump()


@bp.put("/auth/password", responses={200: DoneView})
@mark(account=True, limit="default")
def change_password(body: PasswordChange) -> dict[str, bool]:
    """Change one's own password; all other logins of this user end, API keys stay."""
    with _failed_logins().attempt(address=client_address(), name=me().username):
        accounts.change_password(body, services=services(), identity=me(), session_id=auth.session_id())
    return DONE


@bp.get("/auth/keys", responses={200: KeysView})
@mark(account=True, limit="default")
def list_keys(query: AccountPageQuery) -> dict[str, Any]:
    """List one's own API keys, by their beginnings."""
    return keys.list_(query, services=services(), owner=me().id).model_dump()


@bp.post("/auth/keys", responses={200: NewKeyView})
@mark(account=True, limit="default")
def create_key(body: KeyRequest) -> dict[str, Any]:
    """Make an API key for OpenAI clients and scripts; it is shown this once."""
    return keys.create(body, services=services(), owner=me().id).model_dump()


@bp.delete("/auth/keys/<string:id>", responses={200: DoneView})
@mark(account=True, limit="default")
def revoke_key(path: AccountPath) -> dict[str, bool]:
    """Revoke an API key at once; an administrator may revoke anybody's."""
    keys.revoke(path.id, services=services(), identity=me())
    return DONE


@bp.get("/auth/users", responses={200: UsersView})
@mark(account=True, admin=True, limit="default")
def list_users(query: AccountPageQuery) -> dict[str, Any]:
    """List the users."""
    return accounts.list_(query, services=services()).model_dump()


@bp.post("/auth/users", responses={200: UserView})
@mark(account=True, admin=True, limit="default")
def add_user(body: UserRequest) -> dict[str, Any]:
    """Add a user."""
    return accounts.add(body, services=services()).model_dump()


@bp.get("/auth/users/<string:id>", responses={200: UserView})
@mark(account=True, admin=True, limit="default")
def show_user(path: AccountPath) -> dict[str, Any]:
    """Show one user."""
    return accounts.show(path.id, services=services()).model_dump()


@bp.patch("/auth/users/<string:id>", responses={200: UserView})
@mark(account=True, admin=True, limit="default")
def change_user(path: AccountPath, body: UserChange) -> dict[str, Any]:
    """Change a user's name, password or role, or disable them, which ends their logins at once."""
    return accounts.change(path.id, body, services=services()).model_dump()


def _failed_logins() -> FailedLogins:
    counted: FailedLogins = current_app.extensions["failed_logins"]
    return counted
