"""`flask users` and `flask keys`: accounts from the terminal. Passwords are typed unseen or come by standard input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import current_app
from flask.cli import AppGroup
from pydantic import ValidationError

from services.assemble import Services
from services.contracts.accounts import AccountPageQuery, Identity, KeyRequest, UserChange, UserRequest, UserView
from services.domains import accounts, keys
from services.errors import ServiceError

users_group = AppGroup("users", help="Add, list, disable and enable users, and set passwords.")
keys_group = AppGroup("keys", help="Create, list and revoke API keys.")
# The terminal is the operator's: what is done here is done with every right.
OPERATOR = Identity(id="operator", username="operator", role="admin")

password_from_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@users_group.command("add")
@click.argument("username")
@click.option("--admin", is_flag=True, help="Make the user an administrator.")
@password_from_stdin
def add_user(username: str, admin: bool, password_stdin: bool) -> None:
    """Add a user."""
    request = UserRequest(username=username, password=_ask_password(password_stdin), role="admin" if admin else "user")
    with _told():
        made = accounts.add(request, services=_services())
    click.echo(f"{made.id}  {made.username}  {made.role}")


@users_group.command("list")
def list_users() -> None:
    """List the users."""
    query = AccountPageQuery(limit=100)
    while True:
        page = accounts.list_(query, services=_services())
        for user in page.users:
            click.echo(f"{user.id}  {user.role:5}  {'disabled' if user.disabled else 'enabled ':8}  {user.username}")
        if page.next is None:
            return
        query = AccountPageQuery(limit=100, after=page.next)


@users_group.command("disable")
@click.argument("username")
def disable_user(username: str) -> None:
    """Disable a user; their tokens and keys are refused at once."""
    _change(username, UserChange(disabled=True))
    click.echo(f"{username} is disabled.")


@users_group.command("enable")
@click.argument("username")
def enable_user(username: str) -> None:
    """Let a disabled user in again."""
    _change(username, UserChange(disabled=False))
    click.echo(f"{username} is enabled.")


@users_group.command("passwd")
@click.argument("username")
@password_from_stdin
def set_password(username: str, password_stdin: bool) -> None:
    """Set a user's password; their logins end."""
    _find(username)
    _change(username, UserChange(password=_ask_password(password_stdin)))
    click.echo(f"The password of {username} is changed; their logins have ended.")


@keys_group.command("create")
@click.argument("username")
@click.argument("name")
@click.option("--expires-days", type=click.IntRange(1, 3650), help="Days until the key ends; without it, never.")
def create_key(username: str, name: str, expires_days: int | None) -> None:
    """Make an API key for a user and print it, this once."""
    owner = _find(username).id
    with _told():
        made = keys.create(KeyRequest(name=name, expires_days=expires_days), services=_services(), owner=owner)
    click.echo(f"{made.id} of {username}; the key is shown this once:", err=True)
    click.echo(made.key)


@keys_group.command("list")
@click.argument("username")
def list_keys(username: str) -> None:
    """List a user's API keys."""
    query, owner = AccountPageQuery(limit=100), _find(username).id
    while True:
        page = keys.list_(query, services=_services(), owner=owner)
        for key in page.keys:
            click.echo(f"{key.id}  {key.prefix}…  last used {key.last_used or 'never'}  {key.name}")
        if page.next is None:
            return
        query = AccountPageQuery(limit=100, after=page.next)


@keys_group.command("revoke")
@click.argument("key_id")
def revoke_key(key_id: str) -> None:
    """Revoke an API key by its id; it is refused at once."""
    with _told():
        keys.revoke(key_id, services=_services(), identity=OPERATOR)
    click.echo(f"{key_id} is revoked.")


def _services() -> Services:
    assembled: Services = current_app.extensions["services"]
    return assembled


def _find(username: str) -> UserView:
    with _told():
        return accounts.find(username, services=_services())


def _change(username: str, request: UserChange) -> None:
    with _told():
        accounts.change(_find(username).id, request, services=_services())


def _ask_password(from_stdin: bool) -> str:
    """A password that never stands in a command line, where `ps` and the shell's history would show it."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed


@contextmanager
def _told() -> Iterator[None]:
    """Tell an error of ours in one line and end with a status that says so."""
    try:
        yield
    except ServiceError as error:
        raise click.ClickException(error.say("en")) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise click.ClickException(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
