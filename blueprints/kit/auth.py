"""Who makes a request: a JSON web token of a login, a personal API key, or under AUTH=open nobody.

`before_request` judges by the marks that a route left, ahead of limits and validation. A token's signature
is checked once and remembered; whether its session lives, and what its user may do, is read from the
database at every request, so that revoking and disabling count at once.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from flask import Flask, current_app, g, request
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, decode_token
from flask_jwt_extended.exceptions import JWTDecodeError, JWTExtendedException
from jwt.exceptions import ExpiredSignatureError, PyJWTError

from blueprints.kit.context import services
from blueprints.kit.dialects import is_openai
from blueprints.kit.marks import marks
from blueprints.kit.throttle import FailedLogins
from services.contracts.accounts import ANONYMOUS, Identity, OpenSession, TokenView
from services.domains import keys, sessions
from services.errors import Denied, Unauthenticated
from services.secrets import secret_key

ALGORITHM = "HS256"
BEARER = re.compile(r"bearer +([!-~]+) *", re.IGNORECASE)
OURS = re.compile(r"[0-9a-f]{32}")
# An API key, or a JSON web token.
OURS_BY_SHAPE = re.compile(r"sk-.{40,}|[^.]+\.[^.]+\.[^.]+")
REMEMBERED_TOKENS = 4096

Claims = dict[str, Any]


def init_tokens(app: Flask) -> None:
    """Let *app* make and read tokens, signed with the secret key and by HS256 alone."""
    settings = app.extensions["services"].settings
    app.config.update(
        JWT_SECRET_KEY=secret_key(settings),
        JWT_ALGORITHM=ALGORITHM,
        JWT_DECODE_ALGORITHMS=[ALGORITHM],
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ENCODE_NBF=False,
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(seconds=settings.access_token_seconds),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(days=settings.refresh_token_days),
    )
    JWTManager(app)
    app.extensions["token_reader"] = lru_cache(maxsize=REMEMBERED_TOKENS)(_decode)
    app.extensions["failed_logins"] = FailedLogins(settings)


def authenticate() -> None:
    """Set `g.identity`, or raise Unauthenticated as the route's marks and AUTH say.

    An unknown path, a wrong method and a preflight pass, and so does a public route, whatever token it is
    sent; it has no identity.
    """
    if request.endpoint is None or request.method == "OPTIONS":
        return
    wanted = marks()
    if wanted.public:
        return
    g.identity = identify_caller(anonymous=allows_anonymous(account=wanted.account or wanted.admin))


def refuse_others() -> None:
    """Raise Denied where a route is for administrators and this is none; it counts for the limits all the same."""
    if request.endpoint is not None and marks().admin and "identity" in g and not g.identity.is_admin:
        raise Denied("Only an administrator may do this.", "仅管理员可以执行此操作。")


def allows_anonymous(*, account: bool = False) -> bool:
    """Whether this request may come without a token; *account* says that the route is about accounts."""
    open_to_all: bool = services().settings.auth == "open"
    return open_to_all and not account and not request.path.startswith("/api/v1/")


def identify_caller(*, anonymous: bool) -> Identity:
    """Who the `Authorization` header says; without one, *anonymous* decides. Raises Unauthenticated.

    Under `/v1` a key may come as `x-api-key` too, as Anthropic's clients send it.
    """
    header = request.headers.get("Authorization")
    if header is None and is_openai() and (key := request.headers.get("x-api-key")):
        header = f"Bearer {key}"
    if header is None and anonymous:
        return ANONYMOUS
    if header is None:
        raise Unauthenticated(
            "Log in, and send the token as 'Authorization: Bearer <token>'.",
            "请先登录，并以 'Authorization: Bearer <token>' 发送令牌。",
        )
    sent = BEARER.fullmatch(header)
    if sent and anonymous and is_openai() and not OURS_BY_SHAPE.fullmatch(sent[1]):
        return ANONYMOUS  # OpenAI's clients must send a key; under AUTH=open people write "none".
    if sent is None:
        raise Unauthenticated(
            "The Authorization header must be 'Bearer <token>'.", "Authorization 请求头必须为 'Bearer <token>'。"
        )
    return identify(sent[1])


def identify(token: str) -> Identity:
    """Whose *token* is, an API key's or a login's; for a socket's first frame too. Raises Unauthenticated."""
    g.session_id = None
    if token.startswith(keys.KEY_BEGINS):
        return keys.identify(token, services=services())
    opened = read_token(token, kind="access")
    g.session_id = opened.id
    return sessions.identify(opened.id, opened.pair, services=services())


def session_id() -> str | None:
    """The session whose token came with this request; None for an API key."""
    found: str | None = g.get("session_id")
    return found


def issue_tokens(opened: OpenSession) -> TokenView:
    """The present pair of tokens of a session."""
    claims = {"session": opened.id, "pair": opened.pair}
    return TokenView(
        token=create_access_token(opened.owner, additional_claims=claims),
        expires_in=services().settings.access_token_seconds,
        refresh_token=create_refresh_token(opened.owner, additional_claims=claims),
    )


def read_token(token: str, *, kind: str) -> OpenSession:
    """The session and pair that a token of *kind* `access` or `refresh` stands for.

    Whether the session still lives is not asked here. Raises Unauthenticated.
    """
    reader: Callable[[str], Claims] = current_app.extensions["token_reader"]
    try:
        claims = reader(token)
        if claims["exp"] <= datetime.now(UTC).timestamp():
            raise ExpiredSignatureError
        if claims["type"] == kind:
            return OpenSession(id=claims["session"], pair=claims["pair"], owner=claims["sub"])
    except ExpiredSignatureError:
        raise Unauthenticated(
            "The token has expired; refresh it or log in again.", "令牌已过期，请刷新令牌或重新登录。"
        ) from None
    except (PyJWTError, JWTExtendedException, KeyError, ValueError) as error:
        raise _not_valid() from error
    raise _not_valid()


def _decode(token: str) -> Claims:
    """The claims of a token whose signature is right, which has not expired and is one of ours."""
    claims: Claims = decode_token(token)
    if not all(OURS.fullmatch(str(claims.get(name))) for name in ("session", "pair")):
        raise JWTDecodeError("a token of another service with the same key")
    return claims


def _not_valid() -> Unauthenticated:
    return Unauthenticated("The token is not valid here; log in again.", "令牌无效，请重新登录。")
