"""`flask users` and `flask keys` as an operator types them."""

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

PASSWORD = "a-long-password"


def flask(app: Flask, *words: str, typed: str = "") -> Result:
    return app.test_cli_runner().invoke(args=list(words), input=typed)


@pytest.fixture
def lin(app: Flask) -> None:
    assert flask(app, "users", "add", "lin", "--password-stdin", typed=PASSWORD + "\n").exit_code == 0


def login_status(client: FlaskClient, password: str = PASSWORD) -> int:
    return client.post("/api/v1/login", json={"username": "lin", "password": password}).status_code


def test_add_asks_for_the_password_unseen(app: Flask, client: FlaskClient) -> None:
    ran = flask(app, "users", "add", "lin", "--admin", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert ran.exit_code == 0
    assert "lin  admin" in ran.output
    assert PASSWORD not in ran.output
    assert login_status(client) == 200


def test_add_from_standard_input(app: Flask, client: FlaskClient, lin: None) -> None:
    assert login_status(client) == 200


def test_list(app: Flask, lin: None) -> None:
    lines = flask(app, "users", "list").output.splitlines()
    assert [line.split()[1:] for line in lines] == [["admin", "enabled", "admin"], ["user", "enabled", "lin"]]


def test_disable_and_enable(app: Flask, client: FlaskClient, lin: None) -> None:
    assert flask(app, "users", "disable", "LIN").exit_code == 0
    assert login_status(client) == 401
    assert "disabled" in flask(app, "users", "list").output
    assert flask(app, "users", "enable", "lin").exit_code == 0
    assert login_status(client) == 200


def test_passwd(app: Flask, client: FlaskClient, lin: None) -> None:
    typed = "another-password\n"
    assert flask(app, "users", "passwd", "lin", "--password-stdin", typed=typed).exit_code == 0
    assert login_status(client) == 401
    assert login_status(client, "another-password") == 200


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["users", "disable", "nobody"], "There is no user 'nobody'."),
        (["users", "disable", "admin"], "last enabled admin"),
        (["users", "passwd", "nobody", "--password-stdin"], "There is no user 'nobody'."),
        (["users", "add", "admin", "--password-stdin"], "is taken"),
        (["users", "add", "a b", "--password-stdin"], "A username has"),
        (["keys", "create", "nobody", "laptop"], "There is no user 'nobody'."),
        (["keys", "create", "admin", ""], "name: "),
        (["keys", "revoke", "key-0123456789abcdef"], "There is no API key"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(app: Flask, words: list[str], said: str) -> None:
    ran = flask(app, *words, typed=PASSWORD + "\n")
    assert ran.exit_code == 1
    assert said in ran.output
    assert "Traceback" not in ran.output


def test_a_key(app: Flask, client: FlaskClient, lin: None) -> None:
    made = flask(app, "keys", "create", "lin", "laptop", "--expires-days", "7")
    key, key_id = made.stdout.strip(), made.stderr.split()[0]
    headers = {"Authorization": f"Bearer {key}"}
    assert client.get("/api/auth/me", headers=headers).json["username"] == "lin"
    listed = flask(app, "keys", "list", "lin").output
    assert key_id in listed and "laptop" in listed and key not in listed
    assert flask(app, "keys", "revoke", key_id).exit_code == 0
    assert client.get("/api/auth/me", headers=headers).status_code == 401
    assert flask(app, "keys", "list", "lin").output == ""
