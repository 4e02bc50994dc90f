"""Templates render plain columns and nothing else."""

from typing import Any

import pytest

from services.datasets import templates
from services.datasets.faults import Fault
from services.errors import Invalid


def render(template: str, **row: Any) -> Any:
    return templates.compile_(template)(row)


def test_columns_are_put_into_the_text() -> None:
    assert render("### 指令:\n{a}\n\n{{x}} {b}{b}", a="问", b=3) == "### 指令:\n问\n\n{x} 33"


def test_values_stand_as_people_write_them() -> None:
    assert render("{a}|{b}|{c}|{d}", a=None, b=True, c=[1, "x"], d=1.5) == '|true|[1,"x"]|1.5'


def test_a_column_may_have_any_plain_name() -> None:
    assert templates.compile_("{问题} {user question}")({"问题": "a", "user question": "b"}) == "a b"


def test_braces_in_a_cell_stay_text() -> None:
    assert render("{a}", a="{b.__class__} {0}", b=1) == "{b.__class__} {0}"


@pytest.mark.parametrize(
    "template",
    ["{row.__class__}", "{a.b}", "{a[0]}", "{a!r}", "{a:>99}", "{a:{b}}", "{}", "{ }", "{__class__}", "{a", "a}", "{",
     "plain", "", "{a()}", "{a!}"],
)  # fmt: skip
def test_what_is_no_plain_name_is_refused(template: str) -> None:
    with pytest.raises(Invalid) as caught:
        templates.compile_(template)
    assert caught.value.field == "template"
    assert caught.value.say("zh") and caught.value.say("en")


def test_a_missing_column_is_named() -> None:
    with pytest.raises(Invalid, match="'b'") as caught:
        templates.check("{a} {b}", ["a", "c"])
    assert caught.value.details == {"field": "template", "reason": "missing_column", "column": "b"}
    templates.check("{a} {c}", ["a", "c"])


def test_a_row_without_the_column_is_bad() -> None:
    found = render("{a} {b}", a=1)
    assert isinstance(found, Fault) and "'b'" in found.en


def test_names_stand_once_in_their_order() -> None:
    assert templates.columns_of("{b} {a} {b}") == ["b", "a"]
