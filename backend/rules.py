"""The rules of addresses."""

from functools import cache
from typing import Any

from werkzeug.routing import Rule


class LazyRule(Rule):
    """A rule that learns to build its address when somebody first asks for one.

    werkzeug compiles two functions for each rule as it is bound, which for all of ours is a twentieth of a
    start; the service reads addresses and hardly ever builds one.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Any:
        compile_once = cache(super()._compile_builder)

        def build(rule: Rule, /, **values: Any) -> tuple[str, str]:
            return compile_once(append_unknown)(rule, **values)

        return build
