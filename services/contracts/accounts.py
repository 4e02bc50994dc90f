"""Accounts: who somebody is and may do."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["admin", "user"]

ANONYMOUS_ID = "anonymous"


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
