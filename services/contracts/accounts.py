"""Accounts: who somebody is and may do, how they log in, and their keys."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.contracts.times import UtcTime

Role = Literal["admin", "user"]

ANONYMOUS_ID = "anonymous"
MOST_PASSWORD_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a request. Under AUTH=open a caller without a token is `anonymous`, who administers nothing."""

    id: str
    username: str
    role: Role

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"

    def may_see(self, owner: str) -> bool:
        """Whether things of *owner* exist for this user: their own, and all for an admin."""
        return self.is_admin or owner == self.id


ANONYMOUS = Identity(id=ANONYMOUS_ID, username="anonymous", role="user")


@dataclass(frozen=True, slots=True)
class MadeAdmin:
    """The admin that a first start made; *password* is empty where the operator's settings gave it."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """What the tokens of one login stand for: the session, and which pair of tokens is its present one."""

    id: str
    pair: str
    owner: str


class LoginRequest(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"username": "admin", "password": "correct-horse-battery"}})

    username: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=MOST_PASSWORD_CHARACTERS)


class RefreshRequest(BaseModel):
    refresh_token: str = Field(min_length=1, max_length=4096, examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9…"])


class TokenView(BaseModel):
    """A pair of tokens: `token` goes into the `Authorization` header, `refresh_token` gets the next pair."""

    token: str = Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9…"])
    expires_in: int = Field(description="Seconds that `token` is good for", examples=[3600])
    token_type: Literal["Bearer"] = Field("Bearer")
    refresh_token: str = Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9…"])


class PasswordChange(BaseModel):
    old_password: str = Field(min_length=1, max_length=MOST_PASSWORD_CHARACTERS)
    new_password: str = Field(description="At least 8 characters", examples=["another-long-password"])


class DoneView(BaseModel):
    success: Literal[True] = True


class AccountPageQuery(BaseModel):
    limit: int = Field(20, ge=1, le=100)
    after: str | None = Field(
        None, pattern=r"^[a-z]+-[0-9a-f]{16}$", description="Id of the last row of the page before"
    )


class UserRequest(BaseModel):
    """A new user."""

    username: str = Field(description="1 to 64 letters, digits, Chinese characters or `._-@`", examples=["lin"])
    password: str = Field(description="At least 8 characters", examples=["correct-horse-battery"])
    role: Role = "user"
    disabled: bool = False


class UserChange(BaseModel):
    """What to change of a user; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"example": {"disabled": True}})

    username: str | None = None
    password: str | None = None
    role: Role | None = None
    disabled: bool | None = None


class UserView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["user-0123456789abcdef"])
    username: str = Field(examples=["lin"])
    role: Role
    disabled: bool
    created_at: UtcTime


class UsersView(BaseModel):
    """One page of users, in the order in which they were made; `count` is how many there are in all."""

    users: list[UserView]
    count: int
    next: str | None = Field(None, description="`after` of the next page; null at the end")


class KeyRequest(BaseModel):
    """A new personal API key."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$", examples=["laptop"])
    expires_days: int | None = Field(None, ge=1, le=3650, description="Days until it ends; null: never", examples=[90])


class KeyView(BaseModel):
    """A key as it is listed: the key itself is shown once, when it is made."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["key-0123456789abcdef"])
    name: str = Field(examples=["laptop"])
    prefix: str = Field(description="How the key begins", examples=["sk-Q3vX1a"])
    last_used: UtcTime | None = Field(validation_alias="last_used_at", description="To the minute; null: never")
    expires_at: UtcTime | None
    created_at: UtcTime


class NewKeyView(BaseModel):
    """A key that was just made. `key` is shown this once and kept as a hash alone."""

    id: str = Field(examples=["key-0123456789abcdef"])
    name: str = Field(examples=["laptop"])
    key: str = Field(examples=["sk-…"])
    expires_at: UtcTime | None


class KeysView(BaseModel):
    """One page of keys, in the order in which they were made; `count` is how many there are in all."""

    keys: list[KeyView]
    count: int
    next: str | None = Field(None, description="`after` of the next page; null at the end")
