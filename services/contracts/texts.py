"""Texts that people write, as every table can keep them."""

from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

NUL = "\x00"


def without_nul(text: str) -> str:
    """*text* as it is. PostgreSQL keeps no NUL character, and no model has a use for one."""
    if NUL in text:
        raise PydanticCustomError("nul_character", "it holds a NUL character")
    return text


PlainText = Annotated[str, AfterValidator(without_nul)]
