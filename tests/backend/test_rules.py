"""Addresses are built as werkzeug builds them, though only when one is asked for."""

from flask import Flask, url_for

from backend.rules import LazyRule


def app() -> Flask:
    made = Flask("rules")
    made.url_rule_class = LazyRule
    made.add_url_rule("/files/<int:rule>/<path:name>", "file")
    made.add_url_rule("/plain", "plain", defaults={"page": 1})
    return made


def test_addresses_are_built() -> None:
    with app().test_request_context():
        assert url_for("file", rule=3, name="a b/c.png") == "/files/3/a%20b/c.png"
        assert url_for("file", rule=4, name="d", page=2) == "/files/4/d?page=2"
        assert url_for("plain", page=1) == "/plain"


def test_addresses_are_read() -> None:
    found = app().url_map.bind("here").match("/files/7/x/y", method="GET")
    assert found == ("file", {"rule": 7, "name": "x/y"})
